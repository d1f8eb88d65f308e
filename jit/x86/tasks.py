"""Task switching with 16- and 32-bit task-state segments (SDM vol. 3A ch. 7).

    task_switch(cpu, selector, reason, code) -> 1 once the new task runs, 0 when a fault came before that

`reason` is a Switch; `code` is an error code to push on the new task's stack, or NO_ERROR_CODE.  With cpu.fault set and a result
of 1, the fault belongs to the new task's first instruction; so does the #DB that the T bit asks for.
"""
from __future__ import annotations

from enum import IntEnum

from jit.memory import flush_tlb, load_as, probe_as, set_fault, store_as
from jit.state import NO_ERROR_CODE
from jit.words import word_function
from jit.x86.breakpoints import DR6, DR7, Dr6
from jit.x86.codeseg import is_code, is_conforming
from jit.x86.descriptors import (
    BUSY, BUSY_TSS_16, BUSY_TSS_32, LDT, TSS_16, TSS_32, descriptor_type, load_system_segment,
)
from jit.x86.mode import flags_image, implicit_mmu, in_v86, load_resume, set_flags, update_mode
from jit.x86.segmentation import (
    DESCRIPTOR_SIZE, NOT_RPL, NOWHERE, RPL, TABLE, check_data_segment, check_stack_segment, descriptor_address,
    descriptor_base, descriptor_dpl, descriptor_limit, fetch_descriptor, load_checked, mark_descriptor, selector_fault,
    set_null, set_real, set_segment,
)
from jit.x86.stack import TSS_32_BIT, commit_stack, current_stack, push_value
from jit.x86.state import X86, Cr0, Flag, Seg, Segment, SegmentAttribute, Vector

A = SegmentAttribute


class Switch(IntEnum):
    JUMP, CALL, IRET = range(3)         # CALL stands for events through task gates too


BUSY_BIT = BUSY << 8
LIMIT_16, LIMIT_32 = 0x2B, 0x67
DR7_LOCAL = 0x55                        # L0-L3 and the bits of the task that ends
ALL_FLAGS = (1 << 22) - 1

# Field offsets, 16- and 32-bit; registers in the order of Gpr, segments in the order of Seg
PC_16, PC_32 = 0x0E, 0x20
REGISTERS_16, REGISTERS_32 = 0x12, 0x28
SEGMENTS_16, SEGMENTS_32 = 0x22, 0x48
LDT_16, LDT_32 = 0x2A, 0x60
CR3_32, TRAP_32 = 0x1C, 0x64
T_BIT = 1

# The new task in cpu.scratch, past the stack cursor
NEW_PC, NEW_FLAGS, NEW_CR3, NEW_LDT, NEW_SEGMENTS, NEW_REGISTERS, NEW_TRAP = 14, 15, 16, 17, 18, 24, 28


@word_function
def task_switch(cpu: X86, selector, reason, code):
    d = find_tss(cpu, selector, reason)
    if cpu.fault:
        return 0
    base = descriptor_base(d)
    wide = d >> 32 & TSS_32_BIT
    if read_task(cpu, base, wide) or save_task(cpu, reason):
        return 0
    if reason == Switch.CALL and store_as(cpu, base, cpu.seg[Seg.TR].selector, 2, implicit_mmu(cpu)):
        return 0
    if exchange_busy(cpu, selector, reason):
        return 0
    set_segment(cpu, Seg.TR, selector, d | BUSY_BIT << 32)
    load_task(cpu, wide, reason)
    if cpu.fault == 0 and code != NO_ERROR_CODE:
        current_stack(cpu)
        if push_value(cpu, code, 4 if wide else 2) == 0:
            commit_stack(cpu)
    if cpu.fault == 0 and cpu.scratch[NEW_TRAP] & T_BIT:
        cpu.dr[DR6] = cpu.dr[DR6] | Dr6.BT
        set_fault(cpu, Vector.DB, NO_ERROR_CODE, 0)
    return 1


@word_function
def find_tss(cpu: X86, selector, reason):
    """The new task's descriptor, checked; reports #GP (IRET: #TS), #NP."""
    vector = Vector.TS if reason == Switch.IRET else Vector.GP
    if selector & TABLE or descriptor_address(cpu, selector, DESCRIPTOR_SIZE) == NOWHERE:
        selector_fault(cpu, vector, selector)
        return 0
    d = fetch_descriptor(cpu, selector, vector)
    if cpu.fault:
        return 0
    types = 1 << TSS_16 | 1 << TSS_32
    if reason == Switch.IRET:
        types = 1 << BUSY_TSS_16 | 1 << BUSY_TSS_32
    if types >> descriptor_type(d) & 1 == 0:
        selector_fault(cpu, vector, selector)
    elif d >> 32 & A.P == 0:
        selector_fault(cpu, Vector.NP, selector)
    elif descriptor_limit(d) < (LIMIT_32 if d >> 32 & TSS_32_BIT else LIMIT_16):
        selector_fault(cpu, Vector.TS, selector)
    return d


@word_function
def read_task(cpu: X86, base, wide):
    """Copy the new task's state into scratch while a page fault can still be the old task's."""
    mmu = implicit_mmu(cpu)
    size = 4 if wide else 2
    at = base + (PC_32 if wide else PC_16)
    cpu.scratch[NEW_PC] = load_as(cpu, at, size, mmu)
    cpu.scratch[NEW_FLAGS] = load_as(cpu, at + size, size, mmu)
    cpu.scratch[NEW_CR3] = load_as(cpu, base + CR3_32, 4, mmu) if wide else 0
    cpu.scratch[NEW_TRAP] = load_as(cpu, base + TRAP_32, 2, mmu) if wide else 0
    cpu.scratch[NEW_LDT] = load_as(cpu, base + (LDT_32 if wide else LDT_16), 2, mmu)
    at = base + (SEGMENTS_32 if wide else SEGMENTS_16)
    for i in range(6):
        cpu.scratch[NEW_SEGMENTS + i] = load_as(cpu, at + i * size, 2, mmu) if wide or i < 4 else 0
    at = base + (REGISTERS_32 if wide else REGISTERS_16)
    for i in range(4):                  # two to a word
        low = load_as(cpu, at + 2 * i * size, size, mmu)
        cpu.scratch[NEW_REGISTERS + i] = low | load_as(cpu, at + (2 * i + 1) * size, size, mmu) << 32
    return cpu.fault


