"""Operand values worth trying: the edges of each format first, random ones between them.  All take a seeded Random."""
from __future__ import annotations

from collections.abc import Sequence
from random import Random

EDGE_SHARE = 0.7                # share of values taken from the edges


def integer_edges(bits: int) -> list[int]:
    """Unsigned patterns around 0, the sign bit, and the limits of the narrower widths."""
    mask = (1 << bits) - 1
    edges = {0, 1, 2, mask, mask - 1}
    for width in (8, 16, 32, 64):
        if width <= bits:
            half = 1 << width - 1
            edges |= {half, half - 1, half + 1, 2 * half - 1, mask & -half, mask & ~(half - 1), 0x55 * (2 * half - 1) // 0xFF}
    return sorted(edges)


_INTEGER_EDGES = {bits: integer_edges(bits) for bits in (8, 16, 32, 64, 128)}

# IEEE 754 binary32 and binary64 as bit patterns, x87 double extended as 80-bit patterns.
F32_EDGES = (0x00000000, 0x80000000, 0x3F800000, 0xBF800000, 0x3F000000, 0x40490FDB, 0x4B800000, 0x4F000000, 0xCF000000,
             0x5F000000, 0x00000001, 0x807FFFFF, 0x00800000, 0x80800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000,
             0x7FC00000, 0xFFC00000, 0x7FC12345, 0x7F800001, 0xFFA00000, 0x3FC00000, 0x40200000, 0xC0600000, 0x33800000)
F64_EDGES = (0x0000000000000000, 0x8000000000000000, 0x3FF0000000000000, 0xBFF0000000000000, 0x3FE0000000000000,
             0x400921FB54442D18, 0x4340000000000000, 0x41E0000000000000, 0xC1E0000000000000, 0x43E0000000000000,
             0xC3E0000000000000, 0x41DFFFFFFFC00000, 0x0000000000000001, 0x800FFFFFFFFFFFFF, 0x0010000000000000,
             0x8010000000000000, 0x7FEFFFFFFFFFFFFF, 0xFFEFFFFFFFFFFFFF, 0x7FF0000000000000, 0xFFF0000000000000,
             0x7FF8000000000000, 0xFFF8000000000000, 0x7FF8123456789ABC, 0x7FF0000000000001, 0xFFF4000000000000,
             0x3FF8000000000000, 0x4004000000000000, 0x47EFFFFFE0000000, 0x47EFFFFFF0000000, 0x3690000000000000,
             0x380FFFFFC0000000)


def f80(sign: int, exponent: int, mantissa: int) -> int:
    """Double extended pattern; the mantissa's top bit is the explicit integer bit."""
    return sign << 79 | exponent << 64 | mantissa


_ONE = 1 << 63
F80_EDGES = (f80(0, 0, 0), f80(1, 0, 0), f80(0, 0x3FFF, _ONE), f80(1, 0x3FFF, _ONE), f80(0, 0x3FFE, _ONE),
             f80(0, 0x4000, 0xC90FDAA22168C235), f80(0, 0x3FFF, 0xC000 << 48), f80(1, 0x4000, 0xA000 << 48),
             f80(0, 0, 1), f80(1, 0, _ONE - 1), f80(0, 0, _ONE), f80(0, 1, _ONE), f80(0, 0x7FFE, (1 << 64) - 1),
             f80(1, 0x7FFE, (1 << 64) - 1), f80(0, 0x7FFF, _ONE), f80(1, 0x7FFF, _ONE), f80(0, 0x7FFF, 3 << 62),
             f80(1, 0x7FFF, 3 << 62), f80(0, 0x7FFF, _ONE | 1), f80(1, 0x7FFF, 0xC000123456789ABC),
             f80(0, 0x401D, 0xFFFFFFFE00000000), f80(1, 0x401E, _ONE), f80(0, 0x403D, (1 << 64) - 2), f80(1, 0x403E, _ONE),
             f80(0, 0x43FE, 0xFFFFFFFFFFFFF800), f80(0, 0x43FF, _ONE), f80(0, 0x3C01, _ONE), f80(0, 0x3C00, _ONE | 1),
             f80(0, 0x407E, (1 << 64) - 1), f80(0, 0x3F6A, _ONE), f80(0, 0x400E, _ONE), f80(1, 0x400D, 0xFFFE << 48))
# Encodings the FPU refuses (invalid operand): pseudo-infinity, pseudo-NaN, unnormal.
F80_UNSUPPORTED = (f80(0, 0x7FFF, 0), f80(0, 0x7FFF, 1), f80(1, 0x3FFF, 1 << 62))

SHIFT_COUNTS = (0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 255)


def integer(rng: Random, bits: int) -> int:
    """An unsigned pattern of that width."""
    if rng.random() < EDGE_SHARE:
        return rng.choice(_INTEGER_EDGES[bits])
    return rng.getrandbits(bits)


def word(rng: Random) -> int:
    """A 64-bit register content that is interesting at any of the widths."""
    low = rng.choice((8, 16, 32, 64, 64))
    return (rng.getrandbits(64) >> low << low) & ((1 << 64) - 1) | integer(rng, low)


def _floating(rng: Random, edges: Sequence[int], ordinary: int, bits: int) -> int:
    pick = rng.random()
    if pick < 0.5:
        return rng.choice(edges)
    return ordinary if pick < 0.8 else rng.getrandbits(bits)


def f32(rng: Random) -> int:
    """A binary32 pattern: an edge, an ordinary number of moderate size, or random bits."""
    return _floating(rng, F32_EDGES, rng.getrandbits(1) << 31 | rng.randint(0x70, 0x8E) << 23 | rng.getrandbits(23), 32)


def f64(rng: Random) -> int:
    """A binary64 pattern, chosen as in `f32`."""
    ordinary = rng.getrandbits(1) << 63 | rng.randint(0x3E0, 0x41E) << 52 | rng.getrandbits(52)
    return _floating(rng, F64_EDGES, ordinary, 64)


def f80_value(rng: Random) -> int:
    """A double extended pattern that is supported: never a pseudo-infinity, pseudo-NaN or unnormal."""
    ordinary = f80(rng.getrandbits(1), rng.randint(0x3FF0, 0x4010), _ONE | rng.getrandbits(63))
    wide = f80(rng.getrandbits(1), rng.randint(1, 0x7FFE), _ONE | rng.getrandbits(63))
    pick = rng.random()
    return rng.choice(F80_EDGES) if pick < 0.5 else ordinary if pick < 0.85 else wide


def packed_bcd(rng: Random) -> int:
    """18 decimal digits and a sign, as FBLD takes them."""
    digits = rng.choice((0, 1, 10 ** 18 - 1, rng.randrange(10 ** 18), rng.randrange(10 ** 9)))
    return int(str(digits), 16) | rng.choice((0, 0x80)) << 72


_LANES = {"f32": (f32, 32), "f64": (f64, 64), "i8": (lambda r: integer(r, 8), 8), "i16": (lambda r: integer(r, 16), 16),
          "i32": (lambda r: integer(r, 32), 32), "i64": (lambda r: integer(r, 64), 64)}


def vector(rng: Random, lanes: str, bits: int = 128) -> int:
    """`bits` of packed lanes ("f32", "f64", "i8" .. "i64"; "int" picks a width)."""
    if lanes == "int":
        lanes = rng.choice(("i8", "i16", "i32", "i64"))
    make, width = _LANES[lanes]
    value = 0
    for at in range(0, bits, width):
        value |= make(rng) << at
    return value & (1 << bits) - 1
