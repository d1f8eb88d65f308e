"""The breakpoints of DR0-DR3 and DR7: what is enabled and what an access matches (SDM vol. 3B ch. 17.2).

Entry points:
    armed(cpu)                          DR7 enables some breakpoint: Mode.SINGLE is set, so that traps are taken at once
    matching(cpu, kinds, address, size) -> DR6 bits of the enabled breakpoints of some kinds that an access touches
    x86_watch(cpu, address, size, access)       the engine's hook: a data access to a page marked WATCHED
    watched_page(cpu, address)          that mark for the page walk, TlbFlag.WATCHED or 0
    watch_port(cpu, port, size)         an access to I/O ports

Hits go to cpu.pending_db; jit/x86/debug.py delivers them.  DR6.B0-B3 report enabled breakpoints only.  Not here: LE and GE (hits
are always exact), the wait of a trap for the instruction after MOV SS.
"""
from __future__ import annotations

from enum import IntEnum, IntFlag

from jit.state import PAGE_SIZE, TlbFlag
from jit.words import word_function
from jit.x86.state import X86, Cr4, Efer

COUNT = 4
DR6, DR7 = 6, 7
ENABLES = 0xFF                          # DR7: L0 G0 ... L3 G3
ENABLE_BITS, EITHER = 2, 3              # of one breakpoint: local, global
CONTROL_SHIFT, CONTROL_BITS = 16, 4     # R/W and LEN of breakpoint 0; of one breakpoint
KIND_MASK, LENGTH_SHIFT, LENGTH_MASK = 3, 2, 3
LENGTHS = 0x4821                        # bytes by LEN, a hexadecimal digit each
LINEAR_32 = (1 << 32) - 1


class Kind(IntEnum):
    """R/W of DR7."""

    EXECUTE, WRITE, PORT, ACCESS = range(4)


class Dr6(IntFlag):
    BD = 1 << 13                        # a debug register was accessed under DR7.GD
    BS = 1 << 14                        # single step
    BT = 1 << 15                        # the T bit of a task-state segment


ON_EXECUTE, ON_PORT, ON_READ = 1 << Kind.EXECUTE, 1 << Kind.PORT, 1 << Kind.ACCESS
ON_WRITE = 1 << Kind.WRITE | 1 << Kind.ACCESS


@word_function
def armed(cpu: X86):
    return cpu.dr[DR7] & ENABLES


@word_function
def matching(cpu: X86, kinds, address, size):
    """`kinds`: 1 << Kind for each that counts."""
    control = cpu.dr[DR7]
    hits = 0
    for i in range(COUNT):
        fields = control >> (CONTROL_SHIFT + CONTROL_BITS * i)
        if control >> (ENABLE_BITS * i) & EITHER and kinds >> (fields & KIND_MASK) & 1:
            length = LENGTHS >> ((fields >> LENGTH_SHIFT & LENGTH_MASK) * 4) & 15
            start = cpu.dr[i] & ~(length - 1)
            if address - start < length or start - address < size:
                hits |= 1 << i
    return hits


@word_function
def x86_watch(cpu: X86, address, size, access):
    if cpu.efer & Efer.LMA == 0:
        address &= LINEAR_32
    kinds = ON_WRITE if access == TlbFlag.WRITE else ON_READ
    cpu.pending_db = cpu.pending_db | matching(cpu, kinds, address, size)
    return 0


@word_function
def watched_page(cpu: X86, address):
    if armed(cpu) == 0:
        return 0
    return TlbFlag.WATCHED if matching(cpu, ON_WRITE, address & ~(PAGE_SIZE - 1), PAGE_SIZE) else 0


@word_function
def watch_port(cpu: X86, port, size):
    """Ports have breakpoints only with CR4.DE."""
    if cpu.cr4 & Cr4.DE:
        cpu.pending_db = cpu.pending_db | matching(cpu, ON_PORT, port, size)
    return 0
