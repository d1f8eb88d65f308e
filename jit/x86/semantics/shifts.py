"""Shifts and rotates (Intel SDM vol. 2: SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD).

Counts are taken modulo 32 (64 for 64-bit operands); a count of 0 changes no flag.  OF is defined for counts of 1; for others
it follows the same formula.
"""
from __future__ import annotations

from jit.ir import Value
from jit.x86.builder import Builder, semantics
from jit.x86.insn import Operand


def _count(b: Builder, op: Operand, bits: int) -> Value:
    """The masked count, `bits` wide."""
    value = b.immediate(op, 8) if op.kind == "imm" else b.load(op)
    return (value & (63 if bits == 64 else 31)).resize(bits)


def _unless_zero(b: Builder, op: Operand, count: Value) -> None:
    """Keep the old flags when the count is 0; a shift by the constant 1 need not ask."""
    if b.insn.opcode[0] not in (0xD0, 0xD1):
        b.flags.write_if(count.ne(0))


def _top(value: Value) -> Value:
    return value.slt(0)


def _bit_below_top(value: Value) -> Value:
    return (value << 1).slt(0)


@semantics("shl", "sal")
def shl(b: Builder, dst: Operand, by: Operand) -> None:
    x = b.load(dst)
    wide = x.zext(max(32, x.bits))                      # room for every count
    count = _count(b, by, wide.bits)
    shifted = wide << count
    r = shifted.trunc(x.bits)
    b.store(dst, r)
    cf = (shifted >> x.bits).trunc(1) if x.bits < 32 else x.rotl(count).trunc(1)
    b.flags.carry_overflow(r, cf, cf ^ _top(r))
    _unless_zero(b, by, count)


@semantics("shr")
def shr(b: Builder, dst: Operand, by: Operand) -> None:
    x = b.load(dst)
    wide = x.zext(max(32, x.bits))
    count = _count(b, by, wide.bits)
    r = (wide >> count).trunc(x.bits)
    b.store(dst, r)
    b.flags.carry_overflow(r, _top(wide.rotr(count)), _top(r) ^ _bit_below_top(r))
    _unless_zero(b, by, count)


@semantics("sar")
def sar(b: Builder, dst: Operand, by: Operand) -> None:
    x = b.load(dst)
    wide = x.sext(max(32, x.bits))
    count = _count(b, by, wide.bits)
    r = wide.sar(count).trunc(x.bits)
    b.store(dst, r)
    b.flags.carry_overflow(r, _top(wide.rotr(count)), b.const(0, 1))
    _unless_zero(b, by, count)


@semantics("rol")
def rol(b: Builder, dst: Operand, by: Operand) -> None:
    x = b.load(dst)
    count = _count(b, by, x.bits)
    b.store(dst, r := x.rotl(count))
    cf = r.trunc(1)
    b.flags.keep_result(cf, cf ^ _top(r))
    _unless_zero(b, by, count)


@semantics("ror")
def ror(b: Builder, dst: Operand, by: Operand) -> None:
    x = b.load(dst)
    count = _count(b, by, x.bits)
    b.store(dst, r := x.rotr(count))
    b.flags.keep_result(_top(r), _top(r) ^ _bit_below_top(r))
    _unless_zero(b, by, count)


# --- rotates through CF: of a value one bit wider
@semantics("rcl")
def rcl(b: Builder, dst: Operand, by: Operand) -> None:
    x = b.load(dst)
    r, cf, count = _rotate_through_carry(b, x, by, left=True)
    b.store(dst, r)
    b.flags.keep_result(cf, cf ^ _top(r))
    _unless_zero(b, by, count)


@semantics("rcr")
def rcr(b: Builder, dst: Operand, by: Operand) -> None:
    x = b.load(dst)
    r, cf, count = _rotate_through_carry(b, x, by, left=False)
    b.store(dst, r)
    b.flags.keep_result(cf, _top(r) ^ _bit_below_top(r))
    _unless_zero(b, by, count)


def _rotate_through_carry(b: Builder, x: Value, by: Operand, left: bool) -> tuple[Value, Value, Value]:
    """Result, new CF, and the masked count."""
    width = x.bits + 1
    room = 64 if x.bits <= 32 else 128
    wide = (b.flags.cf().zext(room) << x.bits) | x.zext(room)
    count = _count(b, by, x.bits).zext(room)
    if x.bits < 32:
        count = count.urem(width)                       # others: the mask is below the width already
    first, second = (wide << count, wide >> (width - count)) if left else (wide >> count, wide << (width - count))
    rotated = first | second
    return rotated.trunc(x.bits), (rotated >> x.bits).trunc(1), _count(b, by, x.bits)


# --- double shifts
@semantics("shld")
def shld(b: Builder, dst: Operand, src: Operand, by: Operand) -> None:
    x, y = b.load(dst), b.load(src)
    if x.bits == 16:
        return _double_shift_16(b, dst, x, y, by, left=True)
    count = _count(b, by, x.bits)
    r = b.pure("fshl", x.bits, x, y, count)
    b.store(dst, r)
    b.flags.carry_overflow(r, x.rotl(count).trunc(1), _top(r ^ x))
    _unless_zero(b, by, count)


@semantics("shrd")
def shrd(b: Builder, dst: Operand, src: Operand, by: Operand) -> None:
    x, y = b.load(dst), b.load(src)
    if x.bits == 16:
        return _double_shift_16(b, dst, x, y, by, left=False)
    count = _count(b, by, x.bits)
    r = b.pure("fshr", x.bits, y, x, count)
    b.store(dst, r)
    b.flags.carry_overflow(r, _top(x.rotr(count)), _top(r ^ x))
    _unless_zero(b, by, count)


def _double_shift_16(b: Builder, dst: Operand, x: Value, y: Value, by: Operand, left: bool) -> None:
    """Counts of 17 to 31 are undefined; this shifts dst:src:dst, as processors do."""
    count = _count(b, by, 16).zext(64)
    wide = (x.zext(64) << 32) | (y.zext(64) << 16) | x.zext(64)
    shifted = wide << count if left else wide >> count
    r = (shifted >> 32 if left else shifted).trunc(16)
    cf = (shifted >> 48 if left else (wide << 1) >> count).trunc(1)
    b.store(dst, r)
    b.flags.carry_overflow(r, cf, _top(r ^ x))
    _unless_zero(b, by, count)
