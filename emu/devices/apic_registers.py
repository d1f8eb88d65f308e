"""Names and bits of the local APIC's registers (Intel SDM vol. 3A, chapter 11; MSRs: vol. 4)."""

from __future__ import annotations

from enum import IntEnum, IntFlag

from emu.devices.apic_bus import DeliveryMode

APIC_DEFAULT_BASE = 0xFEE0_0000
VERSION = 0x0005_0014  # integrated APIC, six LVT entries (5 is the highest index)
FIRST_LEGAL_VECTOR = 16
U32 = 0xFFFF_FFFF

MSR_APIC_BASE = 0x1B
MSR_TSC_DEADLINE = 0x6E0
MSR_X2APIC_FIRST, MSR_X2APIC_LAST = 0x800, 0x8FF


class ApicBase(IntFlag):
    """IA32_APIC_BASE."""

    BSP = 1 << 8
    EXTD = 1 << 10
    EN = 1 << 11
    ADDRESS = 0xFF_FFFF_F000


class Lvt(IntFlag):
    """Bits of the local vector table's entries; each entry has some of them."""

    VECTOR = 0xFF
    DELIVERY_MODE = 7 << 8
    DELIVERY_STATUS = 1 << 12
    POLARITY = 1 << 13
    REMOTE_IRR = 1 << 14
    LEVEL = 1 << 15
    MASK = 1 << 16
    TIMER_MODE = 3 << 17


class Entry(IntEnum):
    """Index of an LVT entry; its register is at LVT_BASE + 0x10 * index."""

    TIMER = 0
    THERMAL = 1
    PERFORMANCE = 2
    LINT0 = 3
    LINT1 = 4
    ERROR = 5


LVT_BASE = 0x320


def lvt_entry(offset: int) -> Entry | None:
    """The entry whose register is at `offset`, if there is one."""
    index, rest = divmod(offset - LVT_BASE, 0x10)
    return Entry(index) if 0 <= index < len(Entry) and not rest else None


_LINT = Lvt.VECTOR | Lvt.DELIVERY_MODE | Lvt.POLARITY | Lvt.LEVEL | Lvt.MASK
LVT_WRITABLE = {
    Entry.TIMER: Lvt.VECTOR | Lvt.MASK | Lvt.TIMER_MODE,
    Entry.THERMAL: Lvt.VECTOR | Lvt.DELIVERY_MODE | Lvt.MASK,
    Entry.PERFORMANCE: Lvt.VECTOR | Lvt.DELIVERY_MODE | Lvt.MASK,
    Entry.LINT0: _LINT,
    Entry.LINT1: _LINT,
    Entry.ERROR: Lvt.VECTOR | Lvt.MASK,
}
EXTINT_UNMASKED = DeliveryMode.EXTINT << 8
NMI_UNMASKED = DeliveryMode.NMI << 8


class Svr(IntFlag):
    """Spurious-interrupt vector register."""

    VECTOR = 0xFF
    ENABLE = 1 << 8
    FOCUS_DISABLE = 1 << 9


SVR_MASK = Svr.VECTOR | Svr.ENABLE | Svr.FOCUS_DISABLE


class Esr(IntFlag):
    """Error status register."""

    SEND_ILLEGAL_VECTOR = 1 << 5
    RECEIVE_ILLEGAL_VECTOR = 1 << 6
    ILLEGAL_REGISTER = 1 << 7


class Icr(IntFlag):
    """Interrupt command register, low half; the destination is in bits 63:56, in x2APIC mode in 63:32."""

    VECTOR = 0xFF
    DELIVERY_MODE = 7 << 8
    LOGICAL = 1 << 11
    DELIVERY_STATUS = 1 << 12
    ASSERT = 1 << 14
    LEVEL = 1 << 15
    SHORTHAND = 3 << 18


ICR_WRITABLE = Icr.VECTOR | Icr.DELIVERY_MODE | Icr.LOGICAL | Icr.ASSERT | Icr.LEVEL | Icr.SHORTHAND
NO_SHORTHAND, SELF, ALL_INCLUDING_SELF, ALL_EXCLUDING_SELF = range(4)

DFR_FLAT = 0xF
DFR_RESERVED = 0x0FFF_FFFF  # these bits read as ones
TPR_MASK = 0xFF
DIVIDE_MASK = 0xB

ISR_BASE, TMR_BASE, IRR_BASE, BITMAPS_END = 0x100, 0x180, 0x200, 0x280
DFR_OFFSET, ICR_LOW_OFFSET, ICR_HIGH_OFFSET, SELF_IPI_OFFSET = 0x0E0, 0x300, 0x310, 0x3F0
ICR_MSR, EOI_MSR, ESR_MSR, SELF_IPI_MSR = 0x830, 0x80B, 0x828, 0x83F
