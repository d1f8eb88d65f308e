"""The local APIC by model-specific registers: IA32_APIC_BASE, IA32_TSC_DEADLINE, and x2APIC's 0x800 to 0x8FF.

Intel SDM vol. 3A, "Extended XAPIC (x2APIC)"; an MSR 0x800 + n is the register at MMIO offset 16 * n.
A refused access (None, False) is #GP(0) for the vCPU.
"""

from __future__ import annotations

from collections.abc import Callable

from emu.devices.apic_delivery import ApicDelivery
from emu.devices.apic_registers import (
    BITMAPS_END,
    DFR_OFFSET,
    DIVIDE_MASK,
    EOI_MSR,
    ESR_MSR,
    ICR_HIGH_OFFSET,
    ICR_LOW_OFFSET,
    ICR_MSR,
    ICR_WRITABLE,
    ISR_BASE,
    LVT_WRITABLE,
    MSR_APIC_BASE,
    MSR_TSC_DEADLINE,
    MSR_X2APIC_FIRST,
    MSR_X2APIC_LAST,
    SELF,
    SELF_IPI_MSR,
    SELF_IPI_OFFSET,
    SVR_MASK,
    TPR_MASK,
    U32,
    ApicBase,
    Icr,
    Lvt,
    lvt_entry,
)
from emu.devices.lapic_timer import ApicTimer

ABSENT_IN_X2APIC = (0x090, 0x0C0, DFR_OFFSET, ICR_HIGH_OFFSET)  # arbitration priority, remote read
WRITABLE_BITS = {0x080: TPR_MASK, 0x0F0: int(SVR_MASK), 0x380: U32, 0x3E0: DIVIDE_MASK, SELF_IPI_OFFSET: 0xFF}


class ApicMsrs(ApicDelivery):
    """A part of LocalApic, whose registers these are."""

    has_x2apic: bool
    icr_low: int
    icr_high: int
    timer: ApicTimer
    _base_changed: Callable[[int], None]
    _read_register: Callable[[int], int]
    _write_register: Callable[[int, int], None]

    def read_msr(self, number: int) -> int | None:
        """IA32_APIC_BASE, IA32_TSC_DEADLINE or an x2APIC register; None is #GP(0)."""
        if number == MSR_APIC_BASE:
            return int(self.apic_base)
        if number == MSR_TSC_DEADLINE:
            return self.timer.deadline
        offset = self._x2apic_offset(number)
        if offset is None or number in (EOI_MSR, SELF_IPI_MSR):
            return None
        if number == ICR_MSR:
            return self.icr_high << 32 | self.icr_low
        return self._read_register(offset)

    def write_msr(self, number: int, value: int) -> bool:
        """The same registers for writing, 64 bits; False is #GP(0)."""
        if number == MSR_APIC_BASE:
            return self._write_apic_base(value)
        if number == MSR_TSC_DEADLINE:
            self.timer.set_deadline(value)
            return True
        offset = self._x2apic_offset(number)
        if offset is None or not self._is_valid_x2apic_write(number, offset, value):
            return False
        if number == ICR_MSR:
            self.icr_high = value >> 32
            self._write_register(offset, value & U32)
        elif number == SELF_IPI_MSR:
            self._write_register(ICR_LOW_OFFSET, SELF << 18 | value & Icr.VECTOR)
        else:
            self._write_register(offset, value)
        return True

    def _x2apic_offset(self, number: int) -> int | None:
        """Offset of the register that an MSR number means, None if there is no such register in this mode."""
        if not self.x2apic_mode or not MSR_X2APIC_FIRST <= number <= MSR_X2APIC_LAST:
            return None
        offset = (number - MSR_X2APIC_FIRST) << 4
        is_bitmap = ISR_BASE <= offset < BITMAPS_END
        is_lvt = lvt_entry(offset) is not None
        known = is_bitmap or is_lvt or offset == SELF_IPI_OFFSET or offset in self._readers or offset in self._writers
        return offset if known and offset not in ABSENT_IN_X2APIC else None

    def _is_valid_x2apic_write(self, number: int, offset: int, value: int) -> bool:
        """Read-only registers and reserved bits are #GP."""
        if number == ICR_MSR:
            return not value & U32 & ~int(ICR_WRITABLE | Icr.DELIVERY_STATUS)
        if number in (EOI_MSR, ESR_MSR):
            return value == 0
        if (entry := lvt_entry(offset)) is not None:
            read_only = Lvt.DELIVERY_STATUS | Lvt.REMOTE_IRR
            return not value & ~int(LVT_WRITABLE[entry] | read_only)
        return offset in WRITABLE_BITS and not value & ~WRITABLE_BITS[offset]

    def _write_apic_base(self, value: int) -> bool:
        """Transitions between disabled, xAPIC and x2APIC (SDM, "x2APIC State Transitions")."""
        allowed = ApicBase.BSP | ApicBase.EN | ApicBase.ADDRESS | (ApicBase.EXTD if self.has_x2apic else 0)
        x2apic = ApicBase.EN | ApicBase.EXTD
        was, now = self.apic_base & x2apic, value & x2apic
        forbidden = ((x2apic, ApicBase.EN), (0, x2apic))
        if value & ~int(allowed) or now == ApicBase.EXTD or (was, now) in forbidden:
            return False
        self._base_changed(value)
        return True
