"""8259A behaviour as in its data sheet."""

from __future__ import annotations

import pytest

from emu.bus import AddressSpace
from emu.devices.pic import PicPair

EOI = 0x20


class Pc:
    def __init__(self):
        self.io, self.pic = AddressSpace("io", 1 << 16), PicPair()
        self.pic.attach(self.io)
        self.initialize()

    def initialize(self, icw1=0x11, icw4=0x01):
        for port, base, cascade in ((0x20, 0x30, 4), (0xA0, 0x38, 2)):
            self.out(port, icw1)
            for word in (base, cascade, icw4):
                self.out(port + 1, word)

    def out(self, port, value):
        self.io.write(port, 1, value)

    def inb(self, port):
        return self.io.read(port, 1)

    def raise_(self, *lines):
        for n in lines:
            self.pic.irq[n].raise_()

    def lower(self, *lines):
        for n in lines:
            self.pic.irq[n].lower()

    def take(self):
        """What the CPU would do with INTR: acknowledge it, or nothing."""
        return self.pic.acknowledge() if self.pic.intr.level else None


@pytest.fixture
def pc():
    return Pc()


def test_master_and_slave_vectors(pc):
    pc.raise_(3)
    assert pc.take() == 0x33
    pc.out(0x20, EOI)
    pc.raise_(12)
    assert pc.take() == 0x3C


def test_higher_priority_nests_and_lower_waits_for_eoi(pc):
    pc.raise_(4)
    assert pc.take() == 0x34
    pc.raise_(6, 1)
    assert pc.take() == 0x31
    assert pc.take() is None
    pc.out(0x20, EOI)
    assert pc.take() is None
    pc.out(0x20, EOI)
    assert pc.take() == 0x36


def test_slave_interrupts_rank_between_1_and_3(pc):
    pc.raise_(3, 15, 1)
    assert pc.take() == 0x31
    pc.out(0x20, EOI)
    assert pc.take() == 0x3F
    pc.out(0xA0, EOI)
    pc.out(0x20, EOI)
    assert pc.take() == 0x33


def test_masked_request_waits_in_irr(pc):
    pc.out(0x21, 0xFF)
    pc.raise_(5)
    assert pc.take() is None
    assert (pc.inb(0x20), pc.inb(0x21)) == (0x20, 0xFF)
    pc.out(0x21, 0x00)
    assert pc.take() == 0x35


def test_edge_input_needs_a_new_edge_for_a_second_interrupt(pc):
    pc.raise_(5)
    pc.take()
    pc.out(0x20, EOI)
    assert pc.take() is None
    pc.lower(5)
    pc.raise_(5)
    assert pc.take() == 0x35


def test_level_input_interrupts_again_while_high_and_not_when_low(pc):
    pc.out(0x4D1, 1 << 3)
    pc.raise_(11)
    assert pc.take() == 0x3B
    for port in (0xA0, 0x20):
        pc.out(port, EOI)
    assert pc.take() == 0x3B
    pc.lower(11)
    for port in (0xA0, 0x20):
        pc.out(port, EOI)
    assert pc.take() is None


def test_elcr_keeps_fixed_edge_inputs(pc):
    pc.out(0x4D0, 0xFF)
    pc.out(0x4D1, 0xFF)
    assert (pc.inb(0x4D0), pc.inb(0x4D1)) == (0xF8, 0xDE)


def test_request_that_vanishes_is_spurious_7_without_service(pc):
    pc.out(0x4D0, 1 << 5)
    pc.raise_(5)
    pc.lower(5)
    assert pc.pic.acknowledge() == 0x37
    pc.out(0x20, 0x0B)
    assert pc.inb(0x20) == 0


def test_spurious_on_the_slave_is_15_and_leaves_the_cascade_in_service(pc):
    pc.raise_(10)
    pc.pic.slave.irr = 0
    assert pc.pic.acknowledge() == 0x3F
    pc.out(0x20, 0x0B)
    pc.out(0xA0, 0x0B)
    assert (pc.inb(0x20), pc.inb(0xA0)) == (0x04, 0)


