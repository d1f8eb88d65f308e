"""The debug console: one I/O port whose bytes go to a character device, as firmware logs to it (0x402 or 0xE9).

A read returns 0xE9, by which software recognises it; described with QEMU's `isa-debugcon`.
"""

from __future__ import annotations

from emu.chardev import Chardev
from emu.device import IsaDevice, Reg

FIRMWARE_PORT, BOCHS_PORT = 0x402, 0xE9


class DebugConsole(IsaDevice):
    name = "isa-debugcon"
    max_access = 1
    data = Reg(0, 1)

    def __init__(self, chardev: Chardev, readback: int = 0xE9) -> None:
        self.chardev, self.readback = chardev, readback

    @data.read
    def _(self) -> int:
        return self.readback

    @data.write
    def _(self, value: int) -> None:
        self.chardev.write(bytes((value,)))
