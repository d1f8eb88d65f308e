"""CPUs come and go: the embedded guest sees to its side, the monitors tell the user."""

from __future__ import annotations

import pytest

from emu.qmp import QmpError
from machines import Q35
from machines.guests import hotplug


@pytest.mark.parametrize("append, line", [("", "interrupts 8259"), ("ioapic", "interrupts ioapic")])
def test_plugged_cpu_works_with_either_interrupt_controller(boot, append, line, plug):
    vm = boot(append=append)
    assert line in vm.serial.text
    plug(vm, 1)
    vm.serial.send("s").expect("possible 4 present 2 online 2")


def test_cpus_present_at_boot_are_online(boot):
    vm = boot(smp="4")
    for cpu in (1, 2, 3):
        assert hotplug.online_line(cpu).strip() in vm.serial.text


def test_all_of_255_cpus_can_be_plugged(boot, plug):
    vm = boot(smp="1,maxcpus=255")
    for slot in (1, 2, 127, 254):
        plug(vm, slot)
    vm.serial.send("s").expect("possible 255 present 5 online 5")


def test_the_last_of_288_cpus_is_plugged_and_ejected_by_its_x2apic_id(boot, plug, unplug):
    vm = boot(machine=Q35, smp="1,maxcpus=288")
    assert "local apic x2apic" in vm.serial.text
    for slot in (255, 287):
        plug(vm, slot)
    unplug(vm, 287)
    vm.serial.send("s").expect("possible 288 present 2 online 2")


def test_sparse_apic_ids_pass_255_long_before_the_cpus_do(boot, plug, unplug):
    vm = boot(smp="1,sockets=17,cores=5,threads=3,maxcpus=255")
    assert vm.slots[254].apic_id == 16 << 5 | 4 << 2 | 2
    plug(vm, 254)
    unplug(vm, 254)


@pytest.mark.parametrize("append", ["", "ioapic"])
def test_a_guest_in_x2apic_mode_plugs_and_ejects(boot, plug, unplug, append):
    vm = boot(smp="2,maxcpus=4", cpu="qemu64,+x2apic", append=append)
    plug(vm, 3)
    unplug(vm, 3)
    vm.serial.send("s").expect("possible 4 present 2 online 2")


def test_every_level_of_the_topology_can_be_plugged(boot, plug):
    vm = boot(smp="1,sockets=2,dies=2,cores=2,threads=2,maxcpus=16")
    plug(vm, 13)
    assert vm.slots[13].cpu.get_property("die-id") == 1
    vm.serial.send("s").expect("present 2 online 2")


def test_slot_can_be_plugged_unplugged_and_plugged_again(boot, plug, unplug):
    vm = boot()
    for _ in range(5):
        plug(vm, 2)
        unplug(vm, 2)
    plug(vm, 2)
    vm.serial.send("s").expect("possible 4 present 2 online 2")
    assert sorted(vm.cpus) == [0, 2]


def test_plug_is_reported_with_ost_and_unplug_with_device_deleted(boot, plug, unplug):
    vm = boot()
    plug(vm, 1, id="c1")
    ost = vm.qmp.wait("ACPI_DEVICE_OST", source=1)
    assert ost["data"]["info"] == {"device": "c1", "slot": "1", "slot-type": "CPU", "source": 1, "status": 0}
    unplug(vm, 1, id="c1")
    assert vm.qmp.wait("ACPI_DEVICE_OST", source=3)["data"]["info"]["status"] == 0x84
    assert vm.qmp.wait("DEVICE_DELETED")["data"] == {"path": "/machine/peripheral/c1/lapic"}
    assert vm.qmp.wait("DEVICE_DELETED")["data"] == {"device": "c1", "path": "/machine/peripheral/c1"}
    final = vm.qmp.wait("ACPI_DEVICE_OST", source=3)["data"]["info"]
    assert final["status"] == 0 and "device" not in final
    assert vm.qmp.query_acpi_ospm_status()[1] == {"slot": "1", "slot-type": "CPU", "source": 3, "status": 0}


