"""Machine types by name, without importing any: the class behind a name is loaded when a machine is made."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


class UnknownMachine(ValueError):
    """-M with a name that does not exist; the text is for the user."""


@dataclass(frozen=True)
class MachineEntry:
    """A machine type: `path` is "module:Class"."""

    name: str
    alias: str
    description: str
    path: str
    target: str = "x86_64"
    cpu_max: int = 255
    default_cpu: str = "qemu64"  # none: its CPUs, if any, stay as they are
    ram_id: str = "pc.ram"
    default: bool = False

    def load(self) -> Any:
        """The machine's class.  Raises UnknownMachine when its module is not there."""
        module, _, attribute = self.path.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            if error.name not in (module, module.partition(".")[0]):
                raise
            raise UnknownMachine(f"machine type '{self.alias}' is not implemented yet") from None

    @property
    def info(self) -> dict[str, Any]:
        """The element of query-machines."""
        info = {"name": self.name, "hotpluggable-cpus": bool(self.default_cpu), "numa-mem-supported": False,
                "cpu-max": self.cpu_max, "deprecated": False, "default-ram-id": self.ram_id}  # fmt: skip
        optional = {"alias": self.alias, "is-default": self.default,
                    "default-cpu-type": f"{self.default_cpu}-{self.target}-cpu" if self.default_cpu else ""}  # fmt: skip
        return info | {name: value for name, value in optional.items() if value}


MACHINES = (
    MachineEntry("pc-i440fx-7.2", "pc", "Standard PC (i440FX + PIIX, 1996)", "machines.pc_piix:Pc", default=True),
    MachineEntry("pc-q35-7.2", "q35", "Standard PC (Q35 + ICH9, 2009)", "machines.pc_q35:Q35", cpu_max=288),
    MachineEntry("none", "", "empty machine", "machines.none:NoMachine", cpu_max=1, default_cpu="", ram_id="ram"),
)


def find_machine(name: str, target: str = "x86_64") -> MachineEntry:
    """By name or alias.  Raises UnknownMachine."""
    for entry in MACHINES:
        if entry.target == target and name in (entry.name, entry.alias or entry.name):
            return entry
    raise UnknownMachine(f"unsupported machine type '{name}'\nUse -machine help to list supported machines")


def default_machine(target: str = "x86_64") -> MachineEntry:
    """The machine of a command line without -M."""
    return next(entry for entry in MACHINES if entry.target == target and entry.default)


def machine_infos(target: str) -> list[dict[str, Any]]:
    """query-machines."""
    return [entry.info for entry in MACHINES if entry.target == target]


def machine_help(target: str = "x86_64") -> str:
    """The text of -machine help."""
    lines = ["Supported machines are:"]
    for entry in MACHINES:
        if entry.target == target:
            lines += [f"{entry.alias:<20} {entry.description} (alias of {entry.name})"] if entry.alias else []
            lines.append(f"{entry.name:<20} {entry.description}{' (default)' if entry.default else ''}")
    return "\n".join(lines)
