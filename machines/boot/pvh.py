"""PVH: an ELF kernel with Xen's PHYS32_ENTRY note, entered in flat 32-bit code with EBX = hvm_start_info
(Xen, docs/misc/pvh.pandoc and public/arch-x86/hvm/start_info.h)."""

from __future__ import annotations

import struct

from elftools.elf.segments import NoteSegment

from machines.boot import elf
from machines.boot.image import BootImage, BootInfo, place_initrd

XEN_ELFNOTE_PHYS32_ENTRY = 18
START_MAGIC = 0x336EC578
START_AT, MODULES_AT, MMAP_AT, CMDLINE_AT = 0x9000, 0x9080, 0x9100, 0xA000
HIGHEST_INITRD = 1 << 31


def recognises(data: bytes) -> bool:
    return elf.recognises(data) and _entry(data) is not None


def _entry(data: bytes) -> int | None:
    """The physical address in the Xen note PHYS32_ENTRY."""
    for segment in elf.parse(data).iter_segments("PT_NOTE"):
        assert isinstance(segment, NoteSegment)
        for note in segment.iter_notes():
            if note["n_name"] == "Xen" and note["n_type"] == XEN_ELFNOTE_PHYS32_ENTRY:
                raw = note["n_desc"]
                value = raw.encode("latin-1") if isinstance(raw, str) else bytes(raw)
                return int.from_bytes(value[:8], "little")
    return None


def place(data: bytes, info: BootInfo) -> BootImage:
    entry = _entry(data)
    assert entry is not None
    image = BootImage(entry=entry, segments=elf.segments(elf.parse(data), info), registers={"rbx": START_AT})
    end = max(start + len(part) for start, part in image.segments)
    module = place_initrd(image, info, HIGHEST_INITRD, end)
    memory_map = b"".join(struct.pack("<QQII", r.start, r.size, r.type, 0) for r in info.memory_map)
    start = struct.pack("<IIIIQQQQII", START_MAGIC, 1, 0, 1 if module[1] else 0, MODULES_AT, CMDLINE_AT, info.rsdp, MMAP_AT,
                        len(info.memory_map), 0)
    image.segments += [(START_AT, start), (MMAP_AT, memory_map), (CMDLINE_AT, info.append.encode() + b"\0"),
                       (MODULES_AT, struct.pack("<QQQQ", module[0], module[1], 0, 0))]
    return image
