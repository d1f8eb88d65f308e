"""Record a run, replay it, and go back in it.

    with vm.record("run.log"): ...                      # inputs with their places, to a file
    other.replay("run.log")                             # the same run, to the same state

    vm.record(every="50e6 insns")                       # copies of the machine on the way (machines/fork.py), too
    vm.goto(insn=123_456_789); vm.step_back()           # the nearest copy before that, then the inputs again

In the past, input waits until the present is reached again; a command that changes the machine there begins another future, and
what was recorded after it is forgotten.  Events are emitted again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from emu import qmp
from emu.qmp.errors import QmpError
from emu.qom import ObjectError
from machines import api, fork, journal
from machines.journal import END, HMP, QMP, SERIAL, Input, ReplayError, Target

if TYPE_CHECKING:
    from machines.pc import X86Pc

KEPT_COPIES = 16  # at most; then every second one goes, and they are taken half as often
EVERY = 50_000_000  # instructions


@dataclass
class Copy:
    """The machine at an earlier place."""

    insn: int
    inputs: int  # recorded before it
    vm: X86Pc


class Inputs:
    """Where a machine's inputs pass by: they are noted, or held while recorded ones take their place."""

    def __init__(self, vm: X86Pc) -> None:
        self.vm = vm
        self.chardevs = [uart.chardev for uart in vm.uarts]

    def watch(self, note: Any) -> None:
        """Tell `note(kind, what, more)` about every input; None ends it."""
        self.vm.context.journal = note
        for number, chardev in enumerate(self.chardevs):
            chardev.journal = (lambda data, number=number: note(SERIAL, number, data.hex())) if note else None

    def hold(self, held: bool) -> None:
        for chardev in self.chardevs:
            chardev.held = held

    def give(self, given: Input) -> None:
        """Let an input happen again."""
        if given.kind == SERIAL:
            chardev = self.chardevs[given.what]
            assert chardev.receiver is not None
            chardev.receiver.receive(bytes.fromhex(given.more))
        elif given.kind == HMP:
            self.vm.hmp(given.what)
        elif given.kind == QMP:
            try:
                qmp.COMMANDS.find(given.what)(self.vm.context, given.more or {})
            except (QmpError, ObjectError) as error:
                raise ReplayError(f"at instruction {given.insn} {given.what} fails, which it did not when it was recorded: "
                                  f"{error}") from None  # fmt: skip


