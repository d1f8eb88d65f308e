"""Random programs on the engine, whole, in slices and instruction by instruction; and on the bytecode back end.  The host CPU
says what is right.  (test_x86_programs.py has smaller ones.)"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

import pytest

from jit.x86.state import Gpr
from tests.isa import engine_runner, runner
from tests.isa.programs import program
from tests.oracle import forms, native
from tests.oracle.assembler import assemble
from tests.oracle.compare import explain
from tests.oracle.state import Case, Result

SHOWN = 3
FEW, MANY = range(150), range(1000, 6000)
FEW_ON_BYTECODE = range(20)
WRITES_ALL_FLAGS = "cmp esp, 8"

pytestmark = pytest.mark.skipif(not native.available(), reason="this host cannot run x86-64 code")


@cache
def expected(seeds: range) -> list[tuple[Case, Result]]:
    cases = [program(seed) for seed in seeds]
    return list(zip(cases, native.run_many(cases)))


def disagreements(pairs: list[tuple[Case, Result]], run: Callable[[Case], Result]) -> str:
    assert pairs
    found = [text for case, result in pairs if (text := explain(case, result, run(case)))]
    return "\n".join([*found[:SHOWN], f"{len(found)} of {len(pairs)} disagree"]) if found else ""


@contextmanager
def sliced(budget: int = engine_runner.BUDGET, alone: bool = False) -> Iterator[Callable[[Case], Result]]:
    """The engine's `run`, in slices of `budget` instructions, or each instruction alone in its block."""
    machine = engine_runner.machine(64)
    machine.budget, machine.alone = budget, alone
    try:
        yield engine_runner.run
    finally:
        del machine.budget, machine.alone


def test_programs_do_what_they_do_on_the_host_cpu() -> None:
    assert not disagreements(expected(FEW), engine_runner.run)


@pytest.mark.slow
def test_many_programs_do_what_they_do_on_the_host_cpu() -> None:
    assert not disagreements(expected(MANY), engine_runner.run)


@pytest.mark.parametrize("budget", (1, 7))
def test_programs_do_the_same_in_slices(budget: int) -> None:
    with sliced(budget) as run:
        assert not disagreements(expected(FEW), run)


def test_programs_do_the_same_instruction_by_instruction() -> None:
    with sliced(alone=True) as run:
        assert not disagreements(expected(FEW), run)


def test_programs_do_the_same_on_the_bytecode_back_end() -> None:
    assert not disagreements(expected(FEW_ON_BYTECODE), runner.run)


@pytest.mark.parametrize("mode, groups", (
    (64, ("string", "stack", "mmx", "x87")), (32, ("string", "stack")),
    *(pytest.param(mode, ("integer", "sse"), marks=pytest.mark.slow) for mode in (64, 32))))
def test_forms_whose_flags_nobody_reads_do_the_rest_all_the_same(mode: int, groups: tuple[str, ...]) -> None:
    """Behind each comes an instruction that writes all flags, so that its own flag writes are dropped."""
    tail = assemble(WRITES_ALL_FLAGS, mode)
    cases = [replace(case, code=case.code + tail, undefined_flags=0)
             for group in groups for case in forms.cases(group, seed=3, per_form=1, mode=mode)
             if not case.undefined_gpr.get(Gpr.RSP)]                # what the added instruction compares
    assert not disagreements(list(zip(cases, native.run_many(cases))), engine_runner.run)
