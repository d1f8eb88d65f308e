"""Asynchronous QMP events: one hub per machine, listened to by monitors, tests and Python callers.

Timestamps and limits go by one clock: virtual time, so that runs repeat, or the host's for a machine that a command line
made.  Events that could flood a client are limited to one a second, of which the last one is kept, as in QEMU.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from emu.clock import NS_PER_SECOND
from emu.qmp.shapes import EVENTS

Listener = Callable[[dict[str, Any]], None]

RATE_LIMITED = {
    "RTC_CHANGE": "qom-path", "WATCHDOG": None, "BALLOON_CHANGE": None, "VSERPORT_CHANGE": "id",
    "MEMORY_DEVICE_SIZE_CHANGE": "qom-path", "QUORUM_REPORT_BAD": "node-name", "QUORUM_FAILURE": "reference",
}  # fmt: skip
RATE_LIMIT_NS = NS_PER_SECOND

EVENT_NAMES = tuple(EVENTS)


@dataclass
class _Window:
    """A limited event inside its second: what to send when it ends."""

    begins: int  # ns
    pending: dict[str, Any] | None = None

    def is_over(self, now: int) -> bool:
        """Also when the clock was set back."""
        return not 0 <= now - self.begins < RATE_LIMIT_NS


class EventHub:
    """emit() events; listeners get the complete JSON object.  `now()` is the time in ns."""

    def __init__(self, now: Callable[[], int] = time.time_ns):
        self.now = now
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
        self.poll()
        key = name, (data or {}).get(RATE_LIMITED[name] or "")
        if key in self._windows:
            self._windows[key].pending = event
        else:
            self._windows[key] = _Window(self.now())
            self._deliver(event)

    def poll(self) -> None:
        """Send held-back events whose second is over."""
        now = self.now()
        for key, window in list(self._windows.items()):
            if not window.is_over(now):
                continue
            del self._windows[key]
            if window.pending:
                self._windows[key] = _Window(now)
                self._deliver(window.pending)

    def _stamp(self, name: str, data: dict[str, Any] | None) -> dict[str, Any]:
        seconds, ns = divmod(self.now(), NS_PER_SECOND)
        event: dict[str, Any] = {"timestamp": {"seconds": seconds, "microseconds": ns // 1000}, "event": name}
        return {**event, "data": data} if data is not None else event

    def _deliver(self, event: dict[str, Any]) -> None:
        for listener in list(self._listeners):
            listener(event)
