"""The object model: types are classes, properties are descriptors, children make a tree with paths.

    class Uart(DeviceObject):
        name = "isa-serial"                          # declaring a name registers the type
        iobase = Property("uint32", 0x3F8)           # command line, -global, device_add and qom-get see "iobase"
        irq_line = Link("irq")                       # a reference; Child adopts instead

Python code assigns attributes freely; everything that comes from a user goes through Object.set_property, which
converts, checks and refuses.  The messages are those that QEMU's clients match.
Not here: buses (emu/bus.py), registers (emu/device.py), the order of realization inside a machine (machines).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Generic, TypeVar, overload

T = TypeVar("T", bound="Object")


class ObjectError(Exception):
    """A request on the object tree that cannot be carried out; the text is for the user."""


class NotFound(ObjectError):
    """A path, device or class that does not exist (QMP error class DeviceNotFound)."""


# -- conversion of user values ------------------------------------------------------------------------------------

INTEGER_RANGES = {
    "uint8": (0, 0xFF), "uint16": (0, 0xFFFF), "uint32": (0, 0xFFFF_FFFF), "uint64": (0, (1 << 64) - 1),
    "int8": (-0x80, 0x7F), "int16": (-0x8000, 0x7FFF), "int32": (-0x8000_0000, 0x7FFF_FFFF),
    "int64": (-(1 << 63), (1 << 63) - 1), "int": (-(1 << 63), (1 << 63) - 1), "size": (0, (1 << 64) - 1),
}  # fmt: skip
SIZE_SUFFIXES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50, "e": 1 << 60}
TRUE_WORDS = ("on", "yes", "true", "y")
FALSE_WORDS = ("off", "no", "false", "n")


def parse_size(text: str, default_unit: str = "b") -> int:
    """Bytes of "512", "64k", "1.5G"; a bare number counts in `default_unit`.  Raises ValueError."""
    match = re.fullmatch(r"(0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?)([bkmgtpeBKMGTPE]?)", text.strip())
    if not match:
        raise ValueError(f"'{text}' is not a size")
    number, unit = match[1], SIZE_SUFFIXES[(match[2] or default_unit).lower()]
    return int(float(number) * unit) if "." in number else int(number, 0 if number[:2] in ("0x", "0X") else 10) * unit


def convert_bool(name: str, value: Any) -> bool:
    """True or False from a boolean or from QEMU's words for it."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in TRUE_WORDS + FALSE_WORDS:
        return value in TRUE_WORDS
    raise ObjectError(f"Parameter '{name}' expects 'on' or 'off'")


def convert_int(name: str, value: Any, kind: str) -> int:
    """An integer of type `kind` from a number or a numeric string."""
    try:
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise ValueError(value)
        number = value if isinstance(value, int) else parse_size(value) if kind == "size" else int(value, 0)
    except ValueError:
        raise ObjectError(f"Parameter '{name}' expects {'a size' if kind == 'size' else 'integer'}") from None
    low, high = INTEGER_RANGES[kind]
    if not low <= number <= high:
        raise ObjectError(f"Parameter '{name}' expects {kind}_t")
    return number


def convert(name: str, value: Any, kind: str) -> Any:
    """`value`, as a user wrote it, as a Python value of property type `kind`."""
    if kind == "bool":
        return convert_bool(name, value)
    if kind in INTEGER_RANGES:
        return convert_int(name, value, kind)
    if kind == "OnOffAuto" and value != "auto":
        return "on" if convert_bool(name, value) else "off"
    if kind in ("str", "string") and not isinstance(value, str):
        raise ObjectError(f"Invalid parameter type for '{name}', expected: string")
    return value


JSON_KINDS = {"bool": (bool, "boolean"), "str": (str, "string"), "string": (str, "string")}


def check_json_type(name: str, value: Any, kind: str) -> None:
    """qom-set is stricter than the command line: a JSON value must have the property's own JSON type."""
    python_type, json_name = (int, "integer") if kind in INTEGER_RANGES else JSON_KINDS.get(kind, (object, ""))
    if kind.startswith("link<"):
        python_type, json_name = str, "string"
    if not isinstance(value, python_type) or (python_type is int and isinstance(value, bool)):
        raise ObjectError(f"Invalid parameter type for '{name}', expected: {json_name}")


