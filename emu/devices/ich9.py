"""Intel I/O Controller Hub 9: LPC bridge, SATA and SMBus functions (Intel ICH9 Family datasheet, chapters 13, 15, 18).

The LPC bridge places the power management block, routes PCI interrupts and resets the machine.  Not here: disks behind the SATA
function, the chipset configuration registers behind RCBA beyond storage, LPC generic decode, SMI.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from emu import qom
from emu.bus import AddressSpace
from emu.device import Window
from emu.devices import ahci
from emu.devices.pci import COMMAND, STATUS, PciFunction
from emu.devices.sleep import SleepSettings
from emu.devices.smbus import SmbusHost
from emu.irq import Irq

PMBASE, PMBASE_WRITABLE, PMBASE_IO = 0x40, 0xFF80, 0x01
ACPI_CNTL, ACPI_ENABLE, SCI_SELECT = 0x44, 0x80, 0x07
PIRQ_ROUTES = (0x60, 0x61, 0x62, 0x63, 0x68, 0x69, 0x6A, 0x6B)  # PIRQA to PIRQH
PIRQ_DISABLED, PIRQ_MASK, PIRQ_WRITABLE = 0x80, 0x0F, 0x8F
RCBA, RCBA_ENABLE, RCBA_WRITABLE, RCBA_SIZE = 0xF0, 0x01, 0xFFFF_C001, 0x4000
RESET_CONTROL_PORT, RESET_HARD, RESET_CPU = 0xCF9, 0x02, 0x04
FIRST_PIRQ_GSI = 16


class Ich9Lpc(SleepSettings, PciFunction):
    """`gsi` are the 24 interrupt inputs; PIRQA to PIRQH are GSI 16 to 23, and ISA lines where the guest routes them.

    `on_pm_base(base, enabled)` follows PMBASE, `on_reset()` is the reset control register.
    """

    name = "ICH9-LPC"
    vendor_id, device_id, revision, class_code = 0x8086, 0x2918, 2, 0x060100

    saved = ("pirqs", "reset_control")

    def __init__(self, gsi: Sequence[Irq], on_pm_base: Callable[[int, bool], None], on_reset: Callable[[], None]) -> None:
        super().__init__()
        self.gsi, self.on_pm_base, self.on_reset = gsi, on_pm_base, on_reset
        self.define(COMMAND, 2, 0x0007, writable=0x0100)
        self.define(STATUS, 2, 0x0200)
        self.define(PMBASE, 4, PMBASE_IO, writable=PMBASE_WRITABLE)
        self.define(ACPI_CNTL, 1, 0, writable=ACPI_ENABLE | SCI_SELECT)
        for register in PIRQ_ROUTES:
            self.define(register, 1, PIRQ_DISABLED, writable=PIRQ_WRITABLE)
        self.define(RCBA, 4, 0, writable=RCBA_WRITABLE)
        self.pirqs = [Irq(lambda level, n=n: self._pirq_changed(n, level)) for n in range(len(PIRQ_ROUTES))]  # type: ignore[misc]
        self.placed = (0, False)
        self.isa_bus = self.add_child("isa.0", qom.IsaBus())
        self.reset_control = 0
        self.reset_window = Window("ich9-reset-control", 1, self._read_reset, self._write_reset)

    def attach(self, io: AddressSpace) -> None:
        """Map the reset control register, which lies inside the host bridge's address register."""
        io.map(RESET_CONTROL_PORT, 1, self.reset_window, priority=1)

    def reset(self) -> None:
        super().reset()
        self.reset_control = 0
        self._place_pm()

    def loaded(self) -> None:
        super().loaded()
        self._place_pm()

    def config_written(self, offset: int, size: int) -> None:
        if offset <= ACPI_CNTL and offset + size > PMBASE:
            self._place_pm()
        self._drive_isa()

    def _place_pm(self) -> None:
        placed = (self.get(PMBASE, 4) & PMBASE_WRITABLE, bool(self.config[ACPI_CNTL] & ACPI_ENABLE))
        if placed != self.placed:
            self.placed = placed
            self.on_pm_base(*placed)

    def _pirq_changed(self, n: int, level: int) -> None:
        self.gsi[FIRST_PIRQ_GSI + n].set(level)
        self._drive_isa()

    def _drive_isa(self) -> None:
        """ISA lines are high while any PIRQ routed to them is."""
        routed: dict[int, int] = {}
        for register, pirq in zip(PIRQ_ROUTES, self.pirqs, strict=True):
            if not self.config[register] & PIRQ_DISABLED:
                irq = self.config[register] & PIRQ_MASK
                routed[irq] = routed.get(irq, 0) | pirq.level
        for irq, level in routed.items():
            self.gsi[irq].set(level)

    def _read_reset(self, offset: int, size: int) -> int:
        return self.reset_control

    def _write_reset(self, offset: int, size: int, value: int) -> None:
        rising = value & ~self.reset_control & RESET_CPU
        self.reset_control = value & RESET_HARD
        if rising:
            self.on_reset()


def q35_pirq_of(slot: int, pin: int) -> int:
    """Which PIRQ (0 = A) a slot's pin is wired to: the same rule as the tables tell the guest (acpi/q35.py)."""
    if slot < 25:
        return 4 + (slot + pin) % 4
    return 4 + pin if slot == 30 else pin


class Ich9Sata(PciFunction):
    name = "ich9-ahci"
    vendor_id, device_id, revision, class_code = 0x8086, 0x2922, 2, 0x010601
    interrupt_pin = 1

    saved = ("registers_window",)

    def __init__(self) -> None:
        super().__init__()
        self.registers_window = ahci.AhciRegisters()
        for number in range(ahci.PORTS):
            self.add_child(f"ide.{number}", qom.IdeBus())
        self.add_bar(5, ahci.SIZE, self.registers_window)

    def reset(self) -> None:
        super().reset()
        self.registers_window.reset()


class Ich9Smbus(PciFunction):
    name = "ICH9-SMB"
    vendor_id, device_id, revision, class_code = 0x8086, 0x2930, 2, 0x0C0500
    interrupt_pin = 1

    saved = ("smbus",)

    def __init__(self) -> None:
        super().__init__()
        self.smbus = SmbusHost()
        self.add_child("i2c", qom.I2cBus())
        self.add_bar(4, 64, self.smbus, io=True)

    def reset(self) -> None:
        super().reset()
        self.smbus.reset()
