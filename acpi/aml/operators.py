"""Arithmetic, logic, strings and buffers: operators that only compute (ACPI 6.5, section 19.6).

Each is a plain function of its converted operands; integers are cut to the table's width behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .conversions import Conversions
from .dispatch import COMPUTERS, HANDLERS, Compute, Steps, compute, data, integer, runs
from .errors import AmlError
from .parser import Term
from .references import Unresolved, resolve, store
from .resources import SMALL_END_TAG
from .values import Frame

if TYPE_CHECKING:
    from .evaluator import Evaluator

Data = int | str | bytearray
Converter = Callable[[Conversions, Any], Any]
CONVERTERS: dict[str, Converter] = {
    "integer": Conversions.to_integer,
    "string": Conversions.to_string,
    "buffer": Conversions.to_buffer,
    "data": Conversions.to_data,
}


def operator(name: str, operands: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The decorated function computes an opcode from (conversions, *operands); the result goes to the target, if any."""
    converters = [CONVERTERS[kind] for kind in operands.split()]

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        def handler(ev: Evaluator, term: Term, frame: Frame) -> Steps:
            values = []
            for operand, convert in zip(term.args, converters):
                values.append(convert(ev.convert, (yield from data(ev, operand, frame))))
            result = function(ev.convert, *values)
            if isinstance(result, int):
                result &= ev.convert.mask
            for target in term.args[len(values) :]:
                yield from store(ev, target, result, frame)
            return result

        def computer(term: Term) -> Compute | None:
            operands = [compute(operand) for operand in term.args[: len(converters)]]
            if None in operands or any(term.args[len(converters) :]):
                return None
            return computed(function, operands, converters)  # type: ignore[arg-type]

        COMPUTERS[name] = computer
        HANDLERS[name] = handler
        return function

    return register


def computed(function: Callable[..., Any], operands: list[Compute], converters: list[Converter]) -> Compute:
    """The value of an operator whose operands have theirs at once."""

    def general(ev: Evaluator, frame: Frame) -> Any:
        c = ev.convert
        value = function(c, *[convert(c, operand(ev, frame)) for operand, convert in zip(operands, converters)])
        return value & c.mask if isinstance(value, int) else value

    def binary(ev: Evaluator, frame: Frame) -> Any:
        c = ev.convert
        value = function(c, convert_left(c, left(ev, frame)), convert_right(c, right(ev, frame)))
        return value & c.mask if isinstance(value, int) else value

    if len(operands) != 2:
        return general
    (left, right), (convert_left, convert_right) = operands, converters
    return binary


# ---------------------------------------------------------------- integers

SIMPLE: dict[str, Callable[[int, int], int]] = {
    "Add": lambda a, b: a + b,
    "Subtract": lambda a, b: a - b,
    "Multiply": lambda a, b: a * b,
    "And": lambda a, b: a & b,
    "Nand": lambda a, b: ~(a & b),
    "Or": lambda a, b: a | b,
    "Nor": lambda a, b: ~(a | b),
    "Xor": lambda a, b: a ^ b,
    "ShiftRight": lambda a, b: a >> b,
}
for _name, _function in SIMPLE.items():
    operator(_name, "integer integer")(lambda c, a, b, f=_function: f(a, b))


@operator("ShiftLeft", "integer integer")
def shift_left(c: Conversions, value: int, count: int) -> int:
    return value << count if count < c.bits else 0


@operator("Mod", "integer integer")
def mod(c: Conversions, a: int, b: int) -> int:
    return divided(a, b)[1]


@operator("Not", "integer")
def invert(c: Conversions, value: int) -> int:
    return ~value


@operator("FindSetLeftBit", "integer")
def find_set_left_bit(c: Conversions, value: int) -> int:
    return value.bit_length()


@operator("FindSetRightBit", "integer")
def find_set_right_bit(c: Conversions, value: int) -> int:
    return (value & -value).bit_length()


@operator("FromBCD", "integer")
def from_bcd(c: Conversions, value: int) -> int:
    digits = f"{value:x}"
    if not digits.isdecimal():
        raise AmlError(f"{value:#x} is no binary coded decimal")
    return int(digits)


@operator("ToBCD", "integer")
def to_bcd(c: Conversions, value: int) -> int:
    coded = int(str(value), 16)
    if coded > c.mask:
        raise AmlError(f"{value} is too large for a binary coded decimal")
    return coded


def divided(a: int, b: int) -> tuple[int, int]:
    if not b:
        raise AmlError("division by zero")
    return divmod(a, b)


