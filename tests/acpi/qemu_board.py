"""The boards of pc and q35 as QEMU has them: the tests of this folder, put to what we did not write.

QEMU has no guest and is never started (`-S`): ports are read and written over its qtest socket, the SCI is watched there,
and CPUs come and go over QMP.  A board is one process.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pytest

from acpi.platform import ICH9, ISA_IRQ_SCI, ChipsetInfo
from tests.acpi.managed_boards import ManagedBoard, Refused

QEMU = "qemu-system-x86_64"
CONNECT_SECONDS = ANSWER_SECONDS = 20
DIAGNOSTIC_PORT = 0x80
SIZE_LETTER = {1: "b", 2: "w", 4: "l"}


class Connection:
    """Lines of text to and from a process that connects to a socket of ours."""

    def __init__(self, path: Path) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.settimeout(CONNECT_SECONDS)
        self.listener.bind(str(path))
        self.listener.listen()

    def accept(self) -> None:
        self.socket, _ = self.listener.accept()
        self.socket.settimeout(ANSWER_SECONDS)
        self.lines = self.socket.makefile("r")

    def send(self, text: str) -> None:
        self.socket.sendall(f"{text}\n".encode())

    def close(self) -> None:
        for end in (getattr(self, "lines", None), getattr(self, "socket", None), self.listener):
            if end:
                end.close()


class QtestPorts(Connection):
    """I/O space, and the levels of interrupt lines as of the last access."""

    def watch(self, controller: str) -> None:
        self.levels: dict[int, int] = {}
        self.ask(f"irq_intercept_in {controller}")

    def ask(self, text: str) -> str:
        self.send(text)
        while (line := self.lines.readline()).startswith("IRQ"):
            _, action, number = line.split()
            self.levels[int(number)] = int(action == "raise")
        assert line.startswith("OK"), f"QEMU answered {text!r} with {line!r}"
        return line[2:].strip()

    def read(self, addr: int, size: int) -> int:
        return int(self.ask(f"in{SIZE_LETTER[size]} {addr:#x}"), 16)

    def write(self, addr: int, size: int, value: int) -> None:
        self.ask(f"out{SIZE_LETTER[size]} {addr:#x} {value:#x}")


class Qmp(Connection):
    def greet(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.lines.readline()
        self.ask("qmp_capabilities")

    def ask(self, command: str, **arguments: Any) -> Any:
        """The answer.  Raises Refused with QEMU's words when that is an error."""
        self.send(json.dumps({"execute": command, "arguments": arguments}))
        while "return" not in (answer := json.loads(self.lines.readline())):
            if "error" in answer:
                raise Refused(answer["error"]["desc"])
            self.events.append(answer)
        return answer["return"]

    def wait(self, name: str) -> None:
        """Until the event came; it is taken."""
        while not (found := [event for event in self.events if event["event"] == name]):
            self.events.append(json.loads(self.lines.readline()))
        self.events.remove(found[0])


class WatchedLine:
    def __init__(self, ports: QtestPorts, number: int) -> None:
        self.ports, self.number = ports, number

    @property
    def level(self) -> int:
        # any answer comes behind the changes that a plug over the other socket made
        self.ports.read(DIAGNOSTIC_PORT, 1)
        return self.ports.levels.get(self.number, 0)


class QemuBoard(ManagedBoard):
    """Skips the test where QEMU is not installed."""

    def __init__(
        self, chipset: ChipsetInfo, directory: Path, arch_ids: Sequence[int], cores: int = 1, legacy: bool = True,
        present: Collection[int] = (0,),
    ) -> None:  # fmt: skip
        if shutil.which(QEMU) is None:
            pytest.skip(f"{QEMU} is not installed")
        self.directory = directory
        super().__init__(chipset, arch_ids, cores, legacy, present)

    def start(self) -> None:
        self.io, self.qmp = QtestPorts(self.directory / "qtest"), Qmp(self.directory / "qmp")
        self.process = subprocess.Popen(self._command())
        for connection in (self.io, self.qmp):
            connection.accept()
        self.io.watch("ioapic")
        self.qmp.greet()
        self.sci = WatchedLine(self.io, ISA_IRQ_SCI)

    def _command(self) -> list[str]:
        machine = "q35" if self.chipset is ICH9 else "pc"
        return [
            QEMU, "-nodefaults", "-display", "none", "-machine", machine, "-accel", "tcg", "-S", "-smp", self.smp,
            *(word for device in self.cold_plugged for word in ("-device", device)), "-qtest-log", "/dev/null",
            "-qtest", f"unix:{self.directory / 'qtest'}", "-qmp", f"unix:{self.directory / 'qmp'}",
        ]  # fmt: skip

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.io.close()
        self.qmp.close()

    def ask(self, command: str, **arguments: Any) -> Any:
        return self.qmp.ask(command, **arguments)

    def events(self) -> list[dict[str, Any]]:
        self.ask("query-status")  # events so far come before its answer
        return self.qmp.events

    def plug(self, slot: int) -> None:
        if slot in self.there:
            pytest.skip("QEMU 7.2 without KVM may crash when an ejected CPU's slot is filled again")
        super().plug(slot)

    def press_power_button(self) -> None:
        super().press_power_button()
        self.qmp.wait("POWERDOWN")

    def reset(self) -> None:
        self.ask("system_reset")
        self.qmp.wait("RESET")
        self.program_pmbase()
