"""The translator: guest bytes to a block of stencils, all in compiled code.

capstone decodes in place, a key says which form each instruction is, the form's template says which stencil, a backward pass
drops flag writes that nobody sees, and a copy-and-patch loop emits the block.  Python is asked only for forms that were never
met before (Call.NEW_FORM).  What is one ISA's (keys, hole values) is reached through engine.form_key and engine.form_fill.
"""
from __future__ import annotations

import capstone

from jit.codecache import Block, Cpu, Engine, add_block, block_at, find_block, flush_cache, patch_jump
from jit.memory import TlbInfo, code_lines, lookup, protect_code
from jit.state import (
    BLOCK, FORM, JUMP_ENTRIES, JUMP_ENTRY, JUMP_ENTRY_SIZE, NO_PAGE, PAGE_BITS, PAGE_SIZE, RELOCATION, TEMPLATE,
    TLB_ENTRIES, TLB_ENTRY_SIZE, VARIANT, Call, TemplateFlag, TlbFlag, Trace,
)
from jit.stencil import (
    ABS8, ABS16, ABS32, ABS64, CONSTANT, CONTINUATIONS, FIRST_CONTINUATION, HOLE_NUMBER, LOW8_IN_16, LOW8_IN_32, LOW8_IN_64,
    LOW16_IN_32, LOW32_IN_64, REL32, STUBS, TAIL_JUMP,
)
from jit.words import Layout, word_function

PAGE_MASK = PAGE_SIZE - 1
TLB_OFFSET, TLB_BYTES = Cpu.offset("tlb"), TLB_ENTRIES * TLB_ENTRY_SIZE
MODE_MMU_SHIFT = 4                      # ... and these two: the MMU index
BLOCK_BYTES = BLOCK.itemsize
MAX_INSNS = 48                          # in a block
MAX_INSN_BYTES = 15
BLOCK_ROOM = 256 << 10                  # the cache is flushed when the arena has less than this left
JUMP_MASK = JUMP_ENTRIES - 1
JUMP_OFFSET = Cpu.offset("jump")
MODE_SINGLE = 1 << 8                    # the mode bit that every ISA gives this meaning: one instruction a block
MODE_SIZE = 3                           # ... and these: which decoder
MODE_BASE_SHIFT = 16                    # ... and from here up: what is added to pc to get a linear address
JumpEntry = Layout("JumpEntry", JUMP_ENTRY)
TemplateLayout = Layout("Template", TEMPLATE)
Variant = Layout("Variant", VARIANT)
Relocation = Layout("Relocation", RELOCATION)
Form = Layout("Form", FORM)
INSN_SIZE = capstone._cs_insn.size.offset
UNDEFINED = len(STUBS) + 1              # template of bytes that are no instruction; templates 1 to len(STUBS) are the stubs

# The work area: hole values of each instruction, then what else is known of it.
WORDS = 64
WORDS_BYTES = WORDS * 8
W_KEY, W_TEMPLATE, W_LENGTH, W_VARIANT, W_AT = 59, 60, 61, 62, 63      # template 0: part of the instruction before it
WORK_CURSOR = (MAX_INSNS + 1) * WORDS_BYTES             # code, size and address for cs_disasm_iter
WORK_STITCH = WORK_CURSOR + 32                          # the bytes of an instruction that crosses pages
WORK_SIZE = WORK_STITCH + 64
H_TARGET = HOLE_NUMBER["t0"]
H_NEXT, H_PC, H_WHERE, H_TLB, H_COUNT, H_LINK = (HOLE_NUMBER[n] for n in ("next", "pc", "where", "tlb", "count", "link"))
C_NEXT, C_GOTO0, C_GOTO1, C_FAULT, C_LEAVE = (FIRST_CONTINUATION + i for i in range(len(CONTINUATIONS)))
S_HEAD, S_HEAD_UNCHECKED, S_COLD, S_LINK, S_OUT, S_JUMP, S_FAULT, S_LEAVE = range(1, len(STUBS) + 1)
PAIR_MIX = 0x9E3779B97F4A7C15
STOPS = TemplateFlag.ENDS | TemplateFlag.LAST | TemplateFlag.ALONE


