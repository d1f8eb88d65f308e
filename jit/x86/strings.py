"""String instructions with and without REP (SDM vol. 2 MOVS, CMPS, SCAS, LODS, STOS, INS, OUTS).

Entry points: name(cpu, size, address_bits, segment, repeat) -> 1 when done, 0 when the instruction must run again:
    r = b.call("movs", size, address_bits, segment, repeat, faults=True); b.resume(b.select(r.ne(0), b.next_pc(), b.this_pc()))
    movs, cmps, scas, lods, stos, ins, outs             segment: of the (E/R)SI operand, overrides included (unused by scas, stos, ins)
`size` is in bytes; `repeat` is Repeat: NONE, REP/REPE (F3), REPNE (F2; only CMPS and SCAS tell it from REP).
They change the general registers and the flags themselves.  A fault leaves the registers as the completed iterations made them.

One call does at most LIMIT iterations (bulk copies and fills: one page), so that interrupts are taken in between.  Virtual time:
every call counts as one instruction.  A debug trap, single step too, comes after each iteration.
"""
from __future__ import annotations

from enum import IntEnum

from jit.codecache import Engine
from jit.memory import host_store, load_slow, probe_slow, ram_pointer, store_slow
from jit.state import PAGE_SIZE, Call
from jit.words import word_function
from jit.x86.mode import in_long_code, load_resume
from jit.x86.segmentation import segment_allows, segment_fault
from jit.x86.state import AUX_AF, AUX_CF, AUX_PO, X86, Flag, Gpr, Mode, Seg
from jit.x86.system import check_port

RCX, RSI, RDI = Gpr.RCX, Gpr.RSI, Gpr.RDI
LIMIT = 4096                            # iterations in one call
PAGE_OFFSET = PAGE_SIZE - 1
LOW_16, LOW_32 = (1 << 16) - 1, (1 << 32) - 1
EVERY_BYTE = 0x0101010101010101


class Repeat(IntEnum):
    NONE, REP, REPNE = range(3)


# --- registers and addresses
@word_function
def address_mask(address_bits):
    return LOW_16 if address_bits == 16 else LOW_32 if address_bits == 32 else ~0


@word_function
def string_step(cpu: X86, size):
    return 0 - size if cpu.eflags & Flag.DF else size


@word_function
def advance(cpu: X86, register, delta, mask):
    """Add to an index or count register of the address size: 32 bits zero-extend, 16 bits merge."""
    value = cpu.gpr[register]
    moved = (value + delta) & mask
    cpu.gpr[register] = value & ~LOW_16 | moved if mask == LOW_16 else moved
    return 0


@word_function
def count_down(cpu: X86, repeat, mask, count):
    """Take `count` iterations off the count register.  Returns 1 when the instruction is done."""
    if repeat == Repeat.NONE:
        return 1
    advance(cpu, RCX, 0 - count, mask)
    return cpu.gpr[RCX] & mask == 0


@word_function
def nothing_to_do(cpu: X86, repeat, mask):
    return repeat != Repeat.NONE and cpu.gpr[RCX] & mask == 0


@word_function
def string_linear(cpu: X86, segment, offset):
    if in_long_code(cpu):
        return offset + cpu.seg[segment].base if segment == Seg.FS or segment == Seg.GS else offset
    return (offset + cpu.seg[segment].base) & LOW_32


@word_function
def string_allowed(cpu: X86, segment, offset, size, write):
    """Do the segment's limit and rights allow the access?"""
    if cpu.mode & Mode.FLAT and (in_long_code(cpu) or (segment != Seg.FS and segment != Seg.GS)):
        return 1
    return segment_allows(cpu.seg[segment], offset, size, write)


@word_function
def string_load(cpu: X86, segment, register, size, mask):
    offset = cpu.gpr[register] & mask
    if string_allowed(cpu, segment, offset, size, 0) == 0:
        return segment_fault(cpu, segment)
    return load_slow(cpu, string_linear(cpu, segment, offset), size)


@word_function
def string_store(cpu: X86, value, size, mask):
    """To ES:[(E/R)DI]."""
    offset = cpu.gpr[RDI] & mask
    if string_allowed(cpu, Seg.ES, offset, size, 1) == 0:
        return segment_fault(cpu, Seg.ES)
    return store_slow(cpu, string_linear(cpu, Seg.ES, offset), value, size)


@word_function
def interrupted(cpu: X86):
    """An iteration has ended that is not the last.  RF keeps the breakpoint at the instruction from a second hit (SDM vol. 3B
    ch. 17.3.1.1)."""
    return load_resume(cpu, Flag.RF)


