"""The -cpu option: "Haswell,+x2apic,-avx,family=6" to a model, +/- lists and global properties.

CpuConfig is what a machine keeps: it makes every CPU of that machine, at start and at hot-plug alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from emu import qom
from emu.cpu_models.cpu import MODEL_CLASSES, X86Cpu, warn_on_stderr
from emu.cpu_models.cpuid import XAPIC_IDS
from emu.cpu_models.engine import ENGINE_FEATURES
from emu.cpu_models.features import canonical
from emu.qom import ObjectError

METRIC = {"k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True)
class Global:
    """A default for a property of every object of a type or of its descendants (-global TYPE.PROPERTY=VALUE)."""

    type_name: str
    property: str
    value: str

    def apply(self, obj: qom.Object) -> None:
        """Set on `obj` if its type fits.  Raises ObjectError."""
        if not obj.is_a(self.type_name):
            return
        try:
            obj.set_property(self.property, self.value)
        except ObjectError as error:
            text = f"can't apply global {self.type_name}.{self.property}={self.value}: {error}"
            raise ObjectError(text) from None


@dataclass(frozen=True)
class CpuOption:
    """A parsed -cpu: the model's class and what was said about it."""

    model: str
    cls: type[X86Cpu]
    plus: tuple[str, ...] = ()
    minus: tuple[str, ...] = ()
    globals: tuple[Global, ...] = ()


def find_model(name: str) -> type[X86Cpu]:
    """The class of a model; a full type name is accepted too.  Raises ObjectError."""
    if not name:
        raise ObjectError("-cpu option cannot be empty")
    cls = MODEL_CLASSES.get(name.removesuffix("-x86_64-cpu"))
    if cls is None:
        raise ObjectError(f"unable to find CPU model '{name}'")
    return cls


def _assignment(item: str) -> tuple[str, str]:
    name, has_value, value = item.partition("=")
    name = name.replace("_", "-")
    if name == "tsc-freq":
        scale = METRIC.get(value[-1:], 1)
        number = value[:-1] if scale != 1 else value
        try:
            value = str(int(float(number) * scale))
        except ValueError:
            raise ObjectError(f"bad numerical value {value}") from None
        name = "tsc-frequency"
    return name, value if has_value else "on"


def parse_cpu_option(text: str, warn: Callable[[str], None] = warn_on_stderr) -> CpuOption:
    """Parse the argument of -cpu.  Raises ObjectError with the line to show."""
    model, *items = text.split(",")
    cls = find_model(model)
    plus = tuple(canonical(item[1:]) for item in items if item[:1] == "+")
    minus = tuple(canonical(item[1:]) for item in items if item[:1] == "-")
    assignments = [_assignment(item) for item in items if item and item[0] not in "+-"]
    for name, value in assignments:
        for sign, names in (("+", plus), ("-", minus)):
            if canonical(name) in names:
                warn(f'Ambiguous CPU model string. Don\'t mix both "{sign}{name}" and "{name}={value}"')
    return CpuOption(model, cls, plus, minus, tuple(Global(cls.name, name, value) for name, value in assignments))


@dataclass
class CpuConfig:
    """Makes the CPUs of one machine: -cpu, -global and the machine's own decisions applied in QEMU's order."""

    option: CpuOption
    user_globals: Iterable[Global] = ()
    topology: Any = None
    offered: frozenset[str] = ENGINE_FEATURES
    warn: Callable[[str], None] = warn_on_stderr
    _warned: set[str] = field(default_factory=set)

    @property
    def type_name(self) -> str:
        return self.option.cls.name

    def create(self, properties: dict[str, Any] | None = None, cls: type[X86Cpu] | None = None) -> X86Cpu:
        """An unrealized CPU with globals and `properties` (user values by QOM name) set.  Raises ObjectError."""
        cpu = self._new(cls or self.option.cls)
        for each in (*self.user_globals, *self.option.globals):
            each.apply(cpu)
        for name, value in (properties or {}).items():
            cpu.set_property(name, value)
        return cpu

    def _new(self, cls: type[X86Cpu]) -> X86Cpu:
        cpu = cls(self.offered)
        cpu.topology, cpu.warn = self.topology, self._warn_once
        cpu.plus, cpu.minus = list(self.option.plus), list(self.option.minus)
        if self.topology is not None and self.topology.apic_id_limit > XAPIC_IDS:
            cpu.wanted.add("x2apic")  # QEMU: with KVM all models have it; here those that cannot do without
        return cpu

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            self.warn(message)
