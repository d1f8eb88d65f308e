"""Legacy CPU hot-plug registers: 32 bytes with one bit for each present CPU, indexed by APIC id.

Byte (id / 8), bit (id mod 8).  Read-only and bits never clear, so there is no unplug and no _OST.  Writing zero to the
first byte asks for the modern interface.  Ids from 256 on do not fit.
Not here: what replaces the bitmap after the switch (hotplug_window.py).
"""

from __future__ import annotations

from collections.abc import Callable

from emu import log
from emu.device import Device

BITMAP_BYTES = 32
ID_LIMIT = 8 * BITMAP_BYTES


class LegacyBitmap(Device):
    """`on_switch()` is called when the guest asks for the modern registers."""

    name = "acpi-cpu-hotplug-legacy"
    region_size = BITMAP_BYTES
    saved = ("bitmap",)

    def __init__(self, on_switch: Callable[[], None]) -> None:
        self.on_switch = on_switch
        self.bitmap = bytearray(BITMAP_BYTES)

    def set_present(self, apic_id: int) -> None:
        """Show the CPU; IndexError if its id has no bit."""
        self.bitmap[apic_id // 8] |= 1 << apic_id % 8

    def read(self, offset: int, size: int) -> int:
        return int.from_bytes(self.bitmap[offset : offset + size], "little")

    def write(self, offset: int, size: int, value: int) -> None:
        if offset == 0 and value & 0xFF == 0:
            self.on_switch()
        else:
            log.guest_error(self.name, f"write of {value:#x} at offset {offset:#x} ignored: the bitmap is read-only")

    def reset(self) -> None:
        """Nothing: the bitmap follows the CPUs, which survive a system reset."""
