"""Boards small enough for a test: CPU hot-plug registers, their event and a bus to reach them, no machine around.

Three of them, alike where their registers are: PIIX4 and ICH9 in ports behind the legacy bitmap, with a general purpose
event; and the Generic Event Device in memory, modern from power-on.  qemu_board.py has the first two once more, as QEMU.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

from acpi.aml import Table
from acpi.aml.evaluator import Evaluator
from acpi.cpu_hotplug import CpuHotplug
from acpi.cpu_hotplug_aml import generic_event
from acpi.dsdt import dsdt
from acpi.ged import VIRT_CPU_HOTPLUG_BASE, VIRT_GED_BASE, VIRT_GED_GSI, GedEvent, GenericEventDevice
from acpi.hotplug_window import HotplugWindow
from acpi.platform import ICH9, PIIX4, ChipsetInfo, MemoryRange, Platform, PossibleCpu, Window
from acpi.pm import APM_BASE, ICH9_PM, PIIX4_GPE_BASE, PIIX4_PM, AcpiPm, GpeEvent
from acpi.tables import Oem, with_header
from emu.bus import AddressSpace
from emu.clock import ManualClock
from emu.irq import Irq

CHIPSETS = {"piix4": PIIX4, "ich9": ICH9}
MIB = 1 << 20
SELECTOR, DATA2, FLAGS, COMMAND, DATA = 0x0, 0x0, 0x4, 0x5, 0x8
PM1_STATUS, PM1_ENABLE, PM1_CONTROL = 0x600, 0x602, 0x604
CPU_GPE = 1 << GpeEvent.CPU_HOTPLUG
FIRST_FOUR = (0, 1, 2, 3)


def platform(chipset: ChipsetInfo, possible: int = 4, present: int = 1, **options: object) -> Platform:
    """A pc or q35 with the first `present` of `possible` CPUs and 256 MiB."""
    cpus = [PossibleCpu(n, n, present=n < present) for n in range(possible)]
    mmconfig = Window(0xB0000000, 0xBFFFFFFF) if chipset is ICH9 else None
    return Platform(chipset, cpus, [MemoryRange(0, 256 * MIB)], mmconfig=mmconfig, **options)  # type: ignore[arg-type]


class Space(Protocol):
    def read(self, addr: int, size: int) -> int: ...

    def write(self, addr: int, size: int, value: int) -> None: ...


class HotplugRegisters:
    """The register block of any board, by offset."""

    io: Space
    base: int
    arch_ids: Sequence[int]
    always = 0
    """Flags that every slot shows."""

    def read(self, offset: int, size: int = 1) -> int:
        return self.io.read(self.base + offset, size)

    def write(self, offset: int, value: int, size: int = 1) -> None:
        self.io.write(self.base + offset, size, value)

    def select(self, slot: int) -> None:
        self.write(SELECTOR, slot, 4)

    def flags(self, slot: int) -> int:
        """The flags of a slot, which stays selected."""
        self.select(slot)
        return self.read(FLAGS)

    def all_flags(self) -> list[int]:
        """Those of every slot, without `always`."""
        return [self.flags(slot) & ~self.always for slot in range(len(self.arch_ids))]

    def command(self, code: int) -> None:
        self.write(COMMAND, code)

    def data(self) -> int:
        return self.read(DATA, 4)


class GpeRegisters(HotplugRegisters):
    """And the general purpose events of a chipset."""

    chipset: ChipsetInfo
    handler, handler_arguments = "\\_GPE._E02", ()
    lock = "\\_SB.PCI0.PRES.CPLK"

    @property
    def gpe_status_port(self) -> int:
        return self.chipset.gpe0_block

    @property
    def gpe_enable_port(self) -> int:
        return self.chipset.gpe0_block + self.chipset.gpe0_length // 2

    @property
    def gpe_status(self) -> int:
        """The first byte, which has the CPU event."""
        return self.io.read(self.gpe_status_port, 1)

    @property
    def gpe_enable(self) -> int:
        return self.io.read(self.gpe_enable_port, 1)

    def enable_gpe(self, bits: int = CPU_GPE) -> None:
        self.io.write(self.gpe_enable_port, 1, bits)

    def acknowledge_gpe(self, bits: int = CPU_GPE) -> None:
        self.io.write(self.gpe_status_port, 1, bits)

    def take_event(self) -> bool:
        """Whether a CPU event is due; it is acknowledged."""
        due = bool(self.gpe_status & CPU_GPE)
        self.acknowledge_gpe()
        return due

    def ospm(self, **options: object) -> Evaluator:
        """The part of an OS that has loaded this board's DSDT and evaluated _INI, if there is one."""
        evaluator = Evaluator(chipset_dsdt(self.chipset, len(self.arch_ids), **options), io=self.io)
        if evaluator.has("\\_SB.PCI0.PRES._INI"):
            evaluator.run("\\_SB.PCI0.PRES._INI")
        return evaluator


