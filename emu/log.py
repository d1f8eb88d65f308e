"""Diagnostics, switched on by mask as with the command line's `-d`.

Nothing is written unless its mask is on; a message never changes what the guest sees and never raises.
Not here: log files and per-address filters, which the command line builds from `sink`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

MASKS: dict[str, str] = {
    "in_asm": "guest instructions of each translated block",
    "out_asm": "host code of each translated block",
    "op": "micro-ops of each translated block, as decoded",
    "int": "interrupts and exceptions, before they are delivered",
    "exec": "each block as it is entered",
    "cpu": "CPU registers before each block (turns nochain on, as exec does)",
    "fpu": "the same with x87 and SSE registers",
    "cpu_reset": "CPU registers before each reset",
    "unimp": "use of what is not implemented: devices, instructions",
    "guest_errors": "guest programming that the data sheet forbids",
    "nochain": "do not chain blocks, so that exec sees every one",
}


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)


enabled: set[str] = set()
sink: Callable[[str], None] = _to_stderr


def enable(masks: str | Iterable[str]) -> None:
    """Switch masks on: names, or one string of names separated by commas.  Raises ValueError for an unknown name."""
    names = masks.split(",") if isinstance(masks, str) else list(masks)
    unknown = [name for name in names if name not in MASKS]
    if unknown:
        raise ValueError(f"no log mask called {', '.join(map(repr, unknown))}; the masks are {', '.join(MASKS)}")
    enabled.update(names)


def disable(masks: Iterable[str] | None = None) -> None:
    """Switch the given masks off, or all of them."""
    enabled.difference_update(list(enabled) if masks is None else masks)


def log(mask: str, message: str) -> None:
    if mask in enabled:
        sink(message)


def guest_error(source: str, message: str) -> None:
    """The guest did what the data sheet forbids; the device has carried on in some documented way."""
    if "guest_errors" in enabled:
        sink(f"{source}: {message}")


def unimp(source: str, message: str) -> None:
    """The guest used something that exists on the real part but not here."""
    if "unimp" in enabled:
        sink(f"{source}: {message}")


@contextmanager
def captured(*masks: str) -> Iterator[list[str]]:
    """Collect the lines of the given masks (all when none is named) in a list, and nothing else, for a while."""
    global sink
    saved, saved_enabled = sink, set(enabled)
    lines: list[str] = []
    sink = lines.append
    enabled.clear()
    enable(masks or MASKS)
    try:
        yield lines
    finally:
        sink = saved
        enabled.clear()
        enabled.update(saved_enabled)
