"""What AML's expressions are worth: integers, logic, strings, buffers, packages, references (ACPI 6.5, chapter 19)."""

from __future__ import annotations

import pytest

from acpi.aml import (
    Add,
    And,
    Arg0,
    Buffer,
    Call,
    Concatenate,
    ConcatenateResTemplate,
    CondRefOf,
    CopyObject,
    CreateField,
    CreateWordField,
    Decrement,
    DerefOf,
    Divide,
    FindSetLeftBit,
    FindSetRightBit,
    FromBCD,
    Increment,
    Index,
    LAnd,
    LEqual,
    LGreater,
    LGreaterEqual,
    LLess,
    LLessEqual,
    LNot,
    LNotEqual,
    Local0,
    Local1,
    Local2,
    LOr,
    Match,
    Method,
    Mid,
    Mod,
    Multiply,
    Name,
    Nand,
    Nor,
    Not,
    NotSerialized,
    ObjectType,
    Ones,
    Or,
    Package,
    Ref,
    RefOf,
    Return,
    ShiftLeft,
    ShiftRight,
    SizeOf,
    Store,
    Subtract,
    ToBCD,
    ToBuffer,
    ToDecimalString,
    ToHexString,
    ToInteger,
    ToString,
    VarBuffer,
    VarPackage,
    Xor,
)  # fmt: skip
from acpi.aml.errors import AmlError
from tests.acpi.aml_bench import load, run

ONES = (1 << 64) - 1
MEQ, MLT, MGT = 1, 3, 5


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (Add(2, 3), 5),
        (Add(Ones, 2), 1),
        (Subtract(2, 3), ONES),
        (Multiply(1 << 40, 1 << 40), 0),
        (Divide(17, 5), 3),
        (Mod(17, 5), 2),
        (ShiftLeft(1, 63), 1 << 63),
        (ShiftLeft(1, 64), 0),
        (ShiftRight(0x80, 4), 8),
        (ShiftRight(1, 99), 0),
        (And(12, 10), 8),
        (Nand(12, 10), ONES - 8),
        (Or(12, 10), 14),
        (Nor(12, 10), ONES - 14),
        (Xor(12, 10), 6),
        (Not(0), ONES),
        (FindSetLeftBit(0x50), 7),
        (FindSetRightBit(0x50), 5),
        (FindSetLeftBit(0), 0),
        (FromBCD(0x1234), 1234),
        (ToBCD(1234), 0x1234),
    ],
)
def test_integers_have_64_bits(expression, value):
    assert run(Return(expression)) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [(Add(0xFFFFFFFF, 1), 0), (Not(0), 0xFFFFFFFF), (ShiftLeft(1, 32), 0), (Ones, 0xFFFFFFFF), (1 << 32 | 7, 7)],
)
def test_integers_of_a_revision_1_table_have_32_bits(expression, value):
    assert run(Return(expression), revision=1) == value


@pytest.mark.parametrize(
    ("expression", "truth"),
    [
        (LAnd(1, 2), True),
        (LAnd(1, 0), False),
        (LOr(0, 2), True),
        (LNot(0), True),
        (LEqual(5, 5), True),
        (LNotEqual(5, 5), False),
        (LLess(4, 5), True),
        (LLessEqual(5, 5), True),
        (LGreater(4, 5), False),
        (LGreaterEqual(5, 5), True),
        (LEqual("abc", "abc"), True),
        (LLess("abc", "abd"), True),
        (LGreater("abcd", "abc"), True),
        (LEqual(Buffer(b"\1\2"), Buffer(b"\1\2")), True),
        (LEqual(0x12, "12"), True),
    ],
)
def test_true_is_all_ones(expression, truth):
    assert run(Return(expression)) == (ONES if truth else 0)


@pytest.mark.parametrize("operator", [Divide, Mod])
def test_a_division_by_zero_is_an_error(operator):
    with pytest.raises(AmlError, match="division by zero"):
        run(Return(operator(1, 0)))


def test_divide_stores_remainder_and_quotient():
    assert run(Divide(17, 5, Local0, Local1), Return(Add(Multiply(Local0, 100), Local1))) == 203


def test_operators_store_their_result_and_have_it_as_value():
    assert run(Add(Add(1, 2, Local0), Local0, Local1), Return(Local1)) == 6


def test_increment_and_decrement_change_their_operand():
    assert run(Store(5, Local0), Increment(Local0), Increment(Local0), Decrement(Local0), Return(Local0)) == 6


def test_bcd_digits_end_at_9():
    with pytest.raises(AmlError, match="binary coded decimal"):
        run(Return(FromBCD(0x1A)))


