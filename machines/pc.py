"""What every PC has: RAM and the PCI hole, CPUs and their APICs, PIC, PIT, RTC, HPET, serial port, keyboard controller, fw_cfg,
ACPI with CPU hot-plug.  A chipset (pc_piix.py, pc_q35.py) adds its bridges and the addresses that differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from acpi.build import lay_out
from acpi.cpu_hotplug import Slot
from acpi.hotplug_window import HotplugWindow
from acpi.ost import OstInfo, ospm_status
from acpi.platform import ChipsetInfo, MemoryRange, Platform
from acpi.platform import PossibleCpu as AcpiCpu
from acpi.pm import AcpiPm, GpeEvent, PmGeometry
from emu import log, qom
from emu.chardev import Chardev, NullChardev
from emu.cpu_models.cpu import X86Cpu
from emu.devices.apic_bus import ApicBus
from emu.devices.debug_exit import DebugExit
from emu.devices.debugcon import DebugConsole
from emu.devices.dma import IsaDma
from emu.devices.fw_cfg import FwCfg, FwCfgIo
from emu.devices.hpet import BASE as HPET_BASE
from emu.devices.hpet import Hpet
from emu.devices.i8042 import I8042
from emu.devices.ioapic import IOAPIC_BASE, PINS, IoApic
from emu.devices.msi import MSI_BASE, ApicWindow
from emu.devices.pic import PicPair
from emu.devices.pit import Pit
from emu.devices.port92 import PORT as PORT_92
from emu.devices.port92 import Port92
from emu.devices.rtc import BASE as RTC_BASE
from emu.devices.rtc import Rtc
from emu.devices.uart import Uart16550
from emu.irq import fan_out
from emu.qmp.errors import QmpError
from emu.qmp.machine_api import CpuInfo
from emu.x86_vcpu import X86Vcpu
from jit.engine import Vcpu
from jit.x86.front import X86Front
from machines import boot
from machines.boot.image import ACPI_DATA, E820, MIB, RESERVED
from machines.boot.image import RAM as E820_RAM
from machines.cpu_slots import CpuSlots
from machines.machine import MMIO_READ, MMIO_WRITE, Machine
from machines.memory import FOUR_GIB, GuestMemory
from machines.topology import SmpConfig

CPU_SUFFIX = "-x86_64-cpu"
SCI_IRQ = 9
IRQ_TIMER, IRQ_KEYBOARD, IRQ_COM1, IRQ_RTC, IRQ_MOUSE = 0, 1, 4, 8, 12
EBDA, VGA_HOLE, BIOS_AREA = 0x9_FC00, 0xA_0000, 0xF_0000
ACPI_TABLES_ROOM = 256 << 10  # at the end of low RAM, for a direct boot
RSDP_AT = 0xF_5A00  # in the BIOS area, where an OS searches
DEBUGCON_PORT = 0x402
APIC_PAGE, PAGE_MASK = MSI_BASE >> 12, 0xFFF


@dataclass
class PcConfig:
    """What a user chooses.  Sizes in bytes; `cpu` is a model with features as in -cpu."""

    memory: int = 128 << 20
    smp: SmpConfig = field(default_factory=lambda: SmpConfig.parse("1"))
    cpu: str = "qemu64"
    kernel: Path | None = None
    initrd: Path | None = None
    append: str = ""
    serial: Sequence[Chardev] = ()
    debug_exit: tuple[int, int] | None = None
    realtime: bool = False
    no_reboot: bool = False
    no_shutdown: bool = False


class X86Pc(Machine):
    """Base of pc and q35."""

    front = X86Front
    chipset: ClassVar[ChipsetInfo]
    pm_geometry: ClassVar[PmGeometry]
    pci_hole: ClassVar[int] = 0xE000_0000

    def __init__(self, config: PcConfig) -> None:
        super().__init__(config.memory, realtime=config.realtime, no_reboot=config.no_reboot,
                         no_shutdown=config.no_shutdown)
        self.config = config
        self.memory = GuestMemory(self.engine, config.memory, self.pci_hole)
        self.topology = config.smp.topology
        self.cpu_type = config.cpu.split(",")[0] + CPU_SUFFIX
        self.slots = CpuSlots(self.topology, self.cpu_type)
        self.vcpus: dict[int, X86Vcpu] = {}
        self._make_interrupt_controllers()
        self._make_legacy_devices()
        self._make_power_management()
        self.build_chipset()
        self._make_boot_cpus()
        self.reset()

    # --- parts
    def build_chipset(self) -> None:
        """Bridges and PCI functions."""
        raise NotImplementedError

    def _make_interrupt_controllers(self) -> None:
        self.apic_bus = ApicBus()
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
        self.rtc = Rtc(self.clock, self.hpet.rtc_in)
        self.io.map(RTC_BASE, self.rtc.region_size, self.rtc)
        self.rtc.set_memory_size(self.memory.low, self.memory.high)
        self.dma = IsaDma()
        self.dma.attach(self.io)
        self.keyboard = I8042(self.gsi[IRQ_KEYBOARD], self.gsi[IRQ_MOUSE], self._set_a20, self._reset_line)
        self.keyboard.attach(self.io)
        self.port92 = Port92(self._set_a20, self._reset_line)
        self.io.map(PORT_92, 1, self.port92)
        self._make_serial_ports()
        self.fw_cfg = FwCfgIo(FwCfg(self.memory))
        self.io.map(FwCfgIo.BASE, FwCfgIo.region_size, self.fw_cfg)
        self.debugcon = NullChardev("debugcon")
        self.io.map(DEBUGCON_PORT, 1, DebugConsole(self.debugcon))
        if self.config.debug_exit:
            port, size = self.config.debug_exit
            self.io.map(port, size, DebugExit(lambda status: self._debug_exit(status), port, size))

    def _make_serial_ports(self) -> None:
        """COM1 always; what else the configuration has."""
        self.uarts = []
        chardevs = list(self.config.serial) or [NullChardev("serial0")]
        for chardev, (base, irq) in zip(chardevs, COM1_TO_4):
            uart = Uart16550(self.clock, self.gsi[irq], chardev)
            self.io.map(base, uart.region_size, uart)
            self.uarts.append(uart)
            self.inputs.append(chardev.poll)

    def _make_power_management(self) -> None:
        self.pm = AcpiPm(self.pm_geometry, self.clock, self.gsi[SCI_IRQ], self.run_control_shutdown, always_acpi=True)
        present = range(self.config.smp.cpus)
        self.hotplug = HotplugWindow(
            [slot.apic_id for slot in self.slots], lambda: self.pm.fire(GpeEvent.CPU_HOTPLUG), self._ejected, self._ost, present)
        self.io.map(self.chipset.cpu_hotplug_base, self.hotplug.region_size, self.hotplug, "cpu-hotplug")

    # --- CPUs
    def _make_boot_cpus(self) -> None:
        for index in range(self.config.smp.cpus):
            cpu = self._new_cpu(self.cpu_type)
            cpu.apic_id = self.slots[index].apic_id
            self._install(cpu, f"device[{index}]", self.tree.container("unattached"))

    def _new_cpu(self, driver: str) -> X86Cpu:
        cls = qom.find_type(driver)
        cpu = cls()
        assert isinstance(cpu, X86Cpu)
        cpu.topology = self.topology
        return cpu

    def _install(self, cpu: X86Cpu, name: str, parent: qom.Container) -> X86Vcpu:
        """Check, realize and start a CPU.  Raises ObjectError, with nothing changed."""
        slot = self.slots.pre_plug(cpu)
        qom.realize(cpu)
        parent.add_child(name, cpu)
        self.slots.plug(slot, cpu)
        vcpu = X86Vcpu(self.engine, cpu, self.apic_bus, self.clock, bsp=slot.index == 0, acknowledge_pic=self.pic.acknowledge)
        vcpu.on_shutdown = self._triple_fault
        self.vcpus[slot.index] = vcpu
        self._by_record = {v.vcpu.index: v for v in self.vcpus.values()}
        self.scheduler.cpus = [self.vcpus[i] for i in sorted(self.vcpus)]
        vcpu.reset()
        self._count_cpus()
        return vcpu

    def _count_cpus(self) -> None:
        """What firmware reads at its next start."""
        self.rtc.set_cpus(len(self.vcpus))

    def plug(self, driver: str, id: str | None, properties: dict[str, Any]) -> None:
        """device_add of a CPU: the guest is told through the hot-plug registers.  Raises ObjectError."""
        cpu = self._new_cpu(driver)
        for name, value in properties.items():
            cpu.set_property(name, value)
        self._install(cpu, id or "device[0]", self.tree.container("peripheral" if id else "peripheral-anon"))
        self.hotplug.plugged(cpu.index, hotplugged=True)

    def _ejected(self, index: int) -> None:
        """The guest let go of a CPU."""
        cpu = self.slots[index].cpu
        path, id = cpu.path, self._id_of(cpu)
        self.slots.unplug(cpu)
        self.vcpus.pop(index).remove()
        self.scheduler.cpus = [self.vcpus[i] for i in sorted(self.vcpus)]
        self.scheduler.kick()
        qom.unrealize(cpu)
        cpu.unparent()
        self._count_cpus()
        self.events.emit("DEVICE_DELETED", {"path": path, **({"device": id} if id else {})})

    def _id_of(self, cpu: Any) -> str | None:
        parts = cpu.path.split("/") if cpu is not None else []
        return parts[-1] if len(parts) == 4 and parts[2] == "peripheral" else None

    def _ost(self, index: int, source: int, status: int) -> None:
        info = OstInfo(index, source, status, self._id_of(self.slots[index].cpu))
        self.events.emit("ACPI_DEVICE_OST", info.event_data())

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

    def _reset_line(self) -> None:
        self.run_control.guest_reset()

    def _triple_fault(self, vcpu: X86Vcpu) -> None:
        log.guest_error("cpu", f"triple fault on vCPU {vcpu.vcpu.index}")
        self.run_control.guest_reset()

    def _debug_exit(self, status: int) -> None:
        self.run_control.debug_exit(status >> 1)
        self.scheduler.stop()

    def run_control_shutdown(self) -> None:
        self.run_control.guest_shutdown()
        self.scheduler.stop()

    def press_power_button(self) -> None:
        self.pm.power_button()

    # --- reset and boot
    def reset_parts(self) -> None:
        for part in (self.pic.master, self.pic.slave, self.ioapic, self.pit, self.rtc, self.hpet, self.keyboard, self.port92,
                     self.fw_cfg, self.pm, self.hotplug, *self.uarts):
            part.reset()
        for vcpu in self.vcpus.values():
            vcpu.reset()
        self.reset_chipset()
        if self.config.kernel:
            self.load_kernel(self.config.kernel)

    def reset_chipset(self) -> None:
        """What the chipset adds."""

    def firmware_setup(self) -> None:
        """What a BIOS would have programmed into the chipset before it starts a kernel."""

    def platform(self) -> Platform:
        """The machine as ACPI tables describe it, now."""
        memory = [MemoryRange(0, self.memory.low)] + ([MemoryRange(FOUR_GIB, self.memory.high)] if self.memory.high else [])
        cpus = [AcpiCpu(slot.index, slot.apic_id, present=slot.present, hotpluggable=slot.index > 0) for slot in self.slots]
        return Platform(self.chipset, cpus, memory, smm=False)

    def memory_map(self) -> list[E820]:
        """What a BIOS would report."""
        tables = self.memory.low - ACPI_TABLES_ROOM
        entries = [E820(0, EBDA, E820_RAM), E820(EBDA, VGA_HOLE - EBDA, RESERVED), E820(BIOS_AREA, MIB - BIOS_AREA, RESERVED),
                   E820(MIB, tables - MIB, E820_RAM), E820(tables, ACPI_TABLES_ROOM, ACPI_DATA)]
        return entries + ([E820(FOUR_GIB, self.memory.high, E820_RAM)] if self.memory.high else [])

    def load_kernel(self, kernel: Path) -> None:
        """Place a kernel, its initrd and the ACPI tables, and point the boot CPU at it.  Raises BootError."""
        initrd = self.config.initrd.read_bytes() if self.config.initrd else None
        info = boot.BootInfo(self.memory.low, self.memory_map(), RSDP_AT, self.config.append, initrd)
        image = boot.load(kernel, info)
        for address, table in lay_out(self.platform(), self.memory.low - ACPI_TABLES_ROOM, RSDP_AT):
            self.memory.dma_write(address, table)
        image.write(self.memory.dma_write)
        self.firmware_setup()
        self.vcpus[0].start_flat(image.entry, image.registers, image.long_mode, image.cr3)

    # --- MachineApi: what monitors ask for
    def possible_cpus(self) -> list[dict[str, Any]]:
        return self.slots.hotpluggable()

    def cpus(self) -> list[CpuInfo]:
        return [CpuInfo(slot.index, slot.cpu.path, self.topology.properties(slot.place), slot.index + 1,
                        self.vcpus[slot.index].halted, int(self.vcpus[slot.index].state["pc"]))
                for slot in self.slots if slot.present]

    def device_add(self, driver: str, id: str | None, properties: dict[str, Any]) -> None:
        self.plug(driver, id, properties)

    def device_del(self, path: str) -> None:
        cpu = qom.resolve(self.root, path)
        slot = self.slots.check_unplug(cpu, modern=not self.hotplug.legacy)
        self.hotplug.unplug_requested(slot.index)

    def cpu_add(self, index: int) -> None:
        self.plug(self.cpu_type, None, self.slots.properties_for_cpu_add(index))

    def ospm_status(self) -> list[dict[str, Any]]:
        if self.hotplug.legacy:
            return []
        slots: list[Slot] = self.hotplug.slots
        return [info.to_qmp() for info in ospm_status(slots, lambda n: self._id_of(self.slots[n].cpu))]

    def read_physical(self, address: int, size: int) -> bytes:
        try:
            return self.memory.dma_read(address, size)
        except ValueError as error:
            raise QmpError(str(error)) from None

    def read_virtual(self, cpu_index: int, address: int, size: int) -> bytes:
        vcpu = self.vcpus[cpu_index].vcpu
        data = bytearray()
        for at in range(address, address + size):
            byte = vcpu.call("load_as", at, 1, 0)
            if vcpu.fault:
                raise QmpError(f"Invalid addr {at:#018x}/size {size} specified")
            data.append(byte)
        return bytes(data)

    def read_port(self, port: int, size: int) -> int:
        return self.io.read(port, size)

    def write_port(self, port: int, size: int, value: int) -> None:
        self.io.write(port, size, value)

    def registers(self, cpu_index: int) -> str:
        named = self.vcpus[cpu_index].registers()
        return "\n".join(f"{name.upper():6}={value:016x}" for name, value in named.items())


COM1_TO_4 = ((0x3F8, 4), (0x2F8, 3), (0x3E8, 4), (0x2E8, 3))
