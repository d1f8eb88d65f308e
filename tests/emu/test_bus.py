"""How an access finds its register: decoding, overlap, splitting and widening."""

from __future__ import annotations

import pytest

from emu import log
from emu.bus import AddressSpace
from emu.device import Device, Reg


class Recorder(Device):
    """Answers each read with its offset in every byte and remembers what it was asked."""

    def __init__(self, size=16, min_access=1, max_access=4, unaligned=False):
        self.region_size, self.min_access, self.max_access, self.unaligned = size, min_access, max_access, unaligned
        self.calls = []
        self.memory = bytearray(range(size))

    def read(self, offset, size):
        self.calls.append(("r", offset, size))
        return int.from_bytes(self.memory[offset : offset + size], "little")

    def write(self, offset, size, value):
        self.calls.append(("w", offset, size, value))
        self.memory[offset : offset + size] = value.to_bytes(size, "little")


@pytest.fixture
def io():
    return AddressSpace("io", 1 << 16)


@pytest.mark.parametrize(("size", "ones"), [(1, 0xFF), (2, 0xFFFF), (4, 0xFFFF_FFFF), (8, 0xFFFF_FFFF_FFFF_FFFF)])
def test_unassigned_reads_all_ones_and_is_logged(io, size, ones):
    with log.captured("unimp") as lines:
        assert io.read(0x2E9, size) == ones
        io.write(0x2E9, size, 0)
    assert len(lines) == 2 and "0x2e9" in lines[0]


def test_an_access_of_the_right_size_is_one_call(io):
    device = Recorder()
    io.map(0x100, 16, device)
    assert io.read(0x104, 4) == 0x0706_0504
    io.write(0x108, 2, 0xBEEF)
    assert device.calls == [("r", 4, 4), ("w", 8, 2, 0xBEEF)]


def test_wide_access_to_a_byte_device_is_split_low_byte_first(io):
    device = Recorder(max_access=1)
    io.map(0x100, 16, device)
    assert io.read(0x102, 4) == 0x0504_0302
    io.write(0x100, 2, 0xAABB)
    assert device.calls == [("r", 2, 1), ("r", 3, 1), ("r", 4, 1), ("r", 5, 1), ("w", 0, 1, 0xBB), ("w", 1, 1, 0xAA)]


def test_unaligned_access_is_split_at_natural_boundaries(io):
    device = Recorder()
    io.map(0x100, 16, device)
    assert io.read(0x106, 4) == 0x0908_0706
    assert io.read(0x103, 2) == 0x0403
    assert device.calls == [("r", 6, 2), ("r", 8, 2), ("r", 3, 1), ("r", 4, 1)]


def test_unaligned_access_goes_whole_to_a_device_that_takes_it(io):
    device = Recorder(unaligned=True)
    io.map(0x100, 16, device)
    assert io.read(0x103, 4) == 0x0605_0403
    assert device.calls == [("r", 3, 4)]


def test_narrow_access_to_a_word_device_reads_the_lane_and_writes_the_merged_word():
    memory = AddressSpace("memory", 1 << 52)
    device = Recorder(min_access=4)
    memory.map(0xFED0_0000, 16, device)
    assert memory.read(0xFED0_0006, 1) == 6
    memory.write(0xFED0_0005, 1, 0xAA)
    assert device.calls == [("r", 4, 4), ("r", 4, 4), ("w", 4, 4, 0x0706_AA04)]


def test_eight_bytes_to_a_dword_device_are_two_dwords():
    memory = AddressSpace("memory", 1 << 52)
    device = Recorder()
    memory.map(0, 16, device)
    memory.write(8, 8, 0x1122_3344_5566_7788)
    assert device.calls == [("w", 8, 4, 0x5566_7788), ("w", 12, 4, 0x1122_3344)]


