"""Runtime functions of integer instructions: 64-bit division, ENTER (Intel SDM vol. 2 DIV, IDIV, ENTER).

    divide_unsigned(cpu, high, low, divisor) -> quotient        #DE when the divisor is 0 or the quotient too large
    divide_signed(cpu, high, low, divisor) -> quotient          (the remainder is low - quotient * divisor)
    enter_frame(cpu, size, level, bits, stack_bits)             ENTER; `bits` is the operand size
"""
from __future__ import annotations

from jit.memory import set_fault
from jit.state import NO_ERROR_CODE
from jit.words import word_function
from jit.x86.state import X86, CodeSize, Gpr, Mode, Seg, Vector

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
