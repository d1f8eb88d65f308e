"""What -device help, -object help, `device_add TYPE,help` and their like print."""

from __future__ import annotations

from emu.qom.devices import DeviceObject
from emu.qom.objects import Object
from emu.qom.types import find_type, lineage, list_type_properties, list_types
from emu.qom.values import NotFound, ObjectError

HELP_WORDS = ("help", "?")
COLUMN = 22  # where explanations begin


def help_subject(arguments: str) -> str | None:
    """The type that "TYPE,help" asks about, "" for "help" alone, None when no help is asked for."""
    first, _, rest = arguments.partition(",")
    if first in HELP_WORDS:
        return ""
    return first if set(rest.split(",")) & set(HELP_WORDS) else None


def device_types() -> list[type[DeviceObject]]:
    """All devices that are not abstract, by name."""
    return [cls for cls in list_types("device") if issubclass(cls, DeviceObject)]


def user_objects() -> list[type[Object]]:
    """What object-add can make, by name."""
    return [cls for cls in list_types() if cls.user_object]


def find_user_object(name: str) -> type[Object]:
    """Raises ObjectError for a type that users cannot create."""
    for cls in user_objects():
        if cls.name == name:
            return cls
    raise ObjectError(f"Parameter 'qom-type' does not accept value '{name}'")


def device_help() -> str:
    """Devices that a user can add."""
    classes = [cls for cls in device_types() if cls.user_creatable]
    groups = {"Misc devices": [cls for cls in classes if not is_cpu(cls)], "CPU devices": [cls for cls in classes if is_cpu(cls)]}
    return "\n".join("\n".join([f"{title}:", *map(device_line, group), ""]) for title, group in groups.items()).rstrip()


def is_cpu(cls: type[DeviceObject]) -> bool:
    return "cpu" in lineage(cls)


def device_line(cls: type[DeviceObject]) -> str:
    """A device in a list of devices."""
    return f'name "{cls.name}"' + (f", bus {cls.bus_type}" if cls.bus_type else "")


def object_help() -> str:
    """Types that object-add knows."""
    return "\n".join(["List of user creatable objects:", *(f"  {cls.name}" for cls in user_objects())])


def options_of_device(name: str) -> str:
    """Raises ObjectError when there is no such device."""
    try:
        cls = find_type(name)
    except NotFound:
        raise ObjectError(f"Device '{name}' not found") from None
    return _options(cls)


def options_of_object(name: str) -> str:
    """Raises ObjectError for a type that users cannot create."""
    return _options(find_user_object(name))


def _options(cls: type[Object]) -> str:
    lines = [f"{cls.name} options:"]
    for each in sorted(list_type_properties(cls, device_view=True), key=lambda each: each["name"]):
        default = f" (default: {_shown(each['default-value'])})" if "default-value" in each else ""
        text = each.get("description", "") + default
        left = f"{each['name']}=<{each['type']}>"
        lines.append(f"  {left:<{COLUMN}} - {text}" if text else f"  {left}")
    return "\n".join(lines)


def _shown(value: bool | int | str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)
