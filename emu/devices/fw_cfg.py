"""The firmware configuration interface: named and numbered blobs that the machine leaves for its firmware.

Layout from QEMU's published specification of fw_cfg: selector, data port, DMA descriptor, keys, file directory.
Not here: the write channel bit of the selector, which that specification has withdrawn.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from emu import log
from emu.bus import ALL_ONES
from emu.device import Device, SysBusDevice
from emu.snapshot import Stateful
# Keys
SIGNATURE, ID, UUID, RAM_SIZE, NOGRAPHIC, NB_CPUS, MACHINE_ID = range(0x00, 0x07)
KERNEL_ADDR, KERNEL_SIZE, KERNEL_CMDLINE, INITRD_ADDR, INITRD_SIZE = range(0x07, 0x0C)
BOOT_DEVICE, NUMA, BOOT_MENU, MAX_CPUS, KERNEL_ENTRY, KERNEL_DATA, INITRD_DATA = range(0x0C, 0x13)
CMDLINE_ADDR, CMDLINE_SIZE, CMDLINE_DATA, SETUP_ADDR, SETUP_SIZE, SETUP_DATA, FILE_DIR = range(0x13, 0x1A)
FILE_FIRST = 0x20
ARCH_LOCAL = 0x8000
ACPI_TABLES, SMBIOS_ENTRIES, IRQ0_OVERRIDE, E820_TABLE, HPET_CONFIG = range(ARCH_LOCAL, ARCH_LOCAL + 5)

FEATURE_TRADITIONAL, FEATURE_DMA = 0x01, 0x02
DMA_SIGNATURE = int.from_bytes(b"QEMU CFG", "big")

# The DMA descriptor in guest memory, big-endian: control, length, address.
DESCRIPTOR = struct.Struct(">IIQ")
DMA_ERROR, DMA_READ, DMA_SKIP, DMA_SELECT, DMA_WRITE = 0x01, 0x02, 0x04, 0x08, 0x10

DIRECTORY_ENTRY = struct.Struct(">IHH56s")
NAME_LIMIT = 55  # bytes, and a terminating null
NUMBER_SIZE = 8  # bytes; items that long may be counters, which the machine updates


class DmaMemory(Protocol):
    """Guest memory as a device reaches it.  An address outside RAM raises ValueError."""

    def dma_read(self, addr: int, n: int) -> bytes: ...

    def dma_write(self, addr: int, data: bytes) -> None: ...


@dataclass
class Item:
    """One blob.  `on_select` runs before the guest sees it, and may replace `data`; `on_write` after the guest wrote."""

    data: bytearray
    name: str = ""
    writable: bool = False
    on_select: Callable[[], None] | None = None
    on_write: Callable[[int, int], None] | None = None


class FwCfg(Stateful):
    """The items and the read position, without any bus: `FwCfgIo` and `FwCfgMmio` are its faces."""

    name = "fw_cfg"
    saved = ("key", "position", "dma_address")

    def __init__(self, memory: DmaMemory | None = None) -> None:
        self.memory = memory
        self.items: dict[int, Item] = {}
        self.files: dict[str, Item] = {}
        self.key = 0
        self.position = 0
        self.dma_address = 0
        self.add(SIGNATURE, b"QEMU")
        self.add(ID, struct.pack("<I", FEATURE_TRADITIONAL | FEATURE_DMA * (memory is not None)))
        self.add(FILE_DIR, b"\0\0\0\0")

    def reset(self) -> None:
        """Back to the signature; contents stay."""
        self.dma_address = 0
        self.select(SIGNATURE)

    # Snapshots: what cannot change any more comes from the machine's own options

    def _changing(self) -> dict[str, Item]:
        return {f"{key:#06x}": item for key, item in sorted(self.items.items())
                if item.on_select or item.writable or len(item.data) <= NUMBER_SIZE}  # fmt: skip

    def save(self) -> dict[str, Any]:
        return super().save() | {"items": {key: item.data.hex() for key, item in self._changing().items()}}

    def load(self, state: dict[str, Any]) -> None:
        super().load(state)
        for key, item in self._changing().items():
            item.data[:] = bytes.fromhex(state["items"][key])

    # The machine's side

    def add(self, key: int, data: bytes | bytearray, *, on_select: Callable[[], None] | None = None) -> Item:
        """Put a blob under a number, replacing what was there."""
        item = self.items[key] = Item(bytearray(data), on_select=on_select)
        return item

    def add_int(self, key: int, value: int, size: int) -> Item:
        """A little-endian number of `size` bytes."""
        return self.add(key, value.to_bytes(size, "little"))

    def add_file(
        self,
        name: str,
        data: bytes | bytearray,
        *,
        writable: bool = False,
        on_select: Callable[[], None] | None = None,
        on_write: Callable[[int, int], None] | None = None,
    ) -> Item:
        """Put a blob under a name, which shows in the directory.  `on_write(offset, length)` follows a guest's write.

        Files get their keys in the order of their names, so add them all before the guest runs.
        Raises ValueError for a name that is taken or longer than the directory's field.
        """
        if name in self.files:
            raise ValueError(f"fw_cfg already has a file {name!r}")
        if not 0 < len(name.encode()) <= NAME_LIMIT:
            raise ValueError(f"fw_cfg file names have 1 to {NAME_LIMIT} bytes, not {len(name.encode())}: {name!r}")
        item = self.files[name] = Item(bytearray(data), name, writable, on_select, on_write)
        self._build_directory()
        return item

    def set_file(self, name: str, data: bytes | bytearray) -> None:
        """New contents under the same name and key."""
        self.files[name].data = bytearray(data)
        self._build_directory()

    def _build_directory(self) -> None:
        names = sorted(self.files)
        for key in [key for key in self.items if FILE_FIRST <= key < ARCH_LOCAL]:
            del self.items[key]
        directory = bytearray(struct.pack(">I", len(names)))
        for key, name in enumerate(names, FILE_FIRST):
            self.items[key] = self.files[name]
            directory += DIRECTORY_ENTRY.pack(len(self.files[name].data), key, 0, name.encode())
        self.items[FILE_DIR].data = directory

    # The guest's side

    def select(self, key: int) -> None:
        self.key, self.position = key, 0
        item = self.items.get(key)
        if item is None:
            log.guest_error(self.name, f"selected key {key:#06x}, which does not exist; it reads as zeros")
        elif item.on_select:
            item.on_select()

    def take(self, count: int) -> bytes:
        """The next bytes of the selected item; zeros past its end."""
        item = self.items.get(self.key)
        data = bytes(item.data[self.position : self.position + count]) if item else b""
        self.position += len(data)
        return data.ljust(count, b"\0")

    def read_data(self, size: int) -> int:
        """The data register: the stream's bytes, the first one the most significant."""
        return int.from_bytes(self.take(size), "big")

    def read_dma(self, offset: int, size: int) -> int:
        """The DMA address register reads as its signature, stored big-endian."""
        return int.from_bytes(DMA_SIGNATURE.to_bytes(8, "big")[offset : offset + size], "little")

    def write_dma(self, offset: int, size: int, value: int) -> None:
        """The DMA address, big-endian in the register; the write that completes its low half starts the operation."""
        shown = int.from_bytes(value.to_bytes(size, "little"), "big")
        if size == 8:
            self._run_dma(shown)
        elif size == 4 and offset == 0:
            self.dma_address = shown << 32
        elif size == 4:
            self._run_dma(self.dma_address | shown)
        else:
            log.guest_error(self.name, f"DMA address written with {size} bytes; it takes 4 or 8")

    def _run_dma(self, descriptor: int) -> None:
        self.dma_address = 0
        memory = self.memory
        if memory is None:
            return
        try:
            control, length, address = DESCRIPTOR.unpack(memory.dma_read(descriptor, DESCRIPTOR.size))
        except ValueError as problem:
            log.guest_error(self.name, f"DMA descriptor at {descriptor:#x} is not in memory: {problem}")
            return
        if control & DMA_SELECT:
            self.select(control >> 16)
        try:
            ok = self._transfer(memory, control, length, address)
        except ValueError as problem:
            log.guest_error(self.name, f"DMA of {length:#x} bytes at {address:#x}: {problem}")
            ok = False
        memory.dma_write(descriptor, struct.pack(">I", 0 if ok else DMA_ERROR))

    def _transfer(self, memory: DmaMemory, control: int, length: int, address: int) -> bool:
        item = self.items.get(self.key)
        left = max(0, len(item.data) - self.position) if item else 0
        if control & DMA_READ:
            # Only what the item holds is built here: the guest may name any length.
            memory.dma_write(address, self.take(min(length, left)))
            _fill_zero(memory, address + min(length, left), length - min(length, left))
        elif control & DMA_WRITE:
            return self._write_item(item, memory, length, left, address)
        elif control & DMA_SKIP:
            self.position += min(length, left)
        return True

    def _write_item(self, item: Item | None, memory: DmaMemory, length: int, left: int, address: int) -> bool:
        if item is None or not item.writable or length > left:
            name = (item.name if item else "") or f"key {self.key:#06x}"
            log.guest_error(self.name, f"write of {length:#x} bytes to {name}, which does not take them")
            return False
        start = self.position
        item.data[start : start + length] = memory.dma_read(address, length)
        self.position += length
        if item.on_write:
            item.on_write(start, length)
        return True


