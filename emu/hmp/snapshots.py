"""Snapshots and migration for people.  A snapshot's tag is the name of a file, there being no disk to keep it in."""

from __future__ import annotations

from typing import Any

from emu.clock import NS_PER_MS, NS_PER_SECOND
from emu.hmp.monitor import COMMANDS, INFO, HumanMonitor, UsageError
from emu.migration import user_errors
from emu.qmp.run_state import RunState

command, info = COMMANDS.add, INFO.add

NO_TAG = "there is no disk to choose a name in: say which file"
COLUMNS = "{:<10}{:<24}{:>10}{:>21}{:>16}{:>11}\n"


def _tag(arguments: str) -> str:
    if not arguments:
        raise UsageError(NO_TAG)
    return arguments


@command("savevm", "file", "save a VM snapshot in a file")
def savevm(monitor: HumanMonitor, arguments: str) -> None:
    machine = monitor.context.machine
    machine.migration.refuse("savevm")
    with user_errors(), machine.run_control.held():
        machine.save(_tag(arguments))


@command("loadvm", "file", "restore a VM snapshot from a file")
def loadvm(monitor: HumanMonitor, arguments: str) -> None:
    machine = monitor.context.machine
    machine.migration.refuse("loadvm")
    with user_errors(), machine.run_control.held() as running:
        machine.load(_tag(arguments))
        machine.run_control.state = RunState.RUNNING if running else RunState.PAUSED


@command("delvm", "file", "delete a VM snapshot")
def delvm(monitor: HumanMonitor, arguments: str) -> None:
    with user_errors():
        monitor.context.machine.delete_snapshot(_tag(arguments))


@info("snapshots", "", "show the VM snapshots in the current folder")
def snapshots(monitor: HumanMonitor, arguments: str) -> str:
    found = monitor.context.machine.list_snapshots()
    if not found:
        return "There is no snapshot available.\n"
    lines = [COLUMNS.format("ID", "TAG", "VM SIZE", "DATE", "VM CLOCK", "ICOUNT")]
    for each in found:
        size, date = f"{each['size'] / (1 << 20):.3g} MiB", each["date"].strftime("%Y-%m-%d %H:%M:%S")
        lines.append(COLUMNS.format("--", each["name"], size, date, _clock(each["ns"]), each["instructions"]))
    return "List of snapshots present in the current folder:\n" + "".join(lines)


def _clock(ns: int) -> str:
    seconds, rest = divmod(ns, NS_PER_SECOND)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest // NS_PER_MS:03}"


# --- migration
@command("migrate", "[-d] uri", "migrate to URI (-d: the default here, not waiting for the end)")
def migrate(monitor: HumanMonitor, arguments: str) -> None:
    monitor.qmp("migrate", uri=arguments.removeprefix("-d").strip())


@command("migrate_incoming", "uri", "continue an incoming migration from an -incoming defer")
def migrate_incoming(monitor: HumanMonitor, arguments: str) -> None:
    monitor.qmp("migrate-incoming", uri=arguments)


@command("migrate_set_capability", "capability state", "enable or disable a capability of migration")
def migrate_set_capability(monitor: HumanMonitor, arguments: str) -> None:
    name, _, state = arguments.partition(" ")
    if state.strip() not in ("on", "off"):
        raise UsageError("the state is 'on' or 'off'")
    monitor.qmp("migrate-set-capabilities", capabilities=[{"capability": name, "state": state.strip() == "on"}])


@info("migrate", "", "show migration status")
def migration(monitor: HumanMonitor, arguments: str) -> str:
    shown: dict[str, Any] = monitor.qmp("query-migrate")
    lines = [f"Migration status: {shown['status']}"] if shown else []
    lines += [f"error: {shown['error-desc']}"] if "error-desc" in shown else []
    lines += [f"{name.replace('-', ' ')}: {shown[name]} ms" for name in ("total-time", "downtime", "setup-time") if name in shown]
    ram = shown.get("ram", {})
    lines += [f"{name} ram: {ram[name] >> 10} kbytes" for name in ("transferred", "remaining", "total") if ram]
    return "".join(f"{line}\n" for line in lines)


@info("migrate_capabilities", "", "show current migration capabilities")
def migrate_capabilities(monitor: HumanMonitor, arguments: str) -> str:
    return "".join(f"{each['capability']}: {'on' if each['state'] else 'off'}\n"
                   for each in monitor.qmp("query-migrate-capabilities"))  # fmt: skip
