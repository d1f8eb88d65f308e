"""AML encodings, against bytes worked out from chapter 20 of the specification."""

from __future__ import annotations

import pytest

from acpi.aml import (
    IO,
    Acquire,
    Add,
    Arg0,
    Buffer,
    ByteAcc,
    Call,
    Device,
    Divide,
    EisaId,
    Else,
    External,
    Field,
    If,
    Index,
    Interrupt,
    InterruptFlag,
    IRQNoFlags,
    LEqual,
    LNotEqual,
    Local0,
    Local1,
    Memory32Fixed,
    Method,
    Mutex,
    Name,
    NoLock,
    Notify,
    NotSerialized,
    Offset,
    OperationRegion,
    Package,
    Processor,
    QWordMemory,
    Ref,
    Reserved,
    ResourceTemplate,
    Return,
    Scope,
    Serialized,
    Store,
    SystemIO,
    ToUuid,
    VarPackage,
    While,
    WordIO,
    WriteAsZeros,
)
from acpi.aml.encoding import integer, name_string, package_length, raw_package_length


def hexed(node) -> str:
    return node.encode().hex(" ")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "00"),
        (1, "01"),
        (2, "0a 02"),
        (0xFF, "0a ff"),
        (0x100, "0b 00 01"),
        (0x10000, "0c 00 00 01 00"),
        (1 << 32, "0e 00 00 00 00 01 00 00 00"),
    ],
)
def test_integers_take_their_shortest_form(value, expected):
    assert integer(value).hex(" ") == expected


@pytest.mark.parametrize("value", [-1, 1 << 64])
def test_integers_beyond_64_bits_are_refused(value):
    with pytest.raises(ValueError, match="no AML integer"):
        integer(value)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (0, "01"),
        (62, "3f"),
        (63, "41 04"),
        (4093, "4f ff"),
        (4094, "81 00 01"),
        ((1 << 20) - 4, "8f ff ff"),
        ((1 << 20) - 3, "c1 00 00 01"),
    ],
)
def test_package_length_counts_its_own_bytes(body, expected):
    assert package_length(body).hex(" ") == expected


def test_a_package_of_256_mib_is_refused():
    with pytest.raises(ValueError, match="too long"):
        package_length(1 << 28)


@pytest.mark.parametrize(("bits", "expected"), [(1, "01"), (32, "20"), (63, "3f"), (64, "40 04"), (256, "40 10")])
def test_field_widths_do_not_count_their_own_bytes(bits, expected):
    assert raw_package_length(bits).hex(" ") == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("\\", b"\\\0"),
        ("CPU0", b"CPU0"),
        ("_SB", b"_SB_"),
        ("\\_SB.PCI0", b"\\\x2e_SB_PCI0"),
        ("\\_SB.PCI0.PRES", b"\\\x2f\x03_SB_PCI0PRES"),
        ("^^A", b"^^A___"),
    ],
)
def test_names_are_padded_and_prefixed(path, expected):
    assert name_string(path) == expected


