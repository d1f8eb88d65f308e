"""`numachine acpi dump` prints the tables of the machine that the options describe."""

from __future__ import annotations

import pytest

from acpi.dsdt import dsdt
from emu.cli.main import numachine
from machines.acpi_dump import platform_of
from tests.acpi.acpica import compile_asl, needs_acpica


def dump(capsys, *arguments: str) -> str:
    assert numachine(["acpi", "dump", *arguments]) == 0
    return capsys.readouterr().out


def test_every_table_is_there_in_order(capsys):
    text = dump(capsys, "-M", "q35")
    heads = [line.split(",")[0] for line in text.splitlines() if line[:1].isupper() and line.endswith("bytes")]
    assert text.startswith('DefinitionBlock ("", "DSDT"')
    assert heads == ["FACP", "APIC", "HPET", "MCFG", "WAET"]


def test_only_the_named_tables_are_printed(capsys):
    text = dump(capsys, "apic", "-M", "pc", "-smp", "2,maxcpus=3")
    assert text.startswith("APIC, 136 bytes")
    assert [line.split()[-1] for line in text.splitlines() if "LocalApic:" in line] == [
        "0x00000001", "0x00000001", "0x00000000",
    ]  # fmt: skip


@needs_acpica
@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_the_printed_dsdt_is_the_machines(machine, capsys, tmp_path):
    options = ["-M", machine, "-smp", "1,maxcpus=4"]
    again = compile_asl(dump(capsys, "DSDT", *options), tmp_path)
    assert again[36:] == dsdt(platform_of(options))[36:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dump", "MCFG", "-M", "pc"], "this machine has no table MCFG: it has DSDT, FACP, APIC, HPET, WAET"),
        (["dump", "-M", "nope"], "unsupported machine type 'nope'"),
        (["dump", "-M", "none"], "this machine, 'none', has no ACPI tables"),
        (["dump", "-M", "q35,acpi=off"], "has no ACPI tables"),
        (["frob"], "unknown command 'acpi frob': there is 'acpi dump'"),
    ],
)
def test_what_makes_no_sense_is_one_line(arguments, message, capsys):
    assert numachine(["acpi", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_help_is_help(capsys):
    assert numachine(["acpi", "-h"]) == 0
    assert "usage: numachine acpi dump" in capsys.readouterr().out
