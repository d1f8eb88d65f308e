"""CPU slots of an x86 machine: which possible CPUs are there, and the rules of plugging and unplugging.

The order of the checks and their texts are QEMU's.  A machine calls, for a plug: pre_plug, realize, plug; for an
unplug: check_unplug, (the guest ejects), unplug.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from emu.cpu_models.cpu import APIC_ID_UNSET, ID_UNSET
from emu.cpu_models.cpuid import XAPIC_IDS
from emu.devices.smi import NOTHING_AGREED, SmiFeature, SmiNegotiation
from emu.qom import ObjectError
from machines.topology import LEVELS, PossibleCpu, Topology


class PluggableCpu(Protocol):
    """What the rules need of a CPU object; emu.cpu_models.X86Cpu has it."""

    apic_id: int
    socket_id: int
    die_id: int
    core_id: int
    thread_id: int
    node_id: int
    index: int

    @property
    def type_name(self) -> str: ...
    @property
    def path(self) -> str: ...


@dataclass
class CpuSlot:
    """A possible CPU and what sits there now."""

    place: PossibleCpu
    cpu: Any = None

    @property
    def index(self) -> int:
        return self.place.index

    @property
    def apic_id(self) -> int:
        return self.place.apic_id

    @property
    def present(self) -> bool:
        return self.cpu is not None


class CpuSlots:
    """All slots of a machine, by index."""

    def __init__(self, topology: Topology, cpu_type: str, *, acpi: bool = True):
        self.topology, self.cpu_type, self.acpi = topology, cpu_type, acpi
        self.smi: SmiNegotiation | None = None  # of a chipset whose firmware takes part
        self.slots = [CpuSlot(place) for place in topology.possible_cpus]

    def __iter__(self) -> Iterator[CpuSlot]:
        return iter(self.slots)

    def __len__(self) -> int:
        return len(self.slots)

    def __getitem__(self, index: int) -> CpuSlot:
        return self.slots[index]

    @property
    def present(self) -> list[CpuSlot]:
        return [slot for slot in self.slots if slot.present]

    def slot_of(self, cpu: Any) -> CpuSlot:
        """The slot in which `cpu` sits.  Raises KeyError."""
        for slot in self.slots:
            if slot.cpu is cpu:
                return slot
        raise KeyError(cpu)

    # plug
    def pre_plug(self, cpu: PluggableCpu) -> CpuSlot:
        """Check an unrealized CPU, complete its topology ids, APIC id and index, and return its slot.

        Raises ObjectError; the CPU is left as it was then."""
        if cpu.type_name != self.cpu_type:
            raise ObjectError(f"Invalid CPU type, expected cpu type: '{self.cpu_type}'")
        self._check_smi(SmiFeature.CPU_HOTPLUG, "hotplug")
        apic_id = cpu.apic_id
        if apic_id == APIC_ID_UNSET:
            apic_id = self._apic_id_of(cpu)
        slot = self._slot_for(apic_id)
        if slot.present:
            raise ObjectError(f"CPU[{slot.index}] with APIC ID {apic_id} exists")
        self._check_consistency(cpu, slot)
        if cpu.node_id not in (ID_UNSET, slot.place.node_id or 0):
            raise ObjectError(f"invalid node-id, must be {slot.place.node_id or 0}")
        self._settle(cpu, slot)
        return slot

    def plug(self, slot: CpuSlot, cpu: PluggableCpu) -> None:
        """The realized CPU takes its slot."""
        slot.cpu = cpu

    def _check_smi(self, needed: SmiFeature, what: str) -> None:
        """Firmware that wants to hear of SMIs must have said that it deals with CPUs."""
        agreed = self.smi.features if self.smi else NOTHING_AGREED
        if SmiFeature.BROADCAST in agreed and needed not in agreed:
            raise ObjectError(f"cpu {what} with SMI wasn't enabled by firmware")

    def _apic_id_of(self, cpu: PluggableCpu) -> int:
        counts = (self.topology.sockets, self.topology.dies, self.topology.cores, self.topology.threads)
        ids = []
        for level, count in zip(LEVELS, counts, strict=True):
            number = getattr(cpu, level + "_id")
            if level == "die" and number == ID_UNSET and count == 1:
                number = 0
            if number < 0:
                raise ObjectError(f"CPU {level}-id is not set")
            if number >= count:
                raise ObjectError(f"Invalid CPU {level}-id: {number} must be in range 0:{count - 1}")
            ids.append(number)
        return self.topology.apic_id(*ids)

    def _slot_for(self, apic_id: int) -> CpuSlot:
        place = self.topology.by_apic_id.get(apic_id)
        if place is None:
            ids = ", ".join(f"{n}: {i}" for n, i in zip(LEVELS, self.topology.ids_of_apic(apic_id), strict=True))
            raise ObjectError(f"Invalid CPU [{ids}] with APIC ID {apic_id}, valid index range 0:{len(self) - 1}")
        return self.slots[place.index]

    def _check_consistency(self, cpu: PluggableCpu, slot: CpuSlot) -> None:
        for level in LEVELS:
            given, actual = getattr(cpu, level + "_id"), getattr(slot.place, level + "_id")
            if given not in (ID_UNSET, actual):
                raise ObjectError(f"property {level}-id: {given} doesn't match set apic-id: {slot.apic_id:#x} "
                                  f"({level}-id: {actual})")  # fmt: skip

    def _settle(self, cpu: PluggableCpu, slot: CpuSlot) -> None:
        place = slot.place
        cpu.apic_id, cpu.index, cpu.node_id = place.apic_id, place.index, place.node_id or 0
        cpu.socket_id, cpu.die_id, cpu.core_id = place.socket_id, place.die_id, place.core_id
        cpu.thread_id = place.thread_id

    # cpu-add (QEMU 1.5 to 5.2)
    def properties_for_cpu_add(self, index: int) -> dict[str, int]:
        """device_add properties that plug slot `index`.  Raises ObjectError with cpu-add's texts."""
        if index < 0:
            raise ObjectError(f"Invalid CPU id: {index}")
        if index >= len(self):
            raise ObjectError(f"Unable to add CPU: {index}, max allowed: {len(self) - 1}")
        if self.slots[index].present:
            raise ObjectError(f"Unable to add CPU: {index}, it already exists")
        if self.slots[index].apic_id >= XAPIC_IDS:
            raise ObjectError(f"Unable to add CPU: {index}, resulting APIC ID ({self.slots[index].apic_id}) "
                              "is too large")  # fmt: skip
        return self.topology.properties(self.slots[index].place)

    # unplug
    def check_unplug(self, cpu: Any, *, modern: bool = True) -> CpuSlot:
        """The slot of a CPU that may be asked to leave.  `modern`: the guest switched to the modern register block.

        Raises ObjectError."""
        slot = self.slot_of(cpu)
        if slot.index == 0:
            raise ObjectError("Boot CPU is unpluggable")
        if not self.acpi:
            raise ObjectError("CPU hot unplug not supported without ACPI")
        self._check_smi(SmiFeature.CPU_HOT_UNPLUG, "hot-unplug")
        if not modern:
            raise ObjectError(f"acpi: device unplug request for not supported device type: {cpu.type_name}")
        return slot

    def unplug(self, cpu: Any) -> CpuSlot:
        """The guest let go of `cpu`: its slot is free again."""
        slot = self.slot_of(cpu)
        slot.cpu = None
        return slot

    # management
    def hotpluggable(self) -> list[dict[str, Any]]:
        """The answer to query-hotpluggable-cpus: highest index first, "qom-path" only where plugged."""
        answer = []
        for slot in reversed(self.slots):
            entry: dict[str, Any] = {"props": self.topology.properties(slot.place), "vcpus-count": 1}
            if slot.present:
                entry["qom-path"] = slot.cpu.path
            answer.append({**entry, "type": self.cpu_type})
        return answer