@word_function
def save_task(cpu: X86, reason):
    """Write the old task's state to its TSS.  Returns 1 after #PF, with nothing written."""
    tr: Segment = cpu.seg[Seg.TR]
    wide = tr.attributes & TSS_32_BIT
    mmu = implicit_mmu(cpu)
    if probe_as(cpu, tr.base, LIMIT_32 + 1 if wide else LIMIT_16 + 1, mmu):
        return 1
    flags = flags_image(cpu)
    if reason == Switch.IRET:
        flags &= ~Flag.NT
    size = 4 if wide else 2
    at = tr.base + (PC_32 if wide else PC_16)
    store_as(cpu, at, cpu.pc, size, mmu)
    store_as(cpu, at + size, flags, size, mmu)
    at = tr.base + (REGISTERS_32 if wide else REGISTERS_16)
    for i in range(8):
        store_as(cpu, at + i * size, cpu.gpr[i], size, mmu)
    at = tr.base + (SEGMENTS_32 if wide else SEGMENTS_16)
    for i in range(6):
        if wide or i < 4:
            store_as(cpu, at + i * size, cpu.seg[i].selector, 2, mmu)
    return cpu.fault


@word_function
def exchange_busy(cpu: X86, selector, reason):
    """JMP and IRET make the old TSS available; JMP and CALL make the new one busy."""
    if reason != Switch.CALL and mark_descriptor(cpu, cpu.seg[Seg.TR].selector, 0, BUSY_BIT):
        return 1
    if reason != Switch.IRET and mark_descriptor(cpu, selector, BUSY_BIT, 0):
        return 1
    return 0


@word_function
def load_task(cpu: X86, wide, reason):
    """Registers first, all of which are the new task's before any segment is looked at."""
    if wide and cpu.cr0 & Cr0.PG:
        cpu.cr3 = cpu.scratch[NEW_CR3]
        flush_tlb(cpu, 1)
    for i in range(4):
        pair = cpu.scratch[NEW_REGISTERS + i]
        cpu.gpr[2 * i] = pair & 0xFFFFFFFF
        cpu.gpr[2 * i + 1] = pair >> 32
    cpu.pc = cpu.scratch[NEW_PC]
    nested = Flag.NT if reason == Switch.CALL else 0
    set_flags(cpu, cpu.scratch[NEW_FLAGS] | nested, ALL_FLAGS & ~Flag.RF)
    cpu.cr0 = cpu.cr0 | Cr0.TS
    cpu.dr[DR7] = cpu.dr[DR7] & ~DR7_LOCAL
    load_resume(cpu, cpu.scratch[NEW_FLAGS])
    for i in range(6):
        set_null(cpu, i, cpu.scratch[NEW_SEGMENTS + i])
    set_null(cpu, Seg.LDTR, cpu.scratch[NEW_LDT])
    cpu.cpl = 3 if in_v86(cpu) else cpu.scratch[NEW_SEGMENTS + Seg.CS] & RPL
    load_task_segments(cpu)
    return update_mode(cpu)


@word_function
def load_task_segments(cpu: X86):
    ldt = cpu.scratch[NEW_LDT]
    if ldt & NOT_RPL and load_system_segment(cpu, Seg.LDTR, ldt, 1 << LDT, Vector.TS):
        return 1
    if in_v86(cpu):
        for i in range(6):
            set_real(cpu, i, cpu.scratch[NEW_SEGMENTS + i])
        return 0
    if load_task_code(cpu, cpu.scratch[NEW_SEGMENTS + Seg.CS]):
        return 1
    if load_task_stack(cpu, cpu.scratch[NEW_SEGMENTS + Seg.SS]):
        return 1
    for i in range(6):
        if i != Seg.CS and i != Seg.SS and load_task_data(cpu, i, cpu.scratch[NEW_SEGMENTS + i]):
            return 1
    return 0


@word_function
def load_task_code(cpu: X86, selector):
    d = fetch_descriptor(cpu, selector, Vector.TS) if selector & NOT_RPL else 0
    if cpu.fault:
        return 1
    wrong = descriptor_dpl(d) > cpu.cpl if is_conforming(d) else descriptor_dpl(d) != cpu.cpl
    if is_code(d) == 0 or wrong:
        return selector_fault(cpu, Vector.TS, selector)
    if d >> 32 & A.P == 0:
        return selector_fault(cpu, Vector.NP, selector)
    return load_checked(cpu, Seg.CS, selector, d)


@word_function
def load_task_stack(cpu: X86, selector):
    d = fetch_descriptor(cpu, selector, Vector.TS) if selector & NOT_RPL else 0
    if cpu.fault or check_stack_segment(cpu, d, selector, cpu.cpl, Vector.TS):
        return 1
    return load_checked(cpu, Seg.SS, selector, d)


@word_function
def load_task_data(cpu: X86, seg, selector):
    if selector & NOT_RPL == 0:
        return 0
    d = fetch_descriptor(cpu, selector, Vector.TS)
    if cpu.fault or check_data_segment(cpu, d, selector, Vector.TS):
        return 1
    return load_checked(cpu, seg, selector, d)
