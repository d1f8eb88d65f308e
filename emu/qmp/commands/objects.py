"""The object tree over QMP: generic walks of emu.qom, and the objects that users make."""

from __future__ import annotations

from typing import Any

from emu import qom
from emu.qmp import shapes
from emu.qmp.commands.devices import IDENTIFIER
from emu.qmp.errors import QmpError
from emu.qmp.machine_api import Context
from emu.qmp.registry import command
from emu.qom.listing import find_user_object


@command("qom-list", returns=[shapes.OBJECT_PROPERTY])
def qom_list(vm: Context, path: str) -> list[dict[str, str]]:
    return qom.resolve(vm.machine.root, path).list_properties()


def _find(vm: Context, path: str) -> qom.Object:
    """QEMU: only qom-list tells a path that fits several objects from one that fits none."""
    try:
        return qom.resolve(vm.machine.root, path)
    except qom.ObjectError:
        raise qom.NotFound(f"Device '{path}' not found") from None


@command("qom-get")
def qom_get(vm: Context, path: str, property: str) -> Any:
    return _find(vm, path).get_property(property)


@command("qom-set")
def qom_set(vm: Context, path: str, property: str, value: Any) -> None:
    _find(vm, path).set_property(property, value, strict=True)


@command("object-add")
def object_add(vm: Context, qom_type: str, id: str, *, properties: dict[str, Any] | None = None) -> None:
    find_user_object(qom_type)
    if not IDENTIFIER.fullmatch(id):
        raise QmpError("Parameter 'id' expects an identifier")
    vm.machine.object_add(qom_type, id, properties or {})


@command("object-del")
def object_del(vm: Context, id: str) -> None:
    vm.machine.object_del(id)


@command("qom-list-types", returns=[shapes.OBJECT_TYPE])
def qom_list_types(vm: Context, implements: str | None = None, abstract: bool = False) -> list[dict[str, Any]]:
    return [qom.describe_type(cls) for cls in qom.list_types(implements, abstract)]


@command("qom-list-properties", returns=[shapes.OBJECT_PROPERTY])
def qom_list_properties(vm: Context, typename: str) -> list[dict[str, Any]]:
    return qom.list_type_properties(qom.find_type(typename))


@command("device-list-properties", returns=[shapes.OBJECT_PROPERTY])
def device_list_properties(vm: Context, typename: str) -> list[dict[str, Any]]:
    try:
        cls = qom.find_type(typename)
    except qom.NotFound:
        raise qom.NotFound(f"Device '{typename}' not found") from None
    if cls.abstract or not issubclass(cls, qom.DeviceObject):
        raise QmpError("Parameter 'typename' expects a non-abstract device type")
    return qom.list_type_properties(cls, device_view=True)
