"""8254 behaviour as in its data sheet, and port 0x61."""

from __future__ import annotations

import pytest

from emu.bus import AddressSpace
from emu.clock import NS_PER_SECOND, ManualClock
from emu.devices.pit import FREQUENCY, Pit, ticks_at, time_of
from emu.irq import Irq


class Pc:
    def __init__(self):
        self.clock, self.edges = ManualClock(), []
        self.io = AddressSpace("io", 1 << 16)
        self.pit = Pit(self.clock, Irq(lambda level: self.edges.append((self.tick, level))))
        self.pit.attach(self.io)

    @property
    def tick(self):
        return ticks_at(self.clock.now)

    def out(self, port, *values):
        for value in values:
            self.io.write(port, 1, value)

    def inb(self, port):
        return self.io.read(port, 1)

    def to(self, tick):
        self.clock.advance(time_of(tick) - self.clock.now)

    def start(self, channel, mode, count, bcd=0):
        self.out(0x43, channel << 6 | 0x30 | mode << 1 | bcd)
        self.out(0x40 + channel, count & 0xFF, count >> 8)

    def count(self, channel):
        self.out(0x43, channel << 6)
        return self.inb(0x40 + channel) | self.inb(0x40 + channel) << 8

    def status(self, channel):
        self.out(0x43, 0xE0 | 2 << channel)
        return self.inb(0x40 + channel)


@pytest.fixture
def pc():
    return Pc()


def test_ticks_and_times_are_inverse_and_exact():
    assert [ticks_at(time_of(k)) for k in (0, 1, 7, 10**9)] == [0, 1, 7, 10**9]
    assert ticks_at(time_of(12345) - 1) == 12344
    assert ticks_at(NS_PER_SECOND) == FREQUENCY


def test_mode_0_raises_out_n_plus_1_clocks_after_the_write(pc):
    pc.start(0, 0, 10)
    pc.to(100)
    assert pc.edges == [(11, 1)]


def test_mode_0_counts_on_past_zero(pc):
    pc.start(0, 0, 10)
    pc.to(1 + 12)
    assert pc.count(0) == 0xFFFE


def test_mode_0_new_count_lowers_out_and_starts_again(pc):
    pc.start(0, 0, 10)
    pc.to(20)
    pc.out(0x40, 5, 0)
    pc.to(40)
    assert pc.edges == [(11, 1), (20, 0), (26, 1)]


def test_mode_0_first_byte_stops_counting(pc):
    pc.start(0, 0, 10)
    pc.out(0x40, 5)
    pc.to(40)
    assert pc.edges == []


def test_mode_2_is_low_for_the_last_clock_of_each_period(pc):
    pc.pit.irq.raise_()
    pc.edges.clear()
    pc.start(0, 2, 5)
    pc.to(13)
    assert pc.edges == [(5, 0), (6, 1), (10, 0), (11, 1)]


def test_mode_2_rate_is_exact_over_a_second(pc):
    pc.start(0, 2, 11932)
    pc.clock.advance(NS_PER_SECOND)
    assert len([level for _, level in pc.edges if level]) == 1 + (FREQUENCY - 1) // 11932


def test_mode_2_count_goes_from_n_to_1(pc):
    pc.start(0, 2, 5)
    counts = []
    for tick in range(1, 8):
        pc.to(tick)
        counts.append(pc.count(0))
    assert counts == [5, 4, 3, 2, 1, 5, 4]


def test_mode_2_new_count_waits_for_the_end_of_the_period(pc):
    pc.start(0, 2, 5)
    pc.to(3)
    pc.out(0x40, 8, 0)
    pc.to(20)
    assert [tick for tick, level in pc.edges[1:] if level] == [6, 14]


def test_mode_3_even_count_is_a_square_wave(pc):
    pc.start(0, 3, 6)
    pc.to(14)
    assert pc.edges == [(0, 1), (4, 0), (7, 1), (10, 0), (13, 1)]


def test_mode_3_odd_count_is_high_one_clock_longer(pc):
    pc.start(0, 3, 5)
    pc.to(12)
    assert pc.edges == [(0, 1), (4, 0), (6, 1), (9, 0), (11, 1)]


def test_mode_3_counts_down_by_two_in_each_half(pc):
    pc.start(0, 3, 6)
    counts = []
    for tick in range(1, 8):
        pc.to(tick)
        counts.append(pc.count(0))
    assert counts == [6, 4, 2, 6, 4, 2, 6]


def test_mode_3_new_count_waits_for_the_end_of_the_half_period(pc):
    pc.start(0, 3, 6)
    pc.to(2)
    pc.out(0x40, 10, 0)
    pc.to(16)
    assert pc.edges == [(0, 1), (4, 0), (9, 1), (14, 0)]


