"""What a guest sees through its AML is what management sees: `_STA` beside query-hotpluggable-cpus, on whole machines."""

from __future__ import annotations

import pytest

from acpi.aml.evaluator import Evaluator
from acpi.dsdt import dsdt
from machines import Q35, Pc

SLOTS = 4
PRESENT = 0xF
DRIVER = "qemu64-x86_64-cpu"


@pytest.fixture(params=[Pc, Q35], ids=["pc", "q35"])
def vm(request):
    with request.param(smp=f"1,sockets={SLOTS},maxcpus={SLOTS}", memory="64M") as machine:
        yield machine


@pytest.fixture
def ospm(vm) -> Evaluator:
    evaluator = Evaluator(dsdt(vm.platform()), io=vm.io)
    evaluator.run("\\_SB.PCI0.PRES._INI")
    return evaluator


def add(vm, slot: int) -> None:
    vm.qmp.device_add(driver=DRIVER, id=f"cpu{slot}", socket_id=slot, core_id=0, thread_id=0)


def guest_view(ospm: Evaluator) -> set[int]:
    return {slot for slot in range(SLOTS) if ospm.run(f"\\_SB.CPUS.C{slot:03X}._STA") == PRESENT}


def management_view(vm) -> set[int]:
    return {cpu["props"]["socket-id"] for cpu in vm.qmp.query_hotpluggable_cpus() if "qom-path" in cpu}


def test_the_views_agree_from_power_on_through_plugs_and_ejects(vm, ospm):
    assert guest_view(ospm) == management_view(vm) == {0}
    add(vm, 1)
    add(vm, 3)
    ospm.run("\\_GPE._E02")
    assert guest_view(ospm) == management_view(vm) == {0, 1, 3}
    vm.qmp.device_del(id="cpu3")
    ospm.run("\\_GPE._E02")
    assert guest_view(ospm) == management_view(vm) == {0, 1, 3}
    ospm.run("\\_SB.CPUS.C003._EJ0", 1)
    assert guest_view(ospm) == management_view(vm) == {0, 1}


def test_a_slot_can_be_filled_again_right_after_the_eject(vm, ospm):
    add(vm, 1)
    ospm.run("\\_GPE._E02")
    ospm.run("\\_SB.CPUS.C001._EJ0", 1)
    vm.qmp.wait("DEVICE_DELETED", device="cpu1")
    add(vm, 1)
    ospm.run("\\_GPE._E02")
    assert guest_view(ospm) == management_view(vm) == {0, 1}


def test_the_scan_tells_what_management_did(vm, ospm):
    add(vm, 2)
    ospm.run("\\_GPE._E02")
    vm.qmp.device_del(id="cpu2")
    ospm.run("\\_GPE._E02")
    assert ospm.take_notifications() == [("\\_SB.CPUS.C002", 1), ("\\_SB.CPUS.C002", 3)]


def test_management_hears_what_the_guest_reports(vm, ospm):
    add(vm, 1)
    ospm.run("\\_SB.CPUS.C001._OST", 1, 0, b"")
    event = vm.qmp.wait("ACPI_DEVICE_OST")
    assert event["data"]["info"] == {"device": "cpu1", "source": 1, "status": 0, "slot": "1", "slot-type": "CPU"}
