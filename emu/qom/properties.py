"""Properties: attributes that users see, by name and with a type.

Python code assigns attributes freely; what comes from a user goes through Property.set, which converts, checks and refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from emu.qom.paths import resolve
from emu.qom.values import ObjectError, convert

if TYPE_CHECKING:
    from emu.qom.objects import Object

T = TypeVar("T", bound="Object")


class Property:
    """An attribute that users see.  `type` is QEMU's name for it: bool, uint32, int32, str, size, link<...>.

    writable: users may set it before realize; after_realize: and afterwards too; hidden: left out of
    device-list-properties; unlisted: aliases that no listing shows; check(obj, value) returns the value to store or raises
    ObjectError.
    """

    def __init__(self, type: str, default: Any = None, *, name: str = "", aliases: tuple[str, ...] = (),
                 unlisted: frozenset[str] = frozenset(), writable: bool = True, after_realize: bool = False,
                 hidden: bool = False, description: str = "",
                 check: Callable[[Any, Any], Any] | None = None, get: Callable[[Any], Any] | None = None):  # fmt: skip
        self.type, self.default, self.name, self.aliases, self.unlisted = type, default, name, aliases, unlisted
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

    def follow(self, obj: Object) -> Object | None:
        """The object that a path goes to through this property; only links lead anywhere."""
        return None

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
