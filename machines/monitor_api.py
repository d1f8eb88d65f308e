"""What monitors ask of a PC: emu.qmp.machine_api.MachineApi, on the real parts."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from emu.qmp.errors import QmpError
from emu.qmp.machine_api import CpuInfo
from machines.cpu_view import CpuView, NotMapped
from machines.pc_cpus import PcCpus


class MonitorApi(PcCpus):
    """The part of a PC that answers monitors."""

    @property
    def hmp_info(self) -> dict[str, Callable[[], str]]:
        """Subjects of `info` beyond those that all machines have."""
        return {"mtree": self._memory_tree, "jit": self._engine_statistics}

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

    def read_port(self, port: int, size: int) -> int:
        return self.io.read(port, size)

    def write_port(self, port: int, size: int, value: int) -> None:
        self.io.write(port, size, value)

    def registers(self, cpu_index: int) -> str:
        return CpuView(self, cpu_index).dump()

    def code_bits(self, cpu_index: int) -> int:
        """Width of the code that a CPU runs: 16, 32 or 64, for disassembly."""
        return CpuView(self, cpu_index).code_bits

    # --- info
    def _memory_tree(self) -> str:
        lines = []
        for space in (self.bus, self.io):
            lines.append(f"address-space: {space.name}")
            mappings = sorted((each for each in space.mappings if each.mapped), key=lambda each: each.base)
            lines += [f"  {each.base:016x}-{each.end - 1:016x}: {each.name}" for each in mappings]
        return "\n".join(lines) + "\n"

    def _engine_statistics(self) -> str:
        return "".join(f"{name:<16} {value}\n" for name, value in vars(self.statistics()).items())
