"""A local APIC's own interrupt sources: the local vector table, the pins LINT0 and LINT1, the timer's expiry.

Intel SDM vol. 3A, chapter "APIC", section "Local Vector Table".
Not here: CMCI, thermal and performance-counter events, whose entries only store.
"""

from __future__ import annotations

from emu.devices.apic_bus import ApicBus, DeliveryMode, TriggerMode
from emu.devices.apic_delivery import ApicDelivery
from emu.devices.apic_registers import EXTINT_UNMASKED, LVT_WRITABLE, Entry, Lvt, Svr
from emu.devices.lapic_timer import ApicTimer, TimerMode
from emu.irq import Irq


class LocalVectorTable(ApicDelivery):
    """A part of LocalApic.  `lvt` has an entry for each source."""

    bus: ApicBus
    timer: ApicTimer
    lint0: Irq
    lint1: Irq

    # ---- local sources ----------------------------------------------------------------------------------------------

    def _timer_expired(self) -> None:
        entry = self.lvt[Entry.TIMER]
        if not entry & Lvt.MASK:
            self._accept(entry & Lvt.VECTOR, TriggerMode.EDGE)

    def _lint_changed(self, pin: Entry, level: int) -> None:
        entry = self.lvt[pin]
        if not self.enabled:
            if pin == Entry.LINT0:
                self.owner.on_change()
            elif level:
                self.owner.on_nmi()
        elif not level or entry & Lvt.MASK:
            return
        elif entry & Lvt.DELIVERY_MODE == EXTINT_UNMASKED:
            self.owner.on_change()
        else:
            self._local_interrupt(pin, entry)

    def _local_interrupt(self, pin: Entry, entry: int) -> None:
        """A fixed interrupt by level stays off until its EOI, as REMOTE_IRR says."""
        delivery = DeliveryMode.of(entry)
        level_triggered = delivery == DeliveryMode.FIXED and bool(entry & Lvt.LEVEL)
        if level_triggered:
            if entry & Lvt.REMOTE_IRR:
                return
            self.lvt[pin] |= Lvt.REMOTE_IRR
        self.receive(delivery, entry & Lvt.VECTOR, TriggerMode(level_triggered))

    def _end_of_level(self, vector: int) -> None:
        self.bus.end_of_interrupt(vector)
        for pin, line in ((Entry.LINT0, self.lint0), (Entry.LINT1, self.lint1)):
            entry = self.lvt[pin]
            if entry & Lvt.REMOTE_IRR and entry & Lvt.VECTOR == vector:
                self.lvt[pin] &= ~int(Lvt.REMOTE_IRR)
                if line.level:
                    self._lint_changed(pin, 1)

    def _write_lvt(self, index: Entry, value: int) -> None:
        entry = value & LVT_WRITABLE[index] | self.lvt[index] & Lvt.REMOTE_IRR
        if not self.svr & Svr.ENABLE:
            entry |= Lvt.MASK
        if not entry & Lvt.LEVEL:
            entry &= ~int(Lvt.REMOTE_IRR)
        self.lvt[index] = int(entry)
        if index == Entry.TIMER:
            self.timer.set_mode(TimerMode((entry & Lvt.TIMER_MODE) >> 17))
        elif index in (Entry.LINT0, Entry.LINT1):
            self._lint_rerouted(index)

    def _lint_rerouted(self, pin: Entry) -> None:
        """A pin that is high takes effect at once where it is not a matter of edges."""
        entry, line = self.lvt[pin], self.lint0 if pin == Entry.LINT0 else self.lint1
        extint = entry & Lvt.DELIVERY_MODE == EXTINT_UNMASKED
        if not entry & Lvt.MASK and (extint or line.level and entry & Lvt.LEVEL):
            self._lint_changed(pin, 1)
