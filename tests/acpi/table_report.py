"""What a failed comparison of two ACPI tables says: AML as ASL, other tables by their fields, only where they differ."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Any

from acpi.aml.errors import AmlError
from acpi.table_text import hex_rows, table_text
from acpi.tables import HEADER_LENGTH

CONTEXT = 1


def explain(op: str, left: Any, right: Any) -> list[str] | None:
    """Lines for pytest, or None if these are not two tables that should be equal."""
    if op != "==" or not (is_table(left) and is_table(right)):
        return None
    names = [f"{table[:4].decode()} of {len(table)} bytes" for table in (left, right)]
    lines = difference(source(left), source(right))
    if not lines:  # what ASL does not show, such as how a length is encoded
        lines = difference(list(hex_rows(left)), list(hex_rows(right)))
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
    try:
        return table_text(bytes(table)).splitlines()
    except AmlError as error:
        return [f"AML that cannot be read: {error}", *hex_rows(table)]