# ---------------------------------------------------------------- strings and buffers


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (Concatenate("ab", "cd"), "abcd"),
        (Concatenate("ab", 0x1F), "ab000000000000001F"),
        (Concatenate(1, 2), b"\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0"),
        (Concatenate(Buffer(b"\1"), "x"), b"\1x\0"),
        (ToHexString(0xAB), "00000000000000AB"),
        (ToHexString(Buffer(b"\1\xab")), "0x01,0xAB"),
        (ToDecimalString(1234), "1234"),
        (ToDecimalString(Buffer(b"\1\x10")), "1,16"),
        (ToInteger("0x1f"), 31),
        (ToInteger("31"), 31),
        (ToInteger(Buffer(b"\1\2")), 0x201),
        (ToBuffer("ab"), b"ab\0"),
        (ToString(Buffer(b"ab\0c"), Ones), "ab"),
        (ToString(Buffer(b"abcd"), 2), "ab"),
        (Mid("abcdef", 2, 3), "cde"),
        (Mid(Buffer(b"abcdef"), 4, 9), b"ef"),
        (Add("10", 1), 0x11),
        (Add("zz", 1), 1),
        (Add(Buffer(b"\1\1"), 1), 0x102),
        (VarBuffer(3), b"\0\0\0"),
    ],
)
def test_strings_and_buffers_convert(expression, value):
    assert run(Return(expression)) == value


def test_resource_templates_are_joined_under_one_end_tag():
    irq, io = b"\x22\x20\x00", b"\x47\x01\x10\x00\x10\x00\x01\x08"
    joined = ConcatenateResTemplate(Buffer(irq + b"\x79\x00"), Buffer(io + b"\x79\x00"))
    assert run(Return(joined)) == irq + io + b"\x79\x00"


def test_a_template_without_an_end_is_an_error():
    with pytest.raises(AmlError, match="without an end tag"):
        run(Return(ConcatenateResTemplate(Buffer(b"\1\2\3"), Buffer(b"\x79\x00"))))


def test_size_of_counts_characters_bytes_and_elements():
    ev = load(Name("STRI", "abc"), Name("BUFF", Buffer(b"\0" * 5)), Name("PACK", Package(1, count=7)),
              [Method(f"SIZ{n}", 0, NotSerialized, Return(SizeOf(Ref(name)))) for n, name in enumerate(("STRI", "BUFF", "PACK"))])  # fmt: skip
    assert [ev.run(f"\\SIZ{n}") for n in range(3)] == [3, 5, 7]


def test_a_buffer_of_gigabytes_is_refused():
    with pytest.raises(AmlError, match="Buffer of 0xffffffff elements"):
        run(Return(VarBuffer(0xFFFFFFFF)))


def test_a_field_of_a_buffer_reads_and_writes_it():
    made = [Store(Buffer(b"\0\x11\x22\x33"), Local0), CreateWordField(Local0, 1, "WORD")]
    assert run(made, Return(Ref("WORD"))) == 0x2211
    assert run(made, Store(0xABCD, Ref("WORD")), Return(Local0)) == b"\0\xcd\xab\x33"


def test_bits_made_by_create_field_are_a_buffer():
    assert run(Store(Buffer(b"\xf0\x0f"), Local0), CreateField(Local0, 4, 8, "BITS"), Return(Ref("BITS"))) == b"\xff"


def test_a_field_beyond_its_buffer_is_an_error():
    with pytest.raises(AmlError, match=r"WORD, bits 8 to 23, is not in a buffer of 2 bytes \(\\MAIN, offset"):
        run(Store(Buffer(b"\0\0"), Local0), CreateWordField(Local0, 1, "WORD"))


# ---------------------------------------------------------------- packages


def test_a_package_is_filled_up_with_nothing():
    assert run(Return(Package(1, "a", Buffer(b"x"), Package(2), count=5))) == [1, "a", b"x", [2], None]


def test_a_package_may_count_more_than_255():
    assert len(run(Return(VarPackage(300, 1)))) == 300


def test_names_in_a_package_are_their_data_or_their_objects():
    ev = load(
        Name("PACK", Package(Ref("VALU"), Ref("METH"), Ref("GONE"))), Name("VALU", 7), Method("METH", 0, NotSerialized)
    )
    assert ev.run("\\PACK") == [7, "\\METH", "GONE"]


def test_an_index_reads_and_writes_elements_and_bytes():
    assert run(Store(Package(1, 2), Local0), Store(9, Index(Local0, 1)), Return(DerefOf(Index(Local0, 1)))) == 9
    assert run(Store(Buffer(b"ab"), Local0), Store(0x141, Index(Local0, 1)), Return(Local0)) == b"aA"
    assert run(Store("ab", Local0), Store(0x41, Index(Local0, 1)), Return(Local0)) == "aA"


