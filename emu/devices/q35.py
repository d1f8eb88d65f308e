"""Intel 82Q35 memory controller hub: the host bridge of q35 (Intel 3 Series Express Chipset datasheet, section 5.1).

The PCI Express configuration window (PCIEXBAR) works.  Not here: PAM and SMRAM registers are storage, graphics, DMI.
"""

from __future__ import annotations

from collections.abc import Callable

from emu.devices.pci import PciFunction

PCIEXBAR = 0x60
PCIEXBAR_ENABLE = 1
PCIEXBAR_LENGTH = 3 << 1
PCIEXBAR_LENGTH_SHIFT = 1
PCIEXBAR_BUSES = (256, 128, 64)  # by the length field; 3 is reserved
PCIEXBAR_WRITABLE = 0xF_FC00_0007  # base bits 27 and 26 count for the shorter windows
BUS_SPACE = 1 << 20  # configuration space of one bus
PAM0, PAM_COUNT = 0x90, 7
SMRAM, SMRAM_RESET = 0x9D, 0x02


class Q35Host(PciFunction):
    """`on_window(base, buses)` says where the configuration window is; buses = 0 while it is off."""

    name = "mch"
    vendor_id, device_id, class_code = 0x8086, 0x29C0, 0x060000

    def __init__(self, on_window: Callable[[int, int], None]) -> None:
        super().__init__()
        self.on_window = on_window
        self.define(PCIEXBAR, 8, 0, writable=PCIEXBAR_WRITABLE)
        for n in range(PAM_COUNT):
            self.define(PAM0 + n, 1, 0, writable=0x33 if n else 0x30)
        self.define(SMRAM, 1, SMRAM_RESET, writable=0x78)

    def reset(self) -> None:
        super().reset()
        self._place_window()

    def config_written(self, offset: int, size: int) -> None:
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
