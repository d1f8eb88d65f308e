"""AML prints as the ASL that people write (ACPI 6.5, chapter 19), and compiles back to the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from acpi.aml import (
    IO,
    Acquire,
    Add,
    Arg0,
    Buffer,
    Call,
    CondRefOf,
    CreateDWordField,
    Device,
    Divide,
    DWordAcc,
    EisaId,
    Else,
    Field,
    If,
    Increment,
    Index,
    IRQNoFlags,
    LAnd,
    LEqual,
    LNot,
    LNotEqual,
    Local0,
    Local1,
    Lock,
    Match,
    Method,
    Mutex,
    Name,
    Not,
    Notify,
    NotSerialized,
    Offset,
    OperationRegion,
    Or,
    Package,
    Processor,
    Reserved,
    ResourceTemplate,
    Return,
    Serialized,
    Store,
    Subtract,
    SystemIO,
    ToHexString,
    ToUuid,
    VarPackage,
    While,
    WordBusNumber,
    WriteAsZeros,
)  # fmt: skip
from acpi.aml.asl import asl, headline, statements
from acpi.aml.asl_resources import resource_template
from acpi.aml.parser import parse
from acpi.dsdt import dsdt
from tests.acpi.acpica import compile_asl, needs_acpica
from tests.acpi.aml_bench import table
from tests.acpi.boards import platform


def source(*contents) -> str:
    return statements(parse(table(*contents)).terms)


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        (Store(1, Local0), "Local0 = One"),
        (Add(Local0, 2, Local1), "Local1 = (Local0 + 0x02)"),
        (Add(Local0, 2, Local0), "Local0 += 0x02"),
        (Store(Add(Local0, 2), Local1), "Store ((Local0 + 0x02), Local1)"),
        (Store(LEqual(Local0, 2), Local1), "Local1 = (Local0 == 0x02)"),
        (Subtract(Local0, Or(Local1, 0x100), Local0), "Local0 -= (Local1 | 0x0100)"),
        (Not(Local0, Local1), "Local1 = ~Local0"),
        (Divide(Local0, 3, None, Local1), "Local1 = (Local0 / 0x03)"),
        (Divide(Local0, 3, Local1), "Divide (Local0, 0x03, Local1)"),
        (Increment(Local0), "Local0++"),
        (Store(5, Index(Local0, 1)), "Local0 [One] = 0x05"),
        (Index(Local0, 1, Local1), "Local1 = Local0 [One]"),
        (Store("say \"so\"", Local0), 'Local0 = "say \\"so\\""'),
        (ToHexString(Local0, Local1), "ToHexString (Local0, Local1)"),
        (Notify("\\_SB", 0x80), "Notify (\\_SB, 0x80)"),
        (Acquire("LOCK"), "Acquire (LOCK, 0xFFFF)"),
        (CreateDWordField(Local0, 4, "DWRD"), "CreateDWordField (Local0, 0x04, DWRD)"),
        (CondRefOf("\\_OSI"), "CondRefOf (\\_OSI)"),
        (Call("\\_OSI", "Linux"), '\\_OSI ("Linux")'),
        (Return(LAnd(LNot(Local0), LNotEqual(Local1, 0xFFFFFFFF))), "Return ((!Local0 && (Local1 != 0xFFFFFFFF)))"),
        (Return(Match(Local0, 1, 5, 0, 0, 0)), "Return (Match (Local0, MEQ, 0x05, MTR, Zero, Zero))"),
    ],
)  # fmt: skip
def test_statements_use_symbols_where_these_mean_the_same(statement, text):
    assert source(Method("MAIN", 0, NotSerialized, Mutex("LOCK"), statement)).split("\n")[3].strip() == text


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (Name("_HID", EisaId("PNP0A03")), 'Name (_HID, EisaId ("PNP0A03"))'),
        (Name("VALU", 0x123456789), "Name (VALU, 0x0000000123456789)"),
        (Name("UUID", ToUuid("33db4d5b-1ff7-401c-9657-7441c03dd766")), 'Name (UUID, ToUUID ("33db4d5b-1ff7-401c-9657-7441c03dd766"))'),
        (Name("PACK", Package(1, count=3)), "Name (PACK, Package (0x03)\n{\n    One\n})"),
        (Name("PACK", VarPackage(300)), "Name (PACK, Package (0x012C) {})"),
        (Name("BUFF", Buffer(b"")), "Name (BUFF, Buffer (Zero) {})"),
        (Name("BUFF", Buffer(b"Hi\0")), "Name (BUFF, Buffer (0x03)\n{\n    /* 0000 */  0x48, 0x69, 0x00                                // Hi.\n})"),
        (OperationRegion("REGN", SystemIO, 0xAF00, 12), "OperationRegion (REGN, SystemIO, 0xAF00, 0x0C)"),
        (Method("FUNC", 2, Serialized), "Method (FUNC, 2, Serialized)\n{\n}"),
        (Processor("C000", 5, 0, 0), "Processor (C000, 0x05, 0x00000000, 0x00)\n{\n}"),
        (Mutex("LOCK", 3), "Mutex (LOCK, 0x03)"),
        (Device("DEV1", Name("_UID", 0)), "Device (DEV1)\n{\n    Name (_UID, Zero)\n}"),
    ],
)  # fmt: skip
def test_objects_print_as_their_declarations(node, text):
    assert source(node) == text


def test_fields_show_offsets_at_whole_bytes_and_gaps_elsewhere():
    region = OperationRegion("REGN", SystemIO, 0, 16)
    text = source(
        region,
        Field("REGN", DWordAcc, Lock, WriteAsZeros, ("AAAA", 3), Reserved(2), ("BB", 3), Offset(4), ("CCCC", 32)),
    )
    assert text.split("\n")[1:] == [
        "Field (REGN, DWordAcc, Lock, WriteAsZeros)", "{",
        "    AAAA,   3, ", "    ,       2, ", "    BB,     3, ", "    Offset (0x04), ", "    CCCC,   32", "}",
    ]  # fmt: skip


def test_branches_chain():
    body = [If(LEqual(Arg0, 1), Return(1)), Else(If(LEqual(Arg0, 2), Return(2)), Else(Return(3)))]
    lines = [line.strip() for line in source(Method("MAIN", 1, NotSerialized, body)).split("\n")]
    assert [line for line in lines if line.startswith(("If", "Else"))] == [
        "If ((Arg0 == One))",
        "ElseIf ((Arg0 == 0x02))",
        "Else",
    ]


def test_a_headline_is_a_statement_without_what_is_in_its_braces():
    terms = parse(table(While(LEqual(1, 1), Store(1, Local0)), Method("MAIN", 0, NotSerialized))).terms
    assert [headline(term) for term in terms] == ["While ((One == One))", "Method (MAIN, 0, NotSerialized)"]


def test_resources_print_as_descriptors():
    template = ResourceTemplate(IRQNoFlags(5), IO(0x10, 0x10, 1, 8), WordBusNumber(0, 0xFF))
    text = resource_template(template.data)
    assert [line.strip() for line in text.split("\n") if "(" in line] == [
        "ResourceTemplate ()",
        "IRQNoFlags ()",
        "IO (Decode16,",
        "WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,",
    ]
    assert "0x00FF,             // Range Maximum" in text


@pytest.mark.parametrize(
    "data", [b"\x79\x00", b"\x22\x20\x00\x79\x55", b"\x8e\x01\x00\x00\x79\x00", b"\x47\x01\x79\x00", b"\x30\x79\x00"]
)
def test_bytes_that_asl_cannot_say_as_resources_stay_bytes(data):
    assert resource_template(data) is None


# ---------------------------------------------------------------- and back


PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.asl"))
VARIANTS = {
    "plain": {},
    "legacy": {"legacy_cpu_hotplug": True},
    "smi": {"smi_cpu_hotplug": True, "smi_cpu_hotunplug": True},
    "pci": {"pci_hotplug": True},
    "more": {"suspend_to_ram": True, "serial_ports": 4, "parallel_ports": 2},
}


def assert_comes_back(original: bytes, directory) -> None:
    assert compile_asl(asl(original), directory)[36:] == original[36:]


@needs_acpica
@pytest.mark.parametrize("possible", [1, 4, 64, 255])
def test_our_tables_compile_back(chipset, possible, tmp_path):
    assert_comes_back(dsdt(platform(chipset, possible)), tmp_path)


@needs_acpica
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_compiles_back(chipset, variant, tmp_path):
    assert_comes_back(dsdt(platform(chipset, 4, **VARIANTS[variant])), tmp_path)


@needs_acpica
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_what_the_compiler_makes_comes_back(program, tmp_path):
    first = compile_asl(f'DefinitionBlock ("", "DSDT", 2, "TEST", "TEST", 1) {{\n{program.read_text()}\n}}', tmp_path)
    text = asl(first)
    assert compile_asl(text, tmp_path) == first, text
