"""The stack as far transfers and event delivery move along it: a cursor over some stack, committed to SS:RSP at the end.

The cursor lives in cpu.scratch.  Pushes and pops check the limit (#SS with the cursor's error code) and may page-fault; nothing
architectural changes before commit_stack (SDM vol. 3A ch. 5.8.5, 6.12.1, 6.14).

    current_stack(cpu)                                      cursor = SS:RSP at the current privilege
    push_value(cpu, value, size), pop_value(cpu, size)      size in bytes; after a fault they do nothing useful
    inner_stack(cpu, cpl)                                   cursor = the TSS's stack for `cpl`, its SS checked (legacy modes)
    tss_pointer(cpu, offset)                                a 64-bit stack pointer of the TSS
    long_stack(cpu, pointer, cpl)                           cursor = a 64-bit stack
    commit_stack(cpu)                                       RSP = cursor
    commit_stack_segment(cpu)                               SS = what inner_stack or open_stack checked
"""
from __future__ import annotations

import numpy as np

from jit.memory import load_as, set_fault, store_as
from jit.words import Layout, word_function
from jit.x86.mode import data_mmu, implicit_mmu, in_long_code
from jit.x86.paging import is_canonical
from jit.x86.segmentation import (
    NOT_RPL, check_stack_segment, descriptor_base, descriptor_limit, descriptor_rights, fetch_descriptor, mark_accessed,
    selector_fault, set_null, set_segment, within_limit,
)
from jit.x86.state import X86, Gpr, Seg, Segment, SegmentAttribute, Vector

A = SegmentAttribute
Cursor = Layout("Cursor", np.dtype([
    ("pointer", "u8"),
    ("mask", "u8"),                     # which bits of the pointer count
    ("base", "u8"), ("limit", "u8"), ("attributes", "u8"),      # of the stack segment (not in 64-bit mode)
    ("mmu", "u8"),
    ("code", "u8"),                     # error code of #SS
    ("selector", "u8"), ("descriptor", "u8"),                   # of a new SS (descriptor 0: a null selector)
    ("target", "u8"), ("target_descriptor", "u8"),              # of a new CS
    ("offset", "u8"),                   # where control goes
    ("outer", "u8"),                    # SS:RSP change with CS
]))
MASK_16, MASK_32, MASK_64 = (1 << 16) - 1, (1 << 32) - 1, (1 << 64) - 1
IOMAP_AT = 0x66                         # TSS: offset of the I/O permission map
TSS_32_BIT = 1 << 11                    # TR attribute: a 32-bit (or 64-bit) task-state segment


@word_function
def pointer_mask(attributes):
    """Which bits of the stack pointer count, by SS attributes outside 64-bit code."""
    return MASK_32 if attributes & A.DB else MASK_16


@word_function
def current_stack(cpu: X86):
    stack: Cursor = cpu.scratch
    ss: Segment = cpu.seg[Seg.SS]
    stack.pointer = cpu.gpr[Gpr.RSP]
    stack.mask = MASK_64 if in_long_code(cpu) else pointer_mask(ss.attributes)
    stack.base = ss.base
    stack.limit = ss.limit
    stack.attributes = ss.attributes
    stack.mmu = cpu.mmu
    stack.code = 0
    return 0


@word_function
def long_stack(cpu: X86, pointer, cpl):
    stack: Cursor = cpu.scratch
    stack.pointer = pointer
    stack.mask = MASK_64
    stack.mmu = data_mmu(cpu, cpl)
    stack.code = 0
    return 0 if is_canonical(cpu, pointer) else set_fault(cpu, Vector.SS, 0, 0)


@word_function
def stack_linear(cpu: X86, size):
    """Linear address of `size` bytes at the cursor; reports #SS."""
    stack: Cursor = cpu.scratch
    if stack.mask == MASK_64:
        return stack.pointer
    offset = stack.pointer & stack.mask
    if within_limit(stack.limit, stack.attributes, offset, size) == 0:
        set_fault(cpu, Vector.SS, stack.code, 0)
    return (stack.base + offset) & MASK_32


@word_function
def move_pointer(stack: Cursor, delta):
    stack.pointer = stack.pointer & ~stack.mask | (stack.pointer + delta) & stack.mask
    return 0


@word_function
def push_value(cpu: X86, value, size):
    stack: Cursor = cpu.scratch
    move_pointer(stack, 0 - size)
    address = stack_linear(cpu, size)
    return 1 if cpu.fault else store_as(cpu, address, value, size, stack.mmu)


@word_function
def pop_value(cpu: X86, size):
    stack: Cursor = cpu.scratch
    address = stack_linear(cpu, size)
    if cpu.fault:
        return 0
    move_pointer(stack, size)
    return load_as(cpu, address, size, stack.mmu)


@word_function
def commit_stack(cpu: X86):
    stack: Cursor = cpu.scratch
    pointer = stack.pointer
    if stack.mask == MASK_16:
        pointer = cpu.gpr[Gpr.RSP] & ~MASK_16 | pointer & MASK_16
    elif stack.mask == MASK_32:
        pointer &= MASK_32
    cpu.gpr[Gpr.RSP] = pointer
    return 0


@word_function
def commit_stack_segment(cpu: X86):
    stack: Cursor = cpu.scratch
    if stack.descriptor:
        return set_segment(cpu, Seg.SS, stack.selector, stack.descriptor)
    return set_null(cpu, Seg.SS, stack.selector)


# --- stacks from a task-state segment
@word_function
def tss_load(cpu: X86, offset, size):
    """A field of the current TSS; #TS(TR) when its limit is too small."""
    tr: Segment = cpu.seg[Seg.TR]
    if offset + size - 1 > tr.limit:
        selector_fault(cpu, Vector.TS, tr.selector)
        return 0
    return load_as(cpu, tr.base + offset, size, implicit_mmu(cpu))


@word_function
def inner_stack(cpu: X86, cpl):
    """The stack for `cpl` from the TSS, ready to be pushed on.  Returns 1 after #TS, #SS or #PF."""
    if cpu.seg[Seg.TR].attributes & TSS_32_BIT:
        pointer = tss_load(cpu, 4 + 8 * cpl, 4)
        selector = tss_load(cpu, 8 + 8 * cpl, 2)
    else:
        pointer = tss_load(cpu, 2 + 4 * cpl, 2)
        selector = tss_load(cpu, 4 + 4 * cpl, 2)
    if cpu.fault:
        return 1
    return open_stack(cpu, selector, pointer, cpl, Vector.TS)


@word_function
def open_stack(cpu: X86, selector, pointer, cpl, vector):
    """The cursor on a stack segment for `cpl` that is not loaded yet; a bad selector is `vector`(selector)."""
    if selector & NOT_RPL == 0:
        return selector_fault(cpu, vector, selector)
    d = fetch_descriptor(cpu, selector, vector)
    if cpu.fault or check_stack_segment(cpu, d, selector, cpl, vector) or mark_accessed(cpu, selector, d):
        return 1
    stack: Cursor = cpu.scratch
    stack.attributes = descriptor_rights(d)
    stack.pointer = pointer
    stack.mask = pointer_mask(stack.attributes)
    stack.base = descriptor_base(d)
    stack.limit = descriptor_limit(d)
    stack.mmu = data_mmu(cpu, cpl)
    stack.code = selector & NOT_RPL
    stack.selector = selector
    stack.descriptor = d | A.ACCESSED << 32
    return 0
