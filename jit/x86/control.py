"""Control and debug registers: MOV CRn, MOV DRn, LMSW, SMSW, CLTS (SDM vol. 3A ch. 2.5; vol. 3B ch. 17.2).

Entry points (b.system):
    read_cr(cpu, n) -> value, write_cr(cpu, n, value)   CPL, reserved bits and combinations checked
    read_dr(cpu, n) -> value, write_dr(cpu, n, value)
    lmsw(cpu, value), smsw(cpu) -> CR0, clts(cpu)
"""
from __future__ import annotations

from jit.codecache import Engine
from jit.memory import flush_tlb, set_fault
from jit.state import NO_ERROR_CODE, Call
from jit.words import word_function
from jit.x86.breakpoints import Dr6, armed
from jit.x86.mode import refuse, undefined, update_mode
from jit.x86.state import X86, Cr0, Cr4, Efer, Seg, SegmentAttribute, Vector
from jit.x86.system_ops import SystemOp

A = SegmentAttribute
CR0_BITS = (Cr0.PE | Cr0.MP | Cr0.EM | Cr0.TS | Cr0.ET | Cr0.NE | Cr0.WP | Cr0.AM | Cr0.NW | Cr0.CD | Cr0.PG)
CR0_TRANSLATION = Cr0.PE | Cr0.WP | Cr0.PG
MSW_BITS = Cr0.MP | Cr0.EM | Cr0.TS     # LMSW writes these and may set PE
CR4_ALWAYS = (1 << 11) - 1              # VME to OSXMMEXCPT
CR4_TRANSLATION = Cr4.PSE | Cr4.PAE | Cr4.PGE | Cr4.SMEP | Cr4.SMAP
OSXSAVE_BIT = 1 << 26                   # CPUID 1 ECX: XSAVE
FSGSBASE_BIT, SMEP_BIT, SMAP_BIT = 1 << 0, 1 << 7, 1 << 20             # CPUID 7 EBX
DR6_ONES, DR6_BITS = 0xFFFF0FF0, 0xE00F
DR7_ONE, DR7_BITS, DR7_GD = 0x400, 0xFFFF23FF, 1 << 13


# --- control registers
@word_function
def read_cr(cpu: X86, n):
    if cpu.cpl:
        return refuse(cpu)
    if n == 0:
        return cpu.cr0
    if n == 2:
        return cpu.cr2
    if n == 3:
        return cpu.cr3
    if n == 4:
        return cpu.cr4
    if n == 8:
        engine: Engine = cpu.engine
        return call5(engine.callback, cpu, Call.SYSTEM, SystemOp.READ_TPR, 0, 0)
    undefined(cpu)
    return 0


@word_function
def write_cr(cpu: X86, n, value):
    if cpu.cpl:
        return refuse(cpu)
    if n == 0:
        return write_cr0(cpu, value)
    if n == 2:
        cpu.cr2 = value
        return 0
    if n == 3:
        return write_cr3(cpu, value)
    if n == 4:
        return write_cr4(cpu, value)
    return write_cr8(cpu, value) if n == 8 else undefined(cpu)


@word_function
def write_cr0(cpu: X86, value):
    if value >> 32:
        return refuse(cpu)
    value = value & CR0_BITS | Cr0.ET
    if (value & Cr0.PG and value & Cr0.PE == 0) or (value & Cr0.NW and value & Cr0.CD == 0):
        return refuse(cpu)
    changed = value ^ cpu.cr0
    if changed & Cr0.PG and switch_paging(cpu, value & Cr0.PG):
        return 1
    cpu.cr0 = value
    if changed & CR0_TRANSLATION:
        flush_tlb(cpu, 0)
    return update_mode(cpu)


