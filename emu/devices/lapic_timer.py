"""The local APIC's timer: one-shot, periodic and TSC-deadline (Intel SDM vol. 3A, "APIC Timer").

It counts a bus clock of 1 GHz, so a tick is one nanosecond of virtual time times the divisor.
Not here: the timer stopping in deep C-states (CPUID says that it does not).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from emu.clock import Clock
from emu.snapshot import Stateful

NS_PER_BUS_CLOCK = 1


class TimerMode(IntEnum):
    """Bits 18:17 of the LVT timer register."""

    ONE_SHOT = 0
    PERIODIC = 1
    TSC_DEADLINE = 2
    RESERVED = 3


def divisor(configuration: int) -> int:
    """Divide configuration register to divisor: bits 3, 1 and 0 are the binary logarithm less one, 7 means 1."""
    code = configuration >> 1 & 4 | configuration & 3
    return 1 if code == 7 else 2 << code


class ApicTimer(Stateful):
    """`expired` is called at each expiry; `tsc` and `ns_of_tsc` convert between virtual time and the vCPU's TSC."""

    saved = ("mode", "configuration", "initial_count", "count", "start", "deadline", "event")

    def __init__(
        self,
        clock: Clock,
        expired: Callable[[], None],
        tsc: Callable[[], int],
        ns_of_tsc: Callable[[int], int],
    ) -> None:
        self.clock, self.expired, self.tsc, self.ns_of_tsc = clock, expired, tsc, ns_of_tsc
        self.event = clock.timer(self._fire)
        self.reset()

    def reset(self) -> None:
        self.mode = TimerMode.ONE_SHOT
        self.configuration = 0
        self.initial_count = 0
        self.count = 0  # the count at `start`; 0 is stopped
        self.start = 0  # ns
        self.deadline = 0  # IA32_TSC_DEADLINE; 0 is disarmed
        self.event.cancel()

    @property
    def tick_ns(self) -> int:
        return divisor(self.configuration) * NS_PER_BUS_CLOCK

    def current_count(self) -> int:
        """What is left of the count, 32 bits; 0 in TSC-deadline mode and when stopped."""
        if self.mode == TimerMode.TSC_DEADLINE or not self.count:
            return 0
        left = self.count - (self.clock.now - self.start) // self.tick_ns
        if left > 0:
            return left
        return self.initial_count - -left % self.initial_count if self._reloads else 0

    def set_initial_count(self, value: int) -> None:
        """Starts the count; 0 stops it.  Ignored in TSC-deadline mode."""
        if self.mode == TimerMode.TSC_DEADLINE:
            return
        self.initial_count = value
        self._restart(value)

    def set_configuration(self, value: int) -> None:
        """A running count goes on from where it is, at the new rate."""
        left = self.current_count()
        self.configuration = value
        if self.mode != TimerMode.TSC_DEADLINE:
            self._restart(left)

    def set_mode(self, mode: TimerMode) -> None:
        """To or from TSC-deadline mode the timer is disarmed; between the counting modes the count goes on."""
        if mode == self.mode:
            return
        left = self.current_count()
        if TimerMode.TSC_DEADLINE in (mode, self.mode):
            left = self.initial_count = 0
        self.mode, self.deadline = mode, 0
        self._restart(left)

    def set_deadline(self, tsc: int) -> None:
        """IA32_TSC_DEADLINE: expire when the TSC reaches the value; 0 disarms.  Ignored in the other modes."""
        if self.mode != TimerMode.TSC_DEADLINE:
            return
        self.deadline = tsc
        self._arm()

    @property
    def _reloads(self) -> bool:
        return self.mode == TimerMode.PERIODIC and self.initial_count > 0

    def _restart(self, count: int) -> None:
        self.start, self.count = self.clock.now, count
        self._arm()

    def _arm(self) -> None:
        if self.mode == TimerMode.TSC_DEADLINE:
            when = self.ns_of_tsc(self.deadline) if self.deadline else None
        else:
            when = self.start + self.count * self.tick_ns if self.count else None
        if when is None:
            self.event.cancel()
        else:
            self.event.rearm(max(when, self.clock.now))

    def _fire(self) -> None:
        if self.mode == TimerMode.TSC_DEADLINE:
            if self.tsc() < self.deadline:  # the conversion to ns rounded down
                self.event.rearm(self.clock.now + 1)
                return
            self.deadline = 0
        elif self._reloads:
            self._next_period()
        else:
            self.count = 0
        self.expired()

    def _next_period(self) -> None:
        """From the expiry, not from now, so that the period does not drift; missed periods are one expiry."""
        period = self.initial_count * self.tick_ns
        expiry = self.start + self.count * self.tick_ns
        self.start = expiry + (self.clock.now - expiry) // period * period
        self.count = self.initial_count
        self._arm()
