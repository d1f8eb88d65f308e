"""CPU types of the object tree: x86_64-cpu and one class per model, from definition to what CPUID reports.

Order: model definition, globals, properties of -device or device_add, then realize: +f and -f, architectural
requirements, automatic levels, the engine's filter.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from typing import Any, ClassVar

from emu import qom
from emu.cpu_models import models
from emu.cpu_models.cpuid import XAPIC_IDS, cpuid
from emu.cpu_models.engine import ACCELERATOR, ENGINE_FEATURES, HYPERVISOR_SIGNATURE, OFF_BY_DEFAULT
from emu.cpu_models.features import BIT_OF, PUBLISHED, SPELLINGS, WORDS, canonical, drop_orphans
from emu.cpu_models.versions import ALIASES, MACHINE_ALIASES, VERSIONS
from emu.qom import ObjectError, Property, computed

APIC_ID_UNSET = 0xFFFF_FFFF
ID_UNSET = -1
TYPE_SUFFIX = "-x86_64-cpu"
HIGHEST_FAMILY = 0xFF + 0xF  # extended family and family, SDM vol. 2, CPUID leaf 1


def warn_on_stderr(message: str) -> None:
    """Default sink of realize-time warnings."""
    print(f"warning: {message}", file=sys.stderr)


class Feature(Property):
    """A CPUID bit: set members before realize, what the guest sees afterwards."""

    def __init__(self, name: str):
        plain = (name, *SPELLINGS.get(name, ()))
        aliases = plain[1:] + tuple(n.replace("-", "_").replace(".", "_") for n in plain if "-" in n or "." in n)
        super().__init__("bool", None, name=name, aliases=aliases, unlisted=frozenset(aliases) - PUBLISHED)

    def __get__(self, obj: Any, owner: type) -> Any:
        if obj is None:
            return self
        return self.name in (obj.features if obj.realized else obj.wanted)

    def __set__(self, obj: Any, value: bool) -> None:
        (obj.wanted.add if value else obj.wanted.discard)(self.name)
        obj.named.add(self.name)


class ModelProperty(Property):
    """A value that the model definition supplies until the user sets one."""

    def __get__(self, obj: Any, owner: type) -> Any:
        if obj is None:
            return self
        return obj.__dict__.get(self.attribute, getattr(obj.model_definition, self.attribute))


def _check_vendor(cpu: Any, value: str) -> str:
    if len(value) != 12:
        raise ObjectError(f"Property '{cpu.type_name}.vendor' doesn't take value '{value}'")
    return value


def _within(name: str, maximum: int) -> Callable[[Any, int], int]:
    """A check that a value fits its bits of the CPU's signature."""

    def check(cpu: Any, value: int) -> int:
        if not 0 <= value <= maximum:
            raise ObjectError(f"Property {cpu.type_name}.{name} doesn't take value {value} (minimum: 0, maximum: {maximum})")
        return value

    return check


class Cpu(qom.DeviceObject):
    """What processors of all architectures share."""

    name = "cpu"
    abstract = True
    hotpluggable_type = True

    start_powered_off = Property("bool", False)
    node_id = Property("int32", ID_UNSET)
    index: int = ID_UNSET  # slot number; set by the machine


