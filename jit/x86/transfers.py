"""Far transfers: JMP, CALL and RET through descriptors and gates, SYSCALL, SYSENTER (SDM vol. 2; vol. 3A ch. 5.8).

Entry points (b.system; offsets are zero-extended to 64 bits):
    far_jump(cpu, selector, offset, operand_bits)
    far_call(cpu, selector, offset, operand_bits)
    far_return(cpu, operand_bits, release)              `release`: the immediate of RETF
    syscall(cpu), sysret(cpu, operand_bits)             SYSRETQ has operand_bits 64
    sysenter(cpu), sysexit(cpu, operand_bits)
    iret(cpu, operand_bits)                             in iret.py
"""
from __future__ import annotations

from jit.memory import load_as
from jit.state import NO_ERROR_CODE
from jit.words import word_function
from jit.x86 import iret  # noqa: F401  (registers IRET)
from jit.x86.breakpoints import Dr6
from jit.x86.codeseg import (
    check_code_size, check_offset, code_of_gate, commit_return, enter_code, handler_cpl, is_code, is_conforming,
    prepare_return,
)
from jit.x86.descriptors import (
    CALL_GATE_16, CALL_GATE_32, LONG_DESCRIPTOR_SIZE, TASK_GATE, TSS_16, TSS_32, UPPER_TYPE, descriptor_type,
)
from jit.x86.interrupts import debug_trap, switch_task
from jit.x86.mode import (
    flags_image, implicit_mmu, in_long_code, in_protected, refuse, set_flags, undefined, update_mode,
)
from jit.x86.paging import check_canonical
from jit.x86.segmentation import (
    DESCRIPTOR_SIZE, NOT_RPL, NOWHERE, RPL, descriptor_address, descriptor_dpl, fetch_descriptor, is_long, mark_accessed,
    segment_allows, segment_fault, selector_fault, set_null, set_real,
)
from jit.x86.stack import (
    MASK_32, Cursor, commit_stack, commit_stack_segment, current_stack, inner_stack, long_stack, pointer_mask, pop_value,
    push_value, tss_load,
)
from jit.x86.state import X86, Cr0, Efer, Flag, Gpr, Seg, Segment, SegmentAttribute, Vector
from jit.x86.tasks import Switch

A = SegmentAttribute
FLAT_CODE = A.P | A.S | A.CODE | A.WRITABLE | A.ACCESSED | A.G
FLAT_STACK = A.P | A.S | A.WRITABLE | A.ACCESSED | A.G | A.DB
STAR_SYSCALL, STAR_SYSRET = 32, 48      # bit positions of the selectors in IA32_STAR
SYSRET_FLAGS = 0x3C7FD7                 # RFLAGS bits that SYSRET takes from R11


@word_function
def truncate(value, bits):
    return value if bits == 64 else value & ((1 << bits) - 1)


# --- JMP and CALL to a selector
@word_function
def far_jump(cpu: X86, selector, offset, operand_bits):
    if in_protected(cpu) == 0:
        set_real(cpu, Seg.CS, selector)
        cpu.pc = truncate(offset, operand_bits)
        return update_mode(cpu)
    d = target_descriptor(cpu, selector)
    if cpu.fault:
        return 1
    if d >> 32 & A.S == 0:
        return jump_through_system(cpu, selector, d)
    if check_target(cpu, selector, d) or check_offset(cpu, d, truncate(offset, operand_bits)):
        return 1
    return enter_code(cpu, selector, d | A.ACCESSED << 32, cpu.cpl, truncate(offset, operand_bits))


