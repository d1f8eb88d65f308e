"""Migration through a file.  QEMU's snapshot-save and its relatives work on disks, which there are none of."""

from __future__ import annotations

from typing import Annotated, Any

from emu.qmp import shapes
from emu.qmp.machine_api import Context
from emu.qmp.registry import command


@command("migrate")
def migrate(vm: Context, uri: str, blk: bool = False, inc: bool = False, detach: bool = True, resume: bool = False) -> None:
    """The other arguments are about disks, or QEMU's to ignore."""
    vm.machine.migration.start(uri)


@command("migrate_cancel")
def migrate_cancel(vm: Context) -> None:
    vm.machine.migration.cancel()


@command("migrate-incoming")
def migrate_incoming(vm: Context, uri: str) -> None:
    vm.machine.migration.receive(uri)


@command("query-migrate", returns=shapes.MIGRATION)
def query_migrate(vm: Context) -> dict[str, Any]:
    return vm.machine.migration.info()


@command("query-migrate-capabilities", returns=[shapes.MIGRATION_CAPABILITY])
def query_migrate_capabilities(vm: Context) -> list[dict[str, Any]]:
    return [{"capability": name, "state": state} for name, state in vm.machine.migration.capabilities.items()]


@command("migrate-set-capabilities")
def migrate_set_capabilities(vm: Context, capabilities: list[Annotated[dict, shapes.MIGRATION_CAPABILITY]]) -> None:
    vm.machine.migration.set_capabilities({each["capability"]: each["state"] for each in capabilities})
