"""A port whose write ends the emulator, with a status the guest chooses: `isa-debug-exit` of QEMU.

The process status is (value << 1) | 1, so it is never 0.
"""

from __future__ import annotations

from collections.abc import Callable

from emu.device import IsaDevice, Reg
from emu.qom import Property

IOBASE, IOSIZE = 0x501, 2


class DebugExit(IsaDevice):
    """`on_exit(status)` is asked to end the run."""

    name = "isa-debug-exit"
    user_creatable = True
    iobase = Property("uint32", IOBASE)
    iosize = Property("uint32", IOSIZE)
    status = Reg(0, 4)

    def __init__(self, on_exit: Callable[[int], None], iobase: int = IOBASE, iosize: int = IOSIZE) -> None:
        self.on_exit, self.iobase, self.iosize = on_exit, iobase, iosize

    @property
    def region_size(self) -> int:  # type: ignore[override]
        """Bytes of I/O space, as the user chose."""
        return self.iosize

    @status.read
    def _(self) -> int:
        return 0

    @status.write
    def _(self, value: int) -> None:
        self.on_exit(value << 1 | 1)
