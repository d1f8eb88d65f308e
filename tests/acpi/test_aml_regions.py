"""Fields become accesses: widths, update rules, index and bank registers, PCI configuration (ACPI 6.5, section 19.6.46)."""

from __future__ import annotations

import pytest

from acpi.aml import (
    AnyAcc,
    Arg0,
    BankField,
    ByteAcc,
    Device,
    DWordAcc,
    Field,
    IndexField,
    Lock,
    Method,
    Name,
    NoLock,
    NotSerialized,
    Offset,
    OperationRegion,
    PCI_Config,
    Preserve,
    QWordAcc,
    Ref,
    Scope,
    Store,
    SystemIO,
    SystemMemory,
    WordAcc,
    WriteAsOnes,
    WriteAsZeros,
)  # fmt: skip
from acpi.aml.errors import AmlError
from acpi.aml.evaluator import Evaluator
from tests.acpi.aml_bench import Memory, load

REGION = OperationRegion("REGN", SystemIO, 0x100, 0x20)
ALL_ONES_96 = b"\xff" * 12


def fields(access, update, *elements, lock=NoLock, revision=2) -> tuple[Evaluator, Memory]:
    """A field list over ports; `\\SET` stores into VALU."""
    io = Memory()
    setter = Method("SETV", 1, NotSerialized, Store(Arg0, Ref("VALU")))
    return load(REGION, Field("REGN", access, lock, update, *elements), setter, revision=revision, io=io), io


@pytest.mark.parametrize(
    ("access", "log"),
    [
        (ByteAcc, ["R8 104=44", "R8 105=55", "R8 106=66", "R8 107=77"]),
        (AnyAcc, ["R8 104=44", "R8 105=55", "R8 106=66", "R8 107=77"]),
        (WordAcc, ["R16 104=5544", "R16 106=7766"]),
        (DWordAcc, ["R32 104=77665544"]),
    ],
)
def test_a_field_is_read_in_units_of_its_access_type(access, log):
    ev, io = fields(access, Preserve, Offset(4), ("VALU", 32))
    io.write(0x104, 4, 0x77665544)
    io.log.clear()
    assert (ev.run("\\VALU"), io.log) == (0x77665544, log)


def test_bits_in_the_middle_of_a_unit_are_shifted_out():
    ev, io = fields(ByteAcc, Preserve, ("SKIP", 3), ("VALU", 2), ("REST", 3))
    io.bytes[0x100] = 0b111_10_000
    assert (ev.run("\\VALU"), ev.run("\\REST")) == (0b10, 0b111)


def test_a_field_may_lie_across_units():
    ev, io = fields(ByteAcc, Preserve, ("SKIP", 4), ("VALU", 8))
    io.write(0x100, 2, 0x0AB0)
    assert ev.run("\\VALU") == 0xAB


@pytest.mark.parametrize(
    ("update", "log"),
    [
        (Preserve, ["R8 100=5a", "W8 100=5e"]),
        (WriteAsOnes, ["W8 100=ff"]),
        (WriteAsZeros, ["W8 100=c"]),
    ],
)
def test_a_write_does_to_other_bits_what_the_update_rule_says(update, log):
    ev, io = fields(ByteAcc, update, ("LOW", 2), ("VALU", 2), ("HIGH", 4))
    io.bytes[0x100] = 0x5A
    ev.run("\\SETV", 3)
    assert io.log == log


def test_a_write_of_a_whole_unit_reads_nothing():
    ev, io = fields(WordAcc, Preserve, ("VALU", 16))
    ev.run("\\SETV", 0x12345)
    assert io.log == ["W16 100=2345"]


def test_a_write_across_units_keeps_both_ends():
    ev, io = fields(ByteAcc, Preserve, ("SKIP", 4), ("VALU", 16))
    io.write(0x100, 3, 0xFFFFFF)
    io.log.clear()
    ev.run("\\SETV", 0)
    assert io.log == ["R8 100=ff", "W8 100=f", "W8 101=0", "R8 102=ff", "W8 102=f0"]


def test_a_wide_field_is_a_buffer():
    ev, io = fields(ByteAcc, Preserve, ("VALU", 96))
    ev.run("\\SETV", ALL_ONES_96)
    assert ev.run("\\VALU") == ALL_ONES_96


@pytest.mark.parametrize(("revision", "value"), [(1, b"\x01\0\0\0\0"), (2, 1)])
def test_the_tables_revision_decides_what_is_wide(revision, value):
    ev, io = fields(ByteAcc, Preserve, ("VALU", 40), revision=revision)
    ev.run("\\SETV", 1)
    assert ev.run("\\VALU") == value


def test_the_lock_rule_changes_nothing_here():
    ev, io = fields(ByteAcc, Preserve, ("VALU", 8), lock=Lock)
    ev.run("\\SETV", 5)
    assert ev.run("\\VALU") == 5


