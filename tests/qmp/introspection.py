"""Reading an answer to query-qmp-schema: does a value fit a type, and how do two schemas differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

JSON_TYPES: dict[str, Any] = {"string": str, "int": int, "boolean": bool, "number": (int, float), "value": object}


class Schema:
    """The entries by name."""

    def __init__(self, entries: list[dict[str, Any]]):
        self.entries = {entry["name"]: entry for entry in entries}

    def __getitem__(self, name: str) -> dict[str, Any]:
        return self.entries[name]

    def names(self, meta_type: str) -> set[str]:
        return {name for name, entry in self.entries.items() if entry["meta-type"] == meta_type}

    def members(self, name: str, value: dict[str, Any] | None = None) -> dict[str, dict[str, Any]]:
        """Members of an object type; with a value, those of its variant too."""
        kind = self[name]
        found = {member["name"]: member for member in kind["members"]}
        if value is not None and kind.get("tag") in value:
            case = next(each for each in kind["variants"] if each["case"] == value[kind["tag"]])
            found |= self.members(case["type"])
        return found

    def problems(self, name: str, value: Any, where: str = "") -> Iterator[str]:
        """Everything about `value` that does not fit type `name`."""
        kind = self[name]
        meta = kind["meta-type"]
        if meta == "builtin":
            number_as_truth = isinstance(value, bool) and kind["json-type"] in ("int", "number")
            if not isinstance(value, JSON_TYPES[kind["json-type"]]) or number_as_truth:
                yield f"{where}: {value!r} is no {name}"
        elif meta == "enum":
            if value not in kind["values"]:
                yield f"{where}: {value!r} is none of {kind['values']}"
        elif meta == "alternate":
            if not any(self.fits(member["type"], value) for member in kind["members"]):
                yield f"{where}: {value!r} is no alternative of {name}"
        elif meta == "array":
            yield from self._array_problems(kind["element-type"], value, where)
        else:
            yield from self._object_problems(name, value, where)

    def _array_problems(self, element: str, value: Any, where: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield f"{where}: {value!r} is no array"
            return
        for number, each in enumerate(value):
            yield from self.problems(element, each, f"{where}[{number}]")

    def _object_problems(self, name: str, value: Any, where: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{where}: {value!r} is no object"
            return
        members = self.members(name, value)
        yield from (f"{where}: {key} is unknown" for key in value if key not in members)
        for key, member in members.items():
            if key in value:
                yield from self.problems(member["type"], value[key], f"{where}.{key}")
            elif "default" not in member:
                yield f"{where}: {key} is missing"

    def fits(self, name: str, value: Any) -> bool:
        return not any(self.problems(name, value))


def differences(ours: Schema, theirs: Schema, our_name: str, their_name: str, where: str) -> Iterator[str]:
    """Where our type says something that theirs does not: kinds, members, optional flags, enumeration values."""
    mine, other = ours[our_name], theirs[their_name]
    meta = mine["meta-type"]
    if other["meta-type"] != meta:
        yield f"{where}: {meta}, not {other['meta-type']}"
    elif meta == "builtin":
        if mine["name"] != other["name"]:
            yield f"{where}: {mine['name']}, not {other['name']}"
    elif meta == "enum":
        yield from (f"{where}: value {value}" for value in mine["values"] if value not in other["values"])
    elif meta == "array":
        yield from differences(ours, theirs, mine["element-type"], other["element-type"], where + "[]")
    elif meta == "object":
        yield from _member_differences(ours, theirs, our_name, their_name, where)


def _member_differences(ours: Schema, theirs: Schema, our_name: str, their_name: str, where: str) -> Iterator[str]:
    mine, other = ours.members(our_name), theirs.members(their_name)
    for key, member in mine.items():
        if key not in other:
            yield f"{where}.{key}: unknown"
            continue
        if ("default" in member) != ("default" in other[key]):
            yield f"{where}.{key}: {'optional' if 'default' in member else 'needed'}"
        yield from differences(ours, theirs, member["type"], other[key]["type"], f"{where}.{key}")
    yield from (f"{where}.{key}: lacking" for key, member in other.items() if key not in mine and "default" not in member)
