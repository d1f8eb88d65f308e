"""Bit tests, scans and counts (Intel SDM vol. 2: BT, BTC, BTR, BTS, BSF, BSR, POPCNT).

TZCNT and LZCNT run as BSF and BSR, which they are on a processor without BMI1 and ABM.
"""
from __future__ import annotations

from collections.abc import Callable

from jit.ir import Value
from jit.x86.builder import Builder, semantics
from jit.x86.insn import Operand


@semantics("bt")
def bt(b: Builder, dst: Operand, index: Operand) -> None:
    value, place, _store = _bit_place(b, dst, index)
    b.flags.carry((value >> place).trunc(1))


@semantics("bts")
def bts(b: Builder, dst: Operand, index: Operand) -> None:
    _change_bit(b, dst, index, lambda value, bit: value | bit)


@semantics("btr")
def btr(b: Builder, dst: Operand, index: Operand) -> None:
    _change_bit(b, dst, index, lambda value, bit: value & ~bit)


@semantics("btc")
def btc(b: Builder, dst: Operand, index: Operand) -> None:
    _change_bit(b, dst, index, lambda value, bit: value ^ bit)


def _change_bit(b: Builder, dst: Operand, index: Operand, change: Callable[[Value, Value], Value]) -> None:
    value, place, store = _bit_place(b, dst, index)
    store(change(value, b.const(1, dst.bits) << place))
    b.flags.carry((value >> place).trunc(1))


def _bit_place(b: Builder, dst: Operand, index: Operand) -> tuple[Value, Value, Callable[[Value], None]]:
    """The word that holds the bit, the bit's place in it, and how to store the word.  In memory a register index reaches as
    far as it says, in both directions."""
    bits = dst.bits
    offset = b.immediate(index, bits) if index.kind == "imm" else b.load(index)
    place = offset & (bits - 1)
    if dst.kind == "reg" or index.kind == "imm":
        return b.load(dst), place, lambda value: b.store(dst, value)
    assert dst.memory
    words = offset.sext(64).sar(bits.bit_length() - 1)
    reached = b.offset(dst) + words * (bits // 8)
    address = b.linear(dst.memory.segment, reached.trunc(b.insn.address_bits).zext(64), bits // 8, write=b.insn.mnemonic != "bt")
    return b.mem_load(address, bits), place, lambda value: b.mem_store(address, value)


# --- scans: of 0 they leave the destination alone; flags other than ZF are undefined, here those of a logic operation
@semantics("bsf", "tzcnt")
def bsf(b: Builder, dst: Operand, src: Operand) -> None:
    x = b.load(src)
    _scanned(b, dst, x, x.ctz())


@semantics("bsr", "lzcnt")
def bsr(b: Builder, dst: Operand, src: Operand) -> None:
    x = b.load(src)
    _scanned(b, dst, x, (x.bits - 1) - x.clz())


def _scanned(b: Builder, dst: Operand, x: Value, place: Value) -> None:
    b.store(dst, b.select(x.eq(0), b.load(dst), place))
    b.flags.logic(x)


@semantics("popcnt")
def popcnt(b: Builder, dst: Operand, src: Operand) -> None:
    x = b.load(src)
    b.store(dst, x.popcount())
    b.flags.set(zf=x.eq(0))
