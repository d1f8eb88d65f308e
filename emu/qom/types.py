"""Types by name: what qom-list-types and the property listings of types show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emu.qom.properties import Child, Property
from emu.qom.values import NotFound

if TYPE_CHECKING:
    from emu.qom.objects import Object

_types: dict[str, type[Object]] = {}


def collect_properties(cls: type) -> dict[str, Property]:
    """What instances of `cls` have, by every name, in order of declaration."""
    found: dict[str, Property] = {}
    for base in reversed(cls.__mro__):
        for value in list(vars(base).values()):
            if isinstance(value, Property):
                found.update({name: value for name in (value.name, *value.aliases)})
    return found


def register(cls: type[Object]) -> None:
    """Enter `cls` under its name.  Raises TypeError when another class has it."""
    old = _types.get(cls.name)
    if old is not None and (old.__module__, old.__qualname__) != (cls.__module__, cls.__qualname__):
        raise TypeError(f"type name '{cls.name}' of {cls.__qualname__} is already taken by {old.__qualname__}")
    _types[cls.name] = cls


def lineage(cls: type[Object]) -> list[str]:
    """Type names from `cls` up to "object"."""
    names = [base.__dict__["name"] for base in cls.__mro__ if base.__dict__.get("name")]
    return list(dict.fromkeys(names))


def find_type(name: str) -> type[Object]:
    """The class registered under `name`.  Raises NotFound."""
    if name not in _types:
        raise NotFound(f"Class '{name}' not found")
    return _types[name]


def list_types(implements: str | None = None, abstract: bool = False) -> list[type[Object]]:
    """Registered classes by name, derived from `implements` when given; abstract ones only on demand."""
    chosen = [cls for cls in _types.values() if implements is None or implements in lineage(cls)]
    return sorted((cls for cls in chosen if abstract or not cls.abstract), key=lambda cls: cls.name)


def describe_type(cls: type[Object]) -> dict[str, Any]:
    """The element of qom-list-types."""
    info: dict[str, Any] = {"name": cls.name}
    if cls.abstract:
        info["abstract"] = True
    if len(names := lineage(cls)) > 1:
        info["parent"] = names[1]
    return info


def list_type_properties(cls: type[Object], device_view: bool = False) -> list[dict[str, Any]]:
    """qom-list-properties of a type, or, without the properties that every object has, device-list-properties."""
    return [{**prop.describe(), "name": name} for name, prop in cls.properties.items()
            if not (device_view and prop.hidden) and name not in prop.unlisted and not isinstance(prop, Child)]  # fmt: skip
