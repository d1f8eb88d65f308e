"""Micro-ops: one table, and the emitter that front ends use.

A micro-op yields at most one value of 1 to 128 bits.  `OPS` holds each once: how LLVM spells it and how Python does; every
back end and the printer follow from the table.  Nothing here is one guest's.

An instruction is a straight line of micro-ops: reads of the CPU record see the state before the instruction, writes (`put`)
take effect together at its end, after the last access that can fault, so any instruction can be retried.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Op:
    """A pure micro-op.  In `llvm`, {t} is the operand type; in `python`, operands are non-negative ints below 2**n, and nothing
    else ever occurs: up to 64 bits the expression is right for unsigned machine words, too."""

    name: str
    meaning: str
    llvm: str
    python: str
    compare: bool = False               # yields one bit


def _binary(name: str, meaning: str, python: str, llvm: str | None = None) -> Op:
    return Op(name, meaning, llvm or f"{name} {{t}} {{a}}, {{b}}", python)


def _compare(name: str, meaning: str, python: str) -> Op:
    return Op(name, meaning, f"icmp {name} {{t}} {{a}}, {{b}}", f"(1 if {python} else 0)", compare=True)


OPS: dict[str, Op] = {op.name: op for op in [
    _binary("add", "a + b", "({a} + {b}) & {mask}"),
    _binary("sub", "a - b", "({a} - {b}) & {mask}"),
    _binary("mul", "low half of a * b", "({a} * {b}) & {mask}"),
    _binary("and", "a & b", "{a} & {b}"),
    _binary("or", "a | b", "{a} | {b}"),
    _binary("xor", "a ^ b", "{a} ^ {b}"),
    _binary("shl", "a << b, b below the width", "({a} << {b}) & {mask}"),
    _binary("lshr", "a >> b unsigned, b below the width", "{a} >> {b}"),
    _binary("ashr", "a >> b signed, b below the width", "((({a} ^ {sign}) >> {b}) - ({sign} >> {b})) & {mask}"),
    _binary("udiv", "a / b unsigned, b not 0", "{a} // {b}"),
    _binary("urem", "a % b unsigned, b not 0", "{a} % {b}"),
    _binary("sdiv", "a / b signed, towards zero, b not 0, no overflow", "sdiv({a}, {b}, {bits})"),
    _binary("srem", "a % b signed, sign of a", "srem({a}, {b}, {bits})"),
    _compare("eq", "a == b", "{a} == {b}"),
    _compare("ne", "a != b", "{a} != {b}"),
    _compare("ult", "a < b unsigned", "{a} < {b}"),
    _compare("ule", "a <= b unsigned", "{a} <= {b}"),
    _compare("slt", "a < b signed", "({a} ^ {sign}) < ({b} ^ {sign})"),
    _compare("sle", "a <= b signed", "({a} ^ {sign}) <= ({b} ^ {sign})"),
    Op("zext", "a, zero-extended", "zext {from} {a} to {t}", "{a}"),
    Op("sext", "a, sign-extended", "sext {from} {a} to {t}", "(({a} ^ {from_sign}) - {from_sign}) & {mask}"),
    Op("trunc", "low bits of a", "trunc {from} {a} to {t}", "{a} & {mask}"),
    Op("select", "a ? b : c", "select i1 {a}, {t} {b}, {t} {c}", "({b} if {a} else {c})"),
    Op("rotl", "a rotated left by b", "call {t} @llvm.fshl.{t}({t} {a}, {t} {a}, {t} {b})",
       "(({a} << ({b} % {bits})) | ({a} >> (({bits} - {b} % {bits}) % {bits}))) & {mask}"),
    Op("rotr", "a rotated right by b", "call {t} @llvm.fshr.{t}({t} {a}, {t} {a}, {t} {b})",
       "(({a} >> ({b} % {bits})) | ({a} << (({bits} - {b} % {bits}) % {bits}))) & {mask}"),
    Op("fshl", "high half of (a:b) << c, c below the width", "call {t} @llvm.fshl.{t}({t} {a}, {t} {b}, {t} {c})",
       "(({a} << ({c} % {bits})) | ({b} >> 1 >> ({bits} - 1 - {c} % {bits}))) & {mask}"),
    Op("fshr", "low half of (a:b) >> c, c below the width", "call {t} @llvm.fshr.{t}({t} {a}, {t} {b}, {t} {c})",
       "(({b} >> ({c} % {bits})) | ({a} << 1 << ({bits} - 1 - {c} % {bits}))) & {mask}"),
    Op("ctpop", "number of ones", "call {t} @llvm.ctpop.{t}({t} {a})", "popcount({a})"),
    Op("ctlz", "leading zeros (the width for 0)", "call {t} @llvm.ctlz.{t}({t} {a}, i1 false)", "(clz({a}) - (64 - {bits}))"),
    Op("cttz", "trailing zeros (the width for 0)", "call {t} @llvm.cttz.{t}({t} {a}, i1 false)",
       "(ctz({a}) if {a} else {bits})"),
    Op("bswap", "bytes reversed", "call {t} @llvm.bswap.{t}({t} {a})", "bswap({a}) >> (64 - {bits})"),
]}


# --- what the Python expressions call
def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def _sdiv(a: int, b: int, bits: int) -> int:
    """Towards zero, unlike Python's."""
    x, y = _signed(a, bits), _signed(b, bits)
    quotient = abs(x) // abs(y)
    return (quotient if (x < 0) == (y < 0) else -quotient) & ((1 << bits) - 1)