@pytest.mark.parametrize("path", ["TOOLONG", "1ABC", "lower", "A..B", "A.", "\\^A"])
def test_malformed_names_are_refused(path):
    with pytest.raises(ValueError, match="no AML"):
        name_string(path)


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (Name("_HID", EisaId("PNP0A03")), "08 5f 48 49 44 0c 41 d0 0a 03"),
        (Name("_UID", "ab"), "08 5f 55 49 44 0d 61 62 00"),
        (Store(Local0, "CSEL"), "70 60 43 53 45 4c"),
        (Add(Local0, 1), "72 60 01 00"),
        (Add(Local0, 1, Local1), "72 60 01 61"),
        (Divide(Local0, 2, None, Local1), "78 60 0a 02 00 61"),
        (LEqual(Arg0, 0), "93 68 00"),
        (LNotEqual(Arg0, 0), "92 93 68 00"),
        (Index(Ref("CNEW"), Local1), "88 43 4e 45 57 61 00"),
        (Notify("C000", 1), "86 43 30 30 30 01"),
        (Acquire("CPLK"), "5b 23 43 50 4c 4b ff ff"),
        (Mutex("CPLK"), "5b 01 43 50 4c 4b 00"),
        (Call("CSTA", 3), "43 53 54 41 0a 03"),
        (If(1, Return(0)), "a0 04 01 a4 00"),
        (Else(Return(0)), "a1 03 a4 00"),
        (While(1), "a2 02 01"),
        (Method("A", 2, Serialized), "14 06 41 5f 5f 5f 0a"),
        (Device("D", None, [Name("_UID", 0), [None]]), "5b 82 0b 44 5f 5f 5f 08 5f 55 49 44 00"),
        (Scope("\\", Name("A", 1)), "10 09 5c 00 08 41 5f 5f 5f 01"),
        (Processor("C000", 5, 0, 0), "5b 83 0b 43 30 30 30 05 00 00 00 00 00"),
        (OperationRegion("PRST", SystemIO, 0xAF00, 12), "5b 80 50 52 53 54 01 0b 00 af 0a 0c"),
        (Buffer(b"\x07"), "11 03 01 07"),
        (Package(1, "a", Ref("B")), "12 0a 03 01 0d 61 00 42 5f 5f 5f"),
        (Package(count=255), "12 02 ff"),
        (VarPackage(256, 1), "13 05 0b 00 01 01"),
        (External("\\A", 8, 1), "15 5c 41 5f 5f 5f 08 01"),
    ],
)
def test_terms_encode_as_the_grammar_says(node, expected):
    assert hexed(node) == expected


def test_fields_place_names_by_offset():
    field = Field("R", ByteAcc, NoLock, WriteAsZeros, Offset(4), ("AAAA", 1), Reserved(2), Offset(5), ("BBBB", 8))
    assert hexed(field) == "5b 81 16 52 5f 5f 5f 41 00 20 41 41 41 41 01 00 02 00 05 42 42 42 42 08"


def test_a_field_offset_cannot_go_back():
    with pytest.raises(ValueError, match="goes back"):
        Field("R", ByteAcc, NoLock, WriteAsZeros, ("AAAA", 32), Offset(2))


@pytest.mark.parametrize(
    ("descriptor", "expected"),
    [
        (IO(0xAF00, 0xAF00, 1, 12), "47 01 00 af 00 af 01 0c"),
        (IRQNoFlags(1, 12), "22 02 10"),
        (Memory32Fixed(0xFED00000, 0x400), "86 09 00 01 00 00 d0 fe 00 04 00 00"),
        (WordIO(0x0D00, 0xFFFF), "88 0d 00 01 0c 03 00 00 00 0d ff ff 00 00 00 f3"),
        (Interrupt(InterruptFlag.CONSUMER | InterruptFlag.SHARED, 9), "89 06 00 09 01 09 00 00 00"),
        (
            QWordMemory(1 << 32, (1 << 33) - 1),
            "8a 2b 00 00 0c 01 " + "00 " * 8 + "00 00 00 00 01 00 00 00 ff ff ff ff 01 00 00 00 "
            + "00 " * 8 + "00 00 00 00 01 00 00 00",
        ),
    ],
)  # fmt: skip
def test_resource_descriptors(descriptor, expected):
    assert hexed(descriptor) == expected.strip()


def test_a_resource_template_ends_with_a_tag():
    assert hexed(ResourceTemplate(IRQNoFlags(8))) == "11 08 0a 05 22 00 01 79 00"


def test_uuids_are_stored_mixed_endian():
    uuid = ToUuid("33DB4D5B-1FF7-401C-9657-7441C03DD766").encode()
    assert uuid[-16:].hex() == "5b4ddb33f71f1c4096577441c03dd766"


@pytest.mark.parametrize("text", ["PNP0A0", "pnp0A03", "PNP0A0G", "PN10A03"])
def test_malformed_eisa_ids_are_refused(text):
    with pytest.raises(ValueError, match="EISA"):
        EisaId(text)


@pytest.mark.parametrize("operands", [(), (1,), (1, 2, 3, 4)])
def test_a_wrong_number_of_operands_is_refused(operands):
    with pytest.raises(TypeError, match="Add takes"):
        Add(*operands)


def test_a_method_has_at_most_seven_arguments():
    with pytest.raises(ValueError, match="0 to 7"):
        Method("M", 8, NotSerialized)


def test_a_plain_package_has_at_most_255_elements():
    with pytest.raises(ValueError, match="VarPackage"):
        Package(*range(256))