def test_mode_4_strobes_low_for_one_clock_once(pc):
    pc.start(0, 4, 5)
    pc.to(100)
    assert pc.edges == [(0, 1), (6, 0), (7, 1)]


def test_mode_1_on_channel_2_is_triggered_by_the_gate(pc):
    pc.start(2, 1, 5)
    assert pc.inb(0x61) & 0x20
    pc.out(0x61, 1)
    pc.to(3)
    assert not pc.inb(0x61) & 0x20
    pc.to(6)
    assert pc.inb(0x61) & 0x20


def test_mode_1_retriggers(pc):
    pc.start(2, 1, 5)
    pc.out(0x61, 1)
    pc.to(4)
    pc.out(0x61, 0)
    pc.out(0x61, 1)
    pc.to(9)
    assert not pc.inb(0x61) & 0x20
    pc.to(10)
    assert pc.inb(0x61) & 0x20


def test_mode_5_strobes_n_clocks_after_the_trigger(pc):
    pc.start(2, 5, 5)
    pc.to(50)
    assert pc.inb(0x61) & 0x20
    pc.out(0x61, 1)
    pc.to(56)
    assert not pc.inb(0x61) & 0x20
    pc.to(57)
    assert pc.inb(0x61) & 0x20


def test_gate_low_holds_mode_0(pc):
    pc.start(2, 0, 10)
    pc.to(50)
    assert pc.count(2) == 10
    pc.out(0x61, 1)
    pc.to(55)
    pc.out(0x61, 0)
    held = pc.count(2)
    pc.to(500)
    assert pc.count(2) == held == 5
    pc.out(0x61, 1)
    pc.to(505)
    assert pc.inb(0x61) & 0x20


def test_latched_count_stays_until_both_bytes_are_read(pc):
    pc.start(0, 2, 1000)
    pc.to(101)
    pc.out(0x43, 0)
    pc.to(500)
    pc.out(0x43, 0)
    assert pc.inb(0x40) | pc.inb(0x40) << 8 == 900
    assert pc.inb(0x40) | pc.inb(0x40) << 8 == 501


def test_reading_without_latch_alternates_bytes(pc):
    pc.start(0, 2, 0x1234)
    pc.to(1)
    assert (pc.inb(0x40), pc.inb(0x40), pc.inb(0x40)) == (0x34, 0x12, 0x34)


@pytest.mark.parametrize(("access", "byte", "count"), [(1, 0x40, 0x40), (2, 0x40, 0x4000)])
def test_one_byte_access_leaves_the_other_byte_zero(pc, access, byte, count):
    pc.out(0x43, access << 4 | 2 << 1)
    pc.out(0x40, byte)
    pc.to(1)
    assert pc.pit.channels[0].value(1) == count
    assert pc.inb(0x40) == byte


def test_count_zero_is_65536(pc):
    pc.start(0, 0, 0)
    pc.to(70000)
    assert pc.edges == [(65537, 1)]


def test_bcd_counts_decimal(pc):
    pc.start(0, 2, 0x1000, bcd=1)
    pc.to(2)
    assert pc.count(0) == 0x0999


def test_bcd_zero_is_10000(pc):
    pc.start(0, 0, 0, bcd=1)
    pc.to(20000)
    assert pc.edges == [(10001, 1)]


def test_status_shows_out_null_access_mode_and_bcd(pc):
    pc.start(0, 0, 0x10, bcd=1)
    assert pc.status(0) == 0x71
    pc.to(1)
    assert pc.status(0) == 0x31
    pc.to(11)
    assert pc.status(0) == 0xB1


def test_read_back_of_status_and_count_returns_status_first(pc):
    pc.start(0, 2, 100)
    pc.to(11)
    pc.out(0x43, 0xC2)
    assert [pc.inb(0x40) for _ in range(3)] == [0xB4, 90, 0]


def test_modes_6_and_7_are_2_and_3(pc):
    pc.start(0, 7, 6)
    assert pc.status(0) & 0x0E == 3 << 1


def test_control_word_silences_the_channel_until_a_count(pc):
    pc.start(0, 2, 5)
    pc.to(20)
    pc.edges.clear()
    pc.out(0x43, 0x34)
    pc.to(100)
    assert pc.edges == [(20, 1)]
    assert pc.clock.deadline is None


def test_port_61_keeps_its_low_bits_and_toggles_refresh_with_time(pc):
    pc.out(0x61, 0xFF)
    assert pc.inb(0x61) & 0x0F == 0x0F
    seen = set()
    for _ in range(4):
        pc.clock.advance(8_000)
        seen.add(pc.inb(0x61) & 0x10)
    assert seen == {0, 0x10}


def test_control_port_reads_zero(pc):
    assert pc.inb(0x43) == 0