def test_an_index_outside_is_an_error():
    with pytest.raises(AmlError, match="index 2 is outside of 2 elements"):
        run(Store(Package(1, 2), Local0), Return(DerefOf(Index(Local0, 2))))


def test_an_empty_buffer_is_no_byte():
    with pytest.raises(AmlError, match="an empty buffer has no byte"):
        run(Store(Buffer(b"ab"), Local0), Store(Buffer(b""), Index(Local0, 1)))


def test_an_element_without_value_cannot_be_read():
    with pytest.raises(AmlError, match="element 1 of a package has no value"):
        run(Store(Package(1, count=2), Local0), Return(DerefOf(Index(Local0, 1))))


@pytest.mark.parametrize(
    ("tests", "start", "found"), [((MEQ, 10, 0, 0), 0, 1), ((MGT, 5, MLT, 20), 2, 2), ((MEQ, 99, 0, 0), 0, ONES)]
)
def test_match_finds_the_first_element_that_passes_both_tests(tests, start, found):
    assert run(Return(Match(Package(5, 10, 15, 20), *tests, start))) == found


def test_stores_copy_packages_and_buffers():
    assert run(Store(Package(1), Local0), Store(Local0, Local1), Store(2, Index(Local1, 0)), Return(Local0)) == [1]


# ---------------------------------------------------------------- names and references


def test_a_named_object_keeps_its_type_when_stored_to():
    ev = load(Name("INTE", 1), Name("STRI", "a"), Name("BUFF", Buffer(b"\0\0")),
              Method("MAIN", 0, NotSerialized, Store("12", Ref("INTE")), Store(0x12, Ref("STRI")), Store("xyz", Ref("BUFF"))))  # fmt: skip
    ev.run("\\MAIN")
    assert [ev.run(f"\\{name}") for name in ("INTE", "STRI", "BUFF")] == [0x12, "0000000000000012", b"xy"]


def test_copy_object_changes_the_type():
    ev = load(Name("INTE", 1), Method("MAIN", 0, NotSerialized, CopyObject("new", Ref("INTE"))))
    ev.run("\\MAIN")
    assert ev.run("\\INTE") == "new"


def test_an_argument_by_reference_is_written_through():
    ev = load(Method("SETS", 1, NotSerialized, Store(8, Arg0)),
              Method("MAIN", 0, NotSerialized, Store(7, Local0), Call("SETS", RefOf(Local0)), Return(Local0)))  # fmt: skip
    assert ev.run("\\MAIN") == 8


def test_an_argument_by_value_stays_inside():
    ev = load(
        Name("VALU", 7),
        Method("SETS", 1, NotSerialized, Store(8, Arg0)),
        Method("MAIN", 0, NotSerialized, Call("SETS", Ref("VALU"))),
    )
    ev.run("\\MAIN")
    assert ev.run("\\VALU") == 7


def test_a_conditional_reference_tells_whether_there_is_something():
    ev = load(Name("HERE", 5),
              Method("YES", 0, NotSerialized, Store(CondRefOf("HERE", Local0), Local1), Return(Add(DerefOf(Local0), And(Local1, 1)))),
              Method("NO", 0, NotSerialized, Return(CondRefOf("GONE", Local0))))  # fmt: skip
    assert (ev.run("\\YES"), ev.run("\\NO")) == (6, 0)


def test_object_type_names_kinds_by_number():
    ev = load(
        Name("STRI", "a"),
        [
            Method(f"TYP{n}", 0, NotSerialized, Return(ObjectType(name)))
            for n, name in enumerate(("STRI", "TYP0", "\\_SB"))
        ],
    )
    assert [ev.run(f"\\TYP{n}") for n in range(3)] == [2, 8, 0]


@pytest.mark.parametrize(
    "use", [Return(Add(Local0, 1)), Return(ObjectType(Local0)), Return(SizeOf(Local0)), Return(Local0)]
)
def test_a_circle_of_references_is_an_error(use):
    with pytest.raises(AmlError, match="references lead to each other"):
        run(Store(RefOf(Local0), Local0), use)


def test_a_local_without_value_cannot_be_read():
    with pytest.raises(AmlError, match="Local2 has no value"):
        run(Return(Local2))


def test_a_name_that_does_not_exist_is_named_with_its_place():
    with pytest.raises(AmlError, match=r"GONE is not in the namespace, seen from \\MAIN \(\\MAIN, offset 0x\w+\)"):
        run(Return(Add(Ref("GONE"), 1)))
