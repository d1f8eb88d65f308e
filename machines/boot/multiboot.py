"""Multiboot 1 (GNU Multiboot Specification 0.6.96): ELF or address-field images, memory map, command line, one module."""

from __future__ import annotations

import struct

from machines.boot import elf
from machines.boot.image import RAM, BootError, BootImage, BootInfo, check_room, place_initrd

HEADER_MAGIC, LOADER_MAGIC = 0x1BADB002, 0x2BADB002
SEARCHED = 8192                                                 # the header is in the first 8 KiB, 4-byte aligned
HAS_ADDRESSES = 1 << 16
INFO_MEMORY, INFO_CMDLINE, INFO_MODS, INFO_MMAP, INFO_NAME = 1, 1 << 2, 1 << 3, 1 << 6, 1 << 9
INFO_AT, STRINGS_AT, MMAP_AT, MODULE_AT = 0x9000, 0x9100, 0xB000, 0xBF00
LOADER_NAME = b"numachine\0"
KIB = 1024


def header_at(data: bytes) -> int | None:
    for at in range(0, min(SEARCHED, len(data) - 11), 4):
        magic, flags, checksum = struct.unpack_from("<III", data, at)
        if magic == HEADER_MAGIC and (magic + flags + checksum) & 0xFFFF_FFFF == 0:
            return at
    return None


def recognises(data: bytes) -> bool:
    return header_at(data) is not None


def place(data: bytes, info: BootInfo) -> BootImage:
    at = header_at(data)
    assert at is not None
    flags, = struct.unpack_from("<I", data, at + 4)
    if flags & HAS_ADDRESSES:
        loaded, entry = _by_addresses(data, at, info)
    else:
        loaded, entry = _by_elf(data, info)
    image = BootImage(entry=entry, segments=loaded, registers={"rax": LOADER_MAGIC, "rbx": INFO_AT})
    module = place_initrd(image, info, info.low_ram, max(start + len(part) for start, part in loaded))
    image.segments += _information(info, module)
    return image


def _by_elf(data: bytes, info: BootInfo) -> tuple[list[tuple[int, bytes]], int]:
    if not elf.recognises(data):
        raise BootError("the multiboot header gives no load addresses and the file is no ELF file")
    file = elf.parse(data)
    if file["e_machine"] == "EM_X86_64":
        raise BootError("Cannot load x86-64 image, give a 32bit one.")
    return elf.segments(file, info), file["e_entry"]


def _by_addresses(data: bytes, at: int, info: BootInfo) -> tuple[list[tuple[int, bytes]], int]:
    header, load, load_end, bss_end, entry = struct.unpack_from("<5I", data, at + 12)
    first = at - (header - load)
    if load > header or first < 0:
        raise BootError("the multiboot header's load address is impossible for where the header is in the file")
    body = data[first:first + load_end - load] if load_end else data[first:]
    size = max(len(body), bss_end - load if bss_end else 0)
    check_room(load, size, info, "the kernel")
    return [(load, body.ljust(size, b"\0"))], entry


def _information(info: BootInfo, module: tuple[int, int]) -> list[tuple[int, bytes]]:
    """The multiboot information structure and what it points at."""
    command = info.append.encode() + b"\0"
    memory_map = b"".join(struct.pack("<IQQI", 20, r.start, r.size, r.type) for r in info.memory_map)
    lower = next((r.size for r in info.memory_map if r.type == RAM and r.start == 0), 0) // KIB
    upper = next((r.size for r in info.memory_map if r.type == RAM and r.start == 1 << 20), 0) // KIB
    flags = INFO_MEMORY | INFO_CMDLINE | INFO_MMAP | INFO_NAME | (INFO_MODS if module[1] else 0)
    words = [flags, lower, upper, 0, STRINGS_AT + len(LOADER_NAME), 1 if module[1] else 0, MODULE_AT, 0, 0, 0, 0,
             len(memory_map), MMAP_AT, 0, 0, 0, STRINGS_AT]
    parts = [(INFO_AT, struct.pack(f"<{len(words)}I", *words)), (STRINGS_AT, LOADER_NAME + command), (MMAP_AT, memory_map)]
    if module[1]:
        parts.append((MODULE_AT, struct.pack("<4I", module[0], module[0] + module[1], STRINGS_AT + len(LOADER_NAME), 0)))
    return parts
