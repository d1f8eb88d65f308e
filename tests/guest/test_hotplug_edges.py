"""Hot-plug at bad moments: while others run, around resets, twice, too early, and where it is not possible."""

from __future__ import annotations

import gc
import weakref

import pytest

from emu.qmp import QmpError
from machines.guests import hotplug

CODE = 0x3000  # free RAM below the guest


def device_add(vm, slot, **options):
    vm.qmp.device_add(driver="qemu64-x86_64-cpu", **vm.topology.properties(vm.slots[slot].place), **options)


def busy_loop(vm, slot):
    """Let CPU `slot` count in EAX for ever."""
    vm.memory.write(CODE, bytes.fromhex("40" "ebfd"))  # inc eax; jmp CODE  (flat 32-bit code)
    vm.cpus[slot].registers["rflags"] = 2
    vm.cpus[slot].rip = CODE
    vm.vcpus[slot].state["halted"] = 0


def ready_again(vm, present):
    vm.qmp.wait("RESET", within="10 ms")
    vm.serial.expect(f"present {present}", within="100 ms")
    vm.serial.expect("ready", within="1 s")


def test_unplug_while_another_cpu_computes(boot, plug, unplug):
    vm = boot()
    plug(vm, 1)
    plug(vm, 2)
    busy_loop(vm, 2)
    unplug(vm, 1)
    before = vm.cpus[2].retired
    vm.run_for(1_000_000)
    assert vm.cpus[2].retired > before
    assert list(vm.cpus) == [0, 2]


def test_cpu_that_does_not_answer_is_kept_and_reported(boot, plug):
    vm = boot()
    plug(vm, 1)
    busy_loop(vm, 1)  # with interrupts off
    vm.qmp.device_del(id="cpu1")
    vm.serial.expect("cpu 1 failed: does not stop", within="3 s")
    assert vm.qmp.wait("ACPI_DEVICE_OST", source=3, status=1, within="10 ms")["data"]["info"]["device"] == "cpu1"
    assert list(vm.cpus) == [0, 1]


def test_plugged_cpus_survive_a_system_reset(boot, plug, unplug):
    vm = boot()
    plug(vm, 1)
    plug(vm, 3)
    vm.qmp.system_reset()
    ready_again(vm, present=3)
    vm.serial.send("s").expect("possible 4 present 3 online 3")
    unplug(vm, 3)
    assert list(vm.cpus) == [0, 1]


def test_unplugged_slot_stays_empty_after_a_system_reset(boot, plug, unplug):
    vm = boot()
    plug(vm, 1)
    unplug(vm, 1)
    vm.qmp.system_reset()
    ready_again(vm, present=1)
    plug(vm, 1)


def test_unplug_request_that_a_reset_interrupts_is_served_when_it_is_repeated(boot, plug):
    vm = boot()
    plug(vm, 1)
    vm.qmp.device_del(id="cpu1")
    vm.qmp.system_reset()
    ready_again(vm, present=2)
    assert 1 in vm.cpus
    vm.qmp.device_del(id="cpu1")
    assert vm.qmp.wait("DEVICE_DELETED", device="cpu1", within="1 s")
    assert list(vm.cpus) == [0]


def test_reset_while_the_guest_parks_a_cpu_leaves_it_plugged(boot, plug):
    vm = boot()
    plug(vm, 1)
    vm.qmp.device_del(id="cpu1")
    vm.serial.expect("unplug: cpu 1", within="1 s")
    vm.qmp.system_reset()
    ready_again(vm, present=2)
    assert 1 in vm.cpus and vm.qmp.qom_get(path="/machine/peripheral/cpu1", property="realized")
    vm.qmp.device_del(id="cpu1")
    assert vm.qmp.wait("DEVICE_DELETED", device="cpu1", within="1 s")


def test_a_cpu_remembers_that_it_was_hotplugged(boot, plug):
    vm = boot()
    plug(vm, 1)
    flags = [vm.qmp.qom_get(path=path, property="hotplugged") for path in ("/machine/unattached/device[0]", "/machine/peripheral/cpu1")]
    vm.qmp.system_reset()
    ready_again(vm, present=2)
    assert flags == [False, True]
    assert vm.qmp.qom_get(path="/machine/peripheral/cpu1", property="hotplugged")


def test_plug_that_a_reset_interrupts_is_seen_with_the_next_event(boot, plug):
    vm = boot()
    device_add(vm, 1, id="cpu1")
    vm.qmp.system_reset()
    ready_again(vm, present=2)
    plug(vm, 2)
    vm.serial.send("s").expect("present 3 online 3")


def test_repeated_requests_delete_once(boot, plug):
    vm = boot()
    plug(vm, 1)
    for _ in range(3):
        vm.qmp.device_del(id="cpu1")
    vm.qmp.wait("DEVICE_DELETED", device="cpu1", within="1 s")
    vm.run_for(20_000_000)
    assert [event["data"].get("device") for event in vm.qmp.events if event["event"] == "DEVICE_DELETED"] == [None, "cpu1"]
    with pytest.raises(QmpError, match="Device 'cpu1' not found"):
        vm.qmp.device_del(id="cpu1")


def test_slot_and_id_are_free_with_device_deleted(boot, plug):
    vm = boot()
    plug(vm, 1)
    for _ in range(3):
        vm.qmp.device_del(id="cpu1")
        vm.qmp.wait("DEVICE_DELETED", device="cpu1", within="1 s")
        device_add(vm, 1, id="cpu1")
        vm.serial.expect(hotplug.online_line(1).strip(), within="1 s")
    vm.serial.send("s").expect("present 2 online 2")


def test_memory_of_an_ejected_cpu_is_free_at_once(boot, plug):
    vm = boot()
    plug(vm, 1)
    vcpu = weakref.ref(vm.vcpus[1].vcpu)
    gc.disable()
    try:
        vm.qmp.device_del(id="cpu1")
        vm.qmp.wait("DEVICE_DELETED")
        vm.run_for(1)
        assert vcpu() is None
    finally:
        gc.enable()


def test_boot_cpu_is_refused_and_nothing_is_asked_of_the_guest(boot):
    vm = boot()
    path = vm.slots[0].cpu.path
    with pytest.raises(QmpError, match="Boot CPU is unpluggable"):
        vm.qmp.device_del(id=path)
    vm.run_for(20_000_000)
    assert "unplug" not in vm.serial.text and list(vm.cpus) == [0]


def test_plug_without_a_free_slot_is_refused(boot):
    vm = boot(smp="2,maxcpus=2")
    for add in (lambda: device_add(vm, 1, id="x"), lambda: vm.qmp.cpu_add(id=1), lambda: vm.qmp.cpu_add(id=2)):
        with pytest.raises(QmpError, match="exists|already exists|max allowed"):
            add()
    assert list(vm.cpus) == [0, 1] and len(vm.engine.cpus) == 2
    assert "/x (" not in vm.hmp("info qom-tree")


def test_id_in_use_is_refused_and_the_slot_stays_free(boot, plug):
    vm = boot()
    plug(vm, 1)
    with pytest.raises(QmpError, match="[Dd]uplicate"):
        device_add(vm, 2, id="cpu1")
    assert len(vm.engine.cpus) == 2
    plug(vm, 2)