# -- properties ---------------------------------------------------------------------------------------------------


class Property:
    """An attribute that users see.  `type` is QEMU's name for it: bool, uint32, int32, str, size, link<...>.

    writable: users may set it before realize; after_realize: and afterwards too; hidden: left out of
    device-list-properties; check(obj, value) returns the value to store or raises ObjectError.
    """

    def __init__(self, type: str, default: Any = None, *, name: str = "", aliases: tuple[str, ...] = (),
                 writable: bool = True, after_realize: bool = False, hidden: bool = False, description: str = "",
                 check: Callable[[Any, Any], Any] | None = None, get: Callable[[Any], Any] | None = None):  # fmt: skip
        self.type, self.default, self.name, self.aliases = type, default, name, aliases
        self.writable, self.after_realize, self.hidden = writable and get is None, after_realize, hidden
        self.description, self.check, self.getter = description, check, get

    def __set_name__(self, owner: type, attribute: str) -> None:
        self.attribute = attribute
        self.name = self.name or attribute.strip("_").replace("_", "-")

    @overload
    def __get__(self, obj: None, owner: type) -> Property: ...
    @overload
    def __get__(self, obj: object, owner: type) -> Any: ...
    def __get__(self, obj: Any, owner: type) -> Any:
        if obj is None:
            return self
        if self.getter:
            return self.getter(obj)
        return obj.__dict__.get(self.attribute, self.default)

    def __set__(self, obj: Any, value: Any) -> None:
        obj.__dict__[self.attribute] = value

    def get(self, obj: Object) -> Any:
        """The value as QMP shows it."""
        return getattr(obj, self.attribute)

    def set(self, obj: Object, value: Any) -> None:
        """Store a user's value.  Raises ObjectError when it does not fit or comes too late."""
        if not self.writable:
            raise ObjectError(f"Property '{obj.type_name}.{self.name}' is not writable")
        if obj.realized and not self.after_realize:
            device = f"device '{obj.user_id}'" if obj.user_id else "anonymous device"
            raise ObjectError(f"Attempt to set property '{self.name}' on {device} (type '{obj.type_name}') "
                              "after it was realized")  # fmt: skip
        value = self.from_user(obj, value)
        setattr(obj, self.attribute, self.check(obj, value) if self.check else value)

    def from_user(self, obj: Object, value: Any) -> Any:
        return convert(self.name, value, self.type)

    def describe(self) -> dict[str, Any]:
        """The element of qom-list-properties and device-list-properties."""
        info: dict[str, Any] = {"name": self.name, "type": self.type}
        if self.description:
            info["description"] = self.description
        if self.writable and isinstance(self.default, (bool, int, str)):
            info["default-value"] = self.default
        return info


def computed(type: str, **options: Any) -> Callable[[Callable[[Any], Any]], Property]:
    """Decorator: a read-only property whose value is the method's result."""
    return lambda method: Property(type, get=method, **options)


class Link(Property, Generic[T]):
    """A reference to another object of (at least) the named type; users read and write its path."""

    def __init__(self, target: str, **options: Any):
        super().__init__(f"link<{target}>", None, **options)
        self.target = target

    def follow(self, obj: Object) -> Object | None:
        """The object that the link of `obj` leads to."""
        return getattr(obj, self.attribute)

    def get(self, obj: Object) -> str:
        target = self.follow(obj)
        return target.path if target is not None else ""

    def from_user(self, obj: Object, value: Any) -> Object | None:
        if value == "":
            return None
        target = resolve(obj.root, value)
        if not target.is_a(self.target):
            raise ObjectError(f"Invalid parameter type for '{self.name}', expected: {self.target}")
        return target


class Child(Property):
    """An attribute whose object becomes a child under the attribute's name when it is assigned."""

    def __init__(self, target: str, **options: Any):
        super().__init__(f"child<{target}>", None, writable=False, hidden=True, **options)

    def __set__(self, obj: Any, value: Any) -> None:
        old = getattr(obj, self.attribute)
        if old is not None:
            old.unparent()
        super().__set__(obj, value)
        if value is not None:
            obj.add_child(self.name, value)


