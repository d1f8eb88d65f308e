"""Chapter 11: how a platform without general purpose events tells the guest: the Generic Event Device, ACPI0013.

ACPI 6.4, section 5.6.9: an interrupt whose number is in the device's resources, and a method `_EVT` that finds out what happened.
Here it does by one register of 32 bits at 0908_0000h: a bit for each event, 8 for CPUs, cleared by being read.  The interrupt, GSI 41, is an edge:
one pulse an event.  The hot-plug registers are in memory at 090C_0000h, modern from power-on, and every CPU is always present.
"""

from __future__ import annotations

import pytest

from acpi.aml import Device, Notify, Scope, Table
from acpi.aml.evaluator import Evaluator
from acpi.cpu_hotplug import Flag
from acpi.ged import VIRT_CPU_HOTPLUG_BASE, VIRT_GED_BASE, VIRT_GED_GSI, GedEvent, event_device
from acpi.tables import Oem, with_header
from emu import log
from tests.acpi.boards import GedBoard

DEVICE_CHECK, EJECT_REQUEST = 1, 3
PRESENT_ENABLED, PRESENT_DISABLED = 0xF, 0xD


@pytest.mark.spec("ged.bit", source="AArch64")
def test_a_plug_sets_bit_3_of_the_event_selector(ged_board: GedBoard):
    ged_board.plug(1)
    assert ged_board.read_events() == GedEvent.CPU_HOTPLUG == 8


@pytest.mark.spec("ged.read-clears", source="QEMU")
def test_reading_the_event_selector_clears_it(ged_board: GedBoard):
    ged_board.plug(1)
    ged_board.read_events()
    assert ged_board.read_events() == 0


@pytest.mark.spec("ged.pulse", source="QEMU")
def test_every_event_is_one_pulse_of_the_interrupt(ged_board: GedBoard):
    ged_board.plug(1)
    ged_board.plug(2)
    assert ged_board.interrupts == 2
    assert ged_board.ged.irq.level == 0
    assert ged_board.read_events() == GedEvent.CPU_HOTPLUG


@pytest.mark.spec("ged.merged", source="QEMU")
def test_different_events_are_read_together(ged_board: GedBoard):
    ged_board.plug(1)
    ged_board.ged.fire(GedEvent.POWER_DOWN)
    assert ged_board.read_events() == GedEvent.CPU_HOTPLUG | GedEvent.POWER_DOWN


@pytest.mark.spec("ged.dword", source="QEMU")
@pytest.mark.parametrize("size", [1, 2])
def test_a_narrow_read_returns_zero_and_clears_nothing(ged_board: GedBoard, size):
    ged_board.plug(1)
    assert ged_board.io.read(VIRT_GED_BASE, size) == 0
    assert ged_board.read_events() == GedEvent.CPU_HOTPLUG


@pytest.mark.spec("ged.read-only", source="QEMU")
def test_the_event_selector_ignores_writes(ged_board: GedBoard):
    ged_board.plug(1)
    with log.captured("guest_errors") as lines:
        ged_board.io.write(VIRT_GED_BASE, 4, 0xFFFFFFFF)
    assert ged_board.read_events() == GedEvent.CPU_HOTPLUG
    assert len(lines) == 1


@pytest.mark.spec("ged.reset", source="QEMU")
def test_an_unread_event_survives_a_reset(ged_board: GedBoard):
    ged_board.plug(1)
    ged_board.reset()
    assert ged_board.read_events() == GedEvent.CPU_HOTPLUG


@pytest.mark.spec("ged.place", source="AArch64")
def test_the_registers_are_12_bytes_of_memory_behind_which_nothing_answers(ged_board: GedBoard):
    assert ged_board.io.read(VIRT_CPU_HOTPLUG_BASE + 4, 1) == Flag.ENABLED | Flag.PRESENT
    assert ged_board.io.read(VIRT_CPU_HOTPLUG_BASE + 12, 4) == 0xFFFFFFFF


@pytest.mark.spec("ged.modern", source="AArch64")
def test_the_registers_are_modern_from_power_on(ged_board: GedBoard):
    assert ged_board.read(0, 4) == 0
    ged_board.select(1)
    ged_board.write(0, 0, 4)
    assert ged_board.read(4) == Flag.ENABLED | Flag.PRESENT


