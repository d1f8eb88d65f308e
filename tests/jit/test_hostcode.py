"""Host snippets: values of every width in and out, the guest's MXCSR around them, and the host's left alone."""
from __future__ import annotations

import platform

import pytest

from jit import hostcode

pytestmark = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="snippets are x86-64 code")

RESET = hostcode.MXCSR_MASKS
ONE, TINY = 0x3FF0_0000_0000_0000, 0x3CA0_0000_0000_0000
INEXACT = 0x20
ROUND_UP = 2 << 13
ADD_DOUBLE = ("addsd $2, $0", "=x,0,x", 128)


@pytest.fixture(autouse=True)
def guest() -> object:
    before = hostcode.enter(RESET)
    yield
    hostcode.enter(before)


@pytest.mark.parametrize("bits", (8, 16, 32, 64))
def test_integers_pass_through_general_registers(bits: int) -> None:
    value = (1 << bits) - 3
    assert hostcode.run("add $2, $0", "=r,0,r,~{flags}", bits, (value, bits), (2, bits)) == value + 2


def test_vectors_pass_through_vector_registers() -> None:
    a, b = 0x0102_0304 << 96 | 0xFF, 0x0101_0101 << 96 | 2
    assert hostcode.run("paddb $2, $0", "=x,0,x", 128, (a, 128), (b, 128)) == 0x0203_0405 << 96 | 1


def test_a_snippet_without_a_result_returns_zero() -> None:
    assert hostcode.run("nop", "", 0) == 0


def test_sticky_flags_collect_until_leave() -> None:
    hostcode.run(*ADD_DOUBLE, (ONE, 128), (TINY, 128))
    hostcode.run(*ADD_DOUBLE, (ONE, 128), (ONE, 128))
    assert hostcode.leave() == INEXACT


def test_the_guests_rounding_mode_rules_inside_and_not_outside() -> None:
    hostcode.enter(RESET | ROUND_UP)
    assert hostcode.run(*ADD_DOUBLE, (ONE, 128), (TINY, 128)) == ONE + 1
    assert 1.0 + 2.0 ** -53 == 1.0


def test_exceptions_are_masked_whatever_the_guest_says() -> None:
    hostcode.enter(0)
    hostcode.run("divsd $2, $0", "=x,0,x", 128, (ONE, 128), (0, 128))
    assert hostcode.leave() & 4


def test_a_snippet_may_load_another_mxcsr() -> None:
    hostcode.run(*ADD_DOUBLE, (ONE, 128), (TINY, 128))
    hostcode.run("pushq $0; ldmxcsr (%rsp); popq %rax", "r,~{ax},~{memory}", 0, (RESET, 64))
    assert hostcode.leave() == 0


def test_x87_flags_of_one_snippet_do_not_reach_the_next() -> None:
    hostcode.run("fld1; fldz; fdivrp; fstp %st(0)", "~{st},~{st(1)}", 0)
    assert hostcode.run("fnstsw %ax", "={ax}", 16) & 0x3F == 0


def test_too_many_arguments_are_refused_in_words() -> None:
    with pytest.raises(hostcode.HostCodeError, match="at most 8 arguments"):
        hostcode.run("nop", ",".join(["r"] * 9), 0, *[(0, 64)] * 9)
