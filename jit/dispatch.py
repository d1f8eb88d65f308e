"""The dispatcher: from block to block until the budget is used up or Python is needed.

Blocks chain among themselves (direct jumps within a page, the jump cache for the rest) and come back here to have a successor
found or translated, a fault delivered, or the slice ended.
"""
from __future__ import annotations

from jit.codecache import Block, Cpu, Engine, block_at, find_block, succeed
from jit.emit import JUMP_MASK
from jit.memory import PAGE_OFFSET, TlbInfo, lookup
from jit.state import (
    JUMP_ENTRY, NO_PAGE, NO_WHERE, PAGE_BITS, RESTART, USED_LIMIT, Call, Exit, Leave, TlbFlag, Trace,
)
from jit.translate import translate
from jit.words import Layout, word_function
from jit.work import MODE_MMU_SHIFT, MODE_SINGLE, linear_pc

EXECUTE = TlbFlag.EXECUTE
JumpEntry = Layout("JumpEntry", JUMP_ENTRY)


@word_function
def run(cpu: Cpu):
    """Run until Exit; the budget is in cpu.left."""
    engine: Engine = cpu.engine
    while True:
        if slt(cpu.left, 1) and cpu.single == 0:
            return Exit.BUDGET
        if engine.breakpoint_count and at_breakpoint(cpu):
            return Exit.DEBUG
        cpu.exit_code = Exit.BUDGET
        code = 0
        if cpu.mode & MODE_SINGLE == 0 or call1(engine.before_step, cpu) == 0:
            code = next_code(cpu)
        if code:
            enter_block(cpu, code)
            if cpu.leave == Leave.EXIT:
                return cpu.exit_code
        elif cpu.exit_code != Exit.BUDGET:
            return cpu.exit_code
    return 0


@word_function
def at_breakpoint(cpu: Cpu):
    """While there are breakpoints: 1, once, when the next instruction is at one; else it will be alone in its block."""
    engine: Engine = cpu.engine
    linear = linear_pc(cpu.pc, cpu.mode)
    passed = cpu.passed
    cpu.passed = 0
    for i in range(engine.breakpoint_count):
        if engine.breakpoints[i] == linear and passed != linear + 1:
            cpu.passed = linear + 1
            return 1
    cpu.single = 1
    return 0


@word_function
def enter_block(cpu: Cpu, code):
    """Run compiled code and deal with why it came back.  Leave.EXIT stays for run()."""
    engine: Engine = cpu.engine
    stepping = cpu.mode & MODE_SINGLE
    cpu.single = 0
    cpu.leave = Leave.NEXT
    call2(engine.enter, cpu, code)
    where = cpu.where
    cpu.where = NO_WHERE
    if cpu.leave == Leave.FAULT:
        return block_fault(cpu, where)
    if stepping and call1(engine.after_step, cpu):
        return shut_down(cpu)
    if cpu.leave == Leave.LINK:
        link(cpu, cpu.link)
    elif cpu.leave == Leave.HEAD:
        forget(cpu)
        succeed(engine, cpu.link >> 8)
    return 0


@word_function
def block_fault(cpu: Cpu, where):
    """The instruction `where` failed: put pc and the budget back to it, then restart it or deliver the exception."""
    engine: Engine = cpu.engine
    block: Block = block_at(engine, where >> 8)
    index = where & 255
    cpu.pc = block.pc + load8(engine.offsets + block.first_offset + index)
    cpu.left += block.insns - index
    cpu.leave = Leave.NEXT
    if cpu.fault == RESTART:
        cpu.fault = 0
        cpu.single = 1
        return 0
    return deliver_fault(cpu)


@word_function
def deliver_fault(cpu: Cpu):
    """An exception takes the time of an instruction, or a handler that fails at once would stop time."""
    engine: Engine = cpu.engine
    cpu.left -= 1
    if call1(engine.raise_fault, cpu):
        return shut_down(cpu)
    return 0


@word_function
def shut_down(cpu: Cpu):
    """Triple fault."""
    cpu.exit_code = Exit.SHUTDOWN
    cpu.leave = Leave.EXIT
    return 0


@word_function
def jump_entry(cpu: Cpu, pc):
    return cpu.jump[(pc ^ pc >> PAGE_BITS) & JUMP_MASK]


@word_function
def forget(cpu: Cpu):
    """The block at pc refused at its entry; if it is dead, the jump cache must not lead to it again."""
    entry: JumpEntry = jump_entry(cpu, cpu.pc)
    if entry.pc == cpu.pc:
        entry.pc = NO_PAGE
        entry.mode = NO_PAGE
    return 0


