"""Far jumps, calls and returns, software interrupts, system calls (Intel SDM vol. 2): calls of jit/x86/transfers.py and
jit/x86/interrupts.py.  Also BOUND."""
from __future__ import annotations

from jit.x86.builder import Builder, semantics
from jit.x86.insn import Operand
from jit.x86.semantics.segments import far_pointer
from jit.x86.state import Vector

FAR_CALL, FAR_JUMP = 3, 5               # FF /3, FF /5


@semantics("ljmp", "lcall")
def far_direct_or_indirect(b: Builder, *operands: Operand) -> None:
    """Either selector and offset as immediates, or a far pointer in memory."""
    if len(operands) == 1:
        return far_indirect(b, operands[0])
    selector, offset = operands
    name = "far_jump" if b.insn.mnemonic == "ljmp" else "far_call"
    bits = b.insn.operand_bits
    b.system(name, b.immediate(selector, 16).zext(64), b.immediate(offset, bits).zext(64), bits)


def far_indirect(b: Builder, pointer: Operand) -> None:
    """JMP and CALL through a far pointer in memory; ModRM tells which."""
    if pointer.kind != "mem":
        return b.undefined()
    bits = b.insn.operand_bits
    offset, selector = far_pointer(b, pointer, bits)
    name = "far_jump" if (b.insn.modrm >> 3) & 7 == FAR_JUMP else "far_call"
    b.system(name, selector.zext(64), offset.zext(64), bits)


@semantics("retf", "retfq")
def retf(b: Builder, *released: Operand) -> None:
    b.system("far_return", b.insn.operand_bits, b.immediate(released[0], 64) if released else 0)


@semantics("iret", "iretd", "iretq")
def iret(b: Builder) -> None:
    b.system("iret", b.insn.operand_bits)


@semantics("int")
def int_n(b: Builder, vector: Operand) -> None:
    b.system("int_n", b.immediate(vector, 8).zext(64))


@semantics("int1", "int3", "into", "syscall", "sysenter")
def trap(b: Builder) -> None:
    b.system(b.insn.mnemonic)


@semantics("sysret", "sysretq")
def sysret(b: Builder) -> None:
    b.system("sysret", b.insn.operand_bits)


@semantics("sysexit", "sysexitq")
def sysexit(b: Builder) -> None:
    b.system("sysexit", b.insn.operand_bits)


@semantics("bound")
def bound(b: Builder, index: Operand, bounds: Operand) -> None:
    assert bounds.memory
    size = index.bits // 8
    address = b.linear(bounds.memory.segment, b.offset(bounds), 2 * size)
    value, lower, upper = b.load(index), b.mem_load(address, index.bits), b.mem_load(address + size, index.bits)
    b.raise_if(value.slt(lower) | upper.slt(value), Vector.BR)
