"""Exceptions, interrupts and IRET in every mode (SDM vol. 3A ch. 6, vol. 2 INT n and IRET).

Entry points of the dispatcher (cpu.pc is the return address: the faulting instruction, or the next one):
    raise_fault(cpu) -> 0, or 1 on shutdown     deliver the exception in cpu.fault, with double and triple faults
    take_interrupt(cpu, vector) -> like that    an external interrupt (the caller has checked EFLAGS.IF and the shadow)
    take_nmi(cpu) -> like that
    deliver(cpu, vector, code, kind)            kind: Event; sets cpu.fault when the delivery itself faults
Entry points of semantics (b.system):
    int_n(cpu, vector)                          INT n
    int3(cpu), into(cpu), int1(cpu)             INT3, INTO (acts only when OF = 1), INT1
    iret(cpu, operand_bits)                     IRET, IRETD, IRETQ
"""
from __future__ import annotations
