"""Form keys and hole values of decoded x86 instructions, read in compiled code from capstone's C structures.

What goes into the key must be everything that `insn.decode(concrete=False)` shows to semantics functions: the front end may
look at nothing else.
"""
from __future__ import annotations

import ctypes

import capstone
import numpy as np
from capstone import x86 as cs

from jit.codecache import Engine
from jit.stencil import HOLE_NUMBER
from jit.words import word_function
from jit.x86.insn import REGISTERS
from jit.x86.state import X86, CodeSize, Gpr, Mode

# Offsets come from capstone's own ctypes declarations, so a new capstone moves them with it.
INSN_ID = 0
INSN_ADDRESS, INSN_SIZE = capstone._cs_insn.address.offset, capstone._cs_insn.size.offset
INSN_BYTES, INSN_DETAIL = capstone._cs_insn.bytes.offset, capstone._cs_insn.detail.offset
DETAIL = capstone._cs_detail.arch.offset
PREFIX, OPCODE, REX, ADDR_SIZE, SSE_CC, COUNT, OPERANDS, ENCODING = (
    getattr(cs.CsX86, name).offset
    for name in ("prefix", "opcode", "rex", "addr_size", "sse_cc", "op_count", "operands", "encoding"))
IMM_SIZE, DISP_SIZE = (ENCODING + getattr(dict(cs.CsX86._fields_)["encoding"], name).offset
                       for name in ("imm_size", "disp_size"))
OP_SIZEOF, OP_VALUE, OP_SIZE = ctypes.sizeof(cs.X86Op), cs.X86Op.value.offset, cs.X86Op.size.offset
MEM_SEGMENT, MEM_BASE, MEM_INDEX, MEM_SCALE, MEM_DISP = (
    OP_VALUE + getattr(cs.X86OpMem, name).offset for name in ("segment", "base", "index", "scale", "disp"))
OP_REG, OP_IMM, OP_MEM = cs.X86_OP_REG, cs.X86_OP_IMM, cs.X86_OP_MEM
MAX_OPERANDS = 4
RSP_SLOT, RBP_SLOT = (X86.offset(f"gpr.{int(r)}") for r in (Gpr.RSP, Gpr.RBP))

FORM_MODE = Mode.SIZE | Mode.STACK32 | Mode.FLAT | Mode.FPU | Mode.SSE | Mode.UNMASKED | Mode.PROTECTED | Mode.CPL3 \
    | Mode.V86_IOPL
OPERAND_PREFIX = 0x66
H_R, H_B, H_X, H_D, H_M, H_A, H_I, H_W, H_T = (HOLE_NUMBER[f"{kind}0"] for kind in "rbxdmaiwt")

# The register table: u64 a capstone register.  Low half: byte offset in the CPU record; high half: what the form depends on.
SLOT_MASK = (1 << 32) - 1
SHAPE_SHIFT = 32
SHAPE_IP = 0x80
_CLASSES = {"gpr": 1, "xmm": 2, "mm": 3, "st": 4, "seg": 5, "cr": 6, "dr": 7, "ip": SHAPE_IP}
STACK_BASE = 1 << 16                    # shape bits of base registers: stack pointer, frame pointer (default segment SS)
FRAME_BASE = 1 << 17
TRAIT_IMMEDIATE = 1                     # traits table, u8 an instruction id: its immediates belong to the form
MIX1, MIX2 = 0x9E3779B97F4A7C15, 0xC4CEB9FE1A85EC53


def register_table() -> np.ndarray:
    table = np.zeros(max(REGISTERS) + 256, np.uint64)
    for number, register in REGISTERS.items():
        shape = _CLASSES[register.kind] | register.bits << 20 | register.high << 8
        if register.kind in ("st", "seg", "cr", "dr"):
            shape |= (register.number + 1) << 9
            slot = 0
        else:
            slot = 0 if register.kind == "ip" else register.slot
        table[number] = shape << SHAPE_SHIFT | slot
    return table


def trait_table(immediate_in_form: set[str]) -> np.ndarray:
    table = np.zeros(1 << 16, np.uint8)
    for mnemonic in immediate_in_form:
        number = getattr(cs, f"X86_INS_{mnemonic.upper()}", None)
        if number is not None:
            table[number] = TRAIT_IMMEDIATE
    return table


@word_function
def detail_of(insn):
    return load64(insn + INSN_DETAIL) + DETAIL


@word_function
def register_shape(engine: Engine, register):
    return load64(engine.registers + register * 8) >> SHAPE_SHIFT


@word_function
def register_slot(engine: Engine, register):
    return load64(engine.registers + register * 8) & SLOT_MASK


@word_function
def mix(key, value):
    key = (key ^ value) * MIX2
    return key ^ key >> 29


@word_function
def prefix_bit(byte):
    """A bit for each legacy prefix, 0 for other bytes."""
    if byte == 0x66 or byte == 0x67:
        return byte - 0x65
    if byte == 0xF0 or byte == 0xF2 or byte == 0xF3:
        return 4 << (byte - 0xF0)
    if byte == 0x64 or byte == 0x65:
        return 0x40 << (byte - 0x64)
    return 0x100 << ((byte - 0x26) >> 3) if byte & 0xE7 == 0x26 else 0


