"""Intel 82093AA I/O APIC: 24 inputs, each with a redirection entry that says which message it sends.

Intel 82093AA data sheet (290566), chapter 3.  Version 0x20 adds the EOI register of later parts.
Inputs are asserted when high: the polarity bit is kept for the guest but changes nothing, as boards invert what is
active low.  Bits 55:49, reserved there, are bits 14:8 of the destination on a bus that has so many.
Not here: the arbitration id's life on the three-wire bus, interrupt remapping.
"""

from __future__ import annotations

from enum import IntFlag

from emu import log
from emu.device import Reg, SysBusDevice
from emu.devices.apic_bus import ApicBus, DeliveryMode, TriggerMode
from emu.irq import Irq
from emu.qom import computed

IOAPIC_BASE = 0xFEC0_0000
PINS = 24
VERSION_82093AA = 0x11
VERSION_WITH_EOI = 0x20  # QEMU: the default of its machines
PIT_PIN = 2  # ISA IRQ 0 is wired to input 2, where the 8259's cascade has no use for one

# Indirect registers, by IOREGSEL.
IOAPICID, IOAPICVER, IOAPICARB, IOREDTBL = 0x00, 0x01, 0x02, 0x10
ID_SHIFT, ID_MASK = 24, 0xF
U32 = 0xFFFF_FFFF


class Redirection(IntFlag):
    """A redirection table entry, 64 bits."""

    VECTOR = 0xFF
    DELIVERY_MODE = 7 << 8
    LOGICAL = 1 << 11
    DELIVERY_STATUS = 1 << 12
    ACTIVE_LOW = 1 << 13
    REMOTE_IRR = 1 << 14
    LEVEL = 1 << 15
    MASK = 1 << 16
    EXTENDED_DESTINATION = 0x7F << 49  # bits 14:8, if the bus has them
    DESTINATION = 0xFF << 56


READ_ONLY = Redirection.REMOTE_IRR | Redirection.DELIVERY_STATUS
WRITABLE = (
    Redirection.VECTOR
    | Redirection.DELIVERY_MODE
    | Redirection.LOGICAL
    | Redirection.ACTIVE_LOW
    | Redirection.LEVEL
    | Redirection.MASK
    | Redirection.DESTINATION
)


class IoApic(SysBusDevice):
    """`irq[n]` is input n, global system interrupt n of a PC; `isa_irq(n)` finds the input of an ISA interrupt."""

    name = "ioapic"
    shown_version = computed("uint8", name="version")(lambda self: self.version)
    region_size, min_access, max_access = 0x1000, 4, 4

    ioregsel = Reg(0x00, 4)
    iowin = Reg(0x10, 4)
    eoi = Reg(0x40, 4, "w")

    saved = ("apic_id", "table", "irq", "raised")

    def __init__(self, bus: ApicBus, version: int = VERSION_WITH_EOI) -> None:
        if version not in (VERSION_82093AA, VERSION_WITH_EOI):
            raise ValueError(f"an I/O APIC here has version 0x11 or 0x20, not {version:#x}")
        self.bus, self.version = bus, version
        self.irq = [Irq(lambda level, pin=pin: self._input(pin, level)) for pin in range(PINS)]  # type: ignore[misc]
        self.raised = [0] * PINS  # how often each input rose, for people
        bus.io_apics.append(self)
        self.reset()

    def reset(self) -> None:
        """All inputs masked; lines keep their levels."""
        super().reset()
        self.apic_id = 0
        self.table = [int(Redirection.MASK)] * PINS

    def isa_irq(self, number: int) -> Irq:
        """The input that ISA interrupt `number` (0 to 15) is wired to."""
        return self.irq[PIT_PIN if number == 0 else number]

    # ---- interrupts -------------------------------------------------------------------------------------------------

    def _input(self, pin: int, level: int) -> None:
        """A rising edge counts only while unmasked; a level is looked at again at unmasking and at EOI."""
        self.raised[pin] += level
        entry = self.table[pin]
        if level and not entry & Redirection.MASK:
            if entry & Redirection.LEVEL:
                self._service_level(pin)
            else:
                self._send(entry, TriggerMode.EDGE)

    def _service_level(self, pin: int) -> None:
        entry = self.table[pin]
        blocked = entry & (Redirection.MASK | Redirection.REMOTE_IRR)
        if self.irq[pin].level and entry & Redirection.LEVEL and not blocked:
            self.table[pin] |= Redirection.REMOTE_IRR
            self._send(entry, TriggerMode.LEVEL)

    def _send(self, entry: int, trigger: TriggerMode) -> None:
        delivery = DeliveryMode.of(entry)
        if delivery in (DeliveryMode.RESERVED, DeliveryMode.STARTUP):
            log.guest_error(self.label, f"redirection entry {entry:#x} has no delivery mode that can be sent")
            return
        destination = entry >> 56 | (entry & Redirection.EXTENDED_DESTINATION) >> 49 << 8
        self.bus.deliver(destination, bool(entry & Redirection.LOGICAL), delivery, entry & Redirection.VECTOR, trigger)

    def end_of_interrupt(self, vector: int) -> None:
        """EOI for a vector, broadcast by a local APIC or written to the EOI register."""
        for pin, entry in enumerate(self.table):
            if entry & Redirection.REMOTE_IRR and entry & Redirection.VECTOR == vector:
                self.table[pin] &= ~int(Redirection.REMOTE_IRR)
                self._service_level(pin)

    # ---- registers --------------------------------------------------------------------------------------------------

    @ioregsel.write
    def _(self, value: int) -> None:
        self.ioregsel = value & 0xFF

    @iowin.read
    def _(self) -> int:
        index = self.ioregsel
        if index in (IOAPICID, IOAPICARB):
            return self.apic_id << ID_SHIFT
        if index == IOAPICVER:
            return (PINS - 1) << 16 | self.version
        pin, high = divmod(index - IOREDTBL, 2)
        if 0 <= pin < PINS:
            return self.table[pin] >> 32 * high & U32
        log.guest_error(self.label, f"read of register {index:#x}, which does not exist")
        return 0

    @iowin.write
    def _(self, value: int) -> None:
        index = self.ioregsel
        pin, high = divmod(index - IOREDTBL, 2)
        if index == IOAPICID:
            self.apic_id = value >> ID_SHIFT & ID_MASK
        elif 0 <= pin < PINS:
            self._write_entry(pin, high, value)
        else:
            log.guest_error(self.label, f"write of {value:#x} to register {index:#x}, which cannot be written")

    def _write_entry(self, pin: int, high: int, value: int) -> None:
        old = self.table[pin]
        half = U32 << 32 * high
        writable = WRITABLE | Redirection.EXTENDED_DESTINATION if self.bus.extended else WRITABLE
        entry = old & ~half | value << 32 * high & writable | old & READ_ONLY
        if not entry & Redirection.LEVEL:  # guests of version 0x11 parts end an interrupt so
            entry &= ~int(Redirection.REMOTE_IRR)
        self.table[pin] = int(entry)
        self._service_level(pin)

    @eoi.write
    def _(self, value: int) -> None:
        if self.version >= VERSION_WITH_EOI:
            self.end_of_interrupt(value & Redirection.VECTOR)
        else:
            log.guest_error(self.label, f"version {self.version:#x} has no EOI register, write of {value:#x} ignored")
