"""What a user chooses about a PC, from a command line or from Python keywords: both end in a PcConfig.

Errors are emu.cli.options.OptionError or emu.qom.ObjectError, with texts for people.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from emu.chardev import BufferChardev, Chardev
from emu.cli.options import DEFAULT_MEMORY, DeviceOption, ObjectOption, OptionError, Options, key_values, memory_size, parse_object
from emu.cpu_models.option import Global
from emu.cpu_models.cpu import warn_on_stderr
from emu.devices.rtc import DEFAULT_DATE
from emu.qmp.machine_api import Identity
from jit import backends
from machines import memory_backend
from machines import journal
from machines.firmware import find_image
from machines.numa import Numa
from machines.numa import parse as parse_numa
from machines.topology import SmpConfig, SmpRules, Topology, TopologyError

DEFAULT_CPU = "qemu64"
NO_BIOS = "none"
BACKEND_VARIABLE = "NUMACHINE_BACKEND"  # what a command line without -accel ...,backend= gets
MEMORY_GRANULE = 8192  # bytes; -m is rounded up to it
MEMORY_LIMIT = 1 << 40  # bytes that CPUs with 40 physical address bits can name, less the PCI hole


@dataclass
class PcConfig:
    """Sizes in bytes; `cpu` is a model with features as in -cpu, `numa` as in -numa; `rtc` the date at power-on.  Kernel and initrd are files,
    or their contents; `fw_cfg` has more files for firmware, by name, `smbios` texts for its tables, by type
    and field.  `backend` names who runs guest code (jit/backends.py)."""

    memory: int = 128 << 20
    smp: SmpConfig = field(default_factory=lambda: SmpConfig.parse("1"))
    cpu: str = DEFAULT_CPU
    globals: Iterable[Global] = ()
    kernel: Path | bytes | None = None
    initrd: Path | bytes | None = None
    append: str = ""
    bios: Path | None = None
    fw_cfg: Mapping[str, bytes | str | Path] = field(default_factory=dict)
    smbios: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    serial: Sequence[Chardev] = ()
    devices: Sequence[DeviceOption] = ()
    objects: Sequence[ObjectOption] = ()
    numa: Sequence[str] = ()
    memory_backend: str = ""  # id of the object that is all RAM
    debug_exit: tuple[int, int] | None = None
    acpi: bool = True
    smm: bool = False
    backend: str = backends.DEFAULT
    identity: Identity = Identity()
    rtc: datetime = DEFAULT_DATE
    realtime: bool = False
    no_reboot: bool = False
    no_shutdown: bool = False
    warn: Callable[[str], None] = warn_on_stderr

    def __post_init__(self) -> None:
        self.memory = -(-self.memory // MEMORY_GRANULE) * MEMORY_GRANULE
        if not 0 < self.memory <= MEMORY_LIMIT:
            raise OptionError(f"a PC has at most {MEMORY_LIMIT >> 30} GiB of memory, {self.memory >> 30} GiB were asked for")
        given = memory_backend.sizes(self.objects)
        memory_backend.check(self.memory_backend, self.memory, given)
        self.nodes: Numa | None = parse_numa(self.numa, self.smp.topology, self.memory, given, self.warn)

    @property
    def topology(self) -> Topology:
        """Places for CPUs, each on its node."""
        return self.smp.topology.with_nodes(self.nodes.cpu_nodes if self.nodes else ())


def parse_smp(text: str, rules: SmpRules, warn: Callable[[str], None]) -> SmpConfig:
    """Raises OptionError."""
    try:
        return SmpConfig.parse(text or "1", rules, warn)
    except TopologyError as error:
        raise OptionError(str(error)) from None


def from_options(options: Options, serials: Sequence[Chardev], rules: SmpRules) -> PcConfig:
    """The command line's choices.  The guest's clock starts at the host's, and idle time is slept through."""
    bios = None if options.bios == NO_BIOS else options.bios
    from_elsewhere = options.start_paused or options.incoming is not None or options.loadvm is not None
    if not options.kernel and not bios and not from_elsewhere:
        raise OptionError("nothing to boot: name a kernel with -kernel, or firmware with -bios (disks are not supported yet)")
    return PcConfig(
        bios=find_image(bios) if bios else None, fw_cfg=options.fw_cfg, smbios=options.smbios,
        memory=_memory(options), memory_backend=options.machine_properties.get("memory-backend", ""),
        smp=parse_smp(options.smp, rules, options.warn), cpu=options.cpu or DEFAULT_CPU,
        globals=options.globals, kernel=_readable(options.kernel), initrd=_readable(options.initrd), append=options.append,
        serial=serials, devices=options.devices, objects=options.objects, numa=options.numa, acpi=options.acpi, smm=options.smm,
        backend=options.backend or os.environ.get(BACKEND_VARIABLE) or backends.DEFAULT,
        identity=Identity(options.name, options.uuid), rtc=_rtc_date(options), realtime=True, no_reboot=options.no_reboot,
        no_shutdown=options.no_shutdown, warn=options.warn)  # fmt: skip


def from_keywords(given: dict[str, Any], rules: SmpRules) -> PcConfig:
    """Python's choices: strings as on the command line, or the values themselves; serial port 0 keeps its output."""
    options = dict(given)
    memory, smp = options.get("memory", 128 << 20), options.get("smp", "1")
    options["memory"] = memory_size(memory) if isinstance(memory, str) else memory
    options["smp"] = smp if isinstance(smp, SmpConfig) else parse_smp(str(smp), rules, options.get("warn", warn_on_stderr))
    for name in ("kernel", "initrd"):
        if isinstance(options.get(name), (str, os.PathLike)):
            options[name] = _readable(options[name])
    if isinstance(options.get("bios"), str):
        options["bios"] = None if options["bios"] == NO_BIOS else find_image(options["bios"])
    options["devices"] = [_device(each) for each in options.get("devices", ())]
    options["objects"] = [parse_object(each) if isinstance(each, str) else each for each in options.get("objects", ())]
    options.setdefault("serial", [BufferChardev("serial0")])
    try:
        return PcConfig(**options)
    except TypeError:
        unknown = sorted(set(options) - set(PcConfig.__dataclass_fields__))
        raise TypeError(f"a PC has no option called {', '.join(unknown)}; there are "
                        f"{', '.join(PcConfig.__dataclass_fields__)}") from None  # fmt: skip


def _memory(options: Options) -> int:
    """Bytes of RAM: of -m, or of the backend that -machine names."""
    backend = options.machine_properties.get("memory-backend")
    if backend is None or options.memory != DEFAULT_MEMORY:
        return options.memory
    return memory_backend.sizes(options.objects).get(backend, options.memory)


def _readable(name: str | os.PathLike[str] | None) -> Path | None:
    """Raises OSError, which names the file, when it cannot be read."""
    if name is None:
        return None
    with open(name, "rb"):
        return Path(name)


def _device(given: str | DeviceOption) -> DeviceOption:
    if isinstance(given, DeviceOption):
        return given
    properties = key_values(given, "driver")
    return DeviceOption(properties.pop("driver"), properties.pop("id", None), properties)


def _rtc_date(options: Options) -> datetime:
    """The date that -rtc base= asks for, or that of the recorded run; guests of base=localtime see local time in the clock's registers."""
    if options.replay is not None:
        return datetime.fromisoformat(journal.read(options.replay)[0]["rtc"])
    if options.rtc_base == "utc":
        return datetime.now(timezone.utc)
    if options.rtc_base == "localtime":
        return datetime.now().replace(tzinfo=timezone.utc)
    return datetime.fromisoformat(options.rtc_base).replace(tzinfo=timezone.utc)
