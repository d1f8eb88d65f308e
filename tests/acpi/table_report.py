"""What a failed comparison of two ACPI tables says: AML as ASL, other tables as rows of bytes, only where they differ."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Any

from acpi.aml.asl import asl
from acpi.aml.errors import AmlError

HEADER_LENGTH = 36
BYTES_A_ROW = 16
AML_TABLES = (b"DSDT", b"SSDT")
CONTEXT = 1


def explain(op: str, left: Any, right: Any) -> list[str] | None:
    """Lines for pytest, or None if these are not two tables that should be equal."""
    if op != "==" or not (is_table(left) and is_table(right)):
        return None
    names = [f"{table[:4].decode()} of {len(table)} bytes" for table in (left, right)]
    lines = difference(source(left), source(right))
    if not lines:  # what ASL does not show, such as how a length is encoded
        lines = difference(rows(left), rows(right))
    return [" == ".join(names), *lines]


def difference(left: list[str], right: list[str]) -> list[str]:
    """Hunks of `-` and `+` lines, each behind the braces that it is in."""
    lines = []
    for hunk in SequenceMatcher(None, left, right).get_grouped_opcodes(CONTEXT):
        changed = next(a for tag, a, *_ in hunk if tag != "equal")
        lines.append(f"in {' '.join(enclosing(left, changed)) or 'the table'}:")
        for tag, a, b, c, d in hunk:
            lines += [f"  {line}" for line in left[a:b] if tag == "equal"]
            lines += [f"- {line}" for line in left[a:b] if tag != "equal"]
            lines += [f"+ {line}" for line in right[c:d] if tag != "equal"]
    return lines


def enclosing(lines: list[str], at: int) -> list[str]:
    """The heads of the blocks around a line of ASL, outer ones first."""
    heads: list[str] = []
    depth = len(lines[at]) - len(lines[at].lstrip()) if at < len(lines) else 0
    for line in reversed(lines[:at]):
        indent = len(line) - len(line.lstrip())
        if line.strip(" {") and indent < depth:
            depth = indent
            heads.insert(0, line.strip())
    return heads[1:]


def is_table(value: Any) -> bool:
    """Bytes whose header says as many as they are."""
    return (
        isinstance(value, (bytes, bytearray))
        and len(value) >= HEADER_LENGTH
        and value[:4].isalpha()
        and int.from_bytes(value[4:8], "little") == len(value)
    )


def source(table: bytes) -> list[str]:
    if table[:4] not in AML_TABLES:
        return rows(table)
    try:
        return asl(bytes(table)).splitlines()
    except AmlError as error:
        return [f"AML that cannot be read: {error}", *rows(table)]


def rows(table: bytes) -> list[str]:
    parts = (table[at : at + BYTES_A_ROW] for at in range(0, len(table), BYTES_A_ROW))
    return [f"{n * BYTES_A_ROW:04x}  {part.hex(' ')}" for n, part in enumerate(parts)]
