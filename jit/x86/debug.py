"""Debug exceptions: single step and what is pending for the end of an instruction (SDM vol. 3B ch. 17).

Entry points of the dispatcher, around the one instruction of a block with Mode.SINGLE:
    debug_before(cpu)                   note whether TF asks for a trap after this instruction
    debug_after(cpu) -> 0, or 1 on shutdown     take the pending debug trap, if any (not after a fault)

Not here: DR0-DR3 breakpoints.  DR7 is kept but nothing matches against it.
"""
from __future__ import annotations
