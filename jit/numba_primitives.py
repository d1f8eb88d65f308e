"""The primitives of word functions as numba intrinsics (imported only when the runtime library is built)."""
from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

u64 = types.uint64
I8, I64, I128 = ir.IntType(8), ir.IntType(64), ir.IntType(128)
INTRINSICS: dict[str, Any] = {"u64": np.uint64}


def _define(name: str, arity: int, emit: Any) -> None:
    """Register an intrinsic of `arity` words that yields a word; emit(builder, *values) builds its LLVM value."""
    arguments = ", ".join(f"a{i}" for i in range(arity))
    namespace: dict[str, Any] = {}
    exec(  # noqa: S102 (numba wants a real signature)
        f"def {name}(typing, {arguments}):\n"
        f"    def codegen(context, builder, signature, args):\n        return emit(builder, *args)\n"
        f"    return u64({', '.join(['u64'] * arity)}), codegen\n",
        {"emit": emit, "u64": u64}, namespace,
    )
    INTRINSICS[name] = intrinsic(namespace[name])


def _pointer(builder: ir.IRBuilder, address: ir.Value, bits: int) -> ir.Value:
    return builder.inttoptr(address, ir.IntType(bits).as_pointer())


def _load(bits: int) -> Any:
    def emit(builder: ir.IRBuilder, address: ir.Value) -> ir.Value:
        value = builder.load(_pointer(builder, address, bits))
        value.align = 1
        return value if bits == 64 else builder.zext(value, I64)

    return emit


def _store(bits: int) -> Any:
    def emit(builder: ir.IRBuilder, address: ir.Value, value: ir.Value) -> ir.Value:
        narrow = value if bits == 64 else builder.trunc(value, ir.IntType(bits))
        builder.store(narrow, _pointer(builder, address, bits)).align = 1
        return ir.Constant(I64, 0)

    return emit


def _sext(builder: ir.IRBuilder, value: ir.Value, bits: ir.Value) -> ir.Value:
    gap = builder.sub(ir.Constant(I64, 64), bits)
    return builder.ashr(builder.shl(value, gap), gap)


def _wide(builder: ir.IRBuilder, high: ir.Value, low: ir.Value) -> ir.Value:
    return builder.or_(builder.shl(builder.zext(high, I128), ir.Constant(I128, 64)), builder.zext(low, I128))


def _div128(operation: str) -> Any:
    """x86's DIV of 128 by 64 bits (the caller has checked that the quotient fits); elsewhere LLVM's own routine."""
    register = "{ax}" if operation == "udiv" else "{dx}"

    def emit(builder: ir.IRBuilder, high: ir.Value, low: ir.Value, divisor: ir.Value) -> ir.Value:
        kind = ir.FunctionType(ir.LiteralStructType([I64, I64]), [I64, I64, I64])
        pair = builder.asm(kind, "divq $4", "={ax},={dx},{ax},{dx},r,~{flags}", [low, high, divisor], False)
        return builder.extract_value(pair, 0 if register == "{ax}" else 1)

    return emit


def _bits(name: str, with_flag: bool) -> Any:
    def emit(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
        argument_types = [I64, ir.IntType(1)] if with_flag else [I64]
        function = builder.module.declare_intrinsic(f"llvm.{name}.i64", (), ir.FunctionType(I64, argument_types))
        return builder.call(function, [value, ir.Constant(ir.IntType(1), 0)] if with_flag else [value])

    return emit


def _block(name: str) -> Any:
    """memmove and memset, through LLVM's own intrinsics."""
    def emit(builder: ir.IRBuilder, destination: ir.Value, other: ir.Value, size: ir.Value) -> ir.Value:
        pointer = builder.inttoptr(destination, I8.as_pointer())
        second = builder.inttoptr(other, I8.as_pointer()) if name == "memmove" else builder.trunc(other, I8)
        kind = ir.FunctionType(ir.VoidType(), [I8.as_pointer(), second.type, I64, ir.IntType(1)])
        suffix = "p0.p0.i64" if name == "memmove" else "p0.i64"
        symbol = f"llvm.{name}.{suffix}"
        function = builder.module.globals.get(symbol) or ir.Function(builder.module, kind, symbol)
        builder.call(function, [pointer, second, size, ir.Constant(ir.IntType(1), 0)])
        return ir.Constant(I64, 0)

    return emit


def _call(builder: ir.IRBuilder, address: ir.Value, *args: ir.Value) -> ir.Value:
    kind = ir.FunctionType(I64, [I64] * len(args))
    return builder.call(builder.inttoptr(address, kind.as_pointer()), args)


for _bits_wide in (8, 16, 32, 64):
    _define(f"load{_bits_wide}", 1, _load(_bits_wide))
    _define(f"store{_bits_wide}", 2, _store(_bits_wide))
_define("sar", 2, lambda b, value, count: b.ashr(value, count))
_define("slt", 2, lambda b, x, y: b.zext(b.icmp_signed("<", x, y), I64))
_define("sext", 2, _sext)
_define("mulhu", 2, lambda b, x, y: b.trunc(
    b.lshr(b.mul(b.zext(x, I128), b.zext(y, I128)), ir.Constant(I128, 64)), I64))
_define("udiv128", 3, _div128("udiv"))
_define("urem128", 3, _div128("urem"))
_define("clz", 1, _bits("ctlz", True))
_define("ctz", 1, _bits("cttz", True))
_define("popcount", 1, _bits("ctpop", False))
_define("memmove", 3, _block("memmove"))
_define("memset", 3, _block("memset"))
for _arity in range(1, 6):
    _define(f"call{_arity}", _arity + 1, _call)
