"""Running, stopping, resetting and ending the virtual machine; the protocol's own commands."""

from __future__ import annotations

from typing import Any, Literal

from emu.qmp import schema, shapes
from emu.qmp.commands.cpus import check_index
from emu.qmp.errors import QmpError
from emu.qmp.events import EVENT_NAMES
from emu.qmp.machine_api import Context
from emu.qmp.registry import COMMANDS, command
from emu.qmp.run_state import RunState
from emu.qmp.version import QMP_VERSION


@command("qmp_capabilities", negotiation=True)
def qmp_capabilities(vm: Context, enable: list[Literal["oob"]] | None = None) -> None:
    """Carried out by the session, which alone knows its state."""
    raise QmpError("qmp_capabilities belongs to a QMP session")


@command("query-version", returns=shapes.VERSION)
def query_version(vm: Context) -> dict[str, Any]:
    return QMP_VERSION


@command("query-commands", returns=[shapes.NAME_ONLY])
def query_commands(vm: Context) -> list[dict[str, str]]:
    return [{"name": each.name} for each in COMMANDS]


@command("query-qmp-schema", returns=[shapes.SCHEMA])
def query_qmp_schema(vm: Context) -> list[dict[str, Any]]:
    return schema.describe(COMMANDS, shapes.EVENTS)


@command("query-events", returns=[shapes.NAME_ONLY])
def query_events(vm: Context) -> list[dict[str, str]]:
    """Gone from QEMU since 6.0, kept for older clients."""
    return [{"name": name} for name in EVENT_NAMES]


@command("query-status", returns=shapes.STATUS)
def query_status(vm: Context) -> dict[str, Any]:
    state = vm.machine.run_control.state
    return {"running": state is RunState.RUNNING, "singlestep": False, "status": state.value}


@command("stop")
def stop(vm: Context) -> None:
    vm.machine.run_control.stop()


@command("cont")
def cont(vm: Context) -> None:
    vm.machine.run_control.cont()


@command("system_reset")
def system_reset(vm: Context) -> None:
    vm.machine.run_control.reset()


@command("system_powerdown")
def system_powerdown(vm: Context) -> None:
    vm.machine.run_control.powerdown()


@command("system_wakeup")
def system_wakeup(vm: Context) -> None:
    raise QmpError("Unable to wake up: guest is not in suspended state")


@command("x-exit-preconfig", features=("unstable",))
def exit_preconfig(vm: Context) -> None:
    raise QmpError("The command is permitted only before machine initialization")


@command("set-numa-node")
def set_numa_node(vm: Context, type: Literal["node", "dist", "cpu", "hmat-lb", "hmat-cache"], *,
                  properties: dict[str, Any] | None = None) -> None:  # fmt: skip
    raise QmpError("The command is permitted only before the machine has been created")


@command("set-action")
def set_action(vm: Context, reboot: Literal["reset", "shutdown"] | None = None, shutdown: Literal["poweroff", "pause"] | None = None,
               panic: shapes.PANIC_ACTION | None = None, watchdog: shapes.WATCHDOG_ACTION | None = None) -> None:  # fmt: skip
    """What follows when the guest reboots or powers off.  It has no way to panic and no watchdog."""
    control = vm.machine.run_control
    if reboot is not None:
        control.no_reboot = reboot == "shutdown"
    if shutdown is not None:
        control.no_shutdown = shutdown == "pause"


@command("watchdog-set-action")
def watchdog_set_action(vm: Context, action: shapes.WATCHDOG_ACTION) -> None:
    """There is no watchdog to act on it."""


@command("quit")
def quit_(vm: Context) -> None:
    vm.machine.run_control.quit()


@command("human-monitor-command", features=("savevm-monitor-nodes",))
def human_monitor_command(vm: Context, command_line: str, cpu_index: int | None = None) -> str:
    from emu.hmp import HumanMonitor  # the human monitor is itself a client of these commands

    saved = vm.current_cpu
    if cpu_index is not None:
        check_index(vm, cpu_index)
        vm.current_cpu = cpu_index
    try:
        return HumanMonitor(vm).execute(command_line).replace("\n", "\r\n")
    finally:
        if cpu_index is not None:
            vm.current_cpu = saved
