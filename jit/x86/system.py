"""Instructions that change or report the state of the system: IF, flags, HLT, tables, ports, TSC, XCR0 (SDM vol. 2).
Control and debug registers are in control.py.

Entry points (b.system; `bits` is the operand size, `address` a linear address):
    lgdt(cpu, address, bits), lidt(cpu, address, bits), sgdt(cpu, address), sidt(cpu, address)
    invlpg(cpu, address), cache_control(cpu)            cache_control: INVD, WBINVD (CPL 0)
    rdtsc(cpu), rdtscp(cpu), rdpmc(cpu)                 write EDX:EAX (and ECX) themselves
    cli(cpu), sti(cpu)                                  sti runs one more instruction before interrupts (cpu.single)
    clac(cpu), stac(cpu)
    popf(cpu, bits)                                     stack and flags themselves; bits 16, 32, 64
    hlt(cpu), pause(cpu)                                leave run() with Exit.HALT (cpu.halted = 1), Exit.PAUSE
    check_port(cpu, port, size)                         #GP(0) unless IOPL or the TSS bitmap allow the access
    port_in(cpu, port, size) -> value                   size in bytes; the caller writes AL/AX/EAX
    port_out(cpu, port, value, size)
    xgetbv(cpu), xsetbv(cpu)
    rsm(cpu)                                            as hlt, but #UD outside of SMM; the machine restores the CPU
    monitor(cpu), mwait(cpu)                            MONITOR does nothing, MWAIT wakes at once, like PAUSE
"""
from __future__ import annotations

from jit.codecache import Engine
from jit.memory import load_slow, store_slow
from jit.state import Call, Exit, Leave
from jit.words import word_function
from jit.x86 import descriptors  # noqa: F401  (registers LLDT, LTR, LAR...)
from jit.x86.breakpoints import armed, watch_port
from jit.x86.control import read_cr  # noqa: F401  (registers MOV CRn, MOV DRn...)
from jit.x86.mode import (
    in_long_code, in_protected, in_v86, iopl, load_flags, refuse, set_flags, undefined, update_mode,
)
from jit.x86.msr import cpuid  # noqa: F401  (registers CPUID, RDMSR, WRMSR)
from jit.x86.paging import check_canonical, invalidate_page
from jit.x86.stack import IOMAP_AT, TSS_32_BIT, commit_stack, current_stack, pop_value, tss_load
from jit.x86.state import X86, Cr0, Cr4, Flag, Gpr, Seg, Segment, Smm
from jit.x86.system_ops import SystemOp

LOW_32 = (1 << 32) - 1
BASE_16 = (1 << 24) - 1                 # LGDT and LIDT with 16-bit operands load 24 bits of base
MONITOR_BIT = 1 << 3                    # CPUID 1 ECX
RDTSCP_BIT = 1 << 27                    # CPUID 8000_0001h EDX
SMAP_BIT = 1 << 20                      # CPUID 7 EBX
XCR0_X87, XCR0_SUPPORTED = 1, 3         # x87 and SSE state


@word_function
def require_cpl0(cpu: X86):
    return refuse(cpu) if cpu.cpl else 0


@word_function
def set_pair(cpu: X86, value):
    """EDX:EAX = value."""
    cpu.gpr[Gpr.RAX] = value & LOW_32
    cpu.gpr[Gpr.RDX] = value >> 32
    return 0


@word_function
def pair(cpu: X86):
    """EDX:EAX."""
    return cpu.gpr[Gpr.RAX] & LOW_32 | cpu.gpr[Gpr.RDX] << 32


# --- descriptor-table registers
@word_function
def lgdt(cpu: X86, address, bits):
    if read_table_operand(cpu, address, bits):
        return 1
    cpu.gdtr_limit = cpu.scratch[0]
    cpu.gdtr_base = cpu.scratch[1]
    return 0


@word_function
def lidt(cpu: X86, address, bits):
    if read_table_operand(cpu, address, bits):
        return 1
    cpu.idtr_limit = cpu.scratch[0]
    cpu.idtr_base = cpu.scratch[1]
    return 0


@word_function
def read_table_operand(cpu: X86, address, bits):
    """Limit and base into scratch[0] and scratch[1]."""
    if require_cpl0(cpu):
        return 1
    cpu.scratch[0] = load_slow(cpu, address, 2)
    base = load_slow(cpu, address + 2, 8 if bits == 64 else 4)
    cpu.scratch[1] = base & BASE_16 if bits == 16 else base
    return cpu.fault or check_canonical(cpu, cpu.scratch[1])


@word_function
def sgdt(cpu: X86, address):
    return store_table(cpu, address, cpu.gdtr_limit, cpu.gdtr_base)


@word_function
def sidt(cpu: X86, address):
    return store_table(cpu, address, cpu.idtr_limit, cpu.idtr_base)


@word_function
def store_table(cpu: X86, address, limit, base):
    if cpu.cr4 & Cr4.UMIP and cpu.cpl:
        return refuse(cpu)
    store_slow(cpu, address, limit, 2)
    return 1 if cpu.fault else store_slow(cpu, address + 2, base, 8 if in_long_code(cpu) else 4)


@word_function
def invlpg(cpu: X86, address):
    return 1 if require_cpl0(cpu) else invalidate_page(cpu, address)


@word_function
def cache_control(cpu: X86):
    return require_cpl0(cpu)


# --- time
@word_function
def tsc(cpu: X86):
    """The time-stamp counter: virtual nanoseconds, so 1 GHz."""
    return cpu.clock - cpu.left - cpu.reserve + cpu.tsc_offset


@word_function
def rdtsc(cpu: X86):
    return refuse(cpu) if cpu.cr4 & Cr4.TSD and cpu.cpl else set_pair(cpu, tsc(cpu))


