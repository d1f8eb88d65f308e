"""What devices have in common for users, and the buses they sit on."""

from __future__ import annotations

from typing import ClassVar

from emu.qom.objects import Object
from emu.qom.properties import Link, Property


class DeviceObject(Object):
    """What every device has in common for users: realized, hotplugged, hotpluggable."""

    name = "device"
    abstract = True
    hotpluggable_type: ClassVar[bool] = False  # device_add may create it while the machine runs
    user_creatable: ClassVar[bool] = True  # -device and device_add may create it at all

    bus_type: ClassVar[str] = ""  # type of the buses that take it; CPUs and their APICs need none

    parent_bus: Link[Bus] = Link("bus", name="parent_bus", hidden=True, writable=False)
    hotplugged = Property("bool", False, writable=False, hidden=True)
    hotpluggable = Property("bool", get=lambda self: self.hotpluggable_type, hidden=True)
    is_realized = Property("bool", name="realized", get=lambda self: self.realized, hidden=True)


class BusPlace(Link[DeviceObject]):
    """child[n] of a bus: a device that sits there."""

    def __init__(self, number: int, device: DeviceObject):
        super().__init__(device.type_name, name=f"child[{number}]", writable=False)
        self.device = device

    def follow(self, obj: Object) -> DeviceObject:
        return self.device


class Bus(Object):
    """What devices of one kind sit on, in the order in which they came.  `hotplug`: they may come and go later."""

    name = "bus"
    abstract = True
    hotplug: ClassVar[bool] = False
    _places: int = 0  # how many there have ever been
    is_realized = Property("bool", name="realized", get=lambda self: True, hidden=True)

    @property
    def bus_name(self) -> str:
        """What messages call it."""
        return self.child_name

    @property
    def devices(self) -> list[DeviceObject]:
        return [place.device for place in self.own_properties.values() if isinstance(place, BusPlace)]

    def attach(self, device: DeviceObject) -> None:
        """`device` sits here from now on."""
        self._places += 1
        self.add_property(BusPlace(self._places - 1, device))
        device.parent_bus = self

    def detach(self, device: DeviceObject) -> None:
        """`device` goes; the others keep their numbers."""
        for name, place in list(self.own_properties.items()):
            if isinstance(place, BusPlace) and place.device is device:
                del self.own_properties[name]
                device.parent_bus = None


class SystemBus(Bus):
    """The bus of devices that are simply part of the machine."""

    name = "System"
    bus_name = "main-system-bus"


class IsaBus(Bus):
    name = "ISA"


class I2cBus(Bus):
    name = "i2c-bus"


class IdeBus(Bus):
    name = "IDE"


def realize(obj: Object) -> None:
    """Realize `obj` once; its children are its own business."""
    if not obj.realized:
        obj.realize()
        obj.realized = True


def unrealize(obj: Object) -> None:
    """Unrealize `obj` and all below it, deepest first."""
    for child in list(obj.children.values()):
        unrealize(child)
    if obj.realized:
        obj.unrealize()
        obj.realized = False
