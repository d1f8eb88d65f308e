"""CPUID, RDMSR and WRMSR (SDM vol. 2, vol. 4 ch. 2).  MSRs that the engine itself consults are in the record; CPUID, the
local APIC's registers and everything else go to the machine (Call.SYSTEM, system_ops.py).

Entry points (b.system; they read and write EAX, EBX, ECX, EDX themselves):
    cpuid(cpu), rdmsr(cpu), wrmsr(cpu)
    read_msr(cpu, number) -> value, write_msr(cpu, number, value)           set cpu.fault for #GP(0)
"""
from __future__ import annotations
