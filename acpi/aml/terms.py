"""Statements, operators, locals and arguments of AML (ACPI 6.4, section 20.2.5.3 to 20.2.6), under their ASL names.

Opcodes and operands are those of opcodes.py.  Not here: Load, LoadTable, Unload, Revision.
"""

from __future__ import annotations

from collections.abc import Callable

from .encoding import Body, Node, Raw, Term, body, name_string, package_length, target, term
from .opcodes import BY_NAME

NO_TIMEOUT = 0xFFFF


def _constant(width: int) -> Callable[[int], bytes]:
    return lambda value: value.to_bytes(width, "little")


# kinds of operands in opcodes.py
_ENCODERS: dict[str, Callable[..., bytes]] = {
    "term": term,
    "target": target,
    "super": target,
    "name": name_string,
    "byte": _constant(1),
    "word": _constant(2),
    "dword": _constant(4),
}


class Operator(Node):
    """An opcode followed by its operands."""

    def __init__(self, opcode: bytes, shape: tuple[str, ...], operands: tuple[Term | None, ...]) -> None:
        self.data = opcode + b"".join(_ENCODERS[kind](value) for kind, value in zip(shape, operands))

    def encode(self) -> bytes:
        return self.data


def _operator(name: str) -> Callable[..., Operator]:
    """A constructor for an opcode; trailing targets may be left out."""
    return _constructor(name, BY_NAME[name].encoded, BY_NAME[name].operands)


def _negation(name: str, of: str) -> Callable[..., Operator]:
    """A comparison that AML writes as the opposite of another."""
    return _constructor(name, BY_NAME["LNot"].encoded + BY_NAME[of].encoded, BY_NAME[of].operands)


def _constructor(name: str, opcode: bytes, kinds: tuple[str, ...]) -> Callable[..., Operator]:
    required = len(kinds) - kinds.count("target")

    def construct(*operands: Term | None) -> Operator:
        if not required <= len(operands) <= len(kinds):
            raise TypeError(f"{name} takes {' '.join(kinds) or 'no operands'}, got {len(operands)} operands")
        return Operator(opcode, kinds, operands + (None,) * (len(kinds) - len(operands)))

    construct.__name__ = construct.__qualname__ = name
    return construct


def _fixed(name: str) -> Raw:
    return Raw(BY_NAME[name].encoded)


Zero, One, Ones, Debug = (_fixed(name) for name in ("Zero", "One", "Ones", "Debug"))
Local0, Local1, Local2, Local3, Local4, Local5, Local6, Local7 = (_fixed(f"Local{n}") for n in range(8))
Arg0, Arg1, Arg2, Arg3, Arg4, Arg5, Arg6 = (_fixed(f"Arg{n}") for n in range(7))

Alias = _operator("Alias")
Store = _operator("Store")
RefOf = _operator("RefOf")
Add = _operator("Add")
Concatenate = _operator("Concatenate")
Subtract = _operator("Subtract")
Increment = _operator("Increment")
Decrement = _operator("Decrement")
Multiply = _operator("Multiply")
Divide = _operator("Divide")
ShiftLeft = _operator("ShiftLeft")
ShiftRight = _operator("ShiftRight")
And = _operator("And")
Nand = _operator("Nand")
Or = _operator("Or")
Nor = _operator("Nor")
Xor = _operator("Xor")
Not = _operator("Not")
FindSetLeftBit = _operator("FindSetLeftBit")
FindSetRightBit = _operator("FindSetRightBit")
DerefOf = _operator("DerefOf")
ConcatenateResTemplate = _operator("ConcatenateResTemplate")
Mod = _operator("Mod")
Notify = _operator("Notify")
SizeOf = _operator("SizeOf")
Index = _operator("Index")
CreateDWordField = _operator("CreateDWordField")
CreateWordField = _operator("CreateWordField")
CreateByteField = _operator("CreateByteField")
CreateBitField = _operator("CreateBitField")
ObjectType = _operator("ObjectType")
CreateQWordField = _operator("CreateQWordField")
LAnd = _operator("LAnd")
LOr = _operator("LOr")
LNot = _operator("LNot")
LNotEqual = _negation("LNotEqual", of="LEqual")
LLessEqual = _negation("LLessEqual", of="LGreater")
LGreaterEqual = _negation("LGreaterEqual", of="LLess")
LEqual = _operator("LEqual")
LGreater = _operator("LGreater")
LLess = _operator("LLess")
ToBuffer = _operator("ToBuffer")
ToDecimalString = _operator("ToDecimalString")
ToHexString = _operator("ToHexString")
ToInteger = _operator("ToInteger")
ToString = _operator("ToString")
CopyObject = _operator("CopyObject")
Mid = _operator("Mid")
Continue = _operator("Continue")
Noop = _operator("Noop")
Return = _operator("Return")
Break = _operator("Break")
CondRefOf = _operator("CondRefOf")
CreateField = _operator("CreateField")
Stall = _operator("Stall")
Sleep = _operator("Sleep")
Release = _operator("Release")
Timer = _operator("Timer")
Match = _operator("Match")
FromBCD = _operator("FromBCD")
ToBCD = _operator("ToBCD")
Fatal = _operator("Fatal")
Event = _operator("Event")
Signal = _operator("Signal")
Wait = _operator("Wait")
Reset = _operator("Reset")
_acquire = _operator("Acquire")


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

    def __init__(self, opcode: str, head: bytes, contents: tuple[Body, ...]) -> None:
        inside = head + body(contents)
        self.data = BY_NAME[opcode].encoded + package_length(len(inside)) + inside

    def encode(self) -> bytes:
        return self.data


class If(Block):
    def __init__(self, predicate: Term, *then: Body) -> None:
        super().__init__("If", term(predicate), then)


class Else(Block):
    """Stands directly behind its `If`."""

    def __init__(self, *otherwise: Body) -> None:
        super().__init__("Else", b"", otherwise)


class While(Block):
    def __init__(self, predicate: Term, *loop: Body) -> None:
        super().__init__("While", term(predicate), loop)
