"""Boards small enough for a test: chipset power management and CPU hot-plug on an I/O bus, no machine around them."""

from __future__ import annotations

from dataclasses import dataclass, field

from acpi.dsdt import dsdt
from acpi.hotplug_window import HotplugWindow
from acpi.platform import ICH9, PIIX4, ChipsetInfo, MemoryRange, Platform, PossibleCpu, Window
from acpi.pm import APM_BASE, ICH9_PM, PIIX4_GPE_BASE, PIIX4_PM, AcpiPm, GpeEvent
from emu.bus import AddressSpace
from emu.clock import ManualClock
from emu.irq import Irq

from tests.acpi.aml_guest import AmlGuest

CHIPSETS = {"piix4": PIIX4, "ich9": ICH9}
MIB = 1 << 20


def platform(chipset: ChipsetInfo, possible: int = 4, present: int = 1, **options: object) -> Platform:
    """A pc or q35 with the first `present` of `possible` CPUs and 256 MiB."""
    cpus = [PossibleCpu(n, n, present=n < present) for n in range(possible)]
    mmconfig = Window(0xB0000000, 0xBFFFFFFF) if chipset is ICH9 else None
    return Platform(chipset, cpus, [MemoryRange(0, 256 * MIB)], mmconfig=mmconfig, **options)  # type: ignore[arg-type]


@dataclass
class Board:
    """Power management, hot-plug window and ports of one chipset."""

    chipset: ChipsetInfo
    arch_ids: list[int]
    legacy: bool = True
    clock: ManualClock = field(default_factory=ManualClock)
    ejected: list[int] = field(default_factory=list)
    osts: list[tuple[int, int, int]] = field(default_factory=list)
    shutdowns: int = 0

    def __post_init__(self) -> None:
        self.io = AddressSpace("io", 1 << 16)
        self.sci = Irq()
        piix4 = self.chipset is PIIX4
        self.pm = AcpiPm(PIIX4_PM if piix4 else ICH9_PM, self.clock, self.sci, on_shutdown=self._shutdown)
        self.window = HotplugWindow(
            self.arch_ids,
            event=lambda: self.pm.fire(GpeEvent.CPU_HOTPLUG),
            on_eject=self.ejected.append,
            on_ost=lambda *ost: self.osts.append(ost),
            present=[0],
            legacy=self.legacy,
        )
        self.io.map(self.chipset.pm_base, self.pm.region_size, self.pm)
        self.io.map(APM_BASE, 2, self.pm.apm)
        self.io.map(self.base, self.window.region_size, self.window)
        if piix4:
            self.io.map(PIIX4_GPE_BASE, 4, self.pm.gpe)

    def _shutdown(self) -> None:
        self.shutdowns += 1

    @property
    def base(self) -> int:
        return self.chipset.cpu_hotplug_base

    @property
    def gpe_status_port(self) -> int:
        return self.chipset.gpe0_block

    @property
    def gpe_enable_port(self) -> int:
        return self.chipset.gpe0_block + self.chipset.gpe0_length // 2

    def read(self, offset: int, size: int = 1) -> int:
        """Read in the hot-plug window."""
        return self.io.read(self.base + offset, size)

    def write(self, offset: int, value: int, size: int = 1) -> None:
        self.io.write(self.base + offset, size, value)

    def select(self, slot: int) -> None:
        self.write(0, slot, 4)

    def aml_guest(self) -> AmlGuest:
        """An OS that has loaded this board's DSDT and evaluated _INI."""
        guest = AmlGuest(dsdt(platform(self.chipset, len(self.arch_ids))), self.io)
        guest.call("\\_SB.PCI0.PRES._INI")
        return guest
