"""Chapter 14: what the AML of machine types up to 2.6 does with the legacy bitmap.

It never switches.  The scan compares the bitmap with what it last saw, CPU by CPU, and tells each difference; status and local
APIC structure are what the scan saw.  Processor objects are named by APIC id.
"""

from __future__ import annotations

import pytest

from acpi.aml.evaluator import Evaluator

DEVICE_CHECK = 1
PRESENT = 0xF


@pytest.fixture
def os(legacy) -> Evaluator:
    return legacy.ospm(legacy_cpu_hotplug=True)


@pytest.mark.spec("old-aml.scan", source="measured")
def test_the_legacy_scan_tells_new_bits_once(legacy, os):
    legacy.plug(1)
    legacy.plug(3)
    os.run("\\_GPE._E02")
    assert os.take_notifications() == [("\\_SB.CP01", DEVICE_CHECK), ("\\_SB.CP03", DEVICE_CHECK)]
    os.run("\\_GPE._E02")
    assert os.take_notifications() == []


@pytest.mark.spec("old-aml.status", source="measured")
def test_legacy_status_and_apic_structure_follow_the_scan(legacy, os):
    assert (os.run("\\_SB.CP00._STA"), os.run("\\_SB.CP02._STA")) == (PRESENT, 0)
    assert os.run("\\_SB.CP02._MAT") == bytes.fromhex("0008020200000000")
    legacy.plug(2)
    os.run("\\_GPE._E02")
    assert os.run("\\_SB.CP02._STA") == PRESENT
    assert os.run("\\_SB.CP02._MAT") == bytes.fromhex("0008020201000000")


@pytest.mark.spec("old-aml.no-switch", source="measured")
def test_the_legacy_aml_never_switches(legacy, os):
    os.run("\\_GPE._E02")
    assert legacy.read(31) == 0


@pytest.mark.spec("old-aml.no-ost", source="measured")
def test_legacy_processors_cannot_report_and_their_eject_does_nothing(legacy, os):
    assert not os.has("\\_SB.CP01._OST")
    legacy.plug(1)
    os.run("\\_SB.CP01._EJ0", 1)
    assert legacy.read(0) == 0b11
