"""Lazy arithmetic flags: how operations leave them in `result` and `aux`, and how conditions read them.

`result` is the operation's result, sign-extended to 64 bits.  `aux` is built from the carry-out vector c of the operation,
whose bit i is the carry (or borrow) out of bit i: its two top bits go to 63 and 62, its bit 3 stays (jit/x86/state.py).
Readers need no record of what the operation was.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from jit.ir import Slot, Value
from jit.x86.state import AUX_AF, AUX_CF, AUX_PF_FLIP, AUX_PO, AUX_SF_FLIP, X86, Flag

if TYPE_CHECKING:
    from jit.x86.builder import Builder

RESULT, AUX = Slot(X86.offset("result")), Slot(X86.offset("aux"))
_KEPT = AUX_CF | AUX_PO | AUX_AF

# Conditions after a subtraction x - y (or a logical operation, as r - 0), from its operands.
COMPARISONS = {
    "e": lambda x, y: x.eq(y), "b": lambda x, y: x.ult(y), "be": lambda x, y: x.ule(y),
    "l": lambda x, y: x.slt(y), "le": lambda x, y: x.sle(y), "s": lambda x, y: (x - y).slt(0),
}


class Flags:
    """The flags of the instruction being built: writers first, then readers (which see the flags before it)."""

    def __init__(self, builder: Builder):
        self._b = builder
        self.written: tuple[Value | None, Value] | None = None  # result (None: as it was), aux
        self.compared: tuple[Value, Value] | None = None        # operands of a subtraction, for fused conditions
        self.fused = False              # readers come after the writer: they see what it wrote
        self.reads = False

    # --- writers
    def add(self, x: Value, y: Value | int, r: Value, keep: str = "") -> None:
        """r = x + y (+ carry).  `keep="cf"` leaves CF as it was."""
        y = self._b.value(y, x.bits)
        self._arithmetic(r, (x & y) | ((x | y) & ~r), keep)

    def sub(self, x: Value, y: Value | int, r: Value, keep: str = "") -> None:
        """r = x - y (- borrow)."""
        y = self._b.value(y, x.bits)
        self._arithmetic(r, (~x & y) | ((~x | y) & r), keep)
        if not keep:
            self.compared = (x, y)

    def logic(self, r: Value) -> None:
        """CF = OF = AF = 0."""
        self._write(r.sext(64), self._b.const(0, 64))
        self.compared = (r, self._b.const(0, r.bits))

    def carry_overflow(self, r: Value, cf: Value, of: Value, af: Value | None = None) -> None:
        """SF, ZF, PF from r; CF, OF and AF from one-bit values, AF = 0 by default.  For shifts and multiplications."""
        aux = self._carry_bits(cf, of)
        self._write(r.sext(64), aux | (af.zext(64) << 3) if af is not None else aux)

    def carry(self, cf: Value) -> None:
        """CF only."""
        aux = self._get(AUX)
        flip = (aux ^ (cf.zext(64) << 63)) & AUX_CF             # of bit 63, and of bit 62 so that OF stays
        self._write(None, aux ^ flip ^ (flip >> 1))

    def keep_result(self, cf: Value, of: Value, af: Value | None = None) -> None:
        """New CF and OF (one bit each); SF, ZF, PF and, without `af`, AF as they were.  For rotates, ADCX."""
        kept = AUX_PF_FLIP | AUX_SF_FLIP | (0 if af is not None else AUX_AF)
        aux = (self._get(AUX) & kept) | self._carry_bits(cf, of)
        if af is not None:
            aux = aux | (af.zext(64) << 3)
        self._write(None, aux)

    def set(self, **flags: Value) -> None:
        """All six flags from one-bit values: set(cf=, pf=, af=, zf=, sf=, of=); those left out become 0."""
        b, zero = self._b, self._b.const(0, 1)
        cf, pf, af, zf, sf, of = (flags.get(n, zero) for n in ("cf", "pf", "af", "zf", "sf", "of"))
        # result: 0 when ZF (its parity is even, its sign clear), else 1 (odd, clear); the flips correct PF and SF
        result = zf.zext(64) ^ 1
        pf_flip = pf ^ zf                                   # parity of result's byte is ZF
        aux = (pf_flip.zext(64) << 2) | sf.zext(64) | (af.zext(64) << 3)
        self._write(result, aux | self._carry_bits(cf, of))
        del b

    def load(self, word: Value) -> None:
        """All six from a FLAGS image (64 bits wide), as POPF, SAHF and IRET do."""
        def bit(flag: Flag) -> Value:
            return ((word >> (int(flag).bit_length() - 1)) & 1).trunc(1)

        self.set(cf=bit(Flag.CF), pf=bit(Flag.PF), af=bit(Flag.AF), zf=bit(Flag.ZF), sf=bit(Flag.SF), of=bit(Flag.OF))

    def comparison(self, image: Value) -> None:
        """ZF, PF and CF from their places in a FLAGS image (64 bits); SF, OF and AF become 0.  For COMISS, FCOMI, PTEST."""
        zf, cf = (image >> 6) & 1, image & 1
        parity = (image ^ (image >> 4)) & AUX_PF_FLIP           # PF ^ ZF
        self._write(zf ^ 1, parity | (cf * (AUX_CF | AUX_PO)))

    def write_if(self, condition: Value) -> None:
        """Make the flag write of this instruction conditional (shift counts of zero change nothing)."""
        assert self.written
        result, aux = self.written
        b = self._b
        kept = result and b.select(condition, result, self._get(RESULT))
        self.written = (kept, b.select(condition, aux, self._get(AUX)))
        self.compared = None

    # --- readers: one-bit values
    def cf(self) -> Value:
        return self._get(AUX).slt(0)

    def zf(self) -> Value:
        return self._get(RESULT).eq(0)

    def sf(self) -> Value:
        result, aux = self._get(RESULT), self._get(AUX)
        return (result ^ (aux << 63)).slt(0)

    def of(self) -> Value:
        aux = self._get(AUX)
        return (aux ^ (aux << 1)).slt(0)

    def af(self) -> Value:
        return ((self._get(AUX) >> 3) & 1).trunc(1)

    def pf(self) -> Value:
        ones = (self._get(RESULT) & 0xFF).popcount()
        return ((ones ^ (self._get(AUX) >> 2)).trunc(1)) ^ 1

    def image(self) -> Value:
        """CF PF AF ZF SF OF at their RFLAGS places, 64 bits."""
        pairs = [(self.cf(), 0), (self.pf(), 2), (self.af(), 4), (self.zf(), 6), (self.sf(), 7), (self.of(), 11)]
        image = self._b.const(0, 64)
        for bit, place in pairs:
            image = image | (bit.zext(64) << place)
        return image

    def test(self, condition: str) -> Value:
        """One of x86's sixteen conditions by its mnemonic suffix: o no b ae e ne be a s ns p np l ge le g."""
        positive = {"no": "o", "ae": "b", "ne": "e", "a": "be", "ns": "s", "np": "p", "ge": "l", "g": "le"}
        if condition in positive:
            return self.test(positive[condition]) ^ 1
        if self.fused and self.compared and condition in COMPARISONS:
            return COMPARISONS[condition](*self.compared)
        if condition == "l":
            return self.sf() ^ self.of()
        if condition == "le":
            return self.test("l") | self.zf()
        if condition == "be":
            return self.cf() | self.zf()
        return {"o": self.of, "b": self.cf, "e": self.zf, "s": self.sf, "p": self.pf}[condition]()

    # --- private
    def _arithmetic(self, r: Value, carries: Value, keep: str) -> None:
        wide = carries.zext(64)
        aux = (wide << (64 - r.bits) if r.bits < 64 else wide) & (AUX_CF | AUX_PO) | (wide & AUX_AF)
        if keep == "cf":                        # replace bit 63, and bit 62 so that OF stays
            flip = (aux ^ self._get(AUX)) & AUX_CF
            aux = aux ^ flip ^ (flip >> 1)
        self._write(r.sext(64), aux)

    def _carry_bits(self, cf: Value, of: Value) -> Value:
        return (cf.zext(64) << 63) | ((cf ^ of).zext(64) << 62)

    def _get(self, slot: Slot) -> Value:
        new = self.written and self.written[0 if slot is RESULT else 1]
        if self.fused and new is not None:
            return new
        self.reads = True
        return self._b.get(slot, 64)

    def _write(self, result: Value | None, aux: Value) -> None:
        self.written = (result, aux)
        self.compared = None

    def flush(self) -> None:
        """Turn the write into puts; the builder calls this at the end of the instruction."""
        if self.written:
            result, aux = self.written
            if result is not None:
                self._b.put(RESULT, result, lazy=True)
            self._b.put(AUX, aux, lazy=True)
