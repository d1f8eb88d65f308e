"""`numachine acpi dump`: the ACPI tables of a machine, as its guest would find them at power-on.

The DSDT is printed as ASL, other tables field by field.  Not here: RSDP, RSDT and XSDT, which hold nothing but addresses.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from itertools import takewhile

from acpi.build import fadt, secondary_tables
from acpi.dsdt import dsdt
from acpi.platform import Platform
from acpi.table_text import table_text
from emu.cli.machines import find_machine
from emu.cli.main import show
from emu.cli.options import OptionError
from emu.cli.parser import parse

USAGE = """usage: numachine acpi dump [TABLE...] [OPTIONS]

Prints the ACPI tables of the machine that OPTIONS (those of `numachine run`) describe; with names, such as DSDT APIC, only those."""


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
    machine_class = find_machine(options.machine).load()
    if not options.acpi or not hasattr(machine_class, "platform"):
        raise OptionError(f"this machine, '{options.machine}', has no ACPI tables")
    with closing(machine_class.from_options(options, [])) as machine:
        machine.firmware_setup()
        return machine.platform()


def printed(platform: Platform) -> dict[str, str]:
    """Signature -> text, the DSDT first, then in the order of the RSDT."""
    others = [table.to_bytes(platform.oem) for table in (fadt(platform), *secondary_tables(platform))]
    return {table[:4].decode(): table_text(table) for table in (dsdt(platform), *others)}
