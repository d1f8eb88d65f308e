"""MMX and SSE to SSE4.2: random cases against the host CPU, and the rules about faults, alignment and MXCSR one by one."""
from __future__ import annotations

import pytest

from jit.x86.state import Cr0, Cr4, Mode, Vector
from tests.isa.vector_cases import disagreements, instruction, vector_cases
from tests.oracle import native, unicorn_oracle
from tests.oracle.assembler import assemble
from tests.oracle.known import unicorn_is_wrong
from tests.oracle.state import FLAT, MXCSR_RESET, TW_ALL_EMPTY, Case, State

PER_FORM = 4
DATA = FLAT.data_window.base
ONE, TINY = 0x3FF0_0000_0000_0000, 0x3CA0_0000_0000_0000         # 1.0, and less than half an ulp of it
SIGNALLING, INFINITY = 0x7FF4_0000_0000_0000, 0x7FF0_0000_0000_0000
IE, ZE, PE = 0x01, 0x04, 0x20
IM_SHIFT = 7
OPERAND_PREFIX = 0x66                   # capstone 5 ignores it before vector instructions in 16-bit mode

# Masked-response flags that differ beside an unmasked overflow or underflow: PE (see jit/x86/semantics/vector.py).
OE_UE_MASKS = 0x18 << IM_SHIFT


def xmm_state(*values: int, mxcsr: int = MXCSR_RESET) -> State:
    return State(xmm=[*values, *[0] * (16 - len(values))], mxcsr=mxcsr)


@pytest.mark.skipif(not native.available(), reason="this host cannot run x86-64 code")
@pytest.mark.parametrize("mode", (64, 32))
@pytest.mark.parametrize("group", ("mmx", "sse", "sse-rounding"))
def test_vector_instructions_do_what_the_host_cpu_does(group: str, mode: int) -> None:
    cases = vector_cases(group, mode, PER_FORM)
    found = disagreements(cases, native.run_many(cases))
    assert not found, "\n".join(found)


@pytest.mark.skipif(not native.available(), reason="this host cannot run x86-64 code")
def test_unmasked_exceptions_stop_the_instructions_that_the_host_cpu_stops() -> None:
    cases = vector_cases("sse-unmasked", 64, PER_FORM, lambda case: case.initial.mxcsr & OE_UE_MASKS == OE_UE_MASKS)
    assert cases
    found = disagreements(cases, native.run_many(cases))
    assert not found, "\n".join(found)


def test_mmx_instructions_work_in_real_mode_code() -> None:
    def comparable(case: Case) -> bool:
        return not unicorn_is_wrong(case) and not case.form.startswith("cvt") and OPERAND_PREFIX not in case.code[:3]

    cases = vector_cases("mmx", 16, 2, comparable)
    found = disagreements(cases, unicorn_oracle.run_many(cases))
    assert not found, "\n".join(found)


@pytest.mark.skipif(not native.available(), reason="this host cannot run x86-64 code")
def test_a_vector_access_that_faults_leaves_everything_as_it_was() -> None:
    cases = vector_cases("faults", 64, 2, lambda case: case.form.split()[0] in VECTOR_MNEMONICS)
    assert cases
    found = disagreements(cases, native.run_many(cases))
    assert not found, "\n".join(found)


VECTOR_MNEMONICS = {case.form.split()[0] for group in ("mmx", "sse") for case in vector_cases(group, 64, 1)}


@pytest.mark.skipif(not native.available(), reason="this host cannot run x86-64 code")
def test_crc32_does_what_the_host_cpu_does() -> None:
    cases = vector_cases("integer", 64, 10, lambda case: case.form.startswith("crc32"))
    assert cases
    found = disagreements(cases, native.run_many(cases))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("text", (
    "aesenc xmm1, xmm2", "aesenclast xmm1, xmm2", "aesdec xmm1, xmm2", "aesdeclast xmm1, xmm2", "aesimc xmm1, xmm2",
    "aeskeygenassist xmm1, xmm2, 27", "pclmulqdq xmm1, xmm2, 0", "pclmulqdq xmm1, xmm2, 17"))
def test_cipher_instructions_do_what_unicorn_does(text: str) -> None:
    values = [0x0123_4567_89AB_CDEF * (i + 3) << 61 & (1 << 128) - 1 for i in range(16)]
    actual = instruction(text, xmm_state(*values)).state
    expected = unicorn_oracle.run(Case(text, assemble(text), 64, start_of(values))).state
    assert actual.xmm[1] == expected.xmm[1] != values[1]


def start_of(values: list[int]) -> State:
    state = xmm_state(*values)
    state.memory = {window.base: bytes(window.size) for window in FLAT.windows}
    state.rip = FLAT.entry
    return state


# --- MXCSR
def test_stmxcsr_sees_the_flags_that_earlier_instructions_raised() -> None:
    result = instruction("addsd xmm0, xmm1; stmxcsr dword ptr [rdi]", xmm_state(ONE, TINY))
    assert result.state.load(DATA, 4) == MXCSR_RESET | PE


