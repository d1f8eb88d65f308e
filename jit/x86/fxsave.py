"""x87 and SSE state in memory: FXSAVE, FXRSTOR, XSAVE, XRSTOR, FSTENV, FSAVE and their loads (SDM vol. 1 ch. 8.1.10, 10.5,
13.4 to 13.8).

Entry points, all with the linear address of the area.  They report faults as accesses do and then return 1:
    fxsave_area(cpu, address, shape, mxcsr)             shape: AreaShape bits
    fxrstor_area(cpu, address, shape)
    xsave_area(cpu, address, shape, mxcsr, mask)        mask: EDX:EAX & XCR0
    xrstor_area(cpu, address, shape, mask)
    fstenv_area(cpu, address, shape), fldenv_area(cpu, address, shape)
    fsave_area(cpu, address, shape), frstor_area(cpu, address, shape)

Not here: the compacted format, states beyond SSE, XSAVE's init optimisation (every requested state is written), FOP and the
segments of the last instruction, which are stored as they are kept: 0.
"""
from __future__ import annotations

from enum import IntFlag

from jit.memory import load_slow, probe_slow, set_fault, store_slow  # noqa: F401  (called by word functions)
from jit.words import word_function
from jit.x86.state import X86, Vector

XMM, ST = X86.offset("xmm"), X86.offset("st")
MXCSR_VALID, MXCSR_RESET = 0xFFFF, 0x1F80
FXSAVE_BYTES, FXSAVE_ST, FXSAVE_XMM = 512, 32, 160
XSAVE_HEADER, XCOMP_BV, XSAVE_RESERVED = 512, 520, 528
XSAVE_BYTES = 576
X87_STATE, SSE_STATE = 1, 2             # XCR0, XSTATE_BV
FCW_FIXED, FCW_VALID, FCW_RESET, FCW_MASKS = 1 << 6, 0x1F7F, 0x37F, 0x3F
FSW_PENDING = 0x8080                    # ES and B
TAG_VALID, TAG_ZERO, TAG_SPECIAL, TAG_EMPTY = range(4)
TOP_SHIFT = 11
REGISTER_BYTES = 10                     # of a register in FSAVE's image


class AreaShape(IntFlag):
    WIDE = 1                            # 64-bit instruction and data pointers (REX.W)
    LONG = 2                            # 64-bit code: 16 XMM registers
    WORDS = 4                           # environments: 16-bit fields
    REAL = 8                            # environments: the layout of real and virtual-8086 mode


@word_function
def st_place(cpu: X86, i):
    """Host address of ST(i)."""
    return cpu + ST + (((cpu.fsw >> TOP_SHIFT) + i) & 7) * 16


@word_function
def pending_bits(fcw, fsw):
    """FSW with ES and B as the exception flags and masks have them."""
    fsw = fsw & 0xFFFF & ~FSW_PENDING
    if fsw & ~fcw & FCW_MASKS:
        fsw |= FSW_PENDING
    return fsw


# --- FXSAVE
@word_function
def fxsave_area(cpu: X86, address, shape, mxcsr):
    if probe_slow(cpu, address, FXSAVE_BYTES):
        return 1
    if save_x87(cpu, address, shape):
        return 1
    if store_slow(cpu, address + 24, mxcsr | MXCSR_VALID << 32, 8):
        return 1
    return save_xmm(cpu, address, shape)


@word_function
def save_x87(cpu: X86, address, shape):
    """Bytes 0 to 23 and the registers of an FXSAVE image."""
    fip = cpu.fip
    fdp = cpu.fdp
    if shape & AreaShape.WIDE == 0:
        fip = (fip & 0xFFFFFFFF) | (cpu.fcs & 0xFFFF) << 32
        fdp = (fdp & 0xFFFFFFFF) | (cpu.fds & 0xFFFF) << 32
    head = cpu.fcw | cpu.fsw << 16 | cpu.ftw << 32 | cpu.fop << 48
    if store_slow(cpu, address, head, 8) or store_slow(cpu, address + 8, fip, 8) or store_slow(cpu, address + 16, fdp, 8):
        return 1
    for i in range(8):
        at = address + FXSAVE_ST + i * 16
        place = st_place(cpu, i)
        if store_slow(cpu, at, load64(place), 8) or store_slow(cpu, at + 8, load16(place + 8), 8):
            return 1
    return 0


@word_function
def save_xmm(cpu: X86, address, shape):
    count = 32 if shape & AreaShape.LONG else 16
    for i in range(count):
        if store_slow(cpu, address + FXSAVE_XMM + i * 8, load64(cpu + XMM + i * 8), 8):
            return 1
    return 0


