"""State of a machine's parts as plain data: None, bool, int, str, bytes, and lists and dictionaries of these.

    class Pic(Device):
        saved = ("irr", "isr", "inputs")

`saved` names the attributes that are a part's state, in addition to those of its base classes; `save` and `load` follow.
Among them may be other parts, interrupt lines, timers, dataclasses and lists of these, which are loaded in place; and
dictionaries of numbers.
Whatever follows from state (what is mapped where, for instance) is brought about by `loaded`, which a part may override.
Not here: which parts a machine has (machines/snapshot.py), files (machines/snapshot_file.py).
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, ClassVar

Plain = Any  # None | bool | int | str | bytes | list[Plain] | dict[str, Plain]
Scalar = (type(None), bool, int)


class SnapshotError(ValueError):
    """A snapshot that cannot be loaded, or not here; the text, one line, is for people."""


class Stateful:
    """Something with state.  A subclass lists the names of its state's attributes in `saved`."""

    __slots__ = ()
    saved: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        names = [name for base in reversed(cls.__mro__) for name in vars(base).get("saved", ())]
        cls.saved = tuple(dict.fromkeys(names))

    def save(self) -> Plain:
        """All state as plain data, which later changes of the part do not reach."""
        return {name: to_plain(getattr(self, name)) for name in self.saved}

    def load(self, state: Plain) -> None:
        """The reverse of `save`, for data that `check_alike` has found fitting.  No line moves, no callback runs."""
        for name in self.saved:
            setattr(self, name, from_plain(getattr(self, name), state[name]))
        self.loaded()

    def loaded(self) -> None:
        """For subclasses: the state has been replaced; bring about what follows from it, interrupts excepted."""


def to_plain(value: Any) -> Plain:
    """An attribute's value as plain data.  Raises TypeError for what has no state, such as a callback."""
    if isinstance(value, Stateful):
        return value.save()
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, (list, tuple)):
        return [to_plain(each) for each in value]
    if isinstance(value, dict):
        return {"keys": to_plain(list(value)), "values": to_plain(list(value.values()))}
    if is_dataclass(value):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} is no state that a snapshot can hold")


def from_plain(now: Any, plain: Plain) -> Any:
    """The value that `plain` stands for, for an attribute whose value is `now`; what can be, is changed in place."""
    if isinstance(now, Stateful):
        now.load(plain)
        return now
    if isinstance(now, Enum):
        return type(now)(plain)
    if isinstance(now, (bytearray, list)):
        now[:] = plain if not now or not _is_part(now[0]) else map(from_plain, now, plain)
        return now
    if isinstance(now, tuple):
        return tuple(plain)
    if isinstance(now, dict):
        return dict(zip(plain["keys"], plain["values"], strict=True))
    return _load_fields(now, plain) if is_dataclass(now) else plain


def _load_fields(now: Any, plain: Plain) -> Any:
    for field in fields(now):
        setattr(now, field.name, from_plain(getattr(now, field.name), plain[field.name]))
    return now


def _is_part(value: Any) -> bool:
    return isinstance(value, (Stateful, dict, bytearray)) or is_dataclass(value)


# --- does it fit?
def check_alike(mine: Plain, theirs: Plain, where: str) -> None:
    """Whether `theirs` is plain data of the same build as `mine`: lists of plain numbers may differ in length, nothing else.

    Raises SnapshotError."""
    if isinstance(mine, dict):
        _check_members(mine, theirs, where)
    elif isinstance(mine, list):
        _check_list(mine, theirs, where)
    elif isinstance(mine, bytes):
        if not isinstance(theirs, bytes) or len(theirs) != len(mine):
            raise SnapshotError(f"{where}: {_kind(theirs)} in the snapshot, {_kind(mine)} in this machine")
    elif not isinstance(theirs, (str, type(None)) if isinstance(mine, str) else Scalar):
        raise SnapshotError(f"{where}: {_kind(theirs)} in the snapshot, {_kind(mine)} in this machine")


def _check_members(mine: dict[str, Plain], theirs: Plain, where: str) -> None:
    if not isinstance(theirs, dict):
        raise SnapshotError(f"{where}: {_kind(theirs)} in the snapshot, {_kind(mine)} in this machine")
    for name in sorted(mine.keys() ^ theirs.keys(), key=str):
        raise SnapshotError(f"{where}.{name}: only in {'this machine' if name in mine else 'the snapshot'}")
    for name, value in mine.items():
        check_alike(value, theirs[name], f"{where}.{name}")


def _check_list(mine: list[Plain], theirs: Plain, where: str) -> None:
    of_parts = bool(mine) and isinstance(mine[0], (dict, list, bytes))
    if not isinstance(theirs, list) or of_parts and len(theirs) != len(mine):
        raise SnapshotError(f"{where}: {_kind(theirs)} in the snapshot, {_kind(mine)} in this machine")
    for n, value in enumerate(theirs):
        check_alike(mine[n] if of_parts else (mine or [0])[0], value, f"{where}[{n}]")


def _kind(value: Plain) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, (list, dict)):
        return f"a {type(value).__name__} of {len(value)}"
    return "nothing" if value is None else type(value).__name__
