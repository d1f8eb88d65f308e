"""Objects: a type, properties, and a place in a tree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, TypeVar

from emu.qom import types
from emu.qom.properties import Child, Property
from emu.qom.values import ObjectError, check_json_type

T = TypeVar("T", bound="Object")


class Object:
    """Root of all types.  State is created on demand, so a subclass need not call __init__."""

    name: ClassVar[str] = "object"
    abstract: ClassVar[bool] = True
    in_tree: ClassVar[bool] = True  # whether declaring a name registers a type
    user_object: ClassVar[bool] = False  # object-add may create it
    properties: ClassVar[dict[str, Property]] = {}  # by every name and alias, inherited ones included

    parent: Object | None = None
    child_name: str = ""
    user_id: str | None = None  # "id" of -device and device_add
    realized: bool = False
    _type = Property("string", get=lambda self: self.type_name, hidden=True)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.properties = types.collect_properties(cls)
        if cls.in_tree and cls.__dict__.get("name"):
            if "abstract" not in cls.__dict__:
                cls.abstract = False
            types.register(cls)

    # types
    @property
    def type_name(self) -> str:
        return type(self).name

    def is_a(self, type_name: str) -> bool:
        """Whether this object's type is `type_name` or derived from it."""
        return type_name in types.lineage(type(self))

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
        own = [{"name": name, "type": p.type} for name, p in everything.items()
               if name not in p.unlisted and not isinstance(p, Child)]  # fmt: skip
        return own + [{"name": n, "type": f"child<{c.type_name}>"} for n, c in self.children.items()]

    # life cycle: overridden by types, called through realize(), unrealize() and reset() below
    def realize(self) -> None:
        """Check properties and build what depends on them.  Raises ObjectError to refuse."""

    def unrealize(self) -> None:
        """Undo realize()."""

    def reset(self) -> None:
        """Return to the state after power-on."""


Object.properties = {"type": Object.__dict__["_type"]}
types.register(Object)


class Container(Object):
    """A plain folder of the tree."""

    name = "container"

    def container(self, name: str) -> Container:
        """The child folder `name`, made when first asked for."""
        if name not in self.children:
            self.add_child(name, Container())
        return self.children[name]  # type: ignore[return-value]


def reset(obj: Object) -> None:
    """Reset `obj` and all below it, parents first."""
    for each in obj.walk():
        each.reset()


def format_tree(obj: Object, depth: int = 0) -> str:
    """The indented listing of `info qom-tree`, children by name."""
    name = "/" + obj.child_name if obj.parent is not None else "/"
    lines = ["  " * depth + f"{name} ({obj.type_name})"]
    return "\n".join(lines + [format_tree(obj.children[key], depth + 1) for key in sorted(obj.children)])
