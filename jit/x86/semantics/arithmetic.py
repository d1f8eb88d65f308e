"""Integer arithmetic: ADD to IDIV, exchange-and-compare (Intel SDM vol. 2).

Undefined flags are what is cheap here: MUL and IMUL set SF, ZF and PF from the low half; DIV and IDIV change none.
"""
from __future__ import annotations

from collections.abc import Callable

from jit.ir import Value
from jit.x86.builder import Builder, semantics
from jit.x86.insn import Operand
from jit.x86.state import Flag, Gpr, Vector


@semantics("add")
def add(b: Builder, dst: Operand, src: Operand) -> None:
    x, y = b.load(dst), b.load(src)
    b.store(dst, r := x + y)
    b.flags.add(x, y, r)


@semantics("adc")
def adc(b: Builder, dst: Operand, src: Operand) -> None:
    x, y = b.load(dst), b.load(src)
    b.store(dst, r := x + y + b.flags.cf().zext(x.bits))
    b.flags.add(x, y, r)


@semantics("sub")
def sub(b: Builder, dst: Operand, src: Operand) -> None:
    if b.insn.same:
        b.store(dst, zero := b.const(0, dst.bits))
        return b.flags.logic(zero)
    x, y = b.load(dst), b.load(src)
    b.store(dst, r := x - y)
    b.flags.sub(x, y, r)


@semantics("sbb")
def sbb(b: Builder, dst: Operand, src: Operand) -> None:
    zero = b.const(0, dst.bits)
    x, y = (zero, zero) if b.insn.same else (b.load(dst), b.load(src))
    r = x - y - b.flags.cf().zext(x.bits)
    b.store(dst, r)
    b.flags.sub(x, y, r)
    b.flags.compared = None             # x - y is not the whole subtraction


@semantics("cmp")
def cmp(b: Builder, dst: Operand, src: Operand) -> None:
    x, y = b.load(dst), b.load(src)
    b.flags.sub(x, y, x - y)


@semantics("inc")
def inc(b: Builder, dst: Operand) -> None:
    x = b.load(dst)
    b.store(dst, r := x + 1)
    b.flags.add(x, 1, r, keep="cf")


@semantics("dec")
def dec(b: Builder, dst: Operand) -> None:
    x = b.load(dst)
    b.store(dst, r := x - 1)
    b.flags.sub(x, 1, r, keep="cf")


@semantics("neg")
def neg(b: Builder, dst: Operand) -> None:
    x = b.load(dst)
    b.store(dst, r := -x)
    b.flags.sub(b.const(0, x.bits), x, r)


# --- multiplication and division
@semantics("mul")
def mul(b: Builder, src: Operand) -> None:
    _multiply_accumulator(b, src, Value.zext)


@semantics("imul")
def imul(b: Builder, dst: Operand, *sources: Operand) -> None:
    if not sources:
        return _multiply_accumulator(b, dst, Value.sext)
    x, y = (b.load(op) for op in (sources if len(sources) == 2 else (dst, *sources)))
    b.store(dst, r := x * y)
    wide = x.sext(2 * x.bits) * y.sext(2 * x.bits)
    overflow = wide.ne(r.sext(2 * x.bits))
    b.flags.carry_overflow(r, overflow, overflow)


def _multiply_accumulator(b: Builder, src: Operand, extend: Callable[[Value, int], Value]) -> None:
    """rDX:rAX (AX for bytes) = rAX * src; CF = OF = the upper half matters."""
    bits = src.bits
    wide = extend(b.reg(Gpr.RAX, bits), 2 * bits) * extend(b.load(src), 2 * bits)
    low = wide.trunc(bits)
    _set_pair(b, low, (wide >> bits).trunc(bits))
    overflow = wide.ne(extend(low, 2 * bits))
    b.flags.carry_overflow(low, overflow, overflow)


@semantics("div")
def div(b: Builder, src: Operand) -> None:
    if src.bits == 64:
        return _divide_by_call(b, src, "divide_unsigned")
    n, y = _dividend(b, src.bits), b.load(src).zext(2 * src.bits)
    b.raise_if(y.eq(0), Vector.DE)
    quotient = n.udiv(y)
    b.raise_if((quotient >> src.bits).ne(0), Vector.DE)
    _set_pair(b, quotient.trunc(src.bits), n.urem(y).trunc(src.bits))


