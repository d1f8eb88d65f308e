"""Direct boot: kernels placed in memory and entered without firmware (Linux, multiboot 1, PVH, flat)."""

from __future__ import annotations

import struct
from pathlib import Path

from elftools.common.exceptions import ELFError

from machines.boot import elf, flat, linux, multiboot, pvh
from machines.boot.image import BootError, BootImage, BootInfo, read_kernel

__all__ = ["BootError", "BootImage", "BootInfo", "load"]

KINDS = (linux, multiboot, pvh, elf)


def load(kernel: Path | bytes, info: BootInfo) -> BootImage:
    """Recognise the kind of kernel in a file, or in its bytes, and place it.  Raises BootError, in words for the user."""
    data = read_kernel(kernel)
    try:
        return next((kind for kind in KINDS if kind.recognises(data)), flat).place(data, info)
    except (ELFError, struct.error, IndexError) as error:
        raise BootError(f"the kernel is damaged or cut short: {error}") from None
