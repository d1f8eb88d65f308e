"""Segment registers: descriptors, loads with their checks, limit checks (SDM vol. 3A ch. 3 and 5).

Entry points (b.call with faults=True; in every mode but 64-bit code):
    segment_check(cpu, segment, offset, size)           #GP(0)/#SS(0) unless a read of `size` bytes may happen there
    segment_check_write(cpu, segment, offset, size)     the same for a write
Entry points (b.system; a destination register is written after the call):
    mov_to_segment(cpu, seg, selector)                  MOV/POP/LDS.. to ES SS DS FS GS, all modes; updates the mode
                                                        (CS is #UD; after SS one more instruction runs before interrupts)
    read_base(cpu, seg) -> base                         RDFSBASE, RDGSBASE (seg = Seg.FS/GS), #UD unless CR4.FSGSBASE
    write_base(cpu, seg, base)                          WRFSBASE, WRGSBASE, #GP when not canonical
    swapgs(cpu)
LLDT, LTR, LAR, LSL, VERR, VERW and ARPL are in descriptors.py.
"""
from __future__ import annotations

from jit.memory import load_as, set_fault, store_as
from jit.words import word_function
from jit.x86.mode import (
    implicit_mmu, in_long_code, in_protected, in_v86, refuse, undefined, update_mode,
)
from jit.x86.paging import check_canonical
from jit.x86.state import X86, Cr4, Efer, Seg, Segment, SegmentAttribute, Vector

A = SegmentAttribute
RPL = 3
TABLE = 4                               # selector bit: local descriptor table
INDEX = 0xFFF8                          # byte offset in the table
NOT_RPL = 0xFFFC                        # selector part of an error code; 0 for null selectors
RIGHTS = 0x00F0FF00                     # descriptor bits 32-63 that SegmentAttribute keeps
DPL_SHIFT = 13
DESCRIPTOR_SIZE = 8
NOWHERE = (1 << 64) - 1                 # no address of a descriptor
CONFORMING = A.EXPAND_DOWN              # the same bit, in code segments
READABLE = A.WRITABLE
REAL_LIMIT = 0xFFFF
REAL_RIGHTS = A.P | A.S | A.WRITABLE | A.ACCESSED
V86_RIGHTS = A.P | A.S | A.DPL | A.WRITABLE | A.ACCESSED
LINEAR_32 = (1 << 32) - 1


@word_function
def is_long(cpu: X86):
    """Long mode is active (64-bit or compatibility code)."""
    return cpu.efer & Efer.LMA


# --- descriptors: 8 bytes as one word
@word_function
def descriptor_base(d):
    return d >> 16 & 0xFFFFFF | d >> 56 << 24


@word_function
def descriptor_limit(d):
    limit = d & 0xFFFF | (d >> 48 & 15) << 16
    return limit << 12 | 0xFFF if d >> 32 & A.G else limit


@word_function
def descriptor_rights(d):
    return d >> 32 & RIGHTS


@word_function
def descriptor_dpl(d):
    return d >> 45 & 3


@word_function
def selector_fault(cpu: X86, vector, selector):
    return set_fault(cpu, vector, selector & NOT_RPL, 0)


@word_function
def descriptor_address(cpu: X86, selector, size):
    """Linear address of a descriptor of `size` bytes; NOWHERE when its table does not hold it."""
    last = (selector & INDEX) + size - 1
    if selector & TABLE == 0:
        return NOWHERE if last > cpu.gdtr_limit else cpu.gdtr_base + (selector & INDEX)
    table: Segment = cpu.seg[Seg.LDTR]
    if table.attributes & A.P == 0 or last > table.limit:
        return NOWHERE
    return table.base + (selector & INDEX)


@word_function
def fetch_descriptor(cpu: X86, selector, vector):
    """The descriptor's 8 bytes; 0 after `vector`(selector) when the table is too short, or after #PF."""
    address = descriptor_address(cpu, selector, DESCRIPTOR_SIZE)
    if address == NOWHERE:
        selector_fault(cpu, vector, selector)
        return 0
    return load_as(cpu, address, DESCRIPTOR_SIZE, implicit_mmu(cpu))


@word_function
def mark_descriptor(cpu: X86, selector, bits, clear):
    """Set and clear bits of the second half of a descriptor in its table (accessed, busy)."""
    address = descriptor_address(cpu, selector, DESCRIPTOR_SIZE) + 4
    mmu = implicit_mmu(cpu)
    half = load_as(cpu, address, 4, mmu)
    new = half & ~clear | bits
    if cpu.fault:
        return 1
    return store_as(cpu, address, new, 4, mmu) if new != half else 0


@word_function
def mark_accessed(cpu: X86, selector, d):
    return 0 if d >> 32 & A.ACCESSED else mark_descriptor(cpu, selector, A.ACCESSED, 0)


@word_function
def set_segment(cpu: X86, seg, selector, d):
    s: Segment = cpu.seg[seg]
    s.selector = selector
    s.base = descriptor_base(d)
    s.limit = descriptor_limit(d)
    s.attributes = descriptor_rights(d)
    return 0


@word_function
def set_null(cpu: X86, seg, selector):
    s: Segment = cpu.seg[seg]
    s.selector = selector
    s.base = 0
    s.limit = 0
    s.attributes = A.UNUSABLE | (selector & RPL) << DPL_SHIFT
    return 0


