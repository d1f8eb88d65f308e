"""Named objects, scopes, data objects and fields of AML (ACPI 6.4, sections 20.2.2, 20.2.3 and 20.2.5.1 to 20.2.5.2)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from enum import IntEnum

from .encoding import (
    Body,
    Node,
    Raw,
    Ref,
    Term,
    body,
    integer,
    name_segment,
    name_string,
    package_length,
    raw_package_length,
    term,
)
from .opcodes import BY_NAME
from .terms import Block

MAX_METHOD_ARGUMENTS = 7
MAX_PACKAGE_ELEMENTS = 0xFF


class RegionSpace(IntEnum):
    SystemMemory = 0
    SystemIO = 1
    PCI_Config = 2


class AccessType(IntEnum):
    AnyAcc = 0
    ByteAcc = 1
    WordAcc = 2
    DWordAcc = 3
    QWordAcc = 4
    BufferAcc = 5


class LockRule(IntEnum):
    NoLock = 0
    Lock = 1 << 4


class UpdateRule(IntEnum):
    Preserve = 0 << 5
    WriteAsOnes = 1 << 5
    WriteAsZeros = 2 << 5


class Serialize(IntEnum):
    NotSerialized = 0
    Serialized = 1 << 3


SystemMemory, SystemIO, PCI_Config = RegionSpace
AnyAcc, ByteAcc, WordAcc, DWordAcc, QWordAcc, BufferAcc = AccessType
NoLock, Lock = LockRule
Preserve, WriteAsOnes, WriteAsZeros = UpdateRule
NotSerialized, Serialized = Serialize


def _code(opcode: str) -> bytes:
    return BY_NAME[opcode].encoded


class Table(Node):
    """The body of a definition block: what follows the 36-byte header."""

    def __init__(self, *contents: Body) -> None:
        self.data = body(contents)

    def encode(self) -> bytes:
        return self.data


class Scope(Block):
    def __init__(self, path: str, *contents: Body) -> None:
        super().__init__("Scope", name_string(path), contents)


class Device(Block):
    def __init__(self, name: str, *contents: Body) -> None:
        super().__init__("Device", name_string(name), contents)


class Processor(Block):
    """The processor object of ACPI 1 to 5: `uid` has one byte."""

    def __init__(self, name: str, uid: int, pblk_address: int, pblk_length: int, *contents: Body) -> None:
        head = name_string(name) + bytes([uid]) + pblk_address.to_bytes(4, "little") + bytes([pblk_length])
        super().__init__("Processor", head, contents)


class Method(Block):
    def __init__(self, name: str, arguments: int, serialize: Serialize, *statements: Body) -> None:
        if not 0 <= arguments <= MAX_METHOD_ARGUMENTS:
            raise ValueError(f"method {name} has {arguments} arguments: AML allows 0 to {MAX_METHOD_ARGUMENTS}")
        super().__init__("Method", name_string(name) + bytes([arguments | serialize]), statements)


def Name(name: str, value: Term) -> Raw:
    return Raw(_code("Name") + name_string(name) + term(value))


def External(name: str, object_type: int = 0, arguments: int = 0) -> Raw:
    """A forward declaration for disassemblers; types as returned by ObjectType (8 is a method)."""
    return Raw(_code("External") + name_string(name) + bytes([object_type, arguments]))


def Mutex(name: str, sync_level: int = 0) -> Raw:
    return Raw(_code("Mutex") + name_string(name) + bytes([sync_level]))


def OperationRegion(name: str, space: RegionSpace, offset: Term, length: Term) -> Raw:
    return Raw(_code("OperationRegion") + name_string(name) + bytes([space]) + term(offset) + term(length))


class Buffer(Node):
    def __init__(self, data: bytes) -> None:
        self.data = bytes(data)

    def encode(self) -> bytes:
        inside = integer(len(self.data)) + self.data
        return _code("Buffer") + package_length(len(inside)) + inside


def VarBuffer(size: Term) -> Raw:
    """A zeroed buffer whose size is known at run time only."""
    inside = term(size)
    return Raw(_code("Buffer") + package_length(len(inside)) + inside)


class Package(Node):
    """Elements are terms; a `Ref` stays a reference.  `count` reserves more elements than are given."""

    def __init__(self, *elements: Term, count: int | None = None) -> None:
        self.elements = elements
        self.count = len(elements) if count is None else count
        if not len(elements) <= self.count <= MAX_PACKAGE_ELEMENTS:
            raise ValueError(f"package of {self.count} elements: AML allows {MAX_PACKAGE_ELEMENTS}; use VarPackage")

    def encode(self) -> bytes:
        inside = bytes([self.count]) + body(self.elements)
        return _code("Package") + package_length(len(inside)) + inside


class VarPackage(Node):
    """A package whose element count is a term: computed, or above 255."""

    def __init__(self, count: Term, *elements: Term) -> None:
        self.inside = term(count) + body(elements)

    def encode(self) -> bytes:
        return _code("VarPackage") + package_length(len(self.inside)) + self.inside


def EisaId(text: str) -> Raw:
    """`PNP0A03` packed into a 32-bit integer: three letters of five bits and four hex digits, in big-endian order."""
    if not re.fullmatch(r"[A-Z]{3}[0-9A-F]{4}", text):
        raise ValueError(f"{text!r} is no EISA id: expected three capitals and four hex digits, such as PNP0A03")
    packed = int(text[3:], 16)
    for place, letter in enumerate(reversed(text[:3])):
        packed |= (ord(letter) & 0x1F) << (16 + 5 * place)
    return Raw(integer(int.from_bytes(packed.to_bytes(4, "big"), "little")))


def ToUuid(text: str) -> Buffer:
    """ASL's ToUUID: 16 bytes in the mixed-endian order that _DSM and _OSC compare."""
    return Buffer(uuid.UUID(text).bytes_le)


class Reserved:
    """Bits of a field that have no name."""

    def __init__(self, bits: int) -> None:
        self.bits = bits


class Offset:
    """Skip to this byte of the region."""

    def __init__(self, byte: int) -> None:
        self.byte = byte


FieldElement = tuple[str, int] | Reserved | Offset


def _field_list(elements: Iterable[FieldElement]) -> bytes:
    out, position = b"", 0
    for element in elements:
        if isinstance(element, tuple):
            name, bits = element
            out += name_segment(name)
        else:
            bits = element.bits if isinstance(element, Reserved) else 8 * element.byte - position
            out += b"\x00"
        if bits < 0:
            raise ValueError(f"field offset goes back by {-bits} bits from bit {position}")
        out += raw_package_length(bits)
        position += bits
    return out


def Field(region: str, access: AccessType, lock: LockRule, update: UpdateRule, *elements: FieldElement) -> Raw:
    """Named bits of a region: `("CPEN", 1)`, `Reserved(bits)` and `Offset(byte)` in address order."""
    inside = name_string(region) + bytes([access | lock | update]) + _field_list(elements)
    return Raw(_code("Field") + package_length(len(inside)) + inside)


def IndexField(
    index: str, data: str, access: AccessType, lock: LockRule, update: UpdateRule, *elements: FieldElement
) -> Raw:
    inside = name_string(index) + name_string(data) + bytes([access | lock | update]) + _field_list(elements)
    return Raw(_code("IndexField") + package_length(len(inside)) + inside)


def BankField(
    region: str, bank: str, value: Term, access: AccessType, lock: LockRule, update: UpdateRule, *elements: FieldElement
) -> Raw:
    inside = name_string(region) + name_string(bank) + term(value) + bytes([access | lock | update])
    inside += _field_list(elements)
    return Raw(_code("BankField") + package_length(len(inside)) + inside)


def refs(names: str) -> tuple[Ref, ...]:
    """References to several objects at once: `CSEL, CDAT = refs("CSEL CDAT")`."""
    return tuple(Ref(name) for name in names.split())