def test_automatic_eoi_leaves_nothing_in_service(pc):
    pc.initialize(icw4=0x03)
    pc.raise_(4, 6)
    assert (pc.take(), pc.take()) == (0x34, 0x36)


def test_rotate_in_automatic_eoi_gives_the_served_level_lowest_priority(pc):
    pc.initialize(icw4=0x03)
    pc.out(0x20, 0x80)
    pc.raise_(3)
    assert pc.take() == 0x33
    pc.lower(3)
    pc.raise_(3, 4, 0)
    assert [pc.take() for _ in range(3)] == [0x34, 0x30, 0x33]


def test_specific_eoi_clears_only_its_level(pc):
    pc.raise_(4)
    pc.take()
    pc.raise_(1)
    pc.take()
    pc.out(0x20, 0x64)
    pc.out(0x20, 0x0B)
    assert pc.inb(0x20) == 1 << 1


def test_rotate_on_eoi_gives_equal_priority(pc):
    pc.raise_(3)
    pc.take()
    pc.out(0x20, 0xA0)
    pc.lower(3)
    pc.raise_(3, 5)
    assert pc.take() == 0x35


def test_set_priority_makes_the_next_level_highest(pc):
    pc.out(0x20, 0xC0 | 4)
    pc.raise_(0, 5)
    assert pc.take() == 0x35


def test_special_mask_mode_lets_lower_levels_through(pc):
    pc.raise_(3)
    pc.take()
    pc.raise_(6)
    assert pc.take() is None
    pc.out(0x21, 1 << 3)
    pc.out(0x20, 0x68)
    assert pc.take() == 0x36


def test_nonspecific_eoi_skips_masked_levels_in_special_mask_mode(pc):
    pc.raise_(3)
    pc.take()
    pc.out(0x21, 1 << 3)
    pc.out(0x20, 0x68)
    pc.raise_(6)
    pc.take()
    pc.out(0x20, EOI)
    pc.out(0x20, 0x0B)
    assert pc.inb(0x20) == 1 << 3


def test_special_fully_nested_master_takes_a_higher_slave_request_during_a_slave_interrupt(pc):
    pc.initialize(icw4=0x11)
    pc.raise_(12)
    assert pc.take() == 0x3C
    pc.raise_(9)
    assert pc.take() == 0x39


def test_poll_reads_the_level_and_puts_it_in_service(pc):
    pc.out(0x20, 0x0C)
    assert pc.inb(0x20) == 0
    pc.raise_(6)
    pc.out(0x20, 0x0C)
    assert pc.inb(0x20) == 0x86
    assert pc.take() is None
    pc.out(0x20, 0x0B)
    assert pc.inb(0x20) == 1 << 6


def test_icw1_clears_mask_edges_and_service_but_not_elcr(pc):
    pc.out(0x4D0, 0x20)
    pc.out(0x21, 0xFF)
    pc.raise_(3)
    pc.initialize()
    assert pc.inb(0x21) == 0
    assert pc.take() is None
    assert pc.inb(0x4D0) == 0x20


def test_icw1_without_ic4_and_with_single_expects_icw2_only(pc):
    pc.out(0x20, 0x12)
    pc.out(0x21, 0x47)
    pc.out(0x21, 0xFE)
    assert pc.inb(0x21) == 0xFE
    pc.raise_(0)
    assert pc.pic.master.base == 0x40


def test_level_triggered_mode_of_icw1_applies_to_all_inputs(pc):
    pc.initialize(icw1=0x19)
    pc.raise_(3)
    pc.lower(3)
    assert pc.take() is None


def test_reset_drops_the_request(pc):
    pc.raise_(3)
    pc.pic.reset()
    assert pc.pic.intr.level == 0
