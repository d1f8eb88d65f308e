"""Message-signalled interrupts: a write to 0xFEEx_xxxx is a message to local APICs; and the window that takes it.

Intel SDM vol. 3A, "Message Signalled Interrupts".  Not here: remapped messages, destinations above 15 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntFlag

from emu import log
from emu.bus import ALL_ONES
from emu.device import Device
from emu.devices.apic_bus import ApicBus, DeliveryMode, DestinationMode, TriggerMode

MSI_BASE, MSI_SIZE = 0xFEE0_0000, 0x10_0000
REGISTER_PAGE = 0x1000
FIRST_REGISTER = 0x10  # no APIC register is below, so a write there is a message to APIC id 0


class Address(IntFlag):
    """Message address, low 32 bits."""

    LOGICAL = 1 << 2
    REDIRECTION_HINT = 1 << 3
    EXTENDED_DESTINATION = 0x7F << 5  # bits 14:8, if the bus has them
    DESTINATION = 0xFF << 12


class Data(IntFlag):
    """Message data, low 16 bits."""

    VECTOR = 0xFF
    DELIVERY_MODE = 7 << 8
    ASSERT = 1 << 14
    LEVEL = 1 << 15


def send_msi(bus: ApicBus, address: int, data: int) -> bool:
    """Decode one message and deliver it; False if nobody was addressed or it is malformed."""
    delivery = DeliveryMode.of(data)
    if delivery in (DeliveryMode.RESERVED, DeliveryMode.STARTUP):
        log.guest_error("msi", f"message {data:#x} to {address:#x} has no delivery mode that can be sent")
        return False
    mode = DestinationMode(bool(address & Address.LOGICAL))
    hinted = address & Address.REDIRECTION_HINT and mode == DestinationMode.LOGICAL
    if hinted and delivery == DeliveryMode.FIXED:  # one of the group only
        delivery = DeliveryMode.LOWEST_PRIORITY
    trigger = TriggerMode(bool(data & Data.LEVEL))
    destination = address >> 12 & 0xFF
    if bus.extended:
        destination |= (address & Address.EXTENDED_DESTINATION) >> 5 << 8
    return bus.deliver(destination, mode, delivery, data & Data.VECTOR, trigger, int(bool(data & Data.ASSERT)))


class ApicWindow(Device):
    """The megabyte at 0xFEE0_0000: the first page is the accessing vCPU's local APIC, writes elsewhere are messages.

    `current()` is the local APIC of the vCPU that accesses, or None for a device's DMA.
    """

    name = "apic-msi"
    region_size, min_access, max_access = MSI_SIZE, 4, 4

    def __init__(self, bus: ApicBus, current: Callable[[], Device | None]) -> None:
        self.bus, self.current = bus, current

    def read(self, offset: int, size: int) -> int:
        lapic = self.current()
        if lapic is None or offset >= REGISTER_PAGE:
            log.guest_error(self.label, f"read at {MSI_BASE + offset:#x}, where only messages are taken")
            return ALL_ONES[size]
        return lapic.read(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        lapic = self.current()
        if lapic is None or offset >= REGISTER_PAGE or offset < FIRST_REGISTER:
            send_msi(self.bus, MSI_BASE + offset, value)
        else:
            lapic.write(offset, size, value)
