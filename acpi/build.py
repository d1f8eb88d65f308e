"""All ACPI tables of a platform, in the two forms that boot paths need.

Firmware boot: `fw_cfg_files` gives `etc/acpi/tables`, `etc/acpi/rsdp` and the linker script `etc/table-loader`.
Direct boot: `lay_out` runs the same script itself and returns (address, bytes) pairs.  Tables depend on what firmware
programmed (PCIe window) and on which CPUs are present: build when the guest asks, not when the machine starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .dsdt import dsdt
from .loader import AddChecksum, AddPointer, Allocate, Script, Zone, link, script_bytes
from .madt import (
    MAX_XAPIC_ID,
    Entry,
    IoApic,
    LocalApicFlag,
    LocalApicNmi,
    LocalX2ApicNmi,
    Madt,
    interrupt_overrides,
    processor_entry,
)
from .platform import MemoryRange, Platform
from .srat import AffinityFlag, MemoryAffinity, Srat, processor_affinity
from .tables import (
    HEADER_LENGTH,
    SYSTEM_IO,
    BootArchitecture,
    Facs,
    FadtFlag,
    FadtV1,
    FadtV3,
    GenericAddress,
    Header,
    Hpet,
    Mcfg,
    RsdpV0,
    RsdpV2,
    Rsdt,
    Slit,
    Table,
    Waet,
    Xsdt,
)

TABLES_FILE, RSDP_FILE, LOADER_FILE = "etc/acpi/tables", "etc/acpi/rsdp", "etc/table-loader"
TABLES_MIN_LENGTH = 0x20000
LOADER_LENGTH = 0x1000
FACS_ALIGNMENT = 64
RSDP_ALIGNMENT = 16
MANY_CPUS = 8  # more of them need logical APIC destinations in clusters
RESET_PORT, RESET_VALUE = 0xCF9, 0x0F
MEMORY_HOLES = 2  # below 1 MiB and below 4 GiB: RAM of a node may be in so many more pieces
LOW_RAM_END, HIGH_RAM_START = 0xA0000, 0x100000


# ---------------------------------------------------------------- single tables


def fadt(platform: Platform) -> FadtV1:
    """Revision 1 for PIIX4, 3 for ICH9; without SMM there is no port to turn ACPI on: it is on already."""
    chipset = platform.chipset
    blocks: dict[str, Any] = {
        "sci_int": platform.sci_irq,
        "pm1a_evt_blk": chipset.pm_base,
        "pm1a_cnt_blk": chipset.pm_base + 4,
        "pm_tmr_blk": chipset.pm_base + 8,
        "gpe0_blk": chipset.gpe0_block,
        "gpe0_blk_len": chipset.gpe0_length,
        "flags": fadt_flags(platform),
    }
    if platform.smm:
        blocks |= {
            "smi_cmd": chipset.smi_command,
            "acpi_enable": chipset.acpi_enable,
            "acpi_disable": chipset.acpi_disable,
        }
    if chipset.fadt_revision == 1:
        return FadtV1(**blocks)
    return FadtV3(
        **blocks,
        iapc_boot_arch=BootArchitecture.KEYBOARD_8042 if platform.i8042 else 0,
        reset_reg=GenericAddress(address_space_id=SYSTEM_IO, register_bit_width=8, address=RESET_PORT),
        reset_value=RESET_VALUE,
    )


def fadt_flags(platform: Platform) -> FadtFlag:
    flags = FadtFlag.WBINVD | FadtFlag.PROC_C1 | FadtFlag.SLP_BUTTON | FadtFlag.RTC_S4 | FadtFlag.USE_PLATFORM_CLOCK
    if platform.chipset.fadt_revision >= 3:
        flags |= FadtFlag.RESET_REG_SUP
    if len(platform.cpus) > MANY_CPUS:
        flags |= FadtFlag.FORCE_APIC_CLUSTER_MODEL
    return flags


def madt(platform: Platform) -> Madt:
    processors: list[Entry] = [
        processor_entry(cpu.uid, cpu.apic_id, LocalApicFlag.ENABLED if cpu.present else LocalApicFlag(0))
        for cpu in platform.cpus
    ]
    x2apic = any(cpu.apic_id > MAX_XAPIC_ID for cpu in platform.cpus)
    nmi = LocalX2ApicNmi() if x2apic else LocalApicNmi()
    return Madt(entries=[*processors, IoApic(), *interrupt_overrides(platform.irq0_override), nmi])


def srat(platform: Platform) -> Srat:
    processors = [processor_affinity(cpu.apic_id, cpu.node or 0) for cpu in platform.cpus]
    memory = [_memory_affinity(part) for part in platform.memory for part in _without_legacy_hole(part)]
    unused = [MemoryAffinity()] * (platform.numa_nodes + MEMORY_HOLES - len(memory))  # QEMU: as many entries for any memory size
    return Srat(entries=[*processors, *memory, *unused])


def _without_legacy_hole(ram: MemoryRange) -> Sequence[MemoryRange]:
    """RAM under the VGA and BIOS areas belongs to nobody."""
    if not ram.base <= LOW_RAM_END < ram.end:
        return (ram,)
    low = MemoryRange(ram.base, LOW_RAM_END - ram.base, ram.node)
    return (
        (low, MemoryRange(HIGH_RAM_START, ram.end - HIGH_RAM_START, ram.node)) if ram.end > HIGH_RAM_START else (low,)
    )


def _memory_affinity(ram: MemoryRange) -> MemoryAffinity:
    flags = AffinityFlag.ENABLED | (AffinityFlag.HOT_PLUGGABLE if ram.hotpluggable else AffinityFlag(0))
    return MemoryAffinity(proximity_domain=ram.node, base_address=ram.base, length_in_bytes=ram.size, flags=flags)


def secondary_tables(platform: Platform) -> list[Table]:
    """What the RSDT lists behind the FADT, in order."""
    tables: list[Table] = [madt(platform)]
    if platform.hpet:
        tables.append(Hpet())
    if platform.numa_nodes:
        tables.append(srat(platform))
        if platform.numa_distances:
            tables.append(Slit(distances=platform.numa_distances))
    if platform.mmconfig:
        tables.append(Mcfg(base_address=platform.mmconfig.first))
    return [*tables, Waet()]


# ---------------------------------------------------------------- the blob and its script


@dataclass
class Blob:
    """Tables in a row, with zero checksums and pointers that hold offsets into the same file."""

    platform: Platform
    data: bytearray = field(default_factory=bytearray)
    script: Script = field(default_factory=list)

    def append(self, table: bytes) -> int:
        """Place a table; its offset."""
        offset = len(self.data)
        self.data += table
        return offset

    def checksum(self, offset: int) -> None:
        """Let the loader sum up the table at `offset`."""
        length_at = offset + Header.offset_of("length")
        length = int.from_bytes(self.data[length_at : length_at + 4], "little")
        at = offset + Header.offset_of("checksum")
        self.data[at] = 0
        self.script.append(AddChecksum(TABLES_FILE, at, offset, length))

    def pointer(self, at: int, size: int) -> None:
        """Let the loader turn the offset stored at `at` into an address."""
        self.script.append(AddPointer(TABLES_FILE, TABLES_FILE, at, size))

    def append_summed(self, table: Table) -> int:
        offset = self.append(table.to_bytes(self.platform.oem))
        self.checksum(offset)
        return offset


def _append_fadt(blob: Blob, facs_at: int, dsdt_at: int) -> int:
    table = fadt(blob.platform)
    table.firmware_ctrl, table.dsdt = facs_at, dsdt_at
    pointers = [("firmware_ctrl", 4), ("dsdt", 4)]
    if isinstance(table, FadtV3):
        table.x_dsdt = dsdt_at
        pointers.append(("x_dsdt", 8))
    offset = blob.append(table.to_bytes(blob.platform.oem))
    for name, size in pointers:
        blob.pointer(offset + table.table_offset(name), size)
    blob.checksum(offset)
    return offset


def _append_root(blob: Blob, root: type[Rsdt], entries: list[int]) -> int:
    offset = blob.append(root(entries=entries).to_bytes(blob.platform.oem))
    for n in range(len(entries)):
        blob.pointer(offset + HEADER_LENGTH + root.entry_width * n, root.entry_width)
    blob.checksum(offset)
    return offset


@dataclass(frozen=True)
class AcpiFiles:
    """The fw_cfg contents; `script` is the decoded `etc/table-loader`."""

    tables: bytes
    rsdp: bytes
    script: Script

    @property
    def loader(self) -> bytes:
        return script_bytes(self.script).ljust(LOADER_LENGTH, b"\0")

    def files(self) -> dict[str, bytes]:
        """File name -> contents, padded as firmware expects them."""
        return {
            TABLES_FILE: self.tables.ljust(TABLES_MIN_LENGTH, b"\0"),
            RSDP_FILE: self.rsdp,
            LOADER_FILE: self.loader,
        }


def fw_cfg_files(platform: Platform, rsdp_revision: int = 0) -> AcpiFiles:
    """Tables for firmware.  Revision 0 of the RSDP points at an RSDT, revision 2 at an XSDT as well."""
    blob = Blob(platform)
    blob.script += [
        Allocate(RSDP_FILE, RSDP_ALIGNMENT, Zone.F_SEGMENT),
        Allocate(TABLES_FILE, FACS_ALIGNMENT, Zone.HIGH),
    ]
    facs_at = blob.append(Facs().to_bytes())
    dsdt_at = blob.append(dsdt(platform))
    blob.checksum(dsdt_at)
    listed = [_append_fadt(blob, facs_at, dsdt_at)]
    listed += [blob.append_summed(table) for table in secondary_tables(platform)]
    rsdt_at = _append_root(blob, Rsdt, listed)
    xsdt_at = _append_root(blob, Xsdt, listed) if rsdp_revision >= 2 else None
    rsdp = _root_pointer(blob, rsdt_at, xsdt_at)
    return AcpiFiles(bytes(blob.data), rsdp, blob.script)


def _root_pointer(blob: Blob, rsdt_at: int, xsdt_at: int | None) -> bytes:
    oem_id, script = blob.platform.oem.oem_id, blob.script
    rsdt_pointer = RsdpV0.offset_of("rsdt_address")
    script.append(AddPointer(RSDP_FILE, TABLES_FILE, rsdt_pointer, 4))
    if xsdt_at is None:
        script.append(AddChecksum(RSDP_FILE, RsdpV0.offset_of("checksum"), 0, RsdpV0.size()))
        return RsdpV0(oem_id=oem_id, rsdt_address=rsdt_at).pack()
    rsdp = RsdpV2(oem_id=oem_id, rsdt_address=rsdt_at, xsdt_address=xsdt_at)
    script += [
        AddPointer(RSDP_FILE, TABLES_FILE, RsdpV2.offset_of("xsdt_address"), 8),
        AddChecksum(RSDP_FILE, RsdpV0.offset_of("checksum"), 0, RsdpV0.size()),
        AddChecksum(RSDP_FILE, RsdpV2.offset_of("extended_checksum"), 0, rsdp.length),
    ]
    return rsdp.pack()


def lay_out(
    platform: Platform, base: int, rsdp_address: int | None = None, rsdp_revision: int = 2
) -> list[tuple[int, bytes]]:
    """Finished tables as (guest-physical address, bytes).

    The RSDP comes first and is at `base` (16-byte aligned), the tables follow on the next 64-byte boundary.  Give
    `rsdp_address` to put it apart, for instance into the BIOS area below 1 MiB where an OS searches for it; the
    tables then start at `base`.  ValueError if an address is not aligned or does not fit its pointer.
    """
    files = fw_cfg_files(platform, rsdp_revision)
    root = base if rsdp_address is None else rsdp_address
    tables = base if rsdp_address is not None else _align(base + len(files.rsdp), FACS_ALIGNMENT)
    place = {RSDP_FILE: root, TABLES_FILE: tables}

    def allocate(command: Allocate, size: int) -> int:
        if place[command.file] % command.alignment:
            raise ValueError(f"{command.file} at {place[command.file]:#x}: align it to {command.alignment} bytes")
        return place[command.file]

    linked = link(files.script, {RSDP_FILE: files.rsdp, TABLES_FILE: files.tables}, allocate)
    return [linked[RSDP_FILE], linked[TABLES_FILE]]


def _align(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment
