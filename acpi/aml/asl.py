"""AML as ASL source, in the manner of ACPICA's disassembler (ACPI 6.5, chapter 19): `asl(table)`.

Compiled again without optimisation, the source gives the same AML.  Operators are symbols where that holds, calls where it
does not: `Store ((A + B), C)` is not `C = (A + B)`, which is one opcode less.
Not here: names for the bytes of resource templates, comments on well-known names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import IntEnum

from ..packed import layout
from ..tables import Header
from .asl_resources import resource_template
from .errors import AmlError
from .names import short
from .objects import AccessType, LockRule, RegionSpace, UpdateRule
from .opcodes import ObjectType
from .parser import ARGUMENT_COUNT, Declarations, FieldEntry, Term, parse

INDENT = "    "
BYTES_A_LINE = 8
UUID_LENGTH = 16
BINARY = {
    "Add": "+", "Subtract": "-", "Multiply": "*", "Divide": "/", "Mod": "%", "ShiftLeft": "<<", "ShiftRight": ">>",
    "And": "&", "Or": "|", "Xor": "^", "LAnd": "&&", "LOr": "||", "LEqual": "==", "LGreater": ">", "LLess": "<",
}  # fmt: skip
NEGATED = {"LEqual": "!=", "LGreater": "<=", "LLess": ">="}
UNARY = {"Not": "~", "LNot": "!"}
# `X = ...` of these is the opcode with X as its target
TAKES_ASSIGNMENT = {name for name in BINARY if not name.startswith("L")} | {"Not", "Index"}
DIGITS = {"ByteConst": 2, "WordConst": 4, "DWordConst": 8, "QWordConst": 16}
OPERAND_DIGITS = {"byte": 2, "word": 4, "dword": 8}
MatchTest = IntEnum("MatchTest", "MTR MEQ MLE MLT MGE MGT", start=0)
EXTERNAL_TYPES = {
    ObjectType.UNINITIALIZED: "UnknownObj", ObjectType.INTEGER: "IntObj", ObjectType.STRING: "StrObj",
    ObjectType.BUFFER: "BuffObj", ObjectType.PACKAGE: "PkgObj", ObjectType.FIELD_UNIT: "FieldUnitObj",
    ObjectType.DEVICE: "DeviceObj", ObjectType.EVENT: "EventObj", ObjectType.METHOD: "MethodObj",
    ObjectType.MUTEX: "MutexObj", ObjectType.OPERATION_REGION: "OpRegionObj", ObjectType.POWER_RESOURCE: "PowerResObj",
    ObjectType.PROCESSOR: "ProcessorObj", ObjectType.THERMAL_ZONE: "ThermalZoneObj", ObjectType.BUFFER_FIELD: "BuffFieldObj",
}  # fmt: skip
REGION_SPACES = {number: RegionSpace(number).name for number in RegionSpace} | {
    3: "EmbeddedControl", 4: "SMBus", 5: "SystemCMOS", 6: "PciBarTarget", 7: "IPMI", 8: "GeneralPurposeIo",
    9: "GenericSerialBus", 10: "PCC",
}  # fmt: skip
EISA_NAMES = ("_HID", "_CID")


def asl(table: bytes, *others: bytes) -> str:
    """The source of a definition block; `others` have the methods that it calls besides its own.

    Raises AmlError if it cannot be read.
    """
    known = Declarations() if others else None
    for other in others:
        parse(other, known)
    parsed = parse(table, known)
    oem, model = (_header_field(table, name).decode("latin-1").rstrip("\0") for name in ("oem_id", "oem_table_id"))
    revision = int.from_bytes(_header_field(table, "oem_revision"), "little")
    head = f'DefinitionBlock ("", "{parsed.signature}", {parsed.revision}, "{oem}", "{model}", 0x{revision:08X})'
    try:
        return head + _block(parsed.terms) + "\n"
    except RecursionError:
        raise AmlError(f"the terms of {parsed.signature} nest too deeply to be printed") from None


def _header_field(table: bytes, name: str) -> bytes:
    start = Header.offset_of(name)
    return table[start : start + dict(layout(Header))[name]]


# ---------------------------------------------------------------- statements


def statements(terms: Iterable[Term]) -> str:
    """One after the other, with an empty line behind what has a body."""
    text = ""
    for term in terms:
        if text:
            text += "\n\n" if text.endswith("}") else "\n"
        text += statement(term)
    return text


def headline(term: Term) -> str:
    """A statement in one line, without what is in its braces."""
    if term.op.operands[-1:] == ("terms",):
        term = Term(term.op, term.args, term.at, [])
    return statement(term).split("\n", 1)[0]


def _block(terms: Iterable[Term]) -> str:
    inside = statements(terms)
    return "\n{\n" + _indented(inside) + "\n}" if inside else "\n{\n}"


def _indented(text: str) -> str:
    return "\n".join(INDENT + line if line else line for line in text.split("\n"))


def statement(term: Term) -> str:
    """A term where it stands alone: assignments are written as such."""
    name = term.op.name
    if name == "Store":
        value, target = term.args
        if value.op.name not in TAKES_ASSIGNMENT or _symbol(value) is None:
            return f"{expression(target)} = {expression(value)}"
    elif name in ("Increment", "Decrement"):
        return expression(term.args[0]) + ("++" if name == "Increment" else "--")
    elif name in TAKES_ASSIGNMENT and (assigned := _assignment(term)):
        return assigned
    return expression(term)


def _assignment(term: Term) -> str | None:
    """An operator with a target, as `X = (A + B)` or `X += B`."""
    target = term.args[-1]
    symbol = _symbol(term, with_target=True)
    if target is None or symbol is None:
        return None
    left = expression(target)
    if term.op.name in BINARY and expression(term.args[0]) == left:
        return f"{left} {BINARY[term.op.name]}= {expression(term.args[1])}"
    return f"{left} = {symbol}"


# ---------------------------------------------------------------- expressions


def expression(term: Term | None) -> str:
    """A term where a value or a place is wanted."""
    if term is None:
        return ""
    writer = WRITERS.get(term.op.name)
    if writer:
        return writer(term)
    return _symbol(term) or _call(term)


def _symbol(term: Term, with_target: bool = False) -> str | None:
    """An operator in symbols; None if it has none, or stores its result and that is not the caller's business."""
    name, args = term.op.name, term.args
    operands = sum(kind == "term" for kind in term.op.operands)
    targets = args[operands : -1 if with_target else None]
    if any(targets):
        return None
    if name == "LNot" and args[0].op.name in NEGATED:
        left, right = map(expression, args[0].args)
        return f"({left} {NEGATED[args[0].op.name]} {right})"
    if name in BINARY:
        return f"({expression(args[0])} {BINARY[name]} {expression(args[1])})"
    if name in UNARY:
        return UNARY[name] + expression(args[0])
    if name == "Index" and args[0].op.name in INDEXABLE:
        return f"{expression(args[0])} [{expression(args[1])}]"
    return None


