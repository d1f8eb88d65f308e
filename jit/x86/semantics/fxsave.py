"""Instructions that keep x87 and SSE state in memory; the work is in jit/x86/fxsave.py (SDM vol. 1 ch. 10.5, 13)."""
from __future__ import annotations

from jit.hostcode import MXCSR_MASKS
from jit.ir import Slot, Value
from jit.x86.builder import Builder, semantics
from jit.x86.fxsave import FXSAVE_BYTES, XSAVE_BYTES, AreaShape
from jit.x86.insn import Operand
from jit.x86.semantics.sse_float import current_mxcsr
from jit.x86.semantics.vector import raise_pending, write_host_mxcsr
from jit.x86.semantics.x87 import clear_host_flags
from jit.x86.state import X86, Cr0, Cr4, Gpr, Mode, Vector

ENVIRONMENT_BYTES, STATE_BYTES = {False: 28, True: 14}, {False: 108, True: 94}          # key: 16-bit fields


def shape(b: Builder) -> AreaShape:
    wide = AreaShape.WIDE if b.insn.mnemonic.endswith("64") or b.insn.rex & 8 else AreaShape(0)
    words = AreaShape.WORDS if b.insn.operand_bits == 16 else AreaShape(0)
    real = AreaShape(0) if b.insn.mode & Mode.PROTECTED or b.insn.long else AreaShape.REAL
    return wide | words | real | (AreaShape.LONG if b.insn.long else AreaShape(0))


def area(b: Builder, op: Operand, size: int, alignment: int = 1) -> Value:
    """Address of an area of `size` bytes; #GP when it is misaligned."""
    op.bits = 8 * size
    address = b.address(op)
    if alignment > 1:
        b.raise_if((address & (alignment - 1)).ne(0), Vector.GP, 0)
    return address


def reload(b: Builder) -> None:
    """After a restore: the host's MXCSR and x87 flags follow the record; the block mode may have changed."""
    write_host_mxcsr(b, b.host("movl ($1), $0", "=r,r,~{memory}", 32, b.slot_address(Slot(X86.offset("mxcsr")))) | MXCSR_MASKS)
    clear_host_flags(b)
    b.call("update_mode")
    b.leave()


# --- FXSAVE
@semantics("fxsave", "fxsave64")
def fxsave(b: Builder, dst: Operand) -> None:
    b.require_fpu()
    address = area(b, dst, FXSAVE_BYTES, 16)
    b.call("fxsave_area", address, int(shape(b)), current_mxcsr(b).zext(64), faults=True)


@semantics("fxrstor", "fxrstor64")
def fxrstor(b: Builder, src: Operand) -> None:
    b.require_fpu()
    address = area(b, src, FXSAVE_BYTES, 16)
    b.put_now(Slot(X86.offset("pc")), b.next_pc())
    b.call("fxrstor_area", address, int(shape(b)), faults=True)
    reload(b)


# --- XSAVE
def require_xsave(b: Builder) -> None:
    """#UD when CR4.OSXSAVE = 0, #NM when CR0.TS = 1."""
    b.raise_if((b.field("cr4") & int(Cr4.OSXSAVE)).eq(0), Vector.UD)
    b.raise_if((b.field("cr0") & int(Cr0.TS)).ne(0), Vector.NM)


def requested(b: Builder) -> Value:
    """EDX:EAX & XCR0."""
    return (b.reg(Gpr.RAX, 32).zext(64) | (b.reg(Gpr.RDX, 32).zext(64) << 32)) & b.field("xcr0")


@semantics("xsave", "xsave64", "xsaveopt", "xsaveopt64")
def xsave(b: Builder, dst: Operand) -> None:
    require_xsave(b)
    address = area(b, dst, XSAVE_BYTES, 64)
    b.call("xsave_area", address, int(shape(b)), current_mxcsr(b).zext(64), requested(b), faults=True)


@semantics("xrstor", "xrstor64")
def xrstor(b: Builder, src: Operand) -> None:
    require_xsave(b)
    address = area(b, src, XSAVE_BYTES, 64)
    b.set_field("mxcsr", current_mxcsr(b).zext(64), now=True)       # kept when SSE is not restored
    b.put_now(Slot(X86.offset("pc")), b.next_pc())
    b.call("xrstor_area", address, int(shape(b)), requested(b), faults=True)
    reload(b)


# --- FSTENV, FSAVE
@semantics("fnstenv")
def fnstenv(b: Builder, dst: Operand) -> None:
    b.require_fpu()
    address = area(b, dst, ENVIRONMENT_BYTES[b.insn.operand_bits == 16])
    b.call("fstenv_area", address, int(shape(b)), faults=True)


@semantics("fnsave")
def fnsave(b: Builder, dst: Operand) -> None:
    b.require_fpu()
    address = area(b, dst, STATE_BYTES[b.insn.operand_bits == 16])
    b.call("fsave_area", address, int(shape(b)), faults=True)
    clear_host_flags(b)


@semantics("fldenv")
def fldenv(b: Builder, src: Operand) -> None:
    b.require_fpu()
    raise_pending(b)
    address = area(b, src, ENVIRONMENT_BYTES[b.insn.operand_bits == 16])
    b.call("fldenv_area", address, int(shape(b)), faults=True)
    clear_host_flags(b)


@semantics("frstor")
def frstor(b: Builder, src: Operand) -> None:
    b.require_fpu()
    raise_pending(b)
    address = area(b, src, STATE_BYTES[b.insn.operand_bits == 16])
    b.call("frstor_area", address, int(shape(b)), faults=True)
    clear_host_flags(b)
