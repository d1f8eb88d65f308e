"""device_add and device_del: the checks that hold for every device, before the machine's own."""

from __future__ import annotations

import re
from typing import Any

from emu import qom
from emu.qmp.errors import DEVICE_NOT_FOUND, QmpError
from emu.qmp.machine_api import Context
from emu.qmp.registry import command

IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
BUILT_IN_BUSES = ("main-system-bus", "isa.0", "pci.0", "pcie.0")


def find_driver(name: str) -> type[qom.DeviceObject]:
    """The class that device_add may make.  Raises QmpError."""
    try:
        cls = qom.find_type(name)
    except qom.NotFound:
        cls = None
    if cls is None or not issubclass(cls, qom.DeviceObject):
        raise QmpError(f"'{name}' is not a valid device model name")
    if cls.abstract:
        raise QmpError("Parameter 'driver' expects a non-abstract device type")
    if not cls.user_creatable:
        raise QmpError("Parameter 'driver' expects a pluggable device type")
    return cls


def check_id(vm: Context, id: str) -> None:
    """An id is an identifier and new.  Raises QmpError."""
    if not IDENTIFIER.fullmatch(id):
        raise QmpError("Parameter 'id' expects an identifier")
    peripheral = vm.machine.root.children["machine"].children.get("peripheral")
    if peripheral is not None and id in peripheral.children:
        raise QmpError(f"Duplicate device ID '{id}'")


def _check_bus(driver: str, bus: str) -> None:
    if bus not in BUILT_IN_BUSES:
        raise QmpError(f"Bus '{bus}' not found")
    kind = {"isa.0": "ISA", "pci.0": "PCI", "pcie.0": "PCIE"}.get(bus, "System")
    raise QmpError(f"Device '{driver}' can't go on {kind} bus")


@command("device_add", features=("json-cli", "json-cli-hotplug"))
def device_add(vm: Context, driver: str, bus: str | None = None, id: str | None = None, *,
               properties: dict[str, Any] | None = None) -> None:  # fmt: skip
    cls = find_driver(driver)
    if bus is not None and cls.hotpluggable_type:
        _check_bus(cls.name, bus)
    if cls.bus_type == "ISA":
        raise QmpError("Bus 'isa.0' does not support hotplugging")
    if not cls.hotpluggable_type:
        raise QmpError(f"Device '{cls.name}' can not be hotplugged on this machine")
    vm.machine.migration.refuse("device_add")
    if id is not None:
        check_id(vm, id)
    vm.machine.device_add(cls.name, id, {name: value for name, value in (properties or {}).items() if value is not None})


@command("device_del")
def device_del(vm: Context, id: str) -> None:
    path = id if id.startswith("/") else f"/machine/peripheral/{id}"
    try:
        device = qom.resolve(vm.machine.root, path)
    except qom.NotFound:
        raise QmpError(f"Device '{id}' not found", DEVICE_NOT_FOUND) from None
    if not isinstance(device, qom.DeviceObject):
        raise QmpError(f"{id} is not a hotpluggable device")
    if device.parent_bus is not None and not device.parent_bus.hotplug:
        raise QmpError(f"Bus '{device.parent_bus.bus_name}' does not support hotplugging")
    if not device.hotpluggable:
        raise QmpError(f"Device '{device.type_name}' does not support hotplugging")
    vm.machine.migration.refuse("device_del")
    vm.machine.device_del(device.path)
