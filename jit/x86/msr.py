"""CPUID, RDMSR and WRMSR (SDM vol. 2, vol. 4 ch. 2).  MSRs that the engine itself consults are in the record; CPUID, the
local APIC's registers and everything else go to the machine (Call.SYSTEM, system_ops.py).

Entry points (b.system; they read and write EAX, EBX, ECX, EDX themselves):
    cpuid(cpu), rdmsr(cpu), wrmsr(cpu)
    read_msr(cpu, number) -> value, write_msr(cpu, number, value)           set cpu.fault for #GP(0)
"""
from __future__ import annotations

from enum import IntEnum

from jit.codecache import Engine
from jit.memory import flush_tlb
from jit.state import Call
from jit.words import word_function
from jit.x86.mode import refuse
from jit.x86.paging import check_canonical
from jit.x86.state import X86, Cr0, Efer, Gpr, Seg
from jit.x86.system_ops import SystemOp

LOW_32 = (1 << 32) - 1


class Msr(IntEnum):
    """MSR numbers (SDM vol. 4 tables 2-2 and 2-3)."""

    TSC = 0x10
    APIC_BASE = 0x1B
    MTRR_CAP = 0xFE
    SYSENTER_CS, SYSENTER_ESP, SYSENTER_EIP = 0x174, 0x175, 0x176
    MCG_CAP, MCG_STATUS, MCG_CTL = 0x179, 0x17A, 0x17B
    MISC_ENABLE = 0x1A0
    MTRR_PHYS_BASE0, MTRR_PHYS_MASK7 = 0x200, 0x20F
    MTRR_FIX64K, MTRR_FIX16K_80000, MTRR_FIX16K_A0000 = 0x250, 0x258, 0x259
    MTRR_FIX4K_C0000, MTRR_FIX4K_F8000 = 0x268, 0x26F
    PAT = 0x277
    MTRR_DEF_TYPE = 0x2FF
    EFER, STAR, LSTAR, CSTAR, FMASK = 0xC0000080, 0xC0000081, 0xC0000082, 0xC0000083, 0xC0000084
    FS_BASE, GS_BASE, KERNEL_GS_BASE, TSC_AUX = 0xC0000100, 0xC0000101, 0xC0000102, 0xC0000103


AT = {name: X86.offset(name) for name in (
    "star", "lstar", "cstar", "fmask", "kernel_gs_base", "tsc_aux", "sysenter_cs", "sysenter_esp", "sysenter_eip", "pat",
    "misc_enable", "mtrr_def_type", "mtrr")}
(STAR_AT, LSTAR_AT, CSTAR_AT, FMASK_AT, KERNEL_GS_AT, TSC_AUX_AT, SYSENTER_CS_AT, SYSENTER_ESP_AT, SYSENTER_EIP_AT, PAT_AT,
 MISC_ENABLE_AT, MTRR_DEF_TYPE_AT, MTRR_AT) = AT.values()
FS_BASE_AT, GS_BASE_AT = X86.offset(f"seg.{int(Seg.FS)}.base"), X86.offset(f"seg.{int(Seg.GS)}.base")
MTRR_FIXED = 16                         # place of the fixed-range registers in the record's `mtrr`
MTRR_CAP_VALUE = 0x508                  # 8 variable ranges, fixed ranges, write-combining
PAT_RESERVED = 0xF8F8F8F8F8F8F8F8
SYSCALL_BIT, NX_BIT, LONG_BIT = 1 << 11, 1 << 20, 1 << 29           # CPUID 8000_0001h EDX


# --- CPUID, RDMSR, WRMSR
@word_function
def cpuid(cpu: X86):
    engine: Engine = cpu.engine
    call5(engine.callback, cpu, Call.SYSTEM, SystemOp.CPUID, cpu.gpr[Gpr.RAX] & LOW_32, cpu.gpr[Gpr.RCX] & LOW_32)
    cpu.gpr[Gpr.RAX] = cpu.scratch[0] & LOW_32
    cpu.gpr[Gpr.RBX] = cpu.scratch[1] & LOW_32
    cpu.gpr[Gpr.RCX] = cpu.scratch[2] & LOW_32
    cpu.gpr[Gpr.RDX] = cpu.scratch[3] & LOW_32
    return 0


@word_function
def rdmsr(cpu: X86):
    if cpu.cpl:
        return refuse(cpu)
    value = read_msr(cpu, cpu.gpr[Gpr.RCX] & LOW_32)
    if cpu.fault:
        return 1
    cpu.gpr[Gpr.RAX] = value & LOW_32
    cpu.gpr[Gpr.RDX] = value >> 32
    return 0


@word_function
def wrmsr(cpu: X86):
    if cpu.cpl:
        return refuse(cpu)
    return write_msr(cpu, cpu.gpr[Gpr.RCX] & LOW_32, cpu.gpr[Gpr.RAX] & LOW_32 | cpu.gpr[Gpr.RDX] << 32)


