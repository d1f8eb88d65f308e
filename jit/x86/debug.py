"""Debug exceptions: single step and what is pending for the end of an instruction (SDM vol. 3B ch. 17).

Entry points of the dispatcher, around the one instruction of a block with Mode.SINGLE:
    debug_before(cpu)                   note whether TF asks for a trap after this instruction
    debug_after(cpu) -> 0, or 1 on shutdown     take the pending debug trap, if any (not after a fault)

Not here: the breakpoints of DR0-DR3 (DR7 is kept but nothing matches against it), I/O breakpoints, the T bit of a TSS.
"""
from __future__ import annotations

from jit.state import Leave
from jit.words import word_function
from jit.x86.interrupts import BS, debug_trap
from jit.x86.state import X86, Flag


@word_function
def debug_before(cpu: X86):
    if cpu.eflags & Flag.TF:
        cpu.pending_db = cpu.pending_db | BS
    return 0


@word_function
def debug_after(cpu: X86):
    """The trap after an instruction; none when the block refused to start or the instruction cleared the pending bits."""
    reasons = cpu.pending_db
    cpu.pending_db = 0
    if reasons == 0 or cpu.leave == Leave.HEAD:
        return 0
    return debug_trap(cpu, reasons)
