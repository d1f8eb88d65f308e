"""Intel 82441FX (440FX) host bridge (data sheet 290549).

Not here: DRAM row boundaries and timing (plain storage), error reporting.
"""

from __future__ import annotations

from emu.devices.pam import MemoryController, ShadowingHost
from emu.devices.pci import (
    COMMAND,
    COMMAND_MASTER,
    COMMAND_MEMORY,
    COMMAND_WRITABLE,
    STATUS,
    STATUS_ERRORS,
    PciHostPorts,
)

__all__ = ["I440fxHost", "MemoryController"]


class I440fxPciHost(PciHostPorts):
    name = "i440FX-pcihost"


class I440fxHost(ShadowingHost):
    name = "i440FX"
    vendor_id, device_id, revision, class_code = 0x8086, 0x1237, 2, 0x060000
    pam0, smram_register = 0x59, 0x72

    def __init__(self, memory_controller: MemoryController) -> None:
        super().__init__(memory_controller)
        self.define(COMMAND, 2, COMMAND_MEMORY | COMMAND_MASTER, writable=COMMAND_WRITABLE)
        self.define(STATUS, 2, 0x0280, clear_on_one=STATUS_ERRORS)
