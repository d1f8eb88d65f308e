"""Instructions about descriptors: LLDT, LTR, SLDT, STR, LAR, LSL, VERR, VERW, ARPL (SDM vol. 2; vol. 3A ch. 5.10).

Entry points (b.system; a destination register is written after the call):
    lldt(cpu, selector), ltr(cpu, selector)             with their CPL and mode checks
    sldt(cpu) -> selector, str_(cpu) -> selector        with the mode and UMIP checks
    lar(cpu, selector) -> rights | 1 << 32 or 0         sets ZF itself; bit 32 tells whether to write the destination
    lsl(cpu, selector) -> limit | 1 << 32 or 0          likewise
    verr(cpu, selector), verw(cpu, selector)            set ZF
    arpl(cpu, destination, source) -> new destination   sets ZF; #UD outside protected mode (in 64-bit code it is MOVSXD)
"""
from __future__ import annotations

from jit.memory import load_as
from jit.words import word_function
from jit.x86.mode import implicit_mmu, in_protected, refuse, set_zf, undefined
from jit.x86.paging import is_canonical
from jit.x86.segmentation import (
    CONFORMING, DESCRIPTOR_SIZE, NOT_RPL, NOWHERE, READABLE, RIGHTS, RPL, TABLE, descriptor_address, descriptor_base,
    descriptor_dpl, descriptor_limit, descriptor_rights, is_long, mark_descriptor, selector_fault, set_null, set_segment,
)
from jit.x86.state import X86, Cr4, Seg, SegmentAttribute, Vector

A = SegmentAttribute
FOUND = 1 << 32
LONG_DESCRIPTOR_SIZE = 16               # LDT and TSS descriptors in long mode
UPPER_TYPE = 0x1F00                     # bits of the upper half's second word that must be clear
BUSY = 2                                # TSS type bit

# System descriptor types (SDM vol. 3A table 3-2)
TSS_16, LDT, CALL_GATE_16, TASK_GATE, TSS_32, CALL_GATE_32 = 1, 2, 4, 5, 9, 12
BUSY_TSS_16, BUSY_TSS_32 = TSS_16 | BUSY, TSS_32 | BUSY

# Sets of types, one bit each
SIZED = 1 << TSS_16 | 1 << LDT | 1 << BUSY_TSS_16 | 1 << TSS_32 | 1 << BUSY_TSS_32
NAMED = SIZED | 1 << CALL_GATE_16 | 1 << TASK_GATE | 1 << CALL_GATE_32
LONG_SIZED = 1 << LDT | 1 << TSS_32 | 1 << BUSY_TSS_32
LONG_NAMED = LONG_SIZED | 1 << CALL_GATE_32


@word_function
def descriptor_type(d):
    """The type of a system descriptor, 0 to 15; 16 and up for code and data."""
    return d >> 40 & 0x1F


@word_function
def require_protected_cpl0(cpu: X86):
    if in_protected(cpu) == 0:
        return undefined(cpu)
    return refuse(cpu) if cpu.cpl else 0


@word_function
def require_protected(cpu: X86):
    return 0 if in_protected(cpu) else undefined(cpu)


# --- LDTR and TR
@word_function
def lldt(cpu: X86, selector):
    if require_protected_cpl0(cpu):
        return 1
    if selector & NOT_RPL == 0:
        return set_null(cpu, Seg.LDTR, selector)
    return load_system_segment(cpu, Seg.LDTR, selector, 1 << LDT, Vector.GP)


@word_function
def ltr(cpu: X86, selector):
    if require_protected_cpl0(cpu):
        return 1
    if selector & NOT_RPL == 0:
        return refuse(cpu)
    available = 1 << TSS_32 if is_long(cpu) else 1 << TSS_16 | 1 << TSS_32
    return load_system_segment(cpu, Seg.TR, selector, available, Vector.GP)