class Recording:
    """The inputs of a run from here on, and copies of the machine.  Leaving the `with` block, or close(), ends it."""

    def __init__(self, vm: X86Pc, target: Target | None, every: int, kept: int) -> None:
        if vm.recording or vm.replaying:
            raise ValueError("the machine is being recorded or replayed already; close() that first")
        self.vm, self.every, self.kept = vm, every, max(kept, 2)
        self.inputs = Inputs(vm)
        self.log: list[Input] = []
        self.copies: list[Copy] = []
        self._giving = False
        self._tip: tuple[int, int] | None = None  # the present, while the machine is in the past
        self._given = 0  # of the inputs, again
        self._target = target
        if target is not None:
            journal.begin(target, journal.header(vm))
        self.inputs.watch(self._note)
        if every:
            self._take_copy()

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write the log, and let the copies go.  In the past, the log ends there."""
        if self.vm.recording is not self:
            return
        self.vm.recording = None
        if self._tip:
            self._forget_future()
        self.inputs.watch(None)
        self.vm.agenda.cancel(self)
        if self._target is not None:
            journal.append(self._target, [*self.log, Input(*self._place(), END, journal.fingerprint(self.vm))])
        for copy in self.copies:
            copy.vm.close()

    # --- noting
    def _place(self) -> tuple[int, int]:
        return self.vm.instructions, self.vm.clock.now

    def _note(self, kind: str, what: Any, more: Any = None) -> None:
        if self._giving:
            return
        if self._tip:
            self._forget_future()
        self.log.append(Input(*self._place(), kind, what, more))

    def _take_copy(self) -> None:
        insn = self.vm.instructions
        if not self.copies or self.copies[-1].insn < insn:
            self.copies.append(Copy(insn, self._known(), self.vm.fork()))
        if len(self.copies) > self.kept:
            self.every *= 2
            for copy in self.copies[1::2]:
                copy.vm.close()
            self.copies = self.copies[::2]
        self.vm.agenda.add(max(self.copies[-1].insn + self.every, insn + 1), self._take_copy, owner=self)

    def _known(self) -> int:
        """Inputs up to now: those noted, or those given again."""
        return self._given if self._tip else len(self.log)

    # --- going back
    def goto(self, insn: int) -> None:
        """Raises ValueError for a place before the recording."""
        if not self.copies:
            raise ValueError("this recording has no copies of the machine to go back to: record with every='50e6 insns'")
        if insn < self.copies[0].insn:
            raise ValueError(f"instruction {insn} is before the recording, which begins at {self.copies[0].insn}")
        if insn < self.vm.instructions:
            self._back(max((copy for copy in self.copies if copy.insn <= insn), key=lambda copy: copy.insn))
        self.vm.run_control.cont()
        self.vm.run_to(insn)

    def _back(self, copy: Copy) -> None:
        if self._tip is None:
            self._tip = self._place()
        self.vm.agenda.cancel(self)
        fork.become(self.vm, copy.vm)
        self._given = copy.inputs
        self.inputs.hold(True)
        for given in self.log[copy.inputs:]:
            self.vm.agenda.add(given.insn, partial(self._give, given), ns=given.ns, owner=self)
        self.vm.agenda.add(self._tip[0], self._arrive, ns=self._tip[1], owner=self)

    def _give(self, given: Input) -> None:
        self._giving = True
        try:
            self.inputs.give(given)
        finally:
            self._giving = False
        self._given += 1

    def _arrive(self) -> None:
        """The present again."""
        self._tip = None
        self.inputs.hold(False)
        self._take_copy()

    def _forget_future(self) -> None:
        """Something else happens than what was recorded."""
        insn = self.vm.instructions
        del self.log[self._given:]
        for copy in self.copies:
            if copy.insn > insn:
                copy.vm.close()
        self.copies = [copy for copy in self.copies if copy.insn <= insn]
        self.vm.agenda.cancel(self)
        self._tip = None
        self.inputs.hold(False)
        if self.copies:
            self.vm.agenda.add(insn + self.every, self._take_copy, owner=self)


class Replay:
    """A log's inputs, at their places, instead of those from outside.  Raises ReplayError, OSError."""

    def __init__(self, vm: X86Pc, source: Target, then: Callable[[], None]) -> None:
        if vm.recording or vm.replaying:
            raise ValueError("the machine is being recorded or replayed already")
        first, self.log = journal.read(source)
        journal.check_header(vm, first)
        self.vm, self.inputs, self.ended, self._given = vm, Inputs(vm), False, 0
        self._then = then
        self.inputs.hold(True)
        for given in self.log:
            vm.agenda.add(given.insn, partial(self._give, given), ns=given.ns, owner=self)

    def run(self) -> None:
        """To the end of the log, where the machine pauses.  Raises ReplayError when it ends in another state."""
        api.run_until(self.vm, self._has_ended, api.FOREVER, "the end of the recorded run")

    def _has_ended(self) -> bool:
        if not self.ended and self.vm.clock.now > self.log[self._given].ns:
            self._lost(self.log[self._given])
        return self.ended

    def _lost(self, given: Input) -> None:
        raise ReplayError(f"the run is not the recorded one: an input came at instruction {given.insn}, {given.ns} ns, and the "
                          f"machine is at {self.vm.instructions}, {self.vm.clock.now} ns")  # fmt: skip

    def _give(self, given: Input) -> None:
        self._given += 1
        if (self.vm.instructions, self.vm.clock.now) != (given.insn, given.ns):
            self._lost(given)
        if given.kind == END:
            self._end(given)
        else:
            self.inputs.give(given)

    def _end(self, given: Input) -> None:
        self.ended, self.vm.replaying = True, None
        self.inputs.hold(False)
        if journal.fingerprint(self.vm) != given.what:
            raise ReplayError(f"the run is not the recorded one: at its end, instruction {given.insn}, the state differs")
        self._then()
