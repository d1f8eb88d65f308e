"""What Tab proposes: commands, subjects of info, drivers and their properties, ids, paths of the object tree, keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from emu import log, qom
from emu.hmp.monitor import COMMANDS, HumanMonitor
from emu.hmp.readline import Completion
from emu.qmp.keys import CODES
from emu.qom.listing import device_types, user_objects

Completer = Callable[[HumanMonitor, list[str]], Iterable[str]]  # the words after the command, the last of them unfinished
SWITCH = ("on", "off")


def complete(monitor: HumanMonitor, text: str) -> Completion:
    """How the line `text`, up to the cursor, can go on."""
    name, *words = re.split(" +", text.lstrip(" "))
    if not words:
        return _matching(COMMANDS.by_name, name)
    completer = COMPLETERS.get(name)
    if completer is None:
        return Completion()
    fragment = re.split(SEPARATORS.get(name, " "), words[-1])[-1]
    return _matching(completer(monitor, words), fragment)


def _matching(candidates: Iterable[str], fragment: str) -> Completion:
    return Completion(len(fragment), sorted({each for each in candidates if each.startswith(fragment)}))


# -- one for each kind of argument


def _help(monitor: HumanMonitor, words: list[str]) -> Iterable[str]:
    if len(words) == 1:
        return COMMANDS.by_name
    return monitor.info.by_name if words[0] == "info" else ()


def _info(monitor: HumanMonitor, words: list[str]) -> Iterable[str]:
    if len(words) == 1:
        return monitor.info.by_name
    return _paths(monitor, words[1]) if words[0] == "qom-tree" else ()


def _device_add(monitor: HumanMonitor, words: list[str]) -> Iterable[str]:
    return _object(monitor, words[0], (cls.name for cls in device_types() if cls.hotpluggable_type and cls.user_creatable))


def _object_add(monitor: HumanMonitor, words: list[str]) -> Iterable[str]:
    return _object(monitor, words[0], (cls.name for cls in user_objects()))


def _object(monitor: HumanMonitor, text: str, types: Iterable[str]) -> Iterable[str]:
    """A type, then name=value for its properties."""
    name, comma, rest = text.partition(",")
    if not comma:
        return types
    properties = {each["name"]: each["type"] for each in _type_properties(name)}
    current, equals, _ = rest.rpartition(",")[2].partition("=")
    if not equals:
        return [f"{each}=" for each in ("id", *properties)]
    return SWITCH if properties.get(current) == "bool" else _free_places(monitor, current)


def _type_properties(name: str) -> list[dict[str, str]]:
    try:
        return qom.list_type_properties(qom.find_type(name), device_view=True)
    except qom.NotFound:
        return []


def _free_places(monitor: HumanMonitor, name: str) -> Iterable[str]:
    """Topology ids of slots without a CPU."""
    free = (slot["props"] for slot in monitor.qmp("query-hotpluggable-cpus") if "qom-path" not in slot)
    return (str(place[name]) for place in free if name in place)


def _device_del(monitor: HumanMonitor, words: list[str]) -> Iterable[str]:
    return _children(monitor, "/machine/peripheral", words[0])


def _object_del(monitor: HumanMonitor, words: list[str]) -> Iterable[str]:
    return _children(monitor, "/objects", words[0])


def _children(monitor: HumanMonitor, folder: str, text: str) -> Iterable[str]:
    """Names in a folder of the tree, or paths when a slash begins one."""
    if text.startswith("/"):
        return _paths(monitor, text)
    try:
        return qom.resolve(monitor.context.machine.root, folder).children
    except qom.NotFound:
        return ()


def _qom_path(monitor: HumanMonitor, words: list[str]) -> Iterable[str]:
    return _paths(monitor, words[0])


def _qom_property(monitor: HumanMonitor, words: list[str]) -> Iterable[str]:
    if len(words) == 1:
        return _paths(monitor, words[0])
    try:
        found = {each["name"]: each["type"] for each in monitor.qmp("qom-list", path=words[0])}
    except qom.ObjectError:
        return ()
    if len(words) == 2:
        return found
    return ("true", "false") if found.get(words[1]) == "bool" else ()


def _paths(monitor: HumanMonitor, text: str) -> Iterable[str]:
    """Absolute paths one step longer than what is there; those that lead on end with a slash."""
    folder = text.rpartition("/")[0]
    try:
        parent = qom.resolve(monitor.context.machine.root, folder + "/")
    except qom.ObjectError:
        return ()
    return [f"{folder}/{name}{'/' if child.children else ''}" for name, child in parent.children.items()]


def _cpu(monitor: HumanMonitor, words: list[str]) -> Iterable[str]:
    return (str(cpu.index) for cpu in monitor.context.machine.cpu_infos())


def _cpu_set(monitor: HumanMonitor, words: list[str]) -> Iterable[str]:
    return map(str, range(len(monitor.context.machine.possible_cpus()))) if len(words) == 1 else ("online", "offline")


def _cpu_add(monitor: HumanMonitor, words: list[str]) -> Iterable[str]:
    present = {cpu.index for cpu in monitor.context.machine.cpu_infos()}
    return (str(index) for index in range(len(monitor.context.machine.possible_cpus())) if index not in present)


COMPLETERS: dict[str, Completer] = {
    "help": _help, "?": _help, "info": _info, "device_add": _device_add, "device_del": _device_del,
    "object_add": _object_add, "object_del": _object_del, "qom-list": _qom_path, "qom-get": _qom_property,
    "qom-set": _qom_property, "cpu": _cpu, "cpu_set": _cpu_set, "cpu-add": _cpu_add,
    "sendkey": lambda monitor, words: CODES, "log": lambda monitor, words: (*log.MASKS, "none"),
}  # fmt: skip
# Where a word has parts that are completed one by one; other words are completed as a whole.
SEPARATORS = {"device_add": "[,=]", "object_add": "[,=]", "sendkey": "-", "log": ","}