@word_function
def set_real(cpu: X86, seg, selector):
    """A load in real or virtual-8086 mode.  Real mode leaves limit and attributes as they were, if they serve at all."""
    s: Segment = cpu.seg[seg]
    s.selector = selector & 0xFFFF
    s.base = s.selector << 4
    if in_v86(cpu):
        s.limit = REAL_LIMIT
        s.attributes = V86_RIGHTS
    elif s.attributes & A.UNUSABLE:
        s.limit = REAL_LIMIT
        s.attributes = REAL_RIGHTS
    return 0


# --- loads
@word_function
def mov_to_segment(cpu: X86, seg, selector):
    if load_segment(cpu, seg, selector):
        return 1
    if seg == Seg.SS:
        cpu.pending_db = 0              # no single-step trap between SS and ESP
        cpu.single = 1                  # no interrupt either
    return update_mode(cpu)


@word_function
def load_segment(cpu: X86, seg, selector):
    """ES, SS, DS, FS or GS.  Returns 1 after a fault; does not update the mode."""
    if seg == Seg.CS:
        return undefined(cpu)
    if in_protected(cpu) == 0:
        return set_real(cpu, seg, selector)
    if selector & NOT_RPL == 0:
        return load_null(cpu, seg, selector)
    d = fetch_descriptor(cpu, selector, Vector.GP)
    if cpu.fault:
        return 1
    if seg == Seg.SS:
        if check_stack_segment(cpu, d, selector, cpu.cpl, Vector.GP):
            return 1
    elif check_data_segment(cpu, d, selector, Vector.GP):
        return 1
    return load_checked(cpu, seg, selector, d)


@word_function
def load_checked(cpu: X86, seg, selector, d):
    """Set the accessed bit and the register, for a descriptor that passed its checks."""
    if mark_accessed(cpu, selector, d):
        return 1
    return set_segment(cpu, seg, selector, d | A.ACCESSED << 32)


@word_function
def load_null(cpu: X86, seg, selector):
    """A null selector: SS takes one only in 64-bit code below privilege 3."""
    if seg == Seg.SS and (in_long_code(cpu) == 0 or cpu.cpl == 3 or selector & RPL != cpu.cpl):
        return refuse(cpu)
    return set_null(cpu, seg, selector)


@word_function
def check_stack_segment(cpu: X86, d, selector, cpl, vector):
    """Checks of a stack segment for privilege `cpl`: `vector`(selector), or #SS(selector) when not present."""
    rights = descriptor_rights(d)
    wanted = rights & (A.S | A.CODE | A.WRITABLE) == A.S | A.WRITABLE
    if wanted == 0 or selector & RPL != cpl or descriptor_dpl(d) != cpl:
        return selector_fault(cpu, vector, selector)
    if rights & A.P == 0:
        return selector_fault(cpu, Vector.SS, selector)
    return 0


@word_function
def check_data_segment(cpu: X86, d, selector, vector):
    """DS, ES, FS, GS: data or readable code, privilege (else `vector`), presence (#NP)."""
    rights = descriptor_rights(d)
    if rights & A.S == 0 or rights & (A.CODE | READABLE) == A.CODE:
        return selector_fault(cpu, vector, selector)
    if rights & (A.CODE | CONFORMING) != A.CODE | CONFORMING:
        if selector & RPL > descriptor_dpl(d) or cpu.cpl > descriptor_dpl(d):
            return selector_fault(cpu, vector, selector)
    if rights & A.P == 0:
        return selector_fault(cpu, Vector.NP, selector)
    return 0


# --- limits
@word_function
def within_limit(limit, attributes, offset, size):
    """Do `size` bytes at `offset` lie inside a segment?"""
    last = offset + size - 1
    if attributes & (A.S | A.CODE | A.EXPAND_DOWN) == A.S | A.EXPAND_DOWN:
        return offset > limit and last <= (LINEAR_32 if attributes & A.DB else REAL_LIMIT)
    return last <= limit and offset <= last


@word_function
def segment_allows(s: Segment, offset, size, write):
    """May `size` bytes at `offset` be read, or written?"""
    attributes = s.attributes
    if attributes & A.UNUSABLE:
        return 0
    if write:
        if attributes & (A.CODE | A.WRITABLE) != A.WRITABLE and attributes & A.S:
            return 0
    elif attributes & (A.CODE | READABLE) == A.CODE:
        return 0
    return within_limit(s.limit, attributes, offset, size)


@word_function
def segment_check(cpu: X86, segment, offset, size):
    return 0 if segment_allows(cpu.seg[segment], offset, size, 0) else segment_fault(cpu, segment)


@word_function
def segment_check_write(cpu: X86, segment, offset, size):
    return 0 if segment_allows(cpu.seg[segment], offset, size, 1) else segment_fault(cpu, segment)


@word_function
def segment_fault(cpu: X86, segment):
    return set_fault(cpu, Vector.SS if segment == Seg.SS else Vector.GP, 0, 0)


# --- FS and GS bases
@word_function
def read_base(cpu: X86, seg):
    if in_long_code(cpu) == 0 or cpu.cr4 & Cr4.FSGSBASE == 0:
        undefined(cpu)
        return 0
    return cpu.seg[seg].base


@word_function
def write_base(cpu: X86, seg, base):
    if in_long_code(cpu) == 0 or cpu.cr4 & Cr4.FSGSBASE == 0:
        return undefined(cpu)
    if check_canonical(cpu, base):
        return 1
    cpu.seg[seg].base = base
    return 0


@word_function
def swapgs(cpu: X86):
    if in_long_code(cpu) == 0:
        return undefined(cpu)
    if cpu.cpl:
        return refuse(cpu)
    base = cpu.seg[Seg.GS].base
    cpu.seg[Seg.GS].base = cpu.kernel_gs_base
    cpu.kernel_gs_base = base
    return 0