@word_function
def words_of(engine: Engine, i):
    """The work area's words of instruction i of the block being translated."""
    return engine.work + i * WORDS_BYTES


@word_function
def word(words, number):
    return load64(words + number * 8)


@word_function
def set_word(words, number, value):
    store64(words + number * 8, value)
    return 0


@word_function
def template_at(engine: Engine, number):
    return engine.templates + number * TEMPLATE.itemsize


@word_function
def linear_pc(pc, mode):
    """pc as a linear address: with the base that the mode word carries (32-bit wrap-around where there is one to add)."""
    if mode & MODE_SIZE == 2:
        return pc
    return (pc + (mode >> MODE_BASE_SHIFT)) & 0xFFFFFFFF


# --- decoding
@word_function
def decode_at(engine: Engine, mode, host, size, pc):
    """Decode one instruction; its length, 0 for none.  The cs_insn is at engine.decoded."""
    cursor = engine.work + WORK_CURSOR
    store64(cursor, host)
    store64(cursor + 8, size)
    store64(cursor + 16, pc)
    handle = engine.decoders[mode & MODE_SIZE]
    if call5(engine.decode, handle, cursor, cursor + 8, cursor + 16, engine.decoded) & 255 == 0:
        return 0
    return load16(engine.decoded + INSN_SIZE)


@word_function
def example_key(engine: Engine, host, size, mode):
    """Form key of the instruction at `host`; 0 when there is none."""
    if decode_at(engine, mode, host, size, 0) == 0:
        return 0
    return call3(engine.form_key, engine, engine.decoded, mode)


@word_function
def pair_key(first, second):
    """The key of an instruction and the conditional jump after it as one form."""
    return (first * PAIR_MIX ^ second) | 1


@word_function
def find_form(engine: Engine, key):
    """Template number of a form key, 0 when it is not known yet."""
    slot = key & engine.form_mask
    while True:
        form: Form = engine.forms + slot * FORM.itemsize
        if form.key == key:
            return form.template
        if form.key == 0:
            return 0
        slot = (slot + 1) & engine.form_mask
    return 0


@word_function
def take_instruction(cpu: Cpu, i, pc, mode, host, size):
    """Decode one instruction into the work area: its template and hole values.  Returns its length, 0 if no instruction ends
    within `size` bytes."""
    engine: Engine = cpu.engine
    words = words_of(engine, i)
    length = decode_at(engine, mode, host, size, pc)
    if length == 0:
        return 0
    key = call3(engine.form_key, engine, engine.decoded, mode)
    number = find_form(engine, key)
    if number == 0:
        number = call5(engine.callback, cpu, Call.NEW_FORM, host, size, key)
    set_word(words, W_KEY, key)
    set_word(words, W_TEMPLATE, number)
    set_word(words, W_LENGTH, length)
    set_word(words, H_PC, pc)
    set_word(words, H_NEXT, pc + length)
    set_word(words, H_TLB, tlb_offset(mode))
    call4(engine.form_fill, engine, engine.decoded, words, mode)
    return length


@word_function
def tlb_offset(mode):
    """Byte offset in the CPU record of the soft TLB that a mode's code uses."""
    return TLB_OFFSET + ((mode >> MODE_MMU_SHIFT) & 3) * TLB_BYTES


@word_function
def undefined_instruction(engine: Engine, i, pc, length):
    """`length` bytes were looked at: when any of them changes, this may become an instruction."""
    words = words_of(engine, i)
    set_word(words, W_TEMPLATE, UNDEFINED)
    set_word(words, W_LENGTH, length)
    set_word(words, H_PC, pc)
    set_word(words, H_NEXT, pc + length)
    return length


