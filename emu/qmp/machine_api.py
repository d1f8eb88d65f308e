"""What monitors need of a machine.  A machine implements this protocol; tests use a fake one.

Methods may raise QmpError or emu.qom.ObjectError: both reach the client as an error answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from emu.qmp.events import EventHub
from emu.qmp.run_state import RunControl
from emu.qom import Container

if TYPE_CHECKING:
    from emu.migration import Migration


@dataclass(frozen=True)
class CpuInfo:
    """A present CPU: `index` is its slot, `props` as in query-hotpluggable-cpus."""

    index: int
    qom_path: str
    props: dict[str, int]
    thread_id: int
    halted: bool = False
    pc: int = 0


@dataclass(frozen=True)
class Identity:
    """-name and -uuid."""

    name: str | None = None
    uuid: str = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class ChardevInfo:
    """One element of query-chardev."""

    label: str
    filename: str
    frontend_open: bool = True


class MachineApi(Protocol):
    """A virtual machine as its monitors see it."""

    target: str  # "x86_64"
    cpu_type: str  # class of the CPUs that can be plugged
    ram_size: int  # bytes
    identity: Identity
    root: Container  # "/" of the object tree
    events: EventHub
    run_control: RunControl
    migration: Migration

    def save(self, target: str) -> Any:
        """Save a snapshot in a file.  Raises OSError."""

    def load(self, source: str) -> None:
        """Go on from a snapshot.  Raises SnapshotError, OSError; the machine is untouched then."""

    def delete_snapshot(self, path: str) -> None:
        """Raises SnapshotError when the file is none, OSError."""

    def list_snapshots(self) -> list[dict[str, Any]]:
        """Those in the current folder: name, size (bytes), date, ns (of virtual time) and instructions (of all CPUs)."""

    def possible_cpus(self) -> list[dict[str, Any]]:
        """query-hotpluggable-cpus, highest index first (machines.cpu_slots.CpuSlots.hotpluggable)."""

    def cpu_infos(self) -> list[CpuInfo]:
        """Present CPUs in order of creation."""

    def device_add(self, driver: str, id: str | None, properties: dict[str, Any]) -> None:
        """Create, check, realize and announce a device.  `driver` is a known, concrete, user-creatable type."""

    def device_del(self, path: str) -> None:
        """Ask the guest to release the device at a canonical path."""

    def object_add(self, qom_type: str, id: str, properties: dict[str, Any]) -> None:
        """Create /objects/ID of a type that users may create."""

    def object_del(self, id: str) -> None:
        """Delete /objects/ID unless something uses it."""

    def cpu_add(self, index: int) -> None:
        """Plug slot `index` with default properties."""

    def ospm_status(self) -> list[dict[str, Any]]:
        """query-acpi-ospm-status.  Raises QmpError without ACPI."""

    def read_physical(self, address: int, size: int) -> bytes:
        """Guest-physical memory without side effects on devices.  Raises QmpError where there is no RAM or ROM."""

    def read_virtual(self, cpu_index: int, address: int, size: int) -> bytes:
        """Through a CPU's page tables.  Raises QmpError where nothing is mapped."""

    def read_port(self, port: int, size: int) -> int:
        """An I/O port as the guest would read it, side effects included."""

    def write_port(self, port: int, size: int, value: int) -> None: ...

    def registers(self, cpu_index: int) -> str:
        """The text of `info registers` for one CPU."""

    def register(self, cpu_index: int, name: str) -> int:
        """A register by the manual's name, or "pc".  Raises KeyError."""

    def code_bits(self, cpu_index: int) -> int:
        """Width of the code that a CPU runs: 16, 32 or 64."""

    def translate(self, cpu_index: int, address: int) -> int:
        """The physical address behind a CPU's virtual one.  Raises QmpError where nothing is mapped."""

    def inject_nmi(self) -> None:
        """The NMI button."""

    def press_keys(self, codes: Sequence[int], hold_ns: int) -> None:
        """Keys down in order (emu.qmp.keys.CODES), and up again after `hold_ns` of virtual time."""

    def numa_nodes(self) -> list[dict[str, Any]]:
        """Each node's present `cpus`, in order of creation, and memory `size` in bytes; empty without -numa."""

    def pci_buses(self) -> list[dict[str, Any]]:
        """query-pci."""


@dataclass
class Context:
    """What a command may use: the machine, and the monitors' own affairs."""

    machine: MachineApi
    chardevs: list[Any] = field(default_factory=list)  # ChardevInfo, or a transport, which describes itself as it is now
    current_cpu: int = 0  # HMP's `cpu N`
    journal: Callable[..., None] | None = None  # told ("qmp" or "hmp", command, arguments) what changed the machine