def _fill_zero(memory: DmaMemory, address: int, length: int, chunk: int = 1 << 20) -> None:
    while length:
        part = min(length, chunk)
        memory.dma_write(address, bytes(part))
        address, length = address + part, length - part


class FwCfgIo(SysBusDevice):
    """The x86 face: selector at 0x510 (16-bit write), data at 0x511 (byte read), DMA address at 0x514 and 0x518."""

    name = "fw_cfg_io"
    BASE = 0x510
    SELECTOR, DATA, DMA = 0, 1, 4
    region_size = 12
    unaligned = True  # a 16-bit write to 0x511 selects as well
    saved = ("core",)

    def __init__(self, core: FwCfg) -> None:
        self.core = core

    def reset(self) -> None:
        self.core.reset()

    def read(self, offset: int, size: int) -> int:
        if offset >= self.DMA:
            return self.core.read_dma(offset - self.DMA, size)
        return self.core.read_data(1) if offset == self.DATA and size == 1 else 0

    def write(self, offset: int, size: int, value: int) -> None:
        if offset >= self.DMA:
            self.core.write_dma(offset - self.DMA, size, value)
        elif size == 2:
            self.core.select(value)


class FwCfgMmio(Device):
    """The memory-mapped face: data at 0 (1 to 8 bytes), big-endian selector at 8, DMA address at 0x10."""

    name = "fw_cfg_mem"
    DATA, SELECTOR, DMA = 0x00, 0x08, 0x10
    region_size, max_access = 0x18, 8
    saved = ("core",)

    def __init__(self, core: FwCfg) -> None:
        self.core = core

    def reset(self) -> None:
        self.core.reset()

    def read(self, offset: int, size: int) -> int:
        if offset >= self.DMA:
            return self.core.read_dma(offset - self.DMA, size)
        if offset >= self.SELECTOR:
            return 0
        return int.from_bytes(self.core.take(size), "little") & ALL_ONES[size]

    def write(self, offset: int, size: int, value: int) -> None:
        if offset >= self.DMA:
            self.core.write_dma(offset - self.DMA, size, value)
        elif offset == self.SELECTOR and size == 2:
            self.core.select(int.from_bytes(value.to_bytes(2, "little"), "big"))
