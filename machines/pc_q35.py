"""`q35`: 82Q35 memory controller hub with PCI Express configuration space, ICH9 LPC bridge, SATA and SMBus."""

from __future__ import annotations

from dataclasses import replace

from acpi.platform import ICH9, Platform, Window
from acpi.pm import APM_BASE, ICH9_PM
from emu.devices.ich9 import (
    ACPI_CNTL,
    ACPI_ENABLE,
    PIRQ_ROUTES,
    PMBASE,
    Ich9Lpc,
    Ich9Sata,
    Ich9Smbus,
    q35_pirq_of,
)
from emu.devices.pci import Ecam, PcieBus
from emu.devices.q35 import BUS_SPACE, PCIEXBAR, PCIEXBAR_ENABLE, Q35Host, Q35PciHost
from emu.devices.smi import NOTHING_AGREED, SmiFeature, SmiNegotiation
from machines.machine_object import Q35MachineObject
from machines.pc import X86Pc
from machines.topology import SmpRules

BIOS_PIRQ_ROUTES = (10, 10, 11, 11, 10, 10, 11, 11)  # what a BIOS programs
BIOS_MMCONFIG = 0xB000_0000
ICH9_SLOT = 31
SMI_EN_APMC = 1 << 5
LPC, SATA, SMBUS = 0, 2, 3


class Q35(X86Pc):
    """Standard PC (Q35 + ICH9, 2009)."""

    chipset = ICH9
    pm_geometry = ICH9_PM
    smp_rules = SmpRules("pc-q35-7.2", max_cpus=288)
    machine_type = Q35MachineObject
    host_name = "q35"
    chipset_in_host = True
    pci_hole = BIOS_MMCONFIG
    stateful = (*X86Pc.stateful, "smi")
    smi: SmiNegotiation | None = None

    def build_chipset(self) -> None:
        if self.has_smm:
            self.smi = self.slots.smi = SmiNegotiation(self.fw_cfg.core)
        self.lpc = Ich9Lpc(self.gsi, self._place_pm, self.reset_line)
        self.lpc.attach(self.io)
        self.isa_bridge = self.acpi_device = self.lpc
        self.pci = PcieBus(self.io, self.bus, self.lpc.pirqs, q35_pirq_of)
        self.pci_ports = Q35PciHost(self.pci)
        self.pci_ports.attach(self.io)
        self.ecam = Ecam(self.pci)
        self.ecam_mapping = self.bus.map(BIOS_MMCONFIG, self.ecam.region_size, self.ecam)
        self.ecam_mapping.unmap()
        self.pm_mapping = self.io.map(self.chipset.pm_base, self.pm.region_size, self.pm)
        self.pm_mapping.unmap()
        self.io.map(APM_BASE, self.pm.apm.region_size, self.pm.apm)
        self.host_bridge = Q35Host(self, self._place_window)
        self.pci.add(0, 0, self.host_bridge)
        self.pci.add(ICH9_SLOT, LPC, self.lpc)
        self.pci.add(ICH9_SLOT, SATA, Ich9Sata())
        self.pci.add(ICH9_SLOT, SMBUS, Ich9Smbus())

    def reset_chipset(self) -> None:
        self.pci_ports.reset()
        self.pci.reset()
        if self.smi:
            self.smi.reset()
        else:
            self.pm.smi_en = SMI_EN_APMC  # QEMU: the APM port counts as set up, so that firmware waits for no SMI handler

    def firmware_setup(self) -> None:
        """PMBASE, the configuration window and the PCI interrupt routes."""
        for register, irq in zip(PIRQ_ROUTES, BIOS_PIRQ_ROUTES, strict=True):
            self.lpc.config_write(register, 1, irq)
        self.lpc.config_write(PMBASE, 4, self.chipset.pm_base)
        self.lpc.config_write(ACPI_CNTL, 1, ACPI_ENABLE)
        self.host_bridge.config_write(PCIEXBAR + 4, 4, 0)
        self.host_bridge.config_write(PCIEXBAR, 4, BIOS_MMCONFIG | PCIEXBAR_ENABLE)

    def platform(self) -> Platform:
        """With the configuration window where it is now, as firmware tables need it; a direct boot is about to put it there."""
        window = Window(BIOS_MMCONFIG, BIOS_MMCONFIG + 256 * BUS_SPACE - 1)
        agreed = self.smi.features if self.smi else NOTHING_AGREED
        return replace(super().platform(), mmconfig=window, smi_cpu_hotplug=SmiFeature.CPU_HOTPLUG in agreed,
                       smi_cpu_hotunplug=SmiFeature.CPU_HOT_UNPLUG in agreed)  # fmt: skip

    def apm_command(self, command: int) -> None:
        if self.smi is None or not self.pm.smi_en & SMI_EN_APMC:
            return
        for vcpu in self.vcpus.values():
            if vcpu is self._current or SmiFeature.BROADCAST in self.smi.features:
                vcpu.on_smi()

    def _place_pm(self, base: int, enabled: bool) -> None:
        if enabled and base:
            self.pm_mapping.move(base)
        else:
            self.pm_mapping.unmap()

    def _place_window(self, base: int, buses: int) -> None:
        if buses:
            self.ecam_mapping.move(base)
        else:
            self.ecam_mapping.unmap()
