"""Intel PIIX3 and PIIX4 functions of the `pc` machine: ISA bridge with PCI interrupt routing, IDE, power management.

82371SB (PIIX3, 290550) data sheet, functions 0 and 1; 82371AB (PIIX4, 290562) data sheet, function 3.
Not here: IDE drives and bus-master transfers, USB, and the PM register block itself, which the machine maps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from emu import log, qom
from emu.bus import AddressSpace
from emu.device import Device, Window
from emu.devices.pci import COMMAND, STATUS, STATUS_ERRORS, PciFunction
from emu.devices.sleep import SleepSettings
from emu.devices.smbus import SmbusHost
from emu.irq import Irq

STATUS_DEVSEL_MEDIUM, STATUS_FAST_BACK = 0x0200, 0x0080


def piix_swizzle(slot: int, pin: int) -> int:
    """Which PIRQ line a slot's pin reaches on the pc board: slot 1's INTA# is PIRQA."""
    return (slot - 1 + pin) & 3


# Function 0: ISA bridge

PIRQRC, PIRQ_COUNT = 0x60, 4
PIRQ_DISABLED, PIRQ_MASK, PIRQ_WRITABLE = 0x80, 0x0F, 0x8F
ROUTABLE = frozenset((3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15))
ISA_RESET_VALUES = {
    0x4C: 0x4D, 0x4E: 0x03, 0x69: 0x02, 0x70: 0x80, 0x76: 0x0C, 0x77: 0x0C, 0x78: 0x02, 0xA0: 0x08, 0xA8: 0x0F
}  # fmt: skip
RESET_CONTROL_PORT = 0xCF9
RESET_HARD, RESET_CPU = 0x02, 0x04


class Piix3Isa(PciFunction):
    """`pirqs` are the inputs from the PCI bus, `isa_irqs` the sixteen lines they may be routed to.

    `on_reset(hard)` is asked to reset the machine by the reset control register.
    """

    name = "PIIX3"
    vendor_id, device_id, class_code = 0x8086, 0x7000, 0x060100

    saved = ("driven", "pirqs", "reset_control")

    def __init__(self, isa_irqs: Sequence[Irq], on_reset: Callable[[bool], None] = lambda hard: None) -> None:
        super().__init__()
        self.isa_irqs, self.on_reset = isa_irqs, on_reset
        self.define(COMMAND, 2, 0x0007, writable=0x0108)
        self.define(STATUS, 2, STATUS_DEVSEL_MEDIUM, clear_on_one=STATUS_ERRORS)
        for offset, value in ISA_RESET_VALUES.items():
            self.define(offset, 1, value, writable=0xFF)
        for n in range(PIRQ_COUNT):
            self.define(PIRQRC + n, 1, PIRQ_DISABLED, writable=PIRQ_WRITABLE)
        self.pirqs = [Irq(lambda level: self._drive()) for _ in range(PIRQ_COUNT)]
        self.driven: list[int] = []  # ISA lines that a PIRQ is routed to
        self.isa_bus = self.add_child("isa.0", qom.IsaBus())
        self.reset_control = 0
        self.reset_window = Window("piix3-reset-control", 1, self._read_reset, self._write_reset)

    def attach(self, io: AddressSpace) -> None:
        """Map the reset control register, which lies inside the host bridge's address register."""
        io.map(RESET_CONTROL_PORT, 1, self.reset_window, priority=1)

    def reset(self) -> None:
        super().reset()
        self.reset_control = 0
        self._route()

    def config_written(self, offset: int, size: int) -> None:
        if offset < PIRQRC + PIRQ_COUNT and offset + size > PIRQRC:
            self._route()

    def routed_to(self, pirq: int) -> int | None:
        """The ISA line of PIRQA to PIRQD (0 to 3), or None."""
        value = self.config[PIRQRC + pirq]
        irq = value & PIRQ_MASK
        if value & PIRQ_DISABLED:
            return None
        if irq not in ROUTABLE:
            log.guest_error(self.name, f"PIRQ{'ABCD'[pirq]} routed to IRQ {irq}, which is reserved; left unrouted")
            return None
        return irq

    def _route(self) -> None:
        old = self.driven
        routes = (self.routed_to(n) for n in range(PIRQ_COUNT))
        self.driven = sorted({irq for irq in routes if irq is not None})
        for irq in old:
            if irq not in self.driven:
                self.isa_irqs[irq].lower()
        self._drive()

    def _drive(self) -> None:
        for irq in self.driven:
            self.isa_irqs[irq].set(
                any(self.config[PIRQRC + n] == irq and pirq.level for n, pirq in enumerate(self.pirqs))
            )

    def _read_reset(self, offset: int, size: int) -> int:
        return self.reset_control

    def _write_reset(self, offset: int, size: int, value: int) -> None:
        rising = value & ~self.reset_control & RESET_CPU
        self.reset_control = value & (RESET_HARD | RESET_CPU)
        if rising:
            self.reset_control &= ~RESET_CPU
            self.on_reset(bool(value & RESET_HARD))


