"""The interrupt messages between I/O APICs, MSI senders and local APICs: who is addressed, and who wins arbitration.

Intel SDM vol. 3A, chapter "APIC", sections "Determining IPI Destination" and "Interrupt Message Format".
Not here: interrupt remapping, the focus processor, the arbitration of the three-wire bus of the 82489DX.
"""

from __future__ import annotations

from bisect import insort
from enum import IntEnum
from typing import Protocol


class DeliveryMode(IntEnum):
    """Bits 10:8 of the ICR, of a redirection entry, of MSI data and of most LVT entries."""

    FIXED = 0
    LOWEST_PRIORITY = 1
    SMI = 2
    RESERVED = 3
    NMI = 4
    INIT = 5
    STARTUP = 6
    EXTINT = 7

    @classmethod
    def of(cls, register: int) -> DeliveryMode:
        """That of any such register."""
        return cls(register >> 8 & 7)


class DestinationMode(IntEnum):
    PHYSICAL = 0
    LOGICAL = 1


class TriggerMode(IntEnum):
    EDGE = 0
    LEVEL = 1


BROADCAST_8 = 0xFF
BROADCAST_32 = 0xFFFF_FFFF


class Receiver(Protocol):
    """What the bus needs of a local APIC."""

    apic_id: int

    def is_addressed(self, destination: int, mode: DestinationMode) -> bool: ...
    def can_accept_fixed(self) -> bool: ...
    def priority(self) -> int: ...
    def receive(self, delivery: DeliveryMode, vector: int, trigger: TriggerMode) -> None: ...


class EoiListener(Protocol):
    """What the bus needs of an I/O APIC."""

    def end_of_interrupt(self, vector: int) -> None: ...


class ApicBus:
    """Local APICs come and go with their vCPUs; messages reach them in order of APIC id.

    `extended`: device messages have destinations of 15 bits, as hypervisors without interrupt remapping define them.
    """

    extended: bool = False

    def __init__(self) -> None:
        self.lapics: list[Receiver] = []
        self._by_id: dict[int, Receiver] = {}
        self.io_apics: list[EoiListener] = []

    def add(self, lapic: Receiver) -> None:
        """Plug a local APIC in.  Raises ValueError if its APIC id is taken."""
        if lapic.apic_id in self._by_id:
            raise ValueError(f"APIC id {lapic.apic_id} is taken; each vCPU needs its own")
        self._by_id[lapic.apic_id] = lapic
        insort(self.lapics, lapic, key=lambda each: each.apic_id)

    def remove(self, lapic: Receiver) -> None:
        """Unplug a local APIC; messages to it are lost from now on.  Raises ValueError if it is not plugged in."""
        self.lapics.remove(lapic)
        del self._by_id[lapic.apic_id]

    def deliver(
        self,
        destination: int,
        destination_mode: int,
        delivery_mode: int,
        vector: int,
        trigger_mode: int = TriggerMode.EDGE,
        level: int = 1,
        *,
        wide: bool = False,
    ) -> bool:
        """Send one message; False if nobody was addressed.

        `destination` has 8 bits (15 if `extended`), or 32 if `wide` (an ICR in x2APIC mode); 8 or 32 ones are everybody.
        `level` 0 with a level trigger is a de-assertion, which says nothing to the APICs of this family.
        """
        if trigger_mode == TriggerMode.LEVEL and not level:
            return True
        mode = DestinationMode(destination_mode)
        everybody = destination == (BROADCAST_32 if wide else BROADCAST_8)
        if everybody:
            targets = list(self.lapics)
        else:
            targets = [lapic for lapic in self._candidates(destination, mode) if lapic.is_addressed(destination, mode)]
        return self.deliver_to(targets, DeliveryMode(delivery_mode), vector, TriggerMode(trigger_mode))

    def _candidates(self, destination: int, mode: DestinationMode) -> list[Receiver]:
        """Who may be meant: a physical destination is an APIC id."""
        if mode == DestinationMode.LOGICAL:
            return self.lapics
        return [self._by_id[destination]] if destination in self._by_id else []

    def deliver_to(
        self,
        targets: list[Receiver],
        delivery: DeliveryMode,
        vector: int,
        trigger: TriggerMode = TriggerMode.EDGE,
    ) -> bool:
        """Hand a message to the addressed APICs, or with lowest priority to one of them."""
        if delivery == DeliveryMode.LOWEST_PRIORITY:
            targets = self._arbitrate(targets)
        for lapic in targets:
            lapic.receive(delivery, vector, trigger)
        return bool(targets)

    def end_of_interrupt(self, vector: int) -> None:
        """A local APIC finished a level-triggered vector."""
        for io_apic in self.io_apics:
            io_apic.end_of_interrupt(vector)

    @staticmethod
    def _arbitrate(targets: list[Receiver]) -> list[Receiver]:
        """The one with the lowest processor priority; among equals the lowest APIC id."""
        able = [lapic for lapic in targets if lapic.can_accept_fixed()]
        return [min(able, key=lambda lapic: (lapic.priority(), lapic.apic_id))] if able else []
