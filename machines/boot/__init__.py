"""Direct boot: kernels placed in memory and entered without firmware (Linux, multiboot 1, PVH, flat)."""

from __future__ import annotations

from pathlib import Path

from machines.boot import elf, flat, linux, multiboot, pvh
from machines.boot.image import BootError, BootImage, BootInfo

__all__ = ["BootError", "BootImage", "BootInfo", "load"]


def load(kernel: Path | bytes, info: BootInfo) -> BootImage:
    """Recognise the kind of kernel in a file, or in its bytes, and place it.  Raises BootError, in words for the user."""
    try:
        data = kernel.read_bytes() if isinstance(kernel, Path) else kernel
    except OSError as error:
        raise BootError(f"could not load kernel '{kernel}': {error.strerror}") from None
    for kind in (linux, multiboot, pvh, elf):
        if kind.recognises(data):
            return kind.place(data, info)
    return flat.place(data, info)
