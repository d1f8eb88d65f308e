"""A flat binary: bytes at 1 MiB, entered at their first one in flat 32-bit code."""

from __future__ import annotations

from machines.boot.image import MIB, BootError, BootImage, BootInfo, check_room

LOAD_AT = MIB


def place(data: bytes, info: BootInfo) -> BootImage:
    if not data:
        raise BootError("the kernel file is empty")
    check_room(LOAD_AT, len(data), info, "the kernel")
    return BootImage(entry=LOAD_AT, segments=[(LOAD_AT, data)])
