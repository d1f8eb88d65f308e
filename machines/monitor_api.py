"""What monitors ask of a PC: emu.qmp.machine_api.MachineApi, on the real parts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from emu.devices.held_keys import HeldKeys
from emu.devices.ioapic import IoApic
from emu.devices.pci import PciBus
from emu.qmp.errors import QmpError
from emu.qmp.machine_api import CpuInfo
from machines.cpu_view import CpuView, NotMapped
from machines.monitor_info import PC_INFO, pci_buses
from machines.pc_cpus import PcCpus


class MonitorApi(PcCpus):
    """The part of a PC that answers monitors."""

    held_keys: HeldKeys
    ioapic: IoApic
    pci: PciBus

    hmp_info = PC_INFO  # subjects of `info` beyond those that all machines have

    # --- CPUs
    def possible_cpus(self) -> list[dict[str, Any]]:
        return self.slots.hotpluggable()

    def cpu_infos(self) -> list[CpuInfo]:
        """Present CPUs in order of creation; all run on the thread that asks."""
        return [replace(info, halted=self.vcpus[info.index].halted, pc=int(self.vcpus[info.index].state["pc"]))
                for info in self.plug.infos(os.getpid())]  # fmt: skip

    def device_add(self, driver: str, id: str | None, properties: dict[str, Any]) -> None:
        self.plug.device_add(driver, id, properties)

    def device_del(self, path: str) -> None:
        self.plug.request_unplug(path)

    def object_add(self, qom_type: str, id: str, properties: dict[str, Any]) -> None:
        self.plug.objects.add(qom_type, id, properties)

    def object_del(self, id: str) -> None:
        self.plug.objects.delete(id)

    def cpu_add(self, index: int) -> None:
        self.plug.cpu_add(index)

    # --- memory, ports, registers
    def read_physical(self, address: int, size: int) -> bytes:
        try:
            return self.memory.read(address, size)
        except ValueError:
            raise QmpError(f"Cannot access memory at {address:#x}") from None

    def read_virtual(self, cpu_index: int, address: int, size: int) -> bytes:
        try:
            return CpuView(self, cpu_index).read(address, size)
        except NotMapped:
            raise QmpError(f"Invalid addr {address:#018x}/size {size} specified") from None

    def translate(self, cpu_index: int, address: int) -> int:
        try:
            return CpuView(self, cpu_index).translate(address)
        except NotMapped as error:
            raise QmpError(str(error)) from None

    def read_port(self, port: int, size: int) -> int:
        return self.io.read(port, size)

    def write_port(self, port: int, size: int, value: int) -> None:
        self.io.write(port, size, value)

    def registers(self, cpu_index: int) -> str:
        return CpuView(self, cpu_index).dump()

    def code_bits(self, cpu_index: int) -> int:
        """Width of the code that a CPU runs: 16, 32 or 64, for disassembly."""
        return CpuView(self, cpu_index).code_bits

    def register(self, cpu_index: int, name: str) -> int:
        """A CPU's register by the manual's name; `pc` is the linear address of the next instruction.  Raises KeyError."""
        view = CpuView(self, cpu_index)
        return view.pc if name == "pc" else view.registers[name]

    # --- buttons and keys
    def inject_nmi(self) -> None:
        """As a wire to LINT1 of every CPU."""
        for vcpu in self.vcpus.values():
            vcpu.apic.lint1.pulse()

    def press_keys(self, codes: Sequence[int], hold_ns: int) -> None:
        self.held_keys.press(codes, hold_ns)

    def numa_nodes(self) -> list[dict[str, Any]]:
        nodes = self.config.nodes.nodes if self.config.nodes else []
        return [{"cpus": [cpu.index for cpu in self.plug if cpu.node_id == number], "size": node.memory or 0}
                for number, node in enumerate(nodes)]  # fmt: skip

    def pci_buses(self) -> list[dict[str, Any]]:
        return pci_buses(self)
