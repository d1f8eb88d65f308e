"""A serial ATA host adapter with nothing plugged into its ports: AHCI 1.3.1, sections 3.1 (generic host control) and 3.3 (ports).

A driver finds every link down at once: what it writes to a port is kept, engines run and stop when told to.
Not here: devices, so no command is ever taken and no interrupt comes.
"""

from __future__ import annotations

from emu.device import Device, Reg

PORTS = 6
CAPABILITIES = 0xC014_1F00 | PORTS - 1  # 64-bit, queueing, 32 command slots, 1.5 Gbit/s
VERSION = 0x0001_0000
GHC_RESET, GHC_INTERRUPTS, GHC_AHCI_ENABLE = 1 << 0, 1 << 1, 1 << 31
SIZE = 0x1000

PORT_BASE, PORT_STRIDE = 0x100, 0x80
# PxCLB, PxCLBU, PxFB, PxFBU, PxIE, PxSCTL: the bits that store
STORED = {0x00: 0xFFFF_FC00, 0x04: 0xFFFF_FFFF, 0x08: 0xFFFF_FF00, 0x0C: 0xFFFF_FFFF, 0x14: 0xFDC0_00FF, 0x2C: 0x000F_FFFF}
COMMAND, TASK_FILE, SIGNATURE = 0x18, 0x20, 0x24
COMMAND_START, COMMAND_SPIN_UP, COMMAND_POWER_ON, COMMAND_RECEIVE = 1 << 0, 1 << 1, 1 << 2, 1 << 4
COMMAND_WRITABLE = COMMAND_START | COMMAND_RECEIVE
COMMAND_ALWAYS = COMMAND_SPIN_UP | COMMAND_POWER_ON  # read-only: no staggered spin-up, no cold presence detection
RUNNING_SHIFT = 14  # FR (bit 14) follows FRE (bit 4), CR (bit 15) follows ST (bit 0)
NO_DEVICE = {TASK_FILE: 0x7F, SIGNATURE: 0xFFFF_FFFF}  # PxTFD, PxSIG; PxSSTS reads 0: no device, no link


class AhciRegisters(Device):
    """The memory-mapped registers, ABAR."""

    name = "ahci"
    region_size, min_access, max_access = SIZE, 4, 4

    capabilities = Reg(0x00, 4, "r")
    global_control = Reg(0x04, 4, reset=GHC_AHCI_ENABLE)
    interrupt_status = Reg(0x08, 4)
    ports_implemented = Reg(0x0C, 4, "r")
    version = Reg(0x10, 4, "r")

    saved = ("global_control", "interrupt_status", "ports")

    def __init__(self) -> None:
        self.ports = [bytearray(PORT_STRIDE) for _ in range(PORTS)]  # each port's registers, as they store

    @capabilities.read
    def _(self) -> int:
        return CAPABILITIES

    @ports_implemented.read
    def _(self) -> int:
        return (1 << PORTS) - 1

    @version.read
    def _(self) -> int:
        return VERSION

    @global_control.write
    def _(self, value: int) -> None:
        if value & GHC_RESET:
            self.reset()
        else:
            self.global_control = value & GHC_INTERRUPTS | GHC_AHCI_ENABLE

    @interrupt_status.write
    def _(self, value: int) -> None:
        self.interrupt_status &= ~value

    def reset(self) -> None:
        super().reset()
        for port in self.ports:
            port[:] = bytes(PORT_STRIDE)

    def read_undefined(self, offset: int, size: int) -> int:
        number, register = divmod(offset - PORT_BASE, PORT_STRIDE)
        if not 0 <= number < PORTS:
            return 0
        stored = int.from_bytes(self.ports[number][register:register + 4], "little")
        if register != COMMAND:
            return NO_DEVICE.get(register, stored)
        running = (stored & COMMAND_START) << 1 | bool(stored & COMMAND_RECEIVE)
        return stored | COMMAND_ALWAYS | running << RUNNING_SHIFT

    def write_undefined(self, offset: int, size: int, value: int) -> None:
        number, register = divmod(offset - PORT_BASE, PORT_STRIDE)
        stores = COMMAND_WRITABLE if register == COMMAND else STORED.get(register, 0)
        if 0 <= number < PORTS and stores:
            self.ports[number][register:register + 4] = (value & stores).to_bytes(4, "little")
