"""The translator's stages over a stretch of code, in compiled code: what benchmarks/translate.py times.

Import this after the engine is made: its functions are not part of the runtime library that guests run on, but of a second
copy that works on the same engine record.
"""

from __future__ import annotations

from enum import IntEnum

from jit.codecache import BLOCK_SIZE, Block, Cpu, Engine, block_at
from jit.state import NO_PAGE, TemplateFlag
from jit.decode import MAX_INSN_BYTES, choose_variants, decode_at, take_block, take_crossing
from jit.emit import emit_block
from jit.translate import BLOCK_ROOM, translate
from jit.words import word_function
from jit.work import W_LENGTH, W_TEMPLATE, W_VARIANT, TemplateLayout, template_at, word, words_of


class Stage(IntEnum):
    """How far to go with every block; each includes those before it but TRANSLATE, which is the translator itself."""

    DECODE = 0  # capstone alone, instruction by instruction
    TEMPLATE = 1  # and form key, template look-up, hole values, where blocks end
    LIVENESS = 2  # and which flag writes are dropped
    STENCIL = 3  # and code in the arena
    TRANSLATE = 4  # and the code cache's books


@word_function
def walk_code(cpu: Cpu, pc, mode, host, size, stage):
    """Take [host, host + size) through the translator up to a stage, block after block.  Returns the number of instructions."""
    end = host + size
    instructions = 0
    while host < end:
        if stage == Stage.DECODE:
            length = decode_one(cpu.engine, mode, host, pc)
            instructions += 1
        elif stage == Stage.TRANSLATE:
            block: Block = block_at(cpu.engine, translate(cpu, pc, mode, host))
            length = block.size
            instructions += block.insns
        else:
            count = part_of_translate(cpu, pc, mode, host, stage)
            length = length_of_block(cpu.engine, count)
            instructions += count
        host += length
        pc += length
    return instructions


@word_function
def decode_one(engine: Engine, mode, host, pc):
    length = decode_at(engine, mode, host, MAX_INSN_BYTES, pc)
    return length if length else 1


@word_function
def part_of_translate(cpu: Cpu, pc, mode, host, stage):
    """The first stages of translate(), leaving no trace but in the work area and the arena.  Returns the instruction count."""
    engine: Engine = cpu.engine
    count = take_block(cpu, pc, mode, host)
    if count == 0:
        count = take_crossing(cpu, pc, mode, host)
    if stage >= Stage.LIVENESS:
        choose_variants(engine, count)
    if stage >= Stage.STENCIL:
        emit_and_forget(engine, pc, mode, host, count)
    return count


@word_function
def emit_and_forget(engine: Engine, pc, mode, host, count):
    if engine.arena_end - engine.arena_next < BLOCK_ROOM:
        engine.arena_next = engine.arena_start
    number = engine.block_count
    block: Block = block_at(engine, number)
    memset(block, 0, BLOCK_SIZE)  # noqa: F821 (a primitive)
    block.pc = pc
    block.mode = mode
    block.ram = host - engine.ram
    block.ram2 = NO_PAGE
    emit_block(engine, number, count)
    return 0


@word_function
def length_of_block(engine: Engine, count):
    length = 0
    for i in range(count):
        length += word(words_of(engine, i), W_LENGTH)
    return length


@word_function
def count_flag_writers(cpu: Cpu, pc, mode, host, size, dropped):
    """Instructions that write flags in [host, host + size); with `dropped`, only those whose flags nobody sees."""
    engine: Engine = cpu.engine
    end = host + size
    found = 0
    while host < end:
        count = part_of_translate(cpu, pc, mode, host, Stage.LIVENESS)
        for i in range(count):
            words = words_of(engine, i)
            template: TemplateLayout = template_at(engine, word(words, W_TEMPLATE))
            if template.flags & TemplateFlag.WRITES_FLAGS and (dropped == 0 or word(words, W_VARIANT)):
                found += 1
        length = length_of_block(engine, count)
        host += length
        pc += length
    return found


@word_function
def count_blocks(cpu: Cpu, pc, mode, host, size):
    end = host + size
    found = 0
    while host < end:
        length = length_of_block(cpu.engine, part_of_translate(cpu, pc, mode, host, Stage.TEMPLATE))
        found += 1
        host += length
        pc += length
    return found