def test_cpu_add_plugs_a_slot_without_an_id(boot):
    vm = boot()
    vm.qmp.cpu_add(id=3)
    vm.serial.expect(hotplug.online_line(3).strip())
    assert [cpu["cpu-index"] for cpu in vm.qmp.query_cpus_fast()] == [0, 3]
    assert vm.qmp.query_cpus_fast()[1]["qom-path"] == "/machine/peripheral-anon/device[0]"


def test_human_monitor_sets_cpus_online_and_offline(boot):
    vm = boot()
    assert vm.hmp("cpu_set 1 online") == ""
    vm.serial.expect(hotplug.online_line(1).strip())
    assert vm.hmp("cpu_set 1 offline") == ""
    vm.serial.expect("cpu 1 ejected")
    assert vm.hmp("info cpus").count("CPU #") == 1


@pytest.mark.parametrize("properties, text", [
    ({}, "CPU socket-id is not set"),
    ({"socket-id": 0, "core-id": 9, "thread-id": 0}, "Invalid CPU core-id: 9 must be in range 0:3"),
    ({"socket-id": 0, "core-id": 0, "thread-id": 0}, "CPU[0] with APIC ID 0 exists"),
    ({"nonsense": 1}, "Property 'qemu64-x86_64-cpu.nonsense' not found"),
])  # fmt: skip
def test_wrong_plug_is_refused_and_changes_nothing(boot, properties, text, plug):
    vm = boot()
    with pytest.raises(QmpError) as caught:
        vm.qmp.device_add(driver="qemu64-x86_64-cpu", id="x", **properties)
    assert str(caught.value) == text
    assert len(vm.cpus) == 1
    plug(vm, 1, id="x")


def test_boot_cpu_stays(boot):
    vm = boot()
    with pytest.raises(QmpError, match="Boot CPU is unpluggable"):
        vm.qmp.device_del(id="/machine/unattached/device[0]")


def test_cpu_model_and_features_hold_for_plugged_cpus(boot, plug):
    vm = boot(cpu="qemu64,-sse4.1,+popcnt,family=6")
    plug(vm, 1)
    cpu = vm.slots[1].cpu
    assert cpu.get_property("family") == 6 and cpu.get_property("popcnt")
    assert cpu.cpuid(1) [0] == vm.slots[0].cpu.cpuid(1)[0]
    assert cpu.get_property("hotplugged") and not vm.slots[0].cpu.get_property("hotplugged")


def test_cold_plugged_cpu_is_there_at_boot(boot, unplug):
    vm = boot(devices=["qemu64-x86_64-cpu,socket-id=0,core-id=2,thread-id=0,id=cold"])
    assert hotplug.online_line(2).strip() in vm.serial.text
    assert not vm.slots[2].cpu.get_property("hotplugged")
    unplug(vm, 2, id="cold")


def test_plug_while_stopped_takes_effect_when_the_guest_goes_on(boot):
    vm = boot()
    vm.qmp.stop()
    vm.qmp.cpu_add(id=1)
    assert "online" not in vm.serial.text
    vm.qmp.cont()
    vm.serial.expect(hotplug.online_line(1).strip())


def test_cpu_that_ejects_itself_stops_and_the_rest_lives(boot, plug):
    vm = boot()
    plug(vm, 1)
    cpu, window = vm.cpus[1], vm.hotplug
    at = 0x3000
    port = (vm.chipset.cpu_hotplug_base + 4).to_bytes(2, "little")
    # cli; mov dx, port; mov al, 8; out dx, al; hang: jmp hang  (flat 32-bit code)
    vm.memory.write(at, bytes.fromhex("fa66ba") + port + bytes.fromhex("b008eeebfe"))
    window.modern.selector = 1
    cpu.rip = at
    vm.vcpus[1].state["halted"] = 0
    vm.qmp.wait("DEVICE_DELETED", within="10 ms")
    assert list(vm.cpus) == [0]
    vm.serial.send("s").expect("present 1")
