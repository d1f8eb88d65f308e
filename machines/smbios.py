"""SMBIOS tables of a PC for its firmware, which adds a type 0 of its own, moves them and completes the entry point.

DMTF DSP0134 (SMBIOS 2.8): 5.2.1 entry point, 6 structures, 7.x their types.  Contents, handles and order as QEMU 7.2 has them.
Not here: OEM strings (type 11), slots and devices (types 8, 9, 41), the 64-bit entry point, tables for a direct boot.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar
from uuid import UUID

from acpi.packed import Record, layout, u8, u16, u32, u64
from acpi.platform import MemoryRange

TABLES_FILE, ANCHOR_FILE = "etc/smbios/smbios-tables", "etc/smbios/smbios-anchor"
MAKER = "QEMU"
CHASSIS_HANDLE, ARRAY_HANDLE = 0x300, 0x1000
KIB, MIB = 1 << 10, 1 << 20
DIMM_SIZE = 16 << 30  # bytes; more memory is several of them
UNKNOWN_WIDTH, NO_HANDLE, NOT_PROVIDED = 0xFFFF, 0xFFFF, 0xFFFE

Text = Annotated[str, 1]  # in the structure, the number of a string behind it; 0 when there is none
Id = Annotated[bytes, 16]


@dataclass(kw_only=True)
class Structure(Record):
    """One structure: fields in the specification's order after the header of type, length, handle."""

    number: ClassVar[int]

    def to_bytes(self, handle: int) -> bytes:
        """With its header, and its strings behind it."""
        strings: list[str] = []
        content = b"".join(_field(getattr(self, name), width, strings) for name, width in layout(type(self)))
        text = b"".join(string.encode() + b"\0" for string in strings) or b"\0"
        return struct.pack("<BBH", self.number, 4 + len(content), handle) + content + text + b"\0"


def _field(value: str | bytes | int, width: int, strings: list[str]) -> bytes:
    if isinstance(value, str):
        strings.extend([value] if value else [])
        value = len(strings) if value else 0
    return value if isinstance(value, bytes) else value.to_bytes(width, "little")


@dataclass(kw_only=True)
class Bios(Structure):
    number = 0
    vendor: Text = ""
    version: Text = ""
    start_segment: u16 = 0xE800
    date: Text = ""
    rom_size: u8 = 0
    characteristics: u64 = 1 << 3  # not supported
    extension_1: u8 = 0
    extension_2: u8 = 0x14  # a virtual machine; content may be relied on
    major_release: u8 = 0
    minor_release: u8 = 0
    controller_release: u16 = 0xFFFF


@dataclass(kw_only=True)
class System(Structure):
    number = 1
    manufacturer: Text = MAKER
    product: Text
    version: Text
    serial: Text = ""
    uuid: Id
    wake_up: u8 = 6  # power switch
    sku: Text = ""
    family: Text = ""


@dataclass(kw_only=True)
class Baseboard(Structure):
    number = 2
    manufacturer: Text = MAKER
    product: Text
    version: Text
    serial: Text = ""
    asset: Text = ""
    features: u8 = 1  # a hosting board
    location: Text = ""
    chassis: u16 = CHASSIS_HANDLE
    kind: u8 = 0x0A  # motherboard
    contained: u8 = 0


@dataclass(kw_only=True)
class Chassis(Structure):
    number = 3
    manufacturer: Text = MAKER
    kind: u8 = 1  # other
    version: Text
    serial: Text = ""
    asset: Text = ""
    boot_up_state: u8 = 3  # safe, as are the next two
    power_supply_state: u8 = 3
    thermal_state: u8 = 3
    security: u8 = 2  # unknown
    oem: u32 = 0
    height: u8 = 0
    power_cords: u8 = 0
    contained: u8 = 0
    contained_length: u8 = 0
    sku: Text = ""


@dataclass(kw_only=True)
class Processor(Structure):
    number = 4
    socket: Text
    kind: u8 = 3  # central
    family: u8 = 1  # other
    manufacturer: Text = MAKER
    signature: u32  # CPUID leaf 1, EAX and EDX
    features: u32
    version: Text
    voltage: u8 = 0
    external_clock: u16 = 0
    maximum_mhz: u16 = 2000
    current_mhz: u16 = 2000
    status: u8 = 0x41  # populated and enabled
    upgrade: u8 = 1  # other
    cache_1: u16 = NO_HANDLE
    cache_2: u16 = NO_HANDLE
    cache_3: u16 = NO_HANDLE
    serial: Text = ""
    asset: Text = ""
    part: Text = ""
    cores: u8
    cores_enabled: u8
    threads: u8
    characteristics: u16 = 2  # unknown
    family_2: u16 = 1


@dataclass(kw_only=True)
class MemoryArray(Structure):
    number = 16
    location: u8 = 1  # other
    use: u8 = 3  # system memory
    correction: u8 = 6  # multi-bit
    capacity_kib: u32
    error_handle: u16 = NOT_PROVIDED
    devices: u16
    extended_capacity: u64 = 0


