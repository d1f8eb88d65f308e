"""Packed little-endian records, described by their annotations.

    @dataclass(kw_only=True)
    class IoApic(Record):
        io_apic_id: u8
        reserved: u8 = 0
        io_apic_address: u32

Fields are integers of 1, 2, 4 or 8 bytes, byte strings of a fixed length, or other records; there is no padding.
A field without a width (a table's list of entries) is left to its owner.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, get_args, get_origin, get_type_hints

u8 = Annotated[int, 1]
u16 = Annotated[int, 2]
u32 = Annotated[int, 4]
u64 = Annotated[int, 8]
Bytes3 = Annotated[bytes, 3]
Bytes4 = Annotated[bytes, 4]
Bytes6 = Annotated[bytes, 6]
Bytes8 = Annotated[bytes, 8]


@dataclass(kw_only=True)
class Record:
    """A fixed sequence of fields."""

    def pack(self) -> bytes:
        """The bytes of all fields in order; ValueError names the field that does not fit."""
        return b"".join(_pack(self, name, width) for name, width in layout(type(self)))

    @classmethod
    def offset_of(cls, field: str) -> int:
        """Where `field` starts, in bytes."""
        offset = 0
        for name, width in layout(cls):
            if name == field:
                return offset
            offset += width
        raise AttributeError(f"{cls.__name__} has no field {field!r}")

    @classmethod
    def size(cls) -> int:
        return sum(width for _, width in layout(cls))


def layout(record: type[Record]) -> tuple[tuple[str, int], ...]:
    """(name, width in bytes) of every field, in order."""
    hints = get_type_hints(record, include_extras=True)
    widths = ((field.name, _width(hints[field.name])) for field in fields(record))
    return tuple((name, width) for name, width in widths if width > 0)


def _width(hint: Any) -> int:
    if isinstance(hint, type) and issubclass(hint, Record):
        return hint.size()
    return int(get_args(hint)[1]) if get_origin(hint) is Annotated else 0


def _pack(record: Record, name: str, width: int) -> bytes:
    value = getattr(record, name)
    if isinstance(value, Record):
        return value.pack()
    if isinstance(value, bytes) and len(value) == width:
        return value
    if isinstance(value, int) and 0 <= value < 1 << 8 * width:
        return value.to_bytes(width, "little")
    raise ValueError(f"{type(record).__name__}.{name} is {value!r}: expected something that fills {width} bytes")