@word_function
def take_block(cpu: Cpu, pc, mode, host):
    """Decode instructions up to the end of the block or page.  Returns how many; 0 when the first one crosses the page."""
    engine: Engine = cpu.engine
    limit = 1 if mode & MODE_SINGLE else MAX_INSNS
    count = 0
    while count < limit:
        size = PAGE_SIZE - (host & PAGE_MASK)
        if count and host & PAGE_MASK == 0:
            return count
        length = take_instruction(cpu, count, pc, mode, host, size if size < MAX_INSN_BYTES else MAX_INSN_BYTES)
        if length == 0:
            if size < MAX_INSN_BYTES:
                return count
            length = undefined_instruction(engine, count, pc, MAX_INSN_BYTES)
        template: TemplateLayout = template_at(engine, word(words_of(engine, count), W_TEMPLATE))
        if template.flags & TemplateFlag.ALONE and count:
            return count
        count += 1
        if template.flags & STOPS:
            if template.flags & TemplateFlag.CONDITIONAL and count > 1:
                fuse(cpu, count - 2, host + length)
            return count
        pc += length
        host += length
    return count


@word_function
def fuse(cpu: Cpu, i, end):
    """Make instruction i and the conditional jump after it, which ends at host address `end`, one form if i may be fused:
    the condition is then computed from i's operands."""
    engine: Engine = cpu.engine
    words = words_of(engine, i)
    jump = words_of(engine, i + 1)
    template: TemplateLayout = template_at(engine, word(words, W_TEMPLATE))
    if template.flags & TemplateFlag.FUSES == 0:
        return 0
    key = pair_key(word(words, W_KEY), word(jump, W_KEY))
    number = find_form(engine, key)
    size = word(words, W_LENGTH) + word(jump, W_LENGTH)
    if number == 0:
        number = call5(engine.callback, cpu, Call.NEW_PAIR, end - size, size, key)
    set_word(words, W_TEMPLATE, number)
    set_word(words, H_TARGET, word(jump, H_TARGET))
    set_word(words, H_NEXT, word(jump, H_NEXT))
    return set_word(jump, W_TEMPLATE, 0)


@word_function
def take_crossing(cpu: Cpu, pc, mode, host):
    """Decode the one instruction that begins in this page and ends in the next.  Returns 1, or 0 with a fault set (none, but
    its address, where no memory is); the host address of the second page goes to the last word of instruction 0."""
    engine: Engine = cpu.engine
    first = PAGE_SIZE - (host & PAGE_MASK)
    info: TlbInfo = lookup(cpu, linear_pc(pc, mode) + first, TlbFlag.EXECUTE, (mode >> MODE_MMU_SHIFT) & 3)
    if info == 0:
        return 0
    if info.host == 0:
        cpu.fault_address = info.physical
        return 0
    stitch = engine.work + WORK_STITCH
    memmove(stitch, host, first)
    memmove(stitch + first, info.host, MAX_INSN_BYTES - first)
    if take_instruction(cpu, 0, pc, mode, stitch, MAX_INSN_BYTES) == 0:
        undefined_instruction(engine, 0, pc, MAX_INSN_BYTES)
    set_word(words_of(engine, 0), W_AT, info.host)
    return 1


# --- flags that nobody reads
@word_function
def choose_variants(engine: Engine, count):
    """From the last instruction back: variant 1 (no flag writes) where the flags are overwritten before anybody looks."""
    live = 1
    i = count
    while i:
        i -= 1
        words = words_of(engine, i)
        if word(words, W_TEMPLATE):
            template: TemplateLayout = template_at(engine, word(words, W_TEMPLATE))
            set_word(words, W_VARIANT, 1 - live)
            live = flags_needed_before(template.flags, live)
    return 0


@word_function
def flags_needed_before(flags, live):
    """Must the flags be exact before an instruction with these template flags, if they must (`live`) after it?"""
    if flags & TemplateFlag.FAULTS:
        return 1
    if flags & TemplateFlag.WRITES_FLAGS:
        return 1 if flags & (TemplateFlag.READS_LIVE if live else TemplateFlag.READS_DEAD) else 0
    return 1 if flags & TemplateFlag.READS_LIVE else live


# --- emitting
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
