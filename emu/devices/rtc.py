"""MC146818 real-time clock with 128 bytes of CMOS RAM, at ports 0x70 and 0x71.

Motorola MC146818A data sheet (register and interrupt descriptions); CMOS usage by PC firmware as QEMU documents it.
The time is a start date plus virtual time, so a run does not depend on the day it is made.
Flags of register C follow from the time at which they were last looked at; a timer runs only for enabled interrupts.
Not here: the square-wave pin, daylight saving, other time bases than 32.768 kHz, the second bank at 0x72.
"""

from __future__ import annotations

import calendar
from datetime import datetime, timedelta, timezone

from emu import log
from emu.clock import NS_PER_SECOND, Clock
from emu.device import IsaDevice
from emu.irq import Irq

BASE = 0x70
INDEX, DATA = 0, 1
INDEX_MASK, NMI_DISABLE = 0x7F, 0x80

SECONDS, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM = range(6)
DAY_OF_WEEK, DAY, MONTH, YEAR = 6, 7, 8, 9
REG_A, REG_B, REG_C, REG_D = 0x0A, 0x0B, 0x0C, 0x0D
TIME_REGISTERS = (SECONDS, MINUTES, HOURS, DAY_OF_WEEK, DAY, MONTH, YEAR)
ALARMS = (HOURS_ALARM, MINUTES_ALARM, SECONDS_ALARM)
ALARM_ANY = 0xC0  # an alarm register of 0xC0 or more matches every value

A_UIP, A_DIVIDER, A_RATE = 0x80, 0x70, 0x0F
A_DIVIDER_RESET = 0x60  # 11x holds the divider chain in reset
B_SET, B_PIE, B_AIE, B_UIE, B_SQWE, B_BINARY, B_24H = 0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02
C_IRQF, C_PF, C_AF, C_UF = 0x80, 0x40, 0x20, 0x10
C_SOURCES = C_PF | C_AF | C_UF
D_VALID = 0x80
HOURS_PM = 0x80

FREQUENCY = 32_768  # Hz
UPDATE_WARNING_NS = 244_141  # UIP rises 8 clocks before the update

# CMOS RAM as PC firmware reads it; sizes in the units named.
CMOS_EQUIPMENT = 0x14
CMOS_BASE_KIB, CMOS_EXTENDED_KIB, CMOS_EXTENDED2_KIB = 0x15, 0x17, 0x30
CMOS_ABOVE_16M_64KIB, CMOS_ABOVE_4G_64KIB = 0x34, 0x5B
CMOS_BOOT_ORDER_LOW, CMOS_BOOT_ORDER = 0x38, 0x3D
CMOS_CENTURY, CMOS_CENTURY_PS2 = 0x32, 0x37
CMOS_CPUS = 0x5F
EQUIPMENT_FPU, EQUIPMENT_MOUSE = 0x02, 0x04

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
DEFAULT_DATE = datetime(2026, 1, 1, tzinfo=timezone.utc)


def rate_period(rate: int) -> int:
    """Clocks of 32.768 kHz between periodic interrupts for the RS field; 0 when there are none."""
    if not rate:
        return 0
    return 1 << (rate + 6 if rate <= 2 else rate - 1)


