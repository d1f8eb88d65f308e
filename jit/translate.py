"""The translator: guest bytes to a block of stencils, all in compiled code.

jit/decode.py takes the block's instructions, jit/emit.py writes its code, jit/codecache.py keeps it.
"""
from __future__ import annotations

from jit.codecache import Block, Cpu, Engine, add_block, block_at, flush_cache
from jit.decode import choose_variants, take_block, take_crossing
from jit.emit import emit_block, record_offsets
from jit.memory import code_lines, protect_code
from jit.state import BLOCK, NO_PAGE, Call, TemplateFlag, Trace
from jit.words import word_function
from jit.work import MAX_INSNS, W_AT, W_TEMPLATE, TemplateLayout, template_at, word, words_of

BLOCK_BYTES = BLOCK.itemsize
BLOCK_ROOM = 256 << 10                  # the cache is flushed when the arena has less than this left


@word_function
def make_room(engine: Engine):
    """Flush the cache if any of its parts is about to be full."""
    if engine.arena_end - engine.arena_next < BLOCK_ROOM or engine.block_count + 1 >= engine.block_limit \
            or engine.offset_count + MAX_INSNS > engine.offset_limit:
        flush_cache(engine)
    return 0


@word_function
def translate(cpu: Cpu, pc, mode, host):
    """Translate the block at pc, whose first byte is at host address `host`.  Returns its number, or 0 as take_crossing does."""
    engine: Engine = cpu.engine
    make_room(engine)
    engine.mode = mode
    count = take_block(cpu, pc, mode, host)
    second = NO_PAGE
    if count == 0:
        if take_crossing(cpu, pc, mode, host) == 0:
            return 0
        count = 1
        second = word(words_of(engine, 0), W_AT) - engine.ram
    if engine.broken:
        engine.broken = 0
        return 0
    choose_variants(engine, count)
    number = engine.block_count
    engine.block_count += 1
    block: Block = block_at(engine, number)
    memset(block, 0, BLOCK_BYTES)
    block.pc = pc
    block.mode = mode
    block.ram = host - engine.ram
    block.ram2 = second
    record_offsets(engine, block, count)
    emit_block(engine, number, count)
    if code_lines(engine, host) == 0:
        protect_code(engine, host)
    if second != NO_PAGE and code_lines(engine, engine.ram + second) == 0:
        protect_code(engine, engine.ram + second)
    add_block(engine, number)
    if engine.trace:
        report_block(cpu, number, count)
    return number


@word_function
def report_block(cpu: Cpu, number, count):
    """Tell Python about a new block, whose host code ends at engine.arena_next."""
    engine: Engine = cpu.engine
    last: TemplateLayout = template_at(engine, word(words_of(engine, count - 1), W_TEMPLATE))
    if last.flags & TemplateFlag.MISSING and engine.trace & Trace.MISSING:
        call5(engine.callback, cpu, Call.TRACE, Trace.MISSING, number, 0)
    if engine.trace & Trace.TRANSLATED:
        call5(engine.callback, cpu, Call.TRACE, Trace.TRANSLATED, number, 0)
    return 0
