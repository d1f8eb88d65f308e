"""ELF files: their segments, and a plain 32-bit start for one that is neither multiboot nor PVH."""

from __future__ import annotations

import io

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from machines.boot.image import BootError, BootImage, BootInfo, check_room

MAGIC = b"\x7fELF"


def recognises(data: bytes) -> bool:
    return data[:4] == MAGIC


def parse(data: bytes) -> ELFFile:
    """Raises BootError for a damaged file."""
    try:
        return ELFFile(io.BytesIO(data))
    except (ELFError, ValueError) as error:
        raise BootError(f"the kernel is a damaged ELF file: {error}") from None


def segments(file: ELFFile, info: BootInfo) -> list[tuple[int, bytes]]:
    """What must be in memory, zero-filled parts included."""
    found = []
    for segment in file.iter_segments("PT_LOAD"):
        if segment["p_memsz"]:
            check_room(segment["p_paddr"], segment["p_memsz"], info, "the kernel")
            if len(segment.data()) < segment["p_filesz"]:
                raise BootError("the kernel file is cut short: it lacks a part that its ELF header promises")
            found.append((segment["p_paddr"], segment.data().ljust(segment["p_memsz"], b"\0")))
    if not found:
        raise BootError("the kernel is an ELF file without anything to load")
    return found


def place(data: bytes, info: BootInfo) -> BootImage:
    file = parse(data)
    if file["e_machine"] not in ("EM_386", "EM_X86_64"):
        raise BootError(f"the kernel is an ELF file for {file['e_machine']}, not for x86")
    raise BootError("the kernel is an ELF file with neither a multiboot header nor a PVH note; this loader starts no other")
