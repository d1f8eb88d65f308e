"""Moves, inserts and extracts of MMX and XMM registers (SDM vol. 2; vol. 1 ch. 9-12).

Non-temporal moves are ordinary ones.  MASKMOVDQU and MASKMOVQ read the destination and write all of it back.
"""
from __future__ import annotations

from jit.ir import Value
from jit.x86.builder import IMMEDIATE_IN_FORM, Builder, semantics
from jit.x86.insn import SEGMENT_PREFIX, Operand
from jit.x86.semantics.vector import (
    MM_UPPER, enter_mmx_state, is_mm, is_xmm, read, read128, require_mmx, write_memory, write_mm, write_xmm,
)
from jit.x86.state import Gpr, Seg

UNALIGNED = {"movups", "movupd", "movdqu", "lddqu"}


@semantics("movaps", "movapd", "movdqa", "movntps", "movntpd", "movntdq", "movntdqa", *UNALIGNED)
def move_128(b: Builder, dst: Operand, src: Operand) -> None:
    b.require_sse()
    unaligned = b.insn.mnemonic in UNALIGNED
    value = read(b, src, 128, unaligned)
    if dst.kind == "mem":
        write_memory(b, dst, value, unaligned)
    else:
        write_xmm(b, dst, value)


def combine(b: Builder, text: str, dst: Operand, value: Value) -> None:
    """dst = a host instruction's combination of dst and a 64-bit value.  Always all 128 bits: the next instruction's 16-byte
    load could not be forwarded from a shorter store."""
    write_xmm(b, dst, b.host(f"{text} $2, $0", "=x,0,x", 128, read128(b, dst), value.zext(128)))


@semantics("movss", "movsd.xmm")
def move_scalar(b: Builder, dst: Operand, src: Operand) -> None:
    """Between registers the upper part stays; a load clears it."""
    b.require_sse()
    name = b.insn.mnemonic.removesuffix(".xmm")
    value = read(b, src, 32 if name == "movss" else 64)
    if dst.kind == "mem":
        write_memory(b, dst, value)
    elif src.kind == "mem":
        write_xmm(b, dst, value.zext(128))
    else:
        combine(b, name, dst, value)


@semantics("movlps", "movlpd")
def move_low(b: Builder, dst: Operand, src: Operand) -> None:
    b.require_sse()
    value = read(b, src, 64)
    if dst.kind == "mem":
        write_memory(b, dst, value)
    else:
        combine(b, "movsd", dst, value)


@semantics("movhps", "movhpd")
def move_high(b: Builder, dst: Operand, src: Operand) -> None:
    b.require_sse()
    if dst.kind == "mem":
        write_memory(b, dst, b.get(b.slot(src) + 8, 64))
    else:
        combine(b, "punpcklqdq", dst, read(b, src, 64))


@semantics("movhlps")
def movhlps(b: Builder, dst: Operand, src: Operand) -> None:
    b.require_sse()
    combine(b, "movsd", dst, b.get(b.slot(src) + 8, 64))


@semantics("movlhps")
def movlhps(b: Builder, dst: Operand, src: Operand) -> None:
    b.require_sse()
    combine(b, "punpcklqdq", dst, b.get(b.slot(src), 64))


@semantics("movddup")
def movddup(b: Builder, dst: Operand, src: Operand) -> None:
    b.require_sse()
    write_xmm(b, dst, b.host("movddup $1, $0", "=x,x", 128, read(b, src, 64).zext(128)))


@semantics("movsldup", "movshdup")
def duplicate_singles(b: Builder, dst: Operand, src: Operand) -> None:
    b.require_sse()
    value = read128(b, src)
    write_xmm(b, dst, b.host(f"{b.insn.mnemonic} $1, $0", "=x,x", 128, value))


@semantics("movd", "movq")
def move_word(b: Builder, dst: Operand, src: Operand) -> None:
    """32 or 64 bits between a general register, memory and a vector register, whose rest becomes 0."""
    bits = 64 if b.insn.mnemonic == "movq" else 32
    if is_mm(dst) or is_mm(src):
        require_mmx(b)
        enter_mmx_state(b)
    else:
        b.require_sse()
    value = read(b, src, bits)
    if dst.kind == "mem":
        write_memory(b, dst, value)
    elif is_mm(dst):
        write_mm(b, dst, value.zext(64))
    elif is_xmm(dst):
        write_xmm(b, dst, value.zext(128))
    else:
        b.put(b.slot(dst), value.zext(64))


@semantics("movntq")
def movntq(b: Builder, dst: Operand, src: Operand) -> None:
    require_mmx(b)
    enter_mmx_state(b)
    write_memory(b, dst, read(b, src, 64))


