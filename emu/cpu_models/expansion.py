"""query-cpu-model-expansion: what a model's name stands for, as property values.

"static" names the empty model "base" and all that has to be added to it; "full" lists every property that a user can set.
As in QEMU the values are those a CPU asks for, before the accelerator's filter; `unavailable-features` says what that takes away.
Bits of emu.cpu_models.engine.OFF_BY_DEFAULT are off unless they are asked for, as on every CPU that is made here.
Not here: QEMU's properties for Hyper-V, KVM, VMX and SGX.
"""

from __future__ import annotations

from typing import Any

from emu.cpu_models.cpu import MODEL_CLASSES, X86Cpu
from emu.cpu_models.features import BIT_OF
from emu.qom import ObjectError

STATIC_MODEL = "base"
STATIC_PROPERTIES = ("vendor", "family", "model", "stepping", "model-id", "min-level", "min-xlevel", *BIT_OF)


def expand(kind: str, name: str, properties: Any = None) -> dict[str, Any]:
    """The expanded {"name", "props"} of model `name` with `properties` set.  `kind` is "static" or "full".

    Raises ObjectError."""
    cpu = _model(name)
    # QEMU: properties that are not an object are ignored
    for key, value in (properties if isinstance(properties, dict) else {}).items():
        cpu.set_property(key, value, strict=True)
    cpu.expand()
    names = STATIC_PROPERTIES if kind == "static" else _settable(cpu)
    return {"name": STATIC_MODEL if kind == "static" else name, "props": {key: cpu.get_property(key) for key in sorted(names)}}


def _model(name: str) -> X86Cpu:
    cls = MODEL_CLASSES.get(name)
    if cls is None:
        raise ObjectError(f"CPU model '{name}' not found")
    return cls()


def _settable(cpu: X86Cpu) -> list[str]:
    return [*(name for name, prop in cpu.properties.items() if prop.writable and name not in prop.unlisted), "realized"]