# --- FXRSTOR
@word_function
def fxrstor_area(cpu: X86, address, shape):
    load_slow(cpu, address, 8)
    load_slow(cpu, address + FXSAVE_BYTES - 8, 8)
    mxcsr = load_slow(cpu, address + 24, 4)
    if cpu.fault:
        return 1
    if mxcsr & ~MXCSR_VALID:
        return set_fault(cpu, Vector.GP, 0, 0)
    cpu.mxcsr = mxcsr
    restore_x87(cpu, address, shape)
    return restore_xmm(cpu, address, shape)


@word_function
def restore_x87(cpu: X86, address, shape):
    head = load_slow(cpu, address, 8)
    cpu.fcw = (head & FCW_VALID) | FCW_FIXED
    cpu.fsw = pending_bits(cpu.fcw, head >> 16)
    cpu.ftw = (head >> 32) & 0xFF
    cpu.fop = (head >> 48) & 0x7FF
    cpu.fip = load_slow(cpu, address + 8, 8)
    cpu.fdp = load_slow(cpu, address + 16, 8)
    if shape & AreaShape.WIDE == 0:
        cpu.fcs = (cpu.fip >> 32) & 0xFFFF
        cpu.fds = (cpu.fdp >> 32) & 0xFFFF
        cpu.fip = cpu.fip & 0xFFFFFFFF
        cpu.fdp = cpu.fdp & 0xFFFFFFFF
    for i in range(8):
        at = address + FXSAVE_ST + i * 16
        place = st_place(cpu, i)
        store64(place, load_slow(cpu, at, 8))
        store16(place + 8, load_slow(cpu, at + 8, 2))
    return 0


@word_function
def restore_xmm(cpu: X86, address, shape):
    count = 32 if shape & AreaShape.LONG else 16
    for i in range(count):
        store64(cpu + XMM + i * 8, load_slow(cpu, address + FXSAVE_XMM + i * 8, 8))
    return 0


# --- XSAVE
@word_function
def xsave_area(cpu: X86, address, shape, mxcsr, mask):
    if probe_slow(cpu, address, XSAVE_BYTES):
        return 1
    present = (load_slow(cpu, address + XSAVE_HEADER, 8) & ~mask) | mask
    if cpu.fault:
        return 1
    if mask & X87_STATE and save_x87(cpu, address, shape):
        return 1
    if mask & SSE_STATE:
        if store_slow(cpu, address + 24, mxcsr | MXCSR_VALID << 32, 8) or save_xmm(cpu, address, shape):
            return 1
    return store_slow(cpu, address + XSAVE_HEADER, present, 8)


@word_function
def xrstor_area(cpu: X86, address, shape, mask):
    load_slow(cpu, address, 8)
    present = load_slow(cpu, address + XSAVE_HEADER, 8)
    compaction = load_slow(cpu, address + XCOMP_BV, 8)
    reserved = load_slow(cpu, address + XSAVE_RESERVED, 8)
    mxcsr = load_slow(cpu, address + 24, 4)
    if cpu.fault:
        return 1
    if present & ~cpu.xcr0 or compaction or reserved:
        return set_fault(cpu, Vector.GP, 0, 0)
    if mask & SSE_STATE and mxcsr & ~MXCSR_VALID:
        return set_fault(cpu, Vector.GP, 0, 0)
    if mask & X87_STATE:
        if present & X87_STATE:
            restore_x87(cpu, address, shape)
        else:
            reset_x87(cpu)
            memset(cpu + ST, 0, 128)
    if mask & SSE_STATE:
        cpu.mxcsr = mxcsr
        if present & SSE_STATE:
            restore_xmm(cpu, address, shape)
        else:
            memset(cpu + XMM, 0, 256 if shape & AreaShape.LONG else 128)
    return 0


@word_function
def reset_x87(cpu: X86):
    """What FNINIT does."""
    cpu.fcw = FCW_RESET
    cpu.fsw = 0
    cpu.ftw = 0
    cpu.fop = 0
    cpu.fip = 0
    cpu.fdp = 0
    cpu.fcs = 0
    cpu.fds = 0
    return 0


# --- FSTENV, FSAVE
@word_function
def full_tag(cpu: X86, physical):
    """Two tag bits of a physical register (SDM vol. 1 8.1.7)."""
    if (cpu.ftw >> physical) & 1 == 0:
        return TAG_EMPTY
    place = cpu + ST + physical * 16
    exponent = load16(place + 8) & 0x7FFF
    mantissa = load64(place)
    if exponent == 0 and mantissa == 0:
        return TAG_ZERO
    if exponent == 0 or exponent == 0x7FFF or mantissa >> 63 == 0:
        return TAG_SPECIAL
    return TAG_VALID


@word_function
def full_tags_word(cpu: X86):
    tags = 0
    for i in range(8):
        tags |= full_tag(cpu, i) << (i * 2)
    return tags


