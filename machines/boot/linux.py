"""Linux bzImage by the 64-bit boot protocol (Documentation/arch/x86/boot.rst, "64-bit BOOT PROTOCOL").

The kernel is entered at its 64-bit entry point with paging on, `boot_params` in RSI, and the ACPI root pointer in it.
One that has no such entry is entered at its 32-bit one, in flat 32-bit code ("32-bit BOOT PROTOCOL").
"""

from __future__ import annotations

import struct

from machines.boot.image import MIB, PAGE, BootError, BootImage, BootInfo, check_room, place_initrd

# offsets in the file and in boot_params, from the protocol's tables
SETUP_SECTS, SYSSIZE, BOOT_FLAG, MAGIC, VERSION = 0x1F1, 0x1F4, 0x1FE, 0x202, 0x206
HEADER_END = 0x201
TYPE_OF_LOADER, LOAD_FLAGS = 0x210, 0x211
RAMDISK_IMAGE, RAMDISK_SIZE = 0x218, 0x21C
CMD_LINE_PTR, INITRD_ADDR_MAX, XLOADFLAGS, CMDLINE_SIZE = 0x228, 0x22C, 0x236, 0x238
PREF_ADDRESS, INIT_SIZE = 0x258, 0x260
ACPI_RSDP_ADDR, E820_ENTRIES, E820_TABLE = 0x070, 0x1E8, 0x2D0
E820_MAX = 128
MAGIC_HDRS, BOOT_FLAG_VALUE = b"HdrS", 0xAA55
XLF_KERNEL_64 = 1
OLDEST_VERSION = 0x20C  # has XLOADFLAGS
LOADER_UNDEFINED = 0xFF
CAN_USE_HEAP, LOADED_HIGH = 0x80, 1
ENTRY_64 = 0x200
SECTOR, PARAGRAPH = 512, 16
DEFAULT_SETUP_SECTS = 4  # where the header says 0

# where the loader's own structures go, below 640 KiB
GDT_AT, TABLES_AT, PARAMS_AT, CMDLINE_AT = 0x8000, 0x9000, 0x10000, 0x20000
PRESENT_WRITABLE, LARGE = 3, 0x80
MAPPED_GIB = 4
# null, null, 64-bit code (__BOOT_CS, 0x10), data (__BOOT_DS, 0x18)
GDT = struct.pack("<4Q", 0, 0, 0x00AF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF)


def recognises(data: bytes) -> bool:
    return data[MAGIC:MAGIC + 4] == MAGIC_HDRS and data[BOOT_FLAG:BOOT_FLAG + 2] == b"\x55\xaa"


def place(data: bytes, info: BootInfo) -> BootImage:
    version, = struct.unpack_from("<H", data, VERSION)
    if version < OLDEST_VERSION:
        raise BootError(f"the kernel has boot protocol {version >> 8}.{version & 0xFF}; this loader starts 2.12 and later")
    _, kernel = split(data)
    start, = struct.unpack_from("<Q", data, PREF_ADDRESS)
    size = max(struct.unpack_from("<I", data, INIT_SIZE)[0], len(kernel))
    check_room(start, size, info, "the kernel")
    image = BootImage(entry=start, registers={"rsi": PARAMS_AT}, segments=[(start, kernel), (GDT_AT, GDT)])
    if struct.unpack_from("<H", data, XLOADFLAGS)[0] & XLF_KERNEL_64:
        image.entry, image.long_mode, image.cr3 = start + ENTRY_64, True, TABLES_AT
        image.segments.append((TABLES_AT, identity_tables(TABLES_AT)))
    initrd = place_initrd(image, info, struct.unpack_from("<I", data, INITRD_ADDR_MAX)[0] + 1, start + size)
    image.segments.append((CMDLINE_AT, command_line(data, info)))
    image.segments.append((PARAMS_AT, _boot_params(data, info, initrd)))
    return image


def split(data: bytes) -> tuple[bytes, bytes]:
    """The real-mode setup part and the rest, which is the kernel proper.  Raises BootError for a file cut short."""
    end = ((data[SETUP_SECTS] or DEFAULT_SETUP_SECTS) + 1) * SECTOR
    kernel = data[end:]
    if -(-len(kernel) // PARAGRAPH) < struct.unpack_from("<I", data, SYSSIZE)[0]:
        raise BootError("the kernel file is cut short: it is smaller than its header says")
    return data[:end], kernel


def identity_tables(at: int) -> bytes:
    """4-level page tables that map the first 4 GiB to themselves in 2 MiB pages: PML4, PDPT, four page directories."""
    pml4 = struct.pack("<Q", (at + PAGE) | PRESENT_WRITABLE).ljust(PAGE, b"\0")
    pdpt = b"".join(struct.pack("<Q", (at + (2 + i) * PAGE) | PRESENT_WRITABLE) for i in range(MAPPED_GIB)).ljust(PAGE, b"\0")
    pages = range(MAPPED_GIB * 512)
    return pml4 + pdpt + b"".join(struct.pack("<Q", (i * 2 * MIB) | PRESENT_WRITABLE | LARGE) for i in pages)


def command_line(data: bytes, info: BootInfo) -> bytes:
    """-append as the kernel gets it.  Raises BootError when it is longer than the kernel takes."""
    limit, = struct.unpack_from("<I", data, CMDLINE_SIZE)
    text = info.append.encode()
    if len(text) > limit:
        raise BootError(f"the kernel takes a command line of at most {limit} bytes, -append has {len(text)}")
    return text + b"\0"


def _boot_params(data: bytes, info: BootInfo, initrd: tuple[int, int]) -> bytes:
    params = bytearray(PAGE)
    end = HEADER_END + data[HEADER_END] + 1
    params[SETUP_SECTS:end] = data[SETUP_SECTS:end]
    params[TYPE_OF_LOADER] = LOADER_UNDEFINED
    params[LOAD_FLAGS] |= LOADED_HIGH
    struct.pack_into("<II", params, RAMDISK_IMAGE, *initrd)
    struct.pack_into("<I", params, CMD_LINE_PTR, CMDLINE_AT)
    struct.pack_into("<Q", params, ACPI_RSDP_ADDR, info.rsdp)
    params[E820_ENTRIES] = len(info.memory_map)
    for i, entry in enumerate(info.memory_map[:E820_MAX]):
        struct.pack_into("<QQI", params, E820_TABLE + 20 * i, entry.start, entry.size, entry.type)
    return bytes(params)
