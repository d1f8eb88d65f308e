"""What the tables need to know about a machine, as plain data.

A machine fills in a `Platform`; `acpi.build` turns it into tables.  Nothing here knows a device object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .tables import Oem

ISA_IRQ_SCI = 9
FOUR_GIB = 1 << 32


@dataclass(frozen=True)
class ChipsetInfo:
    """The addresses that tell PIIX4 and ICH9 apart; ports in I/O space, lengths in bytes."""

    name: str
    acpi_enable: int
    acpi_disable: int
    gpe0_block: int
    gpe0_length: int
    cpu_hotplug_base: int
    pci_hotplug_base: int
    fadt_revision: int
    smi_command: int = 0xB2
    pm_base: int = 0x600


PIIX4 = ChipsetInfo(
    "piix4",
    acpi_enable=0xF1,
    acpi_disable=0xF0,
    gpe0_block=0xAFE0,
    gpe0_length=4,
    cpu_hotplug_base=0xAF00,
    pci_hotplug_base=0xAE00,
    fadt_revision=1,
)
ICH9 = ChipsetInfo(
    "ich9",
    acpi_enable=0x02,
    acpi_disable=0x03,
    gpe0_block=0x620,
    gpe0_length=16,
    cpu_hotplug_base=0x0CD8,
    pci_hotplug_base=0x0CC0,
    fadt_revision=3,
)


@dataclass(frozen=True)
class PossibleCpu:
    """One slot; `uid` is its index, `node` its NUMA node if there are any."""

    uid: int
    apic_id: int
    present: bool = True
    hotpluggable: bool = True
    node: int | None = None


@dataclass(frozen=True)
class MemoryRange:
    """Guest-physical RAM, in bytes."""

    base: int
    size: int
    node: int = 0
    hotpluggable: bool = False

    @property
    def end(self) -> int:
        return self.base + self.size


@dataclass(frozen=True)
class Window:
    """Addresses that a bridge decodes, both ends included."""

    first: int
    last: int


@dataclass
class Platform:
    """A pc or q35.  `numa_distances[from][to]`; empty when there is no NUMA.

    `mmconfig` is the PCIe configuration window once firmware (or a direct boot) enabled it.  `legacy_cpu_hotplug`
    selects the AML of machine types up to 2.6; `smi_cpu_hotplug`/`smi_cpu_hotunplug` what firmware negotiated.
    """

    chipset: ChipsetInfo
    cpus: Sequence[PossibleCpu]
    memory: Sequence[MemoryRange]
    numa_nodes: int = 0
    numa_distances: Sequence[Sequence[int]] = ()
    sci_irq: int = ISA_IRQ_SCI
    hpet: bool = True
    smm: bool = True
    i8042: bool = True
    irq0_override: bool = True
    legacy_cpu_hotplug: bool = False
    smi_cpu_hotplug: bool = False
    smi_cpu_hotunplug: bool = False
    pci_hotplug: bool = False
    suspend_to_ram: bool = False
    suspend_to_disk: bool = True
    serial_ports: int = 1
    parallel_ports: int = 0
    mmconfig: Window | None = None
    pci_memory32: Sequence[Window] | None = None
    pci_memory64: Window | None = None
    oem: Oem = field(default_factory=Oem)

    @property
    def below_4g_end(self) -> int:
        """The end of RAM below the PCI hole."""
        return max((r.end for r in self.memory if r.base < FOUR_GIB), default=0)