@word_function
def prefix_mask(insn):
    """The legacy prefixes among the instruction's bytes: capstone's own list lacks those that belong to the opcode, so CMPSS,
    CMPPS, CMPSD and CMPPD would be one form."""
    mask = 0
    at = insn + INSN_BYTES
    bit = prefix_bit(load8(at))
    while bit:
        mask |= bit
        at += 1
        bit = prefix_bit(load8(at))
    return mask


@word_function
def opcode_shape(detail):
    """The opcode bytes without the bits that only number a register."""
    opcode = load32(detail + OPCODE)
    first = opcode & 255
    if first & 0xF0 == 0x40 or first & 0xF0 == 0x50 or first & 0xF8 == 0x90 or first & 0xF0 == 0xB0:
        return opcode & ~7
    if opcode & 0xF8FF == 0xC80F:
        return opcode & ~0x700
    return opcode


@word_function
def memory_shape(engine: Engine, operand):
    """What a form depends on in a memory operand: which parts there are, their sizes, scale, segment."""
    base = load32(operand + MEM_BASE)
    index = load32(operand + MEM_INDEX)
    shape = load32(operand + MEM_SEGMENT) << 8 | load32(operand + MEM_SCALE) << 20
    if base:
        shape |= 1 | register_shape(engine, base) << 32
        slot = register_slot(engine, base)
        if register_shape(engine, base) & SHAPE_IP == 0:
            if slot == RSP_SLOT:
                shape |= STACK_BASE
            if slot == RBP_SLOT:
                shape |= FRAME_BASE
    if index:
        shape |= 2
        shape ^= register_shape(engine, index) * MIX1
    return shape


@word_function
def x86_form_key(engine: Engine, insn, mode):
    """The key of a decoded instruction's form; never 0."""
    detail = detail_of(insn)
    number = load32(insn + INSN_ID)
    key = mix(number * MIX1, (mode & FORM_MODE) | load32(detail + PREFIX) << 32)
    key = mix(key, opcode_shape(detail) | load8(detail + ADDR_SIZE) << 32 | (load8(detail + REX) & 8) << 40)
    key = mix(key, load8(detail + IMM_SIZE) & 8 | (load8(detail + DISP_SIZE) & 8) << 8 | load32(detail + SSE_CC) << 32)
    key = mix(key, prefix_mask(insn))
    first_register = 0
    for i in range(load8(detail + COUNT)):
        operand = detail + OPERANDS + i * OP_SIZEOF
        kind = load32(operand)
        key = mix(key, kind | load8(operand + OP_SIZE) << 8 | i << 16)
        if kind == OP_REG:
            register = load32(operand + OP_VALUE)
            key = mix(key, register_shape(engine, register))
            if i == 0:
                first_register = register
            if i == 1 and register == first_register:
                key = mix(key, 1)
        elif kind == OP_MEM:
            key = mix(key, memory_shape(engine, operand))
        elif load8(engine.traits + number) & TRAIT_IMMEDIATE:
            key = mix(key, load64(operand + OP_VALUE) + 1)
    return key | 1


@word_function
def x86_form_fill(engine: Engine, insn, words, mode):
    """Hole values of a decoded instruction (jit/x86/insn.py names them)."""
    detail = detail_of(insn)
    count = load8(detail + COUNT)
    if count > MAX_OPERANDS:
        count = MAX_OPERANDS
    following = load64(insn + INSN_ADDRESS) + load16(insn + INSN_SIZE)
    for i in range(count):
        operand = detail + OPERANDS + i * OP_SIZEOF
        kind = load32(operand)
        place = words + i * 8
        if kind == OP_REG:
            store64(place + H_R * 8, register_slot(engine, load32(operand + OP_VALUE)))
        elif kind == OP_IMM:
            value = load64(operand + OP_VALUE)
            store64(place + H_I * 8, value)
            store64(place + H_W * 8, value)
            store64(place + H_T * 8, target_of(value, mode, load8(detail + PREFIX + 2)))
        else:
            fill_memory(engine, operand, place, following, load8(detail + ADDR_SIZE))
    return 0


@word_function
def target_of(value, mode, prefix):
    """A branch target as an offset in CS, truncated to the operand size."""
    if mode & Mode.SIZE == CodeSize.BITS64:
        return value
    small = 1 if mode & Mode.SIZE == CodeSize.BITS16 else 0
    if prefix == OPERAND_PREFIX:
        small = 1 - small
    return value & 0xFFFF if small else value & 0xFFFFFFFF


@word_function
def fill_memory(engine: Engine, operand, place, following, address_size):
    displacement = load64(operand + MEM_DISP)
    store64(place + H_D * 8, displacement)
    store64(place + H_M * 8, displacement)
    base = load32(operand + MEM_BASE)
    store64(place + H_B * 8, register_slot(engine, base))
    store64(place + H_X * 8, register_slot(engine, load32(operand + MEM_INDEX)))
    absolute = following + displacement
    store64(place + H_A * 8, absolute & 0xFFFFFFFF if address_size == 4 else absolute)
    return 0
