"""AML is read to a tree, or refused with the place that cannot be read (ACPI 6.5, section 20.2)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acpi.aml import (
    Add,
    Arg0,
    Call,
    Device,
    If,
    LEqual,
    Local0,
    Method,
    Name,
    NotSerialized,
    Package,
    Raw,
    Ref,
    Return,
    Scope,
    Store,
)
from acpi.aml.asl import asl
from acpi.aml.encoding import Node
from acpi.aml.errors import AmlError, UnknownOpcode
from acpi.aml.evaluator import Evaluator
from acpi.aml.names import absolute, candidates, short, shown
from acpi.aml.opcodes import BY_CODE, BY_NAME
from acpi.aml.parser import HEADER_LENGTH, parse
from acpi.dsdt import dsdt
from acpi.platform import ICH9
from tests.acpi.aml_bench import table
from tests.acpi.boards import platform


def only_term(*contents: Node):
    (term,) = parse(table(*contents)).terms
    return term


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "scope", "path"),
    [
        ("\\_SB_.PCI0", ("_TZ_",), ("_SB_", "PCI0")),
        ("ABC_", ("_SB_",), ("_SB_", "ABC_")),
        ("^^ABC_", ("_SB_", "PCI0", "ISA_"), ("_SB_", "ABC_")),
        ("A.B", (), ("A___", "B___")),
        ("\\", ("_SB_",), ()),
    ],
)
def test_a_name_means_a_path_in_its_scope(name, scope, path):
    assert absolute(name, scope) == path


def test_a_single_segment_is_looked_for_up_to_the_root():
    assert list(candidates("ABC_", ("_SB_", "PCI0"))) == [("_SB_", "PCI0", "ABC_"), ("_SB_", "ABC_"), ("ABC_",)]


@pytest.mark.parametrize("name", ["\\ABC_", "^ABC_", "ABC_.DEF_"])
def test_other_names_are_where_they_say(name):
    assert len(list(candidates(name, ("_SB_", "PCI0")))) == 1


def test_names_are_shown_without_the_underscores_that_fill_them():
    assert (shown(("_SB_", "PCI0", "A___")), shown(()), short("^_SB_.X___")) == ("\\_SB.PCI0.A", "\\", "^_SB.X")


# ---------------------------------------------------------------- terms


def test_every_opcode_has_one_row():
    assert len(BY_CODE) == len(BY_NAME)


def test_operands_follow_their_opcode():
    method = only_term(Method("MAIN", 1, NotSerialized, Store(Add(Arg0, 0x1234), Local0)))
    (store,) = method.body
    add, target = store.args
    assert (store.name, add.name, target.name) == ("Store", "Add", "Local0")
    assert [arg.name if arg else None for arg in add.args] == ["Arg0", "WordConst", None]
    assert add.at == HEADER_LENGTH + 8


def test_arguments_go_to_the_method_that_the_scope_sees():
    inner = Device(
        "DEV1", Method("FUNC", 2, NotSerialized), Method("MAIN", 0, NotSerialized, Call("FUNC", 1, 2), Return(3))
    )
    parsed = parse(table(Method("FUNC", 1, NotSerialized), inner))
    main = parsed.terms[1].body[1]
    assert [term.name for term in main.body] == ["MethodCall", "Return"]


def test_a_call_outside_of_methods_may_name_one_that_comes_later():
    parsed = parse(
        table(If(LEqual(Call("LATE", 5), 5), Name("VALU", 1)), Method("LATE", 1, NotSerialized, Return(Arg0)))
    )
    (predicate,) = parsed.terms[0].args
    assert predicate.args[0].name == "MethodCall"


def test_methods_in_packages_are_references():
    package = only_term(Name("PACK", Package(Ref("\\_OSI"), 5))).args[1]
    assert [element.name for element in package.body] == ["NameString", "ByteConst"]


def test_else_belongs_to_its_if():
    with pytest.raises(AmlError, match="Else without an If at offset 0x24 of DSDT"):
        parse(table(Raw(b"\xa1\x01")))


# ---------------------------------------------------------------- what cannot be read


@pytest.mark.parametrize(
    ("aml", "message"),
    [
        (b"\x02", "unknown opcode 02h at offset 0x24 of DSDT"),
        (b"\x5b\x7f", "unknown opcode 5B7Fh at offset 0x24 of DSDT"),
        (b"\x10\x20ABCD", "a package of 32 bytes does not fit where it is at offset 0x25"),
        (b"\x08ABC", "is no name at offset 0x25"),
        (b"\x08abcd\x00", "b'abcd' is no name"),
        (b"\x081BCD\x00", "b'1BCD' is no name"),
        (b"\x08ABCD\x0c\x01\x02", "ends in the middle of a number"),
        (b"\x08ABCD\x0dtext", "a string without its end at offset 0x2a"),
        (b"\x08ABCD", "ends in the middle of a term"),
        (b"\x92" * 5000, "nest too deeply"),
    ],
)
def test_malformed_aml_is_refused_with_its_place(aml, message):
    with pytest.raises(AmlError, match=message.replace("(", r"\(")):
        parse(table(Raw(aml)))


def test_the_scope_of_a_malformed_term_is_named():
    with pytest.raises(UnknownOpcode, match=r"at offset 0x2a of DSDT, in \\_SB"):
        parse(table(Scope("_SB", Raw(b"\x02"))))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"DSDT", "expected at least a header of 36"),
        (table()[:-1] + b"", "the header of DSDT says 36 bytes, 35 are there"),
        (b"APIC" + table()[4:], "table 'APIC' has no AML: expected DSDT, SSDT, PSDT"),
    ],
)
def test_what_is_no_definition_block_is_refused(data, message):
    with pytest.raises(AmlError, match="expected at least a header" if len(data) < HEADER_LENGTH else message):
        parse(data)


SEED = dsdt(platform(ICH9, 2))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(HEADER_LENGTH, len(SEED) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_tables_are_read_or_refused(changes):
    damaged = bytearray(SEED)
    for at, byte in changes:
        damaged[at] = byte
    for use in (asl, Evaluator):
        try:
            use(bytes(damaged))
        except AmlError as error:
            assert str(error)
