"""The options of the system emulator: QEMU's names, one table, each with the function that reads its argument.

Errors carry no option: parser.py puts it in front.  Values are checked here as far as no machine is needed; -smp, -cpu, -numa and
-device are checked when the machine is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from emu.cli import smbios
from emu.cli.machines import default_machine, find_machine
from emu.cli.options import (
    DEFAULT_MEMORY, DeviceOption, EarlyExit, MonitorOption, OptionError, Options, check_names, json_or_key_values, key_values,
    memory_size, parse_object,
)  # fmt: skip
from emu.cpu_models.option import Global
from emu.devices.fw_cfg import NAME_LIMIT as FW_CFG_NAME_LIMIT
from emu.log import MASKS
from emu.qom.listing import device_help, help_subject, object_help, options_of_device, options_of_object

Handler = Callable[[Options, str], None]


@dataclass(frozen=True)
class Option:
    """One option.  `argument` is its synopsis; an option without one takes none."""

    names: tuple[str, ...]
    argument: str
    help: str
    apply: Handler


TABLE: list[Option] = []
MACHINE_PROPERTIES_READ_LATER = {"memory-backend"}  # by machines/config.py
MACHINE_PROPERTIES_IGNORED = {"usb", "dump-guest-core", "graphics", "vmport", "nvdimm", "hpet",
                              "kernel-irqchip", "kernel_irqchip", "mem-merge", "hmat", "pit", "pic", "i8042", "sata"}  # fmt: skip


def option(names: str, argument: str, help: str) -> Callable[[Handler], Handler]:
    """Decorator: the function handles these spellings."""

    def register(function: Handler) -> Handler:
        TABLE.append(Option(tuple(names.split()), argument, help, function))
        return function

    return register


@option("h help", "", "display this help and exit")
def _help(options: Options, value: str) -> None:
    raise EarlyExit(help_text())


@option("version", "", "display version information and exit")
def _version(options: Options, value: str) -> None:
    from emu.qmp.version import PACKAGE, QEMU_VERSION_TEXT

    raise EarlyExit(f"QEMU emulator version {QEMU_VERSION_TEXT} compatible ({PACKAGE})")


@option("M machine", "[type=]name[,prop=value[,...]]", "machine type and its properties (accel=tcg, acpi=on|off)")
def _machine(options: Options, value: str) -> None:
    from emu.cli.machines import machine_help

    given = key_values(value, "type")
    name = given.pop("type", "")
    if name in ("help", "?"):
        raise EarlyExit(machine_help())
    if name:
        options.machine = find_machine(name).name
    for prop, setting in given.items():
        _machine_property(options, prop, setting)


def _machine_property(options: Options, name: str, value: str) -> None:
    if name == "accel":
        _accelerator(value.split(":"))
    elif name == "acpi":
        options.acpi = value != "off"
    elif name == "smm":
        options.smm = _on_off_auto(name, value) == "on"
    elif name not in MACHINE_PROPERTIES_IGNORED | MACHINE_PROPERTIES_READ_LATER:
        raise OptionError(f"Property '{options.machine or default_machine().name}-machine.{name}' not found")
    options.machine_properties[name] = value


def _on_off_auto(name: str, value: str) -> str:
    if value not in ("on", "off", "auto"):
        raise OptionError(f"Parameter '{name}' does not accept value '{value}'")
    return value


def _accelerator(names: list[str]) -> None:
    if set(names) & {"tcg", "numachine"}:
        return
    if set(names) & {"kvm", "hvf", "whpx", "xen", "nvmm", "hax"}:
        raise OptionError(f"{names[0]} is not available: numachine emulates the processor itself; use -accel tcg or "
                          "leave the option out")  # fmt: skip
    raise OptionError(f"invalid accelerator {names[0]}")


@option("accel", "name[,backend=native|bytecode|numba]", "accelerator: tcg or numachine, and who runs guest code")
def _accel(options: Options, value: str) -> None:
    given = key_values(value, "accel")
    _accelerator([given["accel"]])
    options.backend = _backend(given.get("backend", options.backend))


def _backend(name: str) -> str:
    from jit import backends

    if name and name not in backends.BACKENDS:
        raise OptionError(f"there is no back end '{name}'; choose one of {', '.join(backends.BACKENDS)}")
    return name


@option("enable-kvm", "", "not available")
def _enable_kvm(options: Options, value: str) -> None:
    _accelerator(["kvm"])


@option("cpu", "model[,+feature][,-feature][,prop=value]", "processor model ('help' lists them)")
def _cpu(options: Options, value: str) -> None:
    if value in ("help", "?"):
        from emu.cpu_models import model_help

        raise EarlyExit(model_help())
    if not value:
        raise OptionError("-cpu option cannot be empty")
    options.cpu = value


@option("smp", "[[cpus=]n][,maxcpus=n][,sockets=n][,dies=n][,cores=n][,threads=n]", "number and topology of processors")
def _smp(options: Options, value: str) -> None:
    options.smp = f"{options.smp},{value}" if options.smp and "=" in value.split(",")[0] else value


@option("m", "[size=]megs", "size of the memory, in MiB unless it has a suffix")
def _memory(options: Options, value: str) -> None:
    given = key_values(value, "size")
    check_names(given, "size", "slots", "maxmem")
    if "slots" in given or "maxmem" in given:
        raise OptionError("memory hot-plug (slots, maxmem) is not supported")
    options.memory = memory_size(given.get("size", "")) or DEFAULT_MEMORY


def _text(attribute: str) -> Handler:
    return lambda options, value: setattr(options, attribute, value)


def _set(attribute: str, setting: Any = True) -> Handler:
    return lambda options, value: setattr(options, attribute, setting)


option("kernel", "file", "boot this kernel directly")(_text("kernel"))
option("initrd", "file", "initial RAM disk for -kernel")(_text("initrd"))
option("append", "text", "command line for -kernel")(_text("append"))
option("bios", "none|file", "firmware to start, here or where Debian installs it; none boots -kernel directly")(_text("bios"))
option("incoming", "file:PATH", "wait for the machine's state: from a file that `migrate` wrote, or with 'defer' for "
       "migrate-incoming")(_text("incoming"))
option("loadvm", "FILE", "start from a snapshot that `savevm` wrote")(_text("loadvm"))
option("S", "", "do not start the processors at once (use 'cont')")(_set("start_paused"))
option("no-reboot", "", "exit instead of rebooting")(_set("no_reboot"))
option("no-shutdown", "", "stop instead of exiting when the guest powers off")(_set("no_shutdown"))
option("no-acpi", "", "as -machine acpi=off")(_set("acpi", False))
option("nodefaults", "", "no default serial port, monitor or devices")(_set("nodefaults"))
option("nographic", "", "no display; serial port and monitor share the terminal")(_set("nographic"))
option("D", "file", "write the log to a file instead of stderr")(_text("log_file"))
option("pidfile", "file", "write the process id to a file")(_text("pidfile"))
option("debugcon", "dev", "debug console (port 0xE9 or 0x402) to a character device")(_text("debugcon"))
@option("icount", "[shift=n|auto][,rr=record|replay,rrfile=file]",
        "record all input of a run, or repeat it; virtual time counts instructions in any case")
def _icount(options: Options, text: str) -> None:
    given = key_values(text, "shift")
    mode, file = given.get("rr"), given.get("rrfile")
    if mode not in (None, "record", "replay"):
        raise OptionError(f"-icount rr={mode}: write rr=record or rr=replay")
    if mode and not file:
        raise OptionError(f"-icount rr={mode} needs the name of a file: rrfile=FILE")
    options.record, options.replay = (file if mode == each else None for each in ("record", "replay"))


@option("fw_cfg", "[name=]name,file=path|string=text", "something for the guest to read through fw_cfg; names begin with opt/")
def _fw_cfg(options: Options, value: str) -> None:
    given = key_values(value, "name")
    name = given.pop("name", "")
    if not name or len(given) != 1 or not set(given) <= {"file", "string"}:
        raise OptionError("invalid argument(s): expected name=NAME and either file=PATH or string=TEXT")
    if len(name) > FW_CFG_NAME_LIMIT:
        raise OptionError(f"name too long (max. {FW_CFG_NAME_LIMIT} char)")
    if name in options.fw_cfg:
        raise OptionError(f"duplicate fw_cfg file name: {name}")
    if not name.startswith("opt/"):
        options.warn('externally provided fw_cfg item names should be prefixed with "opt/"')
    options.fw_cfg[name] = Path(given["file"]) if "file" in given else given["string"].encode()


@option("smbios", "type=0|1|2|3,field=text[,...]", "what the SMBIOS tables say of BIOS, system, board and chassis")
def _smbios(options: Options, value: str) -> None:
    number, texts = smbios.choice(value)
    options.smbios.setdefault(number, {}).update(texts)


@option("d", "item1[,...]", "log these items (guest_errors, unimp, int, cpu_reset, in_asm, ...)")
def _log(options: Options, value: str) -> None:
    if value in ("help", "?"):
        raise EarlyExit("Log items (comma separated):\n" + "\n".join(f"{k:<15} {v}" for k, v in MASKS.items()))
    unknown = [item for item in value.split(",") if item not in MASKS]
    if unknown:
        raise OptionError(f"no log item called '{unknown[0]}'; -d help lists them")
    options.log_items += value.split(",")


@option("display", "type", "the only display is none")
def _display(options: Options, value: str) -> None:
    if value.split(",")[0] != "none":
        raise OptionError(f"Parameter 'type' does not accept value '{value}'")


@option("serial", "dev", "serial port to a character device (stdio, mon:stdio, file:PATH, unix:PATH, chardev:ID, null)")
def _serial(options: Options, value: str) -> None:
    options.serial.append(value)


@option("monitor", "dev", "human monitor on a character device")
def _monitor(options: Options, value: str) -> None:
    options.monitors.append(MonitorOption(value, control=False))


@option("qmp", "dev", "QMP monitor on a character device (unix:PATH,server=on,wait=off)")
def _qmp(options: Options, value: str) -> None:
    options.monitors.append(MonitorOption(value, control=True))


@option("qmp-pretty", "dev", "as -qmp, with indented output")
def _qmp_pretty(options: Options, value: str) -> None:
    options.monitors.append(MonitorOption(value, control=True, pretty=True))


@option("chardev", "backend,id=id[,...]", "character device: null, stdio, file (path=), socket (path= or host=, port=)")
def _chardev(options: Options, value: str) -> None:
    given = key_values(value, "backend")
    if "id" not in given:
        raise OptionError("chardev: no id specified")
    if given["id"] in options.chardevs:
        raise OptionError(f"Duplicate ID '{given['id']}' for chardev")
    options.chardevs[given["id"]] = given


@option("mon", "[chardev=]id[,mode=readline|control][,pretty=on|off]", "monitor on a -chardev")
def _mon(options: Options, value: str) -> None:
    given = key_values(value, "chardev")
    mode = given.get("mode", "readline")
    if mode not in ("readline", "control"):
        raise OptionError(f'unknown monitor mode "{mode}"')
    where = f"chardev:{given.get('chardev', '')}"
    options.monitors.append(MonitorOption(where, mode == "control", given.get("pretty") == "on"))


def _load_types(options: Options) -> None:
    """A listing is complete only when the machine's own types are known."""
    (find_machine(options.machine) if options.machine else default_machine()).load()


