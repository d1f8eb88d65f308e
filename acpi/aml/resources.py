"""Resource descriptors and templates (ACPI 6.4, section 6.4).

Small items: IRQ, IO, end tag.  Large items: 32-bit fixed memory, word/double word/quad word address spaces,
extended interrupts.  Not here: DMA, vendor items, GPIO and serial bus connections.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from .encoding import Node, Raw
from .objects import Buffer

SMALL_IRQ = 0x22
SMALL_IRQ_WITH_FLAGS = 0x23
SMALL_IO = 0x47
SMALL_DMA = 0x2A
SMALL_END_TAG = 0x79
LARGE_MEMORY32_FIXED = 0x86
LARGE_DWORD_SPACE = 0x87
LARGE_WORD_SPACE = 0x88
LARGE_INTERRUPT = 0x89
LARGE_QWORD_SPACE = 0x8A
_SPACE_TAGS = {2: LARGE_WORD_SPACE, 4: LARGE_DWORD_SPACE, 8: LARGE_QWORD_SPACE}

DECODE16 = 1
READ_WRITE = 1
ENTIRE_RANGE = 3


class Space(IntEnum):
    MEMORY = 0
    IO = 1
    BUS_NUMBER = 2


class SpaceFlag(IntFlag):
    CONSUMER = 1 << 0
    SUBTRACTIVE = 1 << 1
    MIN_FIXED = 1 << 2
    MAX_FIXED = 1 << 3


class Cache(IntEnum):
    NON_CACHEABLE = 0 << 1
    CACHEABLE = 1 << 1
    WRITE_COMBINING = 2 << 1
    PREFETCHABLE = 3 << 1


class IrqFlag(IntFlag):
    """Byte 3 of the small IRQ item (6.4.2.1); level, active high, exclusive when empty."""

    EDGE = 1 << 0
    ACTIVE_LOW = 1 << 3
    SHARED = 1 << 4


class InterruptFlag(IntFlag):
    """Byte 3 of the extended interrupt item (6.4.3.6); producer, level, active high, exclusive when empty."""

    CONSUMER = 1 << 0
    EDGE = 1 << 1
    ACTIVE_LOW = 1 << 2
    SHARED = 1 << 3


def _large(tag: int, *parts: bytes) -> Raw:
    contents = b"".join(parts)
    return Raw(bytes([tag]) + len(contents).to_bytes(2, "little") + contents)


def _le(width: int, *values: int) -> bytes:
    return b"".join(value.to_bytes(width, "little") for value in values)


def IO(minimum: int, maximum: int, alignment: int, length: int) -> Raw:
    """I/O ports, 16-bit decode."""
    return Raw(bytes([SMALL_IO, DECODE16]) + _le(2, minimum, maximum) + bytes([alignment, length]))


def IRQNoFlags(*lines: int) -> Raw:
    """ISA interrupt lines: edge, active high, exclusive."""
    return Raw(bytes([SMALL_IRQ]) + _le(2, sum(1 << line for line in lines)))


def IRQ(flags: IrqFlag, *lines: int) -> Raw:
    return Raw(bytes([SMALL_IRQ_WITH_FLAGS]) + _le(2, sum(1 << line for line in lines)) + bytes([flags]))


def DMA(*channels: int) -> Raw:
    """Legacy DMA channels: compatibility speed, not a bus master, 8-bit transfers."""
    return Raw(bytes([SMALL_DMA, sum(1 << channel for channel in channels), 0]))


def Memory32Fixed(base: int, length: int, access: int = READ_WRITE) -> Raw:
    return _large(LARGE_MEMORY32_FIXED, bytes([access]), _le(4, base, length))


def Interrupt(flags: InterruptFlag, *interrupts: int) -> Raw:
    """Global system interrupts."""
    return _large(LARGE_INTERRUPT, bytes([flags, len(interrupts)]), _le(4, *interrupts))


def _address_space(width: int, space: Space, type_flags: int, minimum: int, maximum: int) -> Raw:
    """A producer window with both ends fixed, decoded positively, no granularity and no translation."""
    general = SpaceFlag.MIN_FIXED | SpaceFlag.MAX_FIXED
    return _large(
        _SPACE_TAGS[width],
        bytes([space, general, type_flags]),
        _le(width, 0, minimum, maximum, 0, maximum - minimum + 1),
    )


def WordBusNumber(first: int, last: int) -> Raw:
    return _address_space(2, Space.BUS_NUMBER, 0, first, last)


def WordIO(first: int, last: int) -> Raw:
    return _address_space(2, Space.IO, ENTIRE_RANGE, first, last)


def DWordMemory(first: int, last: int, cache: Cache = Cache.NON_CACHEABLE) -> Raw:
    return _address_space(4, Space.MEMORY, cache | READ_WRITE, first, last)


def QWordMemory(first: int, last: int, cache: Cache = Cache.NON_CACHEABLE) -> Raw:
    return _address_space(8, Space.MEMORY, cache | READ_WRITE, first, last)


def ResourceTemplate(*descriptors: Node) -> Buffer:
    """The descriptors and an end tag; a checksum of zero stands for a valid one (6.4.2.9)."""
    return Buffer(b"".join(d.encode() for d in descriptors) + bytes([SMALL_END_TAG, 0]))
