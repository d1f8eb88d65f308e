"""Asynchronous QMP events: one hub per machine, listened to by monitors, tests and Python callers.

Timestamps are host time; nothing a guest can see depends on them.  Events that could flood a client are limited to
one a second, of which the last one is kept, as in QEMU.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from emu.qmp.shapes import EVENTS

Listener = Callable[[dict[str, Any]], None]

RATE_LIMITED = {
    "RTC_CHANGE": "qom-path", "WATCHDOG": None, "BALLOON_CHANGE": None, "VSERPORT_CHANGE": "id",
    "MEMORY_DEVICE_SIZE_CHANGE": "qom-path", "QUORUM_REPORT_BAD": "node-name", "QUORUM_FAILURE": "reference",
}  # fmt: skip
RATE_LIMIT_SECONDS = 1.0

EVENT_NAMES = tuple(EVENTS)


@dataclass
class _Window:
    """A limited event inside its second: what to send when it ends."""

    ends: float
    pending: dict[str, Any] | None = None


class EventHub:
    """emit() events; listeners get the complete JSON object."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time):
        self._monotonic, self._wall = monotonic, wall
        self._listeners: list[Listener] = []
        self._windows: dict[tuple[str, Any], _Window] = {}

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(event)` from now on; returns the function that ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def emit(self, name: str, data: dict[str, Any] | None = None) -> None:
        """Send an event, or hold it back when the same one was sent less than a second ago."""
        event = self._stamp(name, data)
        if name not in RATE_LIMITED:
            self._deliver(event)
            return
        key = name, (data or {}).get(RATE_LIMITED[name] or "")
        if key in self._windows:
            self._windows[key].pending = event
        else:
            self._windows[key] = _Window(self._monotonic() + RATE_LIMIT_SECONDS)
            self._deliver(event)

    def poll(self) -> None:
        """Send held-back events whose second is over."""
        now = self._monotonic()
        for key, window in list(self._windows.items()):
            if now < window.ends:
                continue
            del self._windows[key]
            if window.pending:
                self._windows[key] = _Window(now + RATE_LIMIT_SECONDS)
                self._deliver(window.pending)

    def _stamp(self, name: str, data: dict[str, Any] | None) -> dict[str, Any]:
        seconds, microseconds = divmod(int(self._wall() * 1_000_000), 1_000_000)
        event: dict[str, Any] = {"timestamp": {"seconds": seconds, "microseconds": microseconds}, "event": name}
        return {**event, "data": data} if data is not None else event

    def _deliver(self, event: dict[str, Any]) -> None:
        for listener in list(self._listeners):
            listener(event)
