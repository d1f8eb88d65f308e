"""ACPI tables that describe the machine in a few numbers (ACPI 6.4, section 5.2, and the documents it links to).

RSDP, RSDT, XSDT, FADT (revisions 1 and 3), FACS, HPET (IA-PC HPET 1.0a, 3.2.4), MCFG (PCI Firmware 3.0, 4.1.2),
SLIT, WAET.  MADT and SRAT have files of their own.  Field names are the specification's.
Not here: FADT of hardware-reduced platforms, BERT and its relatives, SMBIOS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntFlag
from typing import ClassVar

from .packed import Bytes4, Bytes6, Bytes8, Record, u8, u16, u32, u64

OEM_ID = b"BOCHS "
OEM_TABLE_ID = b"BXPC    "
CREATOR_ID = b"BXPC"


def checksum(data: bytes | bytearray) -> int:
    """The byte that makes all bytes add up to zero."""
    return -sum(data) & 0xFF


@dataclass(kw_only=True)
class Oem:
    """Who signs the tables: 6 and 8 characters, shorter ones are filled up with spaces."""

    oem_id: bytes = OEM_ID
    oem_table_id: bytes = OEM_TABLE_ID

    def __post_init__(self) -> None:
        for name, width in (("oem_id", 6), ("oem_table_id", 8)):
            value = getattr(self, name)
            if len(value) > width:
                raise ValueError(f"{name} {value!r} is too long: at most {width} characters")
            setattr(self, name, value.ljust(width))


@dataclass(kw_only=True)
class Header(Record):
    """System description table header, section 5.2.6."""

    signature: Bytes4
    length: u32
    revision: u8
    checksum: u8 = 0
    oem_id: Bytes6
    oem_table_id: Bytes8
    oem_revision: u32 = 1
    creator_id: Bytes4 = CREATOR_ID
    creator_revision: u32 = 1


HEADER_LENGTH = Header.size()


@dataclass(kw_only=True)
class Table(Record):
    """A table behind the common header: fixed fields, then whatever `tail` adds."""

    signature: ClassVar[bytes]
    revision: ClassVar[int] = 1

    def tail(self) -> bytes:
        return b""

    def to_bytes(self, oem: Oem | None = None) -> bytes:
        """The whole table, length and checksum filled in."""
        return with_header(self.signature, self.revision, self.pack() + self.tail(), oem)

    @classmethod
    def table_offset(cls, name: str) -> int:
        """Offset of a fixed field from the start of the table, in bytes."""
        return HEADER_LENGTH + cls.offset_of(name)


def with_header(signature: bytes, revision: int, contents: bytes, oem: Oem | None = None) -> bytes:
    oem = oem or Oem()
    header = Header(
        signature=signature,
        length=HEADER_LENGTH + len(contents),
        revision=revision,
        oem_id=oem.oem_id,
        oem_table_id=oem.oem_table_id,
    )
    header.checksum = checksum(header.pack() + contents)
    return header.pack() + contents


@dataclass(kw_only=True)
class RsdpV0(Record):
    """Root system description pointer of ACPI 1.0: 20 bytes, section 5.2.5.3."""

    signature: Bytes8 = b"RSD PTR "
    checksum: u8 = 0
    oem_id: Bytes6 = OEM_ID
    revision: u8 = 0
    rsdt_address: u32 = 0

    def to_bytes(self) -> bytes:
        self.checksum = 0
        self.checksum = checksum(self.pack())
        return self.pack()


@dataclass(kw_only=True)
class RsdpV2(RsdpV0):
    """Root system description pointer since ACPI 2.0: 36 bytes, two checksums."""

    revision: u8 = 2
    length: u32 = 36
    xsdt_address: u64 = 0
    extended_checksum: u8 = 0
    reserved: ClassVar[bytes] = bytes(3)

    def pack(self) -> bytes:
        return super().pack() + self.reserved

    def to_bytes(self) -> bytes:
        self.checksum = self.extended_checksum = 0
        self.checksum = checksum(self.pack()[: RsdpV0.size()])
        self.extended_checksum = checksum(self.pack())
        return self.pack()


@dataclass(kw_only=True)
class Rsdt(Table):
    signature = b"RSDT"
    entries: Sequence[int] = ()
    entry_width: ClassVar[int] = 4

    def tail(self) -> bytes:
        return b"".join(entry.to_bytes(self.entry_width, "little") for entry in self.entries)


@dataclass(kw_only=True)
class Xsdt(Rsdt):
    signature = b"XSDT"
    entry_width = 8


@dataclass(kw_only=True)
class Facs(Record):
    """Firmware ACPI control structure: no common header, 64-byte aligned, section 5.2.10."""

    signature: Bytes4 = b"FACS"
    length: u32 = 64
    hardware_signature: u32 = 0
    firmware_waking_vector: u32 = 0
    global_lock: u32 = 0
    flags: u32 = 0
    x_firmware_waking_vector: u64 = 0
    version: u8 = 0

    def to_bytes(self) -> bytes:
        return self.pack().ljust(self.length, b"\0")


@dataclass(kw_only=True)
class GenericAddress(Record):
    """Generic address structure, section 5.2.3.2."""

    address_space_id: u8 = 0
    register_bit_width: u8 = 0
    register_bit_offset: u8 = 0
    access_size: u8 = 0
    address: u64 = 0


SYSTEM_MEMORY, SYSTEM_IO = 0, 1


def io_register(port: int, length: int) -> GenericAddress:
    """An I/O block of `length` bytes, access size left undefined."""
    return GenericAddress(address_space_id=SYSTEM_IO, register_bit_width=8 * length, address=port)


class FadtFlag(IntFlag):
    WBINVD = 1 << 0
    PROC_C1 = 1 << 2
    PWR_BUTTON = 1 << 4
    SLP_BUTTON = 1 << 5
    RTC_S4 = 1 << 7
    TMR_VAL_EXT = 1 << 8
    RESET_REG_SUP = 1 << 10
    USE_PLATFORM_CLOCK = 1 << 15
    FORCE_APIC_CLUSTER_MODEL = 1 << 18


class BootArchitecture(IntFlag):
    """IAPC_BOOT_ARCH, table 5.11."""

    LEGACY_DEVICES = 1 << 0
    KEYBOARD_8042 = 1 << 1


@dataclass(kw_only=True)
class FadtV1(Table):
    """Fixed ACPI description table, revision 1: 116 bytes, section 5.2.9."""

    signature = b"FACP"
    firmware_ctrl: u32 = 0
    dsdt: u32 = 0
    int_model: u8 = 1
    preferred_pm_profile: u8 = 0
    sci_int: u16 = 9
    smi_cmd: u32 = 0
    acpi_enable: u8 = 0
    acpi_disable: u8 = 0
    s4bios_req: u8 = 0
    pstate_cnt: u8 = 0
    pm1a_evt_blk: u32 = 0
    pm1b_evt_blk: u32 = 0
    pm1a_cnt_blk: u32 = 0
    pm1b_cnt_blk: u32 = 0
    pm2_cnt_blk: u32 = 0
    pm_tmr_blk: u32 = 0
    gpe0_blk: u32 = 0
    gpe1_blk: u32 = 0
    pm1_evt_len: u8 = 4
    pm1_cnt_len: u8 = 2
    pm2_cnt_len: u8 = 0
    pm_tmr_len: u8 = 4
    gpe0_blk_len: u8 = 0
    gpe1_blk_len: u8 = 0
    gpe1_base: u8 = 0
    cst_cnt: u8 = 0
    p_lvl2_lat: u16 = 0x0FFF
    p_lvl3_lat: u16 = 0x0FFF
    flush_size: u16 = 0
    flush_stride: u16 = 0
    duty_offset: u8 = 0
    duty_width: u8 = 0
    day_alrm: u8 = 0
    mon_alrm: u8 = 0
    century: u8 = 0x32
    iapc_boot_arch: u16 = 0
    reserved: u8 = 0
    flags: u32 = 0


@dataclass(kw_only=True)
class FadtV3(FadtV1):
    """Fixed ACPI description table, revision 3: 244 bytes.  The X_ blocks repeat the I/O blocks above."""

    revision = 3
    reset_reg: GenericAddress = field(default_factory=GenericAddress)
    reset_value: u8 = 0
    arm_boot_arch: u16 = 0
    fadt_minor_version: u8 = 0
    x_firmware_ctrl: u64 = 0
    x_dsdt: u64 = 0
    x_pm1a_evt_blk: GenericAddress = field(default_factory=GenericAddress)
    x_pm1b_evt_blk: GenericAddress = field(default_factory=GenericAddress)
    x_pm1a_cnt_blk: GenericAddress = field(default_factory=GenericAddress)
    x_pm1b_cnt_blk: GenericAddress = field(default_factory=GenericAddress)
    x_pm2_cnt_blk: GenericAddress = field(default_factory=GenericAddress)
    x_pm_tmr_blk: GenericAddress = field(default_factory=GenericAddress)
    x_gpe0_blk: GenericAddress = field(default_factory=GenericAddress)
    x_gpe1_blk: GenericAddress = field(default_factory=GenericAddress)

    def __post_init__(self) -> None:
        self.x_pm1a_evt_blk = io_register(self.pm1a_evt_blk, self.pm1_evt_len)
        self.x_pm1a_cnt_blk = io_register(self.pm1a_cnt_blk, self.pm1_cnt_len)
        self.x_pm_tmr_blk = io_register(self.pm_tmr_blk, self.pm_tmr_len)
        self.x_gpe0_blk = io_register(self.gpe0_blk, self.gpe0_blk_len)


@dataclass(kw_only=True)
class Hpet(Table):
    """IA-PC HPET description table."""

    signature = b"HPET"
    event_timer_block_id: u32 = 0x8086A201  # vendor 8086, legacy replacement, 64 bit, 3 comparators, revision 1
    base_address: GenericAddress = field(default_factory=lambda: GenericAddress(address=0xFED00000))
    hpet_number: u8 = 0
    minimum_tick: u16 = 0
    page_protection: u8 = 0


@dataclass(kw_only=True)
class Mcfg(Table):
    """PCI Express memory-mapped configuration space: one segment."""

    signature = b"MCFG"
    reserved: u64 = 0
    base_address: u64 = 0
    pci_segment_group: u16 = 0
    start_bus_number: u8 = 0
    end_bus_number: u8 = 0xFF
    reserved2: u32 = 0


@dataclass(kw_only=True)
class Waet(Table):
    """Windows ACPI emulated devices table."""

    signature = b"WAET"
    emulated_device_flags: u32 = 1 << 1  # the PM timer needs to be read only once


@dataclass(kw_only=True)
class Slit(Table):
    """System locality distances: `distances[from][to]`, 10 is local, 255 is unreachable; section 5.2.17."""

    signature = b"SLIT"
    distances: Sequence[Sequence[int]] = ()

    def tail(self) -> bytes:
        return len(self.distances).to_bytes(8, "little") + b"".join(map(bytes, self.distances))