INDEXABLE = {"NameString"} | {f"Local{n}" for n in range(8)} | {f"Arg{n}" for n in range(7)}


def _call(term: Term) -> str:
    """The general form: the opcode's name and its operands; targets at the end may be left out."""
    if not term.op.operands:
        return term.op.name
    texts = [_operand(kind, value) for kind, value in zip(term.op.operands, term.args)]
    while texts and not texts[-1]:
        texts.pop()
    return f"{term.op.name} ({', '.join(texts)})"


def _operand(kind: str, value: Term | int | str | None) -> str:
    if isinstance(value, int):
        return f"0x{value:0{OPERAND_DIGITS[kind]}X}"
    return short(value) if isinstance(value, str) else expression(value)


def _with_body(term: Term) -> str:
    """The general form of what has a list of terms behind it."""
    texts = [_operand(kind, value) for kind, value in zip(term.op.operands, term.args)]
    return f"{term.op.name} ({', '.join(texts)}){_block(term.body)}"


# ---------------------------------------------------------------- particular ones


def _constant(term: Term) -> str:
    return f"0x{term.args[0]:0{DIGITS[term.op.name]}X}"


def _string(term: Term) -> str:
    return '"' + "".join(_character(c) for c in term.args[0]) + '"'


def _character(c: str) -> str:
    if c in '"\\':
        return "\\" + c
    return c if " " <= c <= "~" else f"\\x{ord(c):02X}"


def _name_string(term: Term) -> str:
    return short(term.args[0])


def _method_call(term: Term) -> str:
    return f"{short(term.args[0])} ({', '.join(map(expression, term.args[1:]))})"


def _name(term: Term) -> str:
    name, data = term.args
    text = expression(data)
    if name in EISA_NAMES and data.op.name == "DWordConst":
        text = eisa_id(data.args[0]) or text
    return f"Name ({short(name)}, {text})"


def eisa_id(number: int) -> str | None:
    """`EisaId ("PNP0A03")` if the number is one."""
    packed = int.from_bytes(number.to_bytes(4, "little"), "big")
    letters = [packed >> shift & 0x1F for shift in (26, 21, 16)]
    if packed >> 31 or not all(1 <= letter <= 26 for letter in letters):
        return None
    return f'EisaId ("{"".join(chr(0x40 + letter) for letter in letters)}{packed & 0xFFFF:04X}")'


def _method(term: Term) -> str:
    name, flags = term.args
    level = flags >> 4
    serialized = "Serialized" if flags & 8 else "NotSerialized"
    head = f"Method ({short(name)}, {flags & ARGUMENT_COUNT}, {serialized}" + (f", 0x{level:X}" if level else "")
    return head + ")" + _block(term.body)


def _if(term: Term) -> str:
    text = f"If ({expression(term.args[0])}){_block(term.body)}"
    while term.otherwise:
        body = term.otherwise.body
        if len(body) != 1 or body[0].op.name != "If":
            return f"{text}\nElse{_block(body)}"
        term = body[0]
        text += f"\nElseIf ({expression(term.args[0])}){_block(term.body)}"
    return text


