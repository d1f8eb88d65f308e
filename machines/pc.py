"""What every PC has: RAM and the PCI hole, interrupt controllers, PIT, RTC, HPET, serial ports, keyboard controller, fw_cfg, ACPI.

CPUs are in pc_cpus.py, direct boot in pc_boot.py, answers for monitors in monitor_api.py.  A chipset (pc_piix.py) adds
its bridges and the addresses that differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from acpi.pm import AcpiPm, PmGeometry
from emu import qom
from emu.chardev import BufferChardev, Chardev, NullChardev
from emu.cli.options import OptionError, Options
from emu.cpu_models.cpuid import XAPIC_IDS
from emu.devices.apic_bus import ApicBus
from emu.devices.debug_exit import DebugExit
from emu.devices.debugcon import DebugConsole
from emu.devices.dma import IsaDma
from emu.devices.fw_cfg import NUMA, FwCfg, FwCfgIo
from emu.devices.held_keys import HeldKeys
from emu.devices.hpet import BASE as HPET_BASE
from emu.devices.hpet import Hpet
from emu.devices.i8042 import I8042
from emu.devices.ich9 import Ich9Lpc
from emu.devices.ioapic import IOAPIC_BASE, PINS, IoApic
from emu.devices.msi import MSI_BASE, ApicWindow
from emu.devices.pam import ShadowingHost
from emu.devices.pci import PciBus, PciHostPorts
from emu.devices.pic import PicPair
from emu.devices.piix import Piix3Isa
from emu.devices.pit import Pit
from emu.devices.port92 import PORT as PORT_92
from emu.devices.port92 import Port92
from emu.devices.rtc import BASE as RTC_BASE
from emu.devices.rtc import Rtc
from emu.devices.uart import Uart16550
from emu.devices.vga import VgaCrtc
from emu.irq import fan_out
from emu.x86_vcpu import X86Vcpu
from jit.engine import Vcpu
from jit.x86.front import X86Front
from machines.api import Serial
from machines.config import PcConfig, from_keywords, from_options
from machines.machine import MMIO_READ, MMIO_WRITE
from machines.fork import config_of_copy
from machines.firmware import FirmwareTables, add_user_files, read_image
from machines.machine_object import PcMachineObject
from machines.memory import PAGE, ROM_ROOM, GuestMemory
from machines.monitor_api import MonitorApi
from machines.pc_boot import PcBoot
from machines.pc_tree import place_parts
from machines.screen import Screen
from machines.topology import SmpRules

__all__ = ["PcConfig", "X86Pc"]

SCI_IRQ = 9
IRQ_TIMER, IRQ_KEYBOARD, IRQ_COM1, IRQ_RTC, IRQ_MOUSE = 0, 1, 4, 8, 12
COM1_TO_4 = ((0x3F8, 4), (0x2F8, 3), (0x3E8, 4), (0x2E8, 3))  # ports, IRQs
DEBUGCON_PORT = 0x402
APIC_PAGE, PAGE_MASK = MSI_BASE >> 12, 0xFFF


class X86Pc(PcBoot, MonitorApi):
    """Base of pc and q35: Pc(config), or Pc(memory="256M", smp="1,maxcpus=4", kernel="vmlinuz", ...) with PcConfig's members."""

    front = X86Front
    pm_geometry: ClassVar[PmGeometry]
    pci_hole: ClassVar[int] = 0xE000_0000
    smp_rules: ClassVar[SmpRules] = SmpRules()
    stateful: ClassVar[tuple[str, ...]] = (
        "scheduler", "pic", "ioapic", "gsi", "hpet", "pit", "rtc", "dma", "keyboard", "held_keys", "port92", "crtc", "uarts", "fw_cfg",
        "debugcon", "pm", "hotplug", "pci_ports", "pci", "tables")  # fmt: skip
    # the object tree (pc_tree.py)
    machine_type: ClassVar[type[PcMachineObject]]
    host_name: ClassVar[str]
    chipset_in_host: ClassVar[bool] = False  # whether the first function of the bus is below the host bridge
    host_bridge: ShadowingHost
    isa_bridge: Piix3Isa | Ich9Lpc
    tree: PcMachineObject
    pci: PciBus
    pci_ports: PciHostPorts

    def __init__(self, config: PcConfig | None = None, **options: Any) -> None:
        self.config = config_of_copy(self.origin) if self.origin else config or from_keywords(options, self.smp_rules)
        super().__init__(self.config.memory, realtime=self.config.realtime, identity=self.config.identity,
                         no_reboot=self.config.no_reboot, no_shutdown=self.config.no_shutdown,
                         backend=self.config.backend)  # fmt: skip
        rom = read_image(self.config.bios) if self.config.bios else b""
        self.memory = GuestMemory(self.engine, self.config.memory, self.pci_hole, rom)
        self.make_cpu_plug()
        self._make_interrupt_controllers()
        self._make_legacy_devices()
        self._make_power_management()
        self.build_chipset()
        self.make_cpus()
        place_parts(self)
        self.read_kernel()
        if rom:
            self.tables = FirmwareTables(self.fw_cfg.core, self.memory, self.platform, self.topology.apic_id_limit,
                                         self.board())  # fmt: skip
            self.tables.count_cpus(len(self.vcpus))
            if self.config.nodes:
                self.fw_cfg.core.add(NUMA, self.config.nodes.firmware_item(self.topology))
            if self.kernel_parts:
                self.tables.offer_kernel(self.kernel_parts)
        add_user_files(self.fw_cfg.core, self.config.fw_cfg)
        self.reset()

    @classmethod
    def from_options(cls, options: Options, serials: Sequence[Chardev]) -> X86Pc:
        """From a command line, for emu.cli.main.  Raises what that reports to the user."""
        return cls(from_options(options, serials, cls.smp_rules))

    def make_tree(self) -> qom.Container:
        return self.machine_type(self.config, self.pci_hole)

    def mapping_size(self, ram_size: int) -> int:
        return -(-ram_size // PAGE) * PAGE + (ROM_ROOM if self.config.bios else 0)

    # --- parts
    def build_chipset(self) -> None:
        """Bridges and PCI functions."""
        raise NotImplementedError

    def _make_interrupt_controllers(self) -> None:
        self.apic_bus = ApicBus()
        self.apic_bus.extended = self.topology.apic_id_limit > XAPIC_IDS
        self.pic = PicPair()
        self.pic.attach(self.io)
        self.ioapic = IoApic(self.apic_bus)
        self.bus.map(IOAPIC_BASE, self.ioapic.region_size, self.ioapic)
        window = ApicWindow(self.apic_bus, self._current_apic)
        self.bus.map(MSI_BASE, window.region_size, window)
        self.gsi = [fan_out(self.pic.irq[n], self.ioapic.isa_irq(n)) if n < 16 else self.ioapic.irq[n] for n in range(PINS)]
        self.pic.intr.connect(self._pic_output)

    def _make_legacy_devices(self) -> None:
        self.hpet = Hpet(self.clock, self.gsi)
        self.bus.map(HPET_BASE, self.hpet.region_size, self.hpet)
        self.pit = Pit(self.clock, self.hpet.pit_in)
        self.pit.attach(self.io)
        self.rtc = Rtc(self.clock, self.hpet.rtc_in, self.config.rtc)
        self.io.map(RTC_BASE, self.rtc.region_size, self.rtc)
        self.rtc.set_memory_size(self.memory.low, self.memory.high)
        self.dma = IsaDma()
        self.dma.attach(self.io)
        self.keyboard = I8042(self.gsi[IRQ_KEYBOARD], self.gsi[IRQ_MOUSE], self._set_a20, self.reset_line)
        self.keyboard.attach(self.io)
        self.held_keys = HeldKeys(self.clock, self.keyboard.keyboard)
        self.port92 = Port92(self._set_a20, self.reset_line)
        self.io.map(PORT_92, 1, self.port92)
        self.crtc = VgaCrtc(self.clock)
        self.crtc.attach(self.io)
        self.screen = Screen(self.memory, self.crtc)
        self._make_serial_ports()
        self.fw_cfg = FwCfgIo(FwCfg(self.memory))
        self.io.map(FwCfgIo.BASE, FwCfgIo.region_size, self.fw_cfg)
        self.debugcon = DebugConsole(NullChardev("debugcon"))
        self.io.map(DEBUGCON_PORT, 1, self.debugcon)
        if self.config.debug_exit:
            self.add_debug_exit(DebugExit(self._debug_exit, *self.config.debug_exit))

    def _make_serial_ports(self) -> None:
        """COM1 always; what else the configuration has."""
        self.uarts = []
        chardevs = list(self.config.serial) or [NullChardev("serial0")]
        if len(chardevs) > len(COM1_TO_4):
            raise OptionError(f"a PC has at most {len(COM1_TO_4)} serial ports")
        for chardev, (base, irq) in zip(chardevs, COM1_TO_4):
            uart = Uart16550(self.clock, self.gsi[irq], chardev)
            self.io.map(base, uart.region_size, uart)
            self.uarts.append(uart)
            self.inputs.append(chardev.poll)
        self._serial = Serial(self, chardevs[0]) if isinstance(chardevs[0], BufferChardev) else None

    @property
    def serial(self) -> Serial:
        """COM1, for programs.  Raises AttributeError when it is connected to something else."""
        if self._serial is None:
            raise AttributeError("the serial port is not connected to this program; give the machine a BufferChardev")
        return self._serial

    def _make_power_management(self) -> None:
        self.pm = AcpiPm(self.pm_geometry, self.clock, self.gsi[SCI_IRQ], self._soft_off, self.apm_command,
                         always_acpi=not self.has_smm)  # fmt: skip
        self.make_hotplug_registers(self.chipset.cpu_hotplug_base)

    def _soft_off(self) -> None:
        self.run_control.guest_shutdown()
        self.scheduler.stop()

    def press_power_button(self) -> None:
        self.pm.power_button()

    def connect_debugcon(self, chardev: Chardev) -> None:
        """Where the debug console's output goes."""
        self.debugcon.chardev = chardev

    # --- lines between parts
    def _current_apic(self) -> Any:
        return self._current.apic if self._current else None

    _current: X86Vcpu | None = None

    def _called(self, vcpu: Vcpu, call: int, a: int, b: int, c: int) -> int:
        current = self._current = self._by_record[vcpu.index]
        if call == MMIO_READ and a >> 12 == APIC_PAGE:
            return current.apic.read(a & PAGE_MASK, b)
        if call == MMIO_WRITE and a >> 12 == APIC_PAGE:
            current.apic.write(a & PAGE_MASK, b, c)
            return 0
        return super()._called(vcpu, call, a, b, c)

    def system_call(self, vcpu: Vcpu, operation: int, b: int, c: int) -> int:
        return self._by_record[vcpu.index].system(operation, b, c)

    def _pic_output(self, level: int) -> None:
        if 0 in self.vcpus:
            self.vcpus[0].apic.lint0.set(level)

    def _set_a20(self, level: int) -> None:
        for vcpu in self.vcpus.values():
            vcpu.set_a20(level)

    # --- reset
    def reset_parts(self) -> None:
        for part in (self.pic.master, self.pic.slave, self.ioapic, self.pit, self.rtc, self.hpet, self.keyboard, self.port92,
                     self.crtc, self.fw_cfg, self.pm, self.hotplug, *self.uarts):  # fmt: skip
            part.reset()
        for vcpu in self.vcpus.values():
            vcpu.reset()
        self.reset_chipset()
        if self.tables:
            self.tables.reset()
        self.load_kernel()

    def apm_command(self, command: int) -> None:
        """A write to the APM control port: raises an SMI where the chipset is set up for that."""
        raise NotImplementedError

    def reset_chipset(self) -> None:
        """What the chipset adds."""

    # --- MemoryController of the host bridge
    def set_pam(self, base: int, size: int, read_ram: bool, write_ram: bool) -> None:
        self.memory.set_pam(base, size, read_ram, write_ram)

    def set_smram(self, enabled: bool, open_: bool, closed: bool) -> None:
        if self.has_smm:
            self.memory.set_smram(enabled, open_)
