"""The screen as a person would see it: 25 lines of 80 characters, read from text memory without disturbing the guest."""

from __future__ import annotations

from emu.devices.vga import TEXT_BASE, TEXT_SIZE, VgaCrtc
from machines.memory import GuestMemory

COLUMNS, ROWS = 80, 25
CELL = 2  # bytes: the character, its attribute
BLANK = "\0"  # what memory has before anything is written


class Screen:
    """vm.screen: `lines`, `text`, `cursor` as they are now."""

    def __init__(self, memory: GuestMemory, crtc: VgaCrtc) -> None:
        self._memory, self._crtc = memory, crtc

    @property
    def lines(self) -> list[str]:
        """The 25 lines, without trailing blanks."""
        cells = self._memory.read(TEXT_BASE, TEXT_SIZE)
        start = self._crtc.start * CELL
        shown = (cells[start:] + cells[:start])[: ROWS * COLUMNS * CELL : CELL].decode("cp437").replace(BLANK, " ")
        return [shown[row * COLUMNS : (row + 1) * COLUMNS].rstrip() for row in range(ROWS)]

    @property
    def text(self) -> str:
        """All lines, down to the last that is not blank."""
        return "\n".join(self.lines).rstrip()

    @property
    def cursor(self) -> tuple[int, int]:
        """Row and column."""
        return divmod(self._crtc.cursor - self._crtc.start, COLUMNS)

    def __str__(self) -> str:
        return self.text
