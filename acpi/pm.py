"""ACPI power management of PIIX4 (function 3) and ICH9 (LPC): PM1 block, PM timer, GPE0, the SCI, APM control port.

ACPI 6.4, section 4.8; 82371AB (PIIX4) data sheet, 7.1 and 7.2; ICH9 data sheet, 13.8.  Offsets are relative to PMBASE:
    0x0 PM1_STS   0x2 PM1_EN   0x4 PM1_CNT   0x8 PM_TMR        ICH9 also: 0x20 GPE0   0x30 SMI_EN   0x34 SMI_STS
The owner maps the block at PMBASE, PIIX4's GPE block at 0xAFE0, and the APM port at 0xB2.
Not here: suspend to RAM, bus mastering status, global lock, TCO watchdog, raising SMIs (see `on_smi`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from emu import log
from emu.bus import ALL_ONES
from emu.clock import NS_PER_SECOND, Clock
from emu.device import Device, Reg
from emu.irq import Irq
from emu.snapshot import Stateful

PM_TIMER_HZ = 3_579_545
PM1_EVENT, PM1_CONTROL, PM1_TIMER = 0x0, 0x4, 0x8


class Pm1(IntFlag):
    """PM1_STS and PM1_EN."""

    TMR = 1 << 0
    BM = 1 << 4
    GBL = 1 << 5
    PWRBTN = 1 << 8
    SLPBTN = 1 << 9
    RTC = 1 << 10
    WAK = 1 << 15


SCI_SOURCES = Pm1.RTC | Pm1.PWRBTN | Pm1.GBL | Pm1.TMR


class Pm1Control(IntFlag):
    SCI_EN = 1 << 0
    SLP_EN = 1 << 13


SLP_TYP_SHIFT, SLP_TYP_MASK = 10, 0x7


class SleepType(IntEnum):
    """SLP_TYP values, as the DSDT's \\_Sx packages promise them."""

    S5 = 0
    S3 = 1
    S4 = 2


class GpeEvent(IntEnum):
    """Bit numbers in GPE0_STS."""

    PCI_HOTPLUG = 1
    CPU_HOTPLUG = 2
    MEMORY_HOTPLUG = 3
    NVDIMM = 4
    VM_GENERATION_ID = 5


@dataclass(frozen=True)
class PmGeometry:
    """What tells the chipsets apart.  Lengths in bytes; `gpe_offset` is None when GPE0 is mapped on its own."""

    name: str
    region_size: int
    gpe_length: int
    gpe_offset: int | None
    smi_offset: int | None
    acpi_enable: int
    acpi_disable: int


PIIX4_PM = PmGeometry("piix4-pm", 64, 4, None, None, acpi_enable=0xF1, acpi_disable=0xF0)
ICH9_PM = PmGeometry("ich9-pm", 128, 16, 0x20, 0x30, acpi_enable=0x02, acpi_disable=0x03)
PIIX4_GPE_BASE = 0xAFE0
APM_BASE = 0xB2


def _nothing() -> None:
    pass


def _no_smi(command: int) -> None:
    pass


def _lanes(offset: int, size: int, value: int) -> tuple[int, int]:
    """A narrow write as (value, mask) in its aligned double word."""
    shift = 8 * (offset & 3)
    return value << shift, ALL_ONES[size] << shift


# ---------------------------------------------------------------- PM timer


