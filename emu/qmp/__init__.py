"""QMP: the machine-readable monitor.  Session speaks the protocol, Server owns sockets, COMMANDS is what can be done."""

from emu.qmp import commands
from emu.qmp.errors import QmpError
from emu.qmp.events import EventHub
from emu.qmp.machine_api import ChardevInfo, Context, CpuInfo, Identity, MachineApi
from emu.qmp.registry import COMMANDS, command
from emu.qmp.run_state import RunControl, RunState
from emu.qmp.session import Session

__all__ = ["COMMANDS", "ChardevInfo", "Context", "CpuInfo", "EventHub", "Identity", "MachineApi", "QmpError",
           "RunControl", "RunState", "Session", "call", "command", "commands"]  # fmt: skip


def call(context: Context, name: str, **arguments: object) -> object:
    """Run a command from Python, with wire names or underscores: call(vm, "device_del", id="c1")."""
    found = COMMANDS.find(name)
    known = {parameter.attribute: parameter.name for parameter in found.parameters}
    return found(context, {known.get(key, key.replace("_", "-")): value for key, value in arguments.items()})
