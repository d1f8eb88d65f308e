"""Stopping after an exact number of instructions, anywhere in a block, so that the guest cannot tell.

Up to the last few dozen instructions blocks run as ever, with a smaller budget.  From there on they run one instruction at a time,
but as parts of the same blocks: a block's length is taken from the budget when it begins, so devices see the same time; the soft
TLB is not consulted for the code, so it stays the same; and after a stop within a block the rest of it runs before anything
else, so that slices end, and interrupts are taken, where they would have been.

What counts as an instruction is what takes its time: an instruction; the delivery of an exception; every call of a repeated
string instruction (jit/x86/strings.py), which does up to a page of data.
Not here: a block that a device overwrites by DMA while it is running ends there, if it runs one instruction at a time.
"""
from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jit.codecache import Block, Cpu, Engine, block_at, find_block, flush_cache
from jit.dispatch import deliver_fault
from jit.memory import PAGE_OFFSET, TlbInfo, lookup
from jit.state import NO_PAGE, NO_WHERE, Exit, Leave, TlbFlag
from jit.translate import BLOCK_ROOM, translate
from jit.words import word_function
from jit.work import MAX_INSNS, MODE_MMU_SHIFT, MODE_SINGLE, linear_pc

if TYPE_CHECKING:
    from jit.engine import Vcpu

ROOM = 2 * MAX_INSNS                    # instructions, more than a slice overshoots
FAR = 1 << 62
ENDED, GOES_ON, LEFT = range(3)         # what became of a block whose instruction ran alone


@dataclass(frozen=True)
class Part:
    """A block that is being run one instruction at a time: its key in the code cache, and which instruction comes next."""

    ram: int
    pc: int
    mode: int
    index: int


def run(vcpu: Vcpu, stop: int, count: int | None) -> Exit:
    """Go on with the slice to its end, to the first block boundary after virtual time `stop` (ns), or for exactly `count`
    instructions; in any case to the end of a block that was begun, unless `count` ends in it."""
    target = None if count is None else vcpu.retired + count
    reason = Exit.BUDGET
    while reason == Exit.BUDGET and (vcpu.inside or not vcpu.kicked and vcpu.now < stop):
        ahead = FAR if target is None else target - vcpu.retired
        if ahead <= 0:
            break
        if vcpu.part:
            reason = _run_part(vcpu, vcpu.part, ahead)
        elif ahead <= ROOM:
            reason = _run_block(vcpu, ahead)
        else:
            reason = vcpu.enter(max(min(stop - vcpu.now, ahead - MAX_INSNS), 1))
    return reason


def _run_block(vcpu: Vcpu, ahead: int) -> Exit:
    """The next block, or its first `ahead` instructions."""
    state, words = vcpu.state, vcpu.engine.words
    number = 0 if int(state["mode"]) & MODE_SINGLE or words["breakpoint_count"] else vcpu.deliver("block_ahead")
    vcpu.raise_error()
    if number == 0:
        return vcpu.enter(1)
    block = vcpu.engine.block_row(number)
    vcpu.charge(int(block["insns"]))
    return _run_part(vcpu, Part(int(block["ram"]), int(block["pc"]), int(block["mode"]), 0), ahead)


def _run_part(vcpu: Vcpu, part: Part, ahead: int) -> Exit:
    """Up to `ahead` instructions of a block, one at a time."""
    state = vcpu.state
    state["exit_code"] = Exit.BUDGET
    key = (ctypes.c_uint64 * 3)(part.ram, part.pc, part.mode)
    number = vcpu.deliver("block_again", ctypes.addressof(key))
    index, outcome = part.index, GOES_ON
    vcpu.part = None
    while outcome == GOES_ON and ahead:
        outcome = vcpu.deliver("run_alone", number << 8 | index)
        vcpu.retired += 1
        index, ahead = index + 1, ahead - 1
        vcpu.waited = 0
        if vcpu.engine.error is not None:
            break
    if outcome == GOES_ON:
        vcpu.part = Part(part.ram, part.pc, part.mode, index)
    vcpu.raise_error()
    return Exit(int(state["exit_code"])) if outcome == LEFT else Exit.BUDGET


@word_function
def block_ahead(cpu: Cpu):
    """Number of the block at cpu.pc, translated if need be; 0 when it is best left to the dispatcher: it cannot be fetched, or
    crosses into another page and so is one instruction long."""
    engine: Engine = cpu.engine
    mode = cpu.mode | MODE_SINGLE if cpu.single else cpu.mode
    linear = linear_pc(cpu.pc, mode)
    info: TlbInfo = lookup(cpu, linear, TlbFlag.EXECUTE, (mode >> MODE_MMU_SHIFT) & 3)
    if info == 0 or info.host == 0:
        cpu.fault = 0
        return 0
    info.flags |= TlbFlag.EXECUTED
    ram = info.host + (linear & PAGE_OFFSET) - engine.ram
    number = find_block(engine, ram, cpu.pc, mode)
    if number == 0:
        number = translate(cpu, cpu.pc, mode, engine.ram + ram)
        cpu.fault = 0
    block: Block = block_at(engine, number)
    return number if number and block.ram2 == NO_PAGE else 0


@word_function
def block_again(cpu: Cpu, key):
    """Number of a block (RAM offset, pc and mode at `key`) that was there before and whose code has not changed; with room for
    a copy of each of its instructions."""
    engine: Engine = cpu.engine
    ram = load64(key)
    pc = load64(key + 8)
    mode = load64(key + 16)
    if engine.arena_end - engine.arena_next < 2 * BLOCK_ROOM or engine.block_count + 2 * MAX_INSNS > engine.block_limit \
            or engine.offset_count + 4 * MAX_INSNS > engine.offset_limit:
        flush_cache(engine)
    number = find_block(engine, ram, pc, mode)
    return number if number else translate(cpu, pc, mode, engine.ram + ram)


@word_function
def run_alone(cpu: Cpu, where):
    """Run one instruction of a block whose length has been taken from the budget already.  Returns what became of the block."""
    engine: Engine = cpu.engine
    block: Block = block_at(engine, where >> 8)
    index = where & 255
    pc = block.pc + load8(engine.offsets + block.first_offset + index)
    insns = block.insns
    code = code_alone(cpu, block, pc)
    if code == 0:
        return ENDED
    cpu.single = 0
    cpu.left += 1
    cpu.leave = Leave.NEXT
    call2(engine.enter, cpu, code)
    cpu.where = NO_WHERE
    if cpu.leave == Leave.FAULT:
        cpu.pc = pc
        cpu.left += insns - index
        cpu.leave = Leave.NEXT
        deliver_fault(cpu)
        return LEFT if cpu.leave == Leave.EXIT else ENDED
    if cpu.leave == Leave.EXIT:
        return LEFT
    if index + 1 < insns and block.cold:
        return GOES_ON
    cpu.left += insns - (index + 1)             # it has changed its own code
    return ENDED


@word_function
def code_alone(cpu: Cpu, block: Block, pc):
    """Code of a block's instruction at `pc` as a block of its own."""
    engine: Engine = cpu.engine
    ram = block.ram + (pc - block.pc)
    number = find_block(engine, ram, pc, block.mode | MODE_SINGLE)
    if number == 0:
        number = translate(cpu, pc, block.mode | MODE_SINGLE, engine.ram + ram)
    found: Block = block_at(engine, number)
    return found.code if number else 0
