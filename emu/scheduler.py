"""Who runs when: vCPUs in turn, one at a time, in slices counted in instructions; time follows what they executed.

One instruction of any vCPU is one virtual nanosecond.  Slices end at timer deadlines, so timers fire at the first block
boundary after theirs.  When every vCPU waits, time jumps to the next deadline (or is slept through with `realtime`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from emu.clock import NS_PER_SECOND, Clock
from emu.snapshot import Stateful

QUANTUM = 20_000  # instructions in a row while other vCPUs wait for their turn
LONGEST_SLICE = 4_000_000  # instructions before the host gets a look: a few ms
LONGEST_SLEEP = 0.05  # seconds; signals, monitors and terminals stay live
IDLE_STEP = NS_PER_SECOND // 100  # how far time moves when nothing at all is due


class Runnable(Protocol):
    """A vCPU as the scheduler sees it."""

    def ready(self) -> bool:
        """Take what is pending (interrupts, INIT, SIPI); may it run now?"""

    def run(self, budget: int, now: int, contended: bool) -> int:
        """Execute about `budget` instructions from virtual time `now`; the virtual ns that passed.  `contended`: others wait, so
        a CPU that spins gives way."""

    def kick(self) -> None:
        """End the running slice soon; called from within it."""

    @property
    def now(self) -> int:
        """Virtual time within the running slice, in ns."""


class Scheduler(Stateful):
    """Round-robin over `cpus`; `clock` is the machine's virtual time.

    A vCPU that was not ready is asked again after `wake(cpu)` only, so 254 that sleep cost nothing."""

    saved = ("_now", "_latest", "_turn", "clock")

    def __init__(self, realtime: bool = False) -> None:
        self._order: dict[Runnable, int] = {}
        self._awake: dict[Runnable, None] = {}
        self.clock = Clock(self._time)
        self.clock.on_earlier = self._deadline_moved
        self.realtime = realtime
        self.wait: Callable[[float], None] = time.sleep
        """Called with seconds to let pass while the guest is idle under `realtime`."""
        self._now = 0
        self._latest = 0
        self._slice_end = 0
        self._current: Runnable | None = None
        self._turn = -1
        self._stop = False

    # --- who there is
    @property
    def cpus(self) -> list[Runnable]:
        """All vCPUs in the order of their turns; new ones are asked whether they are ready."""
        return list(self._order)

    @cpus.setter
    def cpus(self, cpus: list[Runnable]) -> None:
        self._awake = {cpu: None for cpu in cpus if cpu in self._awake or cpu not in self._order}
        self._order = {cpu: place for place, cpu in enumerate(cpus)}

    def wake(self, cpu: Runnable) -> None:
        """Something came up for `cpu`: ask it at the next slice."""
        self._awake[cpu] = None

    # --- snapshots
    def save(self) -> dict[str, Any]:
        """CPUs are known by their places in the order of turns."""
        return super().save() | {"awake": sorted(self._order[cpu] for cpu in self._awake if cpu in self._order)}

    def load(self, state: dict[str, Any]) -> None:
        super().load(state)
        self._awake = dict.fromkeys(self.cpus[place] for place in state["awake"])

    # --- time
    def _time(self) -> int:
        """Never goes backwards, though a fault gives instructions of its block back."""
        now = self._current.now if self._current else self._now
        self._latest = max(self._latest, now)
        return self._latest

    def _deadline_moved(self, deadline: int) -> None:
        if self._current and deadline < self._slice_end:
            self._current.kick()

    # --- running
    def kick(self) -> None:
        """End the running slice at the next block boundary."""
        if self._current:
            self._current.kick()

    def stop(self) -> None:
        """Make `run_until` return after the current slice."""
        self._stop = True
        self.kick()

    def run_until(self, deadline: int) -> None:
        """Run until virtual time `deadline` (ns), or until stop() is called."""
        self._stop = False
        while not self._stop and self._now < deadline:
            self.step(deadline)

    def step(self, limit: int) -> None:
        """Run what is due, then one slice of one vCPU, or pass idle time; not beyond `limit` (ns)."""
        self.clock.run_due()
        ready = self._ready()
        if not ready:
            self._idle(limit)
            return
        due = self.clock.deadline
        longest = LONGEST_SLICE if len(ready) == 1 else QUANTUM
        budget = min(longest, limit - self._now, (due - self._now) if due is not None else longest)
        budget = max(budget, 1)
        self._slice_end = self._now + budget
        self._current = self._next(ready)
        try:
            executed = self._current.run(budget, self._now, len(ready) > 1)
        finally:
            self._current = None
        self._now = max(self._now + executed, self._latest)

    def _ready(self) -> list[Runnable]:
        """The vCPUs that may run, in order.  Asking one may wake another: that one is asked at the next slice."""
        order = self._order
        asked, self._awake = [cpu for cpu in self._awake if cpu in order], {}
        ready = [cpu for cpu in sorted(asked, key=order.__getitem__) if cpu.ready()]
        self._awake.update(dict.fromkeys(ready))
        return ready

    def _next(self, ready: list[Runnable]) -> Runnable:
        """The ready vCPU after the one that ran last."""
        order = self._order.__getitem__
        chosen = next((cpu for cpu in ready if order(cpu) > self._turn), ready[0])
        self._turn = order(chosen)
        return chosen

    def _idle(self, limit: int) -> None:
        """Nobody can run: go to the next deadline."""
        due = self.clock.deadline
        target = min(due if due is not None else self._now + IDLE_STEP, limit)
        if self.realtime:
            seconds = min((target - self._now) / NS_PER_SECOND, LONGEST_SLEEP)
            self.wait(max(seconds, 0))
            target = min(target, self._now + int(seconds * NS_PER_SECOND))
        self._now = max(self._now, target)