# Function 1: IDE

IDE_TIMING = 0x40
BUS_MASTER_SIZE = 16
IDE_CHANNELS = ((0x1F0, 0x3F6), (0x170, 0x376))  # command and control block of each
BUS_MASTER_STATUS, BUS_MASTER_STATUS_CLEARABLE, BUS_MASTER_STATUS_WRITABLE = 2, 0x06, 0x60


class EmptyIdeChannel(Device):
    """A channel without drives: everything reads 0, so status shows neither BSY nor DRDY."""

    name = "ide"
    region_size, unaligned = 8, True

    def read(self, offset: int, size: int) -> int:
        return 0

    def write(self, offset: int, size: int, value: int) -> None:
        pass


class BusMasterIde(Device):
    """The bus-master registers of both channels, as storage."""

    name = "bmdma"
    region_size, max_access = BUS_MASTER_SIZE, 1

    saved = ("bytes",)

    def __init__(self) -> None:
        self.bytes = bytearray(BUS_MASTER_SIZE)

    def reset(self) -> None:
        self.bytes[:] = bytes(BUS_MASTER_SIZE)

    def read(self, offset: int, size: int) -> int:
        return self.bytes[offset]

    def write(self, offset: int, size: int, value: int) -> None:
        if offset % 8 == BUS_MASTER_STATUS:
            kept = self.bytes[offset] & ~(value & BUS_MASTER_STATUS_CLEARABLE) & ~BUS_MASTER_STATUS_WRITABLE
            value = kept | value & BUS_MASTER_STATUS_WRITABLE
        self.bytes[offset] = value


class Piix3Ide(PciFunction):
    """In compatibility mode, so the channels sit at the fixed ISA ports.  QEMU: they decode whatever IDETIM says."""

    name = "piix3-ide"
    vendor_id, device_id, class_code = 0x8086, 0x7010, 0x010180

    saved = ("bus_master",)

    def __init__(self) -> None:
        super().__init__()
        self.define(STATUS, 2, STATUS_DEVSEL_MEDIUM | STATUS_FAST_BACK, clear_on_one=STATUS_ERRORS)
        self.define(IDE_TIMING, 4, 0, writable=0xFFFF_FFFF)
        self.bus_master = BusMasterIde()
        for number in range(len(IDE_CHANNELS)):
            self.add_child(f"ide.{number}", qom.IdeBus())
        self.add_bar(4, BUS_MASTER_SIZE, self.bus_master, io=True)

    def attach(self, io: AddressSpace) -> None:
        for command, control in IDE_CHANNELS:
            io.map(command, 8, EmptyIdeChannel())
            io.map(control, 1, EmptyIdeChannel())

    def reset(self) -> None:
        super().reset()
        self.bus_master.reset()


# Function 3: power management