@word_function
def switch_paging(cpu: X86, on):
    """CR0.PG changes: long mode begins or ends with EFER.LME (SDM vol. 3A ch. 9.8.5)."""
    long_segment = cpu.seg[Seg.CS].attributes & A.L
    if on and cpu.efer & Efer.LME:
        if cpu.cr4 & Cr4.PAE == 0 or long_segment:
            return refuse(cpu)
        cpu.efer = cpu.efer | Efer.LMA
    elif on == 0 and cpu.efer & Efer.LMA:
        if long_segment:
            return refuse(cpu)
        cpu.efer = cpu.efer & ~Efer.LMA
    return 0


@word_function
def write_cr3(cpu: X86, value):
    if cpu.efer & Efer.LMA and value >> cpu.physical_bits:
        return refuse(cpu)
    cpu.cr3 = value
    return flush_tlb(cpu, 1)


@word_function
def cr4_allowed(cpu: X86):
    """Bits of CR4 that this CPU model has.  Never PCIDE, UMIP, LA57, VMXE, SMXE."""
    allowed = CR4_ALWAYS
    if cpu.feature_1_ecx & OSXSAVE_BIT:
        allowed |= Cr4.OSXSAVE
    if cpu.feature_7_ebx & FSGSBASE_BIT:
        allowed |= Cr4.FSGSBASE
    if cpu.feature_7_ebx & SMEP_BIT:
        allowed |= Cr4.SMEP
    if cpu.feature_7_ebx & SMAP_BIT:
        allowed |= Cr4.SMAP
    return allowed


@word_function
def write_cr4(cpu: X86, value):
    if value & ~cr4_allowed(cpu) or (value & Cr4.PAE == 0 and cpu.efer & Efer.LMA):
        return refuse(cpu)
    changed = value ^ cpu.cr4
    cpu.cr4 = value
    if changed & CR4_TRANSLATION:
        flush_tlb(cpu, 0)
    return update_mode(cpu)


@word_function
def write_cr8(cpu: X86, value):
    if value > 15:
        return refuse(cpu)
    engine: Engine = cpu.engine
    call5(engine.callback, cpu, Call.SYSTEM, SystemOp.WRITE_TPR, value, 0)
    return 0


@word_function
def clts(cpu: X86):
    if cpu.cpl:
        return refuse(cpu)
    cpu.cr0 = cpu.cr0 & ~Cr0.TS
    return update_mode(cpu)


@word_function
def lmsw(cpu: X86, value):
    if cpu.cpl:
        return refuse(cpu)
    return write_cr0(cpu, cpu.cr0 & ~MSW_BITS | value & (MSW_BITS | Cr0.PE))


@word_function
def smsw(cpu: X86):
    if cpu.cr4 & Cr4.UMIP and cpu.cpl:
        refuse(cpu)
    return cpu.cr0


# --- debug registers
@word_function
def debug_register(cpu: X86, n):
    """Which register MOV DRn means (4 and 5 are 6 and 7), after the checks; reports #GP, #UD and #DB."""
    if cpu.cpl:
        refuse(cpu)
    elif n > 7 or ((n == 4 or n == 5) and cpu.cr4 & Cr4.DE):
        undefined(cpu)
    elif cpu.dr[7] & DR7_GD:
        cpu.dr[6] = cpu.dr[6] | Dr6.BD
        cpu.dr[7] = cpu.dr[7] & ~DR7_GD
        set_fault(cpu, Vector.DB, NO_ERROR_CODE, 0)
    return n + 2 if n == 4 or n == 5 else n & 7


@word_function
def read_dr(cpu: X86, n):
    return cpu.dr[debug_register(cpu, n)]


@word_function
def write_dr(cpu: X86, n, value):
    n = debug_register(cpu, n)
    if cpu.fault:
        return 1
    if n >= 6:
        if value >> 32:
            return refuse(cpu)
        value = value & DR6_BITS | DR6_ONES if n == 6 else value & DR7_BITS | DR7_ONE
    watched = armed(cpu)
    cpu.dr[n] = value
    if n != 6 and (watched or armed(cpu)):
        flush_tlb(cpu, 0)               # pages are watched or no longer
    return update_mode(cpu)
