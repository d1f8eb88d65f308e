"""New code segments: what far transfers, gates, event delivery and IRET have in common (SDM vol. 3A ch. 5.8, 6.12).

A transfer is prepared in the stack cursor (stack.py) with every check that can fault, then committed.

    check_offset(cpu, d, offset)                            #GP(0) unless the target lies in the segment
    code_of_gate(cpu, selector) -> descriptor               the handler's CS of a gate; 0 after a fault
    enter_code(cpu, selector, d, cpl, offset)               CS:RIP and CPL
    prepare_return(cpu, selector, offset, size, release, always), commit_return(cpu)       RETF and IRET
"""
from __future__ import annotations

from jit.words import word_function
from jit.x86.mode import refuse, update_mode
from jit.x86.paging import check_canonical
from jit.x86.segmentation import (
    CONFORMING, DPL_SHIFT, NOT_RPL, RPL, descriptor_dpl, descriptor_limit, descriptor_rights, fetch_descriptor, is_long,
    mark_accessed, selector_fault, set_null, set_segment,
)
from jit.x86.stack import MASK_64, Cursor, commit_stack, commit_stack_segment, move_pointer, open_stack, pop_value
from jit.x86.state import X86, Seg, Segment, SegmentAttribute, Vector

A = SegmentAttribute


@word_function
def is_code(d):
    return d >> 32 & (A.S | A.CODE) == A.S | A.CODE


@word_function
def is_conforming(d):
    return d >> 32 & CONFORMING


@word_function
def is_long_code(cpu: X86, d):
    """Is this a 64-bit code segment?"""
    return is_long(cpu) and d >> 32 & A.L


@word_function
def check_offset(cpu: X86, d, offset):
    if is_long_code(cpu, d):
        return check_canonical(cpu, offset)
    return refuse(cpu) if offset > descriptor_limit(d) else 0


@word_function
def check_code_size(cpu: X86, d, selector):
    """L and D together are reserved in long mode."""
    if is_long(cpu) and d >> 32 & (A.L | A.DB) == A.L | A.DB:
        return selector_fault(cpu, Vector.GP, selector)
    return 0


@word_function
def code_of_gate(cpu: X86, selector):
    """The descriptor of a gate's code segment, now accessed; 0 after #GP, #NP or #PF.  In long mode it is 64-bit code."""
    if selector & NOT_RPL == 0:
        refuse(cpu)
        return 0
    d = fetch_descriptor(cpu, selector, Vector.GP)
    if cpu.fault:
        return 0
    wrong_size = is_long(cpu) and d >> 32 & (A.L | A.DB) != A.L
    if is_code(d) == 0 or descriptor_dpl(d) > cpu.cpl or wrong_size:
        selector_fault(cpu, Vector.GP, selector)
    elif d >> 32 & A.P == 0:
        selector_fault(cpu, Vector.NP, selector)
    elif mark_accessed(cpu, selector, d) == 0:
        return d | A.ACCESSED << 32
    return 0


@word_function
def handler_cpl(cpu: X86, d):
    """Privilege that a gate's code runs at."""
    return cpu.cpl if is_conforming(d) else descriptor_dpl(d)


@word_function
def enter_code(cpu: X86, selector, d, cpl, offset):
    set_segment(cpu, Seg.CS, selector & ~RPL | cpl, d)
    cpu.cpl = cpl
    cpu.pc = offset
    return update_mode(cpu)


# --- returns
@word_function
def prepare_return(cpu: X86, selector, offset, size, release, always):
    """Check a return to selector:offset, popped from the cursor.  Releases `release` bytes; pops SS:RSP (`size` bytes each)
    when the privilege changes or `always`.  Returns 1 after a fault."""
    stack: Cursor = cpu.scratch
    d = return_code(cpu, selector)
    if cpu.fault or check_offset(cpu, d, offset) or mark_accessed(cpu, selector, d):
        return 1
    stack.target = selector
    stack.target_descriptor = d | A.ACCESSED << 32
    stack.offset = offset
    stack.outer = selector & RPL > cpu.cpl or always
    move_pointer(stack, release)
    return pop_outer_stack(cpu, size, release) if stack.outer else 0


@word_function
def return_code(cpu: X86, selector):
    """The descriptor of the CS that a return goes to; reports #GP, #NP, #PF."""
    if selector & NOT_RPL == 0:
        refuse(cpu)
        return 0
    d = fetch_descriptor(cpu, selector, Vector.GP)
    if cpu.fault:
        return 0
    rpl = selector & RPL
    wrong = descriptor_dpl(d) > rpl if is_conforming(d) else descriptor_dpl(d) != rpl
    if is_code(d) == 0 or rpl < cpu.cpl or wrong:
        selector_fault(cpu, Vector.GP, selector)
    elif check_code_size(cpu, d, selector) == 0 and descriptor_rights(d) & A.P == 0:
        selector_fault(cpu, Vector.NP, selector)
    return d


@word_function
def pop_outer_stack(cpu: X86, size, release):
    stack: Cursor = cpu.scratch
    pointer = pop_value(cpu, size)
    selector = pop_value(cpu, size) & 0xFFFF
    if cpu.fault:
        return 1
    rpl = stack.target & RPL
    to_long = is_long_code(cpu, stack.target_descriptor)
    if selector & NOT_RPL == 0 and to_long and rpl != 3:
        stack.selector = selector
        stack.descriptor = 0
        stack.pointer = pointer
    elif selector & NOT_RPL == 0:
        return refuse(cpu)
    elif open_stack(cpu, selector, pointer, rpl, Vector.GP):
        return 1
    if to_long:
        stack.mask = MASK_64
    return move_pointer(stack, release)


@word_function
def commit_return(cpu: X86):
    stack: Cursor = cpu.scratch
    cpl = stack.target & RPL
    lowered = cpl > cpu.cpl
    commit_stack(cpu)
    if stack.outer:
        commit_stack_segment(cpu)
    set_segment(cpu, Seg.CS, stack.target, stack.target_descriptor)
    cpu.cpl = cpl
    cpu.pc = stack.offset
    if lowered:
        drop_inner_segments(cpu)
    return update_mode(cpu)


@word_function
def drop_inner_segments(cpu: X86):
    """Segment registers that the new, lower privilege may not use become null."""
    drop_inner_segment(cpu, Seg.ES)
    drop_inner_segment(cpu, Seg.DS)
    drop_inner_segment(cpu, Seg.FS)
    return drop_inner_segment(cpu, Seg.GS)


@word_function
def drop_inner_segment(cpu: X86, seg):
    s: Segment = cpu.seg[seg]
    conforming = s.attributes & (A.CODE | CONFORMING) == A.CODE | CONFORMING
    if s.attributes & A.UNUSABLE == 0 and conforming == 0 and s.attributes & A.DPL < cpu.cpl << DPL_SHIFT:
        return set_null(cpu, seg, 0)
    return 0