@word_function
def environment_field(cpu: X86, i, shape):
    """Field i (0 to 6) of an environment; reserved upper halves are ones."""
    ones = 0xFFFF << 16
    if i == 0:
        return cpu.fcw | ones
    if i == 1:
        return cpu.fsw | ones
    if i == 2:
        return full_tags_word(cpu) | ones
    if i == 3:
        return (cpu.fip & 0xFFFF) | ones if shape & AreaShape.REAL else cpu.fip
    if i == 5:
        return (cpu.fdp & 0xFFFF) | ones if shape & AreaShape.REAL else cpu.fdp
    if i == 4:
        return upper_field(cpu.fip, cpu.fcs, cpu.fop, shape)
    if shape & AreaShape.REAL:
        return upper_field(cpu.fdp, 0, 0, shape)
    return (cpu.fds & 0xFFFF) | ones


@word_function
def upper_field(pointer, selector, opcode, shape):
    """The field after a pointer's low part: selector and opcode; in real mode, the pointer's upper bits and the opcode."""
    if shape & AreaShape.REAL == 0:
        return (selector & 0xFFFF) | (opcode & 0x7FF) << 16
    if shape & AreaShape.WORDS:
        return ((pointer >> 16) & 0xF) << 12 | (opcode & 0x7FF)
    return ((pointer >> 16) & 0xFFFF) << 12 | (opcode & 0x7FF)


@word_function
def store_environment(cpu: X86, address, shape):
    size = 2 if shape & AreaShape.WORDS else 4
    for i in range(7):
        if store_slow(cpu, address + i * size, environment_field(cpu, i, shape), size):
            return 1
    return 0


@word_function
def fstenv_area(cpu: X86, address, shape):
    """Afterwards all exceptions are masked."""
    if probe_slow(cpu, address, 14 if shape & AreaShape.WORDS else 28) or store_environment(cpu, address, shape):
        return 1
    cpu.fcw = cpu.fcw | FCW_MASKS
    cpu.fsw = pending_bits(cpu.fcw, cpu.fsw)
    return 0


@word_function
def fsave_area(cpu: X86, address, shape):
    head = 14 if shape & AreaShape.WORDS else 28
    if probe_slow(cpu, address, head + 8 * REGISTER_BYTES) or store_environment(cpu, address, shape):
        return 1
    for i in range(8):
        at = address + head + i * REGISTER_BYTES
        place = st_place(cpu, i)
        if store_slow(cpu, at, load64(place), 8) or store_slow(cpu, at + 8, load16(place + 8), 2):
            return 1
    return reset_x87(cpu)


# --- FLDENV, FRSTOR
@word_function
def fldenv_area(cpu: X86, address, shape):
    size = 2 if shape & AreaShape.WORDS else 4
    load_slow(cpu, address, size)
    load_slow(cpu, address + 6 * size, size)
    if cpu.fault:
        return 1
    cpu.fcw = (load_slow(cpu, address, 2) & FCW_VALID) | FCW_FIXED
    cpu.fsw = pending_bits(cpu.fcw, load_slow(cpu, address + size, 2))
    cpu.ftw = abridged_tags_byte(load_slow(cpu, address + 2 * size, 2))
    low = load_slow(cpu, address + 3 * size, size)
    high = load_slow(cpu, address + 4 * size, size)
    data = load_slow(cpu, address + 5 * size, size)
    data_high = load_slow(cpu, address + 6 * size, size)
    if shape & AreaShape.REAL:
        cpu.fip = (low & 0xFFFF) | (high >> 12 & 0xFFFF) << 16
        cpu.fdp = (data & 0xFFFF) | (data_high >> 12 & 0xFFFF) << 16
        cpu.fop = high & 0x7FF
    else:
        cpu.fip = low
        cpu.fdp = data
        cpu.fcs = high & 0xFFFF
        cpu.fop = (high >> 16) & 0x7FF
        cpu.fds = data_high & 0xFFFF
    return 0


@word_function
def abridged_tags_byte(tags):
    found = 0
    for i in range(8):
        if (tags >> (i * 2)) & 3 != TAG_EMPTY:
            found |= 1 << i
    return found


@word_function
def frstor_area(cpu: X86, address, shape):
    head = 14 if shape & AreaShape.WORDS else 28
    load_slow(cpu, address + head + 8 * REGISTER_BYTES - 2, 2)
    if cpu.fault or fldenv_area(cpu, address, shape):
        return 1
    for i in range(8):
        at = address + head + i * REGISTER_BYTES
        place = st_place(cpu, i)
        store64(place, load_slow(cpu, at, 8))
        store16(place + 8, load_slow(cpu, at + 8, 2))
    return 0
