"""Chapter 3: the selector, offset 0, a double word that is written only.

It says which possible CPU all other registers speak of, counted from 0 in the order of the topology.  Any value is taken.
While it is beyond the last CPU everything reads zero and only the selector itself can be written: from that the guest learns
how many CPUs are possible.
"""

from __future__ import annotations

import pytest

from acpi.cpu_hotplug import Command, Flag
from tests.acpi.boards import COMMAND, DATA, FLAGS, SELECTOR

REGISTER_BYTES = 12


@pytest.mark.spec("sel.initial", source="specification")
def test_the_selector_starts_at_the_boot_cpu(block):
    assert block.read(FLAGS) & Flag.ENABLED
    assert block.data() == 0


@pytest.mark.spec("sel.selects", source="specification")
def test_the_selector_chooses_the_slot_that_flags_speak_of(power_on):
    block = power_on(present=(0, 2))
    assert [bool(block.flags(slot) & Flag.ENABLED) for slot in range(4)] == [True, False, True, False]


@pytest.mark.spec("sel.invalid-reads-zero", source="specification")
@pytest.mark.parametrize("slot", [4, 0x100, 0xFFFFFFFF])
def test_an_invalid_selector_makes_everything_read_zero(block, slot):
    block.select(slot)
    assert [block.read(offset) for offset in range(REGISTER_BYTES)] == [0] * REGISTER_BYTES
    assert [block.read(offset, 4) for offset in (SELECTOR, FLAGS, DATA)] == [0] * 3


@pytest.mark.spec("sel.invalid-ignores-writes", source="specification")
def test_an_invalid_selector_makes_control_and_data_writes_ignored(block):
    block.plug(1)
    block.request_unplug(1)
    before = block.all_flags()
    block.command(Command.OST_STATUS)
    block.select(4)
    for action in (Flag.INSERT, Flag.REMOVE, Flag.EJECT, Flag.FIRMWARE_EJECT):
        block.write(FLAGS, action)
    block.write(DATA, 7, 4)
    assert block.all_flags() == before
    assert (block.ejected, block.osts) == ([], [])


@pytest.mark.spec("sel.invalid-ignores-commands", source="QEMU")
def test_an_invalid_selector_makes_commands_ignored(block):
    block.command(Command.ARCH_ID)
    block.select(4)
    block.command(Command.OST_EVENT)
    block.select(1)
    assert block.data() == block.arch_ids[1]


@pytest.mark.spec("sel.valid-again", source="specification")
def test_the_selector_itself_can_be_written_while_it_is_invalid(block):
    block.select(0xFFFFFFFF)
    block.select(0)
    assert block.read(FLAGS) & Flag.ENABLED


@pytest.mark.spec("sel.reset", source="specification")
def test_the_selector_survives_a_reset(block):
    block.command(Command.NEXT_EVENT)
    block.select(2)
    block.reset()
    assert block.data() == 2


@pytest.mark.spec("sel.enumeration", source="specification")
def test_selecting_upwards_until_data_reads_zero_counts_the_possible_cpus(block):
    block.select(0)
    block.command(Command.NEXT_EVENT)
    possible = 1
    block.select(possible)
    while block.data() != 0:
        possible += 1
        block.select(possible)
    assert possible == len(block.arch_ids)


@pytest.mark.spec("sel.enumeration-present", source="measured")
def test_the_same_walk_with_flags_counts_the_cpus_that_are_there(power_on):
    """As OVMF does it, beginning with the detection of the modern registers."""
    block = power_on(present=(0, 2))
    for offset, size in ((SELECTOR, 4), (SELECTOR, 4), (COMMAND, 1)):
        block.write(offset, 0, size)
    assert block.read(SELECTOR, 4) == 0, "modern"
    present = slot = 0
    while slot == 0 or block.data() != 0:
        present += block.read(FLAGS) & Flag.ENABLED
        slot += 1
        block.select(slot)
    assert (present, slot) == (2, 4)


@pytest.mark.spec("sel.narrow", source="measured")
@pytest.mark.parametrize("size", [1, 2])
def test_a_narrow_selector_write_sets_the_whole_selector(block, size):
    block.select(0x01020304)
    block.write(SELECTOR, 3, size)
    assert block.data() == 3


@pytest.mark.spec("sel.upper-bytes", source="measured")
@pytest.mark.parametrize("offset", [1, 2, 3])
def test_the_upper_bytes_of_the_selector_cannot_be_written_alone(block, offset):
    block.select(2)
    block.write(SELECTOR + offset, 1)
    assert block.data() == 2


def test_command_is_not_what_makes_an_invalid_selector_read_zero(block):
    for command in Command:
        block.select(0)
        block.write(COMMAND, command)
        block.select(4)
        assert block.data() == 0
