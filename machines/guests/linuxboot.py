"""The option ROM that starts `-kernel` when firmware runs: linuxboot.s behind a PnP expansion header.

Plug and Play BIOS specification 1.0A, 3.1 (option ROM header) and 3.2 (expansion header).  The bootstrap entry vector makes
the ROM a boot device, which comes first when fw_cfg's boot order names it.
Not here: keyboard, display or disk vectors; unloading the initialisation code.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from pathlib import Path

from emu.devices import fw_cfg
from machines.boot.linux16 import SETUP_AT, STACK_TOP
from machines.guests import asm

SOURCE = "linuxboot.s"
ROM_UNIT = 512  # bytes; the header counts in them
PARAGRAPH = 16
SETUP_CODE = 0x200  # bytes of the setup part before its entry point
RETURN_ZERO = bytes([0x31, 0xC0, 0xCB])  # xor ax, ax; retf: there is nothing to initialise
ROM_HEADER = struct.Struct("<HB3s20xH4x")  # signature, units, initialisation code, where the expansion header is
ROM_SIGNATURE = 0xAA55
# signature, revision, length in paragraphs, next header, checksum, device id, manufacturer and product strings, class,
# device indicators, boot connection, disconnect and bootstrap entry vectors, static resources
PNP_HEADER = struct.Struct("<4sBBHxBIHH3sBHHH2xH")
PNP_SIGNATURE, PNP_REVISION = b"$PnP", 1
PNP_AT = ROM_HEADER.size
NAME_AT = PNP_AT + PNP_HEADER.size
PRODUCT_NAME = b"Linux kernel from fw_cfg\0"
CODE_AT = NAME_AT + len(PRODUCT_NAME)
BOOT_DEVICE_CLASS, BOOTABLE = b"\x02\0\0", 0x64  # as a network card's ROM: read-cacheable, shadowable, an initial program load device

FW_CFG_KEYS = ("KERNEL_ADDR", "KERNEL_DATA", "INITRD_ADDR", "INITRD_DATA", "CMDLINE_ADDR", "CMDLINE_DATA", "SETUP_ADDR",
               "SETUP_DATA")  # fmt: skip


@lru_cache(maxsize=1)
def image() -> bytes:
    """The ROM, a whole number of units; its bytes add up to 0 modulo 256."""
    constants = asm.definitions(
        SETUP_SEGMENT=SETUP_AT // PARAGRAPH,
        SETUP_ENTRY_SEGMENT=(SETUP_AT + SETUP_CODE) // PARAGRAPH,
        SETUP_STACK=STACK_TOP,
        **{name: getattr(fw_cfg, name) for name in FW_CFG_KEYS},
    )
    code = asm.assemble(constants + (Path(__file__).parent / SOURCE).read_text(), CODE_AT, bits=16)
    size = CODE_AT + len(code) + 1  # and the checksum
    units = -(-size // ROM_UNIT)
    header = ROM_HEADER.pack(ROM_SIGNATURE, units, RETURN_ZERO, PNP_AT)
    return balanced((header + _expansion_header() + PRODUCT_NAME + code).ljust(units * ROM_UNIT, b"\0"), -1)


def _expansion_header() -> bytes:
    checksum_at = 9
    header = PNP_HEADER.pack(PNP_SIGNATURE, PNP_REVISION, PNP_HEADER.size // PARAGRAPH, 0, 0, 0, NAME_AT, NAME_AT,
                             BOOT_DEVICE_CLASS, BOOTABLE, 0, 0, CODE_AT, 0)  # fmt: skip
    return balanced(header, checksum_at)


def balanced(data: bytes, at: int) -> bytes:
    """`data` with the byte at `at` such that all add up to 0 modulo 256."""
    patched = bytearray(data)
    patched[at] = (patched[at] - sum(patched)) & 0xFF
    return bytes(patched)
