"""The SMBus host controller of PIIX4 and ICH9 with an empty bus: every transfer ends with no device answering.

82371AB data sheet, 7.3 "SMBus I/O space registers".
Not here: devices on the bus, block transfers, the slave and alert side, interrupts.
"""

from __future__ import annotations

from emu.device import Device, Reg

START = 0x40
DEVICE_ERROR = 0x04
STATUS_CLEARABLE = 0x1E


class SmbusHost(Device):
    name = "pm-smbus"
    region_size, max_access = 64, 1

    status = Reg(0x00, 1)
    slave_status = Reg(0x01, 1, "r")
    control = Reg(0x02, 1)
    command = Reg(0x03, 1)
    address = Reg(0x04, 1)
    data0 = Reg(0x05, 1)
    data1 = Reg(0x06, 1)
    block_data = Reg(0x07, 1)

    @status.write
    def _(self, value: int) -> None:
        self.status &= ~(value & STATUS_CLEARABLE)

    @control.write
    def _(self, value: int) -> None:
        self.control = value & ~START
        if value & START:
            self.status |= DEVICE_ERROR
