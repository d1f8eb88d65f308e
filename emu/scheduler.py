"""Who runs when: vCPUs in turn, one at a time, in slices counted in instructions; time follows what they executed.

One instruction of any vCPU is one virtual nanosecond.  Slices end at timer deadlines, so timers fire at the first block
boundary after theirs.  When every vCPU waits, time jumps to the next deadline (or is slept through with `realtime`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
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

    def run(self, budget: int, now: int, contended: bool, piece: int, count: int | None) -> None:
        """Execute about `budget` instructions from virtual time `now`.  `contended`: others wait, so a CPU that spins gives way.
        Return early at the first block boundary after `piece` ns, or after exactly `count` instructions, if there are so many."""

    def kick(self) -> None:
        """End the slice soon; called from within it, or while it is interrupted."""

    @property
    def now(self) -> int:
        """Virtual time within the slice, in ns."""

    @property
    def over(self) -> bool:
        """Has the slice ended?  Else it is to be continued."""

    @property
    def inside(self) -> bool:
        """Has run() returned where no slice may end?"""

    @property
    def retired(self) -> int:
        """Instructions executed so far."""


@dataclass
class Slice:
    """The turn of one vCPU.  It lasts as long as the guest makes it last, however often the host interrupts it."""

    cpu: Runnable
    now: int
    end: int
    contended: bool


class Scheduler(Stateful):
    """Round-robin over `cpus`; `clock` is the machine's virtual time.

    A vCPU that was not ready is asked again after `wake(cpu)` only, so 254 that sleep cost nothing."""

    saved = ("_now", "_latest", "_turn", "_stop", "instructions", "clock")

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
        self.instructions = 0
        """Executed by all vCPUs together, those that are gone included."""
        self.slice: Slice | None = None
        """The one that runs or, between calls, is interrupted."""
        self._executing = False
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
        current = self.slice
        return super().save() | {
            "awake": sorted(self._order[cpu] for cpu in self._awake if cpu in self._order),
            "slice": [self._order[current.cpu], current.now, current.end, int(current.contended)] if current else [],
        }

    def load(self, state: dict[str, Any]) -> None:
        super().load(state)
        cpus = self.cpus
        self._awake = dict.fromkeys(cpus[place] for place in state["awake"])
        self.slice = None
        if state["slice"]:
            place, now, end, contended = state["slice"]
            self.slice = Slice(cpus[place], now, end, bool(contended))

    # --- time
    def _time(self) -> int:
        """Never goes backwards, though a fault gives instructions of its block back.  A look from outside leaves no trace."""
        if self.slice is None:
            return self._now
        if not self._executing:
            return max(self._latest, self.slice.now)
        self._latest = max(self._latest, self.slice.cpu.now)
        return self._latest

    def _deadline_moved(self, deadline: int) -> None:
        if self.slice and deadline < self.slice.end:
            self.slice.cpu.kick()

    # --- running
    @property
    def executing(self) -> bool:
        """Is guest code running: are we in a callback of its?"""
        return self._executing

    def kick(self) -> None:
        """End the slice at the next block boundary."""
        if self.slice:
            self.slice.cpu.kick()

    def stop(self) -> None:
        """Make `run_until` return when the slice ends, which is soon."""
        self._stop = True
        self.kick()

    def abandon(self) -> None:
        """The interrupted slice is not continued: its vCPU was reset."""
        if self.slice:
            self._end_slice(self.slice)

    def run_until(self, deadline: int, last: int | None = None) -> None:
        """Run until virtual time `deadline` (ns), until `last` instructions have been executed, or until stop() is called.

        The first two interrupt a slice without ending it: the guest cannot tell."""
        while (self.slice or not self._stop) and self.clock.now < deadline and (last is None or self.instructions < last):
            self.step(deadline, last)
        if self.slice is None:
            self._stop = False

    def step(self, limit: int, last: int | None = None) -> None:
        """Continue the slice, or run what is due and then begin one, or pass idle time; not beyond `limit` (ns)."""
        if self.slice is None:
            self.clock.run_due()
            ready = self._ready()
            if self._stop:
                return
            if not ready:
                self._idle(limit)
                return
            self.slice = self._next_slice(ready)
        self._continue(self.slice, limit, last)

    def _next_slice(self, ready: list[Runnable]) -> Slice:
        due = self.clock.deadline
        longest = LONGEST_SLICE if len(ready) == 1 else QUANTUM
        budget = max(1, longest if due is None else min(longest, due - self._now))
        return Slice(self._next(ready), self._now, self._now + budget, len(ready) > 1)

    def _continue(self, current: Slice, limit: int, last: int | None) -> None:
        cpu, count = current.cpu, None if last is None else last - self.instructions
        before, self._executing = cpu.retired, True
        try:
            cpu.run(current.end - current.now, current.now, current.contended, limit - current.now, count)
        finally:
            self._executing = False
            self.instructions += cpu.retired - before
            current.now = cpu.now
            if cpu.over:
                self._end_slice(current)

    def _end_slice(self, current: Slice) -> None:
        self._now = self._latest = max(current.now, self._latest)
        self.slice = None

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
