"""HPET behaviour as in its specification."""

from __future__ import annotations

import pytest

from emu.bus import AddressSpace
from emu.clock import ManualClock
from emu.devices.hpet import Hpet
from emu.irq import Irq

CAP, CONF, STATUS, COUNTER = 0x000, 0x010, 0x020, 0x0F0
ENABLE, LEGACY = 1, 2
LEVEL, INT, PERIODIC, VALUE_SET, BITS32 = 0x02, 0x04, 0x08, 0x40, 0x100


def config(n):
    return 0x100 + 0x20 * n


def comparator(n):
    return 0x108 + 0x20 * n


class Pc:
    def __init__(self):
        self.clock, self.edges = ManualClock(), []
        self.irqs = [Irq(lambda level, n=n: self.edges.append((self.clock.now, n, level))) for n in range(24)]
        self.hpet = Hpet(self.clock, self.irqs, route_mask=0x00FF_0104)
        self.memory = AddressSpace("memory", 1 << 52)
        self.memory.map(0xFED0_0000, 0x400, self.hpet)

    def get(self, offset, size=8):
        return self.memory.read(0xFED0_0000 + offset, size)

    def set(self, offset, value, size=8):
        self.memory.write(0xFED0_0000 + offset, size, value)

    def rising(self):
        return [(when, n) for when, n, level in self.edges if level]


@pytest.fixture
def pc():
    return Pc()


def test_capabilities_by_quarters_and_halves(pc):
    assert pc.get(CAP) == 0x0098_9680_8086_A201
    assert (pc.get(CAP, 4), pc.get(CAP + 4, 4), pc.get(CAP + 2, 2)) == (0x8086_A201, 10_000_000, 0x8086)


def test_counter_counts_ten_nanoseconds_while_enabled(pc):
    pc.clock.advance(1000)
    assert pc.get(COUNTER) == 0
    pc.set(CONF, ENABLE)
    pc.clock.advance(1005)
    assert pc.get(COUNTER) == 100
    pc.set(CONF, 0)
    pc.clock.advance(1000)
    assert pc.get(COUNTER) == 100


def test_counter_is_written_in_halves_while_halted(pc):
    pc.set(COUNTER + 4, 0x12, 4)
    pc.set(COUNTER, 0xFFFF_FFF0, 4)
    pc.set(CONF, ENABLE)
    pc.clock.advance(320)
    assert pc.get(COUNTER) == 0x13_0000_0010


def test_timer_shows_its_capabilities_and_routes(pc):
    assert pc.get(config(0)) == 0x00FF_0104_0000_0030
    pc.set(config(0), 0xFFFF_FFFF_FFFF_FFFF)
    assert pc.get(config(0)) == 0x00FF_0104_0000_3F7E


def test_one_shot_edge_fires_once_on_its_route(pc):
    pc.set(config(0), INT | 16 << 9)
    pc.set(comparator(0), 500)
    pc.set(CONF, ENABLE)
    pc.clock.advance(100_000)
    assert pc.rising() == [(5000, 16)]
    assert (pc.irqs[16].level, pc.get(STATUS)) == (0, 0)


def test_a_route_that_is_not_offered_goes_nowhere(pc):
    pc.set(config(0), INT | 5 << 9)
    pc.set(comparator(0), 5)
    pc.set(CONF, ENABLE)
    pc.clock.advance(1000)
    assert pc.edges == []


def test_comparator_in_the_past_waits_for_the_wrap(pc):
    pc.set(config(0), INT | BITS32 | 2 << 9)
    pc.set(COUNTER, 1000)
    pc.set(comparator(0), 999)
    pc.set(CONF, ENABLE)
    pc.clock.advance(10 * ((1 << 32) - 2))
    assert pc.edges == []
    pc.clock.advance(10)
    assert len(pc.rising()) == 1


def test_comparator_written_while_running(pc):
    pc.set(CONF, ENABLE)
    pc.set(config(0), INT | 2 << 9)
    pc.clock.advance(10_000)
    pc.set(comparator(0), pc.get(COUNTER) + 50)
    pc.clock.advance(10_000)
    assert pc.rising() == [(10_500, 2)]


