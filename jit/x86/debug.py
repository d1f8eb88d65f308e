from __future__ import annotations

from jit.state import NO_ERROR_CODE, Leave
from jit.words import word_function
from jit.x86.interrupts import Event, deliver, raise_fault
from jit.x86.state import X86, Flag, Vector

DR6 = 6
BS = 1 << 14                            # DR6: single step


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
    cpu.dr[DR6] = cpu.dr[DR6] | reasons
    deliver(cpu, Vector.DB, NO_ERROR_CODE, Event.EXCEPTION)
    return raise_fault(cpu)
