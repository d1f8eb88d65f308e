"""Linux bzImage by the 16-bit boot protocol (Documentation/arch/x86/boot.rst, "real-mode kernel header"): started from firmware.

The kernel's setup code asks the BIOS for the memory map and finds the ACPI tables that firmware built.  What is placed here
reaches memory through fw_cfg and an option ROM (machines/guests/linuxboot.py).
Not here: zImage, which is loaded low; protocols before 2.03.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from machines.boot.image import ACPI_DATA, E820, MIB, BootError, BootImage, BootInfo, check_room, place_initrd, read_kernel
from machines.boot.linux import (
    CAN_USE_HEAP,
    CMD_LINE_PTR,
    INIT_SIZE,
    INITRD_ADDR_MAX,
    LOAD_FLAGS,
    LOADED_HIGH,
    LOADER_UNDEFINED,
    PREF_ADDRESS,
    RAMDISK_IMAGE,
    TYPE_OF_LOADER,
    VERSION,
    command_line,
    recognises,
    split,
)

OLDEST_VERSION, RELOCATABLE_VERSION = 0x203, 0x20A  # the former has INITRD_ADDR_MAX, the latter PREF_ADDRESS and INIT_SIZE
HEAP_END_PTR = 0x224
SETUP_AT, CMDLINE_AT, KERNEL_AT = 0x1_0000, 0x2_0000, MIB
HEAP_END = CMDLINE_AT - SETUP_AT - 0x200  # relative to the setup code's entry, which the protocol wants
STACK_TOP = CMDLINE_AT - SETUP_AT - 16
FIRMWARE_ROOM = MIB  # bytes at the end of low RAM that firmware may have taken for its tables


@dataclass(frozen=True)
class Part:
    """Bytes, and the physical address they go to."""

    address: int
    data: bytes


@dataclass(frozen=True)
class KernelParts:
    setup: Part
    kernel: Part
    command_line: Part
    initrd: Part


def load(kernel: Path | bytes, append: str, initrd: bytes | None, low_ram: int) -> KernelParts:
    """A kernel for firmware to start, from a file or its bytes.  Raises BootError, in words for the user."""
    data = read_kernel(kernel)
    if not recognises(data):
        raise BootError("firmware starts Linux kernels (bzImage) only; start other kernels directly, without -bios")
    version, = struct.unpack_from("<H", data, VERSION)
    if version < OLDEST_VERSION or not data[LOAD_FLAGS] & LOADED_HIGH:
        raise BootError("the kernel is too old: firmware starts bzImage kernels of boot protocol 2.03 and later")
    setup, code = split(data)
    firmware = E820(low_ram - FIRMWARE_ROOM, FIRMWARE_ROOM, ACPI_DATA)
    info = BootInfo(low_ram, [firmware], 0, append, initrd)
    end = _end(data, version)
    check_room(KERNEL_AT, end - KERNEL_AT + FIRMWARE_ROOM, info, "the kernel")
    address, size = place_initrd(BootImage(0), info, struct.unpack_from("<I", data, INITRD_ADDR_MAX)[0] + 1, end)
    return KernelParts(Part(SETUP_AT, _filled_in(setup, address, size)), Part(KERNEL_AT, code),
                       Part(CMDLINE_AT, command_line(data, info)), Part(address, initrd or b""))  # fmt: skip


def _end(data: bytes, version: int) -> int:
    """Where the unpacked kernel ends, so far as it says so."""
    if version < RELOCATABLE_VERSION:
        return KERNEL_AT + len(data)
    return struct.unpack_from("<Q", data, PREF_ADDRESS)[0] + struct.unpack_from("<I", data, INIT_SIZE)[0]


def _filled_in(setup: bytes, initrd: int, initrd_size: int) -> bytes:
    """The setup part with the header fields that a boot loader writes."""
    filled = bytearray(setup)
    filled[TYPE_OF_LOADER] = LOADER_UNDEFINED
    filled[LOAD_FLAGS] |= CAN_USE_HEAP
    struct.pack_into("<H", filled, HEAP_END_PTR, HEAP_END)
    struct.pack_into("<I", filled, CMD_LINE_PTR, CMDLINE_AT)
    struct.pack_into("<II", filled, RAMDISK_IMAGE, initrd, initrd_size)
    return bytes(filled)
