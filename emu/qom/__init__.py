"""The object model: types are classes, properties are descriptors, children make a tree with paths.

    class Lamp(DeviceObject):
        name = "lamp"                                # declaring a name registers the type
        watts = Property("uint32", 40)               # command line, -global, device_add and qom-get see "watts"
        socket = Link("socket")                      # a reference; Child adopts instead

Python code assigns attributes freely; everything that comes from a user goes through Object.set_property, which
converts, checks and refuses.  The messages are those that QEMU's clients match.
Not here: registers (emu/device.py), the order of realization inside a machine (machines).
"""

from emu.qom.devices import Bus, DeviceObject, I2cBus, IdeBus, IsaBus, SystemBus, realize, unrealize
from emu.qom.objects import Container, Object, format_tree, reset
from emu.qom.paths import resolve
from emu.qom.properties import Child, Link, Property, computed
from emu.qom.types import collect_properties, describe_type, find_type, lineage, list_type_properties, list_types
from emu.qom.values import NotFound, ObjectError, convert, parse_size

__all__ = [
    "Bus", "Child", "Container", "DeviceObject", "I2cBus", "IdeBus", "IsaBus", "Link", "NotFound", "Object", "ObjectError",
    "Property", "SystemBus", "collect_properties", "computed", "convert", "describe_type", "find_type", "format_tree",
    "lineage", "list_type_properties", "list_types", "parse_size", "realize", "reset", "resolve", "unrealize",
]  # fmt: skip