@word_function
def read_msr(cpu: X86, number):
    at = msr_address(cpu, number)
    if at:
        return load64(at)
    if number == Msr.EFER:
        return cpu.efer
    if number == Msr.TSC:
        return cpu.clock - cpu.left - cpu.reserve + cpu.tsc_offset
    if number == Msr.MTRR_CAP:
        return MTRR_CAP_VALUE
    engine: Engine = cpu.engine
    return call5(engine.callback, cpu, Call.SYSTEM, SystemOp.READ_MSR, number, 0)


@word_function
def write_msr(cpu: X86, number, value):
    at = msr_address(cpu, number)
    if at:
        if (holds_address(number) and check_canonical(cpu, value)) or (number == Msr.PAT and check_pat(cpu, value)):
            return 1
        store64(at, value)
        return 0
    if number == Msr.EFER:
        return write_efer(cpu, value)
    if number == Msr.TSC:
        cpu.tsc_offset = value - (cpu.clock - cpu.left - cpu.reserve)
        return 0
    engine: Engine = cpu.engine
    call5(engine.callback, cpu, Call.SYSTEM, SystemOp.WRITE_MSR, number, value)
    return cpu.fault


# --- MSRs that are words of the record
@word_function
def msr_address(cpu: X86, number):
    """Host address of the word that an MSR is; 0 for MSRs with effects, and for those of the machine."""
    if number >= Msr.EFER:
        return system_call_msr(cpu, number)
    if number == Msr.SYSENTER_CS:
        return cpu + SYSENTER_CS_AT
    if number == Msr.SYSENTER_ESP:
        return cpu + SYSENTER_ESP_AT
    if number == Msr.SYSENTER_EIP:
        return cpu + SYSENTER_EIP_AT
    if number == Msr.PAT:
        return cpu + PAT_AT
    if number == Msr.MISC_ENABLE:
        return cpu + MISC_ENABLE_AT
    return mtrr_address(cpu, number)


@word_function
def system_call_msr(cpu: X86, number):
    if number == Msr.FS_BASE:
        return cpu + FS_BASE_AT
    if number == Msr.GS_BASE:
        return cpu + GS_BASE_AT
    if number == Msr.KERNEL_GS_BASE:
        return cpu + KERNEL_GS_AT
    if number == Msr.STAR:
        return cpu + STAR_AT
    if number == Msr.LSTAR:
        return cpu + LSTAR_AT
    if number == Msr.CSTAR:
        return cpu + CSTAR_AT
    if number == Msr.FMASK:
        return cpu + FMASK_AT
    return cpu + TSC_AUX_AT if number == Msr.TSC_AUX else 0


@word_function
def mtrr_address(cpu: X86, number):
    """`mtrr` holds the eight base and mask pairs, then the fixed ranges in order of address.  They have no effect here."""
    if number >= Msr.MTRR_PHYS_BASE0 and number <= Msr.MTRR_PHYS_MASK7:
        return cpu + MTRR_AT + (number - Msr.MTRR_PHYS_BASE0) * 8
    if number == Msr.MTRR_FIX64K:
        return cpu + MTRR_AT + MTRR_FIXED * 8
    if number == Msr.MTRR_FIX16K_80000 or number == Msr.MTRR_FIX16K_A0000:
        return cpu + MTRR_AT + (MTRR_FIXED + 1 + number - Msr.MTRR_FIX16K_80000) * 8
    if number >= Msr.MTRR_FIX4K_C0000 and number <= Msr.MTRR_FIX4K_F8000:
        return cpu + MTRR_AT + (MTRR_FIXED + 3 + number - Msr.MTRR_FIX4K_C0000) * 8
    return cpu + MTRR_DEF_TYPE_AT if number == Msr.MTRR_DEF_TYPE else 0


@word_function
def holds_address(number):
    """MSRs that take canonical addresses only."""
    if number == Msr.SYSENTER_ESP or number == Msr.SYSENTER_EIP or number == Msr.LSTAR or number == Msr.CSTAR:
        return 1
    return number >= Msr.FS_BASE and number <= Msr.KERNEL_GS_BASE


@word_function
def check_pat(cpu: X86, value):
    """Each byte is a memory type: 0, 1, 4, 5, 6 or 7."""
    two_or_three = value >> 1 & ~(value >> 2) & 0x0101010101010101
    return refuse(cpu) if value & PAT_RESERVED or two_or_three else 0


@word_function
def write_efer(cpu: X86, value):
    """LMA is the CPU's own.  LME cannot change while paging is on."""
    allowed = Efer.LMA
    if cpu.feature_ext_edx & SYSCALL_BIT:
        allowed |= Efer.SCE
    if cpu.feature_ext_edx & NX_BIT:
        allowed |= Efer.NXE
    if cpu.feature_ext_edx & LONG_BIT:
        allowed |= Efer.LME
    changed = (value ^ cpu.efer) & ~Efer.LMA
    if value & ~allowed or (changed & Efer.LME and cpu.cr0 & Cr0.PG):
        return refuse(cpu)
    cpu.efer = cpu.efer ^ changed
    return flush_tlb(cpu, 0) if changed & Efer.NXE else 0