def _srem(a: int, b: int, bits: int) -> int:
    return (a - b * _sdiv(a, b, bits)) & ((1 << bits) - 1)


PYTHON_NAMES: dict[str, Callable[..., int]] = {
    "sdiv": _sdiv, "srem": _srem,
    "popcount": int.bit_count,
    "clz": lambda word: 64 - word.bit_length(),
    "ctz": lambda word: (word & -word).bit_length() - 1,
    "bswap": lambda word: int.from_bytes(word.to_bytes(8, "little"), "big"),
}


def expression(op: str, bits: int, operand_bits: int, a: str, b: str = "", c: str = "") -> str:
    """A pure micro-op as Python text: result `bits` and first operand `operand_bits` wide, of operands a, b and c."""
    width = operand_bits if OPS[op].compare else bits
    return OPS[op].python.format(a=a, b=b, c=c, bits=width, mask=hex((1 << width) - 1), sign=hex(1 << (width - 1)),
                                 from_sign=hex(1 << (operand_bits - 1)))


@cache
def python_function(op: str, bits: int, operand_bits: int) -> Callable[..., int]:
    """A pure micro-op as a Python function of its operands."""
    text = expression(op, bits, operand_bits, "a", "b", "c")
    return eval(f"lambda a, b=0, c=0: {text}", dict(PYTHON_NAMES))  # noqa: S307 (our own table)


# Not in the table, because each back end has its own machinery for them (docs/ARCHITECTURE.md):
#   const, hole, get, put          constants, operands of a form, the CPU record
#   load, store                    guest memory through the soft TLB; may fault
#   call                           a runtime function: call(name, args) -> 64 bits; `faults` checks cpu.fault afterwards
#   host                           host vector or x87 instructions (inline assembly)
#   slot_address                   host address of a place in the CPU record
#   raise_if                       exception `vector` if a is 1
#   goto, branch, indirect, leave  the end of a block


FOR_WRITE = "for write"                 # data of a load: the access is a read-modify-write, and faults like a write


@dataclass(frozen=True)
class Slot:
    """A place in the CPU record: a fixed byte offset, or one that the form's hole supplies, plus `displacement`."""

    offset: int | str
    displacement: int = 0

    def __add__(self, distance: int) -> Slot:
        if isinstance(self.offset, int):
            return Slot(self.offset + distance)
        return Slot(self.offset, self.displacement + distance)


@dataclass
class Uop:
    """One micro-op.  `args` are Values; `data` is what is not a value (names, slots, constants)."""

    op: str
    bits: int                           # width of the result, 0 for none
    args: tuple[Value, ...] = ()
    data: Any = None
    out: Value | None = None

    def __str__(self) -> str:
        left = f"{self.out} = " if self.out else ""
        extra = f" {self.data}" if self.data is not None else ""
        return f"{left}{self.op}.{self.bits}{extra} {', '.join(map(str, self.args))}".rstrip()


