"""Intel 82Q35 memory controller hub: the host bridge of q35 (Intel 3 Series Express Chipset datasheet, section 5.1).

Not here: graphics, DMI, extended SMRAM.
"""

from __future__ import annotations

from collections.abc import Callable

from emu.devices.pam import MemoryController, ShadowingHost
from emu.devices.pci import PciHostPorts

PCIEXBAR = 0x60
PCIEXBAR_ENABLE = 1
PCIEXBAR_LENGTH = 3 << 1
PCIEXBAR_LENGTH_SHIFT = 1
PCIEXBAR_BUSES = (256, 128, 64)  # by the length field; 3 is reserved
PCIEXBAR_WRITABLE = 0xF_FC00_0007  # base bits 27 and 26 count for the shorter windows
BUS_SPACE = 1 << 20  # configuration space of one bus


class Q35PciHost(PciHostPorts):
    name = "q35-pcihost"
    bus_name = "pcie.0"


class Q35Host(ShadowingHost):
    """`on_window(base, buses)` says where the configuration window is; buses = 0 while it is off."""

    name = "mch"
    vendor_id, device_id, class_code = 0x8086, 0x29C0, 0x060000
    pam0, smram_register = 0x90, 0x9D

    def __init__(self, memory_controller: MemoryController, on_window: Callable[[int, int], None]) -> None:
        super().__init__(memory_controller)
        self.on_window = on_window
        self.define(PCIEXBAR, 8, 0, writable=PCIEXBAR_WRITABLE)

    def reset(self) -> None:
        super().reset()
        self._place_window()

    def loaded(self) -> None:
        super().loaded()
        self._place_window()

    def config_written(self, offset: int, size: int) -> None:
        super().config_written(offset, size)
        if offset < PCIEXBAR + 8 and offset + size > PCIEXBAR:
            self._place_window()

    def _place_window(self) -> None:
        value = self.get(PCIEXBAR, 8)
        length = (value & PCIEXBAR_LENGTH) >> PCIEXBAR_LENGTH_SHIFT
        if not value & PCIEXBAR_ENABLE or length >= len(PCIEXBAR_BUSES):
            self.on_window(0, 0)
            return
        buses = PCIEXBAR_BUSES[length]
        self.on_window(value & -(buses * BUS_SPACE), buses)