@runs("Divide")
def _divide(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    """Two targets: the remainder and the quotient."""
    dividend = yield from integer(ev, term.args[0], frame)
    divisor = yield from integer(ev, term.args[1], frame)
    quotient, remainder = divided(dividend, divisor)
    yield from store(ev, term.args[2], remainder, frame)
    yield from store(ev, term.args[3], quotient, frame)
    return quotient


@runs("Increment", "Decrement")
def _step(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    old = yield from integer(ev, term.args[0], frame)
    new = old + (1 if term.op.name == "Increment" else -1) & ev.convert.mask
    yield from store(ev, term.args[0], new, frame)
    return new


# ---------------------------------------------------------------- logic: true is Ones


def _truth(value: bool) -> int:
    return -1 if value else 0


LOGIC: dict[str, Callable[[int, int], bool]] = {
    "LAnd": lambda a, b: bool(a and b),
    "LOr": lambda a, b: bool(a or b),
}
for _name, _logic in LOGIC.items():
    operator(_name, "integer integer")(lambda c, a, b, f=_logic: _truth(f(a, b)))


@operator("LNot", "integer")
def logical_not(c: Conversions, value: int) -> int:
    return _truth(not value)


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "LEqual": lambda a, b: a == b,
    "LGreater": lambda a, b: a > b,
    "LLess": lambda a, b: a < b,
}


def compare(c: Conversions, how: str, a: Data, b: Data) -> bool:
    """The second operand is made the type of the first; strings and buffers compare byte by byte."""
    return COMPARE[how](a, b if isinstance(a, int) and isinstance(b, int) else c.like(a, b))


for _name in COMPARE:
    operator(_name, "data data")(lambda c, a, b, how=_name: -1 if compare(c, how, a, b) else 0)

MATCHES: list[Callable[[Conversions, Data, Data], bool]] = [  # by the number of the MatchOpcode
    lambda c, element, value: True,
    lambda c, element, value: compare(c, "LEqual", value, element),
    lambda c, element, value: not compare(c, "LLess", value, element),
    lambda c, element, value: compare(c, "LGreater", value, element),
    lambda c, element, value: not compare(c, "LGreater", value, element),
    lambda c, element, value: compare(c, "LLess", value, element),
]


@runs("Match")
def _match(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    """The number of the first element that passes both tests, or Ones."""
    source, first_test, first, second_test, second, start = term.args
    for test in (first_test, second_test):
        if test >= len(MATCHES):
            raise AmlError(f"Match has no test {test}")
    elements = ev.convert.to_package((yield from data(ev, source, frame)))
    values = []
    for each in (first, second):
        values.append(ev.convert.to_data((yield from data(ev, each, frame))))
    begin = yield from integer(ev, start, frame)
    for number in range(begin, len(elements)):
        element = elements[number]
        if isinstance(element, Unresolved):
            element = yield from resolve(ev, element, frame)
        if not isinstance(element, (int, str, bytearray)):
            continue
        if all(MATCHES[test](ev.convert, element, v) for test, v in zip((first_test, second_test), values)):
            return number
    return ev.convert.mask


# ---------------------------------------------------------------- strings and buffers


@operator("ToInteger", "data")
def to_integer(c: Conversions, value: Data) -> int:
    return c.parsed_integer(value)


@operator("ToBuffer", "data")
def to_buffer(c: Conversions, value: Data) -> bytearray:
    return bytearray(c.to_buffer(value))


@operator("ToHexString", "data")
def to_hex_string(c: Conversions, value: Data) -> str:
    return c.hex_string(value)


@operator("ToDecimalString", "data")
def to_decimal_string(c: Conversions, value: Data) -> str:
    return c.decimal_string(value)


@operator("ToString", "buffer integer")
def to_string(c: Conversions, value: bytearray, length: int) -> str:
    """Up to a NUL, and at most `length` characters."""
    text = bytes(value).split(b"\0", 1)[0]
    return text[:length].decode("latin-1")


@operator("Concatenate", "data data")
def concatenate(c: Conversions, a: Data, b: Data) -> str | bytearray:
    """Integers become a buffer; otherwise the second is made the type of the first."""
    if isinstance(a, str):
        return a + c.to_string(b)
    if isinstance(a, int):
        return c.to_buffer(a) + c.to_buffer(c.to_integer(b))
    return a + c.to_buffer(b)


@operator("Mid", "data integer integer")
def mid(c: Conversions, source: Data, index: int, length: int) -> str | bytearray:
    text = c.to_string(source) if isinstance(source, int) else source
    return text[index : index + length]


@operator("ConcatenateResTemplate", "buffer buffer")
def concatenate_resources(c: Conversions, a: bytearray, b: bytearray) -> bytearray:
    """Both without their end tags, and a new one."""
    return _without_end_tag(a) + _without_end_tag(b) + bytes([SMALL_END_TAG, 0])


def _without_end_tag(template: bytearray) -> bytearray:
    if template and (len(template) < 2 or template[-2] != SMALL_END_TAG):
        raise AmlError("a resource template without an end tag")
    return template[:-2]
