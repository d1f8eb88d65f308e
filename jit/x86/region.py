"""x86 instructions as regions want them: operands known, constants folded, conditions computed from what set the flags.

`instruction` runs the semantics again with the numbers in place of holes.  Values are numbered through, and each instruction
knows the flags that the one before it on the same path left, so that a condition behind CMP is a comparison of CMP's operands
and not of the lazy words.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jit.ir import Slot, Uop, Value, python_function
from jit.x86.builder import Builder, NoSemantics
from jit.x86.flags import AUX, COMPARISONS, Flags
from jit.x86.insn import decode
from jit.x86.state import X86

UNFOLDED = {"sdiv", "srem", "udiv", "urem", "bswap"}       # division by a constant 0 is guarded by its own check
NEUTRAL = {"add", "sub", "or", "xor", "shl", "lshr", "ashr", "rotl", "rotr"}   # x op 0 is x
# Record slots that a region keeps in host registers: (offset, bytes of a slot, slots).  All others stay where they are.
SLOTS = ((X86.offset("gpr"), 8, 16), (X86.offset("xmm"), 16, 16))
LAZY = (X86.offset("result"), X86.offset("aux"))
CARRY = -8                              # stands for `aux` where only its carry counts: for INC and DEC, which keep it
# Runtime functions that neither read nor write such slots.
PURE_HELPERS = frozenset({"segment_check", "segment_check_write", "divide_unsigned", "divide_signed",
                          "load_slow", "load_for_write", "store_slow", "probe_slow"})
RETURNS = {"ret"}


@dataclass
class Step:
    """One concrete instruction."""

    uops: list[Uop]
    length: int
    flags: RegionFlags                  # what the next instruction on this path may know
    count: int                          # of values so far
    constants: dict[int, int]           # value number -> constant
    returns_to: int | None              # a call: where its return comes back
    is_return: bool


class RegionFlags(Flags):
    """Flags of one instruction, and what is known of those before it: `before` is None at the start of a path."""

    def __init__(self, builder: Builder, before: RegionFlags | None):
        super().__init__(builder)
        self._before = before
        self.outcome: Value | None = None                   # ZF and SF follow from this value, of the operation's width
        self.untouched = True
        self._keeps = ""

    @property
    def _builder(self) -> RegionBuilder:
        assert isinstance(self._b, RegionBuilder)
        return self._b

    def known(self) -> RegionFlags | None:
        """The instruction that set the flags last, seen from the next one."""
        return self._before if self.untouched and self._before else None if self.untouched else self

    # --- writers
    def add(self, x: Value, y: Value | int, r: Value, keep: str = "") -> None:
        y = self._b.value(y, x.bits)
        self._keeps = keep
        super().add(r - y if self._is("add", r, x, y) else x, y, r, keep)
        self._keeps, self.outcome = "", r

    def sub(self, x: Value, y: Value | int, r: Value, keep: str = "") -> None:
        y = self._b.value(y, x.bits)
        self._keeps = keep
        super().sub(r + y if self._is("sub", r, x, y) else x, y, r, keep)
        self._keeps, self.outcome = "", r
        self.compared = None if keep else (x, y)

    def _is(self, op: str, r: Value, x: Value, y: Value) -> bool:
        """Is r just `x op y`?  Then x follows from r and need not be kept for the flags' sake."""
        made = next((u for u in reversed(self._b.uops) if u.out is not None and u.out.number == r.number), None)
        return made is not None and made.op == op and self._same(made.args[0], x) and self._same(made.args[1], y)

    def _same(self, a: Value, b: Value) -> bool:
        known = self._builder.constants
        return a.number == b.number or a.number in known and known[a.number] == known.get(b.number)

    def logic(self, r: Value) -> None:
        super().logic(r)
        self.outcome = r

    def carry_overflow(self, r: Value, cf: Value, of: Value, af: Value | None = None) -> None:
        super().carry_overflow(r, cf, of, af)
        self.outcome = r

    def write_if(self, condition: Value) -> None:
        constant = self._builder.constants.get(condition.number)
        if constant == 0:
            self.written, self.compared, self.outcome, self.untouched = None, None, None, True
        elif constant is None:
            super().write_if(condition)
            self.outcome = None

    def _write(self, result: Value | None, aux: Value) -> None:
        super()._write(result, aux)
        self.outcome, self.untouched = None, False

    # --- readers
    def test(self, condition: str) -> Value:
        source = self._source()
        if source and source.compared and condition in COMPARISONS:
            return COMPARISONS[condition](*(self._mine(v) for v in source.compared))
        return super().test(condition)

    def cf(self) -> Value:
        source = self._source()
        if source and source.compared:
            x, y = source.compared
            return self._b.pure("ult", 1, x, y)
        return super().cf()

    def zf(self) -> Value:
        source = self._source()
        return self._mine(source.outcome).eq(0) if source and source.outcome else super().zf()

    def sf(self) -> Value:
        source = self._source()
        return self._mine(source.outcome).slt(0) if source and source.outcome else super().sf()

    def _get(self, slot: Slot) -> Value:
        return self._b.get(Slot(CARRY), 64) if self._keeps and slot is AUX else super()._get(slot)

    def _source(self) -> RegionFlags | None:
        return self._before.known() if self._before and not self.fused else None

    def _mine(self, value: Value) -> Value:
        """A value of an earlier instruction, for arithmetic in this one."""
        return Value(self._b, value.number, value.bits)


class RegionBuilder(Builder):
    """Builds concrete instructions; `first` is the number of its first value."""

    def __init__(self, insn: Any, before: RegionFlags | None, first: int, constants: dict[int, int]):
        super().__init__(insn)
        self.flags = RegionFlags(self, before)
        self._count = first
        self.constants = constants

    def const(self, value: int, bits: int) -> Value:
        result = super().const(value, bits)
        self.constants[result.number] = value & ((1 << bits) - 1)
        return result

    def pure(self, op: str, bits: int, *args: Value) -> Value:
        known = [self.constants.get(a.number) for a in args]
        if op == "select" and known[0] is not None:
            return args[1] if known[0] else args[2]
        if op in NEUTRAL and known[1] == 0:
            return args[0]
        if op not in UNFOLDED and bits <= 64 and all(k is not None for k in known):
            return self.const(python_function(op, bits, args[0].bits)(*known), bits)
        return super().pure(op, bits, *args)

    def select(self, condition: Value, yes: Value | int, no: Value | int) -> Value:
        chosen = self.constants.get(condition.number)
        if chosen is None:
            return super().select(condition, yes, no)
        value, other = (yes, no) if chosen else (no, yes)
        bits = value.bits if isinstance(value, Value) else other.bits if isinstance(other, Value) else 64
        return self.value(value, bits)


def instruction(code: bytes, pc: int, mode: int, before: RegionFlags | None, first: int,
                constants: dict[int, int]) -> Step | None:
    """The first instruction in `code`, which is at offset `pc` in CS; None for what has no semantics.  Its values are numbered
    from `first`; `constants` holds those of earlier instructions and is added to."""
    insn = decode(code, pc, mode, concrete=True)
    if insn is None:
        return None
    builder = RegionBuilder(insn, before, first, constants)
    try:
        uops = builder.build()
    except NoSemantics:
        return None
    near = bool(uops) and uops[-1].op in ("goto", "indirect")
    returns_to = pc + insn.length if near and insn.mnemonic == "call" else None
    return Step(uops, insn.length, builder.flags, builder._count, constants, returns_to, insn.mnemonic in RETURNS)
