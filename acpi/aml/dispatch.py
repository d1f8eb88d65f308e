"""Which function runs which opcode; operators.py, statements.py and their like fill the table.

Everything that runs AML is a generator of steps that returns a value, so that a caller may do anything between two steps.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from .parser import Term
from .steps import Step
from .values import Frame

if TYPE_CHECKING:
    from .evaluator import Evaluator

Steps = Generator[Step, None, Any]
Handler = Callable[["Evaluator", Term, Frame], Steps]
HANDLERS: dict[str, Handler] = {}


def runs(*opcodes: str) -> Callable[[Handler], Handler]:
    """The decorated generator runs these opcodes."""

    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(opcodes, handler))
        return handler

    return register


def gives(*opcodes: str) -> Callable[[Callable[[Evaluator, Term, Frame], Any]], Any]:
    """The decorated function has the value of these opcodes at once: no operands to run, no steps."""

    def register(function: Callable[[Evaluator, Term, Frame], Any]) -> Any:
        def handler(ev: Evaluator, term: Term, frame: Frame) -> Steps:
            return function(ev, term, frame)
            yield  # makes it a generator

        HANDLERS.update(dict.fromkeys(opcodes, handler))
        return function

    return register