class Rtc(IsaDevice):
    """`base` is the date at virtual time 0 (naive means UTC); `irq` is the IRQ pin, a level until register C is read."""

    name = "mc146818rtc"
    region_size, max_access = 2, 1

    saved = ("cmos", "index", "nmi_disabled", "offset", "looked", "_timer")

    def __init__(self, clock: Clock, irq: Irq | None = None, base: datetime = DEFAULT_DATE) -> None:
        self.clock, self.irq = clock, irq or Irq()
        self.base_ns = calendar.timegm(base.utctimetuple()) * NS_PER_SECOND
        self.cmos = bytearray(128)
        self.cmos[REG_A], self.cmos[REG_B], self.cmos[REG_D] = 0x26, B_24H, D_VALID
        self.index = 0
        self.nmi_disabled = False
        self.offset = self.base_ns  # nanoseconds since 1970 at virtual time 0
        self.looked = self.clock.now  # when register C's flags were last brought up to date
        self._timer = clock.timer(self._refresh)

    def reset(self) -> None:
        """The RESET pin: interrupts off; time, alarm and RAM stay."""
        self.cmos[REG_B] &= ~(B_PIE | B_AIE | B_UIE | B_SQWE)
        self.cmos[REG_C] = 0
        self.index, self.looked = 0, self.clock.now
        self._refresh()

    # Ports

    def read(self, offset: int, size: int) -> int:
        if offset == INDEX:
            return 0xFF
        return self.read_register(self.index)

    def write(self, offset: int, size: int, value: int) -> None:
        if offset == INDEX:
            self.index = value & INDEX_MASK
            self.nmi_disabled = bool(value & NMI_DISABLE)
        else:
            self.write_register(self.index, value)

    def read_register(self, index: int) -> int:
        """One of the 128 bytes as the guest sees it; reading register C clears it."""
        if index in TIME_REGISTERS or index in (CMOS_CENTURY, CMOS_CENTURY_PS2):
            self._show_time()
        elif index == REG_A:
            return self.cmos[REG_A] & ~A_UIP | A_UIP * self._updating()
        elif index == REG_C:
            return self._take_flags()
        return self.cmos[index]

    def write_register(self, index: int, value: int) -> None:
        if index in (REG_C, REG_D):
            log.guest_error(self.name, f"write of {value:#04x} to read-only register {index:#04x}; ignored")
        elif index in TIME_REGISTERS or index == CMOS_CENTURY:
            self._set_field(index, value)
        elif index == REG_A:
            self._write_a(value & ~A_UIP)
        elif index == REG_B:
            self._write_b(value)
        else:
            self._bring_flags_up_to_date()  # an alarm that has matched so far counts with its old setting
            self.cmos[index] = value
            self._refresh()

    def _write_a(self, value: int) -> None:
        self._bring_flags_up_to_date()
        was_running = self._running
        self._show_time()
        self.cmos[REG_A] = value
        if self._running and not was_running:
            self._load_time(NS_PER_SECOND // 2)  # the first update comes half a second after the divider starts
        self._refresh()

    def _write_b(self, value: int) -> None:
        self._bring_flags_up_to_date()
        was_running = self._running
        self._show_time()
        if value & B_SET:
            value &= ~B_UIE
        self.cmos[REG_B] = value
        if self._running and not was_running:
            self._load_time(self._wall % NS_PER_SECOND)
        self._refresh()

    # Time

    @property
    def _running(self) -> bool:
        return not self.cmos[REG_B] & B_SET and self.cmos[REG_A] & A_DIVIDER_RESET != A_DIVIDER_RESET

    @property
    def _wall(self) -> int:
        """The clock's own time, nanoseconds since 1970."""
        return self.offset + self.clock.now

    def _updating(self) -> bool:
        return self._running and self._wall % NS_PER_SECOND >= NS_PER_SECOND - UPDATE_WARNING_NS

    def _show_time(self) -> None:
        """Bring the time registers up to date, in the format that register B asks for."""
        if not self._running:
            return
        now = datetime(1970, 1, 1) + timedelta(seconds=self._wall // NS_PER_SECOND)
        values = (now.second, now.minute, None, now.isoweekday() % 7 + 1, now.day, now.month, now.year % 100)
        for index, value in zip(TIME_REGISTERS, values, strict=True):
            self.cmos[index] = self._hour_code(now.hour) if value is None else self._encode(value)
        self.cmos[CMOS_CENTURY] = self.cmos[CMOS_CENTURY_PS2] = self._encode(now.year // 100)

    def _set_field(self, index: int, value: int) -> None:
        self._bring_flags_up_to_date()
        self._show_time()
        self.cmos[index] = value
        if self._running:
            self._load_time(self._wall % NS_PER_SECOND)
        self._refresh()

    def _load_time(self, phase_ns: int) -> None:
        """Take the time registers over as the time, `phase_ns` into the second."""
        c = self.cmos
        fields = [self._decode(c[i]) for i in (YEAR, MONTH, DAY)], [self._decode(c[i]) for i in (MINUTES, SECONDS)]
        (year, month, day), (minute, second) = fields
        year += 100 * self._decode(c[CMOS_CENTURY])
        try:
            date = datetime(year, month, day, self._hour_of(c[HOURS]), minute, second)
        except ValueError:
            log.guest_error(self.name, f"the time set, {year}-{month}-{day} {minute}:{second}, is no time; ignored")
            return
        self.offset = calendar.timegm(date.timetuple()) * NS_PER_SECOND + phase_ns - self.clock.now

    def _encode(self, value: int) -> int:
        return value if self.cmos[REG_B] & B_BINARY else value // 10 << 4 | value % 10

    def _decode(self, code: int) -> int:
        return code if self.cmos[REG_B] & B_BINARY else (code >> 4) * 10 + (code & 15)

    def _hour_code(self, hour: int) -> int:
        if self.cmos[REG_B] & B_24H:
            return self._encode(hour)
        return self._encode(hour % 12 or 12) | HOURS_PM * (hour >= 12)

    def _hour_of(self, code: int) -> int:
        if self.cmos[REG_B] & B_24H:
            return self._decode(code)
        return self._decode(code & ~HOURS_PM) % 12 + 12 * bool(code & HOURS_PM)

    # Interrupts

    def _periodic_tick(self, ns: int) -> int:
        """How many periodic interrupts fell due up to this virtual time."""
        period = rate_period(self.cmos[REG_A] & A_RATE)
        return ns * FREQUENCY // (NS_PER_SECOND * period) if period else 0

    def _next_periodic(self, ns: int) -> int | None:
        period = rate_period(self.cmos[REG_A] & A_RATE)
        return -(-(self._periodic_tick(ns) + 1) * NS_PER_SECOND * period // FREQUENCY) if period else None

    def _next_update(self, ns: int) -> int | None:
        if not self._running:
            return None
        return ((self.offset + ns) // NS_PER_SECOND + 1) * NS_PER_SECOND - self.offset

    def _next_alarm(self, ns: int) -> int | None:
        """The virtual time, after `ns`, of the next update that matches the three alarm registers."""
        if not self._running:
            return None
        second = (self.offset + ns) // NS_PER_SECOND + 1
        day, now = divmod(second, 86_400)
        hours, minutes, seconds = self._alarm_values()
        for start, then in ((day, now), (day + 1, 0)):
            for hour in hours:
                for minute in minutes if hour * 3600 + 3599 >= then else ():
                    for s in seconds if hour * 3600 + minute * 60 + 59 >= then else ():
                        if (match := hour * 3600 + minute * 60 + s) >= then:
                            return (start * 86_400 + match) * NS_PER_SECOND - self.offset
        return None

    def _alarm_values(self) -> tuple[range, range, range]:
        """Which hours, minutes and seconds match: all or one, none if the setting is no time."""
        ranges = []
        for index, limit in zip(ALARMS, (24, 60, 60), strict=True):
            code = self.cmos[index]
            value = self._hour_of(code) if index == HOURS_ALARM else self._decode(code)
            ranges.append(range(limit) if code >= ALARM_ANY else range(value, value + 1 if value < limit else value))
        return ranges[0], ranges[1], ranges[2]

    def _bring_flags_up_to_date(self) -> None:
        since, now = self.looked, self.clock.now
        if now <= since:
            return
        flags = C_PF * (self._periodic_tick(now) > self._periodic_tick(since))
        for flag, next_event in ((C_UF, self._next_update), (C_AF, self._next_alarm)):
            when = next_event(since)
            flags |= flag * (when is not None and when <= now)
        self.cmos[REG_C] |= flags
        self.looked = now

    def _refresh(self) -> None:
        """Update flags, drive the pin, and wake for the next enabled event."""
        self._bring_flags_up_to_date()
        enabled = self.cmos[REG_B] & C_SOURCES
        pending = self.cmos[REG_C] & enabled
        self.cmos[REG_C] = self.cmos[REG_C] & C_SOURCES | C_IRQF * bool(pending)
        self.irq.set(bool(pending))
        events = ((B_PIE, self._next_periodic), (B_UIE, self._next_update), (B_AIE, self._next_alarm))
        times = [next_event(self.looked) for bit, next_event in events if enabled & bit]
        due = min((when for when in times if when is not None), default=None)
        if due is None:
            self._timer.cancel()
        elif due != self._timer.deadline:
            self._timer.rearm(due)

    def _take_flags(self) -> int:
        self._refresh()
        flags = self.cmos[REG_C]
        self.cmos[REG_C] = 0
        self._refresh()
        return flags

    # What the machine stores for its firmware

    def set_memory_size(self, below_4g: int, above_4g: int = 0) -> None:
        """Store the RAM sizes, in bytes, where PC firmware looks for them."""
        self._store(CMOS_BASE_KIB, 640, 2)
        extended = min(max(below_4g - MIB, 0) // KIB, 0xFFFF)
        self._store(CMOS_EXTENDED_KIB, extended, 2)
        self._store(CMOS_EXTENDED2_KIB, extended, 2)
        self._store(CMOS_ABOVE_16M_64KIB, min(max(below_4g - 16 * MIB, 0) >> 16, 0xFFFF), 2)
        self._store(CMOS_ABOVE_4G_64KIB, above_4g >> 16, 3)

    def set_cpus(self, count: int) -> None:
        """Store the number of CPUs that firmware will find running: 0 means more than fit."""
        self.cmos[CMOS_CPUS] = count - 1 if count <= 255 else 0

    def set_equipment(self, *, floppies: int = 0, mouse: bool = True) -> None:
        self.cmos[CMOS_EQUIPMENT] = EQUIPMENT_FPU | EQUIPMENT_MOUSE * mouse | (floppies and 1 | floppies - 1 << 6)

    def set_boot_order(self, order: tuple[int, ...], *, skip_signature_check: bool = False) -> None:
        """Up to three device codes as firmware numbers them: 1 floppy, 2 disk, 3 CD-ROM, 4 network."""
        first, second, third = (*order, 0, 0, 0)[:3]
        self.cmos[CMOS_BOOT_ORDER] = second << 4 | first
        self.cmos[CMOS_BOOT_ORDER_LOW] = third << 4 | skip_signature_check

    def _store(self, index: int, value: int, size: int) -> None:
        self.cmos[index : index + size] = value.to_bytes(size, "little")
