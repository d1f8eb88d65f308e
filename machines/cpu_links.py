"""The CPU topology as objects, and links that plug and unplug: the interface that was proposed for QEMU 1.4 and never shipped.

    /machine/socket[S]/die[D]/core[C]/thread[T]    places; a thread's `cpu` is link<x86_64-cpu>, a higher level's `cpus`
                                                   is link<cpu-package>
    /machine/icc-bridge/cpu[N]                     the same links as the threads', by slot

Setting a link to an object that object-add made plugs it; setting it to "" asks the guest to let go.  A cpu-package holds
one CPU for each thread of a level, in order, as its links cpu[0], cpu[1] and so on; it is plugged as a whole or not at all.
Not here: links between places, as in the variant where a socket links to cores.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol, cast

from emu import qom
from emu.cli.options import ObjectOption, OptionError
from emu.cpu_models import CpuConfig, X86Cpu
from emu.qom import Container, ObjectError, computed
from emu.qom.listing import find_user_object
from machines.cpu_slots import CpuSlot, CpuSlots

MEMBER_NAME = re.compile(r"cpu\[(\d+)\]")


class Plugging(Protocol):
    """What links need of machines.cpu_plug.CpuPlug.  Both raise ObjectError and change nothing then."""

    def plug_objects(self, pairs: Sequence[tuple[CpuSlot, X86Cpu]]) -> None: ...
    def request_unplug_all(self, slots: Sequence[CpuSlot]) -> None: ...


# -- packages -----------------------------------------------------------------------------------------------------


class MemberLink(qom.Link[X86Cpu]):
    """cpu[n] of a package; gone when the CPU is."""

    def __init__(self, name: str):
        super().__init__(X86Cpu.name, name=name)

    def follow(self, obj: Any) -> X86Cpu | None:
        cpu = obj.members.get(self.name)
        return cpu if cpu is not None and cpu.parent is not None else None

    def set(self, obj: Any, value: Any) -> None:
        cpu = self.from_user(obj, value)
        if obj.in_use:
            raise ObjectError(f"Attempt to set property '{self.name}' of '{obj.path}' while its CPUs are plugged")
        obj.members[self.name] = cpu
        obj.add_property(self)


class CpuPackage(qom.Object):
    """CPU objects to be plugged together."""

    name = "cpu-package"
    user_object = True

    def __init__(self) -> None:
        self.members: dict[str, X86Cpu | None] = {}

    def find_property(self, name: str) -> qom.Property:
        if MEMBER_NAME.fullmatch(name) and name not in self.own_properties:
            return MemberLink(name)
        return super().find_property(name)

    @property
    def cpus(self) -> list[X86Cpu]:
        """In the order of their numbers."""
        links = [link for link in self.own_properties.values() if isinstance(link, MemberLink)]
        links.sort(key=lambda link: int(link.name[len("cpu[") : -1]))
        return [cpu for link in links if (cpu := link.follow(self)) is not None]

    @property
    def in_use(self) -> bool:
        return any(cpu.realized for cpu in self.cpus)


# -- places -------------------------------------------------------------------------------------------------------


class SlotLink(qom.Link[X86Cpu]):
    """The CPU in one slot: `slot`, or that of the object that has the link."""

    def __init__(self, name: str = "", slot: CpuSlot | None = None):
        super().__init__(X86Cpu.name, name=name, after_realize=True, description="plugs when set, asks for unplug when set to ''")
        self.slot = slot

    def follow(self, obj: Any) -> X86Cpu | None:
        return (self.slot or obj.slot).cpu

    def set(self, obj: Any, value: Any) -> None:
        slot, cpu = self.slot or obj.slot, cast("X86Cpu | None", self.from_user(obj, value))
        if cpu is None:
            obj.plug.request_unplug_all([slot])
        elif cpu is not slot.cpu:
            obj.plug.plug_objects([(slot, cpu)])


class PackageLink(qom.Link[CpuPackage]):
    """The package whose CPUs are in the slots of a level."""

    def __init__(self) -> None:
        super().__init__(CpuPackage.name, after_realize=True, description="plugs all threads when set, unplugs when set to ''")

    def follow(self, obj: Any) -> CpuPackage | None:
        there = {id(slot.cpu) for slot in obj.slots if slot.present}
        return obj.package if obj.package and any(id(cpu) in there for cpu in obj.package.cpus) else None

    def set(self, obj: Any, value: Any) -> None:
        package = cast("CpuPackage | None", self.from_user(obj, value))
        if package is None:
            obj.plug.request_unplug_all(obj.slots)
            return
        cpus = package.cpus
        if len(cpus) != len(obj.slots):
            raise ObjectError(f"'{package.path}' has {len(cpus)} CPUs, '{obj.path}' takes {len(obj.slots)}")
        if any(cpu is not slot.cpu for slot, cpu in zip(obj.slots, cpus)):
            obj.plug.plug_objects(list(zip(obj.slots, cpus)))
        obj.package = package


class CpuThread(qom.Object):
    """A place for one CPU: one slot."""

    name = "cpu-thread"
    cpu = SlotLink()
    apic_id = computed("uint32")(lambda self: self.slot.apic_id)
    cpu_index = computed("int32")(lambda self: self.slot.index)
    socket_id = computed("int32")(lambda self: self.slot.place.socket_id)
    die_id = computed("int32")(lambda self: self.slot.place.die_id)
    core_id = computed("int32")(lambda self: self.slot.place.core_id)
    thread_id = computed("int32")(lambda self: self.slot.place.thread_id)

    def __init__(self, plug: Plugging, slot: CpuSlot):
        self.plug, self.slot = plug, slot


class CpuLevel(Container):
    """A place that has places."""

    name = "cpu-level"
    abstract = True
    cpus = PackageLink()
    vcpus_count = computed("int32")(lambda self: len(self.slots))

    def __init__(self, plug: Plugging):
        self.plug = plug
        self.slots: list[CpuSlot] = []
        self.package: CpuPackage | None = None


class CpuSocket(CpuLevel):
    name = "cpu-socket"


class CpuDie(CpuLevel):
    name = "cpu-die"


class CpuCore(CpuLevel):
    name = "cpu-core"


class IccBridge(qom.Object):
    """Every possible CPU by its number, as the bus of APICs once listed them."""

    name = "icc-bridge"

    def __init__(self, plug: Plugging):
        self.plug = plug


def add_topology(machine: Container, plug: Plugging, slots: CpuSlots) -> None:
    """Places for all slots below `machine`."""
    bridge = machine.add_child("icc-bridge", IccBridge(plug))
    for slot in slots:
        bridge.add_property(SlotLink(f"cpu[{slot.index}]", slot))
        place, at = slot.place, machine
        steps = (("socket", place.socket_id, CpuSocket), ("die", place.die_id, CpuDie), ("core", place.core_id, CpuCore))
        for word, number, cls in steps:
            at = _level(at, f"{word}[{number}]", cls, plug)
            at.slots.append(slot)
        at.add_child(f"thread[{place.thread_id}]", CpuThread(plug, slot))


def _level(above: Container, name: str, cls: type[CpuLevel], plug: Plugging) -> CpuLevel:
    return cast(CpuLevel, above.children.get(name) or above.add_child(name, cls(plug)))


# -- what users make ----------------------------------------------------------------------------------------------


class UserObjects:
    """/objects: CPUs and packages made by object-add, which wait there to be plugged."""

    def __init__(self, machine: Container, config: CpuConfig):
        self.config = config
        self.folder = cast(Container, machine.root).container("objects")

    def add(self, type_name: str, id: str, properties: dict[str, Any]) -> qom.Object:
        """Raises ObjectError; nothing is left behind then."""
        cls = qom.find_type(type_name)
        made = self.config.create(cls=cls) if issubclass(cls, X86Cpu) else cls()
        made.user_id = id
        self.folder.add_child(id, made)
        try:
            for name, value in properties.items():
                made.set_property(name, value)
        except ObjectError:
            made.unparent()
            raise
        return made

    def add_from_option(self, option: ObjectOption) -> None:
        """-object.  Raises OptionError."""
        try:
            find_user_object(option.type)
            self.add(option.type, option.id, option.properties)
        except ObjectError as error:
            raise OptionError(f"-object {option.text}: {error}") from None

    def clear(self) -> None:
        """All CPUs and packages are gone."""
        for each in list(self.folder.children.values()):
            if isinstance(each, (X86Cpu, CpuPackage)):
                each.unparent()

    def delete(self, id: str) -> None:
        """Raises ObjectError for one that is plugged, or is not there."""
        found = self.folder.children.get(id)
        if found is None:
            raise ObjectError(f"object '{id}' not found")
        if found.realized or (isinstance(found, CpuPackage) and found.in_use):
            raise ObjectError(f"object '{id}' is in use, can not be deleted")
        found.unparent()
