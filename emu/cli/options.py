"""What a command line of the system emulator says, as typed values, and the pieces of its syntax.

The options themselves are in table.py, reading them in parser.py.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emu.cpu_models.option import Global
from emu.qom import parse_size

DEFAULT_MEMORY = 128 << 20  # bytes
NIL_UUID = "00000000-0000-0000-0000-000000000000"


class OptionError(Exception):
    """A command line that cannot be used; the text is for the user."""


class EarlyExit(Exception):
    """-h, -version, -machine help: print the text and end with status 0."""


@dataclass(frozen=True)
class DeviceOption:
    """-device DRIVER,id=ID,PROPERTY=VALUE..."""

    driver: str
    id: str | None = None
    properties: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ObjectOption:
    """-object TYPE,id=ID,PROPERTY=VALUE...; `text` is how the user wrote it."""

    type: str
    id: str
    properties: dict[str, Any]
    text: str


@dataclass(frozen=True)
class MonitorOption:
    """A monitor: `control` is QMP, otherwise the human one; `where` is a transport or "chardev:ID"."""

    where: str
    control: bool
    pretty: bool = False


@dataclass
class Options:
    """Everything that the command line said.  Sizes are bytes; None is "not given"."""

    machine: str = ""  # full name, for instance pc-i440fx-7.2
    machine_properties: dict[str, str] = field(default_factory=dict)
    cpu: str | None = None
    backend: str = ""  # of the engine, see jit/backends.py
    smp: str = ""
    memory: int = DEFAULT_MEMORY
    kernel: str | None = None
    initrd: str | None = None
    append: str = ""
    bios: str | None = None
    smbios: dict[int, dict[str, str]] = field(default_factory=dict)  # type of structure: field: text
    fw_cfg: dict[str, bytes | Path] = field(default_factory=dict)  # name: contents, or the file that has them
    serial: list[str] = field(default_factory=list)
    debugcon: str | None = None
    monitors: list[MonitorOption] = field(default_factory=list)
    chardevs: dict[str, dict[str, str]] = field(default_factory=dict)
    devices: list[DeviceOption] = field(default_factory=list)
    objects: list[ObjectOption] = field(default_factory=list)
    numa: list[str] = field(default_factory=list)  # machines/numa.py reads them
    globals: list[Global] = field(default_factory=list)
    start_paused: bool = False
    incoming: str | None = None
    loadvm: str | None = None
    no_reboot: bool = False
    no_shutdown: bool = False
    acpi: bool = True
    smm: bool = False
    log_items: list[str] = field(default_factory=list)
    log_file: str | None = None
    rtc_base: str = "utc"  # "utc", "localtime" or a date such as 2006-06-17T16:01:21
    rtc_clock: str = "host"
    record: str | None = None  # -icount rr=record,rrfile=
    replay: str | None = None
    name: str | None = None
    uuid: str = NIL_UUID
    pidfile: str | None = None
    nographic: bool = False
    nodefaults: bool = False
    ignored: list[str] = field(default_factory=list)
    program: str = "numachine-system-x86_64"  # as messages begin

    def warn(self, message: str) -> None:
        """Tell the user on stderr, as QEMU does."""
        print(f"{self.program}: warning: {message}", file=sys.stderr)


# -- pieces of syntax --------------------------------------------------------------------------------------------


def split_list(text: str) -> list[str]:
    """Split at commas; a doubled comma is a comma."""
    return [item.replace("\0", ",") for item in text.replace(",,", "\0").split(",")]


def key_values(text: str, first: str | None = None) -> dict[str, str]:
    """ "a=1,b" as a dictionary; `first` names a bare first item, later bare ones are "on", "nob" is b=off."""
    values: dict[str, str] = {}
    for position, item in enumerate(split_list(text)):
        name, has_value, value = item.partition("=")
        if has_value:
            values[name] = value
        elif position == 0 and first is not None:
            values[first] = item
        elif item:
            values[name] = "on"
    return values


def check_names(given: Iterable[str], *known: str) -> None:
    """Raises OptionError for a name that is not among `known`."""
    for name in given:
        if name not in known:
            raise OptionError(f"Invalid parameter '{name}'")


def memory_size(text: str) -> int:
    """Bytes of -m: a bare number counts in MiB.  Raises OptionError."""
    try:
        return parse_size(text, default_unit="m")
    except ValueError:
        raise OptionError("Parameter 'size' expects a non-negative number below 2^64\n"
                          "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\n"
                          "and exabytes, respectively.") from None  # fmt: skip


def json_or_key_values(value: str, first: str) -> dict[str, Any]:
    """Members from either syntax.  Raises OptionError."""
    try:
        return json.loads(value) if value.startswith("{") else key_values(value, first)
    except json.JSONDecodeError as error:
        raise OptionError(f"JSON parse error, {error.msg}") from None


def parse_object(value: str) -> ObjectOption:
    """The argument of -object.  Raises OptionError."""
    given = json_or_key_values(value, "qom-type")
    for name in ("qom-type", "id"):
        if name not in given:
            raise OptionError(f"Parameter '{name}' is missing")
    return ObjectOption(given.pop("qom-type"), given.pop("id"), given, value)