# -- objects ------------------------------------------------------------------------------------------------------

_types: dict[str, type[Object]] = {}


def _collect_properties(cls: type) -> dict[str, Property]:
    found: dict[str, Property] = {}
    for base in reversed(cls.__mro__):
        for value in list(vars(base).values()):
            if isinstance(value, Property):
                found.update({name: value for name in (value.name, *value.aliases)})
    return found


def _register(cls: type[Object]) -> None:
    old = _types.get(cls.name)
    if old is not None and (old.__module__, old.__qualname__) != (cls.__module__, cls.__qualname__):
        raise TypeError(f"type name '{cls.name}' of {cls.__qualname__} is already taken by {old.__qualname__}")
    _types[cls.name] = cls


class Object:
    """Root of all types.  State is created on demand, so a subclass need not call __init__."""

    name: ClassVar[str] = "object"
    abstract: ClassVar[bool] = True
    user_object: ClassVar[bool] = False  # object-add may create it
    properties: ClassVar[dict[str, Property]] = {}  # by every name and alias, inherited ones included

    parent: Object | None = None
    child_name: str = ""
    user_id: str | None = None  # "id" of -device and device_add
    realized: bool = False
    _type = Property("string", get=lambda self: self.type_name, hidden=True)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.properties = _collect_properties(cls)
        if cls.__dict__.get("name"):
            if "abstract" not in cls.__dict__:
                cls.abstract = False
            _register(cls)

    # types
    @property
    def type_name(self) -> str:
        return type(self).name

    def is_a(self, type_name: str) -> bool:
        """Whether this object's type is `type_name` or derived from it."""
        return type_name in lineage(type(self))

    # tree
    @property
    def children(self) -> dict[str, Object]:
        return self.__dict__.setdefault("_children", {})

    @property
    def root(self) -> Object:
        return self if self.parent is None else self.parent.root

    @property
    def path(self) -> str:
        """Canonical path, "/" for the root.  An object outside every tree is its own root."""
        if self.parent is None:
            return "/"
        above = self.parent.path
        return f"{above if above != '/' else ''}/{self.child_name}"

    def add_child(self, name: str, child: T) -> T:
        """Adopt `child`; a name that ends in "[*]" gets the lowest free index.  Raises ObjectError on a duplicate."""
        if name.endswith("[*]"):
            name = self._free_index(name[:-3])
        if name in self.children:
            raise ObjectError(f"attempt to add duplicate property '{name}' to object (type '{self.type_name}')")
        if child.parent is not None:
            raise ObjectError(f"object '{child.path}' already has a parent")
        self.children[name] = child
        child.parent, child.child_name = self, name
        return child

    def _free_index(self, stem: str) -> str:
        index = 0
        while f"{stem}[{index}]" in self.children:
            index += 1
        return f"{stem}[{index}]"

    def unparent(self) -> None:
        """Leave the tree; no effect on an object that is not in one."""
        if self.parent is not None:
            del self.parent.children[self.child_name]
            self.parent, self.child_name = None, ""

    def walk(self) -> Iterator[Object]:
        """This object and everything below it, parents first, in order of creation."""
        yield self
        for child in list(self.children.values()):
            yield from child.walk()

    # properties
    @property
    def own_properties(self) -> dict[str, Property]:
        """Properties of this object alone, not of its type."""
        return self.__dict__.setdefault("_own_properties", {})

    def add_property(self, added: Property) -> None:
        """Give this object a property that the rest of its type does not have."""
        self.own_properties[added.name] = added

    def find_property(self, name: str) -> Property:
        """Raises ObjectError for a name that this object does not have."""
        found = self.own_properties.get(name) or self.properties.get(name)
        if found is None:
            raise ObjectError(f"Property '{self.type_name}.{name}' not found")
        return found

    def get_property(self, name: str) -> Any:
        """The value a user sees; a child reads as its path."""
        if name in self.children:
            return self.children[name].path
        return self.find_property(name).get(self)

    def set_property(self, name: str, value: Any, *, strict: bool = False) -> None:
        """Set from a user's value.  `strict` (qom-set) demands the exact JSON type, otherwise strings convert."""
        if name in self.children:
            raise ObjectError(f"Property '{self.type_name}.{name}' is not writable")
        found = self.find_property(name)
        if strict and found.writable and not (self.realized and not found.after_realize):
            check_json_type(name, value, found.type)
        found.set(self, value)

    def list_properties(self) -> list[dict[str, str]]:
        """qom-list of this object: own properties first, then children."""
        everything = {**self.properties, **self.own_properties}
        own = [{"name": name, "type": p.type} for name, p in everything.items() if not isinstance(p, Child)]
        return own + [{"name": n, "type": f"child<{c.type_name}>"} for n, c in self.children.items()]

    # life cycle: overridden by types, called through realize(), unrealize() and reset() below
    def realize(self) -> None:
        """Check properties and build what depends on them.  Raises ObjectError to refuse."""

    def unrealize(self) -> None:
        """Undo realize()."""

    def reset(self) -> None:
        """Return to the state after power-on."""


