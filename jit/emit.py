"""Copy and patch: the host code of a block whose instructions are in the work area.

A head that takes the block's length from the budget, every instruction's stencil with its holes filled, then the ways on:
straight to a known block of the same page, or through a stub that finds it the first time.
"""
from __future__ import annotations

from jit.codecache import Block, Engine, block_at, find_block, patch_jump
from jit.state import JUMP_ENTRIES, JUMP_ENTRY_SIZE, NO_PAGE, PAGE_BITS, RELOCATION, VARIANT, TemplateFlag, Trace
from jit.stencil import (
    ABS8, ABS16, ABS32, ABS64, CONSTANT, CONTINUATIONS, FIRST_CONTINUATION, LOW8_IN_16, LOW8_IN_32, LOW8_IN_64, LOW16_IN_32,
    LOW32_IN_64, REL32, STUBS, TAIL_JUMP,
)
from jit.words import Layout, word_function
from jit.work import (
    H_COUNT, H_LINK, H_NEXT, H_PC, H_WHERE, MODE_SINGLE, PAGE_MASK, W_AT, W_LENGTH, W_TEMPLATE, W_VARIANT, TemplateLayout,
    linear_pc, set_word, template_at, word, words_of,
)

JUMP_MASK = JUMP_ENTRIES - 1
Variant = Layout("Variant", VARIANT)
Relocation = Layout("Relocation", RELOCATION)
C_NEXT, C_GOTO0, C_GOTO1, C_FAULT, C_LEAVE = (FIRST_CONTINUATION + i for i in range(len(CONTINUATIONS)))
S_HEAD, S_HEAD_UNCHECKED, S_COLD, S_LINK, S_OUT, S_JUMP, S_FAULT, S_LEAVE = range(1, len(STUBS) + 1)


@word_function
def relocation_target(engine: Engine, number, words, end):
    """What a relocation refers to."""
    if number < FIRST_CONTINUATION:
        return word(words, number)
    if number == C_NEXT:
        return end
    if number == C_FAULT:
        return engine.fault_stub
    if number == C_LEAVE:
        return engine.leave_stub
    if number == CONSTANT:
        return engine.constants
    return end


@word_function
def store_narrow(place, value, kind):
    """Fill a field that is not 32 or 64 bits, or whose hole is narrower."""
    if kind == ABS8:
        store8(place, value)
    elif kind == ABS16:
        store16(place, value)
    elif kind == LOW8_IN_16:
        store16(place, value & 0xFF)
    elif kind == LOW8_IN_32:
        store32(place, value & 0xFF)
    elif kind == LOW16_IN_32:
        store32(place, value & 0xFFFF)
    elif kind == LOW8_IN_64:
        store64(place, value & 0xFF)
    elif kind == LOW32_IN_64:
        store64(place, value & 0xFFFFFFFF)
    return 0


@word_function
def emit_piece(engine: Engine, number, variant_number, words):
    """Copy a stencil to the arena and fill its holes.  GOTO relocations are left for link_exit."""
    template: TemplateLayout = template_at(engine, number)
    variant: Variant = template.variants[variant_number]
    at = engine.arena_next
    memmove(at, engine.stencil_code + variant.code, variant.length)
    end = at + variant.length
    if variant.droppable:
        end -= TAIL_JUMP
    relocation: Relocation = engine.relocations + variant.first * RELOCATION.itemsize
    for _ in range(variant.count):
        value = relocation_target(engine, relocation.number, words, end) + relocation.addend
        place = at + relocation.at
        kind = relocation.kind
        if kind == ABS32:
            store32(place, value)
        elif kind == ABS64:
            store64(place, value)
        elif kind == REL32:
            store32(place, value - place)
        else:
            store_narrow(place, value, kind)
        relocation += RELOCATION.itemsize
    engine.arena_next = end
    return at


@word_function
def patch_exits(engine: Engine, number, variant_number, at, which, target):
    """Point a piece's jumps to continuation `which` at `target`.  Returns the address of the last rel32 field patched."""
    template: TemplateLayout = template_at(engine, number)
    variant: Variant = template.variants[variant_number]
    relocation: Relocation = engine.relocations + variant.first * RELOCATION.itemsize
    site = 0
    for _ in range(variant.count):
        if relocation.number == which:
            site = at + relocation.at
            store32(site, target - (site + 4))
        relocation += RELOCATION.itemsize
    return site


@word_function
def count_exits(engine: Engine, number, variant_number, which):
    template: TemplateLayout = template_at(engine, number)
    variant: Variant = template.variants[variant_number]
    relocation: Relocation = engine.relocations + variant.first * RELOCATION.itemsize
    found = 0
    for _ in range(variant.count):
        if relocation.number == which:
            found += 1
        relocation += RELOCATION.itemsize
    return found


