"""Local APIC, in xAPIC and x2APIC mode: one for each vCPU.

Intel SDM vol. 3A, chapter 11 "Advanced Programmable Interrupt Controller" (10 in older editions).  Here are its registers and
the interrupt command; apic_msrs.py has the registers as MSRs, apic_delivery.py what it does with messages, apic_lvt.py its own
sources, lapic_timer.py the timer; who is addressed by a message is in apic_bus.py.
Not here: CMCI, thermal and performance-counter events (their LVT entries only store), directed EOI (version says so),
arbitration priorities, interrupt remapping.
"""

from __future__ import annotations

from collections.abc import Callable

from emu import log
from emu.clock import Clock
from emu.device import Reg
from emu.devices.apic_bus import ApicBus, DeliveryMode, DestinationMode, TriggerMode
from emu.devices.apic_delivery import Nobody, Owner, highest
from emu.devices.apic_lvt import LocalVectorTable
from emu.devices.apic_msrs import ApicMsrs
from emu.devices.apic_registers import (
    ALL_INCLUDING_SELF,
    APIC_DEFAULT_BASE,
    BITMAPS_END,
    DFR_OFFSET,
    DFR_RESERVED,
    DIVIDE_MASK,
    EXTINT_UNMASKED,
    FIRST_LEGAL_VECTOR,
    ICR_HIGH_OFFSET,
    ICR_LOW_OFFSET,
    ICR_WRITABLE,
    ISR_BASE,
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
    lvt_entry,
)
from emu.devices.lapic_timer import ApicTimer
from emu.irq import Irq
from emu.qom import computed


class LocalApic(ApicMsrs, LocalVectorTable):
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
        """Unplugged: no more timer events, no more owner.  Leaving the bus is the caller's part, `ApicBus.remove`."""
        self.timer.reset()
        self.owner = Nobody()
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
        if (entry := lvt_entry(offset)) is not None:
            return self.lvt[entry]
        return super().read(offset, 4)

    def _write_register(self, offset: int, value: int) -> None:
        if (entry := lvt_entry(offset)) is not None:
            self._write_lvt(entry, value)
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
        delivery, vector = DeliveryMode.of(command), command & Icr.VECTOR
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
