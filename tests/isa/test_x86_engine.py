"""Translated code on the engine: every instruction form as one case, through decoder, form key, template, stencil and real
exception delivery.  (The reference back end has more cases of each: test_x86_random.py, test_sse.py, test_x87.py.)"""
from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from tests.isa import engine_runner
from tests.isa.engine_runner import TooLong
from tests.oracle import forms, native, unicorn_oracle
from tests.oracle.compare import explain
from tests.oracle.known import unicorn_is_wrong
from tests.oracle.state import Case, Flags, Result, Vector

SEED = 2
SHOWN = 10
PRESENT = 1                                         # in #PF's error code: the host may not have mapped its read-only page yet
UNICORN_16 = ("popcnt *", "crc32 *")                # takes the operand size the wrong way round
FAULTING = ("add {m*", "mov {m*", "mov {r*}, {m*", "xchg {m*", "cmpxchg {m*", "push {m*", "pop {m*", "imul {r*}, {m*", "div {m*",
            "movups {m*", "movaps {x}, {m*", "fld {m*", "paddb {q}, {m*", "lock xadd *")


def disagreements(cases: list[Case], expected: list[Result]) -> list[str]:
    assert cases
    found = []
    for case, result in zip(cases, expected):
        try:
            text = explain(case, result, engine_runner.run(case))
        except TooLong as error:
            text = str(error)
        if text:
            found.append(text)
    return found[:SHOWN] + ([f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else [])


@pytest.mark.skipif(not native.available(), reason="this host cannot run x86-64 code")
@pytest.mark.parametrize("group, mode", [
    *((group, mode) for group in ("integer", "string", "stack", "branch") for mode in (64, 32)),
    ("x87", 64), ("mmx", 64), ("sse", 64), ("sse-rounding", 64)])
def test_every_form_does_what_the_host_cpu_does(group: str, mode: int) -> None:
    cases = list(forms.cases(group, seed=SEED, per_form=1, mode=mode))
    found = disagreements(cases, native.run_many(cases))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("group", ("integer", "string", "stack", "branch"))
def test_every_form_of_real_mode_code_does_what_unicorn_does(group: str) -> None:
    cases = [case for case in forms.cases(group, seed=SEED, per_form=1, mode=16)
             if not unicorn_is_wrong(case) and not any(fnmatchcase(case.form, p) for p in UNICORN_16)]
    found = disagreements(cases, unicorn_oracle.run_many(cases))
    assert not found, "\n".join(found)


@pytest.mark.skipif(not native.available(), reason="this host cannot run x86-64 code")
@pytest.mark.parametrize("mode", (64, 32))
def test_an_access_that_faults_is_delivered_with_its_error_code_and_address(mode: int) -> None:
    cases = [case for case in forms.cases("faults", seed=SEED, per_form=3, mode=mode)
             if any(fnmatchcase(case.form, pattern) for pattern in FAULTING)]
    expected = native.run_many(cases)
    found = disagreements(cases, expected)
    assert not found, "\n".join(found)
    for case, result in zip(cases, expected):
        if result.fault and result.fault.vector == Vector.PF:
            fault, expected_fault = engine_runner.run(case).fault, result.fault
            assert fault and fault.address == expected_fault.address, str(case)
            assert fault.error | PRESENT == expected_fault.error | PRESENT, str(case)


@pytest.mark.skipif(not native.available(), reason="this host cannot run x86-64 code")
def test_code_that_was_overwritten_runs_as_it_is_now() -> None:
    case = next(iter(forms.cases("integer", seed=SEED, per_form=1, mode=64)))
    other = Case("inc eax; nop", bytes.fromhex("ffc090"), 64, case.initial, undefined_flags=int(Flags(0)))
    for one in (case, other, case, other):
        assert not explain(one, native.run(one), engine_runner.run(one))
