"""Exceptions and interrupts in every mode (SDM vol. 3A ch. 6, vol. 2 INT n).  IRET is in iret.py.

Entry points of the dispatcher (cpu.pc is the return address: the faulting instruction, or the next one):
    raise_fault(cpu) -> 0, or 1 on shutdown     deliver the exception in cpu.fault, with double and triple faults
    take_interrupt(cpu, vector) -> like that    an external interrupt (the caller has checked EFLAGS.IF and the shadow)
    take_nmi(cpu) -> like that
    deliver(cpu, vector, code, kind)            kind: Event; sets cpu.fault when the delivery itself faults
Entry points of semantics (b.system):
    int_n(cpu, vector)                          INT n
    int3(cpu), into(cpu), int1(cpu)             INT3, INTO (acts only when OF = 1), INT1
    switch_task(cpu, selector, reason, code)    task_switch, with faults of the new task delivered there
"""
from __future__ import annotations

from enum import IntEnum

from jit.codecache import Engine
from jit.memory import load_as, set_fault
from jit.state import NO_ERROR_CODE, Call, Exit, Leave, Trace
from jit.words import word_function
from jit.x86.breakpoints import DR6
from jit.x86.codeseg import check_offset, code_of_gate, enter_code, handler_cpl
from jit.x86.descriptors import TASK_GATE, descriptor_type
from jit.x86.mode import (
    arithmetic_flags, flags_image, implicit_mmu, in_v86, iopl, refuse, set_flags, update_mode,
)
from jit.x86.segmentation import is_long, selector_fault, set_null, set_real
from jit.x86.stack import (
    IOMAP_AT, TSS_32_BIT, commit_stack, commit_stack_segment, current_stack, inner_stack, long_stack, push_value, tss_load,
)
from jit.x86.state import X86, Cr0, Cr4, Flag, Gpr, Seg, SegmentAttribute, Vector
from jit.x86.tasks import Switch, task_switch

A = SegmentAttribute
EXT = 1                                 # error code: the event came from outside the program
IDT = 2                                 # error code: the index is a vector
PAGE_FAULT = 1 << Vector.PF
CONTRIBUTORY = 1 << Vector.DE | 1 << Vector.TS | 1 << Vector.NP | 1 << Vector.SS | 1 << Vector.GP
NO_FAULTS = 1 << Vector.DB | 1 << Vector.NMI | 1 << Vector.BP | 1 << Vector.OF | 1 << Vector.DF | 1 << Vector.MC
GATE_SIZE, LONG_GATE_SIZE = 8, 16
TRAP_GATE = 1                           # gate type bit: leaves IF as it is
GATE_32 = 8                             # gate type bit: 32-bit gate
CLEARED = Flag.TF | Flag.NT | Flag.RF | Flag.VM
REDIRECTION_SIZE = 32                   # bytes; the interrupt redirection map ends where the I/O map begins


class Event(IntEnum):
    """What is being delivered.  The first two honour the gate's privilege and have no EXT in error codes."""

    SOFTWARE = 0                        # INT n
    TRAP = 1                            # INT3, INTO
    EXCEPTION = 2
    EXTERNAL = 3


# --- entry points of the dispatcher
@word_function
def raise_fault(cpu: X86):
    """Deliver cpu.fault; faults on the way become double faults, and those of a double fault a shutdown."""
    while cpu.fault:
        vector = cpu.fault - 1
        code = cpu.fault_code
        if cpu.pending_vector:
            combined = combine(cpu.pending_vector - 1, vector)
            if combined == Vector.DF:
                code = 0
            elif combined == NO_ERROR_CODE:
                return shut_down_cpu(cpu)
            vector = combined
        if vector == Vector.PF:
            cpu.cr2 = cpu.fault_address
        cpu.fault = 0
        cpu.pending_vector = vector + 1
        deliver(cpu, vector, code, Event.EXCEPTION)
    cpu.pending_vector = 0
    return 0


