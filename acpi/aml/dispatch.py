"""Which function runs which opcode; operators.py, statements.py and their like fill the table.

Everything that runs AML is a generator of steps that returns a value, so that a caller may do anything between two steps.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from .conversions import IsReference
from .parser import Term
from .steps import Step
from .values import Frame, Reference

if TYPE_CHECKING:
    from .evaluator import Evaluator

Steps = Generator[Step, None, Any]
Handler = Callable[["Evaluator", Term, Frame], Steps]
Plain = Callable[["Evaluator", Term, Frame], Any]
Compute = Callable[["Evaluator", Frame], Any]
Computer = Callable[[Term], "Compute | None"]
HANDLERS: dict[str, Handler] = {}
# makes of a term a function that has its value at once, without the cost of a generator; None if the term may have effects
COMPUTERS: dict[str, Computer] = {}


def runs(*opcodes: str) -> Callable[[Handler], Handler]:
    """The decorated generator runs these opcodes."""

    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(opcodes, handler))
        return handler

    return register


def does(*opcodes: str) -> Callable[[Plain], Plain]:
    """The decorated function runs these opcodes: a statement without steps of its own."""

    def register(function: Plain) -> Plain:
        def handler(ev: Evaluator, term: Term, frame: Frame) -> Steps:
            return function(ev, term, frame)
            yield  # makes it a generator

        HANDLERS.update(dict.fromkeys(opcodes, handler))
        return function

    return register


def computes(*opcodes: str) -> Callable[[Computer], Computer]:
    """The decorated function makes of a term the function that has its value at once."""

    def register(computer: Computer) -> Computer:
        def handler(ev: Evaluator, term: Term, frame: Frame) -> Steps:
            return compute(term)(ev, frame)  # type: ignore[misc]
            yield

        HANDLERS.update(dict.fromkeys(opcodes, handler))
        COMPUTERS.update(dict.fromkeys(opcodes, computer))
        return computer

    return register


def compute(term: Term) -> Compute | None:
    """The function that has the term's value, if there is one; it raises IsReference where a reference has to be read."""
    if term.compute is None:
        computer = COMPUTERS.get(term.op.name)
        term.compute = computer and computer(term) or False
    return term.compute or None


def raw(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    """The value of an operand, perhaps a reference."""
    if function := compute(term):
        try:
            return function(ev, frame)
        except IsReference:
            pass
    return (yield from HANDLERS[term.op.name](ev, term, frame))


def data(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    """An operand as data: references are looked through."""
    value = yield from raw(ev, term, frame)
    return (yield from ev.plain(value, frame)) if isinstance(value, Reference) else value


def integer(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    """An operand as an integer."""
    if function := compute(term):
        try:
            return ev.convert.to_integer(function(ev, frame))
        except IsReference:
            pass
    return ev.convert.to_integer((yield from data(ev, term, frame)))