@option("object", "type,id=id[,prop=value][,...]", "create an object: a CPU to be plugged by link, memory-backend-ram, ...")
def _object(options: Options, value: str) -> None:
    if (kind := help_subject(value)) is not None:
        _load_types(options)
        raise EarlyExit(options_of_object(kind) if kind else object_help())
    made = parse_object(value)
    if any(made.id == other.id for other in options.objects):
        raise OptionError(f"Duplicate ID '{made.id}' for object")
    options.objects.append(made)


@option("numa", "node|cpu|dist[,...]", "NUMA: node[,nodeid=n][,cpus=a[-b]][,mem=size|,memdev=id], cpu,node-id=n[,socket-id=n]..., "
        "dist,src=n,dst=n,val=n")  # fmt: skip
def _numa(options: Options, value: str) -> None:
    options.numa.append(value)


@option("device", "driver[,prop=value][,...]", "add a device: a CPU, isa-debug-exit, ...")
def _device(options: Options, value: str) -> None:
    if (driver := help_subject(value)) is not None:
        _load_types(options)
        raise EarlyExit(options_of_device(driver) if driver else device_help())
    given = json_or_key_values(value, "driver")
    if "driver" not in given:
        raise OptionError("Parameter 'driver' is missing")
    options.devices.append(DeviceOption(given.pop("driver"), given.pop("id", None), given))