@semantics("movnti")
def movnti(b: Builder, dst: Operand, src: Operand) -> None:
    b.require_sse()
    b.store(dst, b.load(src))


@semantics("movq2dq")
def movq2dq(b: Builder, dst: Operand, src: Operand) -> None:
    b.require_sse()
    require_mmx(b)
    enter_mmx_state(b)
    write_xmm(b, dst, read(b, src, 64).zext(128))


@semantics("movdq2q")
def movdq2q(b: Builder, dst: Operand, src: Operand) -> None:
    b.require_sse()
    require_mmx(b)
    enter_mmx_state(b)
    write_mm(b, dst, read(b, src, 64))


# --- one element
ELEMENT_BITS = {"b": 8, "w": 16, "d": 32, "q": 64}


@semantics("pextrb", "pextrw", "pextrd", "pextrq", "extractps")
def extract(b: Builder, dst: Operand, src: Operand, imm: Operand) -> None:
    """An element into memory, or zero-extended into a general register."""
    bits = 32 if b.insn.mnemonic == "extractps" else ELEMENT_BITS[b.insn.mnemonic[-1]]
    register_bits = 64 if is_mm(src) else 128
    if is_mm(src):
        require_mmx(b)
        enter_mmx_state(b)
    else:
        b.require_sse()
    value = b.get(b.slot(src) + _element(b, imm, bits, register_bits), bits)
    if dst.kind == "mem":
        write_memory(b, dst, value)
    else:
        b.put(b.slot(dst), value.zext(64))


@semantics("pinsrb", "pinsrw", "pinsrd", "pinsrq")
def insert(b: Builder, dst: Operand, src: Operand, imm: Operand) -> None:
    """The low bits of a general register, or memory, into one element; the others stay."""
    bits = ELEMENT_BITS[b.insn.mnemonic[-1]]
    if is_mm(dst):
        require_mmx(b)
        enter_mmx_state(b)
        b.put(b.slot(dst) + MM_UPPER, b.const(0xFFFF, 16))
        b.put(b.slot(dst) + _element(b, imm, bits, 64), read(b, src, bits))
    else:
        b.require_sse()
        value = read(b, src, bits).zext(max(bits, 32))
        text = f"{b.insn.mnemonic} $${b.imm8(imm)}, $2, $0"
        write_xmm(b, dst, b.host(text, "=x,0,r", 128, read128(b, dst), value))


def _element(b: Builder, imm: Operand, bits: int, register_bits: int) -> int:
    """Byte offset of the element that an immediate picks; its excess bits are ignored."""
    return b.imm8(imm) % (register_bits // bits) * (bits // 8)


@semantics("insertps")
def insertps(b: Builder, dst: Operand, src: Operand, imm: Operand) -> None:
    """imm8 bits 7-6 pick the source's element; for a memory source there is only one."""
    b.require_sse()
    control = b.imm8(imm) & (0x3F if src.kind == "mem" else 0xFF)
    value = read128(b, src, 32)
    write_xmm(b, dst, b.host(f"insertps $${control}, $2, $0", "=x,0,x", 128, read128(b, dst), value))


# --- stores under a byte mask
@semantics("maskmovdqu", "maskmovq")
def masked_store(b: Builder, src: Operand, mask: Operand) -> None:
    """The bytes of src whose mask byte has bit 7 set, to DS:[rDI] (the segment can be overridden)."""
    bits = 64 if is_mm(src) else 128
    if bits == 64:
        require_mmx(b)
        enter_mmx_state(b)
    else:
        b.require_sse()
    offset = b.reg(Gpr.RDI, b.insn.address_bits).zext(64)
    address = b.linear(_data_segment(b), offset, bits // 8)
    chosen = b.host("pxor $0, $0; pcmpgtb $1, $0", "=&x,x", 128, read(b, mask, bits).zext(128)).trunc(bits)
    b.probe(address, bits // 8)
    b.mem_store(address, _merge(chosen, read(b, src, bits), b.mem_load(address, bits)))


def _data_segment(b: Builder) -> Seg:
    """DS, or the segment that a prefix names (FS and GS alone count in 64-bit code)."""
    legacy = b.insn.raw[:b.insn.raw.index(0x0F)]
    chosen = next((SEGMENT_PREFIX[byte] for byte in reversed(legacy) if byte in SEGMENT_PREFIX), Seg.DS)
    return chosen if not b.insn.long or chosen in (Seg.FS, Seg.GS) else Seg.DS


def _merge(mask: Value, new: Value, old: Value) -> Value:
    return (new & mask) | (old & ~mask)


IMMEDIATE_IN_FORM.update("pextrb pextrw pextrd pextrq extractps pinsrb pinsrw pinsrd pinsrq insertps".split())
