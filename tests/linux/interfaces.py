"""Every way to plug a CPU and to have it go again, as the people and programs do it that know only that way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.linux.emulator import Emulator

CPU_TYPE = "qemu64-x86_64-cpu"
SMP = "1,sockets=3,cores=2,threads=1,maxcpus=6"
EARLY_SLOT = 5  # filled by -device before the start
EARLY = ["-device", f"{CPU_TYPE},id=early,socket-id=2,core-id=1,thread-id=0"]
THREAD = "/machine/socket[0]/die[0]/core[1]/thread[0]"
SOCKET = "/machine/socket[1]"


@dataclass(frozen=True)
class Interface:
    """A way in for the CPUs of `slots`, a way out, and what remains to do when they are gone."""

    name: str
    plug: Callable[[Emulator], object]
    unplug: Callable[[Emulator], object]
    slots: tuple[int, ...] = (1,)
    clean_up: Callable[[Emulator], object] = lambda emulator: None


def cpu_path(emulator: Emulator, slot: int) -> str:
    """Of the CPU in `slot`; those plugged by number have no id."""
    return next(cpu["qom-path"] for cpu in emulator.query("query-cpus-fast") if cpu["cpu-index"] == slot)


def silent(answer: str) -> None:
    assert answer == ""


def device_add_by_library(emulator: Emulator) -> None:
    free = next(entry for entry in emulator.library("query-hotpluggable-cpus")
                if entry["props"] == {"socket-id": 0, "core-id": 1, "thread-id": 0})  # fmt: skip
    emulator.library("device_add", driver=free["type"], id="added", **free["props"])


def plug_thread(emulator: Emulator) -> None:
    emulator.library("object-add", **{"qom-type": CPU_TYPE, "id": "thread"})
    emulator.library("qom-set", path=THREAD, property="cpu", value="/objects/thread")


def plug_by_bridge(emulator: Emulator) -> None:
    emulator.qmp_shell(f"object-add qom-type={CPU_TYPE} id=bridged")
    emulator.qmp_shell("qom-set path=/machine/icc-bridge property=cpu[1] value=/objects/bridged")


def plug_socket(emulator: Emulator) -> None:
    members = {f"cpu[{number}]": f"/objects/core{number}" for number in range(2)}
    for path in members.values():
        emulator.library("object-add", **{"qom-type": CPU_TYPE, "id": path.rpartition("/")[2]})
    emulator.library("object-add", **{"qom-type": "cpu-package", "id": "package", **members})
    emulator.library("qom-set", path=SOCKET, property="cpus", value="/objects/package")


def unplug_socket(emulator: Emulator) -> None:
    emulator.library("qom-set", path=SOCKET, property="cpus", value="")


INTERFACES = [
    Interface("hmp cpu_set", lambda e: silent(e.hmp("cpu_set 1 online")), lambda e: silent(e.hmp("cpu_set 1 offline"))),
    Interface("hmp cpu-add", lambda e: silent(e.hmp("cpu-add 1")), lambda e: silent(e.hmp(f"device_del {cpu_path(e, 1)}"))),
    Interface("qmp cpu-add", lambda e: e.qmp_shell("cpu-add id=1"), lambda e: e.qmp_shell(f"device_del id={cpu_path(e, 1)}")),
    Interface("device_add by qmp-shell",
              lambda e: e.qmp_shell(f"device_add driver={CPU_TYPE} id=added socket-id=0 core-id=1 thread-id=0"),
              lambda e: e.qmp_shell("device_del id=added")),
    Interface("device_add by qemu.qmp", device_add_by_library, lambda e: e.library("device_del", id="added")),
    Interface("device_add by hmp",
              lambda e: silent(e.hmp(f"device_add {CPU_TYPE},id=added,socket-id=0,core-id=1,thread-id=0")),
              lambda e: silent(e.hmp("device_del added"))),
    Interface("link of a thread", plug_thread, lambda e: e.library("qom-set", path=THREAD, property="cpu", value="")),
    Interface("link of a possible CPU", plug_by_bridge,
              lambda e: e.library("qom-set", path="/machine/icc-bridge", property="cpu[1]", value="")),
    Interface("link of a socket", plug_socket, unplug_socket, slots=(2, 3),
              clean_up=lambda e: e.library("object-del", id="package")),
]  # fmt: skip