@word_function
def combine(first, second):
    """The exception to deliver when `second` came while `first` was delivered (SDM vol. 3A table 6-5); NO_ERROR_CODE means
    shutdown."""
    serious = (CONTRIBUTORY | PAGE_FAULT) >> second & 1
    if first == Vector.DF and serious:
        return NO_ERROR_CODE
    if first == Vector.PF and serious:
        return Vector.DF
    if CONTRIBUTORY >> first & 1 and CONTRIBUTORY >> second & 1:
        return Vector.DF
    return second


@word_function
def shut_down_cpu(cpu: X86):
    cpu.fault = 0
    cpu.pending_vector = 0
    cpu.exit_code = Exit.SHUTDOWN
    cpu.leave = Leave.EXIT
    return 1


@word_function
def take_interrupt(cpu: X86, vector):
    deliver(cpu, vector, NO_ERROR_CODE, Event.EXTERNAL)
    return raise_fault(cpu)


@word_function
def take_nmi(cpu: X86):
    cpu.nmi_blocked = 1
    return take_interrupt(cpu, Vector.NMI)


@word_function
def deliver(cpu: X86, vector, code, kind):
    """Enter the handler of `vector`.  Returns 1 with cpu.fault set, and nothing else changed, when that faults."""
    engine: Engine = cpu.engine
    if engine.trace & Trace.EVENT:
        call5(engine.callback, cpu, Call.TRACE, Trace.EVENT, vector | kind << 8, code)
    if cpu.cr0 & Cr0.PE == 0:
        deliver_real(cpu, vector)
    elif is_long(cpu):
        deliver_long(cpu, vector, code, kind)
    else:
        deliver_protected(cpu, vector, code, kind)
    if cpu.fault == 0:
        cpu.pending_db = 0
        return 0
    if kind >= Event.EXCEPTION and cpu.fault_code != NO_ERROR_CODE and cpu.fault != Vector.PF + 1:
        cpu.fault_code = cpu.fault_code | EXT
    return 1


# --- instructions
@word_function
def int_n(cpu: X86, vector):
    if in_v86(cpu):
        if redirected(cpu, vector):
            return deliver_v86(cpu, vector)
        if cpu.fault == 0 and iopl(cpu) < 3:
            return refuse(cpu)
        if cpu.fault:
            return 1
    return deliver(cpu, vector, NO_ERROR_CODE, Event.SOFTWARE)


@word_function
def int3(cpu: X86):
    return deliver(cpu, Vector.BP, NO_ERROR_CODE, Event.TRAP)


@word_function
def into(cpu: X86):
    return deliver(cpu, Vector.OF, NO_ERROR_CODE, Event.TRAP) if arithmetic_flags(cpu) & Flag.OF else 0


@word_function
def int1(cpu: X86):
    return deliver(cpu, Vector.DB, NO_ERROR_CODE, Event.EXCEPTION)


@word_function
def debug_trap(cpu: X86, reasons):
    """Deliver #DB with its DR6 bits, between instructions.  Returns 1 on shutdown."""
    cpu.dr[DR6] = cpu.dr[DR6] | reasons
    deliver(cpu, Vector.DB, NO_ERROR_CODE, Event.EXCEPTION)
    return raise_fault(cpu)


@word_function
def switch_task(cpu: X86, selector, reason, code):
    if task_switch(cpu, selector, reason, code) and cpu.fault:
        raise_fault(cpu)
    return cpu.fault


# --- delivery
@word_function
def event_flags(cpu: X86, vector, kind):
    """RFLAGS as pushed: RF is set for faults."""
    if kind == Event.EXCEPTION and NO_FAULTS >> vector & 1 == 0:
        return flags_image(cpu) | Flag.RF
    return flags_image(cpu)


@word_function
def deliver_real(cpu: X86, vector):
    if vector * 4 + 3 > cpu.idtr_limit:
        return gate_fault(cpu, Vector.GP, vector)
    entry = load_as(cpu, cpu.idtr_base + vector * 4, 4, cpu.mmu)
    return enter_vector(cpu, entry, flags_image(cpu), Flag.IF | Flag.TF | Flag.AC)