@word_function
def next_code(cpu: Cpu):
    """Entry of the block at cpu.pc, translated if need be.  Returns 0 after a fault (delivered already)."""
    mode = cpu.mode
    cpu.exit_code = Exit.BUDGET
    engine: Engine = cpu.engine
    if mode & MODE_SINGLE == 0 and cpu.single == 0 and engine.trace & Trace.UNCHAINED == 0:
        entry: JumpEntry = jump_entry(cpu, cpu.pc)
        if entry.pc == cpu.pc and entry.mode == mode:
            return entry.code
    number = block_for(cpu, mode | MODE_SINGLE if cpu.single else mode)
    if number == 0:
        return 0
    block: Block = block_at(engine, number)
    block.heat += 1
    if engine.trace & Trace.ENTERED:
        call5(engine.callback, cpu, Call.TRACE, Trace.ENTERED, number, 0)
    if block.ram2 == NO_PAGE and block.mode & MODE_SINGLE == 0 and engine.trace & Trace.UNCHAINED == 0:
        remember(cpu, block)
    return block.code


@word_function
def remember(cpu: Cpu, block: Block):
    index = (block.pc ^ block.pc >> PAGE_BITS) & JUMP_MASK
    entry: JumpEntry = cpu.jump[index]
    if entry.pc == NO_PAGE:
        note_jump(cpu, index)
    entry.pc = block.pc
    entry.mode = block.mode
    entry.code = block.code
    return 0


@word_function
def note_jump(cpu: Cpu, index):
    """An empty entry of the jump cache is being filled."""
    if cpu.jump_used_count < USED_LIMIT:
        cpu.jump_used[cpu.jump_used_count] = index
    if cpu.jump_used_count <= USED_LIMIT:
        cpu.jump_used_count += 1
    return 0


@word_function
def block_for(cpu: Cpu, mode):
    """Number of the block at cpu.pc in `mode`; 0 after delivering the fault that fetching or translating it met."""
    engine: Engine = cpu.engine
    pc = cpu.pc
    linear = linear_pc(pc, mode)
    mmu = (mode >> MODE_MMU_SHIFT) & 3
    info: TlbInfo = lookup(cpu, linear, EXECUTE, mmu)
    if info == 0:
        deliver_fault(cpu)
        return 0
    if info.host == 0:
        return no_code_there(cpu, info.physical + (linear & PAGE_OFFSET))
    info.flags |= TlbFlag.EXECUTED
    host = info.host + (linear & PAGE_OFFSET)
    number = find_block(engine, host - engine.ram, pc, mode)
    if number:
        block: Block = block_at(engine, number)
        if block.ram2 == NO_PAGE or second_page(cpu, linear, mmu) == block.ram2:
            return number
        if cpu.fault:
            deliver_fault(cpu)
            return 0
    number = translate(cpu, pc, mode, host)
    if number == 0:
        if cpu.fault == 0:
            return no_code_there(cpu, cpu.fault_address)
        deliver_fault(cpu)
    return number


@word_function
def second_page(cpu: Cpu, linear, mmu):
    """RAM offset of the page after the one that holds `linear`; NO_PAGE - 1 when it is no RAM or faults."""
    engine: Engine = cpu.engine
    info: TlbInfo = lookup(cpu, (linear | PAGE_OFFSET) + 1, EXECUTE, mmu)
    if info == 0 or info.host == 0:
        return NO_PAGE - 1
    return info.host - engine.ram


@word_function
def no_code_there(cpu: Cpu, physical):
    """The guest jumped to where no memory is: stop, Python reports it."""
    cpu.exit_code = Exit.ERROR
    cpu.leave = Leave.EXIT
    cpu.fault_address = physical
    return 0


@word_function
def link(cpu: Cpu, site):
    """Patch the direct jump at `site` to the block at cpu.pc, which is on the same page: found without a fault, no flush."""
    engine: Engine = cpu.engine
    generation = engine.generation
    if slt(cpu.left, 1) or cpu.single or cpu.mode & MODE_SINGLE or engine.trace & Trace.UNCHAINED:
        return 0
    code = next_code(cpu)
    entry: JumpEntry = jump_entry(cpu, cpu.pc)
    if code and engine.generation == generation and entry.pc == cpu.pc and entry.code == code:
        store32(site, code - (site + 4))
    return 0
