"""Operation numbers of Call.SYSTEM: what x86 system instructions ask the machine for (SDM vol. 2).

callback(cpu, Call.SYSTEM, operation, b, c) -> word.  A handler refuses with set_fault(cpu, Vector.GP, 0, 0) (jit/memory.py).
"""
from __future__ import annotations

from enum import IntEnum


class SystemOp(IntEnum):
    CPUID = 0                           # b = leaf, c = subleaf; leaves EAX EBX ECX EDX in scratch[0..3]
    READ_MSR = 1                        # b = MSR number; returns its 64 bits
    WRITE_MSR = 2                       # b = MSR number, c = value
    READ_TPR = 3                        # returns bits 7:4 of the local APIC's TPR (CR8)
    WRITE_TPR = 4                       # b = the new CR8
    READ_PMC = 5                        # b = counter number; returns its 40 bits
