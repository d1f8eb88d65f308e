"""What monitors and serial ports wait for on the host: descriptors that are ready, and work that was put off."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable
from typing import Any

Callback = Callable[[], None]


class Poller:
    """Watches the file descriptors of all transports of a machine."""

    def __init__(self) -> None:
        self._selector = selectors.PollSelector()  # unlike epoll it takes regular files too
        self._later: list[Callback] = []
        self._hurry = False

    def watch(self, file: Any, readable: Callback | None, writable: Callback | None = None) -> None:
        """From now on call `readable` and `writable` from poll() whenever `file` is that; with neither, forget it."""
        events = selectors.EVENT_READ * bool(readable) | selectors.EVENT_WRITE * bool(writable)
        if not events:
            self.forget(file)
            return
        try:
            self._selector.modify(file, events, (readable, writable))
        except KeyError:
            self._selector.register(file, events, (readable, writable))

    def forget(self, file: Any) -> None:
        try:
            self._selector.unregister(file)
        except (KeyError, ValueError):
            pass

    def later(self, callback: Callback, hurry: bool = True) -> None:
        """Call `callback` once, in the next poll(); one that is in a hurry lets that poll() wait for nothing."""
        self._later.append(callback)
        self._hurry |= hurry

    def poll(self, timeout: float = 0) -> None:
        """Serve what is ready; wait up to `timeout` seconds for something."""
        callbacks, self._later = self._later, []
        timeout, self._hurry = 0 if self._hurry else timeout, False
        if self._selector.get_map():
            for key, events in self._selector.select(timeout):
                readable, writable = key.data
                if writable and events & selectors.EVENT_WRITE:
                    writable()
                if readable and events & selectors.EVENT_READ:
                    readable()
        elif timeout:
            time.sleep(timeout)
        for callback in callbacks:
            callback()
