"""What names, locals and operands hold when AML runs (ACPI 6.5, section 19.3.5).

Integers are `int`, strings `str`, buffers `bytearray`; the rest has a class here.  `None` is an object without a value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .names import Path, shown
from .opcodes import ObjectType
from .parser import Term


class Package(list[Any]):
    """Elements are values, references, or None."""

    type = ObjectType.PACKAGE


class Node:
    """A place in the namespace and the object that is there."""

    __slots__ = ("object", "path")

    def __init__(self, path: Path, object: Any) -> None:
        self.path, self.object = path, object

    @property
    def name(self) -> str:
        """The last segment, as people write it."""
        return shown(self.path[-1:])[1:]

    def __str__(self) -> str:
        return shown(self.path)

    def __repr__(self) -> str:
        return f"<{self}>"


@dataclass(frozen=True, slots=True)
class Container:
    """Device, processor, power resource, thermal zone or plain scope; the numbers are those of its declaration."""

    type: ObjectType
    numbers: tuple[int, ...] = ()


@dataclass(slots=True)
class Method:
    term: Term
    arguments: int
    mutex: Mutex | None  # held while a serialized method runs
    type = ObjectType.METHOD


@dataclass(slots=True)
class Mutex:
    """Owner is the run that holds it, as often as `depth` says."""

    owner: object = None
    depth: int = 0
    type = ObjectType.MUTEX


@dataclass(slots=True)
class Event:
    signals: int = 0
    type = ObjectType.EVENT


@dataclass(slots=True)
class Region:
    """Part of an address space, in bytes."""

    space: int
    base: int
    length: int
    type = ObjectType.OPERATION_REGION


@dataclass(slots=True)
class FieldUnit:
    """Bits of a region; `bit` and `bits` count from the region's start, `access` is the unit of an access in bytes.

    `region` is the region; for an IndexField `index` and `data` are the two registers instead; for a BankField
    `bank` has to be `bank_value`.
    """

    name: str
    bit: int
    bits: int
    access: int
    update: int
    region: Node | None = None
    index: Node | None = None
    data: Node | None = None
    bank: Node | None = None
    bank_value: int = 0
    type = ObjectType.FIELD_UNIT


@dataclass(slots=True)
class BufferField:
    """Bits of a buffer; those of CreateField are a buffer themselves however few they are."""

    buffer: bytearray
    bit: int
    bits: int
    as_buffer: bool = False
    type = ObjectType.BUFFER_FIELD


@dataclass(slots=True)
class Lazy:
    """A declaration outside methods: evaluated when it is first used, since it may name what comes later."""

    term: Term
    scope: Path


class Reference:
    """Something that can be looked through with DerefOf and, unless it comes from Index, is written through an argument."""


@dataclass(frozen=True, slots=True, eq=False)
class NodeReference(Reference):
    node: Node

    def __str__(self) -> str:
        return str(self.node)


@dataclass(frozen=True, slots=True, eq=False)
class SlotReference(Reference):
    """A local or an argument of a method that runs."""

    slots: list[Any]
    number: int


@dataclass(frozen=True, slots=True, eq=False)
class ElementReference(Reference):
    """Element of a package, byte of a buffer or, with `home` to write it back to, of a string."""

    container: Package | bytearray | str
    number: int
    home: Reference | None = None


@dataclass(slots=True, eq=False)
class Frame:
    """A method that runs, or the top of a table; `run` is the evaluation that it is part of."""

    run: Any
    scope: Path = ()
    method: Node | None = None
    depth: int = 0
    args: list[Any] = field(default_factory=lambda: [None] * 7)
    locals: list[Any] = field(default_factory=lambda: [None] * 8)
    created: list[Node] = field(default_factory=list)

    @property
    def where(self) -> str:
        return shown(self.scope)


def type_of(value: Any) -> ObjectType:
    """The type of a value or of what a node holds."""
    if isinstance(value, Node):
        value = value.object
    for kind, number in ((int, 1), (str, 2), (bytearray, 3)):
        if isinstance(value, kind):
            return ObjectType(number)
    return getattr(value, "type", ObjectType.UNINITIALIZED)


def copied(value: Any) -> Any:
    """What a store puts down: buffers and packages are copied, in depth."""
    if isinstance(value, bytearray):
        return bytearray(value)
    if isinstance(value, Package):
        return Package(copied(element) for element in value)
    return value


def described(value: Any) -> str:
    """A value for a line of trace."""
    if isinstance(value, int):
        return f"{value:#x}" if value > 9 else str(value)
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, (bytearray, bytes)):
        return f"{{{value.hex(' ')}}}"
    if isinstance(value, Package):
        return "{" + ", ".join(map(described, value)) + "}"
    return "nothing" if value is None else str(value)
