"""Decimal adjustments and SALC: 16- and 32-bit code only, but for none (Intel SDM vol. 2: AAA, AAD, AAM, AAS, DAA, DAS)."""
from __future__ import annotations

from jit.ir import Slot, Value
from jit.x86.builder import Builder, semantics
from jit.x86.insn import Operand
from jit.x86.state import X86, Gpr, Vector

AL = Slot(X86.offset("gpr"))
ADJUST, CARRY_STEP = 0x06, 0x60                          # what a decimal digit lacks to a hexadecimal one


def _needs_adjust(b: Builder, al: Value) -> Value:
    return Value.ult(b.const(9, 8), al & 0x0F) | b.flags.af()


@semantics("daa")
def daa(b: Builder) -> None:
    al = b.get(AL, 8)
    low = _needs_adjust(b, al)
    high = Value.ult(b.const(0x99, 8), al) | b.flags.cf()
    r = al + b.select(low, b.const(ADJUST, 8), 0) + b.select(high, b.const(CARRY_STEP, 8), 0)
    b.put(AL, r)
    b.flags.carry_overflow(r, high, b.const(0, 1), low)


@semantics("das")
def das(b: Builder) -> None:
    al = b.get(AL, 8)
    low = _needs_adjust(b, al)
    high = Value.ult(b.const(0x99, 8), al) | b.flags.cf()
    r = al - b.select(low, b.const(ADJUST, 8), 0) - b.select(high, b.const(CARRY_STEP, 8), 0)
    b.put(AL, r)
    b.flags.carry_overflow(r, high | (low & al.ult(ADJUST)), b.const(0, 1), low)


@semantics("aaa")
def aaa(b: Builder) -> None:
    ax = b.reg(Gpr.RAX, 16)
    adjust = _needs_adjust(b, ax.trunc(8))
    _unpacked(b, ax + b.select(adjust, b.const(0x106, 16), 0), adjust)


@semantics("aas")
def aas(b: Builder) -> None:
    ax = b.reg(Gpr.RAX, 16)
    adjust = _needs_adjust(b, ax.trunc(8))
    _unpacked(b, ax - b.select(adjust, b.const(0x106, 16), 0), adjust)


def _unpacked(b: Builder, ax: Value, adjust: Value) -> None:
    r = ax & 0xFF0F
    b.set_reg(Gpr.RAX, r)
    b.flags.carry_overflow(r.trunc(8), adjust, b.const(0, 1), adjust)


@semantics("aam")
def aam(b: Builder, base: Operand) -> None:
    al, divisor = b.get(AL, 8), b.immediate(base, 8)
    b.raise_if(divisor.eq(0), Vector.DE)
    low = al.urem(divisor)
    b.set_reg(Gpr.RAX, (al.udiv(divisor).zext(16) << 8) | low.zext(16))
    b.flags.logic(low)


@semantics("aad")
def aad(b: Builder, base: Operand) -> None:
    ax = b.reg(Gpr.RAX, 16)
    r = ax.trunc(8) + (ax >> 8).trunc(8) * b.immediate(base, 8)
    b.set_reg(Gpr.RAX, r.zext(16))
    b.flags.logic(r)


@semantics("salc")
def salc(b: Builder) -> None:
    """Undocumented D6: AL = CF ? FFh : 0."""
    b.put(AL, b.flags.cf().sext(8))