def test_access_across_the_end_of_a_region_continues_in_its_neighbour(io):
    first, second = Recorder(size=2, max_access=4), Recorder(size=2)
    io.map(0x60, 2, first)
    io.map(0x62, 2, second)
    assert io.read(0x60, 4) == 0x0100_0100
    assert io.read(0x63, 2) == 0xFF01


def test_the_later_mapping_wins_and_unmapping_uncovers_the_earlier(io):
    lower, upper = Recorder(), Recorder()
    upper.memory[0] = 0xEE
    io.map(0x10, 4, lower)
    top = io.map(0x11, 1, upper)
    assert [io.read(0x10 + i, 1) for i in range(4)] == [0, 0xEE, 2, 3]
    top.unmap()
    assert io.read(0x11, 1) == 1


def test_priority_beats_order(io):
    lower, upper = Recorder(), Recorder()
    upper.memory[0] = 0xEE
    io.map(0x10, 4, upper, priority=1)
    io.map(0x10, 4, lower)
    assert io.read(0x10, 1) == 0xEE


def test_a_dword_belongs_to_the_owner_of_its_first_byte_even_where_another_overlaps(io):
    host, reset_control = Recorder(min_access=1, max_access=4), Recorder()
    io.map(0xCF8, 4, host)
    io.map(0xCF9, 1, reset_control, priority=1)
    io.write(0xCF8, 4, 0x8000_0000)
    io.write(0xCF9, 1, 6)
    assert host.calls == [("w", 0, 4, 0x8000_0000)]
    assert reset_control.calls == [("w", 0, 1, 6)]


def test_a_moved_mapping_answers_at_its_new_place_only(io):
    mapping = io.map(0x600, 16, Recorder())
    assert io.read(0x601, 1) == 1
    mapping.move(0xB000)
    assert (io.read(0x601, 1), io.read(0xB001, 1)) == (0xFF, 1)


def test_listeners_hear_of_every_change(io):
    heard = []
    io.listeners.append(lambda mapping: heard.append((mapping.name, mapping.base, mapping.mapped)))
    mapping = io.map(0x10, 4, Recorder(), name="probe")
    mapping.unmap()
    mapping.unmap()
    assert heard == [("probe", 0x10, True), ("probe", 0x10, False)]


def test_mapping_outside_the_space_is_refused(io):
    with pytest.raises(ValueError, match="not inside the io space"):
        io.map(0xFFFF, 2, Recorder())


class Block(Device):
    name = "block"
    selector = Reg(0x0, 4, "w")
    data2 = Reg(0x0, 4, "r")
    scratch = Reg(0x4, 1, reset=0x5A)
    kept = Reg(0x5, 1, reset=None)

    @data2.read
    def _(self):
        return 0x1_1234_5678


def test_registers_at_one_offset_read_and_write_separately():
    block = Block()
    block.write(0, 4, 7)
    assert (block.selector, block.read(0, 4), block.read(0, 1)) == (7, 0x1234_5678, 0x78)


def test_reset_restores_reset_values_except_of_registers_that_keep_theirs():
    block = Block()
    assert block.read(4, 1) == 0x5A
    block.write(4, 1, 1)
    block.write(5, 1, 2)
    block.reset()
    assert (block.read(4, 1), block.read(5, 1)) == (0x5A, 2)


def test_undefined_offsets_read_zero_and_are_reported_as_guest_errors():
    block = Block()
    with log.captured("guest_errors") as lines:
        assert block.read(1, 1) == 0
        block.write(1, 1, 3)
    assert block.selector == 0
    assert len(lines) == 2 and lines[0].startswith("block:")


def test_registers_are_inherited_and_the_region_covers_them():
    class Longer(Block):
        extra = Reg(0x8, 2, "r")

    assert (Block.region_size, Longer.region_size) == (6, 10)
    assert Longer().read(4, 1) == 0x5A


def test_values_of_two_devices_are_separate():
    one, other = Block(), Block()
    one.write(4, 1, 9)
    assert (one.scratch, other.scratch) == (9, 0x5A)
