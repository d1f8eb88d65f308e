"""Runtime functions of integer instructions: 64-bit division, ENTER (Intel SDM vol. 2 DIV, IDIV, ENTER).

    divide_unsigned(cpu, high, low, divisor) -> quotient        #DE when the divisor is 0 or the quotient too large
    divide_signed(cpu, high, low, divisor) -> quotient          (the remainder is low - quotient * divisor)
    enter_frame(cpu, size, level, bits)                         ENTER; `bits` is the operand size
"""
from __future__ import annotations

from jit.memory import load_slow, set_fault
from jit.state import NO_ERROR_CODE
from jit.words import word_function
from jit.x86.mode import in_long_code
from jit.x86.segmentation import LINEAR_32, segment_check
from jit.x86.stack import Cursor, commit_stack, current_stack, move_pointer, push_value
from jit.x86.state import X86, Gpr, Seg, Vector

SIGN = 1 << 63
LEVELS = 31                             # ENTER takes the nesting level modulo 32


@word_function
def divide_error(cpu: X86):
    set_fault(cpu, Vector.DE, NO_ERROR_CODE, 0)
    return 0


@word_function
def divide_unsigned(cpu: X86, high, low, divisor):
    if high >= divisor:                 # also when the divisor is 0
        return divide_error(cpu)
    return udiv128(high, low, divisor)


@word_function
def divide_signed(cpu: X86, high, low, divisor):
    negative = (high ^ divisor) & SIGN
    if high & SIGN:
        low = -low
        high = ~high + (low == 0)
    if divisor & SIGN:
        divisor = -divisor
    if high >= divisor:
        return divide_error(cpu)
    quotient = udiv128(high, low, divisor)
    limit = SIGN if negative else SIGN - 1
    if quotient > limit:
        return divide_error(cpu)
    return -quotient if negative else quotient


# --- ENTER
@word_function
def enter_frame(cpu: X86, size, level, bits):
    """Registers change after the last access: an ENTER that faults can run again."""
    step = bits // 8
    nesting = level & LEVELS
    current_stack(cpu)
    stack: Cursor = cpu.scratch
    push_value(cpu, cpu.gpr[Gpr.RBP], step)
    frame = stack.pointer
    for i in range(1, nesting):
        outer = frame_pointer(cpu, (cpu.gpr[Gpr.RBP] - i * step) & stack.mask, step)
        push_value(cpu, outer, step)
    if nesting:
        push_value(cpu, frame, step)
    if cpu.fault:
        return 1
    move_pointer(stack, 0 - size)
    commit_stack(cpu)
    cpu.gpr[Gpr.RBP] = merge(cpu.gpr[Gpr.RBP], frame, bits)
    return 0


@word_function
def frame_pointer(cpu: X86, offset, size):
    """One of the outer frames' pointers, from the stack segment."""
    if in_long_code(cpu):
        return load_slow(cpu, offset, size)
    if segment_check(cpu, Seg.SS, offset, size):
        return 0
    return load_slow(cpu, (cpu.seg[Seg.SS].base + offset) & LINEAR_32, size)


@word_function
def merge(old, new, bits):
    """What a general register holds after a write of 16, 32 or 64 bits."""
    if bits == 16:
        return old & ~0xFFFF | new & 0xFFFF
    return new & LINEAR_32 if bits == 32 else new