Object.properties = {"type": Object.__dict__["_type"]}
_types["object"] = Object


class Container(Object):
    """A plain folder of the tree."""

    name = "container"

    def container(self, name: str) -> Container:
        """The child folder `name`, made when first asked for."""
        if name not in self.children:
            self.add_child(name, Container())
        return self.children[name]  # type: ignore[return-value]


class DeviceObject(Object):
    """What every device has in common for users: realized, hotplugged, hotpluggable."""

    name = "device"
    abstract = True
    hotpluggable_type: ClassVar[bool] = False  # device_add may create it while the machine runs
    user_creatable: ClassVar[bool] = True  # -device and device_add may create it at all

    parent_bus: Link[Object] = Link("bus", name="parent_bus", hidden=True, writable=False)
    hotplugged = Property("bool", False, writable=False, hidden=True)
    hotpluggable = Property("bool", get=lambda self: self.hotpluggable_type, hidden=True)
    is_realized = Property("bool", name="realized", get=lambda self: self.realized, hidden=True)


# -- life cycle ---------------------------------------------------------------------------------------------------


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


def reset(obj: Object) -> None:
    """Reset `obj` and all below it, parents first."""
    for each in obj.walk():
        each.reset()


# -- paths --------------------------------------------------------------------------------------------------------


def resolve(root: Object, path: str) -> Object:
    """The object at an absolute path, or the only one whose path ends in the partial path `path`.

    Raises NotFound when there is none, ObjectError when a partial path fits several."""
    parts = [part for part in path.split("/") if part]
    if path.startswith("/"):
        matches = [_descend(root, parts)]
    else:
        matches = [_descend(start, parts) for start in root.walk()]
    found = {id(match): match for match in matches if match is not None}
    if len(found) > 1:
        raise ObjectError(f"Path '{path}' is ambiguous")
    if not found:
        raise NotFound(f"Device '{path}' not found")
    return next(iter(found.values()))


def _descend(start: Object, parts: list[str]) -> Object | None:
    for part in parts:
        following = start.children.get(part)
        if following is None:
            link = start.own_properties.get(part) or start.properties.get(part)
            following = link.follow(start) if isinstance(link, Link) else None
        if following is None:
            return None
        start = following
    return start


# -- types --------------------------------------------------------------------------------------------------------


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
    described = [{**prop.describe(), "name": name} for name, prop in cls.properties.items()
                 if not (device_view and prop.hidden) and not isinstance(prop, Child)]  # fmt: skip
    return described


def format_tree(obj: Object, depth: int = 0) -> str:
    """The indented listing of `info qom-tree`, children by name."""
    name = "/" + obj.child_name if obj.parent is not None else "/"
    lines = ["  " * depth + f"{name} ({obj.type_name})"]
    return "\n".join(lines + [format_tree(obj.children[key], depth + 1) for key in sorted(obj.children)])
