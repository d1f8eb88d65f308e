"""The far ends of an emulator's sockets: streams of text, and QMP on one of them.

The emulator connects to listen()'s socket when it starts, so that nothing has to wait for it to be there.
Patience is in seconds of the host; a test fails, with what was received, when it is over.
"""

from __future__ import annotations

import json
import re
import socket
import time
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 30.0


def listen(path: Path, within: float = PATIENCE) -> socket.socket:
    """A unix socket that one emulator may connect to, within so many seconds of being asked for."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)
    listener.settimeout(within)
    return listener


class Stream:
    """A connection with an `expect`; all that was received stays in `text`."""

    def __init__(self, connection: socket.socket):
        self.text = ""
        self.seen = 0
        self.connection = connection

    @classmethod
    def accepted(cls, listener: socket.socket) -> Stream:
        with listener:
            return cls(listener.accept()[0])

    @classmethod
    def connected(cls, path: Path) -> Stream:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(path))
        return cls(connection)

    def send(self, text: str) -> Stream:
        self.connection.sendall(text.encode())
        return self

    def expect(self, pattern: str | re.Pattern[str], within: float = PATIENCE) -> str:
        """Read until `pattern` comes after the last match; returns what came before it."""
        compiled = re.compile(re.escape(pattern)) if isinstance(pattern, str) else pattern
        deadline = time.monotonic() + within
        while not (match := compiled.search(self.text, self.seen)):
            self.connection.settimeout(max(deadline - time.monotonic(), 0.01))
            try:
                received = self.connection.recv(65536)
            except TimeoutError:
                received = b""
            if not received:
                pytest.fail(f"expected {compiled.pattern!r}; there was:\n{self.text[self.seen :]}")
            self.text += received.decode(errors="replace")
        before, self.seen = self.text[self.seen : match.start()], match.end()
        return before

    def close(self) -> None:
        self.connection.close()


class Qmp(Stream):
    """A QMP connection: one JSON object a line; events are kept until somebody waits for them."""

    def __init__(self, connection: socket.socket):
        super().__init__(connection)
        self.events: list[dict[str, Any]] = []
        self.message()
        self.execute("qmp_capabilities")

    def message(self, within: float = PATIENCE) -> dict[str, Any]:
        return json.loads(self.expect("\n", within))

    def execute(self, command: str, **arguments: Any) -> dict[str, Any]:
        self.send(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        while "event" in (reply := self.message()):
            self.events.append(reply)
        return reply

    def wait(self, name: str, within: float = PATIENCE, **info: Any) -> dict[str, Any]:
        """The data of the next event called `name` with these members of its data, or of its info."""
        while True:
            for event in self.events:
                data = event.get("data", {})
                if event["event"] == name and _includes(data, info):
                    self.events.remove(event)
                    return data
            self.events.append(self.message(within))


def _includes(data: dict[str, Any], members: dict[str, Any]) -> bool:
    there = {**data.get("info", {}), **data}
    return all(there.get(name) == value for name, value in members.items())
