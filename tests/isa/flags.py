"""Arithmetic flags in their two forms, written here again so that the engine's own conversions are not trusted."""
from __future__ import annotations

from jit.x86.state import AUX_AF, AUX_CF, AUX_PF_FLIP, AUX_PO, AUX_SF_FLIP, Flag


def lazy_flags(rflags: int) -> tuple[int, int]:
    """(result, aux) that stand for the arithmetic flags of an RFLAGS image."""
    zf, pf, sf = bool(rflags & Flag.ZF), bool(rflags & Flag.PF), bool(rflags & Flag.SF)
    cf, of = bool(rflags & Flag.CF), bool(rflags & Flag.OF)
    aux = AUX_CF * cf | AUX_PO * (cf ^ of) | (AUX_AF if rflags & Flag.AF else 0)
    aux |= AUX_PF_FLIP * (pf ^ zf) | AUX_SF_FLIP * sf
    return (0 if zf else 1), aux


def architectural_flags(result: int, aux: int) -> int:
    """The arithmetic flags, at their RFLAGS places."""
    cf, below = bool(aux & AUX_CF), bool(aux & AUX_PO)
    even = (result & 0xFF).bit_count() % 2 == 0
    found = {Flag.CF: cf, Flag.OF: cf ^ below, Flag.AF: bool(aux & AUX_AF), Flag.ZF: result == 0,
             Flag.SF: bool(result >> 63) ^ bool(aux & AUX_SF_FLIP), Flag.PF: even ^ bool(aux & AUX_PF_FLIP)}
    return sum(int(flag) for flag, value in found.items() if value)
