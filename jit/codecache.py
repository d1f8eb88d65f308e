"""The code cache: blocks by (place in RAM, pc, mode), found through a hash table and through the page they are on.

A dead block's entry is overwritten with a jump to its own way out, so links into it need no bookkeeping: whoever arrives
there comes back to the dispatcher with pc set, and later goes on to the block that took its place.  When the arena is full everything is dropped and begins anew.
"""
from __future__ import annotations

import numpy as np

from jit.state import (
    BLOCK, DEAD_BIAS, ENGINE, JUMP_ENTRIES, JUMP_ENTRY, NO_PAGE, NO_WHERE, PAGE_BITS, PAGE_SIZE, REGION, common_fields,
)
from jit.words import Layout, word_function

MMU_LIMIT = 3                           # soft TLBs of a record: every guest ISA has as many
Cpu = Layout("Cpu", np.dtype(common_fields(MMU_LIMIT)))     # the prefix of every guest's record
Engine = Layout("Engine", ENGINE)
Block = Layout("Block", BLOCK)
Region = Layout("Region", REGION)
LINE = 7
PAGE_MASK = PAGE_SIZE - 1
BLOCK_SIZE = BLOCK.itemsize
JMP_REL32 = 0xE9
JUMP_TABLE_BYTES = JUMP_ENTRIES * JUMP_ENTRY.itemsize


@word_function
def block_at(engine: Engine, number):
    return engine.blocks + number * BLOCK_SIZE


@word_function
def bucket(engine: Engine, ram, pc, mode):
    """Address of the hash bucket (a u32 block number) of a key."""
    h = (ram ^ (pc >> 12) ^ mode * 0x9E3779B1) * 0x9E3779B97F4A7C15
    return engine.buckets + ((h >> 40) & engine.bucket_mask) * 4


@word_function
def find_block(engine: Engine, ram, pc, mode):
    """Number of the live block with this key, 0 for none."""
    number = load32(bucket(engine, ram, pc, mode))
    while number:
        block: Block = block_at(engine, number)
        if block.ram == ram and block.pc == pc and block.mode == mode:
            return number
        number = block.chain
    return 0


@word_function
def add_block(engine: Engine, number):
    """Enter a filled-in block into the hash table and the lists of its pages."""
    block: Block = block_at(engine, number)
    head = bucket(engine, block.ram, block.pc, block.mode)
    block.chain = load32(head)
    store32(head, number)
    first = engine.page_blocks + (block.ram >> PAGE_BITS) * 4
    block.page_next = load32(first)
    store32(first, number)
    mark_lines(engine, block.ram, block.size if block.ram2 == NO_PAGE else PAGE_SIZE - (block.ram & PAGE_MASK))
    if block.ram2 != NO_PAGE:
        second = engine.page_blocks + (block.ram2 >> PAGE_BITS) * 4
        block.page_next2 = load32(second)
        store32(second, number)
        mark_lines(engine, block.ram2, block.size - (PAGE_SIZE - (block.ram & PAGE_MASK)))
    return 0


@word_function
def mark_lines(engine: Engine, ram, size):
    """Set the code_lines bits of [ram, ram + size) in the RAM mapping, within one page."""
    cell = engine.code_lines + (ram >> PAGE_BITS) * 4
    first = (ram & PAGE_MASK) >> LINE
    last = ((ram & PAGE_MASK) + size - 1) >> LINE
    store32(cell, load32(cell) | ((2 << (last - first)) - 1) << first)
    return 0


@word_function
def overlaps(block: Block, page, start, end):
    """Does the part of a block that is on RAM page number `page` touch [start, end) of the mapping?"""
    if block.ram >> PAGE_BITS == page:
        first = block.ram
        size = block.size
        if block.ram2 != NO_PAGE:
            size = PAGE_SIZE - (block.ram & PAGE_MASK)
    else:
        first = block.ram2
        size = block.size - (PAGE_SIZE - (block.ram & PAGE_MASK))
    return first < end and start < first + size


@word_function
def next_on_page(block: Block, page):
    return block.page_next if block.ram >> PAGE_BITS == page else block.page_next2


