"""Random cases of vector and x87 instructions on the bytecode back end, and short programs for hand-written tests."""
from __future__ import annotations

from collections.abc import Callable

from jit.x86.state import Mode
from tests.isa import runner
from tests.oracle import forms
from tests.oracle.assembler import assemble
from tests.oracle.compare import explain
from tests.oracle.state import RDI, Case, Result, State, layout

SEED = 1
SHOWN = 10
MXCSR_MASKS, MXCSR_MASKS_SHIFT = 0x3F, 7


def vector_cases(group: str, mode: int, per_form: int, only: Callable[[Case], bool] = lambda case: True) -> list[Case]:
    return [case for case in forms.cases(group, seed=SEED, per_form=per_form, mode=mode) if only(case)]


def run(case: Case) -> Result:
    """The case in the block mode that its MXCSR asks for."""
    machine = runner.machine(case.mode)
    unmasked = (case.initial.mxcsr >> MXCSR_MASKS_SHIFT) & MXCSR_MASKS != MXCSR_MASKS
    before = machine.block_mode
    machine.block_mode = before | Mode.UNMASKED if unmasked else before
    try:
        return machine.run(case)
    finally:
        machine.block_mode = before


def disagreements(cases: list[Case], expected: list[Result]) -> list[str]:
    found = [text for case, result in zip(cases, expected) if (text := explain(case, result, run(case)))]
    return found[:SHOWN] + ([f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else [])


NOTHING = Mode(0)


def instruction(text: str, state: State | None = None, mode: int = 64, without: Mode = NOTHING, **record: int) -> Result:
    """Instructions from `state`, with RDI at the data window, which is empty unless given.

    `record` sets fields of the CPU record, such as cr4, for this run; `without` clears bits of the block mode.
    """
    state = state or State()
    place = layout(mode)
    for window in place.windows:
        state.memory.setdefault(window.base, bytes(window.size))
    state.rip, state.gpr[RDI] = place.entry, place.data_window.base
    machine = runner.machine(mode)
    kept = {name: machine.get(name) for name in record}
    before = machine.block_mode
    machine.block_mode = before & ~without
    for name, value in record.items():
        machine.put(name, value)
    try:
        return run(Case(text, assemble(text, mode), mode, state))
    finally:
        machine.block_mode = before
        for name, value in kept.items():
            machine.put(name, value)
