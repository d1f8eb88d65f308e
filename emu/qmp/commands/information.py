"""Queries about the process and the machine as a whole."""

from __future__ import annotations

from typing import Any

from emu.cli.machines import machine_infos
from emu.qmp import shapes
from emu.qmp.machine_api import Context
from emu.qmp.registry import command


@command("query-name", returns=shapes.NAME)
def query_name(vm: Context) -> dict[str, str]:
    name = vm.machine.identity.name
    return {} if name is None else {"name": name}


@command("query-uuid", returns=shapes.UUID)
def query_uuid(vm: Context) -> dict[str, str]:
    return {"UUID": vm.machine.identity.uuid}


@command("query-target", returns=shapes.TARGET)
def query_target(vm: Context) -> dict[str, str]:
    return {"arch": vm.machine.target}


@command("query-kvm", returns=shapes.KVM)
def query_kvm(vm: Context) -> dict[str, bool]:
    return {"enabled": False, "present": False}


@command("query-machines", returns=[shapes.MACHINE])
def query_machines(vm: Context) -> list[dict[str, Any]]:
    return machine_infos(vm.machine.target)


@command("query-current-machine", returns=shapes.CURRENT_MACHINE)
def query_current_machine(vm: Context) -> dict[str, bool]:
    return {"wakeup-suspend-support": False}


@command("query-memory-size-summary", returns=shapes.MEMORY_SIZE)
def query_memory_size_summary(vm: Context) -> dict[str, int]:
    return {"base-memory": vm.machine.ram_size, "plugged-memory": 0}


@command("query-chardev", returns=[shapes.CHARDEV])
def query_chardev(vm: Context) -> list[dict[str, Any]]:
    return [{"frontend-open": chardev.frontend_open, "filename": chardev.filename, "label": chardev.label}
            for chardev in vm.chardevs]  # fmt: skip


@command("query-block")
def query_block(vm: Context) -> list[Any]:
    return []


@command("query-named-block-nodes")
def query_named_block_nodes(vm: Context, flat: bool = False) -> list[Any]:
    return []


@command("query-iothreads")
def query_iothreads(vm: Context) -> list[Any]:
    return []
