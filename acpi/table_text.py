"""ACPI tables as text: definition blocks as ASL, those of tables.py, madt.py and srat.py field by field, others in hexadecimal.

Works on bytes, whoever made them; what a table has behind its known fields is shown as rows of bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_type_hints

from .aml.asl import asl
from .aml.parser import AML_SIGNATURES
from .madt import Entry, IoApic, InterruptSourceOverride, LocalApic, LocalApicNmi, LocalX2Apic, LocalX2ApicNmi, Madt
from .packed import Record, layout
from .srat import MemoryAffinity, ProcessorAffinity, Srat, X2ApicAffinity
from .tables import HEADER_LENGTH, FadtV1, FadtV3, Header, Hpet, Mcfg, Table, Waet

NAME_COLUMN = 28
BYTES_A_ROW = 16
TYPE_AND_LENGTH = 2
TABLES: dict[bytes, type[Table]] = {cls.signature: cls for cls in (Madt, Srat, Hpet, Mcfg, Waet)}
ENTRIES: dict[bytes, tuple[type[Entry], ...]] = {
    Madt.signature: (LocalApic, IoApic, InterruptSourceOverride, LocalApicNmi, LocalX2Apic, LocalX2ApicNmi),
    Srat.signature: (ProcessorAffinity, MemoryAffinity, X2ApicAffinity),
}


def table_text(table: bytes) -> str:
    """The table in lines.  Raises AmlError if it has AML that cannot be read."""
    if table[:4].decode("latin-1") in AML_SIGNATURES:
        return asl(table).rstrip()
    return "\n".join([f"{table[:4].decode('latin-1')}, {len(table)} bytes", *(f"    {line}" for line in _lines(table))])


def _lines(table: bytes) -> Iterator[str]:
    signature, at = table[:4], HEADER_LENGTH
    yield from _fields(Header, table, 0)
    record = _class_of(table)
    if record:
        yield from _fields(record, table, at)
        at += record.size()
    if signature in ENTRIES:
        yield from _entries(signature, table[at:])
    else:
        yield from hex_rows(table[at:], at)


def _class_of(table: bytes) -> type[Table] | None:
    if table[:4] == FadtV1.signature:
        return FadtV3 if len(table) >= HEADER_LENGTH + FadtV3.size() else FadtV1
    return TABLES.get(table[:4])


def _entries(signature: bytes, data: bytes) -> Iterator[str]:
    """Structures that begin with their type and length."""
    known = {cls.entry_type: cls for cls in ENTRIES[signature]}
    while data:
        kind, length = data[0], max(int.from_bytes(data[1:2], "little"), TYPE_AND_LENGTH)
        contents, data = data[TYPE_AND_LENGTH:length], data[length:]
        record = known.get(kind)
        yield f"{record.__name__}: {_inline(record, contents)}" if record else f"type {kind}: {contents.hex(' ')}"


def _fields(record: type[Record], data: bytes, at: int) -> Iterator[str]:
    for name, text in _values(record, data[at:]):
        yield f"{name:<{NAME_COLUMN}}{text}"


def _inline(record: type[Record], data: bytes) -> str:
    return ", ".join(f"{name} {text}" for name, text in _values(record, data))


def _values(record: type[Record], data: bytes) -> Iterator[tuple[str, str]]:
    """Names and values of all fields."""
    hints, at = get_type_hints(record), 0
    for name, width in layout(record):
        raw, hint = data[at : at + width], hints[name]
        at += width
        if issubclass(hint, Record):
            yield name, _inline(hint, raw)
        elif issubclass(hint, bytes):
            yield name, f'"{raw.decode("latin-1")}"' if raw.isalnum() or raw.strip().isalnum() else raw.hex(" ")
        else:
            yield name, f"0x{int.from_bytes(raw, 'little'):0{2 * width}X}"


def hex_rows(data: bytes, at: int = 0) -> Iterator[str]:
    """Sixteen bytes a line, with the offset of the first."""
    for start in range(0, len(data), BYTES_A_ROW):
        yield f"{at + start:04x}  {data[start : start + BYTES_A_ROW].hex(' ')}"
