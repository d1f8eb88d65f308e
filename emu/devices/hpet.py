"""IA-PC High Precision Event Timers: a 100 MHz counter of 64 bits and three comparators.

IA-PC HPET Specification 1.0a, section 2.3 "Register descriptions".  The counter is computed, never ticked.
Not here: FSB (message-signalled) interrupt delivery.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emu.clock import Clock, Timer
from emu.device import SysBusDevice
from emu.irq import Irq
from emu.qom import computed

BASE = 0xFED0_0000

CAPABILITIES, CONFIGURATION, STATUS, COUNTER, TIMERS = 0x000, 0x010, 0x020, 0x0F0, 0x100
TIMER_STRIDE, TIMER_CONFIG, TIMER_COMPARATOR = 0x20, 0x00, 0x08
HIGH = 4  # offset of the upper half of a register

PERIOD_NS = 10
FEMTOSECONDS = 1_000_000
VENDOR, REVISION = 0x8086, 1
CAP_LEGACY, CAP_64BIT = 1 << 15, 1 << 13

ENABLE, LEGACY_ROUTE = 0x01, 0x02
TN_LEVEL, TN_ENABLE, TN_PERIODIC, TN_PERIODIC_CAP, TN_SIZE_CAP = 0x02, 0x04, 0x08, 0x10, 0x20
TN_VALUE_SET, TN_32BIT, TN_ROUTE = 0x40, 0x100, 0x3E00
TN_WRITABLE = TN_LEVEL | TN_ENABLE | TN_PERIODIC | TN_VALUE_SET | TN_32BIT | TN_ROUTE
LEGACY_IRQS = (0, 8)  # where timers 0 and 1 go instead of the PIT and the RTC

MASK32, MASK64 = (1 << 32) - 1, (1 << 64) - 1


@dataclass
class Comparator:
    config: int = 0
    comparator: int = MASK64
    period: int = 0
    setting_value: bool = False  # the low half was written under VAL_SET, so the high half belongs with it


class Hpet(SysBusDevice):
    """`irqs` are the lines that a route number selects; `route_mask` says which of them a timer may use.

    With legacy replacement the PIT and RTC no longer reach lines 0 and 8: connect them through `pit_in` and `rtc_in`.
    """

    name = "hpet"
    timer_count = computed("uint8", name="timers")(lambda self: len(self.comparators))
    interrupt_capability = computed("uint32", name="hpet-intcap")(lambda self: self.route_mask)
    region_size, min_access, max_access = 0x400, 4, 8

    saved = ("configuration", "status", "halted_count", "started", "comparators", "_timers", "pit_in", "rtc_in")

    def __init__(self, clock: Clock, irqs: Sequence[Irq], route_mask: int = 0x04, timers: int = 3) -> None:
        self.clock, self.irqs, self.route_mask = clock, irqs, route_mask
        self.configuration = self.status = 0
        self.halted_count = 0  # the counter while it is stopped
        self.started = 0  # virtual time at which a running counter was 0, in ticks; may be negative
        self.comparators = [Comparator() for _ in range(timers)]
        self._timers: list[Timer] = [clock.timer(lambda n=n: self._matched(n)) for n in range(timers)]  # type: ignore[misc]
        self.pit_in = Irq(lambda level: self._legacy_input(0, level))
        self.rtc_in = Irq(lambda level: self._legacy_input(1, level))
        self.reset()

    def reset(self) -> None:
        for n in range(len(self.comparators)):
            self._lower(n)
            self._timers[n].cancel()
            self.comparators[n] = Comparator(TN_PERIODIC_CAP | TN_SIZE_CAP)
        self._set_legacy(0)
        self.configuration = self.status = self.halted_count = 0

    # Counter

    @property
    def running(self) -> bool:
        return bool(self.configuration & ENABLE)

    @property
    def counter(self) -> int:
        """The main counter, 64 bits of 10 ns."""
        return (self.clock.now // PERIOD_NS - self.started) & MASK64 if self.running else self.halted_count

    def _set_counter(self, value: int) -> None:
        self.halted_count = value & MASK64
        self.started = self.clock.now // PERIOD_NS - self.halted_count
        self._arm_all()

    # Registers: read as 64 bits, then the half that was asked for

    def read(self, offset: int, size: int) -> int:
        value = self._read64(offset & ~7)
        if size == 8:
            return value
        return value >> 32 if offset & HIGH else value & MASK32

    def _read64(self, offset: int) -> int:
        if offset == COUNTER:
            return self.counter
        if offset == CAPABILITIES:
            return self.capabilities
        if offset == CONFIGURATION:
            return self.configuration
        if offset == STATUS:
            return self.status
        n, register = divmod(offset - TIMERS, TIMER_STRIDE)
        if not 0 <= n < len(self.comparators):
            return 0
        timer = self.comparators[n]
        if register == TIMER_CONFIG:
            return timer.config | self.route_mask << 32
        return timer.comparator if register == TIMER_COMPARATOR else 0

    @property
    def capabilities(self) -> int:
        """The general capabilities and ID register."""
        count = len(self.comparators) - 1 << 8
        return PERIOD_NS * FEMTOSECONDS << 32 | VENDOR << 16 | CAP_LEGACY | CAP_64BIT | count | REVISION

    def write(self, offset: int, size: int, value: int) -> None:
        """Write the bits of one or both halves; `mask` is which bits of the 64 they are."""
        if size == 8:
            mask = MASK64
        elif offset & HIGH:
            value, mask = value << 32, MASK32 << 32
        else:
            mask = MASK32
        self._write64(offset & ~7, value, mask)

    def _write64(self, offset: int, value: int, mask: int) -> None:
        if offset == CONFIGURATION and mask & MASK32:
            self._write_configuration(value)
        elif offset == STATUS:
            for n in range(len(self.comparators)):
                if value >> n & 1:
                    self._lower(n)
        elif offset == COUNTER:
            self._set_counter(self.counter & ~mask | value)
        else:
            n, register = divmod(offset - TIMERS, TIMER_STRIDE)
            if not 0 <= n < len(self.comparators):
                return
            if register == TIMER_CONFIG and mask & MASK32:
                self._write_timer_config(n, value)
            elif register == TIMER_COMPARATOR:
                self._write_comparator(n, value, mask)

    def _write_configuration(self, value: int) -> None:
        if (value ^ self.configuration) & LEGACY_ROUTE:
            self._set_legacy(value & LEGACY_ROUTE)
        if (value ^ self.configuration) & ENABLE:
            count = self.counter
            self.configuration ^= ENABLE
            self._set_counter(count)

    def _write_timer_config(self, n: int, value: int) -> None:
        timer = self.comparators[n]
        old = timer.config
        if (value ^ old) & (TN_LEVEL | TN_ROUTE) or not value & TN_ENABLE:
            self._lower(n)
        timer.config = old & ~TN_WRITABLE | value & TN_WRITABLE
        if timer.config & TN_32BIT:
            timer.comparator &= MASK32
            timer.period &= MASK32
        self._arm(n)

    def _write_comparator(self, n: int, value: int, mask: int) -> None:
        """A periodic timer takes a write as its period, and also as the next match when VAL_SET asked for that."""
        timer = self.comparators[n]
        if timer.config & TN_32BIT:
            value, mask = value & MASK32, mask & MASK32
        if mask & MASK32:
            timer.setting_value = bool(timer.config & TN_VALUE_SET)
            timer.config &= ~TN_VALUE_SET
        if not timer.config & TN_PERIODIC or timer.setting_value:
            timer.comparator = timer.comparator & ~mask | value
        if timer.config & TN_PERIODIC:
            timer.period = timer.period & ~mask | value
        self._arm(n)

    # Matching

    def _arm_all(self) -> None:
        for n in range(len(self.comparators)):
            self._arm(n)

    def _arm(self, n: int) -> None:
        """Come back when the counter reaches the comparator, which is now if they are equal."""
        if not self.running:
            self._timers[n].cancel()
            return
        timer = self.comparators[n]
        wrap = MASK32 if timer.config & TN_32BIT else MASK64
        ticks = (timer.comparator - self.counter) & wrap
        self._timers[n].rearm((self.clock.now // PERIOD_NS + ticks) * PERIOD_NS)

    def _matched(self, n: int) -> None:
        timer = self.comparators[n]
        wrap = MASK32 if timer.config & TN_32BIT else MASK64
        if timer.config & TN_PERIODIC and timer.period:
            late = (self.counter - timer.comparator) & wrap
            timer.comparator = (timer.comparator + timer.period) & wrap
            due = self.clock.now // PERIOD_NS - late + timer.period
        else:
            due = self.clock.now // PERIOD_NS + wrap + 1 - ((self.counter - timer.comparator) & wrap)
        self._timers[n].rearm(due * PERIOD_NS)
        self._interrupt(n)

    # Interrupts

    def _route(self, n: int) -> Irq | None:
        if self.configuration & LEGACY_ROUTE and n < len(LEGACY_IRQS):
            return self.irqs[LEGACY_IRQS[n]]
        route = (self.comparators[n].config & TN_ROUTE) >> 9
        return self.irqs[route] if self.route_mask >> route & 1 and route < len(self.irqs) else None

    def _interrupt(self, n: int) -> None:
        config, line = self.comparators[n].config, self._route(n)
        if config & TN_LEVEL:
            self.status |= 1 << n
        if line is None or not config & TN_ENABLE:
            return
        if config & TN_LEVEL:
            line.raise_()
        else:
            line.pulse()

    def _lower(self, n: int) -> None:
        if self.status >> n & 1:
            self.status &= ~(1 << n)
            line = self._route(n)
            if line is not None:
                line.lower()

    def _set_legacy(self, on: int) -> None:
        for n in range(min(len(LEGACY_IRQS), len(self.comparators))):
            self._lower(n)
        self.configuration = self.configuration & ~LEGACY_ROUTE | on
        for n, source in enumerate((self.pit_in, self.rtc_in)):
            self.irqs[LEGACY_IRQS[n]].set(0 if on else source.level)

    def _legacy_input(self, n: int, level: int) -> None:
        if not self.configuration & LEGACY_ROUTE:
            self.irqs[LEGACY_IRQS[n]].set(level)
