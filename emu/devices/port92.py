"""System control port A of the PS/2, I/O port 0x92: the fast A20 gate and the fast CPU reset.

IBM PS/2 Hardware Interface Technical Reference, "System Control Port A"; 82371AB data sheet, P92.
Not here: the watchdog, the security lock and the disk light.
"""

from __future__ import annotations

from collections.abc import Callable

from emu.device import IsaDevice, Reg

PORT = 0x92
FAST_RESET, A20 = 0x01, 0x02


class Port92(IsaDevice):
    """`on_a20(level)` hears each change of the gate; `on_reset()` a rising fast-reset bit."""

    name = "port92"
    max_access = 1
    control = Reg(0, 1)

    def __init__(self, on_a20: Callable[[int], None], on_reset: Callable[[], None]) -> None:
        self.on_a20, self.on_reset = on_a20, on_reset

    @control.write
    def _(self, value: int) -> None:
        old, self.control = self.control, value & (A20 | FAST_RESET)
        if (value ^ old) & A20:
            self.on_a20(value >> 1 & 1)
        if value & ~old & FAST_RESET:
            self.on_reset()
