"""Debug exceptions around an instruction: breakpoints, single step (SDM vol. 3B ch. 17.3).

Entry points of the dispatcher, around the one instruction of a block with Mode.SINGLE:
    debug_before(cpu) -> 0, or 1 when #DB was delivered in the instruction's place: an instruction breakpoint, unless EFLAGS.RF
    debug_after(cpu) -> 0, or 1 on shutdown     take the pending debug trap, if any (not after a fault)

Nothing pushes RF set for an instruction breakpoint: as the manual says, that is the handler's business (17.3.1.1).
"""
from __future__ import annotations

from jit.state import Leave
from jit.words import word_function
from jit.x86.breakpoints import LINEAR_32, ON_EXECUTE, Dr6, matching
from jit.x86.interrupts import debug_trap
from jit.x86.mode import in_long_code
from jit.x86.state import X86, Flag, Seg


@word_function
def instruction_hits(cpu: X86):
    """DR6 bits of the breakpoints at the next instruction."""
    linear = cpu.pc if in_long_code(cpu) else (cpu.pc + cpu.seg[Seg.CS].base) & LINEAR_32
    return matching(cpu, ON_EXECUTE, linear, 1)


@word_function
def debug_before(cpu: X86):
    """RF is used up by the instruction.  The delivery takes the time of an instruction, or a handler with a breakpoint of its own
    would stop time."""
    hits = 0 if cpu.eflags & Flag.RF else instruction_hits(cpu)
    cpu.eflags = cpu.eflags & ~Flag.RF
    if hits:
        cpu.left -= 1
        cpu.single = 0
        debug_trap(cpu, hits)
        return 1
    cpu.pending_db = Dr6.BS if cpu.eflags & Flag.TF else 0
    return 0


@word_function
def debug_after(cpu: X86):
    """The trap after an instruction; none when the block refused to start or the instruction cleared the pending bits."""
    reasons = cpu.pending_db
    cpu.pending_db = 0
    if reasons == 0 or cpu.leave == Leave.HEAD:
        return 0
    return debug_trap(cpu, reasons)