@dataclass
class Board(GpeRegisters):
    """Power management, hot-plug window and ports of one chipset."""

    chipset: ChipsetInfo
    arch_ids: Sequence[int] = FIRST_FOUR
    legacy: bool = True
    present: Collection[int] = (0,)
    clock: ManualClock = field(default_factory=ManualClock)
    ejected: list[int] = field(default_factory=list)
    osts: list[tuple[int, int, int]] = field(default_factory=list)
    shutdowns: int = 0

    def __post_init__(self) -> None:
        self.io = AddressSpace("io", 1 << 16)
        self.sci = Irq()
        piix4 = self.chipset is PIIX4
        self.pm = AcpiPm(PIIX4_PM if piix4 else ICH9_PM, self.clock, self.sci, on_shutdown=self._shutdown)
        self.base = self.chipset.cpu_hotplug_base
        self.window = HotplugWindow(
            self.arch_ids,
            event=lambda: self.pm.fire(GpeEvent.CPU_HOTPLUG),
            on_eject=self.ejected.append,
            on_ost=lambda *ost: self.osts.append(ost),
            present=self.present,
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
    def block(self) -> CpuHotplug:
        """The modern registers, behind the window or not."""
        return self.window.modern

    def plug(self, slot: int) -> None:
        """What device_add does once the CPU exists."""
        self.window.plugged(slot)

    def request_unplug(self, slot: int) -> None:
        """What device_del does."""
        self.window.unplug_requested(slot)

    def press_power_button(self) -> None:
        self.pm.power_button()

    def reset(self) -> None:
        self.window.reset()
        self.pm.reset()

    def save(self) -> dict[str, Any]:
        return {"window": self.window.save(), "pm": self.pm.save(), "sci": self.sci.save()}

    def load(self, state: dict[str, Any]) -> None:
        self.window.load(state["window"])
        self.pm.load(state["pm"])
        self.sci.load(state["sci"])


@dataclass
class GedBoard(HotplugRegisters):
    """Hot-plug registers and event device in memory, where AArch64 `virt` has them."""

    arch_ids: Sequence[int] = FIRST_FOUR
    present: Collection[int] = (0,)
    ejected: list[int] = field(default_factory=list)
    osts: list[tuple[int, int, int]] = field(default_factory=list)
    interrupts: int = 0
    base: int = VIRT_CPU_HOTPLUG_BASE
    always = 1 << 5
    handler, handler_arguments = "\\_SB.GED._EVT", (VIRT_GED_GSI,)
    lock = "\\_SB.PRES.CPLK"

    def __post_init__(self) -> None:
        self.io = AddressSpace("memory", 1 << 52)
        self.ged = GenericEventDevice(Irq(self._interrupt))
        self.block = CpuHotplug(
            self.arch_ids,
            event=lambda: self.ged.fire(GedEvent.CPU_HOTPLUG),
            on_eject=self.ejected.append,
            on_ost=lambda *ost: self.osts.append(ost),
            present=self.present,
            always_present=True,
        )
        self.io.map(VIRT_GED_BASE, self.ged.region_size, self.ged)
        self.io.map(self.base, self.block.region_size, self.block)

    def _interrupt(self, level: int) -> None:
        self.interrupts += level

    def read_events(self) -> int:
        """The event selector, which reading clears."""
        return self.io.read(VIRT_GED_BASE, 4)

    def take_event(self) -> bool:
        return bool(self.read_events() & GedEvent.CPU_HOTPLUG)

    def plug(self, slot: int) -> None:
        self.block.plugged(slot)

    def request_unplug(self, slot: int) -> None:
        self.block.unplug_requested(slot)

    def reset(self) -> None:
        self.block.reset()
        self.ged.reset()

    def save(self) -> dict[str, Any]:
        return {"block": self.block.save(), "ged": self.ged.save()}

    def load(self, state: dict[str, Any]) -> None:
        self.block.load(state["block"])
        self.ged.load(state["ged"])

    def ospm(self) -> Evaluator:
        return Evaluator(ged_dsdt(len(self.arch_ids)), memory=self.io)


@cache
def chipset_dsdt(chipset: ChipsetInfo, possible: int, **options: object) -> bytes:
    return dsdt(platform(chipset, possible, **options))


@cache
def ged_dsdt(possible: int) -> bytes:
    """A DSDT with nothing but hot-plug, for the Generic Event Device."""
    cpus = [PossibleCpu(n, n) for n in range(possible)]
    return with_header(b"DSDT", 2, Table(generic_event(cpus, VIRT_CPU_HOTPLUG_BASE)).encode(), Oem())
