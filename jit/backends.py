"""Back ends by name, without importing any.

    native      machine code, for everything that matters
    bytecode    generated Python under CPython: the reference; needs neither executable memory nor LLVM but for x87 and SSE
    numba       the same source compiled by numba, a tenth of a second or more for every block: for small guests and tests

They differ in nothing that a guest could see: same blocks, same instruction counts, interrupts at the same points.
"""
from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

Progress = Callable[[int, int], None]
BACKENDS = {"native": "jit.native:Native", "bytecode": "jit.interpret:Bytecode", "numba": "jit.numba_blocks:Numba"}
DEFAULT = "native"


def find(name: str) -> Callable[..., Any]:
    """The class of a back end.  Raises ValueError for a name that does not exist."""
    if name not in BACKENDS:
        raise ValueError(f"there is no back end {name!r}; choose one of {', '.join(BACKENDS)}")
    module, _, attribute = BACKENDS[name].partition(":")
    return getattr(import_module(module), attribute)
