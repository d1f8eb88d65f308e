"""AML to a tree of terms (ACPI 6.5, section 20.2).

AML does not say how many arguments a call has, so names come first: one pass over the table declares every named object
and how many arguments each method takes; only if a term outside methods called something declared behind it is there a
second pass.  The bodies of methods are parsed when somebody looks at them.
Not here: what the terms mean (evaluator.py), how they look (asl.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Union

from ..tables import HEADER_LENGTH, Header
from .encoding import DUAL_NAME_PREFIX, MULTI_NAME_PREFIX, NAME_SEGMENT_LENGTH, NULL_NAME
from .errors import AmlError, UnknownOpcode
from .names import Path, absolute, candidates, shown
from .opcodes import BY_CODE, CALL, EXTENDED, NAME, ObjectType, Opcode

AML_SIGNATURES = ("DSDT", "SSDT", "PSDT")
REVISION_AT = Header.offset_of("revision")
ARGUMENT_COUNT = 7  # bits of a method's flags
NAME_CHARACTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789")
NAME_STARTS = NAME_CHARACTERS - frozenset(b"0123456789") | frozenset(b"\\^" + DUAL_NAME_PREFIX + MULTI_NAME_PREFIX)
DUAL_NAME, MULTI_NAME = DUAL_NAME_PREFIX[0], MULTI_NAME_PREFIX[0]
NUL = 0
WIDTHS = {"byte": 1, "word": 2, "dword": 4, "qword": 8}
NO_METHOD = -1
DECLARING = {
    "Name", "Mutex", "Event", "OperationRegion", "DataTableRegion", "Device", "Processor", "PowerResource", "ThermalZone",
    "CreateBitField", "CreateByteField", "CreateWordField", "CreateDWordField", "CreateQWordField", "CreateField",
}  # fmt: skip
# what a field list is made of besides names
RESERVED_FIELD, ACCESS_FIELD, CONNECT_FIELD, EXTENDED_ACCESS_FIELD = range(4)

Operand = Union["Term", int, str, None]  # noqa: UP007 (recursive)


@dataclass(frozen=True, slots=True)
class FieldEntry:
    """A named or, without a name, reserved part of a field; or a change of access type (`access` is its two or three bytes)."""

    name: str | None
    bits: int
    access: tuple[int, ...] | None = None
    connection: Term | None = None


class Term:
    """An opcode with its operands.  `at` is its offset in the table; `body` the list of a package."""

    __slots__ = ("_body", "args", "at", "compute", "op", "otherwise")

    def __init__(self, op: Opcode, args: tuple[Any, ...], at: int, body: Any = None) -> None:
        self.op, self.args, self.at = op, args, at
        self._body = body
        self.otherwise: Term | None = None  # the Else of an If
        self.compute: Any = None  # what dispatch.py knows about running it

    @property
    def body(self) -> Any:
        """Terms, field entries, or the bytes of a buffer.  Raises AmlError if a method is malformed."""
        if callable(self._body):
            try:
                self._body = self._body()
            except RecursionError:
                raise AmlError(f"{self.args[0]}: terms nest too deeply to be read") from None
        return self._body

    @property
    def name(self) -> str:
        return self.op.name

    def __repr__(self) -> str:
        return f"<{self.op.name} at {self.at:#x} {list(self.args)}>"


class Declarations:
    """Which paths are known, and how many arguments the methods among them take; NO_METHOD for what is none."""

    def __init__(self) -> None:
        self.arities: dict[Path, int] = {("_OSI",): 1}
        self.aliases: dict[Path, tuple[str, Path]] = {}

    def copy(self) -> Declarations:
        other = Declarations()
        other.arities, other.aliases = dict(self.arities), dict(self.aliases)
        return other

    def declare(self, path: Path, arity: int = NO_METHOD) -> None:
        self.arities[path] = arity

    def arity(self, name: str, scope: Path) -> int | None:
        """Arguments that a use of `name` in `scope` takes; None if it is unknown."""
        for path in candidates(name, scope):
            if path in self.aliases:
                return self._arity_of_alias(path)
            if path in self.arities:
                return self.arities[path]
        return None

    def _arity_of_alias(self, path: Path) -> int | None:
        source = self.aliases.pop(path)  # an alias of itself finds nothing
        arity = self.arity(*source)
        self.aliases[path] = source
        return arity


@dataclass(frozen=True)
class ParsedTable:
    """A definition block: its terms and what it declares."""

    signature: str
    revision: int
    terms: list[Term]
    declarations: Declarations

    @property
    def integer_bits(self) -> int:
        """A DSDT of revision 1 makes integers of 32 bits, section 19.6.29."""
        return 32 if self.revision < 2 else 64


@lru_cache(maxsize=32)
def _parse_alone(table: bytes) -> ParsedTable:
    return parse(table, Declarations())


def parse(table: bytes, known: Declarations | None = None) -> ParsedTable:
    """A whole table, header included.  `known` are the declarations of tables that were loaded before; they are extended.

    Raises AmlError with the offset of what cannot be read.
    """
    if known is None:
        return _parse_alone(bytes(table))
    signature, end = check_header(table)
    try:
        terms = _both_passes(table, end, known, signature)
    except RecursionError:
        raise AmlError(f"the terms of {signature} nest too deeply to be read") from None
    return ParsedTable(signature, table[REVISION_AT], terms, known)


def _both_passes(table: bytes, end: int, known: Declarations, signature: str) -> list[Term]:
    first = Parser(table, end, known, signature, tolerant=True)
    terms = first.terms(HEADER_LENGTH, end, ())
    if first.again():
        terms = Parser(table, end, known, signature).terms(HEADER_LENGTH, end, ())
    return terms


def check_header(table: bytes) -> tuple[str, int]:
    """Signature and length of a table.  Raises AmlError if they make no sense."""
    if len(table) < HEADER_LENGTH:
        raise AmlError(f"a table of {len(table)} bytes: expected at least a header of {HEADER_LENGTH}")
    signature, length = table[:4].decode("latin-1"), int.from_bytes(table[4:8], "little")
    if signature not in AML_SIGNATURES:
        raise AmlError(f"table {signature!r} has no AML: expected {', '.join(AML_SIGNATURES)}")
    if not HEADER_LENGTH <= length <= len(table):
        raise AmlError(f"the header of {signature} says {length} bytes, {len(table)} are there")
    return signature, length


class Parser:
    """A position in a table, and what reads from there.  A `tolerant` one skips what it cannot read yet."""

    def __init__(
        self, data: bytes, end: int, known: Declarations, table: str = "table", *, tolerant: bool = False
    ) -> None:
        self.data, self.at, self.end = data, HEADER_LENGTH, end
        self.known, self.table, self.tolerant = known, table, tolerant
        self.failed = False
        self.guessed: list[tuple[str, Path]] = []
        self.scope: Path = ()

    def again(self) -> bool:
        """Whether a second pass may read what this one did not."""
        return self.failed or any(self.known.arity(*name) not in (None, NO_METHOD) for name in self.guessed)

    # ------------------------------------------------------------ errors and bytes

    @property
    def where(self) -> str:
        return f"of {self.table}" + (f", in {shown(self.scope)}" if self.scope else "")

    def fail(self, text: str, at: int | None = None) -> AmlError:
        return AmlError(f"{text} at offset {self.at if at is None else at:#x} {self.where}")

    def byte(self) -> int:
        if self.at >= self.end:
            raise self.fail("the AML ends in the middle of a term")
        self.at += 1
        return self.data[self.at - 1]

    def number(self, width: int) -> int:
        if self.at + width > self.end:
            raise self.fail("the AML ends in the middle of a number")
        self.at += width
        return int.from_bytes(self.data[self.at - width : self.at], "little")

    def string(self) -> str:
        end = self.data.find(NUL, self.at, self.end)
        if end < 0:
            raise self.fail("a string without its end")
        text, self.at = self.data[self.at : end].decode("latin-1"), end + 1
        return text

    def packed_length(self) -> int:
        """A PkgLength, section 20.2.4."""
        first = self.byte()
        extra = first >> 6
        return first & 0xF | self.number(extra) << 4 if extra else first

    def package_end(self) -> int:
        start = self.at
        end = start + self.packed_length()
        if not self.at <= end <= self.end:
            raise self.fail(f"a package of {end - start} bytes does not fit where it is", start)
        return end

    def name_string(self) -> str:
        start, prefix = self.at, ""
        while self.data[self.at : self.at + 1] in (b"\\", b"^"):
            prefix += chr(self.byte())
        lead = self.byte()
        if lead == NUL:
            return prefix
        if lead not in (DUAL_NAME, MULTI_NAME):
            self.at -= 1
        count = 2 if lead == DUAL_NAME else self.byte() if lead == MULTI_NAME else 1
        raw = self.data[self.at : self.at + NAME_SEGMENT_LENGTH * count]
        if self.at + len(raw) > self.end or len(raw) < NAME_SEGMENT_LENGTH * count or not _valid(raw):
            raise self.fail(f"{raw[:NAME_SEGMENT_LENGTH]!r} is no name", start)
        self.at += len(raw)
        text = raw.decode("ascii")
        return prefix + ".".join(text[n : n + NAME_SEGMENT_LENGTH] for n in range(0, len(text), NAME_SEGMENT_LENGTH))

    # ------------------------------------------------------------ terms

    def terms(self, start: int, end: int, scope: Path) -> list[Term]:
        """What is between two offsets, as a list of terms."""
        outer, self.at, self.end, self.scope = (self.end, self.scope), start, end, scope
        found: list[Term] = []
        try:
            while self.at < end:
                self._append(found, self.term())
        except AmlError:
            if not self.tolerant:
                raise
            self.failed = True
        self.at, (self.end, self.scope) = end, outer
        return found

    def _append(self, found: list[Term], term: Term) -> None:
        if term.name != "Else":
            found.append(term)
        elif found and found[-1].name == "If" and not found[-1].otherwise:
            found[-1].otherwise = term
        else:
            raise self.fail("Else without an If", term.at)

    def term(self) -> Term:
        at = self.at
        lead = self.byte()
        if lead in NAME_STARTS:
            self.at = at
            return self.name_or_call()
        code = lead << 8 | self.byte() if lead == EXTENDED else lead
        op = BY_CODE.get(code)
        if op is None:
            raise UnknownOpcode(code, at, self.where)
        return self.package(op, at) if op.package else Term(op, self.operands(op), at)

    def operands(self, op: Opcode) -> tuple[Operand, ...]:
        values = tuple([self.operand(kind) for kind in op.operands])
        self.declare(op, values)
        return values

    def operand(self, kind: str) -> Operand:
        if kind == "term":
            return self.term()
        if kind in WIDTHS:
            return self.number(WIDTHS[kind])
        if kind in ("super", "target"):
            return self.super_name(kind)
        return self.name_string() if kind == "name" else self.string()

    def super_name(self, kind: str) -> Term | None:
        at = self.at
        if kind == "target" and self.data[at : at + 1] == NULL_NAME:
            self.at += 1
            return None
        if at < self.end and self.data[at] in NAME_STARTS:
            return Term(NAME, (self.name_string(),), at)
        return self.term()

    def name_or_call(self) -> Term:
        at = self.at
        name = self.name_string()
        arity = self.known.arity(name, self.scope)
        if arity is None:
            self.guessed.append((name, self.scope))
        if arity in (None, NO_METHOD):
            return Term(NAME, (name,), at)
        return Term(CALL, (name, *[self.term() for _ in range(arity)]), at)

    # ------------------------------------------------------------ packages

    def package(self, op: Opcode, at: int) -> Term:
        end, outer = self.package_end(), self.end
        self.end = end
        args = tuple([self.operand(kind) for kind in op.operands[:-1]])
        self.declare(op, args)
        body = self.READERS[op.operands[-1]](self, op, args, self.at, end)
        self.at, self.end = end, outer
        return Term(op, args, at, body)

    def term_body(self, op: Opcode, args: tuple[Operand, ...], start: int, end: int) -> Any:
        scope = self.scope
        if op.operands[0] == "name":
            scope = absolute(str(args[0]), scope)
        if op.name != "Method":
            return self.terms(start, end, scope)
        return lambda: Parser(self.data, end, self.known, self.table).terms(start, end, scope)

    def bytes_body(self, op: Opcode, args: tuple[Operand, ...], start: int, end: int) -> bytes:
        return bytes(self.data[start:end])

    def elements_body(self, op: Opcode, args: tuple[Operand, ...], start: int, end: int) -> list[Term]:
        """Names are references here, not calls."""
        found = []
        while self.at < end:
            at = self.at
            named = self.data[at] in NAME_STARTS
            found.append(Term(NAME, (self.name_string(),), at) if named else self.term())
        return found

    def fields_body(self, op: Opcode, args: tuple[Operand, ...], start: int, end: int) -> list[FieldEntry]:
        found = []
        while self.at < end:
            entry = self.field_entry()
            if entry.name:
                self.known.declare((*self.scope, entry.name))
            found.append(entry)
        return found

    def field_entry(self) -> FieldEntry:
        lead = self.data[self.at]
        if lead > EXTENDED_ACCESS_FIELD:
            name = self.name_string()
            return FieldEntry(name, self.packed_length())
        self.at += 1
        if lead == RESERVED_FIELD:
            return FieldEntry(None, self.packed_length())
        if lead == CONNECT_FIELD:
            return FieldEntry(None, 0, connection=self.term())
        return FieldEntry(None, 0, access=tuple(self.byte() for _ in range(2 if lead == ACCESS_FIELD else 3)))

    READERS: dict[str, Callable[..., Any]] = {
        "terms": term_body,
        "bytes": bytes_body,
        "elements": elements_body,
        "fields": fields_body,
    }

    # ------------------------------------------------------------ declarations

    def declare(self, op: Opcode, args: tuple[Any, ...]) -> None:
        if op.name == "External":
            path = absolute(args[0], self.scope)
            self.known.arities.setdefault(path, args[2] if args[1] == ObjectType.METHOD else NO_METHOD)
        elif op.name == "Method":
            self.known.declare(absolute(args[0], self.scope), args[1] & ARGUMENT_COUNT)
        elif op.name == "Alias":
            self.known.aliases[absolute(args[1], self.scope)] = (args[0], self.scope)
        elif op.name in DECLARING:
            self.known.declare(absolute(args[op.operands.index("name")], self.scope))


def _valid(raw: bytes) -> bool:
    return all(c in NAME_CHARACTERS and (n % NAME_SEGMENT_LENGTH or c in NAME_STARTS) for n, c in enumerate(raw))
