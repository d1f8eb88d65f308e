"""Rows of instruction facts on every back end, and on the host CPU so that no row is merely believed."""
from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.isa import engine_runner, runner
from tests.isa.rows import Row, all_rows
from tests.oracle import native, unicorn_oracle
from tests.oracle.state import Case, Result

BACK_ENDS: dict[str, Callable[[Case], Result]] = {"bytecode": runner.run, "engine": engine_runner.run}
ROWS = all_rows()
WITHOUT_ORACLE = "x86_limits.txt"


def report(row: Row, result: Result) -> str:
    return "\n".join([row.text, *("  " + problem for problem in row.problems(result))])


@pytest.mark.parametrize("back_end", BACK_ENDS)
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_an_instruction_does_what_its_row_says(row: Row, back_end: str) -> None:
    result = BACK_ENDS[back_end](row.case)
    assert not row.problems(result), report(row, result)


@pytest.mark.skipif(not native.available(), reason="this host cannot run x86-64 code")
def test_the_host_cpu_agrees_with_every_row() -> None:
    chosen = [row for row in ROWS if row.case.mode != 16]
    results = native.run_many([row.case for row in chosen])
    assert not [report(row, result) for row, result in zip(chosen, results) if row.problems(result)]


def test_unicorn_agrees_with_the_rows_of_real_mode() -> None:
    chosen = [row for row in ROWS if row.case.mode == 16 and row.file != WITHOUT_ORACLE]
    results = unicorn_oracle.run_many([row.case for row in chosen])
    assert not [report(row, result) for row, result in zip(chosen, results) if row.problems(result)]


def test_a_wrong_result_is_reported() -> None:
    row = next(row for row in ROWS if row.case.text == "xadd eax, eax")
    result = runner.run(row.case)
    result.state.gpr[0] += 1
    assert row.problems(result) == ["rax is 0x7, not 0x6 (of which 0xffffffffffffffff count)"]
