"""What word functions may call besides each other: raw memory, signed views, wide arithmetic, bit counts.

Each primitive stands here twice: for CPython (`REFERENCE`) and for numba (`numba_primitives`, one small intrinsic each).
Addresses are host addresses; a guest reaches these only through what the soft TLB or the RAM table bounds.
"""
from __future__ import annotations

import ctypes
from typing import Any

MASK64 = (1 << 64) - 1
_CELLS = {8: ctypes.c_uint8, 16: ctypes.c_uint16, 32: ctypes.c_uint32, 64: ctypes.c_uint64}


def _load(bits: int) -> Any:
    cell = _CELLS[bits]
    return lambda address: cell.from_address(address).value


def _store(bits: int) -> Any:
    cell = _CELLS[bits]

    def store(address: int, value: int) -> int:
        cell.from_address(address).value = value & ((1 << bits) - 1)
        return 0

    return store


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _sext(value: int, bits: int) -> int:
    """The low `bits` of value (1 to 64) with their top bit repeated upwards."""
    value &= (1 << bits) - 1
    return (value - (1 << bits)) & MASK64 if value >> (bits - 1) else value


def _udiv128(high: int, low: int, divisor: int) -> int:
    return ((high << 64 | low) // divisor) & MASK64


def _urem128(high: int, low: int, divisor: int) -> int:
    return (high << 64 | low) % divisor


def _memmove(destination: int, source: int, size: int) -> int:
    ctypes.memmove(destination, source, size)
    return 0


def _memset(destination: int, byte: int, size: int) -> int:
    ctypes.memset(destination, byte, size)
    return 0


PYTHON_FUNCTIONS: list[Any] = []       # reference back end: small "addresses" index this list


def python_address(function: Any) -> int:
    """An "address" at which word functions that CPython runs can call a Python function."""
    if function not in PYTHON_FUNCTIONS:
        PYTHON_FUNCTIONS.append(function)
    return PYTHON_FUNCTIONS.index(function)


def _call(address: int, *args: int) -> int:
    if address < len(PYTHON_FUNCTIONS):
        return PYTHON_FUNCTIONS[address](*args)
    prototype = ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * len(args))
    return prototype(address)(*args)


REFERENCE: dict[str, Any] = {
    **{f"load{bits}": _load(bits) for bits in _CELLS},
    **{f"store{bits}": _store(bits) for bits in _CELLS},
    "sar": lambda value, count: (_signed(value) >> count) & MASK64,
    "slt": lambda a, b: int(_signed(a) < _signed(b)),
    "sext": _sext,
    "mulhu": lambda a, b: a * b >> 64,
    "udiv128": _udiv128,
    "urem128": _urem128,
    "clz": lambda value: 64 - value.bit_length(),
    "ctz": lambda value: (value & -value).bit_length() - 1 if value else 64,
    "popcount": lambda value: value.bit_count(),
    "memmove": _memmove,
    "memset": _memset,
    "call1": _call, "call2": _call, "call3": _call, "call4": _call, "call5": _call,
}


def numba_primitives() -> dict[str, Any]:
    """The same names as numba intrinsics.  Imports numba: only the build of the runtime library does that."""
    from jit.numba_primitives import INTRINSICS

    return INTRINSICS