@option("global", "driver.property=value", "default for a property of all devices of a type")
def _global(options: Options, value: str) -> None:
    match = re.fullmatch(r"([^=]+)\.([^.=]+)=(.*)", value)
    if not match:
        raise OptionError(f"Invalid parameter '{value}'")
    options.globals.append(Global(match[1], match[2], match[3]))


@option("rtc", "[base=utc|localtime|date][,clock=host|rt|vm]", "initial time and clock of the real-time clock")
def _rtc(options: Options, value: str) -> None:
    given = key_values(value)
    options.rtc_base = given.get("base", options.rtc_base)
    options.rtc_clock = given.get("clock", options.rtc_clock)
    if options.rtc_base in ("utc", "localtime"):
        return
    try:
        datetime.fromisoformat(options.rtc_base)
    except ValueError:
        raise OptionError("invalid datetime format\nvalid formats: '2006-06-17T16:01:21' or '2006-06-17'") from None


@option("name", "[guest=]name[,process=...][,debug-threads=on|off]", "name of the virtual machine")
def _name(options: Options, value: str) -> None:
    given = key_values(value, "guest")
    check_names(given, "guest", "process", "debug-threads")
    options.name = given.get("guest", options.name)


@option("uuid", "uuid", "identity of the virtual machine")
def _uuid(options: Options, value: str) -> None:
    options.uuid = smbios.parse_uuid(value)


