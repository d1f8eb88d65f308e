"""Chapter 5: the flags of the selected CPU, offset 4, read.

Bit 0: a CPU is there and enabled.  Bit 1: it was plugged and the guest has not said that it knows.  Bit 2: its removal was asked for and the
guest has not said that it knows.  Bit 4: the guest has left the eject to firmware.  The others are zero, except that bit 5 says
"present" on platforms whose CPUs are always present.
"""

from __future__ import annotations

import pytest

from acpi.cpu_hotplug import Flag
from tests.acpi.boards import FLAGS, GedBoard


@pytest.mark.spec("flags.enabled", source="specification")
def test_bit_0_says_that_a_cpu_is_enabled(power_on):
    assert power_on(present=(0, 3)).all_flags() == [Flag.ENABLED, 0, 0, Flag.ENABLED]


@pytest.mark.spec("flags.insert", source="specification")
def test_bit_1_says_that_an_insertion_is_pending(block):
    block.plug(1)
    assert block.all_flags() == [Flag.ENABLED, Flag.ENABLED | Flag.INSERT, 0, 0]


@pytest.mark.spec("flags.remove", source="specification")
def test_bit_2_says_that_a_removal_is_pending(power_on):
    block = power_on(present=(0, 1))
    block.request_unplug(1)
    assert block.all_flags() == [Flag.ENABLED, Flag.ENABLED | Flag.REMOVE, 0, 0]


@pytest.mark.spec("flags.firmware", source="specification")
def test_bit_4_says_that_the_eject_was_left_to_firmware(power_on):
    block = power_on(present=(0, 1))
    block.select(1)
    block.write(FLAGS, Flag.FIRMWARE_EJECT)
    assert block.all_flags() == [Flag.ENABLED, Flag.ENABLED | Flag.FIRMWARE_EJECT, 0, 0]


@pytest.mark.spec("flags.all", source="specification")
def test_events_of_one_cpu_are_independent_bits(block):
    block.plug(1)
    block.request_unplug(1)
    block.select(1)
    block.write(FLAGS, Flag.FIRMWARE_EJECT)
    assert block.all_flags()[1] == Flag.ENABLED | Flag.INSERT | Flag.REMOVE | Flag.FIRMWARE_EJECT


@pytest.mark.spec("flags.reading", source="specification")
def test_reading_flags_changes_nothing(block):
    block.plug(1)
    assert [block.flags(1) for _ in range(3)] == [Flag.ENABLED | Flag.INSERT | block.always] * 3


@pytest.mark.spec("flags.present", source="AArch64")
def test_bit_5_says_present_for_every_cpu_of_a_platform_that_only_disables_them(ged_board: GedBoard):
    assert [ged_board.flags(slot) for slot in range(4)] == [Flag.PRESENT | Flag.ENABLED] + [Flag.PRESENT] * 3


@pytest.mark.spec("flags.no-present", source="specification")
def test_bit_5_is_zero_where_slots_may_be_empty(chip):
    assert [chip.flags(slot) for slot in range(4)] == [Flag.ENABLED, 0, 0, 0]
