"""AML byte encodings: package lengths, names and integers (ACPI 6.4, sections 20.2.1 to 20.2.4).

Every construct of the tree is a `Node`; a Python `int` stands for an integer constant and a Python `str` for a
string literal wherever a term is expected, and for a name where only a name may stand, as in ASL.
Not here: Unicode strings, and references to objects by anything but their name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Union

NAME_SEGMENT_LENGTH = 4
MAX_PACKAGE_LENGTH = (1 << 28) - 1
_LEAD = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_NAME_CHARACTERS = _LEAD | frozenset("0123456789")

NULL_NAME = b"\x00"
DUAL_NAME_PREFIX = b"\x2e"
MULTI_NAME_PREFIX = b"\x2f"

ZERO_OP = b"\x00"
ONE_OP = b"\x01"
STRING_PREFIX = b"\x0d"
#                  (width in bytes, prefix)
INTEGER_PREFIXES = ((1, b"\x0a"), (2, b"\x0b"), (4, b"\x0c"), (8, b"\x0e"))


class Node:
    """One construct of AML."""

    def encode(self) -> bytes:
        raise NotImplementedError

    __bytes__ = encode

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.encode().hex()}>"


Term = Node | int | str
Body = Union[Term, None, Iterable["Body"]]  # noqa: UP007 (recursive)


class Raw(Node):
    """Bytes that are AML already."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def encode(self) -> bytes:
        return self.data


class Ref(Node):
    """A named object used as a term or a target: `Ref("\\\\_SB.PCI0")`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._encoded = name_string(path)

    def encode(self) -> bytes:
        return self._encoded


def package_length(body_length: int) -> bytes:
    """The PkgLength of a package whose contents take `body_length` bytes; it counts its own bytes too."""
    for size in range(1, 5):
        if fits_package_length(body_length + size, size):
            return raw_package_length(body_length + size, size)
    raise ValueError(
        f"AML package of {body_length} bytes is too long: the format ends at {MAX_PACKAGE_LENGTH} bytes; "
        "split it in several scopes"
    )


def fits_package_length(value: int, size: int) -> bool:
    return value < 1 << 6 if size == 1 else value < 1 << (4 + 8 * (size - 1))


def raw_package_length(value: int, size: int | None = None) -> bytes:
    """`value` in PkgLength form, in the fewest bytes unless `size` is given (field widths count no bytes of their own)."""
    if size is None:
        size = next((n for n in range(1, 5) if fits_package_length(value, n)), 0)
    if not 1 <= size <= 4:
        raise ValueError(f"{value} does not fit a PkgLength: at most {MAX_PACKAGE_LENGTH}")
    if size == 1:
        return bytes([value])
    return bytes([(size - 1) << 6 | value & 0xF]) + (value >> 4).to_bytes(size - 1, "little")


def name_segment(name: str) -> bytes:
    """Four bytes: a short name is filled up with underscores."""
    if not 1 <= len(name) <= NAME_SEGMENT_LENGTH or name[0] not in _LEAD or not _NAME_CHARACTERS.issuperset(name):
        raise ValueError(f"{name!r} is no AML name: expected 1 to 4 of A-Z, 0-9 and _, not starting with a digit")
    return name.ljust(NAME_SEGMENT_LENGTH, "_").encode("ascii")


def name_string(path: str) -> bytes:
    """A path such as `\\\\_SB.PCI0`, `^PRES` or `CPEN`; the lone root `\\\\` is allowed."""
    tail = path.lstrip("\\^")
    prefix = path[: len(path) - len(tail)]
    if prefix not in ("", "\\") and set(prefix) != {"^"}:
        raise ValueError(f"{path!r} is no AML path: it may start with one \\ or with any number of ^")
    return prefix.encode("ascii") + _segments(tail)


def _segments(tail: str) -> bytes:
    segments = [name_segment(s) for s in tail.split(".")] if tail else []
    if not segments:
        return NULL_NAME
    if len(segments) == 1:
        return segments[0]
    if len(segments) == 2:
        return DUAL_NAME_PREFIX + b"".join(segments)
    return MULTI_NAME_PREFIX + bytes([len(segments)]) + b"".join(segments)


def integer(value: int) -> bytes:
    """The shortest constant: ZeroOp, OneOp, or a prefix with 1, 2, 4 or 8 bytes."""
    if value < 0 or value >> 64:
        raise ValueError(f"{value:#x} is no AML integer: expected 0 to 2**64 - 1")
    if value < 2:
        return ONE_OP if value else ZERO_OP
    return next(
        prefix + value.to_bytes(width, "little") for width, prefix in INTEGER_PREFIXES if value >> 8 * width == 0
    )


def string(text: str) -> bytes:
    if "\0" in text or not text.isascii():
        raise ValueError(f"{text!r} is no AML string: expected ASCII without NUL")
    return STRING_PREFIX + text.encode("ascii") + b"\0"


def term(value: Term) -> bytes:
    """A term: a node, an integer constant or a string literal."""
    if isinstance(value, Node):
        return value.encode()
    if isinstance(value, int):
        return integer(value)
    if isinstance(value, str):
        return string(value)
    raise TypeError(f"{value!r} is no AML term: expected a node, an int or a str")


def target(value: Node | str | None) -> bytes:
    """Where a result goes: a node, a name, or nowhere."""
    if value is None:
        return NULL_NAME
    return name_string(value) if isinstance(value, str) else value.encode()


def body(items: Iterable[Body]) -> bytes:
    """A list of terms; nested lists are flattened and `None` leaves nothing, so that parts may be optional."""
    out = bytearray()
    for item in items:
        if item is None:
            continue
        if isinstance(item, (Node, int, str)):
            out += term(item)
        else:
            out += body(item)
    return bytes(out)
