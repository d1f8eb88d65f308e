"""Boards that are whole machines: CPUs come and go over QMP, and firmware's setting of PMBASE is done by the board.

`MachineBoard` is a pc or q35 of ours whose guest never runs; qemu_board.py has QEMU's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from acpi.platform import ICH9, ChipsetInfo
from emu.qmp.errors import QmpError
from emu.qom import ObjectError
from machines import Q35, Pc
from tests.acpi.boards import SELECTOR, GpeRegisters

CPU_TYPE = "qemu64-x86_64-cpu"
CONFIG_ADDRESS, CONFIG_DATA = 0xCF8, 0xCFC
# configuration address of the register with PMBASE, of the one that enables it, and the bit that does
PMBASE = {"piix4": (0x8000_0B40, 0x8000_0B80, 0x01), "ich9": (0x8000_F840, 0x8000_F844, 0x80)}


class Refused(Exception):
    """The answer to a QMP command is an error."""


class ManagedBoard(GpeRegisters):
    """As `Board`; the topology is sockets of `cores` cores.  `start` makes the machine, and `io` and `sci` with it."""

    def __init__(
        self, chipset: ChipsetInfo, arch_ids: Sequence[int], cores: int, legacy: bool, present: Collection[int]
    ) -> None:  # fmt: skip
        self.chipset, self.arch_ids, self.cores = chipset, arch_ids, cores
        self.base = chipset.cpu_hotplug_base
        self.there = set(present)
        self.start()
        self.program_pmbase()
        if not legacy:
            self.write(SELECTOR, 0, 4)

    def start(self) -> None:
        raise NotImplementedError

    def ask(self, command: str, **arguments: Any) -> Any:
        """A QMP command's answer.  Raises Refused."""
        raise NotImplementedError

    def events(self) -> list[dict[str, Any]]:
        """All QMP events so far."""
        raise NotImplementedError

    @property
    def smp(self) -> str:
        possible = len(self.arch_ids)
        return f"1,sockets={possible // self.cores},cores={self.cores},maxcpus={possible}"

    @property
    def cold_plugged(self) -> list[str]:
        """`-device` options."""
        return [
            f"{CPU_TYPE},id=cpu{n},socket-id={n // self.cores},core-id={n % self.cores},thread-id=0"
            for n in sorted(self.there - {0})
        ]

    def program_pmbase(self) -> None:
        """What firmware does."""
        base, enable, bit = PMBASE[self.chipset.name]
        for register, value, size in ((base, self.chipset.pm_base | 1, 4), (enable, bit, 1)):
            self.io.write(CONFIG_ADDRESS, 4, register)
            self.io.write(CONFIG_DATA, size, value)

    # ------------------------------------------------------------ the machine's side

    def plug(self, slot: int) -> None:
        socket_id, core_id = divmod(slot, self.cores)
        place = {"socket-id": socket_id, "core-id": core_id, "thread-id": 0}
        self.ask("device_add", driver=CPU_TYPE, id=f"cpu{slot}", **place)
        self.there.add(slot)

    def request_unplug(self, slot: int) -> None:
        self.ask("device_del", id=f"cpu{slot}")

    def press_power_button(self) -> None:
        self.ask("system_powerdown")

    @property
    def ejected(self) -> list[int]:
        """The slots that had a CPU and are empty now."""
        cpus = self.ask("query-hotpluggable-cpus")
        cpus.sort(key=lambda cpu: (cpu["props"]["socket-id"], cpu["props"].get("core-id", 0)))
        return [n for n in sorted(self.there) if "qom-path" not in cpus[n]]

    @property
    def osts(self) -> list[tuple[int, int, int]]:
        infos = [event["data"]["info"] for event in self.events() if event["event"] == "ACPI_DEVICE_OST"]
        return [(int(info["slot"]), info["source"], info["status"]) for info in infos]


class MachineBoard(ManagedBoard):
    def start(self) -> None:
        kind = Q35 if self.chipset is ICH9 else Pc
        self.vm = kind(smp=self.smp, memory="16M", devices=self.cold_plugged)
        self.io, self.sci = self.vm.io, self.vm.pm.sci

    def close(self) -> None:
        self.vm.close()

    def ask(self, command: str, **arguments: Any) -> Any:
        try:
            return self.vm.qmp.execute(command, **arguments)
        except (QmpError, ObjectError) as error:
            raise Refused(str(error)) from None

    def events(self) -> list[dict[str, Any]]:
        return self.vm.qmp.events

    def reset(self) -> None:
        self.vm.reset()
        self.program_pmbase()
