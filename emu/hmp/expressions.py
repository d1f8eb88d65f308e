"""Expressions of the human monitor: C numbers, 'c', $register, + - * / % & | ^ ~ and parentheses, in 64-bit arithmetic.

Precedence is QEMU's, not C's: * / % bind tightest, then & | ^, then + and -.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from emu.hmp.monitor import EXTRANEOUS, UsageError

MASK64 = (1 << 64) - 1
SIGN64 = 1 << 63
DEEPEST = 100
NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")
REGISTER = re.compile(r"\$([A-Za-z_.][A-Za-z0-9_.]*)")
CHARACTER = re.compile(r"'(.)'")
LEVELS = ("+-", "&|^", "*/%")  # loosest first

Registers = Callable[[str], int]


def signed(value: int) -> int:
    """A 64-bit word as a signed number."""
    value &= MASK64
    return value - (1 << 64) if value & SIGN64 else value


def evaluate(text: str, registers: Registers) -> int:
    """The 64-bit value of all of `text`.  Raises UsageError."""
    value, rest = take(text, registers)
    if rest:
        raise UsageError(EXTRANEOUS)
    return value


def take(text: str, registers: Registers) -> tuple[int, str]:
    """The 64-bit value of the expression that `text` begins with, and what comes after it.  Raises UsageError."""
    parser = _Parser(text, registers)
    value = parser.level(0)
    return value & MASK64, parser.rest


class _Parser:
    """`rest` is what has not been understood yet, without leading blanks."""

    def __init__(self, text: str, registers: Registers):
        self.rest, self._registers, self._depth = text.strip(), registers, 0

    def _accept(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self.rest)
        if match:
            self.rest = self.rest[match.end() :].lstrip()
        return match

    def _next(self) -> str:
        character, self.rest = self.rest[0], self.rest[1:].lstrip()
        return character

    def level(self, number: int) -> int:
        """Operands of one level of precedence, from left to right."""
        if number == len(LEVELS):
            return self.unary()
        value = self.level(number + 1)
        while self.rest and self.rest[0] in LEVELS[number]:
            value = signed(_apply(self._next(), value, self.level(number + 1)))
        return value

    def unary(self) -> int:
        if not self.rest:
            raise UsageError("unexpected end of expression")
        self._depth += 1
        if self._depth > DEEPEST:
            raise UsageError("expression is nested too deeply")
        value = signed(self._operand())
        self._depth -= 1
        return value

    def _operand(self) -> int:
        if number := self._accept(NUMBER):
            return _number(number[0])
        if name := self._accept(REGISTER):
            return self._registers(name[1])
        if character := self._accept(CHARACTER):
            return ord(character[1])
        sign = self._next()
        if sign in "+-~":
            operand = self.unary()
            return {"+": operand, "-": -operand, "~": ~operand}[sign]
        if sign != "(":
            raise UsageError(f"invalid char '{sign}' in expression")
        value = self.level(0)
        if not self.rest or self._next() != ")":
            raise UsageError("')' expected")
        return value


def _number(text: str) -> int:
    """A number as C writes it: hexadecimal, octal after a leading 0, or decimal."""
    try:
        return int(text, 0) if text[:2] in ("0x", "0X") else int(text, 8 if text.startswith("0") else 10)
    except ValueError:
        raise UsageError(f"invalid number '{text}'") from None


def _apply(operator: str, a: int, b: int) -> int:
    if operator in "/%":
        if b == 0:
            raise UsageError("division by zero")
        quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
        return quotient if operator == "/" else a - b * quotient
    return {"+": a + b, "-": a - b, "*": a * b, "&": a & b, "|": a | b, "^": a ^ b}[operator]
