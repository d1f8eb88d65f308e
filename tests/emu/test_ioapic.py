"""I/O APIC behaviour as in the 82093AA data sheet, delivered to real local APICs."""

from __future__ import annotations

import pytest

from emu.devices.ioapic import IoApic
from tests.emu.test_lapic import EOI, LDR, System

SELECT, WINDOW, EOI_REGISTER = 0x00, 0x10, 0x40
MASKED, LEVEL, REMOTE_IRR, LOGICAL, LOWEST = 1 << 16, 1 << 15, 1 << 14, 1 << 11, 1 << 8


class Board(System):
    def __init__(self, version=0x20, ids=(0, 1, 2, 3)):
        super().__init__(ids)
        self.ioapic = IoApic(self.bus, version)

    def get(self, index):
        self.ioapic.write(SELECT, 4, index)
        return self.ioapic.read(WINDOW, 4)

    def put(self, index, value):
        self.ioapic.write(SELECT, 4, index)
        self.ioapic.write(WINDOW, 4, value)

    def route(self, pin, low, destination=0):
        self.put(0x11 + 2 * pin, destination << 24)
        self.put(0x10 + 2 * pin, low)

    def take(self, cpu=0):
        """The vCPU takes the pending vector and ends it."""
        vector = self.apics[cpu].acknowledge()
        self.apics[cpu].write(EOI, 4, 0)
        return vector


@pytest.fixture
def board():
    return Board()


def test_identity_registers(board):
    board.put(0, 0x0F00_0000)

    assert board.get(0) == 0x0F00_0000 and board.get(2) == 0x0F00_0000
    assert board.get(1) == 0x0017_0020


def test_reset_masks_every_input(board):
    assert [board.get(0x10 + n) for n in range(48)] == [MASKED, 0] * 24


def test_entry_keeps_what_can_be_written_and_no_more(board):
    board.put(0x10, 0xFFFF_FFFF)
    board.put(0x11, 0xFFFF_FFFF)

    assert board.get(0x10) == 0x0001_AFFF and board.get(0x11) == 0xFF00_0000


def test_destinations_have_15_bits_where_the_bus_has_them():
    board = Board(ids=(0x1F, 0x11F))
    board.bus.extended = True

    board.put(0x19, 0x1F02_0000)
    board.put(0x18, 0x34)
    board.ioapic.irq[4].raise_()

    assert board.get(0x19) == 0x1F02_0000 and board.receivers(0x34) == [0x11F]


def test_register_outside_the_table_reads_zero(board):
    board.put(0x40, 0x1234)

    assert board.get(0x40) == 0 and board.get(0x3) == 0


def test_edge_delivers_once_per_rising_edge(board):
    board.route(4, 0x34, destination=2)
    line = board.ioapic.irq[4]

    line.raise_()
    assert board.receivers(0x34) == [2] and board.take(2) == 0x34
    line.lower()
    assert board.receivers(0x34) == []
    line.raise_()
    assert board.receivers(0x34) == [2]


def test_edge_while_masked_is_lost(board):
    board.route(4, MASKED | 0x34)
    board.ioapic.irq[4].pulse()
    board.ioapic.irq[4].raise_()

    board.route(4, 0x34)

    assert board.receivers(0x34) == []


def test_level_waits_for_eoi_and_repeats_while_asserted(board):
    board.route(9, LEVEL | 0x39)
    line = board.ioapic.irq[9]

    line.raise_()
    assert board.get(0x10 + 18) & REMOTE_IRR
    assert board.take() == 0x39 and board.take() == 0x39
    line.lower()
    board.take()

    assert board.receivers(0x39) == [] and not board.get(0x10 + 18) & REMOTE_IRR


def test_level_asserted_while_masked_is_delivered_at_unmasking(board):
    board.route(9, LEVEL | MASKED | 0x39)
    board.ioapic.irq[9].raise_()
    assert board.receivers(0x39) == []

    board.route(9, LEVEL | 0x39)

    assert board.receivers(0x39) == [0]


def test_eoi_of_an_edge_vector_leaves_a_level_input_alone(board):
    board.route(9, LEVEL | 0x39)
    board.route(4, 0x44)
    board.ioapic.irq[9].raise_()
    board.ioapic.irq[4].pulse()

    assert board.take() == 0x44

    assert board.get(0x10 + 18) & REMOTE_IRR


def test_eoi_register_ends_a_level_interrupt(board):
    board.route(9, LEVEL | 0x39)
    board.ioapic.irq[9].raise_()
    board.ioapic.irq[9].lower()

    board.ioapic.write(EOI_REGISTER, 4, 0x39)

    assert not board.get(0x10 + 18) & REMOTE_IRR


def test_old_version_has_no_eoi_register_but_ends_by_a_change_to_edge_and_back():
    board = Board(version=0x11)
    board.route(9, LEVEL | 0x39)
    board.ioapic.irq[9].raise_()
    board.apics[0].acknowledge()

    board.ioapic.write(EOI_REGISTER, 4, 0x39)
    assert board.get(1) == 0x0017_0011 and board.get(0x10 + 18) & REMOTE_IRR
    board.put(0x10 + 18, MASKED | 0x39)
    board.put(0x10 + 18, LEVEL | 0x39)

    assert board.receivers(0x39) == [0]


def test_lowest_priority_with_logical_destination(board):
    for each in board.apics:
        each.write(LDR, 4, 1 << 24 + each.apic_id)
    board.apics[1].cr8 = 9

    board.route(4, LOGICAL | LOWEST | 0x34, destination=0b0110)
    board.ioapic.irq[4].pulse()

    assert board.receivers(0x34) == [2]


def test_extint_entry_lets_the_pic_reach_the_processor(board):
    board.apics[1].write(0x350, 4, MASKED)

    board.route(0, 0x700, destination=1)
    board.ioapic.irq[0].raise_()

    assert board.apics[1].accept_pic_intr()


def test_isa_interrupt_0_is_input_2(board):
    assert board.ioapic.isa_irq(0) is board.ioapic.irq[2]
    assert board.ioapic.isa_irq(4) is board.ioapic.irq[4]


def test_unknown_version_is_refused():
    with pytest.raises(ValueError, match="0x11 or 0x20"):
        Board(version=0x30)
