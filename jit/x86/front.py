"""The x86-64 front end, as the engine takes it: record, runtime modules, forms to micro-ops."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from pkgutil import iter_modules

import jit.x86

from jit.ir import Uop
from jit.state import TemplateFlag
from jit.x86 import decode
from jit.x86.builder import CONDITIONS, IMMEDIATE_IN_FORM, Builder, NoSemantics
from jit.x86.flags import AUX, RESULT
from jit.x86.insn import Insn
from jit.x86.insn import decode as decode_insn
from jit.x86.state import X86, Vector

RUNTIME_MODULES = ("jit.dispatch", "jit.exact", *(f"jit.x86.{m.name}" for m in iter_modules(jit.x86.__path__) if not m.ispkg))
PAIR = 1 << 15                          # mode bit of an example: two instructions that are one form
# What is worth fusing with a conditional jump, and with which: the parity and overflow conditions are rare.
FUSED = {"cmp", "test", "sub", "add", "and", "or", "xor", "dec", "inc", "bt"}
CONDITIONAL_JUMPS = {f"j{cc}" for cc in CONDITIONS - {"o", "no", "p", "np"}}
CAN_LEAVE = {"load", "store", "probe", "raise_if", "call"}
ENDS = {"goto": 1, "branch": 2, "indirect": 0, "leave": 0}


@dataclass
class FormCode:
    """One form as micro-ops, and what the translator must know of it."""

    uops: list[Uop]
    flags: TemplateFlag
    exits: tuple[str | None, str | None]        # holes of the direct jump's targets


class X86Front:
    """What is x86's in the engine."""

    layout = X86
    modules = RUNTIME_MODULES
    walk, raise_fault, before_step, after_step = "x86_walk", "raise_fault", "debug_before", "debug_after"
    watch = "x86_watch"
    form_key, form_fill = "x86_form_key", "x86_form_fill"
    mxcsr_field = "mxcsr"
    regions = "jit.x86.region"              # module of what regions need to know

    def __init__(self) -> None:
        import jit.x86.semantics  # noqa: F401  (registers all semantics)

        self.missing: set[str] = set()          # mnemonics met that have no semantics
        self.registers = decode.register_table()
        self.traits = decode.trait_table(IMMEDIATE_IN_FORM)

    def decoders(self) -> list[object]:
        """capstone objects by code size: 16, 32, 64 bits."""
        import capstone

        found = [capstone.Cs(capstone.CS_ARCH_X86, m) for m in (capstone.CS_MODE_16, capstone.CS_MODE_32, capstone.CS_MODE_64)]
        for decoder in found:
            decoder.detail = True
        return found

    def listed_forms(self) -> list[tuple[int, bytes]]:
        """(mode, bytes) of one instruction for each form that guests are known to use (forms.txt)."""
        lines = (Path(__file__).parent / "forms.txt").read_text().split()
        return [(int(mode, 16), bytes.fromhex(code)) for mode, _, code in (line.partition(":") for line in lines)]

    def form(self, code: bytes, mode: int) -> FormCode:
        """The form of the first instruction in `code`, or with PAIR in `mode` of that and the conditional jump after it; #UD for
        what has no semantics."""
        insn = decode_insn(code, 0, mode & ~PAIR, concrete=False)
        if insn is None:
            return self.undefined()
        builder = Builder(insn)
        try:
            builder.build(last=not mode & PAIR)
            if mode & PAIR:
                jump = decode_insn(code[insn.length:], 0, mode & ~PAIR, concrete=False)
                assert jump is not None
                builder.continue_with(jump)
            return describe(builder, builder.finish())
        except NoSemantics as error:
            return self._without_semantics(error)

    def instruction(self, code: bytes, pc: int, mode: int) -> tuple[FormCode, int] | None:
        """The first instruction in `code`, which is at offset `pc` in CS, with numbers for operands, and its length; None where
        there is none."""
        insn = decode_insn(code, pc, mode, concrete=True)
        if insn is None:
            return None
        builder = Builder(insn)
        try:
            return describe(builder, builder.build()), insn.length
        except NoSemantics as error:
            return self._without_semantics(error), insn.length

    def _without_semantics(self, error: NoSemantics) -> FormCode:
        self.missing.add(str(error))
        form = self.undefined()
        return FormCode(form.uops, form.flags | TemplateFlag.MISSING, form.exits)

    def first_length(self, code: bytes, mode: int) -> int:
        """Length of the first instruction."""
        insn = decode_insn(code, 0, mode, concrete=False)
        return insn.length if insn else 0

    def undefined(self) -> FormCode:
        builder = Builder(Insn("ud2", [], mode=0, concrete=False))  # type: ignore[arg-type]
        builder.raise_if(builder.const(1, 1), Vector.UD)
        return FormCode(builder.finish(), TemplateFlag.FAULTS | TemplateFlag.LAST, (None, None))


def describe(builder: Builder, uops: list[Uop]) -> FormCode:
    flags = TemplateFlag(0)
    names = {uop.op for uop in uops}
    if "put_flags" in names:
        flags |= TemplateFlag.WRITES_FLAGS
    if names & CAN_LEAVE:
        flags |= TemplateFlag.FAULTS
    if _reads_flags(uops) or "call" in names:
        flags |= TemplateFlag.READS_LIVE
    if _reads_flags([u for u in _live(uops) if u.op != "put_flags"]) or "call" in names:
        flags |= TemplateFlag.READS_DEAD
    last = uops[-1] if uops else None
    exits: tuple[str | None, str | None] = (None, None)
    if last is not None and last.op in ENDS:
        flags |= TemplateFlag.ENDS
        exits = (None, None) if builder.insn.concrete else _exits(last, uops)
    for present, flag in ((builder.last, TemplateFlag.LAST), (builder.single, TemplateFlag.ALONE)):
        if present:
            flags |= flag
    if builder.insn.mnemonic in FUSED and "put_flags" in names and not names & {"call", *ENDS}:
        flags |= TemplateFlag.FUSES
    if last is not None and last.op == "branch" and builder.insn.mnemonic in CONDITIONAL_JUMPS:
        flags |= TemplateFlag.CONDITIONAL
    return FormCode(uops, flags, exits)


def _exits(last: Uop, uops: list[Uop]) -> tuple[str | None, str | None]:
    holes = {uop.out.number: uop.data for uop in uops if uop.op == "hole" and uop.out}
    if last.op == "goto":
        return holes[last.args[0].number], None
    if last.op == "branch":
        return holes[last.args[1].number], holes[last.args[2].number]
    return None, None


def _reads_flags(uops: list[Uop]) -> bool:
    return any(uop.op == "get" and uop.data in (RESULT, AUX) for uop in uops)


def _live(uops: list[Uop]) -> list[Uop]:
    """The micro-ops that remain when flag writes are dropped: those with an effect, and what they need."""
    needed: set[int] = set()
    kept: list[Uop] = []
    for uop in reversed(uops):
        pure = uop.out is not None and uop.op not in ("load", "call", "host")
        if uop.op == "put_flags" or (pure and uop.out and uop.out.number not in needed):
            continue
        needed.update(arg.number for arg in uop.args)
        kept.append(uop)
    return kept[::-1]