def _while(term: Term) -> str:
    return f"While ({expression(term.args[0])}){_block(term.body)}"


def _package(term: Term) -> str:
    count = term.args[0]
    head = f"Package (0x{count:02X})" if isinstance(count, int) else f"Package ({expression(count)})"
    elements = ", \n".join(map(expression, term.body))
    return head + ("\n{\n" + _indented(elements) + "\n}" if elements else " {}")


def _buffer(term: Term) -> str:
    size, data = term.args[0], term.body
    if not data:
        return f"Buffer ({expression(size)}) {{}}"
    if size.op.name in DIGITS and size.args[0] == len(data):
        known = _uuid(data) or resource_template(data)
        if known:
            return known
    lines = [_bytes_line(data, at) for at in range(0, len(data), BYTES_A_LINE)]
    return f"Buffer ({expression(size)})\n{{\n" + _indented("\n".join(lines)) + "\n}"


def _bytes_line(data: bytes, at: int) -> str:
    part = data[at : at + BYTES_A_LINE]
    text = ", ".join(f"0x{byte:02X}" for byte in part) + ("," if at + BYTES_A_LINE < len(data) else "")
    shown = "".join(chr(byte) if 0x20 < byte < 0x7F and byte not in b"*/\\" else "." for byte in part)
    return f"/* {at:04X} */  {text:<{BYTES_A_LINE * 6}}// {shown}"


def _uuid(data: bytes) -> str | None:
    """A buffer of 16 bytes that has a version and a variant where a UUID has them."""
    if len(data) != UUID_LENGTH or not 1 <= data[7] >> 4 <= 5 or data[8] >> 6 != 2:
        return None
    parts = (data[3::-1], data[5:3:-1], data[7:5:-1], data[8:10], data[10:])
    return f'ToUUID ("{"-".join(part.hex() for part in parts)}")'


def _region(term: Term) -> str:
    name, space, base, length = term.args
    where = REGION_SPACES.get(space, f"0x{space:02X}")
    return f"OperationRegion ({short(name)}, {where}, {expression(base)}, {expression(length)})"


def _field(term: Term) -> str:
    where, flags = [_operand(kind, value) for kind, value in zip(term.op.operands, term.args[:-1])], term.args[-1]
    rules = [_named(AccessType, flags & 0xF), _named(LockRule, flags & 0x10), _named(UpdateRule, flags & 0x60)]
    return f"{term.op.name} ({', '.join([*where, *rules])})" + "\n{\n" + _indented(_field_list(term.body)) + "\n}"


def _named(kind: type[IntEnum], value: int) -> str:
    """The name of a number that ASL only knows by name."""
    if value not in kind._value2member_map_:
        raise AmlError(f"{kind.__name__} {value:#x} has no name in ASL")
    return kind(value).name


def _field_list(entries: list[FieldEntry]) -> str:
    lines, bit = [], 0
    for entry in entries:
        bit += entry.bits
        if entry.access:
            attribute = f", 0x{entry.access[1]:02X}" if entry.access[1] else ""
            lines.append(f"AccessAs ({_named(AccessType, entry.access[0] & 0xF)}{attribute})")
        elif entry.connection:
            lines.append(f"Connection ({expression(entry.connection)})")
        elif entry.name:
            lines.append(f"{short(entry.name) + ',':<8}{entry.bits}")
        else:
            lines.append(f"{',':<8}{entry.bits}" if bit % 8 else f"Offset (0x{bit // 8:02X})")
    return ", \n".join(lines)


def _external(term: Term) -> str:
    name, kind, arguments = term.args
    comment = f"    // {arguments} arguments" if kind == ObjectType.METHOD else ""
    return f"External ({short(name)}, {EXTERNAL_TYPES.get(kind, 'UnknownObj')}){comment}"


def _match(term: Term) -> str:
    package, first_test, first, second_test, second, start = term.args
    tests = [f"{_named(MatchTest, test)}, {expression(value)}" for test, value in ((first_test, first), (second_test, second))]
    return f"Match ({expression(package)}, {', '.join(tests)}, {expression(start)})"


def _load(term: Term) -> str:
    return f"Load ({short(term.args[0])}, {expression(term.args[1])})"


WRITERS: dict[str, Callable[[Term], str]] = {
    **dict.fromkeys(DIGITS, _constant),
    **dict.fromkeys(("Scope", "Device", "Processor", "PowerResource", "ThermalZone"), _with_body),
    **dict.fromkeys(("Package", "VarPackage"), _package),
    **dict.fromkeys(("Field", "IndexField", "BankField"), _field),
    "String": _string,
    "NameString": _name_string,
    "MethodCall": _method_call,
    "Name": _name,
    "Method": _method,
    "If": _if,
    "While": _while,
    "Buffer": _buffer,
    "OperationRegion": _region,
    "External": _external,
    "Match": _match,
    "Load": _load,
}
