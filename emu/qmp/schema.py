"""query-qmp-schema: the wire described by itself, in QEMU's structure of commands, events, objects, enumerations and arrays.

Everything comes from the registry's signatures and from emu.qmp.shapes.  As in QEMU, types other than the built-in ones have
numbers for names, object "0" is the empty one, and "[T]" is an array of T.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args, get_origin

from emu.qmp.registry import Command
from emu.qmp.shapes import EMPTY, Shape

BUILT_IN = {str: ("str", "string"), int: ("int", "int"), bool: ("bool", "boolean"), float: ("number", "number"),
            object: ("any", "value")}  # fmt: skip


class Schema:
    """Collects entries; `type_name` describes a type when it is first met."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self._names: dict[Any, str] = {}
        self._numbered = 0
        self.type_name(EMPTY)

    def command(self, command: Command) -> None:
        entry = {"name": command.name, "meta-type": "command", "arg-type": self._arguments(command),
                 "ret-type": self.type_name(command.result)}  # fmt: skip
        self.entries.append({**entry, **({"features": list(command.features)} if command.features else {})})

    def event(self, name: str, data: Shape) -> None:
        self.entries.append({"name": name, "meta-type": "event", "arg-type": self.type_name(data)})

    def _arguments(self, command: Command) -> str:
        members = {p.name + "?" * p.optional: p.type for p in command.parameters}
        return self.type_name(Shape(f"{command.name}-arg", members) if members else EMPTY)

    def type_name(self, kind: Any) -> str:
        """The name under which `kind` is described."""
        kind = self._plain(kind)
        if isinstance(kind, list):
            return self._array(self.type_name(kind[0]))
        if kind in BUILT_IN:
            name, json_type = BUILT_IN[kind]
            return self._describe(name, name, {"meta-type": "builtin", "json-type": json_type})
        if kind in self._names:
            return self._names[kind]
        name = str(self._numbered)
        self._numbered += 1
        if get_origin(kind) is Literal:
            return self._enumeration(kind, name)
        return self._object(kind, name) if isinstance(kind, Shape) else self._alternate(kind, name)

    def _plain(self, kind: Any) -> Any:
        """Annotations reduced to what `type_name` tells apart."""
        origin = get_origin(kind)
        if kind in (None, type(None)):
            return EMPTY
        if origin is Annotated:
            return get_args(kind)[1]
        if origin in (typing.Union, types.UnionType):
            members = [member for member in get_args(kind) if member is not type(None)]
            return self._plain(members[0]) if len(members) == 1 else kind
        if origin is list or kind is list:
            return [*get_args(kind)][:1] or [object]
        return object if kind in (Any, dict) or origin is dict else kind

    def _describe(self, key: Any, name: str, entry: dict[str, Any]) -> str:
        if key not in self._names:
            self._add(key, name, entry)
        return name

    def _add(self, key: Any, name: str, entry: dict[str, Any]) -> dict[str, Any]:
        """The new entry; what is in it may be completed later, for types refer to each other."""
        self._names[key] = name
        self.entries.append({"name": name, **entry})
        return self.entries[-1]

    def _array(self, element: str) -> str:
        return self._describe(f"[{element}]", f"[{element}]", {"meta-type": "array", "element-type": element})

    def _enumeration(self, kind: Any, name: str) -> str:
        values = list(get_args(kind))
        return self._describe(kind, name, {"meta-type": "enum", "members": [{"name": v} for v in values], "values": values})

    def _object(self, shape: Shape, name: str) -> str:
        members: list[dict[str, Any]] = []
        entry = self._add(shape, name, {"meta-type": "object", "members": members})
        for member, kind in shape.members.items():
            optional = {"default": None} if member.endswith("?") else {}
            members.append({"name": member.removesuffix("?"), "type": self.type_name(kind), **optional})
        if shape.tag:
            entry |= {"tag": shape.tag, "variants": self._variants(shape)}
        return name

    def _variants(self, shape: Shape) -> list[dict[str, str]]:
        """One for each value that the tag can have."""
        chosen = ((case, shape.variants.get(case)) for case in get_args(shape.members[shape.tag]))
        return [{"case": case, "type": self.type_name(Shape(f"{shape.name}-{case}", members) if members else EMPTY)}
                for case, members in chosen]  # fmt: skip

    def _alternate(self, kind: Any, name: str) -> str:
        members: list[dict[str, str]] = []
        self._describe(kind, name, {"meta-type": "alternate", "members": members})
        members += [{"type": self.type_name(member)} for member in get_args(kind)]
        return name


def describe(commands: Iterable[Command], events: dict[str, Shape]) -> list[dict[str, Any]]:
    """The answer to query-qmp-schema."""
    schema = Schema()
    for command in commands:
        schema.command(command)
    for name, data in events.items():
        schema.event(name, data)
    return schema.entries
