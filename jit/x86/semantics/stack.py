"""The stack: PUSH, POP, PUSHA, POPA, ENTER, LEAVE, PUSHF (Intel SDM vol. 2).  RSP changes after the last access."""
from __future__ import annotations

from jit.x86.builder import Builder, semantics
from jit.x86.insn import Operand
from jit.x86.semantics.segments import load_segment_register
from jit.x86.state import Flag, Gpr, Mode, Seg, Vector


def stack_operand_bits(b: Builder) -> int:
    """Size of what near calls, PUSH and the like move: 64-bit code has no 32-bit form."""
    if b.insn.long:
        return 16 if b.insn.operand_bits == 16 else 64
    return b.insn.operand_bits


@semantics("push")
def push(b: Builder, src: Operand) -> None:
    bits = stack_operand_bits(b)
    if src.register and src.register.kind == "seg":
        b.push(b.field(f"seg.{int(src.register.number)}.selector").trunc(bits))
    else:
        b.push(b.immediate(src, bits) if src.kind == "imm" else b.load(src))


@semantics("pop")
def pop(b: Builder, dst: Operand) -> None:
    bits = stack_operand_bits(b)
    value = b.pop(bits)
    if dst.register and dst.register.kind == "seg":
        return load_segment_register(b, Seg(dst.register.number), value.trunc(16))
    if dst.kind == "reg":
        return b.store(dst, value)      # after RSP's own change: POP RSP keeps what it popped
    assert dst.memory
    base = dst.memory.base
    moved = bits // 8 if base is not None and base.number == Gpr.RSP else 0
    b.mem_store(b.linear(dst.memory.segment, b.offset(dst, moved), bits // 8, write=True), value)


@semantics("pushal", "pushaw")
def pusha(b: Builder) -> None:
    bits = b.insn.operand_bits
    start = b.stack_pointer()
    for place, register in enumerate(list(Gpr)[:8], 1):
        b.mem_store(b.stack_address(start - place * bits // 8, bits // 8, write=True), b.reg(register, bits))
    b.set_stack_pointer(start - 8 * bits // 8)


@semantics("popal", "popaw")
def popa(b: Builder) -> None:
    bits = b.insn.operand_bits
    start = b.stack_pointer()
    for place, register in enumerate(reversed(list(Gpr)[:8])):
        if register != Gpr.RSP:
            b.set_reg(register, b.mem_load(b.stack_address(start + place * bits // 8, bits // 8), bits))
    b.set_stack_pointer(start + 8 * bits // 8)


@semantics("enter")
def enter(b: Builder, size: Operand, level: Operand) -> None:
    b.system("enter_frame", b.immediate(size, 64), b.immediate(level, 64), stack_operand_bits(b))


@semantics("leave")
def leave(b: Builder) -> None:
    bits = stack_operand_bits(b)
    frame = b.reg(Gpr.RBP, b.insn.stack_bits)
    value = b.mem_load(b.stack_address(frame, bits // 8), bits)
    b.set_stack_pointer(frame + bits // 8)
    b.set_reg(Gpr.RBP, value)


@semantics("pushf", "pushfd", "pushfq")
def pushf(b: Builder) -> None:
    if b.insn.mode & Mode.V86_IOPL:
        b.raise_if(b.const(1, 1), Vector.GP, 0)
    visible = b.field("eflags") & ~int(Flag.RF | Flag.VM)
    b.push((visible | b.flags.image() | int(Flag.ONE)).trunc(stack_operand_bits(b)))