@word_function
def rdtscp(cpu: X86):
    if cpu.feature_ext_edx & RDTSCP_BIT == 0:
        return undefined(cpu)
    if rdtsc(cpu):
        return 1
    cpu.gpr[Gpr.RCX] = cpu.tsc_aux & LOW_32
    return 0


@word_function
def rdpmc(cpu: X86):
    if cpu.cr4 & Cr4.PCE == 0 and cpu.cpl:
        return refuse(cpu)
    engine: Engine = cpu.engine
    value = call5(engine.callback, cpu, Call.SYSTEM, SystemOp.READ_PMC, cpu.gpr[Gpr.RCX] & LOW_32, 0)
    return 1 if cpu.fault else set_pair(cpu, value)


# --- flags
@word_function
def cli(cpu: X86):
    if cpu.cpl <= iopl(cpu):
        return set_flags(cpu, 0, Flag.IF)
    return set_flags(cpu, 0, Flag.VIF) if has_virtual_if(cpu) else refuse(cpu)


@word_function
def sti(cpu: X86):
    if cpu.cpl <= iopl(cpu):
        if cpu.eflags & Flag.IF == 0:
            cpu.single = 1
        return set_flags(cpu, Flag.IF, Flag.IF)
    if has_virtual_if(cpu) == 0 or cpu.eflags & Flag.VIP:
        return refuse(cpu)
    return set_flags(cpu, Flag.VIF, Flag.VIF)


@word_function
def has_virtual_if(cpu: X86):
    """CLI and STI work on VIF: virtual-8086 mode with CR4.VME, or privilege 3 with CR4.PVI."""
    if in_v86(cpu):
        return cpu.cr4 & Cr4.VME
    return cpu.cr4 & Cr4.PVI and cpu.cpl == 3


@word_function
def clac(cpu: X86):
    return write_ac(cpu, 0)


@word_function
def stac(cpu: X86):
    return write_ac(cpu, Flag.AC)


@word_function
def write_ac(cpu: X86, value):
    if cpu.feature_7_ebx & SMAP_BIT == 0 or cpu.cpl:
        return undefined(cpu)
    set_flags(cpu, value, Flag.AC)
    return update_mode(cpu)


@word_function
def popf(cpu: X86, bits):
    current_stack(cpu)
    image = pop_value(cpu, bits // 8)
    if cpu.fault or load_flags(cpu, image, bits):
        return 1
    commit_stack(cpu)
    return update_mode(cpu)


# --- waiting
@word_function
def hlt(cpu: X86):
    if require_cpl0(cpu):
        return 1
    cpu.halted = 1
    return leave_run(cpu, Exit.HALT)


@word_function
def pause(cpu: X86):
    """Somebody spins: another vCPU, if one can run, may have what it waits for."""
    return leave_run(cpu, Exit.PAUSE) if cpu.contended else 0


@word_function
def leave_run(cpu: X86, reason):
    cpu.exit_code = reason
    cpu.leave = Leave.EXIT
    return 0


@word_function
def monitor(cpu: X86):
    return undefined(cpu) if cpu.feature_1_ecx & MONITOR_BIT == 0 or cpu.cpl else 0


@word_function
def mwait(cpu: X86):
    return 1 if monitor(cpu) else pause(cpu)


@word_function
def rsm(cpu: X86):
    """The CPU waits like a halted one until the machine has restored its state."""
    if cpu.smm == Smm.OUTSIDE:
        return undefined(cpu)
    cpu.smm = Smm.LEAVING
    cpu.halted = 1
    return leave_run(cpu, Exit.HALT)


# --- I/O ports
@word_function
def check_port(cpu: X86, port, size):
    if armed(cpu):
        watch_port(cpu, port, size)
    if cpu.cr0 & Cr0.PE == 0 or (in_protected(cpu) and cpu.cpl <= iopl(cpu)):
        return 0
    tr: Segment = cpu.seg[Seg.TR]
    if tr.attributes & TSS_32_BIT == 0 or tr.limit < IOMAP_AT + 1:
        return refuse(cpu)
    at = tss_load(cpu, IOMAP_AT, 2) + (port >> 3)
    if cpu.fault or at + 1 > tr.limit:
        return 1 if cpu.fault else refuse(cpu)
    denied = tss_load(cpu, at, 2) >> (port & 7) & ((1 << size) - 1)
    return 1 if cpu.fault else refuse(cpu) if denied else 0


@word_function
def port_in(cpu: X86, port, size):
    if check_port(cpu, port, size):
        return 0
    engine: Engine = cpu.engine
    return call5(engine.callback, cpu, Call.PORT_READ, port, size, 0)


@word_function
def port_out(cpu: X86, port, value, size):
    if check_port(cpu, port, size):
        return 1
    engine: Engine = cpu.engine
    call5(engine.callback, cpu, Call.PORT_WRITE, port, size, value)
    return 0


# --- XCR0
@word_function
def xgetbv(cpu: X86):
    if cpu.cr4 & Cr4.OSXSAVE == 0:
        return undefined(cpu)
    return refuse(cpu) if cpu.gpr[Gpr.RCX] & LOW_32 else set_pair(cpu, cpu.xcr0)


@word_function
def xsetbv(cpu: X86):
    if cpu.cr4 & Cr4.OSXSAVE == 0:
        return undefined(cpu)
    value = pair(cpu)
    if cpu.cpl or cpu.gpr[Gpr.RCX] & LOW_32 or value & XCR0_X87 == 0 or value & ~XCR0_SUPPORTED:
        return refuse(cpu)
    cpu.xcr0 = value
    return 0
