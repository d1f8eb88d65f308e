"""Commands that do something."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from emu import log, qom
from emu.cli.options import key_values
from emu.hmp.expressions import evaluate
from emu.hmp.monitor import COMMANDS, STRING_EXPECTED, CommandTable, HumanMonitor, UsageError
from emu.qmp.errors import QmpError
from emu.qmp.keys import CODES
from emu.qom.listing import device_help, help_subject, object_help, options_of_device, options_of_object

command = COMMANDS.add
NUMBER = re.compile(r"0x[0-9a-fA-F]+|[0-9]+")
KEY_SHORTHANDS = {"<": "less", "enter": "kp_enter"}


def integer(monitor: HumanMonitor, text: str) -> int:
    """A number that may be an expression.  Raises UsageError."""
    return evaluate(text, monitor.register)


@command("help|?", "[cmd]", "show the help")
def help_(monitor: HumanMonitor, arguments: str) -> str:
    if not arguments:
        return COMMANDS.help()
    if arguments == "info":
        return monitor.info.help("info ")
    prefix, name = ("info ", arguments[5:].strip()) if arguments.startswith("info ") else ("", arguments)
    table: CommandTable = monitor.info if prefix else COMMANDS
    if name not in table.by_name:
        return f"unknown command: '{arguments}'\n"
    return f"{prefix}{table.by_name[name].help_line}\n"


@command("info", "[subcommand]", "show various information about the system state")
def info(monitor: HumanMonitor, arguments: str) -> str:
    return monitor.info.help("info ")


def _forward(name: str) -> Callable[[HumanMonitor, str], None]:
    """A command that is QMP's, without arguments."""

    def run(monitor: HumanMonitor, arguments: str) -> None:
        monitor.qmp(name)

    return run


for _names, _help, _qmp in (
    ("stop|s", "stop emulation", "stop"), ("cont|c", "resume emulation", "cont"), ("quit|q", "quit the emulator", "quit"),
    ("system_reset", "reset the system", "system_reset"),
    ("system_powerdown", "send system power down event", "system_powerdown"),
    ("system_wakeup", "wakeup guest from suspend", "system_wakeup"), ("nmi", "inject an NMI", "inject-nmi"),
    ("migrate_cancel", "cancel the current VM migration", "migrate_cancel"),
):  # fmt: skip
    command(_names, "", _help)(_forward(_qmp))


@command("sendkey", "keys [hold_ms]", "send keys to the VM (e.g. 'sendkey ctrl-alt-f1', default hold time=100 ms)")
def sendkey(monitor: HumanMonitor, arguments: str) -> str | None:
    if not arguments:
        raise UsageError(STRING_EXPECTED)
    names, _, hold = arguments.partition(" ")
    keys = [KEY_SHORTHANDS.get(name, name) for name in names.split("-")]
    unknown = [name for name in keys if name not in CODES and not NUMBER.fullmatch(name)]
    if unknown:
        return f"invalid parameter: {unknown[0]}\n"
    values = [{"type": "qcode", "data": name} if name in CODES else {"type": "number", "data": int(name, 0)} for name in keys]
    monitor.qmp("send-key", keys=values, **({"hold_time": integer(monitor, hold)} if hold else {}))
    return None


@command("log", "item1[,...]", "activate logging of the specified items ('none' ends it)")
def log_(monitor: HumanMonitor, arguments: str) -> str | None:
    items = [] if arguments == "none" else arguments.split(",")
    unknown = [item for item in items if item not in log.MASKS]
    if unknown:
        return "Log items (comma separated):\n" + "".join(f"{name:<15} {text}\n" for name, text in log.MASKS.items())
    log.disable()
    log.enable(items)
    return None


@command("cpu", "index", "set the default CPU")
def cpu(monitor: HumanMonitor, arguments: str) -> str | None:
    index = integer(monitor, arguments)
    if index not in [each.index for each in monitor.context.machine.cpu_infos()]:
        return "invalid CPU index\n"
    monitor.context.current_cpu = index
    return None


@command("cpu-add", "id", "add cpu")
def cpu_add(monitor: HumanMonitor, arguments: str) -> None:
    monitor.qmp("cpu-add", id=integer(monitor, arguments))


@command("cpu_set", "cpu [online|offline]", "change cpu state")
def cpu_set(monitor: HumanMonitor, arguments: str) -> None:
    """qemu-kvm's interface: an index; online plugs the slot if it is empty, offline requests an unplug."""
    number, _, state = arguments.partition(" ")
    index, state = integer(monitor, number), state.strip()
    if state not in ("online", "offline"):
        raise UsageError("cpu_set: the state is 'online' or 'offline'")
    present = {each.index: each.qom_path for each in monitor.context.machine.cpu_infos()}
    if state == "online" and index not in present:
        monitor.qmp("cpu-add", id=index)
    elif state == "offline":
        if index not in present:
            raise QmpError(f"CPU {index} is not present")
        monitor.qmp("device_del", id=present[index])


@command("device_add", "driver[,prop=value][,...]", "add device, like -device on the command line")
def device_add(monitor: HumanMonitor, arguments: str) -> str | None:
    if (driver := help_subject(arguments)) is not None:
        return (options_of_device(driver) if driver else device_help()) + "\n"
    monitor.qmp("device_add", **(key_values(arguments, "driver") if arguments else {}))
    return None


@command("device_del", "device", "remove device")
def device_del(monitor: HumanMonitor, arguments: str) -> None:
    monitor.qmp("device_del", id=_words(arguments, 1)[0])


@command("object_add", "[qom-type=]type,id=str[,prop=value][,...]", "create QOM object")
def object_add(monitor: HumanMonitor, arguments: str) -> str | None:
    if (kind := help_subject(arguments)) is not None:
        return (options_of_object(kind) if kind else object_help()) + "\n"
    given = key_values(_words(arguments, 1)[0], "qom-type")
    monitor.qmp("object-add", **given)
    return None


@command("object_del", "id", "destroy QOM object")
def object_del(monitor: HumanMonitor, arguments: str) -> None:
    monitor.qmp("object-del", id=_words(arguments, 1)[0])


@command("qom-list", "path", "list QOM properties")
def qom_list(monitor: HumanMonitor, arguments: str) -> str:
    if not arguments:
        return "/\n"
    listed = monitor.qmp("qom-list", path=arguments)
    return "".join(f"{each['name']} ({each['type']})\n" for each in listed)


@command("qom-get", "path property", "print QOM property")
def qom_get(monitor: HumanMonitor, arguments: str) -> str:
    path, name = _words(arguments, 2)
    return json.dumps(monitor.qmp("qom-get", path=path, property=name), indent=4) + "\n"


@command("qom-set", "path property value", "set QOM property")
def qom_set(monitor: HumanMonitor, arguments: str) -> None:
    path, name, value = _words(arguments, 3)
    qom.resolve(monitor.context.machine.root, path).set_property(name, value)


def _words(text: str, count: int) -> list[str]:
    """`count` words, the last one with all that remains.  Raises UsageError."""
    words = text.split(None, count - 1)
    if len(words) != count:
        raise UsageError(STRING_EXPECTED)
    return words
