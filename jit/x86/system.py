"""Control and debug registers, descriptor tables, CLI/STI, PUSHF/POPF, HLT, I/O ports, TSC (SDM vol. 2; vol. 3A ch. 2).

Entry points (b.system unless noted; `bits` is the operand size, `address` a linear address):
    read_cr(cpu, n) -> value, write_cr(cpu, n, value)   CPL, reserved bits and combinations checked
    read_dr(cpu, n) -> value, write_dr(cpu, n, value)
    lmsw(cpu, value), smsw(cpu) -> CR0, clts(cpu)
    lgdt(cpu, address, bits), lidt(cpu, address, bits), sgdt(cpu, address), sidt(cpu, address)
    invlpg(cpu, address), cache_control(cpu)            cache_control: INVD, WBINVD (CPL 0)
    rdtsc(cpu), rdtscp(cpu), rdpmc(cpu)                 write EDX:EAX (and ECX) themselves
    cli(cpu), sti(cpu)                                  the shadow after STI is the caller's (b.shadow)
    clac(cpu), stac(cpu)
    pushf(cpu, bits), popf(cpu, bits)                   stack and flags themselves; bits 16, 32, 64
    hlt(cpu), pause(cpu)
    check_port(cpu, port, size)                         #GP(0) unless IOPL or the TSS bitmap allow the access
    port_in(cpu, port, size) -> value                   size in bytes; the caller writes AL/AX/EAX
    port_out(cpu, port, value, size)
    xgetbv(cpu), xsetbv(cpu)
    monitor(cpu), mwait(cpu)                            MONITOR does nothing, MWAIT is HLT with interrupts as they are
"""
from __future__ import annotations
