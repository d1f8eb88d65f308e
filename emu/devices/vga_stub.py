"""Just enough of a VGA for software that writes to text memory without asking: CRTC registers and 32 KiB at 0xB8000.

IBM VGA/XGA Technical Reference, CRT controller registers and input status register 1.
Not here: everything that would put a picture on a screen.  Machines without a display leave this device out.
"""

from __future__ import annotations

from emu.bus import AddressSpace
from emu.clock import Clock
from emu.device import Device, Window

CRTC_BASE = 0x3D4
INDEX, DATA, STATUS = 0, 1, 6
CRTC_REGISTERS = 0x19
CURSOR_HIGH, CURSOR_LOW = 0x0E, 0x0F
STATUS_BLANK, STATUS_VSYNC = 0x01, 0x08
FRAME_NS, BLANK_NS = 16_666_667, 500_000
TEXT_BASE, TEXT_SIZE = 0xB8000, 0x8000
COLUMNS = 80


class VgaStub(Device):
    name = "vga-stub"
    region_size, max_access = 7, 1

    saved = ("index", "crtc", "memory")

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.index = 0
        self.crtc = bytearray(CRTC_REGISTERS)
        self.memory = bytearray(b" \x07" * (TEXT_SIZE // 2))
        self.text_window = Window(
            "vga-text", TEXT_SIZE, self._read_text, self._write_text, max_access=8, unaligned=True
        )

    def attach(self, io: AddressSpace, memory: AddressSpace) -> None:
        io.map(CRTC_BASE, self.region_size, self, "vga")
        memory.map(TEXT_BASE, TEXT_SIZE, self.text_window)

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
    def cursor(self) -> tuple[int, int]:
        """Row and column."""
        return divmod(self.crtc[CURSOR_HIGH] << 8 | self.crtc[CURSOR_LOW], COLUMNS)

    def text(self, rows: int = 25) -> list[str]:
        """The characters on the screen, trailing blanks removed."""
        width = 2 * COLUMNS
        lines = (self.memory[row * width : (row + 1) * width : 2] for row in range(rows))
        return [line.decode("cp437").rstrip(" \0") for line in lines]

    def _read_text(self, offset: int, size: int) -> int:
        return int.from_bytes(self.memory[offset : offset + size], "little")

    def _write_text(self, offset: int, size: int, value: int) -> None:
        self.memory[offset : offset + size] = value.to_bytes(size, "little")
