"""Names and the rules by which they are looked up (ACPI 6.5, section 5.3).

A name string is text such as `\\_SB.PCI0`, `^PRES` or `CPEN`; an absolute path is a tuple of four-character segments.
"""

from __future__ import annotations

from collections.abc import Iterator

from .encoding import NAME_SEGMENT_LENGTH

Path = tuple[str, ...]


def absolute(name: str, scope: Path) -> Path:
    """The path that `name` means in `scope` without searching."""
    if name.startswith("\\"):
        scope, name = (), name[1:]
    while name.startswith("^"):
        scope, name = scope[:-1], name[1:]
    return scope + tuple(s.ljust(NAME_SEGMENT_LENGTH, "_") for s in name.split(".")) if name else scope


def candidates(name: str, scope: Path) -> Iterator[Path]:
    """Where to look for `name`, in order: a single segment is searched upwards to the root, all else is where it says."""
    path = absolute(name, scope)
    yield path
    if "." not in name and name[:1] not in ("\\", "^"):
        last = path[-1:]
        for depth in range(len(path) - 2, -1, -1):
            yield path[:depth] + last


def shown(path: Path) -> str:
    """`\\_SB.CPUS.C001`: as people write it, without the underscores that fill a segment."""
    return "\\" + ".".join(segment.rstrip("_") or "_" for segment in path)


def short(name: str) -> str:
    """A name string of AML as people write it."""
    tail = name.lstrip("\\^")
    return name[: len(name) - len(tail)] + shown(tuple(tail.split(".")))[1:] if tail else name
