"""Commands that do something."""

from __future__ import annotations

import json
from typing import Any

from emu import qom
from emu.hmp.monitor import COMMANDS, INFO, HumanMonitor, UsageError
from emu.qmp.errors import QmpError

command = COMMANDS.add


def parse_integer(text: str) -> int:
    """A number as C writes it.  Raises UsageError."""
    try:
        return int(text, 0)
    except ValueError:
        shown = next((character for character in text if not character.isdigit()), "")
        raise UsageError(f"invalid char '{shown}' in expression" if text else "unexpected end of expression") from None


def key_values(text: str, first: str) -> dict[str, str]:
    """ "driver,a=1,b" as a dictionary; the bare first item is called `first`, a bare later one is "on"."""
    values: dict[str, str] = {}
    for position, item in enumerate(text.split(",") if text else []):
        name, has_value, value = item.partition("=")
        if not has_value and position == 0:
            name, value = first, item
        values[name] = value if has_value or position == 0 else "on"
    return values


@command("help|?", "[cmd]", "show the help")
def help_(monitor: HumanMonitor, arguments: str) -> str:
    if not arguments:
        return COMMANDS.help()
    if arguments == "info":
        return INFO.help("info ")
    name, table = arguments, COMMANDS
    if arguments.startswith("info "):
        name, table = arguments[5:].strip(), INFO
    if name not in table.by_name:
        return f"unknown command: '{arguments}'\n"
    return ("info " if table is INFO else "") + table.by_name[name].help_line + "\n"


@command("info", "[subcommand]", "show various information about the system state")
def info(monitor: HumanMonitor, arguments: str) -> str:
    return INFO.help("info ")


@command("stop|s", "", "stop emulation")
def stop(monitor: HumanMonitor, arguments: str) -> None:
    monitor.qmp("stop")


@command("cont|c", "", "resume emulation")
def cont(monitor: HumanMonitor, arguments: str) -> None:
    monitor.qmp("cont")


@command("quit|q", "", "quit the emulator")
def quit_(monitor: HumanMonitor, arguments: str) -> None:
    monitor.qmp("quit")


@command("system_reset", "", "reset the system")
def system_reset(monitor: HumanMonitor, arguments: str) -> None:
    monitor.qmp("system_reset")


@command("system_powerdown", "", "send system power down event")
def system_powerdown(monitor: HumanMonitor, arguments: str) -> None:
    monitor.qmp("system_powerdown")


@command("cpu", "index", "set the default CPU")
def cpu(monitor: HumanMonitor, arguments: str) -> str | None:
    index = parse_integer(arguments)
    if index not in [each.index for each in monitor.context.machine.cpu_infos()]:
        return "invalid CPU index\n"
    monitor.context.current_cpu = index
    return None


@command("cpu-add", "id", "add cpu")
def cpu_add(monitor: HumanMonitor, arguments: str) -> None:
    monitor.qmp("cpu-add", id=parse_integer(arguments))


@command("cpu_set", "cpu [online|offline]", "change cpu state")
def cpu_set(monitor: HumanMonitor, arguments: str) -> None:
    """qemu-kvm's interface: an index; online plugs the slot if it is empty, offline requests an unplug."""
    number, _, state = arguments.partition(" ")
    index, state = parse_integer(number), state.strip()
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
def device_add(monitor: HumanMonitor, arguments: str) -> None:
    monitor.qmp("device_add", **key_values(arguments, "driver"))


@command("device_del", "device", "remove device")
def device_del(monitor: HumanMonitor, arguments: str) -> None:
    monitor.qmp("device_del", id=arguments)


@command("qom-list", "path", "list QOM properties")
def qom_list(monitor: HumanMonitor, arguments: str) -> str:
    listed = monitor.qmp("qom-list", path=arguments or "/")
    return "".join(f"{each['name']} ({each['type']})\n" for each in listed)


@command("qom-get", "path property", "print QOM property")
def qom_get(monitor: HumanMonitor, arguments: str) -> str:
    path, name = _words(arguments, 2)
    return json.dumps(monitor.qmp("qom-get", path=path, property=name), indent=4) + "\n"


@command("qom-set", "path property value", "set QOM property")
def qom_set(monitor: HumanMonitor, arguments: str) -> None:
    path, name, value = _words(arguments, 3)
    qom.resolve(monitor.context.machine.root, path).set_property(name, value)


def _words(text: str, count: int) -> list[Any]:
    words = text.split(None, count - 1)
    if len(words) != count:
        raise UsageError(f"expected {count} arguments")
    return words
