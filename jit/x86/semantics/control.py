"""Near jumps, calls and returns, loops (Intel SDM vol. 2).  Far transfers and interrupts: system.py.

Not here: #GP for a target beyond CS.limit is raised by the fetch at the target, not by the jump.
"""
from __future__ import annotations

from jit.ir import Value
from jit.x86.builder import Builder, semantics
from jit.x86.insn import Operand
from jit.x86.semantics.transfers import FAR_CALL, FAR_JUMP, far_indirect
from jit.x86.state import Gpr

GROUP_5 = 0xFF


@semantics("jmp")
def jmp(b: Builder, target: Operand) -> None:
    if _is_group_5(b, FAR_JUMP):
        far_indirect(b, target)
    elif target.kind == "imm":
        b.jump_to(b.target(target))
    else:
        b.indirect(b.load(target).zext(64))


@semantics("call")
def call(b: Builder, target: Operand) -> None:
    if _is_group_5(b, FAR_CALL):
        return far_indirect(b, target)
    new_pc = None if target.kind == "imm" else b.load(target).zext(64)
    b.push(b.next_pc().trunc(_return_bits(b)))
    if new_pc:
        b.indirect(new_pc)
    else:
        b.jump_to(b.target(target))


def _return_bits(b: Builder) -> int:
    """Size of a near return address.  64-bit code ignores the operand-size prefix here, as Intel's processors do."""
    return 64 if b.insn.long else b.insn.operand_bits


def _is_group_5(b: Builder, extension: int) -> bool:
    """capstone calls FF /3 and FF /5, the far transfers through memory, `call` and `jmp` in some modes."""
    return b.insn.opcode[0] == GROUP_5 and (b.insn.modrm >> 3) & 7 == extension


@semantics("ret")
def ret(b: Builder, *released: Operand) -> None:
    """`released`: bytes of arguments to drop."""
    bits = _return_bits(b)
    pointer = b.stack_pointer()
    target = b.mem_load(b.stack_address(pointer, bits // 8), bits)
    top = pointer + bits // 8
    b.set_stack_pointer(top + b.immediate(released[0], top.bits) if released else top)
    b.indirect(target.zext(64))


@semantics("jcc")
def jcc(b: Builder, cc: str, target: Operand) -> None:
    b.jump_if(b.flags.test(cc), b.target(target))


@semantics("jcxz", "jecxz", "jrcxz")
def jrcxz(b: Builder, target: Operand) -> None:
    b.jump_if(b.reg(Gpr.RCX, b.insn.address_bits).eq(0), b.target(target))


@semantics("loop")
def loop(b: Builder, target: Operand) -> None:
    b.jump_if(_count_down(b), b.target(target))


@semantics("loope")
def loope(b: Builder, target: Operand) -> None:
    b.jump_if(_count_down(b) & b.flags.zf(), b.target(target))


@semantics("loopne")
def loopne(b: Builder, target: Operand) -> None:
    b.jump_if(_count_down(b) & b.flags.test("ne"), b.target(target))


def _count_down(b: Builder) -> Value:
    """rCX = rCX - 1; is it not 0?"""
    count = b.reg(Gpr.RCX, b.insn.address_bits) - 1
    b.set_reg(Gpr.RCX, count)
    return count.ne(0)


@semantics("nop", "endbr32", "endbr64", "rdsspd", "rdsspq",
           "prefetch", "prefetchw", "prefetchwt1", "prefetchnta", "prefetcht0", "prefetcht1", "prefetcht2",
           "lfence", "mfence", "sfence", "cldemote")
def nop(b: Builder, *operands: Operand) -> None:
    """Hints and fences: vCPUs run one after another, so memory is always in order."""
