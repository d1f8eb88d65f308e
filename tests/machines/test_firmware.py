"""What firmware gets: the user's own files, and of -kernel its parts and an option ROM that firmware takes for a boot device."""

from __future__ import annotations

import struct

import pytest

from emu.cli.options import OptionError
from emu.devices import fw_cfg
from machines import Pc
from machines.boot.linux import CMD_LINE_PTR, RAMDISK_IMAGE
from machines.boot.linux16 import CMDLINE_AT, FIRMWARE_ROOM, KERNEL_AT, SETUP_AT
from machines.firmware import BOOT_ORDER_FILE, KERNEL_ROM_FILE
from machines.guests import linuxboot

SETUP_SECTORS, SECTOR = 3, 512
MIB = 1 << 20
ROM = 64 << 10


def bzimage(version: int = 0x20C, load_flags: int = 1, end: int = 4 * MIB) -> bytes:
    """The header of a kernel with 1,000 bytes of code."""
    image = bytearray((SETUP_SECTORS + 1) * SECTOR) + b"K" * 1000
    image[0x1F1] = SETUP_SECTORS
    struct.pack_into("<I", image, 0x1F4, 1000 // 16)
    image[0x1FE:0x200], image[0x202:0x206] = b"\x55\xaa", b"HdrS"
    struct.pack_into("<H", image, 0x206, version)
    image[0x211] = load_flags
    struct.pack_into("<I", image, 0x22C, 0x7FFF_FFFF)
    struct.pack_into("<I", image, 0x238, 255)
    struct.pack_into("<QI", image, 0x258, MIB, end - MIB)
    return bytes(image)


@pytest.fixture
def bios(tmp_path):
    path = tmp_path / "bios.bin"
    path.write_bytes(b"\xf4" * ROM)
    return path


def pc(bios, **options):
    return Pc(bios=bios, memory="32M", **{"kernel": bzimage(), "append": "quiet", **options})


def item(vm, key):
    return bytes(vm.fw_cfg.core.items[key].data)


def number(vm, key):
    return int.from_bytes(item(vm, key), "little")


def test_the_rom_is_whole_units_and_adds_up_to_zero():
    rom = linuxboot.image()
    assert rom[:2] == b"\x55\xaa"
    assert len(rom) == rom[2] * 512
    assert sum(rom) % 256 == 0


def test_the_expansion_header_names_the_bootstrap_entry():
    rom = linuxboot.image()
    header = rom[struct.unpack_from("<H", rom, 0x1A)[0]:][:32]
    assert header[:6] == b"$PnP\x01\x02"
    assert sum(header) % 256 == 0
    assert struct.unpack_from("<H", header, 26)[0] == linuxboot.CODE_AT
    product = struct.unpack_from("<H", header, 16)[0]
    assert rom[product:].startswith(b"Linux kernel from fw_cfg\0")


def test_firmware_boots_the_rom_first(bios):
    files = pc(bios).fw_cfg.core.files
    assert files[BOOT_ORDER_FILE].data == b"/rom@genroms/linuxboot_dma.bin\0"
    assert files[KERNEL_ROM_FILE].data == linuxboot.image()


def test_without_a_kernel_there_is_no_rom(bios):
    assert KERNEL_ROM_FILE not in pc(bios, kernel=None).fw_cfg.core.files


def test_the_parts_and_their_places_are_numbered_items(bios):
    vm = pc(bios, initrd=b"I" * 5000)
    assert number(vm, fw_cfg.KERNEL_ADDR) == KERNEL_AT
    assert item(vm, fw_cfg.KERNEL_DATA) == b"K" * 1000
    assert number(vm, fw_cfg.CMDLINE_ADDR) == CMDLINE_AT
    assert item(vm, fw_cfg.CMDLINE_DATA) == b"quiet\0"
    assert number(vm, fw_cfg.SETUP_ADDR) == SETUP_AT
    assert number(vm, fw_cfg.SETUP_SIZE) == (SETUP_SECTORS + 1) * SECTOR
    assert item(vm, fw_cfg.INITRD_DATA) == b"I" * 5000


def test_the_setup_part_points_at_command_line_and_initrd(bios):
    vm = pc(bios, initrd=b"I" * 5000)
    setup = item(vm, fw_cfg.SETUP_DATA)
    assert struct.unpack_from("<I", setup, CMD_LINE_PTR)[0] == CMDLINE_AT
    address, size = struct.unpack_from("<II", setup, RAMDISK_IMAGE)
    assert (address, size) == (number(vm, fw_cfg.INITRD_ADDR), 5000)
    assert address + size <= 32 * MIB - FIRMWARE_ROOM < address + size + 4096


@pytest.mark.parametrize(
    "options, words",
    [
        ({"kernel": b"\x7fELF" + bytes(1000)}, "bzImage. only; start other kernels directly, without -bios"),
        ({"kernel": bzimage(version=0x202)}, "boot protocol 2.03 and later"),
        ({"kernel": bzimage(load_flags=0)}, "the kernel is too old"),
        ({"kernel": bzimage(end=64 * MIB)}, "the kernel needs memory up to 65 MiB, the machine has 32 MiB"),
        ({"initrd": bytes(30 * MIB)}, "the initrd of 30 MiB does not fit"),
        ({"append": "x" * 256}, "command line of at most 255 bytes"),
        ({"kernel": bzimage()[:1000]}, "cut short"),
    ],
)
def test_what_firmware_cannot_start_is_refused(bios, options, words):
    with pytest.raises(OptionError, match=words):
        pc(bios, **options)


def test_the_users_files_are_in_fw_cfg_with_and_without_firmware(bios, tmp_path):
    (tmp_path / "key").write_bytes(b"\0\1\2")
    for rom in (bios, None):
        files = Pc(bios=rom, memory="32M", fw_cfg={"opt/org.test/key": tmp_path / "key", "opt/text": "hello"}).fw_cfg.core.files
        assert files["opt/org.test/key"].data == b"\0\1\2"
        assert files["opt/text"].data == b"hello"


def test_a_name_of_the_machines_own_is_refused(bios):
    with pytest.raises(OptionError, match="-fw_cfg name=etc/e820: fw_cfg already has a file 'etc/e820'"):
        Pc(bios=bios, memory="32M", fw_cfg={"etc/e820": b""})


def test_ids_of_sparse_topologies_bound_what_firmware_counts(bios):
    vm = Pc(bios=bios, memory="32M", smp="1,sockets=1,cores=3,threads=2,maxcpus=6")
    assert (number(vm, fw_cfg.NB_CPUS), number(vm, fw_cfg.MAX_CPUS)) == (1, 6)
    vm = Pc(bios=bios, memory="32M", smp="1,sockets=2,cores=3,threads=1,maxcpus=6")
    assert number(vm, fw_cfg.MAX_CPUS) == 7
