"""Hands on the hardware: keys, the NMI button, memory into files, what sits on the PCI bus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from emu.clock import NS_PER_MS
from emu.qmp import shapes
from emu.qmp.commands.cpus import check_index
from emu.qmp.errors import QmpError
from emu.qmp.keys import CODES
from emu.qmp.machine_api import Context
from emu.qmp.registry import command

HOLD_MS = 100  # how long keys are down unless a client says otherwise
SAVE_CHUNK = 1 << 16  # bytes


@command("inject-nmi")
def inject_nmi(vm: Context) -> None:
    vm.machine.inject_nmi()


@command("send-key")
def send_key(vm: Context, keys: list[Annotated[dict, shapes.KEY_VALUE]], hold_time: int | None = None) -> None:
    """Press all keys in order, and let go of them `hold_time` ms of virtual time later."""
    codes = [key["data"] if key["type"] == "number" else CODES[key["data"]] for key in keys]
    vm.machine.press_keys(codes, (HOLD_MS if hold_time is None else hold_time) * NS_PER_MS)


@command("query-mice", returns=[shapes.MOUSE])
def query_mice(vm: Context) -> list[dict[str, Any]]:
    return [{"name": "QEMU PS/2 Mouse", "index": 2, "current": True, "absolute": False}]


@command("memsave")
def memsave(vm: Context, val: int, size: int, filename: str, cpu_index: int | None = None) -> None:
    """Virtual memory of a CPU into a file."""
    cpu = vm.current_cpu if cpu_index is None else cpu_index
    check_index(vm, cpu)
    _save(filename, val, size, lambda address, count: vm.machine.read_virtual(cpu, address, count))


@command("pmemsave")
def pmemsave(vm: Context, val: int, size: int, filename: str) -> None:
    """Physical memory into a file."""
    _save(filename, val, size, vm.machine.read_physical)


def _save(filename: str, start: int, size: int, read: Callable[[int, int], bytes]) -> None:
    try:
        with open(filename, "wb") as file:
            for at in range(start, start + size, SAVE_CHUNK):
                file.write(read(at, min(SAVE_CHUNK, start + size - at)))
    except OSError as error:
        raise QmpError(f"Could not open '{filename}': {error.strerror}") from None


@command("query-pci", returns=[shapes.PCI_BUS])
def query_pci(vm: Context) -> list[dict[str, Any]]:
    return vm.machine.pci_buses()
