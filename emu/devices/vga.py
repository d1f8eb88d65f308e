"""What a VGA in text mode 3 needs besides its memory, which is plain RAM here: the CRT controller's registers and the retrace bit.

IBM VGA/XGA Technical Reference, CRT controller registers and input status register 1.  machines/screen.py shows the text.
Not here: other modes, fonts, palettes and attributes, the VGA's other ports, a PCI function, a BIOS.
"""

from __future__ import annotations

from emu.bus import AddressSpace
from emu.clock import Clock
from emu.device import Device

CRTC_BASE = 0x3D4
INDEX, DATA, STATUS = 0, 1, 6
CRTC_REGISTERS = 0x19
START_HIGH, START_LOW, CURSOR_HIGH, CURSOR_LOW = 0x0C, 0x0D, 0x0E, 0x0F
STATUS_BLANK, STATUS_VSYNC = 0x01, 0x08
FRAME_NS, BLANK_NS = 16_666_667, 500_000
TEXT_BASE, TEXT_SIZE = 0xB8000, 0x8000


class VgaCrtc(Device):
    """Addresses in text memory count in characters."""

    name = "vga-crtc"
    region_size, max_access = 7, 1

    saved = ("index", "crtc")

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.index = 0
        self.crtc = bytearray(CRTC_REGISTERS)

    def attach(self, io: AddressSpace) -> None:
        io.map(CRTC_BASE, self.region_size, self)

    def reset(self) -> None:
        self.index = 0
        self.crtc[:] = bytes(CRTC_REGISTERS)

    def read(self, offset: int, size: int) -> int:
        if offset == INDEX:
            return self.index
        if offset == DATA:
            return self.crtc[self.index] if self.index < CRTC_REGISTERS else 0
        if offset == STATUS:
            blank = self.clock.now % FRAME_NS >= FRAME_NS - BLANK_NS
            return (STATUS_BLANK | STATUS_VSYNC) * blank
        return 0xFF

    def write(self, offset: int, size: int, value: int) -> None:
        if offset == INDEX:
            self.index = value
        elif offset == DATA and self.index < CRTC_REGISTERS:
            self.crtc[self.index] = value

    @property
    def start(self) -> int:
        """The first character on the screen."""
        return self.crtc[START_HIGH] << 8 | self.crtc[START_LOW]

    @property
    def cursor(self) -> int:
        """Where the cursor is, seen or not."""
        return self.crtc[CURSOR_HIGH] << 8 | self.crtc[CURSOR_LOW]
