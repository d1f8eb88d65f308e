"""The CPUs of a PC: from a plugged CPU object to a running vCPU with its APIC, and back when the guest ejects it.

machines/cpu_plug.py has the rules; here is what they do to this hardware.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from acpi.cpu_hotplug import Slot as HotplugSlot
from acpi.hotplug_window import HotplugWindow
from acpi.ost import OstInfo, ospm_status
from acpi.pm import AcpiPm, GpeEvent
from emu import log, qom
from emu.cli.options import DeviceOption, OptionError
from emu.cpu_models import CpuConfig, X86Cpu, parse_cpu_option
from emu.device import SysBusDevice
from emu.devices.apic_bus import ApicBus
from emu.devices.debug_exit import DebugExit
from emu.devices.pic import PicPair
from emu.devices.rtc import Rtc
from emu.qmp.commands.devices import find_driver
from emu.qmp.errors import QmpError
from emu.qom import ObjectError
from emu.x86_smm import SystemManagement
from emu.x86_vcpu import X86Vcpu
from machines import memory_backend
from machines.config import PcConfig
from machines.cpu_plug import CpuPlug
from machines.cpu_slots import CpuSlot, CpuSlots
from machines.firmware import FirmwareTables
from machines.fork import copy_cpus
from machines.machine import Machine
from machines.machine_object import PcMachineObject
from machines.memory import GuestMemory


class KvmVapic(SysBusDevice):
    """What QEMU makes with a machine's first APIC.  It does nothing here, but keeps the paths of the CPUs after it the same."""

    name = "kvmvapic"


