"""What is to happen after an exact number of instructions: `at`, `run_to`, and points spread over a stretch of a run.

Instructions are those of all CPUs together since power-on, as jit/exact.py counts them.  Whoever acts at such a place acts like a
device that the guest has just accessed: the slice goes on, and what came up is delivered at the next block boundary.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from machines import api

if TYPE_CHECKING:
    from machines.machine import Machine


ASLEEP_NS = 60 * api.NS["s"]  # after so long a guest that executes nothing is taken to have ended


@dataclass(order=True)
class Appointment:
    """One entry, in the order in which they come."""

    insn: int
    ns: int
    number: int
    do: Callable[[], Any] = field(compare=False)
    owner: object = field(compare=False)


class Agenda:
    """The appointments of one machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._entries: list[Appointment] = []
        self._added = 0
        self._target: int | None = None

    @property
    def next(self) -> int | None:
        """The earliest number of instructions at which the machine must stop."""
        first = self._entries[0].insn if self._entries else None
        places = [place for place in (first, self._target) if place is not None and place > self._machine.instructions]
        return min(places, default=None)

    @property
    def deadline(self) -> int | None:
        """When the machine must stop for what comes while no CPU executes anything, in ns."""
        waiting = self._entries and self._entries[0].insn <= self._machine.instructions
        return self._entries[0].ns if waiting else None

    def add(self, insn: int, do: Callable[[], Any], *, ns: int = 0, owner: object = None) -> None:
        """Call `do` after `insn` instructions, but not before virtual time `ns`.  Raises ValueError when `insn` is past."""
        self._check(insn)
        self._added += 1
        heapq.heappush(self._entries, Appointment(insn, ns, self._added, do, owner))

    def cancel(self, owner: object) -> None:
        """Forget all that `owner` has added."""
        self._entries = [each for each in self._entries if each.owner is not owner]
        heapq.heapify(self._entries)

    def act(self) -> None:
        """Do what is due now, in the order in which it was added."""
        machine = self._machine
        while self._entries and self._entries[0].insn <= machine.instructions and self._entries[0].ns <= machine.clock.now:
            heapq.heappop(self._entries).do()

    def run_to(self, insn: int, within: str | int | None) -> None:
        """Raises ValueError, api.GuestStopped, api.Timeout."""
        self._check(insn)
        machine, self._target = self._machine, insn
        last, since = machine.instructions, machine.clock.now

        def arrived() -> bool:
            nonlocal last, since
            if machine.instructions > last:
                last, since = machine.instructions, machine.clock.now
            elif machine.clock.now - since > ASLEEP_NS:
                raise api.GuestStopped(f"no CPU has executed anything for {ASLEEP_NS // api.NS['s']} s of virtual time; instruction "
                                       f"{insn} does not come\n{api.describe(machine)}")  # fmt: skip
            return machine.instructions >= insn

        try:
            api.run_until(machine, arrived, api.FOREVER if within is None else within, f"instruction {insn}")
        finally:
            self._target = None

    def _check(self, insn: int) -> None:
        now = self._machine.instructions
        if insn < now:
            raise ValueError(f"instruction {insn} is past: the machine has executed {now}; to go back with goto(), start "
                             "recording first: vm.record()")  # fmt: skip


def sweep(first: int, last: int, count: int) -> Iterator[int]:
    """`count` places between `first` and `last` (numbers of instructions), evenly spread, both included.

        for place in sweep(100_000_000, 800_000_000, 200): ...

    Raises ValueError when there are not as many."""
    if count < 1 or last - first < count - 1:
        raise ValueError(f"there are no {count} different places from {first} to {last}")
    yield from (first + (last - first) * n // max(count - 1, 1) for n in range(count))
