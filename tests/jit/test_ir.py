"""The micro-op table: what each entry means, and that its LLVM and its Python spelling mean the same."""
from __future__ import annotations

import ctypes
from functools import cache
from random import Random

import llvmlite.binding as llvm
import pytest

from jit.ir import OPS, Emitter, Slot, python_function, show

WIDTHS = (8, 16, 32, 64)
SHIFTS = {"shl", "lshr", "ashr"}                        # the count is below the width
DIVISIONS = {"udiv", "urem", "sdiv", "srem"}
CONVERSIONS = {"zext", "sext", "trunc"}
EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF)


def python_result(name: str, bits: int, a: int, b: int, c: int, source: int = 0) -> int:
    """The table's Python expression, with `bits` the width of the operands (conversions: of the result)."""
    return python_function(name, bits, source or bits)(a, b, c)


def operands(name: str, bits: int, rng: Random) -> tuple[int, int, int]:
    def value() -> int:
        return rng.choice([rng.getrandbits(bits), rng.choice(EDGES), (1 << bits) - 1, 1 << (bits - 1)]) & ((1 << bits) - 1)

    a, b, c = value(), value(), value()
    if name in SHIFTS:
        b %= bits
    if name in ("fshl", "fshr"):
        c %= bits
    if name in DIVISIONS:
        b = b or 1
        if name[0] == "s" and b == (1 << bits) - 1:
            b = 1                                       # the smallest number by -1 does not fit
    if name == "select":
        a &= 1
    return a, b, c


def _function(name: str, bits: int) -> str:
    """LLVM function i64 (i64, i64, i64) of one table entry."""
    op, kind = OPS[name], f"i{bits}"
    first = "i1" if name == "select" else kind
    result = "i1" if op.compare else kind
    lines = [f"define i64 @{name}_{bits}(i64 %x, i64 %y, i64 %z) {{"]
    for letter, argument, narrow in (("a", "%x", first), ("b", "%y", kind), ("c", "%z", kind)):
        lines.append(f"%{letter} = {'add i64 0, ' + argument if narrow == 'i64' else f'trunc i64 {argument} to {narrow}'}")
    lines.append("%r = " + op.llvm.format(t=kind, a="%a", b="%b", c="%c"))
    lines.append("%w = add i64 0, %r" if result == "i64" else f"%w = zext {result} %r to i64")
    return "\n".join([*lines, "ret i64 %w", "}"])


@cache
def engine() -> llvm.ExecutionEngine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    names = [name for name in OPS if name not in CONVERSIONS]
    declarations = [f"declare i{w} @llvm.{n}.i{w}({', '.join([f'i{w}'] * count)}{flag})" for w in WIDTHS
                    for n, count, flag in (("fshl", 3, ""), ("fshr", 3, ""), ("ctpop", 1, ""), ("ctlz", 1, ", i1"),
                                           ("cttz", 1, ", i1"))]
    declarations += [f"declare i{w} @llvm.bswap.i{w}(i{w})" for w in WIDTHS if w > 8]
    functions = [_function(name, w) for name in names for w in WIDTHS if (name, w) != ("bswap", 8)]
    module = llvm.parse_assembly("\n".join(declarations + functions))
    machine = llvm.Target.from_default_triple().create_target_machine()
    compiled = llvm.create_mcjit_compiler(module, machine)
    compiled.finalize_object()
    return compiled


def llvm_result(name: str, bits: int, a: int, b: int, c: int) -> int:
    address = engine().get_function_address(f"{name}_{bits}")
    return ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 3)(address)(a, b, c)


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("name", sorted(set(OPS) - CONVERSIONS))
def test_python_and_llvm_spell_the_same_operation(name: str, bits: int) -> None:
    if (name, bits) == ("bswap", 8):
        pytest.skip("one byte has no order")
    rng = Random(f"{name} {bits}")
    for _ in range(40):
        a, b, c = operands(name, bits, rng)
        assert python_result(name, bits, a, b, c) == llvm_result(name, bits, a, b, c), f"{name} i{bits} {a:#x} {b:#x} {c:#x}"


@pytest.mark.parametrize("name, to, source, value, expected", [
    ("zext", 64, 8, 0x80, 0x80), ("sext", 64, 8, 0x80, 0xFFFF_FFFF_FFFF_FF80), ("sext", 16, 8, 0x7F, 0x7F),
    ("sext", 8, 1, 1, 0xFF), ("trunc", 8, 64, 0x1234, 0x34), ("sext", 128, 64, 1 << 63, ((1 << 65) - 1) << 63),
])
def test_a_conversion_fills_or_drops_the_upper_bits(name: str, to: int, source: int, value: int, expected: int) -> None:
    assert python_result(name, to, value, 0, 0, source) == expected


def test_division_is_towards_zero_and_the_rest_has_the_sign_of_the_dividend() -> None:
    minus_7 = 0xF9
    assert python_result("sdiv", 8, minus_7, 2, 0) == 0xFD
    assert python_result("srem", 8, minus_7, 2, 0) == 0xFF


def test_operators_on_values_emit_micro_ops_of_their_width() -> None:
    emitter = Emitter()
    emitter.get(Slot(8), 32) + 1
    assert show(emitter.uops) == "v0 = get.32 Slot(offset=8, displacement=0)\nv1 = const.32 1\nv2 = add.32 v0, v1"


def test_a_comparison_yields_one_bit() -> None:
    emitter = Emitter()
    assert emitter.const(1, 64).ult(2).bits == 1


def test_operands_of_different_widths_are_refused() -> None:
    emitter = Emitter()
    with pytest.raises(TypeError, match="32-bit value was expected"):
        emitter.const(1, 32) + emitter.const(1, 64)


def test_writes_come_after_everything_that_can_fault_and_before_the_end() -> None:
    emitter = Emitter()
    address = emitter.const(0x1000, 64)
    emitter.put(Slot(0), address)
    emitter.goto(address)
    emitter.store(address, emitter.const(5, 8))
    assert [uop.op for uop in emitter.finish()] == ["const", "const", "store", "put", "goto"]
