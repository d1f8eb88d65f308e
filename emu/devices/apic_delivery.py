"""What a local APIC does with messages: which it takes, what waits, and what its vCPU gets next.

Intel SDM vol. 3A, chapter "APIC", sections "Handling Interrupts" and "Determining IPI Destination".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from emu import log
from emu.device import Device
from emu.devices.apic_bus import DeliveryMode, DestinationMode, TriggerMode
from emu.devices.apic_registers import DFR_FLAT, EXTINT_UNMASKED, FIRST_LEGAL_VECTOR, ApicBase, Entry, Esr, Lvt, Svr


class Owner(Protocol):
    """The vCPU, as its local APIC sees it."""

    def on_change(self) -> None:
        """There may be something to deliver now: ask `pending_vector` and `accept_pic_intr` again."""

    def on_nmi(self) -> None: ...
    def on_smi(self) -> None: ...
    def on_init(self) -> None:
        """INIT: reset the vCPU; if `wait_for_sipi` is set then it halts until `on_sipi`."""

    def on_sipi(self, vector: int) -> None:
        """Start in real mode at CS = vector << 8, IP = 0."""


class Nobody(Owner):
    """Of an APIC that is unplugged.  The vCPU's memory goes with the last reference to it, and here was one that led in a circle."""

    def on_change(self) -> None:
        return

    def on_sipi(self, vector: int) -> None:
        return

    on_nmi = on_smi = on_init = on_change


def highest(bitmap: int) -> int:
    """Highest vector of a 256-bit map, -1 if it is empty."""
    return bitmap.bit_length() - 1


class ApicDelivery(Device):
    """A part of LocalApic, whose registers these are.  `irr`, `isr` and `tmr` are 256-bit maps, bit n is vector n."""

    apic_base: int  # IA32_APIC_BASE
    apic_id: int
    owner: Owner
    lvt: list[int]
    irr: int
    isr: int
    tmr: int
    tpr: int
    svr: int
    ldr: int
    dfr: int
    errors: int
    pic_request: bool
    wait_for_sipi: bool

    _reset_registers: Callable[[], None]

    @property
    def enabled(self) -> bool:
        """IA32_APIC_BASE.EN: without it the pins lead straight to the CPU."""
        return bool(self.apic_base & ApicBase.EN)

    @property
    def x2apic_mode(self) -> bool:
        return bool(self.apic_base & ApicBase.EXTD)

    @property
    def software_enabled(self) -> bool:
        return self.enabled and bool(self.svr & Svr.ENABLE)

    # ---- for the vCPU -----------------------------------------------------------------------------------------------

    def pending_vector(self) -> int | None:
        """The vector to deliver now, if its class is above the processor priority."""
        if not self.irr or not self.software_enabled:
            return None
        vector = highest(self.irr)
        return vector if vector >> 4 > self.priority() >> 4 else None

    def acknowledge(self) -> int:
        """The vCPU takes the pending vector; if that has gone in the meantime, the spurious vector."""
        vector = self.pending_vector()
        if vector is None:
            return self.svr & Svr.VECTOR
        self.irr &= ~(1 << vector)
        self.isr |= 1 << vector
        return vector

    def accept_pic_intr(self) -> bool:
        """Whether the 8259's INTR reaches this vCPU: through LINT0 as ExtINT, by message, or past a disabled APIC."""
        return (
            not self.enabled
            or self.pic_request
            or self.lvt[Entry.LINT0] & (Lvt.MASK | Lvt.DELIVERY_MODE) == EXTINT_UNMASKED
        )

    def pic_acknowledged(self) -> None:
        """The vCPU has taken its vector from the 8259."""
        self.pic_request = False

    @property
    def cr8(self) -> int:
        """TPR bits 7:4, the vCPU's CR8."""
        return self.tpr >> 4

    @cr8.setter
    def cr8(self, value: int) -> None:
        self.tpr = (value & 0xF) << 4
        self.owner.on_change()

    # ---- for the bus ------------------------------------------------------------------------------------------------

    def is_addressed(self, destination: int, mode: DestinationMode) -> bool:
        """Whether a message's destination, never the broadcast, names this APIC."""
        if mode == DestinationMode.PHYSICAL:
            return destination == self.apic_id  # in xAPIC mode too: ids that this mode cannot have must not pass for others
        if self.x2apic_mode:
            logical = self.x2apic_logical_id
            return destination >> 16 == logical >> 16 and bool(destination & logical & 0xFFFF)
        logical = self.ldr >> 24
        if self.dfr >> 28 == DFR_FLAT:
            return bool(destination & logical)
        return destination >> 4 in (logical >> 4, 0xF) and bool(destination & logical & 0xF)

    @property
    def x2apic_logical_id(self) -> int:
        """Cluster of 16 in the upper half, a bit for the member in the lower."""
        return self.apic_id >> 4 << 16 | 1 << (self.apic_id & 0xF)

    def can_accept_fixed(self) -> bool:
        return self.software_enabled

    def priority(self) -> int:
        """PPR: the task priority, or the class of the vector in service if that is higher."""
        in_service = highest(self.isr) & 0xF0 if self.isr else 0
        return self.tpr if self.tpr >> 4 >= in_service >> 4 else in_service

    def receive(self, delivery: DeliveryMode, vector: int, trigger: TriggerMode) -> None:
        """A message for this APIC, from the bus or from one of its own sources."""
        if not self.enabled:
            return
        if delivery in (DeliveryMode.FIXED, DeliveryMode.LOWEST_PRIORITY):
            self._accept(vector, trigger)
        elif delivery == DeliveryMode.NMI:
            self.owner.on_nmi()
        elif delivery == DeliveryMode.SMI:
            self.owner.on_smi()
        elif delivery == DeliveryMode.EXTINT:
            self.pic_request = True
            self.owner.on_change()
        elif delivery == DeliveryMode.INIT:
            self._init()
        elif delivery == DeliveryMode.STARTUP:
            self._startup(vector)
        else:
            log.guest_error(self.label, f"message with the reserved delivery mode {int(delivery)}, vector {vector:#x}")

    def _accept(self, vector: int, trigger: TriggerMode) -> None:
        if not self.software_enabled:
            return
        if vector < FIRST_LEGAL_VECTOR:
            self._error(Esr.RECEIVE_ILLEGAL_VECTOR)
            return
        bit = 1 << vector
        self.irr |= bit
        self.tmr = self.tmr | bit if trigger == TriggerMode.LEVEL else self.tmr & ~bit
        self.owner.on_change()

    def _init(self) -> None:
        """As power-up, but the APIC id and IA32_APIC_BASE stay."""
        self._reset_registers()
        self.owner.on_init()

    def _startup(self, vector: int) -> None:
        if self.wait_for_sipi:
            self.wait_for_sipi = False
            self.owner.on_sipi(vector)

    def _error(self, error: Esr) -> None:
        self.errors |= error
        entry = self.lvt[Entry.ERROR]
        vector = entry & Lvt.VECTOR
        if not entry & Lvt.MASK and vector >= FIRST_LEGAL_VECTOR:
            self._accept(vector, TriggerMode.EDGE)