class X86Cpu(Cpu):
    """An x86 processor as its user sees it.  Realized, it answers CPUID: `cpu.cpuid(leaf, subleaf)`."""

    name = "x86_64-cpu"
    abstract = True
    user_object = True
    model_definition: ClassVar[models.Model] = models.BASE

    apic_id = Property("uint32", APIC_ID_UNSET)
    socket_id = Property("int32", ID_UNSET)
    die_id = Property("int32", ID_UNSET)
    core_id = Property("int32", ID_UNSET)
    thread_id = Property("int32", ID_UNSET)

    vendor = ModelProperty("string", check=_check_vendor)
    family = ModelProperty("int", check=_within("family", HIGHEST_FAMILY))
    model = ModelProperty("int", check=_within("model", 0xFF))
    stepping = ModelProperty("int", check=_within("stepping", 0xF))
    model_id = ModelProperty("string")
    level = Property("uint32", None)
    xlevel = Property("uint32", None)
    xlevel2 = Property("uint32", None)
    min_level = Property("uint32", 0)
    min_xlevel = Property("uint32", 0)
    min_xlevel2 = Property("uint32", 0)
    phys_bits = Property("uint32", 0)
    tsc_frequency = Property("int", 0, aliases=("tsc-freq",), unlisted=frozenset({"tsc-freq"}))
    check = Property("bool", True)
    enforce = Property("bool", False)
    cpuid_0xb = Property("bool", True)
    tcg_cpuid = Property("bool", True)
    l3_cache = Property("bool", True)
    full_cpuid_auto_level = Property("bool", True)
    hypervisor_signature = Property("string", HYPERVISOR_SIGNATURE,
                                    description="CPUID leaf 0x40000000, up to 12 characters")  # fmt: skip

    def __init__(self, offered: frozenset[str] = ENGINE_FEATURES) -> None:
        definition = self.model_definition
        self.offered = offered
        self.min_level, self.min_xlevel = definition.level, definition.xlevel
        self.wanted: set[str] = set(definition.features - OFF_BY_DEFAULT)
        self.named: set[str] = set()  # features a user spoke about
        self.plus: list[str] = []
        self.minus: list[str] = []
        self.features: frozenset[str] = frozenset()
        self.filtered: frozenset[str] = frozenset()
        self.topology: Any = None  # set by the machine before realize
        self.warn: Callable[[str], None] = warn_on_stderr

    def cpuid(self, leaf: int, subleaf: int = 0, *, cr4: int = 0, xcr0: int = 1) -> tuple[int, int, int, int]:
        """EAX, EBX, ECX, EDX of CPUID on this processor."""
        return cpuid(self, self.topology, self.apic_id, leaf, subleaf, cr4=cr4, xcr0=xcr0)

    # realize
    def expand(self) -> None:
        """Settle what this CPU asks for: features and levels, whatever the accelerator has."""
        self._apply_plus_and_minus()
        self.wanted = drop_orphans(self.wanted)
        self._raise_levels()

    def realize(self) -> None:
        self.expand()
        self.filtered = frozenset(self.wanted - self.offered)
        self._report_filtered()
        self.features = frozenset(drop_orphans(self.wanted - self.filtered))
        if XAPIC_IDS <= self.apic_id < APIC_ID_UNSET and "x2apic" not in self.features:
            raise ObjectError(f"APIC ID {self.apic_id} requires x2APIC feature in CPU")
        self._settle_phys_bits()

    def _apply_plus_and_minus(self) -> None:
        for names, value in ((self.plus, True), (self.minus, False)):
            for name in names:
                self.set_property(canonical(name), value)

    def _report_filtered(self) -> None:
        if not (self.check or self.enforce):
            return
        for word in WORDS:
            for name in sorted(self.filtered, key=lambda n: BIT_OF[n][1]):
                if BIT_OF[name][0] is word:
                    self.warn(f"{ACCELERATOR} doesn't support requested feature: {word.describe(name)}")
        if self.enforce and self.filtered:
            raise ObjectError(f"{ACCELERATOR} doesn't support requested features")

    def _raise_levels(self) -> None:
        """The highest leaves are at least those of the features that are asked for."""
        needed = {word.leaf for word in (BIT_OF[name][0] for name in self.wanted) if word.is_cpuid}
        if "xsave" in self.wanted:
            needed.add(0xD)
        if "svm" in self.wanted:
            needed.add(0x8000_000A)
        if self.topology is not None and self.topology.dies > 1:
            needed.add(0x1F)
        automatic = needed if self.full_cpuid_auto_level else {7} & needed
        ranges = (("level", 0, 0x4000_0000), ("xlevel", 0x8000_0000, 0xC000_0000), ("xlevel2", 0xC000_0000, 1 << 32))
        for attribute, low, high in ranges:
            leaves = [leaf for leaf in automatic if low <= leaf < high]
            least = max([getattr(self, "min_" + attribute), *leaves])
            setattr(self, "min_" + attribute, least)
            if getattr(self, attribute) is None:
                setattr(self, attribute, least)

    def _settle_phys_bits(self) -> None:
        if "lm" not in self.features:
            self.phys_bits = 36 if "pse36" in self.features else 32
        elif self.phys_bits == 0:
            self.phys_bits = 40
        elif not 32 <= self.phys_bits <= 52:
            raise ObjectError(f"phys-bits should be between 32 and 52 (but is {self.phys_bits})")

    # read-only views
    def _words(self, features: frozenset[str]) -> list[dict[str, Any]]:
        listed = []
        for word in reversed([word for word in WORDS if word.is_cpuid]):  # QEMU: the list is in this order
            entry: dict[str, Any] = {"cpuid-register": word.register, "cpuid-input-eax": word.leaf}
            if word.subleaf is not None:
                entry["cpuid-input-ecx"] = word.subleaf
            listed.append({**entry, "features": word.bits(features)})
        return listed

    @computed("X86CPUFeatureWordInfo")
    def feature_words(self) -> list[dict[str, Any]]:
        return self._words(self.features)

    @computed("X86CPUFeatureWordInfo")
    def filtered_features(self) -> list[dict[str, Any]]:
        return self._words(self.filtered)

    @computed("strList")
    def unavailable_features(self) -> list[str]:
        return sorted(self.filtered, key=_word_and_bit)


