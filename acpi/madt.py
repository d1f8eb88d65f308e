"""Multiple APIC description table (ACPI 6.4, section 5.2.12), x86 entries.

Possible CPUs that are absent are listed with `enabled` clear, which is how an OS learns how many may come.  The
revision stays below 5: from there on such entries would need "online capable" as well.
Not here: GIC structures, interrupt sources, address overrides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import ClassVar

from .packed import Record, u8, u16, u32
from .tables import Table

LOCAL_APIC_ADDRESS = 0xFEE00000
IO_APIC_ADDRESS = 0xFEC00000
MAX_XAPIC_ID = 254  # 255 is the xAPIC's broadcast address
ALL_PROCESSORS = 0xFF
ALL_PROCESSORS_X2APIC = 0xFFFFFFFF
ISA_BUS = 0
# ISA lines that the PCI link devices may use, and the SCI
LEVEL_ISA_LINES = (5, 9, 10, 11)


class MadtFlag(IntFlag):
    PCAT_COMPAT = 1 << 0


class LocalApicFlag(IntFlag):
    ENABLED = 1 << 0
    ONLINE_CAPABLE = 1 << 1


class MpsIntiFlag(IntFlag):
    """Table 5.26; both fields zero means as the bus defines it."""

    ACTIVE_HIGH = 1 << 0
    ACTIVE_LOW = 3 << 0
    EDGE = 1 << 2
    LEVEL = 3 << 2


@dataclass(kw_only=True)
class Entry(Record):
    """One interrupt controller structure: type and length go in front of its fields."""

    entry_type: ClassVar[int]

    def to_bytes(self) -> bytes:
        contents = self.pack()
        return bytes([self.entry_type, 2 + len(contents)]) + contents


@dataclass(kw_only=True)
class LocalApic(Entry):
    entry_type = 0
    acpi_processor_uid: u8
    apic_id: u8
    flags: u32


@dataclass(kw_only=True)
class IoApic(Entry):
    entry_type = 1
    io_apic_id: u8 = 0
    reserved: u8 = 0
    io_apic_address: u32 = IO_APIC_ADDRESS
    global_system_interrupt_base: u32 = 0


@dataclass(kw_only=True)
class InterruptSourceOverride(Entry):
    entry_type = 2
    bus: u8 = ISA_BUS
    source: u8
    global_system_interrupt: u32
    flags: u16


@dataclass(kw_only=True)
class LocalApicNmi(Entry):
    entry_type = 4
    acpi_processor_uid: u8 = ALL_PROCESSORS
    flags: u16 = 0
    local_apic_lint: u8 = 1


@dataclass(kw_only=True)
class LocalX2Apic(Entry):
    entry_type = 9
    reserved: u16 = 0
    x2apic_id: u32
    flags: u32
    acpi_processor_uid: u32


@dataclass(kw_only=True)
class LocalX2ApicNmi(Entry):
    entry_type = 10
    flags: u16 = 0
    acpi_processor_uid: u32 = ALL_PROCESSORS_X2APIC
    local_x2apic_lint: u8 = 1
    reserved: u8 = 0
    reserved2: u16 = 0


@dataclass(kw_only=True)
class Madt(Table):
    signature = b"APIC"
    local_apic_address: u32 = LOCAL_APIC_ADDRESS
    flags: u32 = MadtFlag.PCAT_COMPAT
    entries: Sequence[Entry] = ()

    def tail(self) -> bytes:
        return b"".join(entry.to_bytes() for entry in self.entries)


def processor_entry(uid: int, apic_id: int, flags: int) -> Entry:
    """The local APIC structure of a CPU; ids that an xAPIC cannot have get the x2APIC form."""
    if apic_id > MAX_XAPIC_ID:
        return LocalX2Apic(x2apic_id=apic_id, flags=flags, acpi_processor_uid=uid)
    return LocalApic(acpi_processor_uid=uid & 0xFF, apic_id=apic_id, flags=flags)


def interrupt_overrides(irq0_override: bool) -> list[Entry]:
    """The PIT on pin 2, and the ISA lines that are level-triggered and active high."""
    level_high = MpsIntiFlag.LEVEL | MpsIntiFlag.ACTIVE_HIGH
    pit: list[Entry] = [InterruptSourceOverride(source=0, global_system_interrupt=2, flags=0)] if irq0_override else []
    return pit + [
        InterruptSourceOverride(source=n, global_system_interrupt=n, flags=level_high) for n in LEVEL_ISA_LINES
    ]
