"""A PC that starts its firmware: the ROM image, and what firmware reads through fw_cfg (QEMU's documented keys and files).

ACPI tables are built when the firmware first selects them after a reset, so that they show the chipset as it was programmed and
the CPUs that are there.  Not here: boot orders and boot menus.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from acpi.build import LOADER_FILE, RSDP_FILE, TABLES_FILE, fw_cfg_files
from emu.cli.options import OptionError
from emu.devices import fw_cfg as keys
from emu.snapshot import Stateful
from machines import smbios
from machines.boot.image import RAM as E820_RAM
from machines.guests import linuxboot
from machines.memory import ROM_ROOM

if TYPE_CHECKING:
    from acpi.platform import Platform
    from emu.devices.fw_cfg import FwCfg
    from machines.boot.linux16 import KernelParts
    from machines.memory import GuestMemory

FOLDERS = (Path("/usr/share/seabios"), Path("/usr/share/qemu"))  # where Debian installs firmware images
ROM_GRANULE = 64 << 10
E820_FILE = "etc/e820"
E820_ENTRY = struct.Struct("<QQI")
HPET_ENTRY = struct.Struct("<IQHB")  # event timer block id, address, minimum tick, page protection
HPET_BLOCK_ID, HPET_ADDRESS, HPET_MINIMUM_TICK = 0x8086_A201, 0xFED0_0000, 100
FAIL_WAIT_FILE, FOREVER = "etc/boot-fail-wait", b"\xff\xff\xff\xff"  # else firmware reboots a minute after it gave up
BOOT_ORDER_FILE, KERNEL_ROM_FILE = "bootorder", "genroms/linuxboot_dma.bin"


def find_image(name: str) -> Path:
    """The file that -bios names, here or where firmware is installed.  Raises OptionError."""
    for folder in (Path(), *FOLDERS):
        if (folder / name).is_file():
            return folder / name
    raise OptionError(f"could not find firmware image '{name}', neither here nor in {', '.join(map(str, FOLDERS))}")


def read_image(path: Path) -> bytes:
    """A firmware image.  Raises OptionError for a size that no ROM has, OSError when it cannot be read."""
    image = path.read_bytes()
    if not image or len(image) % ROM_GRANULE or len(image) > ROM_ROOM:
        raise OptionError(f"could not load PC BIOS '{path}': {len(image)} bytes; an image has a multiple of 64 KiB, "
                          f"at most {ROM_ROOM >> 10} KiB")  # fmt: skip
    return image


def add_user_files(fw_cfg: FwCfg, files: Mapping[str, bytes | str | Path]) -> None:
    """What -fw_cfg asks for.  Raises OptionError for a name that is taken, OSError when a file cannot be read."""
    for name, given in files.items():
        contents = given.read_bytes() if isinstance(given, Path) else given.encode() if isinstance(given, str) else given
        try:
            fw_cfg.add_file(name, contents)
        except ValueError as error:
            raise OptionError(f"-fw_cfg name={name}: {error}") from None


class FirmwareTables(Stateful):
    """The fw_cfg items of one PC.  `apic_id_limit` is one more than the highest APIC id that a CPU of it may have."""

    saved = ("stale",)

    def __init__(self, fw_cfg: FwCfg, memory: GuestMemory, platform: Callable[[], Platform], apic_id_limit: int,
                 board: smbios.Board):  # fmt: skip
        self.fw_cfg, self.platform = fw_cfg, platform
        self.stale = True
        fw_cfg.add_int(keys.RAM_SIZE, memory.size, 8)
        fw_cfg.add_int(keys.NOGRAPHIC, 1, 2)
        fw_cfg.add_int(keys.MAX_CPUS, apic_id_limit, 2)
        fw_cfg.add_int(keys.BOOT_MENU, 0, 2)
        fw_cfg.add(keys.UUID, board.uuid.bytes)
        fw_cfg.add(keys.NUMA, bytes(8 * (1 + apic_id_limit)))
        fw_cfg.add_int(keys.IRQ0_OVERRIDE, 1, 4)
        fw_cfg.add(keys.HPET_CONFIG, b"\x01" + HPET_ENTRY.pack(HPET_BLOCK_ID, HPET_ADDRESS, HPET_MINIMUM_TICK, 0))
        self.count_cpus(0)
        fw_cfg.add_file(E820_FILE, _ram_map(memory))
        fw_cfg.add_file(FAIL_WAIT_FILE, FOREVER)
        for name, data in smbios.files(board).items():
            fw_cfg.add_file(name, data)
        for name, data in fw_cfg_files(platform()).files().items():
            fw_cfg.add_file(name, data, on_select=self._build)

    def count_cpus(self, present: int) -> None:
        self.fw_cfg.add_int(keys.NB_CPUS, present, 2)

    def offer_kernel(self, parts: KernelParts) -> None:
        """The kernel as numbered items, and the option ROM that starts it, first in the boot order."""
        for address_key, data_key, part in (
            (keys.KERNEL_ADDR, keys.KERNEL_DATA, parts.kernel), (keys.INITRD_ADDR, keys.INITRD_DATA, parts.initrd),
            (keys.CMDLINE_ADDR, keys.CMDLINE_DATA, parts.command_line), (keys.SETUP_ADDR, keys.SETUP_DATA, parts.setup),
        ):  # fmt: skip
            self.fw_cfg.add_int(address_key, part.address, 4)
            self.fw_cfg.add_int(address_key + 1, len(part.data), 4)
            self.fw_cfg.add(data_key, part.data)
        self.fw_cfg.add_file(KERNEL_ROM_FILE, linuxboot.image())
        self.fw_cfg.add_file(BOOT_ORDER_FILE, f"/rom@{KERNEL_ROM_FILE}\0".encode())

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
    return b"".join(E820_ENTRY.pack(start, size, E820_RAM) for start, size in memory.installed)
