"""The listing of `info qtree`: buses, the devices on them, their properties, and the buses behind those.

As in QEMU what came last stands first.  Unlike there, CPUs, which sit on no bus, follow after the buses.
Not here: interrupt lines and memory regions of devices.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emu import qom

SYSTEM_BUS = "main-system-bus"


def tree(root: qom.Object) -> str:
    """All buses and devices below `root`."""
    everything = list(root.walk())
    system = [each for each in everything if isinstance(each, qom.SystemBus)]
    lines = [line for bus in system for line in _bus(bus, SYSTEM_BUS, 0)] or [f"bus: {SYSTEM_BUS}", "  type System"]
    free = [each for each in everything if isinstance(each, qom.DeviceObject) and _is_free(each)]
    lines += [line for device in free for line in _device(device, 1)]
    return "\n".join(lines) + "\n"


def _is_free(device: qom.DeviceObject) -> bool:
    """On no bus, and in no other device."""
    return device.parent_bus is None and not isinstance(device.parent, qom.DeviceObject)


def _bus(bus: qom.Bus, name: str, depth: int) -> Iterator[str]:
    yield f"{'  ' * depth}bus: {name}"
    yield f"{'  ' * depth}  type {bus.type_name}"
    for device in reversed(bus.devices):
        yield from _device(device, depth + 1)


def _device(device: qom.DeviceObject, depth: int) -> Iterator[str]:
    yield f'{"  " * depth}dev: {device.type_name}, id "{device.user_id or ""}"'
    for name, prop in device.properties.items():
        listed = name == prop.name and prop.writable and not prop.hidden and not isinstance(prop, qom.Link)
        if listed and (device.bus_type or prop.type != "bool"):  # a CPU's features are too many
            yield f"{'  ' * depth}  {name} = {_shown(prop.get(device))}"
    for name, child in reversed(device.children.items()):
        if isinstance(child, qom.Bus):
            yield from _bus(child, name, depth + 1)
        elif isinstance(child, qom.DeviceObject) and child.parent_bus is None:
            yield from _device(child, depth + 1)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value} ({value:#x})"
    return f'"{value}"'
