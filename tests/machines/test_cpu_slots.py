"""The rules of plugging CPUs, in the order in which they are checked."""

from __future__ import annotations

import pytest

from emu.cpu_models import CpuConfig, parse_cpu_option
from emu.qom import Container, ObjectError
from machines.cpu_slots import CpuSlots
from machines.topology import SmpConfig, Topology

TYPE = "qemu64-x86_64-cpu"


def make_cpu(model="qemu64", **ids):
    properties = {name.replace("_", "-"): value for name, value in ids.items()}
    return CpuConfig(parse_cpu_option(model)).create(properties)


@pytest.fixture
def slots():
    slots = CpuSlots(SmpConfig.parse("1,sockets=4,maxcpus=4").topology, TYPE)
    boot = make_cpu(socket_id=0, core_id=0, thread_id=0)
    slots.plug(slots.pre_plug(boot), boot)
    return slots


def refusal(call, *args, **kwargs):
    with pytest.raises(ObjectError) as error:
        call(*args, **kwargs)
    return str(error.value)


def test_complete_ids_find_the_slot_and_settle_the_cpu(slots):
    cpu = make_cpu(socket_id=2, core_id=0, thread_id=0)
    slot = slots.pre_plug(cpu)
    assert slot.index == 2
    assert (cpu.apic_id, cpu.index, cpu.die_id, cpu.node_id) == (2, 2, 0, 0)


def test_apic_id_alone_is_enough(slots):
    cpu = make_cpu(apic_id=3)
    assert slots.pre_plug(cpu).index == 3
    assert (cpu.socket_id, cpu.die_id, cpu.core_id, cpu.thread_id) == (3, 0, 0, 0)


@pytest.mark.parametrize("ids, text", [
    ({}, "CPU socket-id is not set"),
    ({"socket_id": -1}, "CPU socket-id is not set"),
    ({"socket_id": 4}, "Invalid CPU socket-id: 4 must be in range 0:3"),
    ({"socket_id": 1}, "CPU core-id is not set"),
    ({"socket_id": 1, "core_id": 1}, "Invalid CPU core-id: 1 must be in range 0:0"),
    ({"socket_id": 1, "die_id": 1}, "Invalid CPU die-id: 1 must be in range 0:0"),
    ({"socket_id": 1, "core_id": 0}, "CPU thread-id is not set"),
    ({"socket_id": 1, "core_id": 0, "thread_id": 9}, "Invalid CPU thread-id: 9 must be in range 0:0"),
    ({"socket_id": 0, "core_id": 0, "thread_id": 0}, "CPU[0] with APIC ID 0 exists"),
    ({"apic_id": 2, "socket_id": 1}, "property socket-id: 1 doesn't match set apic-id: 0x2 (socket-id: 2)"),
    ({"apic_id": 2, "core_id": 3}, "property core-id: 3 doesn't match set apic-id: 0x2 (core-id: 0)"),
    ({"apic_id": 1, "node_id": 1}, "invalid node-id, must be 0"),
])  # fmt: skip
def test_wrong_ids_are_refused(slots, ids, text):
    assert refusal(slots.pre_plug, make_cpu(**ids)) == text


def test_apic_id_beyond_the_topology_names_its_fields():
    slots = CpuSlots(Topology(sockets=2, cores=2), TYPE)
    text = refusal(slots.pre_plug, make_cpu(apic_id=39))
    assert text == "Invalid CPU [socket: 19, die: 0, core: 1, thread: 0] with APIC ID 39, valid index range 0:3"


def test_die_id_is_needed_with_several_dies():
    slots = CpuSlots(Topology(dies=2), TYPE)
    assert refusal(slots.pre_plug, make_cpu(socket_id=0, core_id=0, thread_id=0)) == "CPU die-id is not set"


def test_another_model_is_refused_before_its_ids_are_read(slots):
    assert refusal(slots.pre_plug, make_cpu("Haswell")) == f"Invalid CPU type, expected cpu type: '{TYPE}'"


def test_refused_cpu_keeps_its_properties(slots):
    cpu = make_cpu(apic_id=0)
    refusal(slots.pre_plug, cpu)
    assert cpu.socket_id == -1


def test_boot_cpu_cannot_leave(slots):
    assert refusal(slots.check_unplug, slots[0].cpu) == "Boot CPU is unpluggable"


def test_unplug_needs_acpi_and_the_modern_interface(slots):
    cpu = make_cpu(apic_id=1)
    slots.plug(slots.pre_plug(cpu), cpu)
    assert refusal(slots.check_unplug, cpu, modern=False) == (
        f"acpi: device unplug request for not supported device type: {TYPE}")  # fmt: skip
    assert slots.check_unplug(cpu).index == 1
    slots.acpi = False
    assert refusal(slots.check_unplug, cpu) == "CPU hot unplug not supported without ACPI"


def test_slot_is_free_again_after_unplug(slots):
    cpu = make_cpu(apic_id=1)
    slots.plug(slots.pre_plug(cpu), cpu)
    assert slots.unplug(cpu).index == 1
    assert slots.pre_plug(make_cpu(apic_id=1)).index == 1


@pytest.mark.parametrize("index, text", [
    (-1, "Invalid CPU id: -1"), (4, "Unable to add CPU: 4, max allowed: 3"),
    (0, "Unable to add CPU: 0, it already exists")])  # fmt: skip
def test_cpu_add_has_its_own_texts(slots, index, text):
    assert refusal(slots.properties_for_cpu_add, index) == text


def test_cpu_add_translates_an_index_to_properties(slots):
    assert slots.properties_for_cpu_add(3) == {"socket-id": 3, "core-id": 0, "thread-id": 0}


def test_cpu_add_cannot_name_apic_ids_that_need_x2apic():
    slots = CpuSlots(Topology(sockets=256), TYPE)
    assert refusal(slots.properties_for_cpu_add, 255) == (
        "Unable to add CPU: 255, resulting APIC ID (255) is too large")  # fmt: skip


def test_listing_is_highest_first_with_paths_of_the_plugged(slots):
    Container().container("machine").container("unattached").add_child("device[*]", slots[0].cpu)
    listed = slots.hotpluggable()
    assert [entry["props"]["socket-id"] for entry in listed] == [3, 2, 1, 0]
    assert listed[3] == {"props": {"socket-id": 0, "core-id": 0, "thread-id": 0}, "vcpus-count": 1,
                         "qom-path": "/machine/unattached/device[0]", "type": TYPE}  # fmt: skip
    assert "qom-path" not in listed[0]