@semantics("idiv")
def idiv(b: Builder, src: Operand) -> None:
    if src.bits == 64:
        return _divide_by_call(b, src, "divide_signed")
    bits, wide = src.bits, 2 * src.bits
    n, y = _dividend(b, bits), b.load(src).sext(wide)
    b.raise_if(y.eq(0) | (n.eq(1 << (wide - 1)) & y.eq((1 << wide) - 1)), Vector.DE)
    quotient = n.sdiv(y)
    b.raise_if(quotient.trunc(bits).sext(wide).ne(quotient), Vector.DE)
    _set_pair(b, quotient.trunc(bits), n.srem(y).trunc(bits))


def _divide_by_call(b: Builder, src: Operand, name: str) -> None:
    low, divisor = b.reg(Gpr.RAX), b.load(src)
    quotient = b.call(name, b.reg(Gpr.RDX), low, divisor, faults=True)
    _set_pair(b, quotient, low - quotient * divisor)


def _dividend(b: Builder, bits: int) -> Value:
    """AX, or rDX:rAX as one value."""
    if bits == 8:
        return b.reg(Gpr.RAX, 16)
    return (b.reg(Gpr.RDX, bits).zext(2 * bits) << bits) | b.reg(Gpr.RAX, bits).zext(2 * bits)


def _set_pair(b: Builder, low: Value, high: Value) -> None:
    """AL and AH, or rAX and rDX."""
    if low.bits == 8:
        b.set_reg(Gpr.RAX, (high.zext(16) << 8) | low.zext(16))
    else:
        b.set_reg(Gpr.RAX, low)
        b.set_reg(Gpr.RDX, high)


# --- exchange and compare
@semantics("xadd")
def xadd(b: Builder, dst: Operand, src: Operand) -> None:
    x, y = b.load(dst), b.load(src)
    r = x + y
    b.store(src, x)
    b.store(dst, r)                     # after src: the sum stays when both are one register
    b.flags.add(x, y, r)


@semantics("cmpxchg")
def cmpxchg(b: Builder, dst: Operand, src: Operand) -> None:
    old, new, accumulator = b.load(dst), b.load(src), b.reg(Gpr.RAX, dst.bits)
    equal = accumulator.eq(old)
    if dst.bits == 32:                  # only the register that is loaded has its upper half cleared
        b.set_reg(Gpr.RAX, b.select(equal, b.reg(Gpr.RAX), old.zext(64)))
    else:
        b.set_reg(Gpr.RAX, old)
    if dst.bits == 32 and dst.kind == "reg":
        b.put(b.slot(dst), b.select(equal, new.zext(64), b.get(b.slot(dst), 64)))
    else:
        b.store(dst, b.select(equal, new, old))
    b.flags.sub(accumulator, old, accumulator - old)


@semantics("cmpxchg8b")
def cmpxchg8b(b: Builder, dst: Operand) -> None:
    old, equal = _exchange_pair(b, b.address(dst, write=True), 32)
    for register, value in zip((Gpr.RAX, Gpr.RDX), old):
        b.set_reg(register, b.select(equal, b.reg(register), value.zext(64)))


@semantics("cmpxchg16b")
def cmpxchg16b(b: Builder, dst: Operand) -> None:
    address = b.address(dst, write=True)
    b.raise_if((address & 15).ne(0), Vector.GP, 0)
    (low, high), _equal = _exchange_pair(b, address, 64)
    b.set_reg(Gpr.RAX, low)             # when equal, what is there already
    b.set_reg(Gpr.RDX, high)


def _exchange_pair(b: Builder, address: Value, bits: int) -> tuple[tuple[Value, Value], Value]:
    """Compare rDX:rAX with memory, store rCX:rBX or the old value; ZF tells.  Returns the old halves and the outcome."""
    second = address + bits // 8
    low, high = b.mem_load(address, bits), b.mem_load(second, bits)
    equal = ((low ^ b.reg(Gpr.RAX, bits)) | (high ^ b.reg(Gpr.RDX, bits))).eq(0)
    b.probe(address, bits // 4)
    b.mem_store(address, b.select(equal, b.reg(Gpr.RBX, bits), low))
    b.mem_store(second, b.select(equal, b.reg(Gpr.RCX, bits), high))
    image = (b.flags.image() & ~int(Flag.ZF)) | (equal.zext(64) << 6)
    b.flags.load(image)
    return (low, high), equal