@dataclass(eq=False)
class Value:
    """A result; arithmetic on it emits micro-ops.  Python ints become constants of the same width."""

    emitter: Emitter = field(repr=False)
    number: int
    bits: int

    def __str__(self) -> str:
        return f"v{self.number}"

    @property
    def bytes(self) -> int:
        return self.bits // 8

    def _binary(self, op: str, other: Value | int, reverse: bool = False) -> Value:
        value = self.emitter.value(other, self.bits)
        a, b = (value, self) if reverse else (self, value)
        return self.emitter.pure(op, 1 if OPS[op].compare else self.bits, a, b)

    def __add__(self, other: Value | int) -> Value: return self._binary("add", other)
    def __radd__(self, other: int) -> Value: return self._binary("add", other, True)
    def __sub__(self, other: Value | int) -> Value: return self._binary("sub", other)
    def __rsub__(self, other: int) -> Value: return self._binary("sub", other, True)
    def __mul__(self, other: Value | int) -> Value: return self._binary("mul", other)
    def __and__(self, other: Value | int) -> Value: return self._binary("and", other)
    def __or__(self, other: Value | int) -> Value: return self._binary("or", other)
    def __xor__(self, other: Value | int) -> Value: return self._binary("xor", other)
    def __lshift__(self, other: Value | int) -> Value: return self._binary("shl", other)
    def __rshift__(self, other: Value | int) -> Value: return self._binary("lshr", other)
    def __invert__(self) -> Value: return self._binary("xor", (1 << self.bits) - 1)
    def __neg__(self) -> Value: return self._binary("sub", 0, True)

    def sar(self, count: Value | int) -> Value: return self._binary("ashr", count)
    def udiv(self, other: Value | int) -> Value: return self._binary("udiv", other)
    def urem(self, other: Value | int) -> Value: return self._binary("urem", other)
    def sdiv(self, other: Value | int) -> Value: return self._binary("sdiv", other)
    def srem(self, other: Value | int) -> Value: return self._binary("srem", other)
    def rotl(self, count: Value | int) -> Value: return self._binary("rotl", count)
    def rotr(self, count: Value | int) -> Value: return self._binary("rotr", count)
    def eq(self, other: Value | int) -> Value: return self._binary("eq", other)
    def ne(self, other: Value | int) -> Value: return self._binary("ne", other)
    def ult(self, other: Value | int) -> Value: return self._binary("ult", other)
    def ule(self, other: Value | int) -> Value: return self._binary("ule", other)
    def slt(self, other: Value | int) -> Value: return self._binary("slt", other)
    def sle(self, other: Value | int) -> Value: return self._binary("sle", other)

    def zext(self, bits: int) -> Value:
        return self if bits == self.bits else self.emitter.pure("zext", bits, self)

    def sext(self, bits: int) -> Value:
        return self if bits == self.bits else self.emitter.pure("sext", bits, self)

    def trunc(self, bits: int) -> Value:
        return self if bits == self.bits else self.emitter.pure("trunc", bits, self)

    def resize(self, bits: int) -> Value:
        """Truncated or zero-extended to `bits`."""
        return self.trunc(bits) if bits < self.bits else self.zext(bits)

    def _unary(self, op: str) -> Value: return self.emitter.pure(op, self.bits, self)
    def popcount(self) -> Value: return self._unary("ctpop")
    def clz(self) -> Value: return self._unary("ctlz")
    def ctz(self) -> Value: return self._unary("cttz")
    def bswap(self) -> Value: return self._unary("bswap")


