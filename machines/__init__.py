"""Machines: `Pc` and `Q35`, each with QEMU's command line behind it and a Python API in front; see machine.py and api.py."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_WHERE = {
    "Pc": "machines.pc_piix",
    "Q35": "machines.pc_q35",
    "PcConfig": "machines.config",
    "GuestStopped": "machines.api",
    "Timeout": "machines.api",
}
__all__ = ["GuestStopped", "Pc", "PcConfig", "Q35", "Timeout"]  # noqa: F822 (imported when first used)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'machines' has no attribute '{name}'")
    return getattr(import_module(_WHERE[name]), name)
