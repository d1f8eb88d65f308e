"""AND, OR, XOR, NOT, TEST (Intel SDM vol. 2).  AF is undefined after them; here it is 0."""
from __future__ import annotations

from jit.x86.builder import Builder, semantics
from jit.x86.insn import Operand


@semantics("and")
def and_(b: Builder, dst: Operand, src: Operand) -> None:
    b.store(dst, r := b.load(dst) & b.load(src))
    b.flags.logic(r)


@semantics("or")
def or_(b: Builder, dst: Operand, src: Operand) -> None:
    b.store(dst, r := b.load(dst) | b.load(src))
    b.flags.logic(r)


@semantics("xor")
def xor(b: Builder, dst: Operand, src: Operand) -> None:
    r = b.const(0, dst.bits) if b.insn.same else b.load(dst) ^ b.load(src)
    b.store(dst, r)
    b.flags.logic(r)


@semantics("test")
def test(b: Builder, dst: Operand, src: Operand) -> None:
    b.flags.logic(b.load(dst) if b.insn.same else b.load(dst) & b.load(src))


@semantics("not")
def not_(b: Builder, dst: Operand) -> None:
    b.store(dst, ~b.load(dst))
