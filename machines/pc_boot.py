"""How a PC starts a kernel: directly, with what a BIOS would have left behind (memory map, ACPI tables, chipset setup), or by
handing it to firmware."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar
from uuid import UUID

from acpi.build import lay_out
from acpi.platform import ChipsetInfo, MemoryRange, Platform
from acpi.platform import PossibleCpu as AcpiCpu
from emu.cli.machines import find_machine
from emu.cli.options import OptionError
from emu.devices.ich9 import Ich9Lpc
from emu.devices.piix import Piix4Pm
from machines import boot
from machines.boot import linux16
from machines.boot.image import ACPI_DATA, E820, MIB, RESERVED, BootImage
from machines.boot.image import RAM as E820_RAM
from machines.memory import FOUR_GIB, GuestMemory
from machines.pc_cpus import PcCpus
from machines.smbios import Board
from machines.topology import SmpRules

EBDA, VGA_HOLE, BIOS_AREA = 0x9_FC00, 0xA_0000, 0xF_0000
ACPI_TABLES_ROOM = 256 << 10  # at the end of low RAM
RSDP_AT = 0xF_5A00  # in the BIOS area, where an OS searches
BOOT_CPU = 0


class PcBoot(PcCpus):
    """The part of a PC that starts kernels."""

    chipset: ClassVar[ChipsetInfo]
    acpi_device: Piix4Pm | Ich9Lpc
    smp_rules: ClassVar[SmpRules]
    memory: GuestMemory
    image: BootImage | None = None
    kernel_parts: linux16.KernelParts | None = None

    def firmware_setup(self) -> None:
        """What a BIOS would have programmed into the chipset before it starts a kernel."""

    def read_kernel(self) -> None:
        """Read kernel and initrd, and find out where they go.  Raises OptionError, OSError."""
        config = self.config
        if self.origin:
            self.image, self.kernel_parts = self.origin.image, self.origin.kernel_parts
        if config.kernel is None or self.origin:
            return
        initrd = config.initrd.read_bytes() if isinstance(config.initrd, Path) else config.initrd
        info = boot.BootInfo(self.memory.low, self.memory_map(), RSDP_AT if config.acpi else 0, config.append, initrd)
        try:
            if config.bios:
                self.kernel_parts = linux16.load(config.kernel, config.append, initrd, self.memory.low)
            else:
                self.image = boot.load(config.kernel, info)
        except boot.BootError as error:
            raise OptionError(str(error)) from None

    def load_kernel(self) -> None:
        """Direct boot: place the kernel, its initrd and the ACPI tables, and point the boot CPU at it."""
        if self.image is None or self.origin:
            return
        if self.config.acpi:
            for address, table in lay_out(self.platform(), self.memory.low - ACPI_TABLES_ROOM, RSDP_AT):
                self.memory.dma_write(address, table)
        self.image.write(self.memory.dma_write)
        self.firmware_setup()
        self.vcpus[BOOT_CPU].start_flat(self.image.entry, self.image.registers, self.image.long_mode, self.image.cr3)

    def platform(self) -> Platform:
        """The machine as ACPI tables describe it, now."""
        nodes = self.config.nodes
        memory = nodes.split(self.memory.installed) if nodes else [MemoryRange(*each) for each in self.memory.installed]
        cpus = [AcpiCpu(slot.index, slot.apic_id, present=slot.present, hotpluggable=slot.index != BOOT_CPU, node=slot.place.node_id)
                for slot in self.slots]  # fmt: skip
        return Platform(self.chipset, cpus, memory, numa_nodes=len(nodes.nodes) if nodes else 0,
                        numa_distances=nodes.distances if nodes else (), suspend_to_disk=not self.acpi_device.disable_s4,
                        smm=self.has_smm)  # fmt: skip

    def board(self) -> Board:
        """The machine as SMBIOS describes it."""
        name, topology = self.smp_rules.machine, self.topology
        signature, _, _, features = self.vcpus[BOOT_CPU].model.cpuid(1)
        return Board(find_machine(name).description, name, UUID(self.config.identity.uuid), topology.sockets,
                     topology.dies * topology.cores, topology.threads, signature, features,
                     [MemoryRange(*each) for each in self.memory.installed], self.config.smbios)  # fmt: skip

    def memory_map(self) -> list[E820]:
        """What a BIOS would report."""
        tables = self.memory.low - ACPI_TABLES_ROOM
        entries = [E820(0, EBDA, E820_RAM), E820(EBDA, VGA_HOLE - EBDA, RESERVED),
                   E820(BIOS_AREA, MIB - BIOS_AREA, RESERVED), E820(MIB, tables - MIB, E820_RAM),
                   E820(tables, ACPI_TABLES_ROOM, ACPI_DATA)]  # fmt: skip
        return entries + ([E820(FOUR_GIB, self.memory.high, E820_RAM)] if self.memory.high else [])
