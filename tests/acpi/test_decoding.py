"""Chapter 4: which register an access reaches.

The block has 12 bytes and takes accesses of 1, 2 and 4 bytes.  What counts is the first byte alone: a register answers an access that
starts where it starts, whatever the width, and its other bytes are reserved.  Reserved bytes read zero and ignore writes.
An access that is not aligned comes as single bytes.
"""

from __future__ import annotations

import pytest

from acpi.cpu_hotplug import Command, Flag
from tests.acpi.boards import COMMAND, DATA, DATA2, FLAGS, SELECTOR

RESERVED = (0x1, 0x2, 0x3, 0x6, 0x7, 0x9, 0xA, 0xB)


@pytest.mark.spec("dec.reserved-read", source="specification")
@pytest.mark.parametrize("offset", RESERVED)
def test_reserved_bytes_read_zero(block, offset):
    block.select(3)
    assert block.read(offset) == 0


@pytest.mark.spec("dec.reserved-write", source="specification")
@pytest.mark.parametrize("offset", RESERVED)
def test_reserved_bytes_ignore_writes(block, offset):
    block.plug(1)
    block.select(1)
    block.command(Command.ARCH_ID)
    block.write(offset, 0x0F)
    assert block.data() == block.arch_ids[1]
    assert block.all_flags() == [Flag.ENABLED, Flag.ENABLED | Flag.INSERT, 0, 0]
    assert (block.ejected, block.osts) == ([], [])


@pytest.mark.spec("dec.command-reads-zero", source="QEMU")
def test_the_command_register_reads_zero(block):
    block.command(Command.ARCH_ID)
    assert block.read(COMMAND) == 0


@pytest.mark.spec("dec.byte-lanes", source="measured")
def test_the_upper_bytes_of_data_are_no_registers(wide):
    wide.select(2)
    wide.command(Command.ARCH_ID)
    assert [wide.read(DATA + lane) for lane in range(4)] == [0x88, 0, 0, 0]
    assert wide.read(DATA, 2) == 0x7788


@pytest.mark.spec("dec.wide-flags", source="measured")
@pytest.mark.parametrize("size", [2, 4])
def test_a_wide_read_of_flags_returns_flags_alone(block, size):
    block.command(Command.ARCH_ID)
    assert block.read(FLAGS, size) & ~block.always == Flag.ENABLED


@pytest.mark.spec("dec.wide-control", source="measured")
@pytest.mark.parametrize("size", [2, 4])
def test_a_wide_control_write_does_not_reach_the_command(block, size):
    block.select(2)
    block.write(FLAGS, Command.ARCH_ID << 8, size)
    assert block.data() == 2, "command 0 is still in force"


@pytest.mark.spec("dec.wide-control-acts", source="measured")
def test_a_wide_control_write_acts_by_its_low_byte(block):
    block.plug(1)
    block.select(1)
    block.write(FLAGS, 0x0800 | Flag.INSERT, 2)
    assert block.all_flags()[1] == Flag.ENABLED


@pytest.mark.spec("dec.unaligned", source="measured")
def test_an_unaligned_read_is_made_of_bytes(block):
    assert block.read(3, 2) >> 8 & ~block.always == Flag.ENABLED
    assert block.read(3, 2) & 0xFF == 0


@pytest.mark.spec("dec.unaligned-data", source="measured")
def test_an_unaligned_read_reaches_a_register_at_its_first_byte_only(block):
    block.select(3)
    assert block.read(6, 4) == 3 << 16


@pytest.mark.spec("dec.data-and-data2", source="specification")
def test_reading_offset_0_is_data2_and_not_the_selector(block):
    block.select(3)
    assert block.read(SELECTOR, 4) == block.read(DATA2, 4) == 0