@word_function
def far_call(cpu: X86, selector, offset, operand_bits):
    if in_protected(cpu) == 0:
        return call_real(cpu, selector, truncate(offset, operand_bits), operand_bits // 8)
    d = target_descriptor(cpu, selector)
    if cpu.fault:
        return 1
    if d >> 32 & A.S == 0:
        return call_through_system(cpu, selector, d)
    if check_target(cpu, selector, d) or check_offset(cpu, d, truncate(offset, operand_bits)):
        return 1
    if push_far_return(cpu, operand_bits // 8):
        return 1
    return enter_code(cpu, selector, d | A.ACCESSED << 32, cpu.cpl, truncate(offset, operand_bits))


@word_function
def call_real(cpu: X86, selector, offset, size):
    if push_far_return(cpu, size):
        return 1
    set_real(cpu, Seg.CS, selector)
    cpu.pc = offset
    return update_mode(cpu)


@word_function
def push_far_return(cpu: X86, size):
    """CS and the return offset on the current stack."""
    current_stack(cpu)
    push_value(cpu, cpu.seg[Seg.CS].selector, size)
    push_value(cpu, cpu.pc, size)
    return 1 if cpu.fault else commit_stack(cpu)


@word_function
def target_descriptor(cpu: X86, selector):
    """Whatever the selector of a far transfer names."""
    if selector & NOT_RPL == 0:
        refuse(cpu)
        return 0
    return fetch_descriptor(cpu, selector, Vector.GP)


@word_function
def check_target(cpu: X86, selector, d):
    """A direct transfer: code of this privilege, or conforming code of a higher one; marks it accessed."""
    if is_conforming(d):
        wrong = descriptor_dpl(d) > cpu.cpl
    else:
        wrong = selector & RPL > cpu.cpl or descriptor_dpl(d) != cpu.cpl
    if is_code(d) == 0 or wrong:
        return selector_fault(cpu, Vector.GP, selector)
    if d >> 32 & A.P == 0:
        return selector_fault(cpu, Vector.NP, selector)
    return check_code_size(cpu, d, selector) or mark_accessed(cpu, selector, d)


# --- gates and tasks
@word_function
def jump_through_system(cpu: X86, selector, d):
    kind = descriptor_type(d)
    if check_gate(cpu, selector, d):
        return 1
    if kind != CALL_GATE_16 and kind != CALL_GATE_32:
        return transfer_to_task(cpu, selector, d, Switch.JUMP)
    target = d >> 16 & 0xFFFF
    offset = gate_offset(cpu, selector, d)
    code = code_of_gate(cpu, target)
    if cpu.fault or check_offset(cpu, code, offset):
        return 1
    if handler_cpl(cpu, code) != cpu.cpl:
        return selector_fault(cpu, Vector.GP, target)
    return enter_code(cpu, target, code, cpu.cpl, offset)


@word_function
def call_through_system(cpu: X86, selector, d):
    kind = descriptor_type(d)
    if check_gate(cpu, selector, d):
        return 1
    if kind != CALL_GATE_16 and kind != CALL_GATE_32:
        return transfer_to_task(cpu, selector, d, Switch.CALL)
    target = d >> 16 & 0xFFFF
    offset = gate_offset(cpu, selector, d)
    code = code_of_gate(cpu, target)
    if cpu.fault or check_offset(cpu, code, offset):
        return 1
    cpl = handler_cpl(cpu, code)
    size = 8 if is_long(cpu) else 4 if kind == CALL_GATE_32 else 2
    if cpl == cpu.cpl:
        failed = push_far_return(cpu, size)
    elif size == 8:
        failed = call_inner_long(cpu, cpl)
    else:
        failed = call_inner(cpu, cpl, size, d >> 32 & 31)
    return 1 if failed else enter_code(cpu, target, code, cpl, offset)


@word_function
def check_gate(cpu: X86, selector, d):
    """A call gate, task gate or TSS that the program may use."""
    kinds = 1 << CALL_GATE_32
    if is_long(cpu) == 0:
        kinds |= 1 << CALL_GATE_16 | 1 << TASK_GATE | 1 << TSS_16 | 1 << TSS_32
    dpl = descriptor_dpl(d)
    if kinds >> descriptor_type(d) & 1 == 0 or dpl < cpu.cpl or dpl < selector & RPL:
        return selector_fault(cpu, Vector.GP, selector)
    return 0 if d >> 32 & A.P else selector_fault(cpu, Vector.NP, selector)


@word_function
def gate_offset(cpu: X86, selector, d):
    """Where a call gate leads; a gate of long mode has a second half."""
    if descriptor_type(d) == CALL_GATE_16:
        return d & 0xFFFF
    offset = d & 0xFFFF | d >> 48 << 16
    if is_long(cpu) == 0:
        return offset
    address = descriptor_address(cpu, selector, LONG_DESCRIPTOR_SIZE)
    upper = UPPER_TYPE << 32 if address == NOWHERE else load_as(cpu, address + DESCRIPTOR_SIZE, 8, implicit_mmu(cpu))
    if upper >> 32 & UPPER_TYPE:
        selector_fault(cpu, Vector.GP, selector)
    return offset | (upper & MASK_32) << 32


@word_function
def transfer_to_task(cpu: X86, selector, d, reason):
    if descriptor_type(d) == TASK_GATE:
        selector = d >> 16 & 0xFFFF
    return switch_task(cpu, selector, reason, NO_ERROR_CODE)


@word_function
def call_inner(cpu: X86, cpl, size, count):
    """To the TSS's stack, with `count` parameters of the old stack between the old SS:ESP and the return address."""
    ss: Segment = cpu.seg[Seg.SS]
    pointer = cpu.gpr[Gpr.RSP] & pointer_mask(ss.attributes)
    if count and segment_allows(ss, pointer, count * size, 0) == 0:
        return segment_fault(cpu, Seg.SS)
    if inner_stack(cpu, cpl):
        return 1
    push_value(cpu, ss.selector, size)
    push_value(cpu, cpu.gpr[Gpr.RSP], size)
    for i in range(count):
        at = (ss.base + pointer + (count - 1 - i) * size) & MASK_32
        push_value(cpu, load_as(cpu, at, size, cpu.mmu), size)
    push_value(cpu, cpu.seg[Seg.CS].selector, size)
    push_value(cpu, cpu.pc, size)
    if cpu.fault:
        return 1
    commit_stack_segment(cpu)
    return commit_stack(cpu)


@word_function
def call_inner_long(cpu: X86, cpl):
    pointer = tss_load(cpu, 4 + 8 * cpl, 8)
    if cpu.fault or long_stack(cpu, pointer, cpl):
        return 1
    push_value(cpu, cpu.seg[Seg.SS].selector, 8)
    push_value(cpu, cpu.gpr[Gpr.RSP], 8)
    push_value(cpu, cpu.seg[Seg.CS].selector, 8)
    push_value(cpu, cpu.pc, 8)
    if cpu.fault:
        return 1
    set_null(cpu, Seg.SS, cpl)
    return commit_stack(cpu)


# --- RETF
@word_function
def far_return(cpu: X86, operand_bits, release):
    size = operand_bits // 8
    current_stack(cpu)
    offset = pop_value(cpu, size)
    selector = pop_value(cpu, size) & 0xFFFF
    if cpu.fault:
        return 1
    if in_protected(cpu):
        return 1 if prepare_return(cpu, selector, offset, size, release, 0) else commit_return(cpu)
    set_real(cpu, Seg.CS, selector)
    stack: Cursor = cpu.scratch
    stack.pointer += release
    commit_stack(cpu)
    cpu.pc = offset
    return update_mode(cpu)


# --- fast system calls: CS and SS become flat without a look at the tables
@word_function
def set_flat(cpu: X86, seg, selector, attributes):
    s: Segment = cpu.seg[seg]
    s.selector = selector
    s.base = 0
    s.limit = MASK_32
    s.attributes = attributes
    return 0


@word_function
def enter_flat(cpu: X86, selector, stack_selector, cpl, long):
    """Flat CS and SS at privilege `cpl`; 64-bit or 32-bit code."""
    dpl = cpl << 13
    set_flat(cpu, Seg.CS, selector & ~RPL | cpl, FLAT_CODE | dpl | (A.L if long else A.DB))
    set_flat(cpu, Seg.SS, stack_selector & ~RPL | cpl, FLAT_STACK | dpl)
    cpu.cpl = cpl
    return update_mode(cpu)


@word_function
def syscall(cpu: X86):
    if cpu.efer & Efer.SCE == 0 or cpu.cr0 & Cr0.PE == 0:
        return undefined(cpu)
    selector = cpu.star >> STAR_SYSCALL & NOT_RPL
    cpu.gpr[Gpr.RCX] = cpu.pc
    if is_long(cpu) == 0:
        set_flags(cpu, 0, Flag.VM | Flag.IF | Flag.RF)
        cpu.pc = cpu.star & MASK_32
        return enter_flat(cpu, selector, selector + 8, 0, 0)
    cpu.gpr[Gpr.R11] = flags_image(cpu) & ~Flag.RF
    cpu.pc = cpu.lstar if in_long_code(cpu) else cpu.cstar
    set_flags(cpu, 0, cpu.fmask | Flag.RF)
    if cpu.eflags & Flag.TF == 0:
        cpu.pending_db = 0              # the single-step trap goes by the new TF
    return enter_flat(cpu, selector, selector + 8, 0, 1)


@word_function
def sysret(cpu: X86, operand_bits):
    if cpu.efer & Efer.SCE == 0 or cpu.cr0 & Cr0.PE == 0:
        return undefined(cpu)
    if cpu.cpl:
        return refuse(cpu)
    selector = cpu.star >> STAR_SYSRET & NOT_RPL
    if is_long(cpu) == 0:
        set_flags(cpu, Flag.IF, Flag.IF)
        cpu.pc = cpu.gpr[Gpr.RCX] & MASK_32
        return enter_flat(cpu, selector, selector + 8, 3, 0)
    wide = operand_bits == 64
    if wide and check_canonical(cpu, cpu.gpr[Gpr.RCX]):
        return 1
    set_flags(cpu, cpu.gpr[Gpr.R11], SYSRET_FLAGS)
    cpu.pc = cpu.gpr[Gpr.RCX] if wide else cpu.gpr[Gpr.RCX] & MASK_32
    enter_flat(cpu, selector + 16 if wide else selector, selector + 8, 3, wide)
    if cpu.eflags & Flag.TF:
        debug_trap(cpu, Dr6.BS)             # as if the SYSCALL in the program had just been stepped
    return 0


@word_function
def sysenter(cpu: X86):
    if cpu.cr0 & Cr0.PE == 0 or cpu.sysenter_cs & NOT_RPL == 0:
        return refuse(cpu)
    mask = ~0 if is_long(cpu) else MASK_32
    set_flags(cpu, 0, Flag.VM | Flag.IF | Flag.RF)
    cpu.gpr[Gpr.RSP] = cpu.sysenter_esp & mask
    cpu.pc = cpu.sysenter_eip & mask
    selector = cpu.sysenter_cs & NOT_RPL
    return enter_flat(cpu, selector, selector + 8, 0, is_long(cpu))


@word_function
def sysexit(cpu: X86, operand_bits):
    if cpu.cr0 & Cr0.PE == 0 or cpu.sysenter_cs & NOT_RPL == 0 or cpu.cpl:
        return refuse(cpu)
    target = truncate(cpu.gpr[Gpr.RDX], operand_bits if operand_bits == 64 else 32)
    pointer = truncate(cpu.gpr[Gpr.RCX], operand_bits if operand_bits == 64 else 32)
    if check_canonical(cpu, target) or check_canonical(cpu, pointer):
        return 1
    cpu.gpr[Gpr.RSP] = pointer
    cpu.pc = target
    selector = (cpu.sysenter_cs & NOT_RPL) + (32 if operand_bits == 64 else 16)
    return enter_flat(cpu, selector, selector + 8, 3, operand_bits == 64)