@word_function
def invalidate(engine: Engine, ram, size, where):
    """Kill the blocks of one page that [ram, ram + size) hits.  Returns 1, having changed nothing, when the block and
    instruction `where` is hit and is not the last of its block."""
    page = ram >> PAGE_BITS
    head = engine.page_blocks + page * 4
    if where != NO_WHERE:
        running: Block = block_at(engine, where >> 8)
        if (where & 255) + 1 < running.insns and (running.ram >> PAGE_BITS == page or running.ram2 >> PAGE_BITS == page):
            if overlaps(running, page, ram, ram + size):
                return 1
    number = load32(head)
    while number:
        block: Block = block_at(engine, number)
        following = next_on_page(block, page)
        if overlaps(block, page, ram, ram + size):
            kill(engine, number)
        number = following
    return remark(engine, page)


@word_function
def remark(engine: Engine, page):
    """Rebuild the code_lines of a page from the blocks that are left on it."""
    store32(engine.code_lines + page * 4, 0)
    number = load32(engine.page_blocks + page * 4)
    while number:
        block: Block = block_at(engine, number)
        if block.ram >> PAGE_BITS == page:
            mark_lines(engine, block.ram, block.size if block.ram2 == NO_PAGE else PAGE_SIZE - (block.ram & PAGE_MASK))
        else:
            mark_lines(engine, block.ram2, block.size - (PAGE_SIZE - (block.ram & PAGE_MASK)))
        number = next_on_page(block, page)
    return 0


@word_function
def unlink_page(engine: Engine, number, page):
    cell = engine.page_blocks + page * 4
    at = load32(cell)
    previous = 0
    while at:
        block: Block = block_at(engine, at)
        following = next_on_page(block, page)
        if at == number:
            if previous == 0:
                store32(cell, following)
            else:
                before: Block = block_at(engine, previous)
                if before.ram >> PAGE_BITS == page:
                    before.page_next = following
                else:
                    before.page_next2 = following
            return 0
        previous = at
        at = following
    return 0


@word_function
def kill(engine: Engine, number):
    """Take a block out of every table and turn its entry into a way out."""
    block: Block = block_at(engine, number)
    head = bucket(engine, block.ram, block.pc, block.mode)
    if load32(head) == number:
        store32(head, block.chain)
    else:
        at = load32(head)
        while at:
            before: Block = block_at(engine, at)
            if before.chain == number:
                before.chain = block.chain
            at = before.chain
    unlink_page(engine, number, block.ram >> PAGE_BITS)
    if block.ram2 != NO_PAGE:
        unlink_page(engine, number, block.ram2 >> PAGE_BITS)
    if block.in_region:
        drop_regions(engine, number)
    patch_jump(block.code, block.cold)
    block.cold = 0
    return 0


@word_function
def drop_regions(engine: Engine, number):
    """No region that has block `number` is entered again, and one that is running leaves at its next block."""
    for i in range(engine.region_count):
        region: Region = engine.regions + i * REGION.itemsize
        for k in range(region.count):
            if load32(region.members + k * 4) == number:
                store64(region.code, region.original)
                store64(region.dead, DEAD_BIAS)
                region.count = 0
    return 0


@word_function
def succeed(engine: Engine, number):
    """Whoever arrived at the entry of a dead block goes to the block that has been translated in its place since, if any."""
    block: Block = block_at(engine, number)
    if block.cold or block.ram2 != NO_PAGE:
        return 0
    successor: Block = block_at(engine, find_block(engine, block.ram, block.pc, block.mode))
    if successor.code and successor.ram2 == NO_PAGE:
        patch_jump(block.code, successor.code)
    return 0


@word_function
def patch_jump(site, target):
    """Write `jmp rel32` at host address `site`."""
    store8(site, JMP_REL32)
    store32(site + 1, target - (site + 5))
    return 0


@word_function
def flush_cache(engine: Engine):
    """Drop every block: the arena is full, or the guest's memory was replaced."""
    memset(engine.buckets, 0, (engine.bucket_mask + 1) * 4)
    memset(engine.page_blocks, 0, (engine.ram_size >> PAGE_BITS) * 4)
    memset(engine.code_lines, 0, (engine.ram_size >> PAGE_BITS) * 4)
    engine.block_count = 1
    engine.offset_count = 0
    engine.region_count = 0
    engine.arena_next = engine.arena_start
    engine.generation += 1
    return flush_all_jumps(engine)


@word_function
def flush_all_jumps(engine: Engine):
    for i in range(engine.cpu_count):
        cpu: Cpu = engine.cpus[i]
        if cpu:
            memset(cpu.jump, 255, JUMP_TABLE_BYTES)
    return 0
