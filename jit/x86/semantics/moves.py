"""Moves, conversions, exchanges, conditional moves, LEA, XLAT (Intel SDM vol. 2)."""
from __future__ import annotations

from jit.ir import Slot
from jit.x86.builder import Builder, semantics
from jit.x86.insn import Operand
from jit.x86.semantics.segments import load_segment_register
from jit.x86.semantics.system import move_control, move_debug
from jit.x86.state import X86, Gpr, Seg

AL = Slot(X86.offset("gpr"))
_SEGMENT_PREFIX = {0x26: Seg.ES, 0x2E: Seg.CS, 0x36: Seg.SS, 0x3E: Seg.DS, 0x64: Seg.FS, 0x65: Seg.GS}


@semantics("mov", "movabs")
def mov(b: Builder, dst: Operand, src: Operand) -> None:
    kinds = {op.register.kind for op in (dst, src) if op.register}
    if "cr" in kinds:
        move_control(b, dst, src)
    elif "dr" in kinds:
        move_debug(b, dst, src)
    elif dst.register and dst.register.kind == "seg":
        load_segment_register(b, Seg(dst.register.number), b.load(src).resize(16))
    elif src.register and src.register.kind == "seg":
        b.store(dst, b.field(f"seg.{int(src.register.number)}.selector").trunc(dst.bits))
    else:
        b.store(dst, b.load(src))


@semantics("movnti")
def movnti(b: Builder, dst: Operand, src: Operand) -> None:
    b.store(dst, b.load(src))


@semantics("movzx")
def movzx(b: Builder, dst: Operand, src: Operand) -> None:
    b.store(dst, b.load(src).zext(dst.bits))


@semantics("movsx", "movsxd")
def movsx(b: Builder, dst: Operand, src: Operand) -> None:
    value = b.load(src)
    b.store(dst, value.sext(dst.bits) if value.bits < dst.bits else value.trunc(dst.bits))


@semantics("xchg")
def xchg(b: Builder, dst: Operand, src: Operand) -> None:
    x, y = b.load(dst), b.load(src)
    b.store(dst, y)
    b.store(src, x)


@semantics("lea")
def lea(b: Builder, dst: Operand, src: Operand) -> None:
    b.store(dst, b.offset(src).trunc(dst.bits))


@semantics("cmovcc")
def cmov(b: Builder, cc: str, dst: Operand, src: Operand) -> None:
    new = b.load(src)                   # the load, and its fault, happen even if cc is false
    b.store(dst, b.select(b.flags.test(cc), new, b.load(dst)))


@semantics("setcc")
def setcc(b: Builder, cc: str, dst: Operand) -> None:
    b.store(dst, b.flags.test(cc).zext(8))


@semantics("bswap")
def bswap(b: Builder, dst: Operand) -> None:
    b.store(dst, b.load(dst).bswap() if dst.bits > 16 else b.const(0, 16))     # 16 bits: undefined; processors clear them


# capstone names these after 32-bit code's sizes even in 16-bit code, so the operand size decides.
@semantics("cbw", "cwde", "cdqe")
def extend_accumulator(b: Builder) -> None:
    bits = b.insn.operand_bits
    b.set_reg(Gpr.RAX, b.reg(Gpr.RAX, bits // 2).sext(bits))


@semantics("cwd", "cdq", "cqo")
def sign_into_dx(b: Builder) -> None:
    bits = b.insn.operand_bits
    b.set_reg(Gpr.RDX, b.reg(Gpr.RAX, bits).sar(bits - 1))


@semantics("xlatb")
def xlatb(b: Builder) -> None:
    bits = b.insn.address_bits
    offset = (b.reg(Gpr.RBX, bits) + b.get(AL, 8).zext(bits)).zext(64)
    b.put(AL, b.mem_load(b.linear(_segment(b), offset, 1), 8))


def _segment(b: Builder) -> Seg:
    """The segment override of an instruction whose memory operand capstone does not list, else DS."""
    overrides = [_SEGMENT_PREFIX[byte] for byte in b.insn.raw[:-1] if byte in _SEGMENT_PREFIX]
    if b.insn.long:
        overrides = [segment for segment in overrides if segment in (Seg.FS, Seg.GS)]
    return overrides[-1] if overrides else Seg.DS
