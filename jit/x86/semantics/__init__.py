"""All x86 semantics, one module per instruction group; importing the package registers them."""
from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from jit.x86.builder import IMMEDIATE_IN_FORM, SEMANTICS

__all__ = ["IMMEDIATE_IN_FORM", "SEMANTICS"]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