class PmTimer(Stateful):
    """A free-running counter of 24 or 32 bits; TMR_STS is due each time its top bit changes."""

    saved = ("toggle_at",)

    def __init__(self, clock: Clock, width: int = 24) -> None:
        self.clock, self.width = clock, width
        self.half_period = 1 << (width - 1)
        self.toggle_at = self.half_period
        """The tick of the next change of the top bit that has not been acknowledged."""

    @property
    def ticks(self) -> int:
        return self.clock.now * PM_TIMER_HZ // NS_PER_SECOND

    @property
    def value(self) -> int:
        return self.ticks & ((1 << self.width) - 1)

    @property
    def toggled(self) -> bool:
        return self.ticks >= self.toggle_at

    def acknowledge(self) -> None:
        """Wait for the next change from now on."""
        self.toggle_at = (self.ticks // self.half_period + 1) * self.half_period

    @property
    def deadline(self) -> int:
        """The first nanosecond at which `toggled` holds."""
        return -(-self.toggle_at * NS_PER_SECOND // PM_TIMER_HZ)


# ---------------------------------------------------------------- GPE0


class GpeBlock(Device):
    """General purpose events: a status half that is cleared by writing ones, and an enable half."""

    name = "acpi-gpe0"
    max_access = 1

    saved = ("status", "enable")

    def __init__(self, length: int, changed: Callable[[], None]) -> None:
        self.region_size = length
        self.half = length // 2
        self.changed = changed
        self.status = bytearray(self.half)
        self.enable = bytearray(self.half)

    def fire(self, event: int) -> None:
        """Latch an event; it stays until the guest clears it, enabled or not."""
        self.status[event // 8] |= 1 << event % 8
        self.changed()

    @property
    def asserted(self) -> bool:
        # QEMU: the other status bytes never reach the SCI
        return bool(self.status[0] & self.enable[0])

    def read(self, offset: int, size: int) -> int:
        return int.from_bytes((self.status + self.enable)[offset : offset + size], "little")

    def write(self, offset: int, size: int, value: int) -> None:
        for n, byte in enumerate(value.to_bytes(size, "little"), offset):
            if n < self.half:
                self.status[n] &= ~byte
            elif n < 2 * self.half:
                self.enable[n - self.half] = byte
        self.changed()

    def reset(self) -> None:
        self.status[:] = self.enable[:] = bytes(self.half)
        self.changed()


# ---------------------------------------------------------------- APM control


class ApmControl(Device):
    """Ports 0xB2 (command) and 0xB3 (status, a scratch byte).  `on_command(value)` runs on each command."""

    name = "apm-control"
    max_access = 1

    control = Reg(0x0, 1)
    status = Reg(0x1, 1)

    def __init__(self, on_command: Callable[[int], None]) -> None:
        self.on_command = on_command

    @control.write
    def _(self, value: int) -> None:
        self.control = value
        self.on_command(value)


# ---------------------------------------------------------------- the whole


class AcpiPm(Device):
    """The fixed hardware of one chipset, with `gpe` and `apm` as devices of their own.

    `on_shutdown()` runs when the guest enters S5 (or S4), `on_smi(command)` for APM commands other than the two that
    turn ACPI on and off.  `always_acpi` is for machines without SMM, whose OS finds ACPI mode on already.
    """

    unaligned = False

    saved = ("sts", "en", "cnt", "smi_en", "smi_sts", "timer", "alarm", "gpe", "apm")

    def __init__(
        self,
        geometry: PmGeometry,
        clock: Clock,
        sci: Irq,
        on_shutdown: Callable[[], None] = _nothing,
        on_smi: Callable[[int], None] = _no_smi,
        always_acpi: bool = False,
        timer_width: int = 24,
    ) -> None:
        self.geometry, self.name, self.region_size = geometry, geometry.name, geometry.region_size  # type: ignore[misc]
        self.sci, self.on_shutdown, self.on_smi, self.always_acpi = sci, on_shutdown, on_smi, always_acpi
        self.timer = PmTimer(clock, timer_width)
        self.alarm = clock.timer(self.update)
        self.gpe = GpeBlock(geometry.gpe_length, self.update)
        self.apm = ApmControl(self._apm_command)
        self.sts = self.en = self.cnt = self.smi_en = self.smi_sts = 0
        self._readers32 = {PM1_EVENT: self._read_event, PM1_CONTROL: self._read_control, PM1_TIMER: self._read_timer}
        self._writers32 = {PM1_EVENT: self._write_event, PM1_CONTROL: self._write_control}
        if geometry.smi_offset is not None:
            self._readers32 |= {geometry.smi_offset: lambda: self.smi_en, geometry.smi_offset + 4: lambda: self.smi_sts}
            self._writers32 |= {geometry.smi_offset: self._write_smi_en, geometry.smi_offset + 4: self._write_smi_sts}
        self.reset()

    # ------------------------------------------------------------ machine's side

    def power_button(self) -> None:
        """A press of the fixed-feature power button."""
        self.sts |= Pm1.PWRBTN
        self.update()

    def fire(self, event: int) -> None:
        """Latch a general purpose event."""
        self.gpe.fire(event)

    def reset(self) -> None:
        """All registers to zero and the SCI low; unacknowledged hot-plug events are latched elsewhere."""
        self.sts = self.en = self.smi_en = self.smi_sts = 0
        self.cnt = int(Pm1Control.SCI_EN) if self.always_acpi else 0
        self.timer.acknowledge()
        self.apm.reset()
        self.gpe.reset()

    @property
    def acpi_enabled(self) -> bool:
        return bool(self.cnt & Pm1Control.SCI_EN)

    # ------------------------------------------------------------ SCI

    @property
    def sci_level(self) -> int:
        # QEMU: SCI_EN takes no part
        return int(bool(self.sts & self.en & SCI_SOURCES) or self.gpe.asserted)

    def update(self) -> None:
        """Latch the timer's status, set the SCI, and arm the alarm for the next change of the timer's top bit."""
        if self.timer.toggled:
            self.sts |= Pm1.TMR
        self.sci.set(self.sci_level)
        if self.en & Pm1.TMR and not self.sts & Pm1.TMR:
            if self.alarm.deadline != self.timer.deadline:
                self.alarm.rearm(self.timer.deadline)
        else:
            self.alarm.cancel()

    # ------------------------------------------------------------ guest's side

    def read(self, offset: int, size: int) -> int:
        if self._in_gpe(offset):
            return self.gpe.read(offset - (self.geometry.gpe_offset or 0), size)
        reader = self._readers32.get(offset & ~3)
        return reader() >> 8 * (offset & 3) & ALL_ONES[size] if reader else self.read_undefined(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        if self._in_gpe(offset):
            self.gpe.write(offset - (self.geometry.gpe_offset or 0), size, value)
        elif writer := self._writers32.get(offset & ~3):
            writer(*_lanes(offset, size, value))
        else:
            self.write_undefined(offset, size, value)

    def _in_gpe(self, offset: int) -> bool:
        start = self.geometry.gpe_offset
        return start is not None and start <= offset < start + self.geometry.gpe_length

    def _read_event(self) -> int:
        self.update()
        return self.sts | self.en << 16

    def _write_event(self, value: int, lanes: int) -> None:
        self.update()
        if value & Pm1.TMR:
            self.timer.acknowledge()
        self.sts &= ~value & 0xFFFF
        self.en = (self.en << 16 & ~lanes | value) >> 16
        self.update()

    def _read_control(self) -> int:
        return self.cnt

    def _write_control(self, value: int, lanes: int) -> None:
        merged = (self.cnt & ~lanes | value) & 0xFFFF
        self.cnt = merged & ~Pm1Control.SLP_EN
        if merged & Pm1Control.SLP_EN:
            self._sleep(merged >> SLP_TYP_SHIFT & SLP_TYP_MASK)

    def _read_timer(self) -> int:
        return self.timer.value

    def _write_smi_en(self, value: int, lanes: int) -> None:
        self.smi_en = self.smi_en & ~lanes | value

    def _write_smi_sts(self, value: int, lanes: int) -> None:
        self.smi_sts &= ~value

    def _sleep(self, slp_typ: int) -> None:
        if slp_typ in (SleepType.S5, SleepType.S4):
            self.on_shutdown()
        elif slp_typ == SleepType.S3:
            log.unimp(self.name, "suspend to RAM (SLP_TYP 1) is not implemented; the guest goes on running")
        else:
            log.guest_error(self.name, f"SLP_TYP {slp_typ} names no sleep state: expected 0 (S5), 1 (S3) or 2 (S4)")

    def _apm_command(self, command: int) -> None:
        if command == self.geometry.acpi_enable:
            self.cnt |= Pm1Control.SCI_EN
        elif command == self.geometry.acpi_disable and not self.always_acpi:
            self.cnt &= ~Pm1Control.SCI_EN
        else:
            self.on_smi(command)
