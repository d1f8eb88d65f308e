"""What a loader produces: bytes at addresses, and how the boot CPU starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

PAGE = 4096
MIB = 1 << 20


class BootError(Exception):
    """The kernel or initrd cannot be booted; the text is for the user."""


@dataclass(frozen=True)
class E820:
    """One range of the BIOS memory map: type 1 RAM, 2 reserved, 3 ACPI tables."""

    start: int
    size: int
    type: int


RAM, RESERVED, ACPI_DATA = 1, 2, 3


@dataclass(frozen=True)
class BootInfo:
    """What the machine offers a loader.  Sizes in bytes; `low_ram` ends below the PCI hole."""

    low_ram: int
    memory_map: list[E820]
    rsdp: int                                                   # physical address
    append: str = ""
    initrd: bytes | None = None


@dataclass
class BootImage:
    """`segments` are (physical address, bytes).  `long_mode` starts in 64-bit code with paging, else in flat 32-bit code."""

    entry: int
    segments: list[tuple[int, bytes]] = field(default_factory=list)
    registers: dict[str, int] = field(default_factory=dict)
    long_mode: bool = False
    cr3: int = 0

    def write(self, put: Callable[[int, bytes], None]) -> None:
        for address, data in self.segments:
            put(address, data)


def read_kernel(kernel: Path | bytes) -> bytes:
    """A kernel file's bytes, or those given.  Raises BootError."""
    if isinstance(kernel, bytes):
        return kernel
    try:
        return kernel.read_bytes()
    except OSError as error:
        raise BootError(f"could not load kernel '{kernel}': {error.strerror}") from None


def check_room(start: int, size: int, info: BootInfo, what: str) -> None:
    """Raises BootError when [start, start + size) is not RAM below the PCI hole."""
    if start + size > info.low_ram:
        raise BootError(f"{what} needs memory up to {-(-(start + size) // MIB)} MiB, the machine has "
                        f"{info.low_ram // MIB} MiB; give it more with -m")


def place_initrd(image: BootImage, info: BootInfo, highest: int, above: int) -> tuple[int, int]:
    """Put the initrd as high as it may go: (address, size), (0, 0) without one.  Raises BootError when it does not fit."""
    if not info.initrd:
        return 0, 0
    size = len(info.initrd)
    tables = min((r.start for r in info.memory_map if r.type == ACPI_DATA), default=info.low_ram)
    start = (min(highest, info.low_ram, tables) - size) & -PAGE
    if start < above:
        raise BootError(f"the initrd of {-(-size // MIB)} MiB does not fit into {info.low_ram // MIB} MiB of memory beside the "
                        "kernel; give the machine more with -m")
    image.segments.append((start, info.initrd))
    return start, size
