"""A PC that starts its firmware: the ROM image, and what firmware reads through fw_cfg (QEMU's documented keys and files).

ACPI tables are built when the firmware first selects them after a reset, so that they show the chipset as it was programmed and
the CPUs that are there.  Not here: option ROMs, -kernel through firmware, SMBIOS tables.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from acpi.build import LOADER_FILE, RSDP_FILE, TABLES_FILE, fw_cfg_files
from emu.cli.options import OptionError
from machines.boot.image import RAM as E820_RAM
from machines.memory import FOUR_GIB, ROM_ROOM

if TYPE_CHECKING:
    from acpi.platform import Platform
    from emu.devices.fw_cfg import FwCfg
    from machines.memory import GuestMemory

ROM_GRANULE = 64 << 10
# fw_cfg keys
KEY_UUID, KEY_RAM_SIZE, KEY_NOGRAPHIC, KEY_NB_CPUS, KEY_NUMA, KEY_BOOT_MENU, KEY_MAX_CPUS = 2, 3, 4, 5, 0x0D, 0x0E, 0x0F
KEY_IRQ0_OVERRIDE, KEY_HPET = 0x8002, 0x8004
E820_FILE = "etc/e820"
E820_ENTRY = struct.Struct("<QQI")
HPET_ENTRY = struct.Struct("<IQHB")  # event timer block id, address, minimum tick, page protection
HPET_BLOCK_ID, HPET_ADDRESS, HPET_MINIMUM_TICK = 0x8086_A201, 0xFED0_0000, 100


def read_image(path: Path) -> bytes:
    """A firmware image.  Raises OptionError for a size that no ROM has, OSError when it cannot be read."""
    image = path.read_bytes()
    if not image or len(image) % ROM_GRANULE or len(image) > ROM_ROOM:
        raise OptionError(f"could not load PC BIOS '{path}': {len(image)} bytes; an image has a multiple of 64 KiB, "
                          f"at most {ROM_ROOM >> 10} KiB")  # fmt: skip
    return image


class FirmwareTables:
    """The fw_cfg items of one PC."""

    def __init__(self, fw_cfg: FwCfg, memory: GuestMemory, platform: Callable[[], Platform], max_cpus: int):
        self.fw_cfg, self.platform = fw_cfg, platform
        self.stale = True
        fw_cfg.add_int(KEY_RAM_SIZE, memory.size, 8)
        fw_cfg.add_int(KEY_NOGRAPHIC, 1, 2)
        fw_cfg.add_int(KEY_MAX_CPUS, max_cpus, 2)
        fw_cfg.add_int(KEY_BOOT_MENU, 0, 2)
        fw_cfg.add(KEY_UUID, bytes(16))
        fw_cfg.add(KEY_NUMA, bytes(8 * (1 + max_cpus)))
        fw_cfg.add_int(KEY_IRQ0_OVERRIDE, 1, 4)
        fw_cfg.add(KEY_HPET, b"\x01" + HPET_ENTRY.pack(HPET_BLOCK_ID, HPET_ADDRESS, HPET_MINIMUM_TICK, 0))
        self.count_cpus(0)
        fw_cfg.add_file(E820_FILE, _ram_map(memory))
        for name, data in fw_cfg_files(platform()).files().items():
            fw_cfg.add_file(name, data, on_select=self._build)

    def count_cpus(self, present: int) -> None:
        self.fw_cfg.add_int(KEY_NB_CPUS, present, 2)

    def reset(self) -> None:
        """The next firmware gets fresh tables."""
        self.stale = True

    def _build(self) -> None:
        if self.stale:
            self.stale = False
            files = fw_cfg_files(self.platform()).files()
            for name in (TABLES_FILE, RSDP_FILE, LOADER_FILE):
                self.fw_cfg.set_file(name, files[name])


def _ram_map(memory: GuestMemory) -> bytes:
    ranges = [(0, memory.low)] + ([(FOUR_GIB, memory.high)] if memory.high else [])
    return b"".join(E820_ENTRY.pack(start, size, E820_RAM) for start, size in ranges)
