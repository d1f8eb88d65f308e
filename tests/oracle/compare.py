"""Compares what two engines made of one case, and says in words where they differ.

Approximate classes: "rcp" (relative error of RCPPS/RSQRTPS, 1.5 * 2**-12 each side), "x87" (transcendental
functions: one unit in the last place of 64 bits on either side).
"""
from __future__ import annotations

import struct
from collections.abc import Iterator

from .state import COMPARED_FLAGS, F80_MASK, GPR_NAMES, Case, Flags, Result, State, Window

RCP_RELATIVE_ERROR = 3 * 2.0 ** -12
SMALLEST_NORMAL = 2.0 ** -126     # RCPPS may flush smaller results
X87_ULPS = 2
MXCSR_CONTROL = 0xFFC0


def differences(case: Case, expected: Result, actual: Result, mxcsr_mask: int = 0xFFFF) -> list[str]:
    """Sentences, one for each difference the manual does not allow; an empty list means agreement.

    `mxcsr_mask`: bits of MXCSR to compare; MXCSR_CONTROL leaves out the exception flags.
    """
    found = list(_fault_differences(expected, actual))
    found += _gpr_differences(case, expected.state, actual.state)
    found += _flag_differences(case, expected.state, actual.state)
    found += _vector_differences(case, expected.state, actual.state, mxcsr_mask)
    found += _fpu_differences(case, expected.state, actual.state)
    found += _memory_differences(case, expected.state, actual.state)
    return found


def explain(case: Case, expected: Result, actual: Result, mxcsr_mask: int = 0xFFFF) -> str:
    """A report for people: the case, its registers, and every difference.  Empty when there is none."""
    found = differences(case, expected, actual, mxcsr_mask)
    if not found:
        return ""
    start = case.initial
    registers = " ".join(f"{name}={value:#x}" for name, value in zip(GPR_NAMES, start.gpr))
    return "\n".join([str(case), f"  before: {registers} rflags={start.rflags:#x}", *("  " + line for line in found)])


def _fault_differences(expected: Result, actual: Result) -> Iterator[str]:
    if (expected.fault and expected.fault.vector) != (actual.fault and actual.fault.vector):
        yield f"fault: expected {expected.fault}, got {actual.fault}"
    if expected.state.rip != actual.state.rip:
        yield f"rip: expected {expected.state.rip:#x}, got {actual.state.rip:#x}"


def _gpr_differences(case: Case, expected: State, actual: State) -> Iterator[str]:
    width = (1 << 64) - 1 if case.mode == 64 else (1 << 32) - 1
    for number in range(16 if case.mode == 64 else 8):
        mask = width & ~case.undefined_gpr.get(number, 0)
        want, got = expected.gpr[number] & mask, actual.gpr[number] & mask
        if want != got:
            yield f"{GPR_NAMES[number]}: expected {want:#x}, got {got:#x}"


def _flag_differences(case: Case, expected: State, actual: State) -> Iterator[str]:
    differing = (expected.rflags ^ actual.rflags) & COMPARED_FLAGS & ~case.undefined_flags
    for flag in Flags:
        if differing & flag:
            yield f"{flag.name}: expected {int(bool(expected.rflags & flag))}, got {int(bool(actual.rflags & flag))}"


def _vector_differences(case: Case, expected: State, actual: State, mxcsr_mask: int) -> Iterator[str]:
    for number in range(16 if case.mode == 64 else 8):
        want, got = expected.xmm[number], actual.xmm[number]
        if want != got and not (case.approximate == "rcp" and _close_singles(want, got)):
            yield f"xmm{number}: expected {want:#034x}, got {got:#034x}"
    if (expected.mxcsr ^ actual.mxcsr) & mxcsr_mask:
        yield f"mxcsr: expected {expected.mxcsr:#x}, got {actual.mxcsr:#x}"


def _fpu_differences(case: Case, expected: State, actual: State) -> Iterator[str]:
    want, got = expected.fpu, actual.fpu
    if want.cw != got.cw:
        yield f"fpu.cw: expected {want.cw:#x}, got {got.cw:#x}"
    if (want.sw ^ got.sw) & ~case.undefined_sw:
        yield f"fpu.sw: expected {want.sw:#x}, got {got.sw:#x} (undefined bits {case.undefined_sw:#x})"
    if want.tw != got.tw:
        yield f"fpu.tw: expected {want.tw:#06x}, got {got.tw:#06x}"
    for i in range(8):
        if want.st[i] != got.st[i] and not (case.approximate == "x87" and _close_f80(want.st[i], got.st[i])):
            yield f"st{i}: expected {want.st[i]:#022x}, got {got.st[i]:#022x}"


def _memory_differences(case: Case, expected: State, actual: State) -> Iterator[str]:
    for base, want in expected.memory.items():
        got = actual.memory[base]
        if want == got:
            continue
        for at in range(len(want)):
            if want[at] != got[at] and not _is_undefined(case.undefined_memory, base + at):
                yield f"[{base + at:#x}]: expected {want[at]:#04x}, got {got[at]:#04x}"


def _is_undefined(windows: tuple[Window, ...], address: int) -> bool:
    return any(window.contains(address) for window in windows)


def _close_singles(want: int, got: int) -> bool:
    for lane in range(4):
        one, other = want >> 32 * lane & 0xFFFFFFFF, got >> 32 * lane & 0xFFFFFFFF
        if one == other:
            continue
        a, b = (struct.unpack("<f", struct.pack("<I", bits))[0] for bits in (one, other))
        if not abs(a - b) <= max(RCP_RELATIVE_ERROR * abs(a), SMALLEST_NORMAL):
            return False
    return True


def _close_f80(want: int, got: int) -> bool:
    """Neighbouring values: the encodings of one sign are ordered once the explicit leading bit is dropped."""
    return want >> 79 == got >> 79 and abs(_ordered(want) - _ordered(got)) <= X87_ULPS


def _ordered(value: int) -> int:
    value &= F80_MASK >> 1
    return (value >> 64) << 63 | value & (1 << 63) - 1
