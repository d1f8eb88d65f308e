"""x87: random cases against the host CPU, and the rules about stack, control and pending exceptions one by one."""
from __future__ import annotations

import pytest

from jit.x86.state import Cr0, Cr4, Mode, Vector
from tests.isa.vector_cases import disagreements, instruction, vector_cases
from tests.oracle import native
from tests.oracle.state import FLAT, TW_ALL_EMPTY, Fpu, State, full_tags

PER_FORM = 12
DATA = FLAT.data_window.base
ONE, TWO, THREE = 0x3FFF_8000_0000_0000_0000, 0x4000_8000_0000_0000_0000, 0x4000_C000_0000_0000_0000
INDEFINITE = 0xFFFF_C000_0000_0000_0000
CW, IM = 0x37F, 1
IE, SF, ES, C1, B = 0x01, 0x40, 0x80, 0x200, 0x8000


def fpu_state(*values: int, cw: int = CW, sw: int = 0) -> State:
    """The stack holds `values`, ST(0) first; the other registers are empty."""
    state = State()
    st = [*values, *[0] * (8 - len(values))]
    top = sw >> 11 & 7
    valid = sum(1 << ((top + i) & 7) for i in range(len(values)))
    state.fpu = Fpu(cw=cw, sw=sw, tw=full_tags(valid, top, st), st=st)
    return state


@pytest.mark.skipif(not native.available(), reason="this host cannot run x86-64 code")
@pytest.mark.parametrize("group, mode", (("x87", 64), ("x87", 32), ("x87-unmasked", 64), ("x87-unmasked", 32)))
def test_x87_instructions_do_what_the_host_cpu_does(group: str, mode: int) -> None:
    cases = vector_cases(group, mode, PER_FORM)
    found = disagreements(cases, native.run_many(cases))
    assert not found, "\n".join(found)


@pytest.mark.skipif(not native.available(), reason="this host cannot run x86-64 code")
def test_an_x87_access_that_faults_leaves_everything_as_it_was() -> None:
    cases = vector_cases("faults", 64, 3, lambda case: case.form.startswith("f"))
    assert cases
    found = disagreements(cases, native.run_many(cases))
    assert not found, "\n".join(found)


# --- the register stack
def test_adding_an_empty_register_is_a_stack_underflow() -> None:
    result = instruction("fadd st(0), st(1)", fpu_state(ONE))
    assert result.state.fpu.st[0] == INDEFINITE
    assert result.state.fpu.sw & (IE | SF | C1) == IE | SF


def test_pushing_onto_a_full_stack_is_an_overflow_with_c1() -> None:
    result = instruction("fld1", fpu_state(*[TWO] * 8))
    assert result.state.fpu.st[0] == INDEFINITE
    assert result.state.fpu.sw & (IE | SF | C1) == IE | SF | C1
    assert result.state.fpu.top == 7


def test_an_unmasked_underflow_changes_nothing_but_flags() -> None:
    result = instruction("faddp st(1), st(0)", fpu_state(ONE, cw=CW & ~IM))
    assert result.state.fpu.st[0] == ONE
    assert result.state.fpu.top == 0
    assert result.state.fpu.sw == IE | SF | ES | B


def test_flags_stay_until_they_are_cleared() -> None:
    result = instruction("fadd st(0), st(1); fld1; fnstsw ax; fnclex", fpu_state(ONE))
    assert result.state.gpr[0] & (IE | SF) == IE | SF
    assert result.state.fpu.sw & (IE | SF) == 0


def test_flags_raised_before_fnclex_do_not_come_back() -> None:
    result = instruction("fdivp st(1), st(0); fnclex; fld1", fpu_state(THREE, ONE))
    assert result.state.fpu.sw & 0xFF == 0


@pytest.mark.parametrize("full, c1", ((True, C1), (False, 0)))
def test_loading_st7_overflows_or_underflows(full: bool, c1: int) -> None:
    """The register to be read is the one to be written."""
    result = instruction("fld st(7)", fpu_state(*[TWO] * (8 if full else 7)))
    assert result.state.fpu.st[0] == INDEFINITE
    assert result.state.fpu.sw & (IE | SF | C1) == IE | SF | c1


# --- pending exceptions
def test_a_pending_exception_is_mf_at_the_next_waiting_instruction() -> None:
    result = instruction("fadd st(0), st(1); fld1", fpu_state(ONE, cw=CW & ~IM))
    assert result.fault and result.fault.vector == Vector.MF
    assert result.state.rip == FLAT.entry + 2


def test_a_pending_exception_is_not_mf_without_ne() -> None:
    result = instruction("fld1", fpu_state(sw=IE | ES | B, cw=CW & ~IM), cr0=int(Cr0.PE | Cr0.PG))
    assert result.fault is None


def test_control_instructions_do_not_wait() -> None:
    result = instruction("fnstcw word ptr [rdi]; fnstsw ax; fnclex; fld1", fpu_state(sw=IE | ES | B, cw=CW & ~IM))
    assert result.fault is None


