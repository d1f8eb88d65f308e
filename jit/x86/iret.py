"""IRET in every mode (SDM vol. 2 IRET/IRETD/IRETQ; vol. 3A ch. 6.12, 20.2.2).

Entry point (b.system): iret(cpu, operand_bits)

RF is loaded while there are breakpoints for it to silence (mode.load_resume).
"""
from __future__ import annotations

from jit.state import NO_ERROR_CODE
from jit.words import word_function
from jit.x86.codeseg import commit_return, prepare_return
from jit.x86.interrupts import switch_task
from jit.x86.mode import in_long_code, in_protected, load_flags, load_resume, refuse, set_flags, update_mode
from jit.x86.segmentation import is_long, set_real
from jit.x86.stack import commit_stack, current_stack, pop_value, tss_load
from jit.x86.state import X86, Flag, Gpr, Seg
from jit.x86.tasks import Switch


@word_function
def iret(cpu: X86, operand_bits):
    if in_protected(cpu):
        failed = iret_protected(cpu, operand_bits)
    else:
        failed = iret_real(cpu, operand_bits)
    if failed == 0:
        cpu.nmi_blocked = 0
    return failed


@word_function
def iret_real(cpu: X86, operand_bits):
    """Real and virtual-8086 mode."""
    current_stack(cpu)
    size = operand_bits // 8
    offset = pop_value(cpu, size)
    selector = pop_value(cpu, size)
    image = pop_value(cpu, size)
    if cpu.fault or load_flags(cpu, image, operand_bits):
        return 1
    commit_stack(cpu)
    if operand_bits > 16:
        load_resume(cpu, image)
    set_real(cpu, Seg.CS, selector)
    cpu.pc = offset
    return update_mode(cpu)


@word_function
def iret_protected(cpu: X86, operand_bits):
    if cpu.eflags & Flag.NT:
        return return_to_task(cpu)
    current_stack(cpu)
    size = operand_bits // 8
    offset = pop_value(cpu, size)
    selector = pop_value(cpu, size) & 0xFFFF
    image = pop_value(cpu, size)
    if cpu.fault:
        return 1
    if image & Flag.VM and operand_bits == 32 and cpu.cpl == 0 and is_long(cpu) == 0:
        return iret_to_v86(cpu, offset, selector, image)
    if prepare_return(cpu, selector, offset, size, 0, in_long_code(cpu)):
        return 1
    if cpu.cpl == 0 and operand_bits > 16:
        set_flags(cpu, image, Flag.VIF | Flag.VIP)
    load_flags(cpu, image, operand_bits)
    if operand_bits > 16:
        load_resume(cpu, image)
    return commit_return(cpu)


@word_function
def return_to_task(cpu: X86):
    """IRET with NT set: back to the task that called this one."""
    if is_long(cpu):
        return refuse(cpu)
    link = tss_load(cpu, 0, 2)
    if cpu.fault:
        return 1
    return switch_task(cpu, link, Switch.IRET, NO_ERROR_CODE)


@word_function
def iret_to_v86(cpu: X86, offset, selector, image):
    """IRETD at privilege 0 with VM in the image: ESP SS ES DS FS GS follow on the stack."""
    pointer = pop_value(cpu, 4)
    ss = pop_value(cpu, 4)
    es = pop_value(cpu, 4)
    ds = pop_value(cpu, 4)
    fs = pop_value(cpu, 4)
    gs = pop_value(cpu, 4)
    if cpu.fault:
        return 1
    load_flags(cpu, image, 32)
    load_resume(cpu, image)
    set_flags(cpu, image, Flag.VM | Flag.VIF | Flag.VIP)
    set_real(cpu, Seg.CS, selector)
    set_real(cpu, Seg.SS, ss)
    set_real(cpu, Seg.ES, es)
    set_real(cpu, Seg.DS, ds)
    set_real(cpu, Seg.FS, fs)
    set_real(cpu, Seg.GS, gs)
    cpu.cpl = 3
    cpu.gpr[Gpr.RSP] = pointer
    cpu.pc = offset & 0xFFFF
    return update_mode(cpu)
