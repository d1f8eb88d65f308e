"""Virtual time in integer nanoseconds, and the timers that devices set on it.

Time comes from a source, normally the count of executed instructions, so a run can be repeated exactly.
Timers fire in order of deadline, then of creation.  Not here: wall-clock time and who advances the source.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

from emu.snapshot import Stateful

NS_PER_SECOND = 1_000_000_000
NS_PER_MS = 1_000_000
SMALLEST_ROOM = 256  # entries in a clock's queue before it is tidied


class Timer(Stateful):
    """One callback on a clock.  `deadline` is None while the timer is not armed."""

    __slots__ = ("_callback", "_clock", "_order", "deadline")

    def __init__(self, clock: Clock, callback: Callable[[], None], order: int) -> None:
        self._clock = clock
        self._callback = callback
        self._order = order
        self.deadline: int | None = None

    def rearm(self, ns: int) -> None:
        """Fire at the absolute time `ns`, and no longer at any earlier choice."""
        self.deadline = ns
        self._clock._insert(ns, self._order, self)

    def cancel(self) -> None:
        self.deadline = None

    def save(self) -> list[int | None]:
        """With its place among timers of equal deadline."""
        return [self.deadline, self._order]

    def load(self, state: list[int | None]) -> None:
        deadline, order = state
        self._order = order or 0
        if deadline is None:
            self.cancel()
        else:
            self.rearm(deadline)

    def __repr__(self) -> str:
        return f"<Timer at {self.deadline}>"


class Clock(Stateful):
    """`source` returns the time in nanoseconds; it must never go backwards.

    Timers are state of the parts that set them.  Load the clock before them: that empties its queue."""

    saved = ("_timers",)

    def __init__(self, source: Callable[[], int]) -> None:
        self.source = source
        self.on_earlier: Callable[[int], None] | None = None
        """Told the new deadline when an armed timer becomes the earliest: the running vCPU's budget may be too long."""
        self._queue: list[tuple[int, int, int, Timer]] = []
        self._room = SMALLEST_ROOM
        self._timers = 0
        self._inserts = 0

    @property
    def now(self) -> int:
        return self.source()

    def timer(self, callback: Callable[[], None]) -> Timer:
        """A timer that is not armed yet."""
        self._timers += 1
        return Timer(self, callback, self._timers)

    def call_at(self, ns: int, callback: Callable[[], None]) -> Timer:
        """A timer armed for the absolute time `ns`; in the past means at the next `run_due`."""
        timer = self.timer(callback)
        timer.rearm(ns)
        return timer

    @property
    def deadline(self) -> int | None:
        """When the earliest armed timer fires, or None."""
        queue = self._queue
        while queue:
            when, _, _, timer = queue[0]
            if timer.deadline == when:
                return when
            heapq.heappop(queue)
        return None

    def run_due(self) -> int:
        """Run what is due at `now`, including what those callbacks arm for no later than now.  Returns how many ran."""
        ran = 0
        while (when := self.deadline) is not None and when <= self.source():
            timer = heapq.heappop(self._queue)[3]
            timer.deadline = None
            timer._callback()
            ran += 1
        return ran

    def loaded(self) -> None:
        self._queue.clear()

    def _insert(self, ns: int, order: int, timer: Timer) -> None:
        earliest = self.deadline if self.on_earlier else None
        if len(self._queue) >= self._room:
            self._tidy()
        self._inserts += 1
        heapq.heappush(self._queue, (ns, order, self._inserts, timer))
        if self.on_earlier and (earliest is None or ns < earliest):
            self.on_earlier(ns)

    def _tidy(self) -> None:
        """Drop what timers left in the queue when they were armed anew: a guest may do so a million times a second."""
        current = {entry[3]: entry for entry in self._queue if entry[3].deadline == entry[0]}
        self._queue[:] = current.values()
        heapq.heapify(self._queue)
        self._room = max(SMALLEST_ROOM, 2 * len(self._queue))


class ManualClock(Clock):
    """A clock for tests and for use without a CPU: time moves only by `advance`."""

    def __init__(self, now: int = 0) -> None:
        super().__init__(lambda: self._now)
        self._now = now

    def advance(self, ns: int) -> None:
        """Move `ns` nanoseconds on; each timer on the way sees exactly its own deadline as the time."""
        end = self._now + ns
        while (when := self.deadline) is not None and when <= end:
            self._now = max(self._now, when)
            self.run_due()
        self._now = end