@dataclass(kw_only=True)
class MemoryDevice(Structure):
    number = 17
    array: u16 = ARRAY_HANDLE
    error_handle: u16 = NOT_PROVIDED
    total_width: u16 = UNKNOWN_WIDTH
    data_width: u16 = UNKNOWN_WIDTH
    size_mib: u16
    form: u8 = 9  # DIMM
    set: u8 = 0
    locator: Text
    bank: Text = ""
    kind: u8 = 7  # RAM
    detail: u16 = 2  # other
    speed: u16 = 0
    manufacturer: Text = MAKER
    serial: Text = ""
    asset: Text = ""
    part: Text = ""
    attributes: u8 = 0
    extended_size: u32 = 0
    clock: u16 = 0
    minimum_voltage: u16 = 0
    maximum_voltage: u16 = 0
    voltage: u16 = 0


@dataclass(kw_only=True)
class MappedAddress(Structure):
    number = 19
    first_kib: u32
    last_kib: u32
    array: u16 = ARRAY_HANDLE
    partition_width: u8 = 1
    extended_first: u64 = 0
    extended_last: u64 = 0


@dataclass(kw_only=True)
class SystemBoot(Structure):
    number = 32
    reserved: Annotated[bytes, 6] = bytes(6)
    status: u8 = 0  # no errors


@dataclass(kw_only=True)
class End(Structure):
    number = 127


@dataclass(frozen=True)
class Board:
    """What the tables say of a machine.  Sizes in bytes; `signature` and `features` are CPUID leaf 1's EAX and EDX.

    `given` has what the user chose, field by field, for types 0 to 3: -smbios type=1,serial=... is {1: {"serial": ...}}."""

    product: str
    version: str
    uuid: UUID
    sockets: int
    cores: int
    threads: int
    signature: int
    features: int
    memory: list[MemoryRange]
    given: Mapping[int, Mapping[str, str]] = field(default_factory=dict)


def structures(board: Board) -> Iterator[tuple[int, Structure]]:
    """(handle, structure) in the order of the table."""
    size = sum(each.size for each in board.memory)
    if 0 in board.given:
        yield 0, _bios(board.given[0])
    yield 0x100, _chosen(System(product=board.product, version=board.version, uuid=board.uuid.bytes_le), board.given)
    if 2 in board.given:
        yield 0x200, _chosen(Baseboard(product=board.product, version=board.version), board.given)
    yield CHASSIS_HANDLE, _chosen(Chassis(version=board.version), board.given)
    for n in range(board.sockets):
        yield 0x400 + n, Processor(socket=f"CPU {n}", version=board.version, signature=board.signature, features=board.features,
                                   cores=min(board.cores, 255), cores_enabled=min(board.cores, 255),
                                   threads=min(board.cores * board.threads, 255))  # fmt: skip
    dimms = -(-size // DIMM_SIZE)
    yield ARRAY_HANDLE, MemoryArray(capacity_kib=size // KIB, devices=dimms)
    for n in range(dimms):
        yield 0x1100 + n, MemoryDevice(size_mib=min(DIMM_SIZE, size - n * DIMM_SIZE) // MIB, locator=f"DIMM {n}")
    for n, part in enumerate(board.memory):
        yield 0x1300 + n, MappedAddress(first_kib=part.base // KIB, last_kib=part.end // KIB - 1)
    yield 0x2000, SystemBoot()
    yield 0x7F00, End()


def _bios(given: Mapping[str, str]) -> Bios:
    texts = {name: value for name, value in given.items() if name != "release"}
    major, _, minor = given.get("release", "0.0").partition(".")
    return replace(Bios(major_release=int(major), minor_release=int(minor)), **texts)  # type: ignore[arg-type]


def _chosen(default: Structure, given: Mapping[int, Mapping[str, str]]) -> Structure:
    chosen: dict[str, str | bytes] = dict(given.get(default.number, {}))
    if "uuid" in chosen:
        chosen["uuid"] = UUID(str(chosen["uuid"])).bytes_le
    return replace(default, **chosen)  # type: ignore[arg-type]


ENTRY_POINT = struct.Struct("<4sBBBBHB5x5sBHIHB")
ENTRY_VERSION, ENTRY_REVISION = (2, 8), 0x28


def files(board: Board) -> dict[str, bytes]:
    """The fw_cfg files: all structures, and the entry point without address and checksums, which firmware fills in."""
    parts = [structure.to_bytes(handle) for handle, structure in structures(board)]
    table = b"".join(parts)
    anchor = ENTRY_POINT.pack(b"_SM_", 0, ENTRY_POINT.size, *ENTRY_VERSION, max(map(len, parts)), 0, b"_DMI_", 0, len(table), 0,
                              len(parts), ENTRY_REVISION)  # fmt: skip
    return {TABLES_FILE: table, ANCHOR_FILE: anchor}
