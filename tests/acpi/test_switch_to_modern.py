"""Chapter 2: from the legacy bitmap to the modern registers.

A guest that knows the modern interface writes zero to the first port.  12 bytes of registers then take the bitmap's place and
the 20 ports behind them answer no more.  There is no way back, not even by reset, so the DSDT may do it at every boot.  A CPU
whose APIC id has no bit in the bitmap switches by being there.  In memory the registers are modern from power-on.
"""

from __future__ import annotations

import pytest

from acpi.cpu_hotplug import Command, Flag
from acpi.platform import ICH9
from tests.acpi.boards import COMMAND, DATA2, FLAGS, SELECTOR, Board

UNASSIGNED_DWORD = 0xFFFFFFFF


def is_modern(board) -> bool:
    return board.read(31) == 0xFF


@pytest.mark.spec("switch.zero", source="specification")
@pytest.mark.parametrize("size", [1, 2, 4])
def test_writing_zero_to_the_first_port_switches(legacy, size):
    legacy.write(SELECTOR, 0, size)
    assert is_modern(legacy)
    assert legacy.read(FLAGS) == Flag.ENABLED


@pytest.mark.spec("switch.first-byte", source="QEMU")
def test_only_the_first_byte_of_a_wide_write_counts(legacy):
    legacy.write(SELECTOR, 0xFFFFFF00, 4)
    assert is_modern(legacy)


@pytest.mark.spec("switch.elsewhere", source="QEMU")
@pytest.mark.parametrize("offset", [1, 4, 8, 31])
def test_zero_at_another_offset_does_not_switch(legacy, offset):
    legacy.write(offset, 0)
    assert not is_modern(legacy)
    assert legacy.read(0) == 1


@pytest.mark.spec("switch.value", source="QEMU")
def test_the_write_that_switches_does_not_reach_the_selector(legacy):
    legacy.write(SELECTOR, 0x00000100, 4)
    assert legacy.read(FLAGS) == Flag.ENABLED


@pytest.mark.spec("switch.unassigned", source="measured")
def test_ports_behind_the_modern_registers_are_unassigned(chip):
    assert [chip.read(offset) for offset in (12, 15, 31)] == [0xFF] * 3
    assert chip.read(12, 4) == UNASSIGNED_DWORD
    chip.write(12, 2, 4)
    assert chip.read(FLAGS) == Flag.ENABLED


@pytest.mark.spec("switch.one-way", source="measured")
def test_the_switch_survives_a_reset(chip):
    chip.reset()
    assert is_modern(chip)


@pytest.mark.spec("switch.again", source="specification")
def test_a_second_zero_is_a_selector_write(chip):
    chip.select(2)
    chip.write(SELECTOR, 0, 4)
    assert chip.read(FLAGS) == Flag.ENABLED


@pytest.mark.spec("switch.no-insert", source="measured")
def test_a_cpu_plugged_in_legacy_mode_has_no_insert_event_after_the_switch(legacy):
    legacy.plug(1)
    legacy.write(SELECTOR, 0, 4)
    assert legacy.flags(1) == Flag.ENABLED


@pytest.mark.spec("switch.detection", source="specification")
def test_zero_twice_and_command_0_make_data2_read_zero_in_modern_mode(legacy):
    assert legacy.read(DATA2, 4) == 1, "the bitmap shows the boot CPU"
    for offset, size in ((SELECTOR, 4), (SELECTOR, 4), (COMMAND, 1)):
        legacy.write(offset, Command.NEXT_EVENT, size)
    assert legacy.read(DATA2, 4) == 0


@pytest.mark.spec("switch.wide-id-plugged", source="QEMU")
def test_plugging_an_apic_id_of_256_switches(chipset):
    board = Board(chipset, [0, 256])
    assert not is_modern(board)
    board.plug(1)
    assert is_modern(board)
    assert board.flags(1) == Flag.ENABLED


@pytest.mark.spec("switch.wide-id-present", source="QEMU")
def test_an_apic_id_of_256_at_power_on_starts_modern(chipset):
    assert is_modern(Board(chipset, [256, 0]))


@pytest.mark.spec("switch.ini", source="specification")
def test_the_dsdt_switches_at_boot_and_again_does_no_harm(legacy):
    ospm = legacy.ospm()
    assert is_modern(legacy)
    legacy.plug(1)
    ospm.run("\\_SB.PCI0.PRES._INI")
    assert legacy.flags(1) == Flag.ENABLED | Flag.INSERT


def test_a_window_may_start_modern():
    assert is_modern(Board(ICH9, legacy=False))
