"""The two Intel 8237A DMA controllers of a PC and their page registers: what probing software sees, no transfers.

Intel 8237A data sheet (231466), "Register description"; page registers from the 82371AB data sheet, section 4.2.1.
Not here: transfers (no device here requests one), the request register's effect, compressed timing.
"""

from __future__ import annotations

from emu import log
from emu.bus import AddressSpace
from emu.device import IsaDevice, Window
from emu.snapshot import Stateful

MASTER_BASE, SLAVE_BASE, PAGE_BASE = 0x00, 0xC0, 0x80
CHANNELS = 4
ALL_MASKED = 0x0F

# Registers after the eight address and count ports, in units of the controller's port stride.
COMMAND = STATUS = 8
REQUEST, SINGLE_MASK, MODE, CLEAR_POINTER = 9, 10, 11, 12
MASTER_CLEAR = TEMPORARY = 13
CLEAR_MASK, ALL_MASK = 14, 15
SET_MASK = 0x04


class Dma8237(IsaDevice):
    """One controller; `shift` is 1 for the 16-bit one, whose registers are two ports apart."""

    name = "i8257"
    max_access = 1

    saved = ("counters", "modes", "command", "status", "mask", "high_byte")

    def __init__(self, shift: int = 0) -> None:
        self.shift = shift
        self.region_size = 16 << shift
        self.counters = [0] * 2 * CHANNELS  # address and count of each channel, alternately
        self.modes = [0] * CHANNELS
        self.reset()

    def reset(self) -> None:
        """As RESET or the master clear command: everything masked, the byte pointer at the low byte."""
        self.command = self.status = 0
        self.mask = ALL_MASKED
        self.high_byte = False

    def read(self, offset: int, size: int) -> int:
        register = offset >> self.shift
        if register < 2 * CHANNELS:
            return self.counters[register] >> 8 * self._next_byte() & 0xFF
        if register == STATUS:
            status, self.status = self.status, self.status & 0xF0
            return status
        return self.mask | 0xF0 if register == ALL_MASK else 0

    def write(self, offset: int, size: int, value: int) -> None:
        register, bit = offset >> self.shift, 1 << (value & 3)
        if register < 2 * CHANNELS:
            shift = 8 * self._next_byte()
            self.counters[register] = self.counters[register] & ~(0xFF << shift) | value << shift
        elif register == COMMAND:
            self.command = value
        elif register == SINGLE_MASK:
            self.mask = self.mask | bit if value & SET_MASK else self.mask & ~bit
        elif register == MODE:
            self.modes[value & 3] = value
        elif register == CLEAR_POINTER:
            self.high_byte = False
        elif register == MASTER_CLEAR:
            self.reset()
        elif register in (CLEAR_MASK, ALL_MASK):
            self.mask = value & ALL_MASKED if register == ALL_MASK else 0
        else:
            log.unimp(self.name, f"DMA request by software, {value:#04x}; ignored")

    def _next_byte(self) -> int:
        self.high_byte = not self.high_byte
        return 0 if self.high_byte else 1


class IsaDma(Stateful):
    """Both controllers and the sixteen page registers, all plain storage beyond the controllers."""

    saved = ("low", "high", "pages")

    def __init__(self) -> None:
        self.low, self.high = Dma8237(), Dma8237(shift=1)
        self.pages = bytearray(16)
        self.page_window = Window("dma-page", 16, self._read_page, self._write_page)

    def attach(self, io: AddressSpace) -> None:
        """Map at the PC's ports: 0x00 to 0x0F, 0x80 to 0x8F (0x80 doubles as POST code) and 0xC0 to 0xDF."""
        io.map(MASTER_BASE, 16, self.low, "dma-chan")
        io.map(PAGE_BASE, 16, self.page_window)
        io.map(SLAVE_BASE, 32, self.high, "dma-chan")

    def reset(self) -> None:
        self.low.reset()
        self.high.reset()

    def _read_page(self, offset: int, size: int) -> int:
        return self.pages[offset]

    def _write_page(self, offset: int, size: int, value: int) -> None:
        self.pages[offset] = value
