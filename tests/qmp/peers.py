"""The two ends of the parity tests: QEMU as it is installed, and a machine of ours, started with the same options.

Both are stopped before their first instruction and answer execute() with QMP's own {"return": ...} or {"error": ...}.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

from emu.cli.machines import find_machine
from emu.cli.parser import parse
from emu.qmp import Session

QEMU = shutil.which("qemu-system-x86_64")
ANSWER_SECONDS = 20


class Peer:
    """Somebody who speaks QMP."""

    events: list[dict[str, Any]]

    def send(self, line: bytes) -> dict[str, Any]:
        """The one answer to `line`; events that come before it are kept."""
        raise NotImplementedError

    def execute(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Arguments may use underscores for dashes."""
        named = {name.replace("_", "-"): value for name, value in arguments.items()}
        return self.send(json.dumps({"execute": command, "arguments": named}).encode())

    def query(self, command: str, **arguments: Any) -> Any:
        answer = self.execute(command, **arguments)
        assert "return" in answer, (command, answer)
        return answer["return"]

    def hmp(self, line: str) -> str:
        return self.query("human-monitor-command", command_line=line).replace("\r\n", "\n")


class Qemu(Peer):
    """A QEMU process."""

    def __init__(self, options: list[str], folder: Path):
        path = folder / "qmp.sock"
        self.events = []
        self._process = subprocess.Popen(
            [str(QEMU), *options, "-S", "-display", "none", "-nodefaults", "-qmp", f"unix:{path},server=on,wait=on"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # fmt: skip
        assert self._process.stderr is not None
        self._process.stderr.readline()  # "waiting for connection on": the socket is there
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(ANSWER_SECONDS)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("rb")
        self.greeting = json.loads(self._lines.readline())
        self.execute("qmp_capabilities")

    def send(self, line: bytes) -> dict[str, Any]:
        self._socket.sendall(line)
        while True:
            message = json.loads(self._lines.readline())
            if "event" not in message:
                return message
            self.events.append(message)

    def close(self) -> None:
        self._lines.close()
        self._socket.close()
        self._process.kill()
        self._process.communicate()


class Ours(Peer):
    """A machine in this process, behind a real session."""

    def __init__(self, options: list[str]):
        parsed = parse([*options, "-S", "-display", "none", "-nodefaults"])
        self.machine = find_machine(parsed.machine).load().from_options(parsed, [])
        self.events = []
        self._sent = bytearray()
        self._session = Session(self.machine.context, self._sent.extend)
        self.greeting = self._taken()[0]
        self.execute("qmp_capabilities")

    def _taken(self) -> list[dict[str, Any]]:
        lines, self._sent[:] = bytes(self._sent).splitlines(), b""
        return [json.loads(line) for line in lines]

    def send(self, line: bytes) -> dict[str, Any]:
        self._session.feed(line)
        messages = self._taken()
        self.events += [message for message in messages if "event" in message]
        (answer,) = (message for message in messages if "event" not in message)
        return answer

    def close(self) -> None:
        self._session.close()
        self.machine.close()