def _word_and_bit(name: str) -> tuple[int, int]:
    word, bit = BIT_OF[name]
    return WORDS.index(word), bit


def _install_features() -> None:
    for name in BIT_OF:
        feature = Feature(name)
        attribute = name.replace("-", "_").replace(".", "_")
        setattr(X86Cpu, attribute, feature)
        feature.__set_name__(X86Cpu, attribute)
    X86Cpu.properties = qom.collect_properties(X86Cpu)


_install_features()


class BaseX86Cpu(X86Cpu):
    """No features at all: a starting point for -cpu base,+f,+g."""

    name = "base" + TYPE_SUFFIX


class MaxX86Cpu(X86Cpu):
    """Everything the engine implements, except what depends on the topology."""

    name = "max" + TYPE_SUFFIX
    model_definition = models.MAX
    migratable = Property("bool", True)  # all features here are

    def __init__(self, offered: frozenset[str] = ENGINE_FEATURES) -> None:
        super().__init__(offered)
        self.wanted |= self.offered - OFF_BY_DEFAULT - {"ht", "cmp-legacy"}


class HostX86Cpu(MaxX86Cpu):
    """Listed as in QEMU, and as there usable with a hardware accelerator only: never here."""

    name = "host" + TYPE_SUFFIX

    def realize(self) -> None:
        raise ObjectError("CPU model 'host' requires KVM or HVF")


def _define(name: str, model: models.Model) -> type[X86Cpu]:
    attributes = {"name": name + TYPE_SUFFIX, "model_definition": model, "__module__": __name__,
                  "__doc__": model.model_id or name}  # fmt: skip
    return type(name, (X86Cpu,), attributes)


SPECIAL_CLASSES: dict[str, type[X86Cpu]] = {"max": MaxX86Cpu, "host": HostX86Cpu, "base": BaseX86Cpu}
SPECIAL_DESCRIPTIONS = {"max": "all features that the engine has", "host": "needs hardware virtualization", "base": "no features enabled"}
MODEL_CLASSES = SPECIAL_CLASSES | {name: _define(name, VERSIONS[ALIASES.get(name, name)])
                                   for name in sorted((*VERSIONS, *ALIASES), reverse=True)}  # fmt: skip


def model_names() -> list[str]:
    """Names that -cpu accepts, in the order of query-cpu-definitions."""
    return list(MODEL_CLASSES)


def model_help() -> str:
    """The text of -cpu help."""
    lines = [f"x86 {name:<20}  {_describe(name)}" for name in (*sorted(set(MODEL_CLASSES) - set(SPECIAL_CLASSES)), *sorted(SPECIAL_CLASSES))]
    flags = textwrap.wrap(" ".join(sorted(BIT_OF)), 76, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
    return "\n".join(["Available CPUs:", *lines, "", "Recognized CPUID flags:", *flags])


def _describe(name: str) -> str:
    if name in MACHINE_ALIASES:
        return "(alias configured by machine type)"
    if name in ALIASES:
        return f"(alias of {ALIASES[name]})"
    return SPECIAL_DESCRIPTIONS.get(name) or MODEL_CLASSES[name].model_definition.model_id


def definition_info(name: str) -> dict[str, Any]:
    """The element of query-cpu-definitions for a model."""
    cls = MODEL_CLASSES[name]
    if cls is HostX86Cpu:
        missing = ["kvm"]
    else:
        wanted = drop_orphans(set(cls.model_definition.features - OFF_BY_DEFAULT))
        missing = sorted(wanted - ENGINE_FEATURES, key=_word_and_bit)
    alias = {"alias-of": ALIASES[name]} if name in ALIASES else {}
    return {"name": name, "typename": cls.name, "unavailable-features": missing, **alias, "static": cls is BaseX86Cpu,
            "migration-safe": cls not in (MaxX86Cpu, HostX86Cpu), "deprecated": False}  # fmt: skip