@pytest.mark.spec("ged.eject", source="AArch64")
def test_an_ejected_cpu_stays_present(ged_board: GedBoard):
    ged_board.plug(1)
    ged_board.select(1)
    ged_board.write(4, Flag.INSERT)
    ged_board.write(4, Flag.EJECT)
    assert ged_board.read(4) == Flag.PRESENT
    assert ged_board.ejected == [1]


# ---------------------------------------------------------------- the guest's side


@pytest.mark.spec("ged.evt", source="AArch64")
def test_evt_runs_the_scan_when_the_cpu_event_is_due(ged_board: GedBoard):
    ospm = ged_board.ospm()
    ged_board.plug(2)
    ospm.run("\\_SB.GED._EVT", VIRT_GED_GSI)
    assert ospm.take_notifications() == [("\\_SB.CPUS.C002", DEVICE_CHECK)]
    assert ged_board.flags(2) == Flag.ENABLED | Flag.PRESENT
    assert ged_board.read_events() == 0


@pytest.mark.spec("ged.evt-nothing", source="AArch64")
def test_evt_without_an_event_touches_no_hot_plug_register(ged_board: GedBoard):
    ospm = ged_board.ospm()
    ged_board.plug(1)
    ged_board.read_events()
    ospm.run("\\_SB.GED._EVT", VIRT_GED_GSI)
    assert ospm.take_notifications() == []
    assert ged_board.flags(1) & Flag.INSERT


@pytest.mark.spec("ged.sta", source="AArch64")
def test_sta_tells_enabled_from_merely_present(ged_board: GedBoard):
    ospm = ged_board.ospm()
    ged_board.plug(3)
    states = [ospm.run(f"\\_SB.CPUS.C{n:03X}._STA") for n in range(4)]
    assert states == [PRESENT_ENABLED, PRESENT_DISABLED, PRESENT_DISABLED, PRESENT_ENABLED]


@pytest.mark.spec("ged.unplug", source="AArch64")
def test_a_request_to_unplug_is_an_eject_request_and_ends_disabled(ged_board: GedBoard):
    ospm = ged_board.ospm()
    ged_board.plug(1)
    ospm.run("\\_SB.GED._EVT", VIRT_GED_GSI)
    ged_board.request_unplug(1)
    ospm.run("\\_SB.GED._EVT", VIRT_GED_GSI)
    assert ospm.take_notifications() == [("\\_SB.CPUS.C001", DEVICE_CHECK), ("\\_SB.CPUS.C001", EJECT_REQUEST)]
    ospm.run("\\_SB.CPUS.C001._EJ0", 1)
    assert ospm.run("\\_SB.CPUS.C001._STA") == PRESENT_DISABLED


def test_evt_dispatches_every_event_that_is_due(ged_board: GedBoard):
    handlers = {GedEvent.POWER_DOWN: Notify("\\PWRB", 0x80), GedEvent.CPU_HOTPLUG: Notify("\\CPUS", 1)}
    table = Table(Device("\\PWRB"), Device("\\CPUS"), Scope("\\_SB", event_device(handlers)))
    ospm = Evaluator(with_header(b"DSDT", 2, table.encode(), Oem()), memory=ged_board.io)
    ged_board.ged.fire(GedEvent.CPU_HOTPLUG)
    ged_board.ged.fire(GedEvent.POWER_DOWN)
    ospm.run("\\_SB.GED._EVT", VIRT_GED_GSI)
    assert ospm.take_notifications() == [("\\PWRB", 0x80), ("\\CPUS", 1)]


def test_the_device_names_its_interrupt(ged_board: GedBoard):
    resources = ged_board.ospm().run("\\_SB.GED._CRS")
    assert resources == bytes.fromhex("89060003012900000079 00".replace(" ", ""))


def test_a_snapshot_keeps_unread_events(ged_board: GedBoard):
    ged_board.plug(1)
    other = GedBoard()
    other.load(ged_board.save())
    assert other.read_events() == GedEvent.CPU_HOTPLUG
    assert other.block.save() == ged_board.block.save()