@word_function
def load_system_segment(cpu: X86, seg, selector, types, vector):
    """LDTR or TR from a GDT descriptor whose type is in the set `types`; a TSS becomes busy."""
    size = LONG_DESCRIPTOR_SIZE if is_long(cpu) else DESCRIPTOR_SIZE
    address = descriptor_address(cpu, selector, size)
    if selector & TABLE or address == NOWHERE:
        return selector_fault(cpu, vector, selector)
    d = load_as(cpu, address, DESCRIPTOR_SIZE, implicit_mmu(cpu))
    upper = load_as(cpu, address + DESCRIPTOR_SIZE, DESCRIPTOR_SIZE, implicit_mmu(cpu)) if is_long(cpu) else 0
    if cpu.fault:
        return 1
    base = descriptor_base(d) | (upper & 0xFFFFFFFF) << 32
    if types >> descriptor_type(d) & 1 == 0 or upper >> 32 & UPPER_TYPE or is_canonical(cpu, base) == 0:
        return selector_fault(cpu, vector, selector)
    if descriptor_rights(d) & A.P == 0:
        return selector_fault(cpu, Vector.NP, selector)
    busy = BUSY << 8 if seg == Seg.TR else 0
    if busy and mark_descriptor(cpu, selector, busy, 0):
        return 1
    set_segment(cpu, seg, selector, d | busy << 32)
    cpu.seg[seg].base = base
    return 0


@word_function
def sldt(cpu: X86):
    return store_selector(cpu, Seg.LDTR)


@word_function
def str_(cpu: X86):
    return store_selector(cpu, Seg.TR)


@word_function
def store_selector(cpu: X86, seg):
    if require_protected(cpu) == 0 and cpu.cr4 & Cr4.UMIP and cpu.cpl:
        refuse(cpu)
    return cpu.seg[seg].selector


# --- questions about a descriptor
@word_function
def query(cpu: X86, selector, types, long_types):
    """The descriptor when the running program may see it, else 0: code and data, or a system type of the set."""
    address = descriptor_address(cpu, selector, DESCRIPTOR_SIZE)
    if selector & NOT_RPL == 0 or address == NOWHERE:
        return 0
    d = load_as(cpu, address, DESCRIPTOR_SIZE, implicit_mmu(cpu))
    rights = descriptor_rights(d)
    if rights & A.S == 0:
        if (long_types if is_long(cpu) else types) >> descriptor_type(d) & 1 == 0:
            return 0
    elif rights & (A.CODE | CONFORMING) == A.CODE | CONFORMING:
        return d
    if cpu.cpl > descriptor_dpl(d) or selector & RPL > descriptor_dpl(d):
        return 0
    return d


@word_function
def lar(cpu: X86, selector):
    if require_protected(cpu):
        return 0
    d = query(cpu, selector, NAMED, LONG_NAMED)
    if cpu.fault:
        return 0
    set_zf(cpu, d)
    return d >> 32 & RIGHTS | FOUND if d else 0


@word_function
def lsl(cpu: X86, selector):
    if require_protected(cpu):
        return 0
    d = query(cpu, selector, SIZED, LONG_SIZED)
    if cpu.fault:
        return 0
    set_zf(cpu, d)
    return descriptor_limit(d) | FOUND if d else 0


@word_function
def verr(cpu: X86, selector):
    if require_protected(cpu):
        return 1
    d = query(cpu, selector, 0, 0)
    if cpu.fault:
        return 1
    return set_zf(cpu, d and d >> 32 & (A.CODE | READABLE) != A.CODE)


@word_function
def verw(cpu: X86, selector):
    if require_protected(cpu):
        return 1
    d = query(cpu, selector, 0, 0)
    if cpu.fault:
        return 1
    return set_zf(cpu, d >> 32 & (A.CODE | A.WRITABLE) == A.WRITABLE)


@word_function
def arpl(cpu: X86, destination, source):
    if require_protected(cpu):
        return 0
    raised = destination & RPL < source & RPL
    set_zf(cpu, raised)
    return destination & ~RPL | source & RPL if raised else destination