def test_periodic_set_up_as_linux_does(pc):
    pc.set(config(0), INT | PERIODIC | VALUE_SET | BITS32 | 2 << 9, 4)
    pc.set(comparator(0), 1000, 4)
    pc.set(comparator(0), 300, 4)
    pc.set(CONF, ENABLE, 4)
    pc.clock.advance(20_000)
    assert [when for when, _ in pc.rising()] == [10_000, 13_000, 16_000, 19_000]
    assert pc.get(comparator(0), 4) == 2200


def test_value_set_clears_itself(pc):
    pc.set(config(0), PERIODIC | VALUE_SET, 4)
    pc.set(comparator(0), 1000, 4)
    assert pc.get(config(0), 4) & VALUE_SET == 0


def test_value_set_covers_both_halves(pc):
    pc.set(config(0), PERIODIC | VALUE_SET, 4)
    pc.set(comparator(0), 1000, 4)
    pc.set(comparator(0) + 4, 1, 4)
    assert pc.get(comparator(0)) == 0x1_0000_03E8


def test_periodic_comparator_wraps_in_32_bits(pc):
    pc.set(COUNTER, 0xFFFF_FF00)
    pc.set(config(0), INT | PERIODIC | VALUE_SET | BITS32 | 2 << 9)
    pc.set(comparator(0), 0xFFFF_FFF0)
    pc.set(comparator(0), 0x20)
    pc.set(CONF, ENABLE)
    pc.clock.advance(2400)
    assert (len(pc.rising()), pc.get(comparator(0))) == (1, 0x10)
    pc.clock.advance(320)
    assert len(pc.rising()) == 2


def test_level_interrupt_stays_until_its_status_bit_is_written(pc):
    pc.set(config(1), INT | LEVEL | 20 << 9)
    pc.set(comparator(1), 10)
    pc.set(CONF, ENABLE)
    pc.clock.advance(1000)
    assert (pc.irqs[20].level, pc.get(STATUS)) == (1, 0b010)
    pc.set(STATUS, 0b101)
    assert pc.irqs[20].level == 1
    pc.set(STATUS, 0b010)
    assert (pc.irqs[20].level, pc.get(STATUS)) == (0, 0)


def test_level_status_is_set_without_interrupt_enable(pc):
    pc.set(config(1), LEVEL | 20 << 9)
    pc.set(comparator(1), 10)
    pc.set(CONF, ENABLE)
    pc.clock.advance(1000)
    assert (pc.irqs[20].level, pc.get(STATUS)) == (0, 0b010)


def test_legacy_replacement_takes_over_lines_0_and_8(pc):
    pc.hpet.pit_in.pulse()
    pc.hpet.rtc_in.pulse()
    assert [n for _, n in pc.rising()] == [0, 8]
    pc.edges.clear()
    pc.set(CONF, ENABLE | LEGACY)
    pc.hpet.pit_in.pulse()
    pc.hpet.rtc_in.pulse()
    assert pc.edges == []
    for n, when in ((0, 100), (1, 200)):
        pc.set(config(n), INT)
        pc.set(comparator(n), when)
    pc.clock.advance(5000)
    assert pc.rising() == [(1000, 0), (2000, 8)]


def test_leaving_legacy_replacement_shows_the_sources_present_level(pc):
    pc.set(CONF, LEGACY)
    pc.hpet.pit_in.raise_()
    assert pc.irqs[0].level == 0
    pc.set(CONF, 0)
    assert pc.irqs[0].level == 1


def test_reserved_offsets_read_zero_and_ignore_writes(pc):
    pc.set(0x300, 0xFFFF_FFFF)
    assert (pc.get(0x300), pc.get(0x30), pc.get(0x110)) == (0, 0, 0)


def test_reset_stops_everything(pc):
    pc.set(config(1), INT | LEVEL | 20 << 9)
    pc.set(comparator(1), 10)
    pc.set(CONF, ENABLE)
    pc.clock.advance(1000)
    pc.hpet.reset()
    assert (pc.irqs[20].level, pc.get(COUNTER), pc.get(CONF)) == (0, 0, 0)
    assert pc.clock.deadline is None
