"""Random cases of every integer form: the bytecode back end against the host CPU (64- and 32-bit code) and unicorn (16-bit).

Deterministic: a case depends only on its form, its mode and the seed.  Each disagreement is printed with the machine code and
the registers before it.
"""
from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from tests.isa import runner
from tests.oracle import forms, native, unicorn_oracle
from tests.oracle.compare import explain
from tests.oracle.known import unicorn_is_wrong
from tests.oracle.state import Case, Flags, Result, Vector

INTEGER_GROUPS = ("integer", "string", "stack", "branch")
SEED = 1
PER_FORM = {64: 8, 32: 5, 16: 5}
SHOWN = 10
UNICORN_16 = ("popcnt *", "crc32 *")                   # takes the operand size the wrong way round
DELIVERED = ("int3", "into")                        # go through an IDT, which these cases have not
LAST_PAGE = 0xFFFF_F000
INTEGER_FORMS = {form.text for group in INTEGER_GROUPS for mode in (64, 32, 16) for form in forms.forms(group, mode)}


def integer_cases(group: str, mode: int) -> list[Case]:
    found = forms.cases(group, seed=SEED, per_form=PER_FORM[mode], mode=mode)
    return [case for case in found if case.form in INTEGER_FORMS and case.form not in DELIVERED]


def disagreements(cases: list[Case], expected: list[Result]) -> list[str]:
    found = []
    for case, result in zip(cases, expected):
        actual = runner.run(case)
        if not _wraps_at_4_gib(result, actual) and (text := explain(case, result, actual)):
            found.append(text)
    return found[:SHOWN] + ([f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else [])


def _wraps_at_4_gib(expected: Result, actual: Result) -> bool:
    """The limit of a flat segment is not checked: an access across FFFFFFFFh page-faults instead of #GP or #SS."""
    return expected.fault is not None and actual.fault is not None and expected.fault.vector in (Vector.GP, Vector.SS) \
        and actual.fault.vector == Vector.PF and actual.fault.address >= LAST_PAGE


@pytest.mark.skipif(not native.available(), reason="this host cannot run x86-64 code")
@pytest.mark.parametrize("mode", (64, 32))
@pytest.mark.parametrize("group", INTEGER_GROUPS)
def test_integer_instructions_do_what_the_host_cpu_does(group: str, mode: int) -> None:
    cases = integer_cases(group, mode)
    found = disagreements(cases, native.run_many(cases))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("group", INTEGER_GROUPS)
def test_real_mode_code_does_what_unicorn_does(group: str) -> None:
    cases = [case for case in integer_cases(group, 16)
             if not unicorn_is_wrong(case) and not any(fnmatchcase(case.form, p) for p in UNICORN_16)]
    found = disagreements(cases, unicorn_oracle.run_many(cases))
    assert not found, "\n".join(found)


@pytest.mark.skipif(not native.available(), reason="this host cannot run x86-64 code")
@pytest.mark.parametrize("mode", (64, 32))
def test_an_access_that_faults_leaves_everything_as_it_was(mode: int) -> None:
    cases = integer_cases("faults", mode)
    for case in cases:
        if case.form.removeprefix("lock ").startswith(("bts ", "btr ", "btc ")):
            case.undefined_flags |= Flags.CF        # some processors set CF before the write that faults
    found = disagreements(cases, native.run_many(cases))
    assert not found, "\n".join(found)