def test_an_access_beyond_the_region_is_an_error():
    ev, _ = fields(DWordAcc, Preserve, Offset(0x1E), ("VALU", 32))
    with pytest.raises(AmlError, match=r"VALU at offset 0x20 is outside of \\REGN, which has 0x20 bytes"):
        ev.run("\\VALU")


def test_a_space_that_nobody_answers_is_named():
    ev = load(OperationRegion("REGN", SystemMemory, 0, 8), Field("REGN", ByteAcc, NoLock, Preserve, ("VALU", 8)))
    with pytest.raises(AmlError, match=r"nobody answers in address space memory, where \\REGN is"):
        ev.run("\\VALU")


def test_memory_may_be_read_in_quad_words():
    memory = Memory()
    memory.write(0x1000, 8, 0x1122334455667788)
    memory.log.clear()
    region = OperationRegion("REGN", SystemMemory, 0x1000, 8)
    ev = load(region, Field("REGN", QWordAcc, NoLock, Preserve, ("VALU", 64)), memory=memory)
    assert (ev.run("\\VALU"), memory.log) == (0x1122334455667788, ["R64 1000=1122334455667788"])


def test_an_index_field_goes_through_two_registers():
    io = Memory()
    ev = load(
        OperationRegion("REGN", SystemIO, 0x70, 2),
        Field("REGN", ByteAcc, NoLock, Preserve, ("INDX", 8), ("DATA", 8)),
        IndexField("INDX", "DATA", ByteAcc, NoLock, Preserve, Offset(0x0D), ("VALU", 16)),
        io=io,
    )
    ev.run("\\VALU")
    assert io.log == ["W8 70=d", "R8 71=0", "W8 70=e", "R8 71=0"]


def test_a_bank_field_selects_its_bank_first():
    io = Memory()
    ev = load(
        REGION,
        Field("REGN", ByteAcc, NoLock, Preserve, ("BANK", 8)),
        BankField("REGN", "BANK", 3, ByteAcc, NoLock, Preserve, Offset(4), ("VALU", 8)),
        io=io,
    )
    ev.run("\\VALU")
    assert io.log == ["W8 100=3", "R8 104=0"]


def test_a_region_may_be_declared_before_what_its_address_is_made_of():
    io = Memory()
    io.bytes[0x208] = 7
    region = OperationRegion("REGN", SystemIO, Ref("BASE"), 4)
    ev = load(region, Field("REGN", ByteAcc, NoLock, Preserve, ("VALU", 8)), Name("BASE", 0x208), io=io)
    assert ev.run("\\VALU") == 7


# ---------------------------------------------------------------- PCI configuration space


def config_field(name: str) -> list:
    return [
        OperationRegion(name + "R", PCI_Config, 0x40, 4),
        Field(name + "R", ByteAcc, NoLock, Preserve, (name, 8)),
    ]


def test_configuration_space_is_that_of_the_device_around_the_region():
    config = Memory()
    host = Device("PCI0", Name("_BBN", 2), Name("_SEG", 1), Device("ISA", Name("_ADR", 0x1F0003), config_field("VAL")))
    ev = load(Scope("\\_SB", host), pci_config=config)
    ev.run("\\_SB.PCI0.ISA.VAL")
    assert config.log == [f"R8 {1 << 32 | 2 << 20 | 0x1F << 15 | 3 << 12 | 0x40:x}=0"]


def test_behind_a_bridge_the_bus_is_what_the_bridge_says():
    config = Memory()
    bridge = 0x01 << 15
    config.bytes |= {bridge | 0x0E: 0x81, bridge | 0x19: 5}
    inner = Device("SLOT", Name("_ADR", 0x020000), config_field("VAL"))
    ev = load(Scope("\\_SB", Device("PCI0", Device("BRDG", Name("_ADR", 0x010000), inner))), pci_config=config)
    ev.run("\\_SB.PCI0.BRDG.SLOT.VAL")
    assert config.log[-1] == f"R8 {5 << 20 | 2 << 15 | 0x40:x}=0"


def test_configuration_space_outside_of_a_device_is_an_error():
    ev = load(config_field("VAL"), pci_config=Memory())
    with pytest.raises(AmlError, match=r"\\VALR is in no PCI device"):
        ev.run("\\VAL")


def test_configuration_space_goes_through_ports_unless_there_is_something_better():
    io = Memory()
    ev = load(Scope("\\_SB", Device("ISA", Name("_ADR", 0x1F0003), config_field("VAL"))), io=io)
    ev.run("\\_SB.ISA.VAL")
    assert io.log == [f"W32 cf8={1 << 31 | 0x1F << 11 | 3 << 8 | 0x40:x}", "R8 cfc=0"]


def test_ports_do_not_reach_other_segments():
    ev = load(Scope("\\_SB", Device("ISA", Name("_SEG", 1), Name("_ADR", 0), config_field("VAL"))), io=Memory())
    with pytest.raises(AmlError, match="0x100000040 is out of reach of the ports"):
        ev.run("\\_SB.ISA.VAL")
