"""-M none: no CPU, no memory, no device.  Management software starts it to ask what the program can do.

Nothing can be plugged, and everything that would need a part says that it is not there, in QEMU's words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn

from emu import qom
from emu.chardev import Chardev
from emu.cli.options import Options
from emu.hmp.monitor import CommandTable
from emu.qmp.errors import QmpError
from emu.qmp.machine_api import CpuInfo, Identity
from jit.x86.front import X86Front
from machines.config import PcConfig
from machines.machine import Machine
from machines.machine_object import MachineObject

SMALLEST_MAPPING = 1 << 12  # bytes; the engine wants some memory


class NoneMachineObject(MachineObject):
    name = "none-machine"


class NoMachine(Machine):
    """A machine to talk to, not to run anything on."""

    front = X86Front
    vcpus: Mapping[int, Any] = MappingProxyType({})
    hmp_info = CommandTable()
    cpu_type = ""

    @classmethod
    def from_options(cls, options: Options, serials: Sequence[Chardev]) -> NoMachine:
        """From a command line; what it says about parts is passed over."""
        return cls(0, realtime=True, identity=Identity(options.name, options.uuid), no_reboot=options.no_reboot,
                   no_shutdown=options.no_shutdown)  # fmt: skip

    def make_tree(self) -> qom.Container:
        tree = NoneMachineObject(PcConfig())
        for name in ("unattached", "peripheral", "peripheral-anon"):
            tree.container(name)
        return tree

    def mapping_size(self, ram_size: int) -> int:
        return SMALLEST_MAPPING

    def reset_parts(self) -> None:
        """There are none."""

    def press_power_button(self) -> None:
        """Nobody is there to notice."""

    def connect_debugcon(self, chardev: Chardev) -> None:
        """Nothing will be printed."""

    # --- MachineApi
    def possible_cpus(self) -> NoReturn:
        raise QmpError("The feature 'query-hotpluggable-cpus' is not enabled")

    def cpu_infos(self) -> list[CpuInfo]:
        return []

    def device_add(self, driver: str, id: str | None, properties: dict[str, Any]) -> NoReturn:
        raise QmpError(f"Device '{driver}' can not be hotplugged on this machine")

    def device_del(self, path: str) -> NoReturn:
        raise QmpError(f"{path} is not a hotpluggable device")

    def object_add(self, qom_type: str, id: str, properties: dict[str, Any]) -> NoReturn:
        raise QmpError(f"Objects of type '{qom_type}' have no use on this machine")

    def object_del(self, id: str) -> NoReturn:
        raise QmpError(f"object '{id}' not found")

    def cpu_add(self, index: int) -> NoReturn:
        raise QmpError("Not supported")

    def ospm_status(self) -> NoReturn:
        raise QmpError("command is not supported, missing ACPI device")

    def read_physical(self, address: int, size: int) -> NoReturn:
        raise QmpError(f"Cannot access memory at {address:#x}")

    def read_virtual(self, cpu_index: int, address: int, size: int) -> NoReturn:
        raise QmpError("Can not dump without CPU")

    def translate(self, cpu_index: int, address: int) -> NoReturn:
        raise QmpError("No CPU available")

    def read_port(self, port: int, size: int) -> int:
        return self.io.read(port, size)

    def write_port(self, port: int, size: int, value: int) -> None:
        self.io.write(port, size, value)

    def registers(self, cpu_index: int) -> NoReturn:
        raise QmpError("No CPU available")

    def register(self, cpu_index: int, name: str) -> NoReturn:
        raise KeyError(name)

    def code_bits(self, cpu_index: int) -> int:
        return 64

    def inject_nmi(self) -> NoReturn:
        raise QmpError("this feature or command is not currently supported")

    def press_keys(self, codes: Sequence[int], hold_ns: int) -> None:
        """No keyboard."""

    def numa_nodes(self) -> list[dict[str, Any]]:
        return []

    def pci_buses(self) -> list[dict[str, Any]]:
        return []
