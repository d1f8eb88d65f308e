"""Local APIC, in xAPIC and x2APIC mode: one for each vCPU.

Intel SDM vol. 3A, chapter 11 "Advanced Programmable Interrupt Controller" (10 in older editions); the timer is in
lapic_timer.py, who is addressed by a message in apic_bus.py.
Not here: CMCI, thermal and performance-counter events (their LVT entries only store), directed EOI (version says so),
arbitration priorities, interrupt remapping.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from emu import log
from emu.clock import Clock
from emu.device import Device, Reg
from emu.devices.apic_bus import ApicBus, DeliveryMode, DestinationMode, TriggerMode
from emu.devices.apic_msrs import ApicMsrs
from emu.devices.apic_registers import (
    ALL_INCLUDING_SELF,
    APIC_DEFAULT_BASE,
    BITMAPS_END,
    DFR_FLAT,
    DFR_OFFSET,
    DFR_RESERVED,
    DIVIDE_MASK,
    EXTINT_UNMASKED,
    FIRST_LEGAL_VECTOR,
    ICR_HIGH_OFFSET,
    ICR_LOW_OFFSET,
    ICR_WRITABLE,
    ISR_BASE,
    LVT_BASE,
    LVT_WRITABLE,
    NMI_UNMASKED,
    NO_SHORTHAND,
    SELF,
    SVR_MASK,
    TPR_MASK,
    U32,
    VERSION,
    ApicBase,
    Entry,
    Esr,
    Icr,
    Lvt,
    Svr,
)
from emu.devices.lapic_timer import ApicTimer, TimerMode
from emu.irq import Irq
from emu.qom import computed


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


def highest(bitmap: int) -> int:
    """Highest vector of a 256-bit map, -1 if it is empty."""
    return bitmap.bit_length() - 1


class LocalApic(ApicMsrs, Device):
    """The guest's registers by `read` and `write` (MMIO) and `read_msr` and `write_msr`; the vCPU's side is below them.

    `apic_id` has 32 bits; xAPIC mode shows the low 8.  `lint0` and `lint1` are input pins.
    """

    name = "apic"
    in_tree = True
    region_size, min_access, max_access = 0x1000, 4, 4
    shown_id = computed("uint32", name="id")(lambda self: self.apic_id)
    shown_version = computed("uint8", name="version")(lambda self: self.version & 0xFF)

    id = Reg(0x020, 4, reset=None)
    version = Reg(0x030, 4, "r", reset=VERSION)
    tpr = Reg(0x080, 4)
    arbitration_priority = Reg(0x090, 4, "r")
    ppr = Reg(0x0A0, 4, "r")
    eoi = Reg(0x0B0, 4, "w")
    remote_read = Reg(0x0C0, 4, "r")
    ldr = Reg(0x0D0, 4)
    dfr = Reg(DFR_OFFSET, 4, reset=U32)
    svr = Reg(0x0F0, 4, reset=int(Svr.VECTOR))
    esr = Reg(0x280, 4)
    icr_low = Reg(ICR_LOW_OFFSET, 4)
    icr_high = Reg(ICR_HIGH_OFFSET, 4)
    initial_count = Reg(0x380, 4)
    current_count = Reg(0x390, 4, "r")
    divide_configuration = Reg(0x3E0, 4)

    saved = ("apic_base", "isr", "tmr", "irr", "errors",
             "pic_request", "lvt", "timer", "wait_for_sipi", "lint0", "lint1")  # fmt: skip

    def __init__(
        self,
        apic_id: int,
        bus: ApicBus,
        owner: Owner,
        clock: Clock,
        *,
        bsp: bool = False,
        x2apic: bool = True,
        tsc: Callable[[], int] | None = None,
        ns_of_tsc: Callable[[int], int] | None = None,
    ) -> None:
        self.apic_id, self.bus, self.owner, self.bsp, self.has_x2apic = apic_id, bus, owner, bsp, x2apic
        self.timer = ApicTimer(clock, self._timer_expired, tsc or (lambda: clock.now), ns_of_tsc or (lambda tsc: tsc))
        self.lint0 = Irq(lambda level: self._lint_changed(Entry.LINT0, level))
        self.lint1 = Irq(lambda level: self._lint_changed(Entry.LINT1, level))
        self.on_base_change: Callable[[int], None] | None = None
        """Told IA32_APIC_BASE when it changes, for a machine that follows a moved register page."""
        self.reset()

    def unrealize(self) -> None:
        """Unplugged: no more timer events.  Leaving the bus is the caller's part, `ApicBus.remove`."""
        self.timer.reset()
        super().unrealize()

    # ---- reset ------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Power-up: an application processor waits for a SIPI."""
        self.apic_base: int = APIC_DEFAULT_BASE | ApicBase.EN | (ApicBase.BSP if self.bsp else 0)
        self._reset_registers()

    def _reset_registers(self) -> None:
        super().reset()
        self.isr = self.tmr = self.irr = 0  # 256-bit maps, bit n is vector n
        self.errors = 0  # since ESR was last written
        self.pic_request = False  # an ExtINT message came in
        self.lvt = [int(Lvt.MASK)] * len(Entry)
        if self.bsp:
            # QEMU: virtual wire mode at power-up, which on a real board is the firmware's work.
            self.lvt[Entry.LINT0], self.lvt[Entry.LINT1] = EXTINT_UNMASKED, NMI_UNMASKED
        self.timer.reset()
        self.wait_for_sipi = not self.bsp

    @property
    def software_enabled(self) -> bool:
        return self.enabled and bool(self.svr & Svr.ENABLE)

    def _base_changed(self, value: int) -> None:
        """IA32_APIC_BASE takes a new value; switching the APIC off brings its registers back to power-up."""
        was_enabled, waiting = self.enabled, self.wait_for_sipi
        self.apic_base = value
        if was_enabled and not self.enabled:
            self._reset_registers()
            self.wait_for_sipi = waiting
        if self.on_base_change:
            self.on_base_change(value)
        self.owner.on_change()

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
        delivery = DeliveryMode(entry >> 8 & 7)
        level_triggered = delivery == DeliveryMode.FIXED and bool(entry & Lvt.LEVEL)
        if level_triggered:
            if entry & Lvt.REMOTE_IRR:
                return
            self.lvt[pin] |= Lvt.REMOTE_IRR
        self.receive(delivery, entry & Lvt.VECTOR, TriggerMode(level_triggered))

    # ---- registers --------------------------------------------------------------------------------------------------

    def read(self, offset: int, size: int) -> int:
        if not self.enabled or self.x2apic_mode:
            log.guest_error(self.label, f"read of {offset:#x} while the register page is off")
            return U32
        return self._read_register(offset)

    def write(self, offset: int, size: int, value: int) -> None:
        if not self.enabled or self.x2apic_mode:
            log.guest_error(self.label, f"write of {value:#x} to {offset:#x} while the register page is off")
            return
        self._write_register(offset, value)

    def _read_register(self, offset: int) -> int:
        if ISR_BASE <= offset < BITMAPS_END and not offset & 0xF:
            bitmap = (self.isr, self.tmr, self.irr)[(offset - ISR_BASE) >> 7]
            return bitmap >> 32 * (offset >> 4 & 7) & U32
        if LVT_BASE <= offset < LVT_BASE + 16 * len(Entry) and not offset & 0xF:
            return self.lvt[(offset - LVT_BASE) >> 4]
        return super().read(offset, 4)

    def _write_register(self, offset: int, value: int) -> None:
        if LVT_BASE <= offset < LVT_BASE + 16 * len(Entry) and not offset & 0xF:
            self._write_lvt(Entry((offset - LVT_BASE) >> 4), value)
        else:
            super().write(offset, 4, value)

    def read_undefined(self, offset: int, size: int) -> int:
        self._error(Esr.ILLEGAL_REGISTER)
        return super().read_undefined(offset, size)

    def write_undefined(self, offset: int, size: int, value: int) -> None:
        self._error(Esr.ILLEGAL_REGISTER)
        super().write_undefined(offset, size, value)

    @id.read
    def _(self) -> int:
        return self.apic_id if self.x2apic_mode else (self.apic_id & 0xFF) << 24

    @id.write
    def _(self, value: int) -> None:
        if value != (self.apic_id & 0xFF) << 24:
            log.guest_error(self.label, f"the APIC id is fixed at {self.apic_id}, write of {value:#x} ignored")

    @tpr.write
    def _(self, value: int) -> None:
        self.tpr = value & TPR_MASK
        self.owner.on_change()

    @ppr.read
    def _(self) -> int:
        return self.priority()

    @eoi.write
    def _(self, value: int) -> None:
        if not self.isr:
            return
        vector = highest(self.isr)
        self.isr &= ~(1 << vector)
        if self.tmr >> vector & 1:
            self._end_of_level(vector)
        self.owner.on_change()

    def _end_of_level(self, vector: int) -> None:
        self.bus.end_of_interrupt(vector)
        for pin, line in ((Entry.LINT0, self.lint0), (Entry.LINT1, self.lint1)):
            entry = self.lvt[pin]
            if entry & Lvt.REMOTE_IRR and entry & Lvt.VECTOR == vector:
                self.lvt[pin] &= ~int(Lvt.REMOTE_IRR)
                if line.level:
                    self._lint_changed(pin, 1)

    @ldr.read
    def _(self) -> int:
        return self.x2apic_logical_id if self.x2apic_mode else self.ldr

    @ldr.write
    def _(self, value: int) -> None:
        self.ldr = value & 0xFF00_0000

    @dfr.write
    def _(self, value: int) -> None:
        self.dfr = value | DFR_RESERVED

    @svr.write
    def _(self, value: int) -> None:
        self.svr = value & SVR_MASK
        if not self.svr & Svr.ENABLE:
            self.lvt = [entry | Lvt.MASK for entry in self.lvt]
        self.owner.on_change()

    @esr.write
    def _(self, value: int) -> None:
        self.esr, self.errors = int(self.errors), 0

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

    @initial_count.read
    def _(self) -> int:
        return self.timer.initial_count

    @initial_count.write
    def _(self, value: int) -> None:
        self.timer.set_initial_count(value)

    @current_count.read
    def _(self) -> int:
        return self.timer.current_count()

    @divide_configuration.read
    def _(self) -> int:
        return self.timer.configuration

    @divide_configuration.write
    def _(self, value: int) -> None:
        self.timer.set_configuration(value & DIVIDE_MASK)

    # ---- interrupt command ------------------------------------------------------------------------------------------

    @icr_low.write
    def _(self, value: int) -> None:
        self.icr_low = value & ICR_WRITABLE
        self._send()

    def _send(self) -> None:
        command = self.icr_low
        delivery, vector = DeliveryMode(command >> 8 & 7), command & Icr.VECTOR
        fixed = delivery in (DeliveryMode.FIXED, DeliveryMode.LOWEST_PRIORITY)
        if fixed and vector < FIRST_LEGAL_VECTOR:
            self._error(Esr.SEND_ILLEGAL_VECTOR)
        elif delivery == DeliveryMode.INIT and command & Icr.LEVEL and not command & Icr.ASSERT:
            return  # INIT level de-assert: once for arbitration ids, nothing since the Pentium 4
        elif delivery in (DeliveryMode.RESERVED, DeliveryMode.EXTINT):
            log.guest_error(self.label, f"interrupt command {command:#x} has no delivery mode that can be sent")
        else:
            self._send_to(command >> 18 & 3, delivery, vector)

    def _send_to(self, shorthand: int, delivery: DeliveryMode, vector: int) -> None:
        """Messages from the ICR are edge-triggered, whatever its trigger bit says."""
        if shorthand == NO_SHORTHAND:
            destination = self.icr_high if self.x2apic_mode else self.icr_high >> 24
            mode = DestinationMode.LOGICAL if self.icr_low & Icr.LOGICAL else DestinationMode.PHYSICAL
            self.bus.deliver(destination, mode, delivery, vector, wide=self.x2apic_mode)
        elif shorthand == SELF:
            if delivery != DeliveryMode.FIXED:
                log.guest_error(self.label, f"shorthand self with delivery mode {delivery.name}, only FIXED is allowed")
            else:
                self.receive(delivery, vector, TriggerMode.EDGE)
        else:
            targets = [each for each in self.bus.lapics if shorthand == ALL_INCLUDING_SELF or each is not self]
            self.bus.deliver_to(targets, delivery, vector)
