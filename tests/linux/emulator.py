"""The emulator as its own process, its monitors on sockets, and the clients that people really use: qmp-shell, the
qemu.qmp library, and a person at the human monitor."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.streams import PATIENCE, Qmp, Stream, listen

PROGRAMS = Path(sys.executable).parent
EMULATOR, QMP_SHELL = PROGRAMS / "numachine-system-x86_64", PROGRAMS / "qmp-shell"
START_PATIENCE = 180.0  # seconds: with an empty cache the first one compiles its runtime library
MONITOR_PROMPT, SHELL_PROMPT = "(qemu) ", "(QEMU) "


class Emulator:
    """A running numachine-system-x86_64: `serial`, `events` (a QMP connection that only listens), and three monitors."""

    def __init__(self, folder: Path, *arguments: str):
        self.library_socket, self.shell_socket, monitor = (folder / name for name in ("library", "shell", "monitor"))
        serial, events = listen(folder / "serial", START_PATIENCE), listen(folder / "events", START_PATIENCE)
        command = [str(EMULATOR), "-nodefaults", "-display", "none", "-serial", f"unix:{folder}/serial", "-qmp", f"unix:{folder}/events",
                    "-monitor", f"unix:{monitor},server=on,wait=off"]  # fmt: skip
        for path in (self.library_socket, self.shell_socket):
            command += ["-qmp", f"unix:{path},server=on,wait=off"]
        self.process = subprocess.Popen([*command, *arguments], stdin=subprocess.DEVNULL)
        self.serial, self.events = Stream.accepted(serial), Qmp.accepted(events)
        self.monitor = Stream.connected(monitor)
        self.monitor.expect(MONITOR_PROMPT)

    def hmp(self, line: str) -> str:
        """What the human monitor answers to a line."""
        self.monitor.send(line + "\n")
        return self.monitor.expect(MONITOR_PROMPT).replace("\r\n", "\n").partition("\n")[2]

    def qmp_shell(self, line: str) -> Any:
        """The result of a command as typed into QEMU's qmp-shell."""
        if not QMP_SHELL.exists():
            pytest.skip("qmp-shell is not installed")
        done = subprocess.run([str(QMP_SHELL), str(self.shell_socket)], input=line + "\n", capture_output=True, text=True,
                              timeout=PATIENCE, check=True)  # fmt: skip
        return json.loads(done.stdout.split(SHELL_PROMPT)[1])["return"]

    def query(self, command: str, **arguments: Any) -> Any:
        """The result of a command on the connection that listens."""
        return self.events.execute(command, **arguments)["return"]

    def library(self, command: str, **arguments: Any) -> Any:
        """The result of a command given through the qemu.qmp library."""
        client_library = pytest.importorskip("qemu.qmp")

        async def conversation() -> Any:
            client = client_library.QMPClient("matrix")
            await client.connect(str(self.library_socket))
            try:
                return await client.execute(command, arguments)
            finally:
                await client.disconnect()

        return asyncio.run(conversation())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.serial, self.events, self.monitor):
            stream.close()