class PcCpus(Machine):
    """The part of a PC that makes and removes CPUs."""

    config: PcConfig
    tree: PcMachineObject
    # parts that the machine makes (pc.py)
    memory: GuestMemory
    pm: AcpiPm
    apic_bus: ApicBus
    pic: PicPair
    rtc: Rtc
    tables: FirmwareTables | None = None

    @property
    def has_smm(self) -> bool:
        """Only firmware installs an SMI handler: a direct boot is without."""
        return self.config.smm and self.config.bios is not None

    def make_cpu_plug(self) -> None:
        """Slots and rules; no CPU yet."""
        config = self.config
        self.topology = config.topology
        cpu_config = CpuConfig(parse_cpu_option(config.cpu, config.warn), config.globals, self.topology, warn=config.warn)
        self.cpu_type = cpu_config.type_name
        self.slots = CpuSlots(self.topology, self.cpu_type, acpi=config.acpi)
        self.vcpus: dict[int, X86Vcpu] = {}
        self._by_record: dict[int, X86Vcpu] = {}
        self._removed: list[X86Vcpu] = []
        self._idle_work: list[Callable[[], None]] = []  # for when no vCPU runs, and the removed ones are gone
        self.plug = CpuPlug(self.tree, self.slots, cpu_config, self.events, on_plug=self._plugged,
                            on_request=self._request_unplug, on_unplug=self._unplugged,
                            modern=lambda: not self.hotplug.legacy, refuse=self.migration.refuse,
                            when_idle=self._when_idle)  # fmt: skip
        for each in config.objects:
            self.plug.objects.add_from_option(each)
        nodes = config.nodes.nodes if config.nodes else []
        self.tree.memory_backend = memory_backend.claim(self.plug.objects.folder, config.memory, config.memory_backend,
                                                        [node.backend for node in nodes])  # fmt: skip

    def make_hotplug_registers(self, base: int) -> None:
        ids = [slot.apic_id for slot in self.slots]
        self.hotplug = HotplugWindow(ids, lambda: self.pm.fire(GpeEvent.CPU_HOTPLUG), self._ejected, self._ost,
                                     present=range(self.config.smp.cpus))  # fmt: skip
        if self.config.acpi:
            self.io.map(base, self.hotplug.region_size, self.hotplug, "cpu-hotplug")

    def make_cpus(self) -> None:
        """Those of -smp, then those of -device; in a copy, its original's."""
        if self.origin:
            copy_cpus(self.origin.plug, self.plug)
        else:
            self.plug.add_boot_cpus(self.config.smp.cpus)
        for device in self.config.devices:
            try:
                self._cold_plug(device)
            except (ObjectError, QmpError) as error:
                raise OptionError(f"-device {device.driver}: {error}") from None

    def _cold_plug(self, device: DeviceOption) -> None:
        cls = find_driver(device.driver)
        if issubclass(cls, X86Cpu):
            self.plug.device_add(device.driver, device.id, device.properties, hotplugged=False)
        elif cls is DebugExit:
            self._add_debug_exit(device)
        else:
            raise QmpError(f"'{device.driver}' cannot be added to this machine")

    def _add_debug_exit(self, device: DeviceOption) -> None:
        made = DebugExit(self._debug_exit)
        made.user_id = device.id
        for setting in self.config.globals:
            setting.apply(made)
        for name, value in device.properties.items():
            made.set_property(name, value)
        self.add_debug_exit(made)

    def add_debug_exit(self, device: DebugExit) -> None:
        """A port whose write ends the run.  Raises ObjectError for one that the I/O space does not have."""
        try:
            self.io.map(device.iobase, device.iosize, device)
        except ValueError as error:
            raise ObjectError(str(error)) from None
        folder, name = ("peripheral", device.user_id) if device.user_id else ("peripheral-anon", "device[*]")
        self.tree.container(folder).add_child(name, device)
        qom.realize(device)

    def _debug_exit(self, status: int) -> None:
        self.run_control.debug_exit(status >> 1)
        self.scheduler.stop()

    # --- plug
    def _plugged(self, slot: CpuSlot, cpu: X86Cpu, hotplugged: bool) -> None:
        vcpu = X86Vcpu(self.engine, cpu, self.apic_bus, self.clock, bsp=slot.index == 0, acknowledge_pic=self.pic.acknowledge)
        qom.realize(cpu.add_child("lapic", vcpu.apic))
        unattached = self.tree.container("unattached")
        if not self.vcpus and not any(isinstance(each, KvmVapic) for each in unattached.children.values()):
            unattached.add_child("device[*]", KvmVapic())
        vcpu.smm = SystemManagement(vcpu, self.memory) if self.has_smm else None
        vcpu.on_shutdown, vcpu.on_lost = self._triple_fault, self._lost
        vcpu.on_breakpoint, vcpu.on_wake = lambda _: self.break_points.reached(slot.index), self.scheduler.wake
        self.vcpus[slot.index] = vcpu
        self._cpus_changed()
        vcpu.reset()
        if hotplugged or slot.index >= self.config.smp.cpus:
            self.hotplug.plugged(slot.index, hotplugged)

    def _cpus_changed(self) -> None:
        """Schedule the CPUs that are there, and tell firmware how many they are."""
        self._by_record = {vcpu.vcpu.index: vcpu for vcpu in (*self.vcpus.values(), *self._removed)}
        self.scheduler.cpus = [self.vcpus[index] for index in sorted(self.vcpus)]
        self.scheduler.kick()
        self.rtc.set_cpus(len(self.vcpus))
        if self.tables:
            self.tables.count_cpus(len(self.vcpus))

    def remove_all_cpus(self) -> None:
        """Without anybody being told: the state of another machine comes."""
        for vcpu in (*self.vcpus.values(), *self._removed):
            vcpu.remove()
        self.vcpus.clear()
        self._removed.clear()
        self.plug.forget()
        self._by_record, self.scheduler.cpus = {}, []

    # --- unplug
    def _request_unplug(self, slot: CpuSlot) -> None:
        self.hotplug.unplug_requested(slot.index)

    def _ejected(self, index: int) -> None:
        self.plug.eject(self.slots[index])

    def _unplugged(self, slot: CpuSlot, cpu: X86Cpu) -> None:
        """The vCPU stops now; its record goes when no compiled code can be in it, for a guest may eject the CPU it runs on."""
        vcpu = self.vcpus.pop(slot.index)
        vcpu.state["halted"] = 1
        self._removed.append(vcpu)
        self._cpus_changed()
        self.scheduler.stop()

    def after_slice(self) -> None:
        super().after_slice()
        self._finish_removals()

    def _when_idle(self, action: Callable[[], None]) -> None:
        """At the end of the slice; now if nothing runs, as when AML is evaluated on the host."""
        self._idle_work.append(action)
        if not self.scheduler.executing:
            self._finish_removals()

    def _finish_removals(self) -> None:
        for vcpu in self._removed:
            vcpu.remove()
        if self._removed:
            self._removed.clear()
            self._cpus_changed()
        work, self._idle_work[:] = list(self._idle_work), []
        for action in work:
            action()

    # --- what the guest reports
    def _ost(self, index: int, source: int, status: int) -> None:
        self.events.emit("ACPI_DEVICE_OST", OstInfo(index, source, status, self._user_id(index)).event_data())

    def _user_id(self, index: int) -> str | None:
        cpu = self.slots[index].cpu
        return cpu.user_id if cpu is not None else None

    def ospm_status(self) -> list[dict[str, Any]]:
        """query-acpi-ospm-status."""
        if not self.config.acpi:
            raise QmpError("command is not supported, missing ACPI device")
        slots: list[HotplugSlot] = self.hotplug.slots
        return [] if self.hotplug.legacy else [info.to_qmp() for info in ospm_status(slots, self._user_id)]

    # --- what goes wrong
    def _triple_fault(self, vcpu: X86Vcpu) -> None:
        log.guest_error("cpu", f"triple fault on vCPU {vcpu.vcpu.index}")
        self.reset_line()

    def _lost(self, vcpu: X86Vcpu, address: int) -> None:
        self.config.warn(f"vCPU {vcpu.model.index} executes at physical address {address:#x}, where no memory is; giving up")
        self.run_control.shutdown("host-error", guest=False, exit_code=1)
        self.scheduler.stop()

    def reset_line(self) -> None:
        """Whatever resets a PC: keyboard controller, ports 0x92 and 0xCF9, a triple fault."""
        self.run_control.guest_reset()
        self.scheduler.stop()
