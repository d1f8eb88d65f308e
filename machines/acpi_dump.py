"""`numachine acpi dump`: the ACPI tables of a machine, as its guest would find them at power-on.

The DSDT is printed as ASL, other tables field by field.  Not here: RSDP, RSDT and XSDT, which hold nothing but addresses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import takewhile

from acpi.aml.asl import asl
from acpi.build import fadt, secondary_tables
from acpi.dsdt import SIGNATURE, dsdt
from acpi.packed import Record, layout
from acpi.platform import Platform
from acpi.tables import HEADER_LENGTH, Table
from emu.cli.machines import find_machine
from emu.cli.main import show
from emu.cli.options import OptionError
from emu.cli.parser import parse

USAGE = """usage: numachine acpi dump [TABLE...] [OPTIONS]

Prints the ACPI tables of the machine that OPTIONS (those of `numachine run`) describe; with names, such as DSDT APIC, only those."""
FIELD_COLUMN = 28


def main(arguments: Sequence[str]) -> int:
    """`acpi` of the front door.  Returns the exit status; raises USER_ERRORS of emu.cli.main."""
    command, *rest = arguments or ["-h"]
    if command in ("-h", "--help"):
        show(USAGE)
        return 0
    if command != "dump":
        raise OptionError(f"unknown command 'acpi {command}': there is 'acpi dump'")
    names = list(takewhile(lambda text: not text.startswith("-"), rest))
    tables = printed(platform_of(rest[len(names) :]))
    unknown = [name for name in names if name.upper() not in tables]
    if unknown:
        raise OptionError(f"this machine has no table {unknown[0]}: it has {', '.join(tables)}")
    show("\n\n".join(tables[name.upper()] for name in names or tables))
    return 0


def platform_of(arguments: Sequence[str]) -> Platform:
    """What the tables of such a machine are made from.  Raises USER_ERRORS."""
    options = parse(arguments)
    options.start_paused = True  # nothing needs to be there to boot
    with closing(find_machine(options.machine).load().from_options(options, [])) as machine:
        machine.firmware_setup()
        return machine.platform()


def printed(platform: Platform) -> dict[str, str]:
    """Signature -> text, in the order of the RSDT."""
    tables = [fadt(platform), *secondary_tables(platform)]
    return {SIGNATURE.decode(): asl(dsdt(platform)).rstrip()} | {t.signature.decode(): table_text(t) for t in tables}


def table_text(table: Table) -> str:
    """A table's fields and entries, one a line."""
    size = HEADER_LENGTH + table.size() + len(table.tail())
    lines = [f"{table.signature.decode()}, revision {table.revision}, {size} bytes"]
    lines += [f"    {name:<{FIELD_COLUMN}}{text}" for name, text in fields_of(table)]
    lines += [f"    {record_text(entry)}" for entry in getattr(table, "entries", [])]
    lines += [f"    {'distances':<{FIELD_COLUMN}}{row}" for row in getattr(table, "distances", [])]
    return "\n".join(lines)


def record_text(record: Record) -> str:
    return f"{type(record).__name__}: {', '.join(f'{name} {text}' for name, text in fields_of(record))}"


def fields_of(record: Record) -> Iterator[tuple[str, str]]:
    """Names and values of all but reserved fields."""
    for name, width in layout(type(record)):
        if not name.startswith("reserved"):
            yield name, value_text(getattr(record, name), width)


def value_text(value: int | bytes | Record, width: int) -> str:
    if isinstance(value, Record):
        return record_text(value)
    return value.hex(" ") if isinstance(value, bytes) else f"0x{int(value):0{2 * width}X}"
