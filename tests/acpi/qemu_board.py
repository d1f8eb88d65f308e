"""The boards of pc and q35 as QEMU has them: the tests of this folder, put to what we did not write.

QEMU has no guest and is never started (`-S`): ports are read and written over its qtest socket, the SCI is watched there,
and CPUs come and go over QMP.  A board is one process; a system reset leaves it as firmware would find it, but for the
base of the power management registers, which is programmed again.
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
from tests.acpi.boards import SELECTOR, GpeRegisters

QEMU = "qemu-system-x86_64"
CPU_TYPE = "qemu64-x86_64-cpu"
CONNECT_SECONDS = ANSWER_SECONDS = 20
CONFIG_ADDRESS, CONFIG_DATA = 0xCF8, 0xCFC
DIAGNOSTIC_PORT = 0x80
# configuration address of the register with PMBASE, of the one that enables it, and the bit that does
PMBASE = {"piix4": (0x8000_0B40, 0x8000_0B80, 0x01), "ich9": (0x8000_F840, 0x8000_F844, 0x80)}
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
        """The answer; raises AssertionError with QEMU's words when that is an error."""
        self.send(json.dumps({"execute": command, "arguments": arguments}))
        while "return" not in (answer := json.loads(self.lines.readline())):
            assert "error" not in answer, answer["error"]["desc"]
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


class QemuBoard(GpeRegisters):
    """As `Board`; the topology is sockets of `cores` cores.  Skips the test where QEMU is not installed."""

    def __init__(
        self, chipset: ChipsetInfo, directory: Path, arch_ids: Sequence[int], cores: int = 1, legacy: bool = True,
        present: Collection[int] = (0,),
    ) -> None:  # fmt: skip
        if shutil.which(QEMU) is None:
            pytest.skip(f"{QEMU} is not installed")
        self.chipset, self.arch_ids, self.cores = chipset, arch_ids, cores
        self.base = chipset.cpu_hotplug_base
        self.io, self.qmp = QtestPorts(directory / "qtest"), Qmp(directory / "qmp")
        self.process = subprocess.Popen(self._command(directory, present))
        for connection in (self.io, self.qmp):
            connection.accept()
        self.io.watch("ioapic")
        self.qmp.greet()
        self.sci = WatchedLine(self.io, ISA_IRQ_SCI)
        self.there = set(present)
        self.program_pmbase()
        if not legacy:
            self.write(SELECTOR, 0, 4)

    def _command(self, directory: Path, present: Collection[int]) -> list[str]:
        possible = len(self.arch_ids)
        topology = f"1,sockets={possible // self.cores},cores={self.cores},maxcpus={possible}"
        cold = [f"{CPU_TYPE},id=cpu{n},socket-id={n // self.cores},core-id={n % self.cores},thread-id=0"
                for n in sorted(set(present) - {0})]  # fmt: skip
        machine = "q35" if self.chipset is ICH9 else "pc"
        return [
            QEMU, "-nodefaults", "-display", "none", "-machine", machine, "-accel", "tcg", "-S", "-smp", topology,
            *(word for device in cold for word in ("-device", device)),
            "-qtest", f"unix:{directory / 'qtest'}", "-qtest-log", "/dev/null", "-qmp", f"unix:{directory / 'qmp'}",
        ]  # fmt: skip

    def program_pmbase(self) -> None:
        """What firmware does."""
        base, enable, bit = PMBASE[self.chipset.name]
        for register, value, size in ((base, self.chipset.pm_base | 1, 4), (enable, bit, 1)):
            self.io.write(CONFIG_ADDRESS, 4, register)
            self.io.write(CONFIG_DATA, size, value)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.io.close()
        self.qmp.close()

    # ------------------------------------------------------------ the machine's side

    def plug(self, slot: int) -> None:
        if slot in self.there:
            pytest.skip("QEMU 7.2 without KVM may crash when an ejected CPU's slot is filled again")
        socket_id, core_id = divmod(slot, self.cores)
        place = {"socket-id": socket_id, "core-id": core_id, "thread-id": 0}
        self.qmp.ask("device_add", driver=CPU_TYPE, id=f"cpu{slot}", **place)
        self.there.add(slot)

    def request_unplug(self, slot: int) -> None:
        self.qmp.ask("device_del", id=f"cpu{slot}")

    def press_power_button(self) -> None:
        self.qmp.ask("system_powerdown")
        self.qmp.wait("POWERDOWN")

    def reset(self) -> None:
        self.qmp.ask("system_reset")
        self.qmp.wait("RESET")
        self.program_pmbase()

    @property
    def ejected(self) -> list[int]:
        """The slots that had a CPU and are empty now."""
        cpus = self.qmp.ask("query-hotpluggable-cpus")
        cpus.sort(key=lambda cpu: (cpu["props"]["socket-id"], cpu["props"]["core-id"]))
        return [n for n in sorted(self.there) if "qom-path" not in cpus[n]]

    @property
    def osts(self) -> list[tuple[int, int, int]]:
        self.qmp.ask("query-status")
        infos = [e["data"]["info"] for e in self.qmp.events if e["event"] == "ACPI_DEVICE_OST"]
        return [(int(info["slot"]), info["source"], info["status"]) for info in infos]