# Options whose only supported meaning is what happens anyway.
ACCEPTED = {"vga": {"none", "std"}, "net": {"none"}, "nic": {"none"}, "parallel": {"none", "null"}}


def _accepted(name: str) -> Handler:
    def check(options: Options, value: str) -> None:
        if value.split(",")[0] not in ACCEPTED[name]:
            raise OptionError(f"not supported; accepted are {', '.join(sorted(ACCEPTED[name]))}")

    return check


for _spelling, _values in ACCEPTED.items():
    option(_spelling, "type", f"{' or '.join(sorted(_values))}; accepted for compatibility")(_accepted(_spelling))


def _ignore(options: Options, value: str) -> None:
    options.ignored.append(value)


option("no-user-config nodefconfig no-hpet usb no-fd-bootchk", "", "accepted for compatibility")(_ignore)
option("boot overcommit sandbox msg L k audiodev", "arg", "accepted for compatibility")(_ignore)


def _missing(what: str) -> Handler:
    def refuse(options: Options, value: str) -> None:
        raise OptionError(f"{what} not supported")

    return refuse


option("drive blockdev hda hdb hdc hdd cdrom fda fdb pflash", "arg", "not supported")(_missing("disks are"))
option("netdev", "arg", "not supported")(_missing("network devices are"))
option("daemonize", "", "not supported")(_missing("running in the background is"))
option("s", "", "not supported")(_missing("the gdb server is"))
option("gdb", "dev", "not supported")(_missing("the gdb server is"))

BY_NAME = {name: each for each in TABLE for name in each.names}


def help_text() -> str:
    """The text of -h."""
    lines = ["usage: numachine-system-x86_64 [options]", "", "Options (one dash or two):"]
    for each in TABLE:
        if each.help not in ("not supported", "not available"):
            spelling = " or ".join(f"-{name}" for name in each.names)
            lines.append(f"{spelling} {each.argument}".rstrip() + f"\n        {each.help}")
    return "\n".join(lines)
