"""From guest bytes to forms: capstone decodes in place, a key says which form each instruction is, the form's template which
stencil; a backward pass then drops flag writes that nobody sees.

Python is asked only for forms that were never met before (Call.NEW_FORM).  What is one ISA's (keys, hole values) is reached
through engine.form_key and engine.form_fill.
"""
from __future__ import annotations

import capstone

from jit.codecache import Cpu, Engine
from jit.memory import TlbInfo, lookup
from jit.state import FORM, PAGE_SIZE, Call, TemplateFlag, TlbFlag
from jit.words import Layout, word_function
from jit.work import (
    H_NEXT, H_PC, H_TARGET, H_TLB, MAX_INSNS, MODE_MMU_SHIFT, MODE_SINGLE, MODE_SIZE, PAGE_MASK, UNDEFINED, W_AT, W_KEY,
    W_LENGTH, W_TEMPLATE, W_VARIANT, WORK_CURSOR, WORK_STITCH, TemplateLayout, linear_pc, set_word, template_at, tlb_offset,
    word, words_of,
)

MAX_INSN_BYTES = 15
Form = Layout("Form", FORM)
INSN_SIZE = capstone._cs_insn.size.offset
PAIR_MIX = 0x9E3779B97F4A7C15
STOPS = TemplateFlag.ENDS | TemplateFlag.LAST | TemplateFlag.ALONE


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
