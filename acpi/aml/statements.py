"""Control flow, Notify, synchronisation and time (ACPI 6.5, section 19.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emu.clock import NS_PER_MS

from .dispatch import Steps, does, integer, runs
from .errors import AmlError, Fatal
from .parser import Term
from .references import node_of
from .steps import Waiting
from .values import Event, Frame, Mutex

if TYPE_CHECKING:
    from .evaluator import Evaluator

FOR_EVER_MS = 0xFFFF
NS_PER_US = 1_000
TIMER_NS = 100
MAX_TURNS = 1 << 20  # of a While that makes no end


class Returned(Exception):
    """Return ran."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


class Left(Exception):
    """Break or Continue ran."""


class Broke(Left):
    pass


class Continued(Left):
    pass


@runs("If")
def _if(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    if (yield from integer(ev, term.args[0], frame)):
        yield from ev.block(term.body, frame)
    elif term.otherwise:
        yield from ev.block(term.otherwise.body, frame)


@runs("While")
def _while(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    turns = 0
    while (yield from integer(ev, term.args[0], frame)):
        turns += 1
        if turns > MAX_TURNS:
            raise AmlError(f"a While that has not ended after {MAX_TURNS} turns")
        try:
            yield from ev.block(term.body, frame)
        except Continued:
            continue
        except Broke:
            break


@runs("Return")
def _return(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    raise Returned((yield from ev.value(term.args[0], frame)))


@does("Break")
def _break(ev: Evaluator, term: Term, frame: Frame) -> None:
    raise Broke("Break")


@does("Continue")
def _continue(ev: Evaluator, term: Term, frame: Frame) -> None:
    raise Continued("Continue")


@does("Noop", "BreakPoint")
def _noop(ev: Evaluator, term: Term, frame: Frame) -> None:
    pass


@runs("Notify")
def _notify(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    node = yield from node_of(ev, term.args[0], frame)
    value = yield from integer(ev, term.args[1], frame)
    yield ev.notify(node, value, frame)


@runs("Sleep")
def _sleep(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    yield ev.sleep(NS_PER_MS * (yield from integer(ev, term.args[0], frame)), frame)


@runs("Stall")
def _stall(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    yield ev.sleep(NS_PER_US * (yield from integer(ev, term.args[0], frame)), frame)


@does("Timer")
def _timer(ev: Evaluator, term: Term, frame: Frame) -> int:
    return ev.time_ns // TIMER_NS


@runs("Fatal")
def _fatal(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    kind, code, argument = term.args
    raise Fatal(kind, code, (yield from integer(ev, argument, frame)))


# ---------------------------------------------------------------- mutexes and events


def acquire(ev: Evaluator, mutex: Mutex, name: str, frame: Frame, timeout_ms: int = FOR_EVER_MS) -> Steps:
    """Take a mutex, perhaps after other runs have moved; True when it is taken.  A waiting step lasts a millisecond."""
    while mutex.owner not in (None, frame.run):
        if timeout_ms == 0:
            return False
        if timeout_ms != FOR_EVER_MS:
            timeout_ms -= 1
            yield ev.sleep(NS_PER_MS, frame)
        else:
            yield Waiting(frame.where, name)
    mutex.owner, mutex.depth = frame.run, mutex.depth + 1
    return True


def release(mutex: Mutex) -> None:
    mutex.depth -= 1
    if not mutex.depth:
        mutex.owner = None


def _typed(ev: Evaluator, term: Term, frame: Frame, kind: type) -> Steps:
    node = yield from node_of(ev, term, frame)
    if not isinstance(node.object, kind):
        raise AmlError(f"{node} is no {kind.__name__.lower()}")
    return node


@runs("Acquire")
def _acquire(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    node = yield from _typed(ev, term.args[0], frame, Mutex)
    taken = yield from acquire(ev, node.object, str(node), frame, term.args[1])
    return 0 if taken else ev.convert.mask


@runs("Release")
def _release(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    node = yield from _typed(ev, term.args[0], frame, Mutex)
    if node.object.owner is not frame.run:
        raise AmlError(f"{node} is released by who does not hold it")
    release(node.object)


@runs("Signal")
def _signal(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    (yield from _typed(ev, term.args[0], frame, Event)).object.signals += 1


@runs("Reset")
def _reset(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    (yield from _typed(ev, term.args[0], frame, Event)).object.signals = 0


@runs("Wait")
def _wait(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    node = yield from _typed(ev, term.args[0], frame, Event)
    timeout_ms = yield from integer(ev, term.args[1], frame)
    while not node.object.signals:
        if timeout_ms >= FOR_EVER_MS:
            yield Waiting(frame.where, str(node))
        elif timeout_ms == 0:
            return ev.convert.mask
        else:
            timeout_ms -= 1
            yield ev.sleep(NS_PER_MS, frame)
    node.object.signals -= 1
    return 0
