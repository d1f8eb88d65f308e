"""The work area of a translation: what is known of each instruction of the block, and the words of a mode.

jit/decode.py fills it, jit/emit.py reads it.  WORDS words an instruction: hole values by number, then W_KEY and its like.
"""
from __future__ import annotations

from jit.codecache import Cpu, Engine
from jit.state import PAGE_SIZE, TEMPLATE, TLB_ENTRIES, TLB_ENTRY_SIZE
from jit.stencil import HOLE_NUMBER, STUBS
from jit.words import Layout, word_function

PAGE_MASK = PAGE_SIZE - 1
TLB_OFFSET, TLB_BYTES = Cpu.offset("tlb"), TLB_ENTRIES * TLB_ENTRY_SIZE
MAX_INSNS = 48                          # in a block
# The mode word: bits that every ISA gives the same meaning.
MODE_SIZE = 3                           # which decoder
MODE_MMU_SHIFT = 4                      # two bits: the MMU index
MODE_SINGLE = 1 << 8                    # one instruction a block
MODE_BASE_SHIFT = 16                    # from here up: what is added to pc to get a linear address
TemplateLayout = Layout("Template", TEMPLATE)
UNDEFINED = len(STUBS) + 1              # template of bytes that are no instruction; templates 1 to len(STUBS) are the stubs

WORDS = 64
WORDS_BYTES = WORDS * 8
W_KEY, W_TEMPLATE, W_LENGTH, W_VARIANT, W_AT = 59, 60, 61, 62, 63      # template 0: part of the instruction before it
WORK_CURSOR = (MAX_INSNS + 1) * WORDS_BYTES             # code, size and address for cs_disasm_iter
WORK_STITCH = WORK_CURSOR + 32                          # the bytes of an instruction that crosses pages
WORK_SIZE = WORK_STITCH + 64
H_TARGET = HOLE_NUMBER["t0"]
H_NEXT, H_PC, H_WHERE, H_TLB, H_COUNT, H_LINK = (HOLE_NUMBER[n] for n in ("next", "pc", "where", "tlb", "count", "link"))


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


@word_function
def tlb_offset(mode):
    """Byte offset in the CPU record of the soft TLB that a mode's code uses."""
    return TLB_OFFSET + ((mode >> MODE_MMU_SHIFT) & 3) * TLB_BYTES
