"""Chapter 15: firmware that wants to know first: system management mode takes part in plug and eject on q35.

Once firmware has negotiated it, the scan writes 4 to the APM port, an SMI, after it has collected inserted CPUs and before it tells the
OS of them; and _EJ0 leaves the eject to firmware: it sets bit 4 and raises the SMI, whose handler finds the CPU by command 0,
takes it out of SMM, and ejects it.
"""

from __future__ import annotations

from typing import Any

import pytest

from acpi.aml.evaluator import Evaluator, Run
from acpi.aml.steps import Access, Notification
from acpi.cpu_hotplug import Command, Flag
from tests.acpi.boards import FLAGS

DEVICE_CHECK, EJECT_REQUEST = 1, 3
SMI_CPU_HOTPLUG = 4


@pytest.fixture
def q35(power_on_q35) -> Any:
    return power_on_q35(present=(0, 1))


@pytest.fixture
def os(q35) -> Evaluator:
    return q35.ospm(smi_cpu_hotplug=True, smi_cpu_hotunplug=True)


def smis_and_notifications(run: Run) -> list[tuple[str, int]]:
    return [
        ("SMI", step.value) if isinstance(step, Access) else (str(step.node), step.value)
        for step in run
        if isinstance(step, Notification) or isinstance(step, Access) and step.field == "SMIC"
    ]


@pytest.mark.spec("fw.insert", source="measured")
def test_firmware_sees_inserted_cpus_before_the_os_does(q35, os):
    q35.plug(2)
    q35.plug(3)
    assert smis_and_notifications(os.steps("\\_GPE._E02")) == [
        ("SMI", SMI_CPU_HOTPLUG),
        ("\\_SB.CPUS.C002", DEVICE_CHECK),
        ("\\_SB.CPUS.C003", DEVICE_CHECK),
    ]


@pytest.mark.spec("fw.insert-pending", source="QEMU")
def test_insert_events_are_still_pending_while_firmware_looks(q35, os):
    q35.plug(2)
    for step in os.steps("\\_GPE._E02"):
        if isinstance(step, Access) and step.field == "SMIC":
            assert q35.flags(2) == Flag.ENABLED | Flag.INSERT


@pytest.mark.spec("fw.no-insert", source="measured")
def test_a_scan_without_inserts_raises_no_smi(q35, os):
    q35.request_unplug(1)
    assert smis_and_notifications(os.steps("\\_GPE._E02")) == [("\\_SB.CPUS.C001", EJECT_REQUEST)]


@pytest.mark.spec("fw.eject", source="measured")
def test_ej0_leaves_the_eject_to_firmware_and_raises_an_smi(q35, os):
    assert smis_and_notifications(os.steps("\\_SB.CPUS.C001._EJ0", 1)) == [("SMI", SMI_CPU_HOTPLUG)]
    assert q35.flags(1) == Flag.ENABLED | Flag.FIRMWARE_EJECT
    assert q35.ejected == []


@pytest.mark.spec("fw.handler", source="QEMU")
def test_the_smi_handler_finds_the_cpu_and_ejects_it(q35, os):
    os.run("\\_SB.CPUS.C001._EJ0", 1)
    q35.select(0)
    q35.command(Command.NEXT_EVENT)
    assert q35.data() == 1
    q35.write(FLAGS, Flag.EJECT)
    assert q35.all_flags() == [Flag.ENABLED, 0, 0, 0]
    assert q35.ejected == [1]