# --- bulk: many iterations inside one page of plain RAM, upwards
@word_function
def bulk_room(cpu: X86, segment, register, size, mask, count, write):
    """How many of `count` elements fit into the page, the address size and the segment; 0 to go one by one."""
    offset = cpu.gpr[register] & mask
    room = (PAGE_SIZE - (string_linear(cpu, segment, offset) & PAGE_OFFSET)) // size
    wrap = (mask - offset) // size
    if wrap < room:
        room = wrap
    if count < room:
        room = count
    return room if room and string_allowed(cpu, segment, offset, room * size, write) else 0


@word_function
def bulk_count(cpu: X86, repeat, mask, done):
    """Iterations that may be done at once: 0 without REP, downwards, or when each ends in a debug trap."""
    if repeat == Repeat.NONE or cpu.eflags & Flag.DF or cpu.pending_db:
        return 0
    count = cpu.gpr[RCX] & mask
    return count if count < LIMIT - done else LIMIT - done


@word_function
def bulk_move(cpu: X86, segment, size, mask, count):
    """MOVS as one memmove.  Returns the number of iterations done, 0 when they must go one by one."""
    count = bulk_room(cpu, segment, RSI, size, mask, count, 0)
    if count == 0:
        return 0
    count = bulk_room(cpu, Seg.ES, RDI, size, mask, count, 1)
    if count == 0:
        return 0
    source = ram_pointer(cpu, string_linear(cpu, segment, cpu.gpr[RSI] & mask), count * size, 0)
    if source == 0:
        return 0
    target = ram_pointer(cpu, string_linear(cpu, Seg.ES, cpu.gpr[RDI] & mask), count * size, 1)
    if target == 0:
        return 0
    if target > source and target - source < count * size:              # later iterations read what earlier ones wrote
        count = (target - source) // size
    memmove(target, source, count * size)
    return count


@word_function
def bulk_fill(cpu: X86, size, mask, count):
    """STOS as one memset, or one loop."""
    count = bulk_room(cpu, Seg.ES, RDI, size, mask, count, 1)
    if count == 0:
        return 0
    target = ram_pointer(cpu, string_linear(cpu, Seg.ES, cpu.gpr[RDI] & mask), count * size, 1)
    if target == 0:
        return 0
    value = cpu.gpr[Gpr.RAX]
    if size == 1 or (value ^ (value & 0xFF) * EVERY_BYTE) << (64 - size * 8) == 0:
        memset(target, value & 0xFF, count * size)
    else:
        for i in range(count):
            host_store(target + i * size, value, size)
    return count


# --- the instructions
@word_function
def movs(cpu: X86, size, address_bits, segment, repeat):
    mask = address_mask(address_bits)
    done = 0
    if nothing_to_do(cpu, repeat, mask):
        return 1
    while done < LIMIT:
        limit = bulk_count(cpu, repeat, mask, done)
        count = bulk_move(cpu, segment, size, mask, limit) if limit > 1 else 0
        if count == 0:
            value = 0 if cpu.fault else string_load(cpu, segment, RSI, size, mask)
            if cpu.fault or string_store(cpu, value, size, mask):
                return 0
            count = 1
        advance(cpu, RSI, string_step(cpu, size) * count, mask)
        advance(cpu, RDI, string_step(cpu, size) * count, mask)
        if count_down(cpu, repeat, mask, count):
            return 1
        done += count
        if slt(cpu.left + cpu.reserve, 0) or cpu.pending_db:
            return interrupted(cpu)
    return interrupted(cpu)


@word_function
def stos(cpu: X86, size, address_bits, segment, repeat):
    mask = address_mask(address_bits)
    done = 0
    if nothing_to_do(cpu, repeat, mask):
        return 1
    while done < LIMIT:
        limit = bulk_count(cpu, repeat, mask, done)
        count = bulk_fill(cpu, size, mask, limit) if limit > 1 else 0
        if count == 0:
            if cpu.fault or string_store(cpu, cpu.gpr[Gpr.RAX], size, mask):
                return 0
            count = 1
        advance(cpu, RDI, string_step(cpu, size) * count, mask)
        if count_down(cpu, repeat, mask, count):
            return 1
        done += count
        if slt(cpu.left + cpu.reserve, 0) or cpu.pending_db:
            return interrupted(cpu)
    return interrupted(cpu)


