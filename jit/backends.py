"""Back ends by name, without importing any.

    native      machine code, for everything that matters
    bytecode    generated Python under CPython: the reference; needs neither executable memory nor LLVM but for x87 and SSE
    numba       the same source compiled by numba, a tenth of a second or more for every block: for small guests and tests

They differ in nothing that a guest could see: same blocks, same instruction counts, interrupts at the same points.
"""
from __future__ import annotations

import sys
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


def show_progress(done: int, total: int) -> None:
    """A progress line on stderr for the first build; a few lines where that is no terminal."""
    if sys.stderr.isatty():
        print(f"\rbuilding the runtime library: {done} of {total}", end="\n" if done == total else "", file=sys.stderr, flush=True)
    elif done == total or done % 100 == 0:
        print(f"building the runtime library: {done} of {total}", file=sys.stderr, flush=True)