def test_wait_raises_what_is_pending() -> None:
    result = instruction("wait", fpu_state(sw=IE | ES | B, cw=CW & ~IM))
    assert result.fault and result.fault.vector == Vector.MF


@pytest.mark.parametrize("cr0, faults", ((Cr0.TS, False), (Cr0.MP, False), (Cr0.MP | Cr0.TS, True)))
def test_wait_needs_mp_and_ts_for_nm(cr0: Cr0, faults: bool) -> None:
    result = instruction("wait", without=Mode.FPU, cr0=int(cr0))
    assert (result.fault is not None and result.fault.vector == Vector.NM) == faults


@pytest.mark.parametrize("cr0", (Cr0.TS, Cr0.EM))
@pytest.mark.parametrize("text", ("fld1", "fnstsw ax", "fninit", "fnsave [rdi]", "fxsave [rdi]"))
def test_x87_is_unavailable_under_em_or_ts(text: str, cr0: Cr0) -> None:
    result = instruction(text, without=Mode.FPU, cr0=int(cr0))
    assert result.fault and result.fault.vector == Vector.NM


# --- state in memory
def test_fnsave_initialises_and_frstor_brings_everything_back() -> None:
    state = fpu_state(ONE, TWO, THREE, cw=0x27F, sw=5 << 11)
    result = instruction("fnsave [rdi]; fld1; fldz; frstor [rdi]", state)
    assert result.state.fpu == state.fpu


def test_fnsave_leaves_an_initialised_unit() -> None:
    result = instruction("fnsave [rdi]", fpu_state(ONE, TWO, cw=0x27F, sw=5 << 11))
    assert (result.state.fpu.cw, result.state.fpu.sw, result.state.fpu.tw) == (CW, 0, TW_ALL_EMPTY)


def test_a_16_bit_environment_has_14_bytes() -> None:
    result = instruction("data16 fnstenv [rdi]", fpu_state(ONE, cw=CW, sw=7 << 11))
    assert result.state.load(DATA, 2) == CW
    assert result.state.load(DATA + 2, 2) == 7 << 11
    assert result.state.load(DATA + 4, 2) == 0x3FFF
    assert result.state.load(DATA + 14, 8) == 0


def test_fip_is_the_last_non_control_instruction() -> None:
    result = instruction("fld1; fnstenv [rdi]")
    assert result.state.load(DATA + 12, 4) == FLAT.entry


@pytest.fixture
def xsave_record() -> dict[str, int]:
    return {"cr4": int(Cr4.OSFXSR | Cr4.OSXMMEXCPT | Cr4.OSXSAVE), "xcr0": 3}


def vectors(state: State) -> State:
    state.xmm = [i * 0x0101_0101_0101_0101_0101 + 1 for i in range(16)]
    return state


def test_xsave_and_xrstor_are_a_round_trip(xsave_record: dict[str, int]) -> None:
    state = vectors(fpu_state(ONE, TWO, cw=0x27F, sw=6 << 11))
    state.gpr[0] = 3
    text = "xsave64 [rdi]; pxor xmm3, xmm3; fninit; xrstor64 [rdi]"
    result = instruction(text, state, **xsave_record)
    assert result.fault is None
    assert result.state.fpu == state.fpu
    assert result.state.xmm == state.xmm
    assert result.state.load(DATA + 512, 8) == 3


def test_xrstor_initialises_what_the_header_lacks(xsave_record: dict[str, int]) -> None:
    state = vectors(fpu_state(ONE, sw=6 << 11))
    state.gpr[0] = 3
    state.memory[DATA] = bytes(24) + (0x1F80).to_bytes(4, "little") + bytes(FLAT.data_window.size - 28)
    result = instruction("xrstor [rdi]", state, **xsave_record)
    assert result.state.xmm == [0] * 16
    assert result.state.fpu.tw == TW_ALL_EMPTY


def test_xsave_writes_only_what_is_asked_for(xsave_record: dict[str, int]) -> None:
    state = vectors(fpu_state(ONE))
    state.gpr[0] = 2
    result = instruction("xsave [rdi]", state, **xsave_record)
    assert result.state.load(DATA, 2) == 0
    assert result.state.load(DATA + 160, 8) == 1
    assert result.state.load(DATA + 512, 8) == 2


@pytest.mark.parametrize("offset", (8, 16, 32))
def test_xsave_needs_64_byte_alignment(offset: int, xsave_record: dict[str, int]) -> None:
    result = instruction(f"xsave [rdi + {offset}]", **xsave_record)
    assert result.fault and result.fault.vector == Vector.GP


def test_xsave_needs_osxsave() -> None:
    result = instruction("xsave [rdi]", cr4=int(Cr4.OSFXSR))
    assert result.fault and result.fault.vector == Vector.UD


def test_fxrstor_refuses_reserved_mxcsr_bits() -> None:
    state = fpu_state(ONE)
    state.memory[DATA] = bytes(24) + b"\xff\xff\xff\xff" + bytes(FLAT.data_window.size - 28)
    result = instruction("fxrstor [rdi]", state)
    assert result.fault and result.fault.vector == Vector.GP
    assert result.state.fpu == state.fpu