@word_function
def lods(cpu: X86, size, address_bits, segment, repeat):
    mask = address_mask(address_bits)
    if nothing_to_do(cpu, repeat, mask):
        return 1
    for _i in range(LIMIT):
        value = string_load(cpu, segment, RSI, size, mask)
        if cpu.fault:
            return 0
        set_accumulator(cpu, value, size)
        advance(cpu, RSI, string_step(cpu, size), mask)
        if count_down(cpu, repeat, mask, 1):
            return 1
        if cpu.pending_db:
            return interrupted(cpu)
    return interrupted(cpu)


@word_function
def set_accumulator(cpu: X86, value, size):
    """AL, AX, EAX or RAX."""
    if size < 4:
        kept = (1 << (size * 8)) - 1
        value = cpu.gpr[Gpr.RAX] & ~kept | value & kept
    cpu.gpr[Gpr.RAX] = value
    return 0


@word_function
def compare(cpu: X86, x, y, size):
    """The flags of x - y, as jit/x86/flags.py leaves them."""
    bits = size * 8
    r = x - y
    carries = ~x & y | (~x | y) & r
    cpu.result = sext(r, bits)
    cpu.aux = carries << (64 - bits) & (AUX_CF | AUX_PO) | carries & AUX_AF
    return 0


@word_function
def compare_done(cpu: X86, repeat, mask):
    """REPE goes on while equal, REPNE while different."""
    if count_down(cpu, repeat, mask, 1):
        return 1
    return (cpu.result == 0) != (repeat == Repeat.REP)


@word_function
def cmps(cpu: X86, size, address_bits, segment, repeat):
    mask = address_mask(address_bits)
    if nothing_to_do(cpu, repeat, mask):
        return 1
    for _i in range(LIMIT):
        x = string_load(cpu, segment, RSI, size, mask)
        y = 0 if cpu.fault else string_load(cpu, Seg.ES, RDI, size, mask)
        if cpu.fault:
            return 0
        compare(cpu, x, y, size)
        advance(cpu, RSI, string_step(cpu, size), mask)
        advance(cpu, RDI, string_step(cpu, size), mask)
        if compare_done(cpu, repeat, mask):
            return 1
        if cpu.pending_db:
            return interrupted(cpu)
    return interrupted(cpu)


@word_function
def scas(cpu: X86, size, address_bits, segment, repeat):
    mask = address_mask(address_bits)
    if nothing_to_do(cpu, repeat, mask):
        return 1
    for _i in range(LIMIT):
        y = string_load(cpu, Seg.ES, RDI, size, mask)
        if cpu.fault:
            return 0
        compare(cpu, cpu.gpr[Gpr.RAX], y, size)
        advance(cpu, RDI, string_step(cpu, size), mask)
        if compare_done(cpu, repeat, mask):
            return 1
        if cpu.pending_db:
            return interrupted(cpu)
    return interrupted(cpu)


@word_function
def ins(cpu: X86, size, address_bits, segment, repeat):
    """The destination is probed before the port is read: a read may not be undone."""
    mask = address_mask(address_bits)
    port = cpu.gpr[Gpr.RDX] & LOW_16
    if nothing_to_do(cpu, repeat, mask):
        return 1
    if check_port(cpu, port, size):
        return 0
    engine: Engine = cpu.engine
    for _i in range(LIMIT):
        offset = cpu.gpr[RDI] & mask
        if string_allowed(cpu, Seg.ES, offset, size, 1) == 0:
            segment_fault(cpu, Seg.ES)
            return 0
        if probe_slow(cpu, string_linear(cpu, Seg.ES, offset), size):
            return 0
        if string_store(cpu, call5(engine.callback, cpu, Call.PORT_READ, port, size, 0), size, mask):
            return 0
        advance(cpu, RDI, string_step(cpu, size), mask)
        if count_down(cpu, repeat, mask, 1):
            return 1
        if slt(cpu.left + cpu.reserve, 1) or cpu.pending_db:
            return interrupted(cpu)
    return interrupted(cpu)


@word_function
def outs(cpu: X86, size, address_bits, segment, repeat):
    mask = address_mask(address_bits)
    port = cpu.gpr[Gpr.RDX] & LOW_16
    if nothing_to_do(cpu, repeat, mask):
        return 1
    if check_port(cpu, port, size):
        return 0
    engine: Engine = cpu.engine
    for _i in range(LIMIT):
        value = string_load(cpu, segment, RSI, size, mask)
        if cpu.fault:
            return 0
        call5(engine.callback, cpu, Call.PORT_WRITE, port, size, value)
        advance(cpu, RSI, string_step(cpu, size), mask)
        if count_down(cpu, repeat, mask, 1):
            return 1
        if slt(cpu.left + cpu.reserve, 1) or cpu.pending_db:
            return interrupted(cpu)
    return interrupted(cpu)
