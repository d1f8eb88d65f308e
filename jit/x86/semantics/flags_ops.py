"""Instructions on single flags (Intel SDM vol. 2).  CLI, STI, POPF: system.py."""
from __future__ import annotations

from jit.ir import Slot
from jit.x86.builder import Builder, semantics
from jit.x86.state import X86, Flag

AH = Slot(X86.offset("gpr") + 1)
IN_AH = int(Flag.CF | Flag.PF | Flag.AF | Flag.ZF | Flag.SF)


@semantics("clc")
def clc(b: Builder) -> None:
    b.flags.carry(b.const(0, 1))


@semantics("stc")
def stc(b: Builder) -> None:
    b.flags.carry(b.const(1, 1))


@semantics("cmc")
def cmc(b: Builder) -> None:
    b.flags.carry(b.flags.cf() ^ 1)


@semantics("cld")
def cld(b: Builder) -> None:
    b.set_field("eflags", b.field("eflags") & ~int(Flag.DF))


@semantics("std")
def std(b: Builder) -> None:
    b.set_field("eflags", b.field("eflags") | int(Flag.DF))


@semantics("lahf")
def lahf(b: Builder) -> None:
    b.put(AH, ((b.flags.image() & IN_AH) | int(Flag.ONE)).trunc(8))


@semantics("sahf")
def sahf(b: Builder) -> None:
    image = b.get(AH, 8).zext(64) & IN_AH
    b.flags.load(image | (b.flags.of().zext(64) << (int(Flag.OF).bit_length() - 1)))
