"""Versions of CPU models: Haswell-v1 to -v4, and the names that stand for one of them.

A version says what differs from the one before it.  On the machine types here a plain name stands for version 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from emu.cpu_models.models import MODELS, Model


@dataclass(frozen=True)
class Version:
    """`changes` are "feature" and "-feature"; `alias` is what the model's name gets instead of the number, if there is one."""

    changes: str = ""
    alias: str = ""
    model_id: str = ""
    model: int | None = None
    stepping: int | None = None

    def applied(self, before: Model) -> Model:
        """The definition that follows from that of the version before."""
        words = self.changes.split()
        gone = {word[1:] for word in words if word[0] == "-"}
        return replace(
            before, features=before.features - gone | {word for word in words if word[0] != "-"},
            model_id=self.model_id or before.model_id,
            model=before.model if self.model is None else self.model,
            stepping=before.stepping if self.stepping is None else self.stepping)  # fmt: skip


NO_TSX, TSX = "-hle -rtm", "hle rtm"
IMMUNE = "arch-capabilities rdctl-no ibrs-all skip-l1dfl-vmentry mds-no"  # to the attacks of 2018

LATER: dict[str, tuple[Version, ...]] = {
    "Nehalem": (Version("spec-ctrl", "IBRS", "Intel Core i7 9xx (Nehalem Core i7, IBRS update)"),),
    "Westmere": (Version("spec-ctrl", "IBRS", "Westmere E56xx/L56xx/X56xx (IBRS update)"),),
    "SandyBridge": (Version("spec-ctrl", "IBRS", "Intel Xeon E312xx (Sandy Bridge, IBRS update)"),),
    "IvyBridge": (Version("spec-ctrl", "IBRS", "Intel Xeon E3-12xx v2 (Ivy Bridge, IBRS)"),),
    "Haswell": (
        Version(NO_TSX, "noTSX", "Intel Core Processor (Haswell, no TSX)", stepping=1),
        Version(f"{TSX} spec-ctrl", "IBRS", "Intel Core Processor (Haswell, IBRS)", stepping=4),
        Version(NO_TSX, "noTSX-IBRS", "Intel Core Processor (Haswell, no TSX, IBRS)", stepping=1),
    ),
    "Broadwell": (
        Version(NO_TSX, "noTSX", "Intel Core Processor (Broadwell, no TSX)"),
        Version(f"{TSX} spec-ctrl", "IBRS", "Intel Core Processor (Broadwell, IBRS)"),
        Version(NO_TSX, "noTSX-IBRS", "Intel Core Processor (Broadwell, no TSX, IBRS)"),
    ),
    "Skylake-Client": (
        Version("spec-ctrl", "IBRS", "Intel Core Processor (Skylake, IBRS)"),
        Version(NO_TSX, "noTSX-IBRS", "Intel Core Processor (Skylake, IBRS, no TSX)"),
        Version("xsaves"),
    ),
    "Skylake-Server": (
        Version("spec-ctrl -clflushopt", "IBRS", "Intel Xeon Processor (Skylake, IBRS)"),
        Version(NO_TSX, "noTSX-IBRS", "Intel Xeon Processor (Skylake, IBRS, no TSX)"),
        Version(),
        Version("xsaves"),
    ),
    "Cascadelake-Server": (Version(IMMUNE), Version(NO_TSX, "noTSX"), Version(), Version("xsaves")),
    "Cooperlake": (Version("xsaves"),),
    "Icelake-Server": (
        Version(NO_TSX, "noTSX"),
        Version(f"{IMMUNE} pschange-mc-no taa-no"),
        Version("avx512ifma fsrm rdpid sha-ni", model=106),
        Version("xsaves"),
        Version(),
    ),
    "Denverton": (Version("-monitor -mpx"), Version("xsaves")),
    "Snowridge": (
        Version("-mpx", model_id="Intel Atom Processor (Snowridge, no MPX)"),
        Version("xsaves"),
        Version("-core-capability -split-lock-detect"),
    ),
    "EPYC": (
        Version("ibpb", "IBPB", "AMD EPYC Processor (with IBPB)"),
        Version("clzero perfctr-core xsaveerptr xsaves", model_id="AMD EPYC Processor"),
    ),
    "EPYC-Rome": (Version("ibrs amd-ssbd"),),
    "Dhyana": (Version("xsaves"),),
}


def _versions(first: Model) -> Iterator[tuple[str, Model]]:
    """Name and definition of each version."""
    yield f"{first.name}-v1", first
    definition = first
    for number, version in enumerate(LATER.get(first.name, ()), start=2):
        definition = version.applied(definition)
        yield f"{first.name}-v{number}", definition


VERSIONS: dict[str, Model] = {name: definition for model in MODELS for name, definition in _versions(model)}
MACHINE_ALIASES = {model.name: f"{model.name}-v1" for model in MODELS}
ALIASES = MACHINE_ALIASES | {f"{name}-{version.alias}": f"{name}-v{number}" for name, later in LATER.items()
                             for number, version in enumerate(later, start=2) if version.alias}  # fmt: skip
