"""Statements, operators, locals and arguments of AML (ACPI 6.4, section 20.2.5.3 to 20.2.6), under their ASL names.

Not here: Load, LoadTable, DataTableRegion, Match, BankField: nothing in this project's tables needs them.
"""

from __future__ import annotations

from collections.abc import Callable

from .encoding import Body, Node, Raw, Term, body, name_string, package_length, target, term

EXT_OP = b"\x5b"
NO_TIMEOUT = 0xFFFF


def _raw_word(value: int) -> bytes:
    return value.to_bytes(2, "little")


# "super" is a target that may not be left out
_ENCODERS: dict[str, Callable[..., bytes]] = {
    "term": term,
    "target": target,
    "super": target,
    "name": name_string,
    "word": _raw_word,
}


class Operator(Node):
    """An opcode followed by its operands."""

    def __init__(self, opcode: bytes, shape: tuple[str, ...], operands: tuple[Term | None, ...]) -> None:
        self.data = opcode + b"".join(_ENCODERS[kind](value) for kind, value in zip(shape, operands))

    def encode(self) -> bytes:
        return self.data


def _operator(name: str, opcode: bytes, shape: str) -> Callable[..., Operator]:
    """A constructor for one row of the table; trailing targets may be left out."""
    kinds = tuple(shape.split())
    required = len(kinds) - kinds.count("target")

    def construct(*operands: Term | None) -> Operator:
        if not required <= len(operands) <= len(kinds):
            raise TypeError(f"{name} takes {shape or 'no operands'}, got {len(operands)} operands")
        return Operator(opcode, kinds, operands + (None,) * (len(kinds) - len(operands)))

    construct.__name__ = construct.__qualname__ = name
    return construct


Zero, One, Ones = Raw(b"\x00"), Raw(b"\x01"), Raw(b"\xff")
Local0, Local1, Local2, Local3, Local4, Local5, Local6, Local7 = (Raw(bytes([0x60 + n])) for n in range(8))
Arg0, Arg1, Arg2, Arg3, Arg4, Arg5, Arg6 = (Raw(bytes([0x68 + n])) for n in range(7))
Debug = Raw(EXT_OP + b"\x31")

Alias = _operator("Alias", b"\x06", "name name")
Store = _operator("Store", b"\x70", "term super")
RefOf = _operator("RefOf", b"\x71", "super")
Add = _operator("Add", b"\x72", "term term target")
Concatenate = _operator("Concatenate", b"\x73", "term term target")
Subtract = _operator("Subtract", b"\x74", "term term target")
Increment = _operator("Increment", b"\x75", "super")
Decrement = _operator("Decrement", b"\x76", "super")
Multiply = _operator("Multiply", b"\x77", "term term target")
Divide = _operator("Divide", b"\x78", "term term target target")
ShiftLeft = _operator("ShiftLeft", b"\x79", "term term target")
ShiftRight = _operator("ShiftRight", b"\x7a", "term term target")
And = _operator("And", b"\x7b", "term term target")
Nand = _operator("Nand", b"\x7c", "term term target")
Or = _operator("Or", b"\x7d", "term term target")
Nor = _operator("Nor", b"\x7e", "term term target")
Xor = _operator("Xor", b"\x7f", "term term target")
Not = _operator("Not", b"\x80", "term target")
FindSetLeftBit = _operator("FindSetLeftBit", b"\x81", "term target")
FindSetRightBit = _operator("FindSetRightBit", b"\x82", "term target")
DerefOf = _operator("DerefOf", b"\x83", "term")
ConcatenateResTemplate = _operator("ConcatenateResTemplate", b"\x84", "term term target")
Mod = _operator("Mod", b"\x85", "term term target")
Notify = _operator("Notify", b"\x86", "super term")
SizeOf = _operator("SizeOf", b"\x87", "super")
Index = _operator("Index", b"\x88", "term term target")
CreateDWordField = _operator("CreateDWordField", b"\x8a", "term term name")
CreateWordField = _operator("CreateWordField", b"\x8b", "term term name")
CreateByteField = _operator("CreateByteField", b"\x8c", "term term name")
CreateBitField = _operator("CreateBitField", b"\x8d", "term term name")
ObjectType = _operator("ObjectType", b"\x8e", "super")
CreateQWordField = _operator("CreateQWordField", b"\x8f", "term term name")
LAnd = _operator("LAnd", b"\x90", "term term")
LOr = _operator("LOr", b"\x91", "term term")
LNot = _operator("LNot", b"\x92", "term")
LNotEqual = _operator("LNotEqual", b"\x92\x93", "term term")
LLessEqual = _operator("LLessEqual", b"\x92\x94", "term term")
LGreaterEqual = _operator("LGreaterEqual", b"\x92\x95", "term term")
LEqual = _operator("LEqual", b"\x93", "term term")
LGreater = _operator("LGreater", b"\x94", "term term")
LLess = _operator("LLess", b"\x95", "term term")
ToBuffer = _operator("ToBuffer", b"\x96", "term target")
ToDecimalString = _operator("ToDecimalString", b"\x97", "term target")
ToHexString = _operator("ToHexString", b"\x98", "term target")
ToInteger = _operator("ToInteger", b"\x99", "term target")
ToString = _operator("ToString", b"\x9c", "term term target")
CopyObject = _operator("CopyObject", b"\x9d", "term super")
Mid = _operator("Mid", b"\x9e", "term term term target")
Continue = _operator("Continue", b"\x9f", "")
Noop = _operator("Noop", b"\xa3", "")
Return = _operator("Return", b"\xa4", "term")
Break = _operator("Break", b"\xa5", "")
CondRefOf = _operator("CondRefOf", EXT_OP + b"\x12", "super target")
CreateField = _operator("CreateField", EXT_OP + b"\x13", "term term term name")
Stall = _operator("Stall", EXT_OP + b"\x21", "term")
Sleep = _operator("Sleep", EXT_OP + b"\x22", "term")
Release = _operator("Release", EXT_OP + b"\x27", "super")
Timer = _operator("Timer", EXT_OP + b"\x33", "")
_acquire = _operator("Acquire", EXT_OP + b"\x23", "super word")


def Acquire(mutex: Node | str, timeout_ms: int = NO_TIMEOUT) -> Operator:
    """Take a mutex; 0xFFFF milliseconds means to wait for ever."""
    return _acquire(mutex, timeout_ms)


class Call(Node):
    """A method call: its name and as many arguments as the method declares (AML does not repeat the count)."""

    def __init__(self, method: str, *arguments: Term) -> None:
        self.data = name_string(method) + b"".join(map(term, arguments))

    def encode(self) -> bytes:
        return self.data


class Block(Node):
    """An opcode, a package length, a head, and a list of terms."""

    def __init__(self, opcode: bytes, head: bytes, contents: tuple[Body, ...]) -> None:
        inside = head + body(contents)
        self.data = opcode + package_length(len(inside)) + inside

    def encode(self) -> bytes:
        return self.data


class If(Block):
    def __init__(self, predicate: Term, *then: Body) -> None:
        super().__init__(b"\xa0", term(predicate), then)


class Else(Block):
    """Stands directly behind its `If`."""

    def __init__(self, *otherwise: Body) -> None:
        super().__init__(b"\xa1", b"", otherwise)


class While(Block):
    def __init__(self, predicate: Term, *loop: Body) -> None:
        super().__init__(b"\xa2", term(predicate), loop)
