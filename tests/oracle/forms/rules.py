"""Which result bits the manual leaves undefined (SDM vol. 2, "Flags Affected" of each instruction; vol. 1, table 8-1).

A BSF or BSR of zero leaves the destination as it was on every CPU there is, and guests rely on it: compared, but for
the upper half of a 64-bit register under a 32-bit operand, where CPUs differ.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..state import ARITHMETIC, Flags, SwBit, Window

if TYPE_CHECKING:
    from .build import Builder
    from .table import Form

NONE = Flags(0)
AF, CF, OF, ZF = Flags.AF, Flags.CF, Flags.OF, Flags.ZF


def undefined_flags(rule: str, b: Builder) -> Flags:
    """The mask for a form's `undefined` column: a rule's name, or names of flags."""
    if rule in RULES:
        return RULES[rule](b)
    mask = NONE
    for name in rule.split():
        mask |= Flags[name]
    return mask


def undefined_sw(form: Form) -> SwBit:
    """x87 condition codes that the form leaves undefined; comparing and examining forms define all."""
    name = form.mnemonic
    if not form.group.startswith("x87") or name.startswith(("fcom", "fucom", "ficom", "ftst", "fxam")):
        return SwBit(0)
    if name in ("fprem", "fprem1"):
        return SwBit(0)
    if name in ("fsin", "fcos", "fsincos", "fptan"):
        return SwBit.C0 | SwBit.C1 | SwBit.C3
    if name in ("fpatan", "f2xm1", "fyl2x", "fyl2xp1"):
        return SwBit.C0 | SwBit.C1 | SwBit.C2 | SwBit.C3
    if name in ("fnclex", "fnstcw", "fldcw", "fnstsw", "ffree", "fnop"):
        return SwBit.C0 | SwBit.C1 | SwBit.C2 | SwBit.C3
    if name in ("fninit", "frstor", "fldenv", "fxrstor", "fcomi", "fcomip", "fucomi", "fucomip"):
        return SwBit(0)
    return SwBit.C0 | SwBit.C2 | SwBit.C3


def masked_count(b: Builder) -> int:
    """Shift count as the CPU uses it: modulo 64 for 64-bit operands, else modulo 32."""
    return b.count & (63 if b.operands[0].bits == 64 else 31)


def _shift(b: Builder) -> Flags:
    count, bits = masked_count(b), b.operands[0].bits
    if count == 0:
        return NONE
    carry_lost = count >= bits and not b.form.mnemonic.endswith("sar")
    return AF | (OF if count != 1 else NONE) | (CF if carry_lost else NONE)


def _rotate(b: Builder) -> Flags:
    return OF if masked_count(b) > 1 else NONE


def _double_shift(b: Builder) -> Flags:
    count, target = masked_count(b), b.operands[0]
    if count == 0:
        return NONE
    if count > target.bits:                     # 16-bit operands only: the result itself is undefined
        b.undefined_gpr[target.number] = 0xFFFF if target.kind == "r" else 0
        if target.kind == "m":
            b.undefined_memory += (Window(target.address, 2),)
        return ARITHMETIC
    return AF | (OF if count != 1 else NONE)


def _bit_scan(b: Builder) -> Flags:
    target, source = b.operands
    if b.get(source) == 0 and target.bits == 32 and b.mode == 64:
        b.undefined_gpr[target.number] = 0xFFFF_FFFF << 32
    return ARITHMETIC & ~ZF


RULES: dict[str, Callable[[Builder], Flags]] = {
    "all": lambda b: ARITHMETIC,
    "multiply": lambda b: Flags.SF | ZF | AF | Flags.PF,
    "shift": _shift,
    "rotate": _rotate,
    "double_shift": _double_shift,
    "bit_scan": _bit_scan,
    "bit_test": lambda b: OF | Flags.SF | AF | Flags.PF,
}