class Emitter:
    """Collects the micro-ops of one instruction.  A front end's builder derives from this."""

    def __init__(self) -> None:
        self.uops: list[Uop] = []
        self.pending: list[Uop] = []    # puts, until finish()
        self.end: Uop | None = None     # goto, branch, indirect or leave; None falls through
        self._count = 0

    # --- values
    def pure(self, op: str, bits: int, *args: Value) -> Value:
        return self._emit(op, bits, args)

    def const(self, value: int, bits: int) -> Value:
        return self._emit("const", bits, (), value & ((1 << bits) - 1))

    def hole(self, name: str, bits: int) -> Value:
        """An operand that the form leaves open: an immediate, a displacement, an address."""
        return self._emit("hole", bits, (), name)

    def value(self, value: Value | int, bits: int) -> Value:
        """A Value as it is (its width must be `bits`), an int as a constant."""
        if isinstance(value, int):
            return self.const(value, bits)
        if value.bits != bits:
            raise TypeError(f"a {bits}-bit value was expected, {value} has {value.bits} bits")
        return value

    def select(self, condition: Value, yes: Value | int, no: Value | int) -> Value:
        bits = yes.bits if isinstance(yes, Value) else no.bits if isinstance(no, Value) else 64
        return self._emit("select", bits, (condition, self.value(yes, bits), self.value(no, bits)))

    # --- the CPU record
    def get(self, slot: Slot, bits: int) -> Value:
        """What the record held before this instruction."""
        return self._emit("get", bits, (), slot)

    def put(self, slot: Slot, value: Value, lazy: bool = False) -> None:
        """Write at the end of the instruction.  `lazy` marks flags: dropped where nobody reads them."""
        self.pending.append(Uop("put_flags" if lazy else "put", 0, (value,), slot))

    def put_now(self, slot: Slot, value: Value) -> None:
        """Write at once: for what a following call must see."""
        self.uops.append(Uop("put", 0, (value,), slot))

    # --- memory, calls, exceptions
    def load(self, address: Value, bits: int) -> Value:
        """Guest memory at a linear address, under the current privilege.  May fault."""
        return self._emit("load", bits, (address,))

    def store(self, address: Value, value: Value) -> None:
        self.uops.append(Uop("store", 0, (address, value), value.bits))

    def probe(self, address: Value, size: int) -> None:
        """Fault now if a write of `size` bytes would; for read-modify-write and multi-store instructions."""
        self.uops.append(Uop("probe", 0, (address,), size))

    def call(self, name: str, *args: Value | int, faults: bool = False) -> Value:
        """A runtime function name(cpu, *args); every argument and the result are 64 bits."""
        return self._emit("call", 64, tuple(self.value(a, 64) for a in args), (name, faults))

    def slot_address(self, slot: Slot) -> Value:
        """The host address of a place in the CPU record, for runtime functions and host code that work in place."""
        return self._emit("slot_address", 64, (), slot)

    def host(self, asm: str, constraints: str, bits: int, *args: Value) -> Value:
        """Host instructions, for vector and x87 arithmetic whose results and sticky flags must be the silicon's.  AT&T text
        with LLVM's $0, $1 operands and constraint string ("=x,0,x"); 128-bit values are vector registers, others general
        ones.  `bits` is the width of the one result, 0 for none.  Runs where it stands."""
        return self._emit("host", bits, args, (asm, constraints))

    def raise_if(self, condition: Value, vector: int, code: int | None = None) -> None:
        self.uops.append(Uop("raise_if", 0, (condition,), (vector, code)))

    # --- how the instruction ends
    def goto(self, target: Value) -> None:
        """Direct jump to a constant or hole; the translator chains it."""
        self.end = Uop("goto", 0, (target,))

    def branch(self, condition: Value, target: Value, otherwise: Value) -> None:
        self.end = Uop("branch", 0, (condition, target, otherwise))

    def indirect(self, target: Value) -> None:
        """Jump to a computed pc through the jump cache."""
        self.end = Uop("indirect", 0, (target,))

    def leave(self) -> None:
        """Back to the dispatcher, which goes on at cpu.pc (set it first) in the mode that now holds."""
        self.end = Uop("leave", 0)

    def finish(self) -> list[Uop]:
        """The whole instruction: its micro-ops, then its writes, then its end."""
        self._mark_updates()
        self.uops += self.pending
        self.pending = []
        if self.end:
            self.uops.append(self.end)
        return self.uops

    def _mark_updates(self) -> None:
        """A load of what is stored later faults as a write does (its `data` is FOR_WRITE)."""
        stored = {uop.args[0].number for uop in self.uops if uop.op == "store"}
        for uop in self.uops:
            if uop.op == "load" and uop.args[0].number in stored:
                uop.data = FOR_WRITE

    def _emit(self, op: str, bits: int, args: tuple[Value, ...], data: Any = None) -> Value:
        out = Value(self, self._count, bits)
        self._count += 1
        self.uops.append(Uop(op, bits, args, data, out))
        return out


def show(uops: list[Uop]) -> str:
    """Micro-ops as text, one a line."""
    return "\n".join(map(str, uops))


Semantics = Callable[..., None]