PMBASE, PMBASE_MASK, PMBASE_IO = 0x40, 0xFFC0, 0x01
DEVACTB, APMC_ENABLE = 0x58, 1 << 25
DEVRESA, DEVRESB, DEVRESC = 0x5C, 0x60, 0x64
DEVRESA_LPT, DEVRESA_FLOPPY_KEYBOARD = 1 << 31, 1 << 28
DEVRESB_FIXED, DEVRESC_COM1, DEVRESC_COM2 = 0x60 << 24, 0x08 << 24, 0x90 << 24
PMREGMISC, PMIOSE = 0x80, 0x01
SMBUS_BASE, SMBUS_HOST_CONFIG = 0x90, 0xD2
SMBUS_DEFAULT_BASE, SMBUS_ENABLE_AND_SCI = 0xB100, 0x09


class Piix4Pm(SleepSettings, PciFunction):
    """`on_pm_base(base, enabled)` says where the 64-byte PM block is, at each change and after reset.

    `com1`, `com2`, `lpt` tell which ISA ports the resource registers report as present.
    """

    name = "PIIX4_PM"
    vendor_id, device_id, revision, class_code = 0x8086, 0x7113, 3, 0x068000
    interrupt_pin = 1

    saved = ("smbus",)

    def __init__(
        self,
        on_pm_base: Callable[[int, bool], None],
        *,
        smm: bool = False,
        smbus_base: int = SMBUS_DEFAULT_BASE,
        com1: bool = True,
        com2: bool = False,
        lpt: bool = False,
    ) -> None:
        super().__init__()
        self.on_pm_base = on_pm_base
        self.define(STATUS, 2, STATUS_DEVSEL_MEDIUM | STATUS_FAST_BACK, clear_on_one=STATUS_ERRORS)
        self.define(PMBASE, 4, PMBASE_IO, writable=PMBASE_MASK)
        # QEMU: without SMM the APM port counts as set up already, so that firmware does not wait for an SMI handler
        self.define(DEVACTB, 4, 0 if smm else APMC_ENABLE, writable=0xFFFF_FFFF)
        self.define(DEVRESA, 4, DEVRESA_FLOPPY_KEYBOARD | DEVRESA_LPT * lpt, writable=0xFFFF_FFFF)
        self.define(DEVRESB, 4, DEVRESB_FIXED, writable=0xFFFF_FFFF)
        self.define(DEVRESC, 4, DEVRESC_COM1 * com1 | DEVRESC_COM2 * com2, writable=0xFFFF_FFFF)
        self.define(PMREGMISC, 1, 0, writable=PMIOSE)
        self.define(SMBUS_BASE, 4, smbus_base | PMBASE_IO)
        self.define(SMBUS_HOST_CONFIG, 1, SMBUS_ENABLE_AND_SCI)
        self.smbus = SmbusHost()
        self.add_child("i2c", qom.I2cBus())
        self.smbus_base = smbus_base
        self.placed = (0, False)

    def attach(self, io: AddressSpace) -> None:
        """Map the SMBus host at its fixed base."""
        io.map(self.smbus_base, self.smbus.region_size, self.smbus)

    @property
    def pm_base(self) -> int:
        return self.get(PMBASE, 4) & PMBASE_MASK

    @property
    def pm_enabled(self) -> bool:
        return bool(self.config[PMREGMISC] & PMIOSE)

    @property
    def apmc_enabled(self) -> bool:
        """Whether a write to the APM control port (0xB2) raises an SMI."""
        return bool(self.get(DEVACTB, 4) & APMC_ENABLE)

    def reset(self) -> None:
        super().reset()
        self.smbus.reset()
        self._place_pm()

    def loaded(self) -> None:
        super().loaded()
        self._place_pm()

    def config_written(self, offset: int, size: int) -> None:
        if offset < PMBASE + 4 or offset >= PMREGMISC:
            self._place_pm()

    def _place_pm(self) -> None:
        placed = (self.pm_base, self.pm_enabled)
        if placed != self.placed:
            self.placed = placed
            self.on_pm_base(*placed)
