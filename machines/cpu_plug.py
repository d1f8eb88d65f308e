"""Plugging and unplugging CPUs, from device_add to DEVICE_DELETED, whatever the machine.

The machine supplies what happens to the hardware: `on_plug(slot, cpu, hotplugged)` after realize (vCPU, APIC, hot-plug
registers, CMOS), `on_request(slot)` for an unplug request, `on_unplug(slot, cpu)` when the guest ejected it.
`refuse(command)` raises what its user is told while CPUs must stay as they are; `when_idle(action)` puts an action off until
no vCPU runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from emu import qom
from emu.cpu_models import CpuConfig, X86Cpu
from emu.qmp.events import EventHub
from emu.qmp.machine_api import CpuInfo
from emu.qom import Container, ObjectError
from machines.cpu_links import UserObjects, add_topology
from machines.cpu_slots import APIC_ID_UNSET, CpuSlot, CpuSlots


def _state(cpu: X86Cpu) -> dict[str, Any]:
    """All that realize changes, to go back to."""
    return {name: set(value) if isinstance(value, set) else value for name, value in vars(cpu).items()}


class CpuPlug:
    """The CPUs of a machine as objects: creation, place in the tree, life cycle, listing."""

    def __init__(self, machine: Container, slots: CpuSlots, config: CpuConfig, events: EventHub, *,
                 on_plug: Callable[[CpuSlot, X86Cpu, bool], None],
                 on_request: Callable[[CpuSlot], None] = lambda slot: None,
                 on_unplug: Callable[[CpuSlot, X86Cpu], None] = lambda slot, cpu: None,
                 modern: Callable[[], bool] = lambda: True,
                 refuse: Callable[[str], None] = lambda command: None,
                 when_idle: Callable[[Callable[[], None]], None] = lambda action: action()):  # fmt: skip
        self.machine, self.slots, self.config, self.events = machine, slots, config, events
        self._on_plug, self._on_request, self._on_unplug, self._modern = on_plug, on_request, on_unplug, modern
        self._refuse, self._when_idle = refuse, when_idle
        self._created: list[X86Cpu] = []
        for name in ("unattached", "peripheral", "peripheral-anon"):
            machine.container(name)
        self.objects = UserObjects(machine, config)
        add_topology(machine, self, slots)

    def add_boot_cpus(self, count: int) -> None:
        """The CPUs of -smp: the first `count` slots."""
        for slot in self.slots.slots[:count]:
            cpu = self.config.create(self.slots.topology.properties(slot.place))
            self._insert(cpu, "unattached", "device[*]", hotplugged=False)

    def device_add(self, driver: str, id: str | None, properties: dict[str, Any], hotplugged: bool = True) -> X86Cpu:
        """Plug a CPU of type `driver` (-device before the start, device_add later).  Raises ObjectError."""
        cpu = self.config.create(properties, qom.find_type(driver))  # type: ignore[arg-type]
        folder, name = ("peripheral", id) if id else ("peripheral-anon", "device[*]")
        cpu.user_id = id
        self._insert(cpu, folder, name, hotplugged)
        return cpu

    def cpu_add(self, index: int) -> X86Cpu:
        """Plug slot `index` with the machine's own CPU model.  Raises ObjectError."""
        return self.device_add(self.config.type_name, None, self.slots.properties_for_cpu_add(index))

    def _insert(self, cpu: X86Cpu, folder: str, name: str, hotplugged: bool) -> None:
        slot = self.slots.pre_plug(cpu)
        cpu.hotplugged = hotplugged
        qom.realize(cpu)
        self.machine.container(folder).add_child(name, cpu)
        self._seat(slot, cpu)

    def _seat(self, slot: CpuSlot, cpu: X86Cpu) -> None:
        self.slots.plug(slot, cpu)
        self._created.append(cpu)
        self._on_plug(slot, cpu, cpu.hotplugged)

    def take_over(self, slot: CpuSlot, cpu: X86Cpu) -> None:
        """Plug a CPU object that is in the tree already, and realized: the copy of another machine's."""
        self._seat(slot, cpu)

    def forget(self) -> None:
        """All CPUs are gone, and leave the tree."""
        for cpu in self._created:
            self.slots.unplug(cpu)
            cpu.unparent()
        self._created.clear()

    def plug_objects(self, pairs: Sequence[tuple[CpuSlot, X86Cpu]]) -> None:
        """Plug CPU objects that are in the tree already: all of them, or none.  Raises ObjectError."""
        self._refuse("qom-set")
        saved = [(cpu, _state(cpu)) for _, cpu in pairs]
        try:
            for slot, cpu in pairs:
                self._prepare(slot, cpu)
        except ObjectError:
            for cpu, state in saved:
                cpu.__dict__ = state
            raise
        for slot, cpu in pairs:
            self._seat(slot, cpu)

    def _prepare(self, slot: CpuSlot, cpu: X86Cpu) -> None:
        """Realize `cpu` for `slot`, unless it belongs somewhere else."""
        if cpu.realized:
            raise ObjectError(f"CPU '{cpu.path}' is already plugged")
        if cpu.apic_id not in (APIC_ID_UNSET, slot.apic_id):
            raise ObjectError(f"property apic-id: {cpu.apic_id} doesn't match CPU[{slot.index}] (apic-id: {slot.apic_id})")
        cpu.apic_id = slot.apic_id
        self.slots.pre_plug(cpu)
        cpu.hotplugged = True
        qom.realize(cpu)

    def request_unplug(self, path: str) -> None:
        """device_del: ask the guest to let the CPU at `path` go; may be repeated.  Raises ObjectError."""
        cpu = qom.resolve(self.machine.root, path)
        self._on_request(self.slots.check_unplug(cpu, modern=self._modern()))

    def request_unplug_all(self, slots: Sequence[CpuSlot]) -> None:
        """Ask the guest to let the CPUs in all of `slots` go, or none when one must stay.  Raises ObjectError."""
        self._refuse("qom-set")
        leaving = [self.slots.check_unplug(slot.cpu, modern=self._modern()) for slot in slots if slot.present]
        for slot in leaving:
            self._on_request(slot)

    def eject(self, slot: CpuSlot) -> None:
        """The guest ejected the CPU of `slot`: it goes, with DEVICE_DELETED for it and for the devices in it."""
        cpu = slot.cpu
        self.slots.unplug(cpu)
        self._on_unplug(slot, cpu)
        parts = [part for part in cpu.walk() if isinstance(part, qom.DeviceObject)]
        deleted = [(part.user_id, part.path) for part in reversed(parts)]
        qom.unrealize(cpu)
        cpu.unparent()
        self._created.remove(cpu)
        self._when_idle(lambda: self._announce(deleted))

    def _announce(self, deleted: list[tuple[str | None, str]]) -> None:
        """The slot can be filled again, also by whoever hears this."""
        for user_id, path in deleted:
            self.events.emit("DEVICE_DELETED", {**({"device": user_id} if user_id else {}), "path": path})

    def __iter__(self) -> Iterator[X86Cpu]:
        return iter(self._created)

    def infos(self, thread_id: int = 0) -> list[CpuInfo]:
        """Present CPUs in order of creation."""
        places = self.slots.topology.possible_cpus
        return [CpuInfo(cpu.index, cpu.path, self.slots.topology.properties(places[cpu.index]), thread_id)
                for cpu in self._created]  # fmt: skip