@word_function
def enter_vector(cpu: X86, entry, image, cleared):
    """Push FLAGS, CS, IP and go to the far pointer `entry`, clearing flags: real-mode style."""
    current_stack(cpu)
    push_value(cpu, image, 2)
    push_value(cpu, cpu.seg[Seg.CS].selector, 2)
    push_value(cpu, cpu.pc, 2)
    if cpu.fault:
        return 1
    commit_stack(cpu)
    set_flags(cpu, 0, cleared | Flag.RF)
    set_real(cpu, Seg.CS, entry >> 16)
    cpu.pc = entry & 0xFFFF
    return update_mode(cpu)


@word_function
def redirected(cpu: X86, vector):
    """Virtual-8086 mode with CR4.VME: does the TSS send INT n to the program's own handler (SDM vol. 3B ch. 20.3)?"""
    if cpu.cr4 & Cr4.VME == 0 or cpu.seg[Seg.TR].attributes & TSS_32_BIT == 0:
        return 0
    map_at = tss_load(cpu, IOMAP_AT, 2)
    byte = tss_load(cpu, map_at - REDIRECTION_SIZE + (vector >> 3), 1)
    return cpu.fault == 0 and byte >> (vector & 7) & 1 == 0


@word_function
def deliver_v86(cpu: X86, vector):
    """INT n to the virtual-8086 program's own interrupt table at linear address 0."""
    entry = load_as(cpu, vector * 4, 4, cpu.mmu)
    image = flags_image(cpu) | Flag.IOPL
    if iopl(cpu) == 3:
        return enter_vector(cpu, entry, image, Flag.IF | Flag.TF)
    image = image & ~Flag.IF | (Flag.IF if cpu.eflags & Flag.VIF else 0)
    return enter_vector(cpu, entry, image, Flag.VIF | Flag.TF)


@word_function
def gate_fault(cpu: X86, vector, index):
    return set_fault(cpu, vector, index * 8 + IDT, 0)


@word_function
def load_gate(cpu: X86, vector, kind, size):
    """The first 8 bytes of the IDT gate, checked; reports #GP, #NP."""
    at = vector * size
    if at + size - 1 > cpu.idtr_limit:
        gate_fault(cpu, Vector.GP, vector)
        return 0
    gate = load_as(cpu, cpu.idtr_base + at, 8, implicit_mmu(cpu))
    if cpu.fault:
        return 0
    gate_type = descriptor_type(gate)
    usable = gate_type & 0x1E == 0xE if size == LONG_GATE_SIZE else gate_type & 0x16 == 6 or gate_type == TASK_GATE
    if usable == 0 or (kind < Event.EXCEPTION and gate >> 45 & 3 < cpu.cpl):
        gate_fault(cpu, Vector.GP, vector)
    elif gate >> 32 & A.P == 0:
        gate_fault(cpu, Vector.NP, vector)
    return gate


@word_function
def deliver_protected(cpu: X86, vector, code, kind):
    """Through a 16- or 32-bit gate or a task gate."""
    gate = load_gate(cpu, vector, kind, GATE_SIZE)
    if cpu.fault:
        return 1
    if descriptor_type(gate) == TASK_GATE:
        if kind < Event.EXCEPTION:
            return switch_task(cpu, gate >> 16 & 0xFFFF, Switch.CALL, code)
        set_flags(cpu, event_flags(cpu, vector, kind), Flag.RF)
        return task_switch(cpu, gate >> 16 & 0xFFFF, Switch.CALL, code)         # raise_fault goes on with the new task's
    selector = gate >> 16 & 0xFFFF
    d = code_of_gate(cpu, selector)
    if cpu.fault:
        return 1
    wide = descriptor_type(gate) & GATE_32
    offset = gate & 0xFFFF | (gate >> 48 << 16 if wide else 0)
    cpl = handler_cpl(cpu, d)
    if in_v86(cpu) and cpl:
        return selector_fault(cpu, Vector.GP, selector)
    if check_offset(cpu, d, offset) or push_event(cpu, event_flags(cpu, vector, kind), code, cpl, 4 if wide else 2):
        return 1
    return enter_handler(cpu, gate, selector, d, cpl, offset)