@word_function
def same_page(block: Block, target, mode):
    """Is a direct jump's target on the page where this block begins, and is that the block's only page?"""
    return linear_pc(block.pc, mode) >> PAGE_BITS == linear_pc(target, mode) >> PAGE_BITS and block.ram2 == NO_PAGE


@word_function
def emit_way_out(engine: Engine, block: Block, target, words, site):
    """A stub for a direct jump to `target`; `site` is the rel32 field to patch when the target's block is known, 0 if there
    are several.  Returns the stub's address."""
    set_word(words, H_NEXT, target)
    if block.mode & MODE_SINGLE:
        return emit_piece(engine, S_OUT, 0, words)
    if not same_page(block, target, block.mode):
        set_word(words, H_LINK, ((target ^ target >> PAGE_BITS) & JUMP_MASK) * JUMP_ENTRY_SIZE)
        return emit_piece(engine, S_JUMP, 0, words)
    start = engine.arena_next
    if site == 0:
        patch_jump(start, start + 5)
        engine.arena_next = start + 5
        site = start + 1
    set_word(words, H_LINK, site)
    emit_piece(engine, S_LINK, 0, words)
    return start


@word_function
def known_target(engine: Engine, block: Block, target):
    """Code address of a direct jump's target if the jump may go there at once, else 0."""
    if block.mode & MODE_SINGLE or engine.trace & Trace.UNCHAINED:
        return 0
    if not same_page(block, target, block.mode):
        return 0
    if target == block.pc:
        return block.code
    ram = (block.ram & ~PAGE_MASK) | (linear_pc(target, block.mode) & PAGE_MASK)
    number = find_block(engine, ram, target, block.mode)
    if number == 0:
        return 0
    found: Block = block_at(engine, number)
    return found.code if found.ram2 == NO_PAGE else 0


@word_function
def emit_exit(engine: Engine, block: Block, words, which):
    """Give one direct jump of the block's last instruction its target."""
    number = word(words, W_TEMPLATE)
    variant = word(words, W_VARIANT)
    template: TemplateLayout = template_at(engine, number)
    if template.exits[which] == 255:
        return 0
    at = word(words, W_AT)
    target = word(words, template.exits[which])
    code = known_target(engine, block, target)
    if code == 0:
        several = count_exits(engine, number, variant, C_GOTO0 + which) > 1
        site = patch_exits(engine, number, variant, at, C_GOTO0 + which, 0)
        code = emit_way_out(engine, block, target, words, 0 if several else site)
    patch_exits(engine, number, variant, at, C_GOTO0 + which, code)
    return 0


@word_function
def emit_fall_through(engine: Engine, block: Block, words):
    """The block ends without a jump: go to the next pc."""
    target = word(words, H_NEXT)
    at = engine.arena_next
    code = known_target(engine, block, target)
    engine.arena_next = at + 5
    if code == 0:
        code = emit_way_out(engine, block, target, words, at + 1)
    return patch_jump(at, code)


@word_function
def emit_block(engine: Engine, number, count):
    """All the code of a block whose instructions are in the work area."""
    block: Block = block_at(engine, number)
    words = words_of(engine, 0)
    pc = word(words, H_PC)
    set_word(words, H_COUNT, count)
    block.code = engine.arena_next
    head = S_HEAD_UNCHECKED if block.mode & MODE_SINGLE else S_HEAD
    emit_piece(engine, head, 0, words)
    for i in range(count):
        piece = words_of(engine, i)
        if word(piece, W_TEMPLATE):
            words = piece
            set_word(words, H_WHERE, number << 8 | i)
            set_word(words, W_AT, emit_piece(engine, word(words, W_TEMPLATE), word(words, W_VARIANT), words))
    template: TemplateLayout = template_at(engine, word(words, W_TEMPLATE))
    if template.flags & TemplateFlag.ENDS == 0:
        emit_fall_through(engine, block, words)
    else:
        following = word(words, H_NEXT)
        emit_exit(engine, block, words, 0)
        set_word(words, H_NEXT, following)
        emit_exit(engine, block, words, 1)
    set_word(words_of(engine, 0), H_PC, pc)
    block.cold = emit_piece(engine, S_COLD, 0, words_of(engine, 0))
    patch_exits(engine, head, 0, block.code, C_GOTO0, block.cold)
    engine.arena_next = (engine.arena_next + 15) & ~15
    return 0


@word_function
def record_offsets(engine: Engine, block: Block, count):
    """Where each instruction begins, so that a fault finds its pc.  Also the block's size."""
    block.first_offset = engine.offset_count
    distance = 0
    for i in range(count):
        store8(engine.offsets + engine.offset_count + i, distance)
        distance += word(words_of(engine, i), W_LENGTH)
    engine.offset_count += count
    block.size = distance
    block.insns = count
    return 0
