"""A failed comparison of tables is readable: it names the statement that differs, not bytes."""

from __future__ import annotations

from acpi.aml import Buffer, Method, NotSerialized, Raw, Return, Scope, Table
from acpi.build import madt
from acpi.platform import ICH9
from acpi.table_text import table_text
from acpi.tables import Oem, with_header
from tests.acpi.boards import platform
from tests.acpi.table_report import explain


def table(*contents) -> bytes:
    return with_header(b"DSDT", 1, Table(*contents).encode(), Oem())


def test_two_definition_blocks_differ_in_asl():
    one, other = (table(Scope("\\_SB", Method("GIVE", 0, NotSerialized, Return(n)))) for n in (3, 4))
    assert explain("==", one, other) == [
        "DSDT of 53 bytes == DSDT of 53 bytes",
        "in Scope (\\_SB) Method (GIVE, 0, NotSerialized):",
        "          {",
        "-             Return (0x03)",
        "+             Return (0x04)",
        "          }",
    ]


def test_tables_that_read_alike_differ_in_bytes():
    short, long = Raw(b"\x10\x05ABC_"), Raw(b"\x10\x46\x00ABC_")
    report = explain("==", table(Scope("\\", short)), table(Scope("\\", long)))
    assert any("10 05 41 42 43 5f" in line for line in report)


def test_data_tables_differ_in_fields():
    report = explain("==", *(madt(platform(ICH9, present=n)).to_bytes() for n in (1, 2)))
    assert report[0] == "APIC of 144 bytes == APIC of 144 bytes"
    assert "-     LocalApic: acpi_processor_uid 0x01, apic_id 0x01, flags 0x00000000" in report
    assert "+     LocalApic: acpi_processor_uid 0x01, apic_id 0x01, flags 0x00000001" in report


def test_aml_that_cannot_be_read_is_said_to_be_so():
    report = explain("==", table(Raw(b"\x5b\xee")), table(Buffer(b"x")))
    assert any("unknown opcode 5BEEh at offset 0x24" in line for line in report)


def test_other_comparisons_are_left_alone():
    assert explain("==", b"abc", table()) is None
    assert explain("!=", table(), table()) is None
    assert explain("==", 1, 2) is None


def test_what_is_not_known_is_shown_as_bytes():
    strange = with_header(b"APIC", 1, bytes(8) + bytes.fromhex("4d 05 01 02 03"), Oem())
    assert table_text(strange).splitlines()[-1] == "    type 77: 01 02 03"
    assert table_text(with_header(b"OEM1", 1, b"abc", Oem())).splitlines()[-1] == "    0024  61 62 63"


def test_a_structure_without_a_length_does_not_hang():
    assert table_text(with_header(b"APIC", 1, bytes(8) + bytes(2), Oem())).splitlines()[-1].startswith("    LocalApic:")
