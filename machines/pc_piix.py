"""`pc`: 82441FX host bridge, PIIX3 ISA bridge and IDE, PIIX4 power management."""

from __future__ import annotations

from acpi.platform import PIIX4
from acpi.pm import APM_BASE, PIIX4_GPE_BASE, PIIX4_PM
from emu.devices.i440fx import I440fxHost, I440fxPciHost
from emu.devices.pci import PciBus
from emu.devices.piix import PIRQRC, PMBASE, PMREGMISC, Piix3Ide, Piix3Isa, Piix4Pm
from machines.machine_object import I440fxMachineObject
from machines.pc import X86Pc
from machines.pc_boot import BOOT_CPU

PIRQ_ROUTES = (10, 10, 11, 11)  # what a BIOS programs
ISA_BRIDGE_SLOT = 1


def pirq_of(slot: int, pin: int) -> int:
    """PIIX3 boards wire slot s, pin p to PIRQ (s + p - 1) mod 4."""
    return (slot + pin - 1) % 4


class Pc(X86Pc):
    """Standard PC (i440FX + PIIX, 1996)."""

    chipset = PIIX4
    pm_geometry = PIIX4_PM
    machine_type = I440fxMachineObject
    host_name = "i440fx"

    def build_chipset(self) -> None:
        self.isa = Piix3Isa(self.gsi[:16], lambda hard: self.reset_line())
        self.isa.attach(self.io)
        self.isa_bridge = self.isa
        self.pci = PciBus(self.io, self.bus, self.isa.pirqs, pirq_of)
        self.pci_ports = I440fxPciHost(self.pci)
        self.pci_ports.attach(self.io)
        self.host_bridge = I440fxHost(self)
        self.ide = Piix3Ide()
        self.ide.attach(self.io)
        self.pm_mapping = self.io.map(self.chipset.pm_base, self.pm.region_size, self.pm)
        self.pm_mapping.unmap()
        self.pm_function = Piix4Pm(self._place_pm, smm=self.has_smm)
        self.pm_function.attach(self.io)
        self.acpi_device = self.pm_function
        self.io.map(PIIX4_GPE_BASE, self.pm.gpe.region_size, self.pm.gpe)
        self.io.map(APM_BASE, self.pm.apm.region_size, self.pm.apm)
        self.pci.add(0, 0, self.host_bridge)
        self.pci.add(ISA_BRIDGE_SLOT, 0, self.isa)
        self.pci.add(ISA_BRIDGE_SLOT, 1, self.ide)
        self.pci.add(ISA_BRIDGE_SLOT, 3, self.pm_function)

    def reset_chipset(self) -> None:
        self.pci_ports.reset()
        self.pci.reset()

    def firmware_setup(self) -> None:
        """PMBASE and the PCI interrupt routes."""
        for n, irq in enumerate(PIRQ_ROUTES):
            self.isa.config_write(PIRQRC + n, 1, irq)
        self.pm_function.config_write(PMBASE, 4, self.chipset.pm_base)
        self.pm_function.config_write(PMREGMISC, 1, 1)

    def apm_command(self, command: int) -> None:
        if self.has_smm and self.pm_function.apmc_enabled:
            self.vcpus[BOOT_CPU].on_smi()

    def _place_pm(self, base: int, enabled: bool) -> None:
        if enabled and base:
            self.pm_mapping.move(base)
        else:
            self.pm_mapping.unmap()
