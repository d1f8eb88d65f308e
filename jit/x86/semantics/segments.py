"""Segment registers, descriptor queries, FS/GS bases (Intel SDM vol. 2): calls of jit/x86/segmentation.py."""
from __future__ import annotations

from jit.ir import Value
from jit.x86.builder import Builder, semantics
from jit.x86.insn import Operand
from jit.x86.state import Seg, Vector

FOUND = 32                              # bit of lar's and lsl's results: the destination is written


def load_segment_register(b: Builder, segment: Seg, selector: Value) -> None:
    """`selector` is 16 bits wide."""
    if segment == Seg.CS:
        return b.undefined()
    b.system("mov_to_segment", int(segment), selector.zext(64))


@semantics("lds", "les", "lfs", "lgs", "lss")
def load_far_pointer(b: Builder, dst: Operand, src: Operand) -> None:
    offset, selector = far_pointer(b, src, dst.bits)
    load_segment_register(b, Seg[b.insn.mnemonic[1:].upper()], selector)
    b.store(dst, offset)


def far_pointer(b: Builder, src: Operand, bits: int) -> tuple[Value, Value]:
    """Offset (`bits` wide) and selector (16) of a far pointer in memory."""
    assert src.memory
    address = b.linear(src.memory.segment, b.offset(src), bits // 8 + 2)
    return b.mem_load(address, bits), b.mem_load(address + bits // 8, 16)


# --- descriptor table registers of the local table and the task
@semantics("lldt", "ltr", "verr", "verw")
def selector_to_system(b: Builder, src: Operand) -> None:
    b.system(b.insn.mnemonic, _selector(b, src))


@semantics("sldt")
def sldt(b: Builder, dst: Operand) -> None:
    b.store(dst, b.system("sldt").trunc(dst.bits))


@semantics("str")
def str_(b: Builder, dst: Operand) -> None:
    b.store(dst, b.system("str_").trunc(dst.bits))


@semantics("lar", "lsl")
def descriptor_query(b: Builder, dst: Operand, src: Operand) -> None:
    old = b.load(dst)
    found = b.system(b.insn.mnemonic, _selector(b, src))
    b.store(dst, b.select((found >> FOUND).trunc(1), found.trunc(32).resize(dst.bits), old))


@semantics("arpl")
def arpl(b: Builder, dst: Operand, src: Operand) -> None:
    old, selector = b.load(dst), b.load(src)
    if dst.kind == "mem":
        b.probe(b.address(dst), 2)
    b.store(dst, b.system("arpl", old.zext(64), selector.zext(64)).trunc(16))


def _selector(b: Builder, src: Operand) -> Value:
    """The 16 bits that count of a register or memory operand, whatever its size is said to be."""
    if src.kind == "reg":
        return b.load(src).trunc(16).zext(64)
    assert src.memory
    return b.mem_load(b.linear(src.memory.segment, b.offset(src), 2), 16).zext(64)


# --- FS and GS bases
@semantics("swapgs")
def swapgs(b: Builder) -> None:
    b.system("swapgs")


@semantics("rdfsbase", "rdgsbase")
def rdbase(b: Builder, dst: Operand) -> None:
    b.store(dst, b.system("read_base", int(_base_of(b))).trunc(dst.bits))


@semantics("wrfsbase", "wrgsbase")
def wrbase(b: Builder, src: Operand) -> None:
    b.system("write_base", int(_base_of(b)), b.load(src).zext(64))


def _base_of(b: Builder) -> Seg:
    return Seg.FS if b.insn.mnemonic[2] == "f" else Seg.GS


@semantics("ud0", "ud1", "ud2")
def ud(b: Builder, *operands: Operand) -> None:
    b.raise_if(b.const(1, 1), Vector.UD)