@word_function
def push_event(cpu: X86, image, code, cpl, size):
    """The frame on the handler's stack; SS:RSP change when all of it is there."""
    inner = cpl < cpu.cpl
    if inner:
        if inner_stack(cpu, cpl):
            return 1
        if in_v86(cpu):
            push_value(cpu, cpu.seg[Seg.GS].selector, size)
            push_value(cpu, cpu.seg[Seg.FS].selector, size)
            push_value(cpu, cpu.seg[Seg.DS].selector, size)
            push_value(cpu, cpu.seg[Seg.ES].selector, size)
        push_value(cpu, cpu.seg[Seg.SS].selector, size)
        push_value(cpu, cpu.gpr[Gpr.RSP], size)
    else:
        current_stack(cpu)
    if push_return(cpu, image, code, size):
        return 1
    if inner:
        commit_stack_segment(cpu)
    return commit_stack(cpu)


@word_function
def push_return(cpu: X86, image, code, size):
    push_value(cpu, image, size)
    push_value(cpu, cpu.seg[Seg.CS].selector, size)
    push_value(cpu, cpu.pc, size)
    if code != NO_ERROR_CODE:
        push_value(cpu, code, size)
    return cpu.fault


@word_function
def enter_handler(cpu: X86, gate, selector, d, cpl, offset):
    if in_v86(cpu):
        set_null(cpu, Seg.ES, 0)
        set_null(cpu, Seg.DS, 0)
        set_null(cpu, Seg.FS, 0)
        set_null(cpu, Seg.GS, 0)
    set_flags(cpu, 0, CLEARED if descriptor_type(gate) & TRAP_GATE else CLEARED | Flag.IF)
    return enter_code(cpu, selector, d, cpl, offset)


@word_function
def deliver_long(cpu: X86, vector, code, kind):
    """Through a 64-bit gate: the stack is always switched or aligned, SS:RSP always pushed (SDM vol. 3A ch. 6.14)."""
    gate = load_gate(cpu, vector, kind, LONG_GATE_SIZE)
    upper = load_as(cpu, cpu.idtr_base + vector * LONG_GATE_SIZE + 8, 4, implicit_mmu(cpu))
    if cpu.fault:
        return 1
    selector = gate >> 16 & 0xFFFF
    d = code_of_gate(cpu, selector)
    if cpu.fault:
        return 1
    cpl = handler_cpl(cpu, d)
    offset = gate & 0xFFFF | gate >> 48 << 16 | upper << 32
    pointer = handler_stack(cpu, gate >> 32 & 7, cpl)
    if check_offset(cpu, d, offset) or cpu.fault or long_stack(cpu, pointer & ~15, cpl):
        return 1
    push_value(cpu, cpu.seg[Seg.SS].selector, 8)
    push_value(cpu, cpu.gpr[Gpr.RSP], 8)
    if push_return(cpu, event_flags(cpu, vector, kind), code, 8):
        return 1
    if cpl < cpu.cpl:
        set_null(cpu, Seg.SS, cpl)
    commit_stack(cpu)
    return enter_handler(cpu, gate, selector, d, cpl, offset)


@word_function
def handler_stack(cpu: X86, ist, cpl):
    """RSP for a 64-bit handler: an IST entry, the privilege level's, or the current one."""
    if ist:
        return tss_load(cpu, 0x1C + 8 * ist, 8)
    return tss_load(cpu, 4 + 8 * cpl, 8) if cpl < cpu.cpl else cpu.gpr[Gpr.RSP]