def test_ldmxcsr_clears_flags() -> None:
    state = xmm_state(ONE, TINY)
    state.memory[DATA] = MXCSR_RESET.to_bytes(4, "little").ljust(FLAT.data_window.size, b"\0")
    result = instruction("addsd xmm0, xmm1; ldmxcsr dword ptr [rdi]; stmxcsr dword ptr [rdi + 8]", state)
    assert result.state.mxcsr == MXCSR_RESET
    assert result.state.load(DATA + 8, 4) == MXCSR_RESET


def test_ldmxcsr_refuses_reserved_bits() -> None:
    state = xmm_state()
    state.memory[DATA] = (1 << 16 | MXCSR_RESET).to_bytes(4, "little").ljust(FLAT.data_window.size, b"\0")
    result = instruction("ldmxcsr dword ptr [rdi]", state)
    assert result.fault and result.fault.vector == Vector.GP
    assert result.state.mxcsr == MXCSR_RESET


def test_rounding_control_takes_effect() -> None:
    toward_plus_infinity = MXCSR_RESET | 2 << 13
    result = instruction("addsd xmm0, xmm1", xmm_state(ONE, TINY, mxcsr=toward_plus_infinity))
    assert result.state.xmm[0] == ONE + 1


@pytest.mark.parametrize("cr4, vector", ((Cr4.OSFXSR | Cr4.OSXMMEXCPT, Vector.XM), (Cr4.OSFXSR, Vector.UD)))
def test_an_unmasked_exception_is_xm_or_ud_without_osxmmexcpt(cr4: Cr4, vector: Vector) -> None:
    state = xmm_state(SIGNALLING, ONE, mxcsr=MXCSR_RESET & ~(IE << IM_SHIFT))
    result = instruction("addsd xmm0, xmm1", state, cr4=int(cr4))
    assert result.fault and result.fault.vector == vector
    assert result.state.xmm[0] == SIGNALLING
    assert result.state.mxcsr & IE


def test_a_flag_that_was_set_before_does_not_raise_an_unmasked_exception() -> None:
    state = xmm_state(ONE, ONE, mxcsr=MXCSR_RESET & ~(IE << IM_SHIFT) | IE)
    assert instruction("addsd xmm0, xmm1", state).fault is None


# --- availability and alignment
@pytest.mark.parametrize("cr0, cr4, vector", (
    (0, Cr4.OSFXSR, Vector.NM), (Cr0.TS, Cr4.OSFXSR, Vector.NM), (Cr0.EM, Cr4.OSFXSR, Vector.UD),
    (Cr0.TS | Cr0.EM, Cr4.OSFXSR, Vector.UD), (Cr0.TS, 0, Vector.UD)))
def test_sse_is_unavailable_under_em_ts_or_without_osfxsr(cr0: int, cr4: int, vector: Vector) -> None:
    if not cr0:
        cr0 = Cr0.TS | Cr0.MP
    result = instruction("addps xmm0, xmm1", without=Mode.SSE | Mode.FPU, cr0=int(cr0), cr4=int(cr4))
    assert result.fault and result.fault.vector == vector


@pytest.mark.parametrize("cr0, vector", ((Cr0.TS, Vector.NM), (Cr0.EM, Vector.UD), (Cr0.EM | Cr0.TS, Vector.UD)))
def test_mmx_is_unavailable_under_em_or_ts(cr0: Cr0, vector: Vector) -> None:
    result = instruction("paddb mm0, mm1", without=Mode.SSE | Mode.FPU, cr0=int(cr0))
    assert result.fault and result.fault.vector == vector


@pytest.mark.parametrize("text", ("movaps xmm0, [rax]", "movaps [rax], xmm0", "paddb xmm0, [rax]", "movntdq [rax], xmm0"))
def test_a_misaligned_operand_is_gp(text: str) -> None:
    state = xmm_state()
    state.gpr[0] = DATA + 8
    result = instruction(text, state)
    assert result.fault and (result.fault.vector, result.fault.error) == (Vector.GP, 0)


@pytest.mark.parametrize("text", (
    "movups xmm0, [rax]", "lddqu xmm0, [rax]", "pcmpistri xmm0, [rax], 0", "movsd xmm0, [rax]"))
def test_unaligned_forms_take_any_address(text: str) -> None:
    state = xmm_state()
    state.gpr[0] = DATA + 7
    assert instruction(text, state).fault is None


# --- MMX
def test_an_mmx_write_makes_all_tags_valid_and_top_zero() -> None:
    state = State()
    state.fpu.sw = 3 << 11
    result = instruction("paddb mm2, mm3", state)
    assert result.state.fpu.top == 0
    assert result.state.fpu.tw != TW_ALL_EMPTY
    assert result.state.fpu.st[2] >> 64 == 0xFFFF


def test_emms_empties_all_registers() -> None:
    assert instruction("paddb mm2, mm3; emms").state.fpu.tw == TW_ALL_EMPTY


def test_division_by_zero_is_infinity_and_a_flag() -> None:
    result = instruction("divsd xmm0, xmm1", xmm_state(ONE, 0))
    assert result.state.xmm[0] == INFINITY
    assert result.state.mxcsr == MXCSR_RESET | ZE
