"""The numba back end: the bytecode back end (jit/interpret.py) with its blocks compiled by numba, from the same text.

Only blocks and what they call are compiled; the dispatcher is run by CPython.  Every distinct text costs a tenth of a second to a
few seconds, once a process and never kept: this is for small guests and for tests, where it checks that the bytecode's source
is right for machine words.  Integers become u64(n), `r64[n]` a load or store at cpu + 8n, and values wider than 64 bits have
integer types of their own.
"""
from __future__ import annotations

import ast
import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import ir
from numba import cfunc, njit, types
from numba.extending import intrinsic

from jit import hostcode, runtime
from jit.bytecode import MASK64, WORD, BlockSource, Host, wide_name
from jit.frame import BlockCode, Frame
from jit.interpret import Block, Bytecode
from jit.ir import OPS
from jit.numba_primitives import INTRINSICS
from jit.words import REGISTRY, SYMBOL_PREFIX

U64 = types.uint64
I1, I64, I128 = ir.IntType(1), ir.IntType(64), ir.IntType(128)
WIDTHS = (8, 16, 32, 64, 80, 128)       # of accesses to the record and to guest memory
BLOCK_TYPE = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64)
METHODS = {"and": "and_", "or": "or_"}  # llvmlite's names for micro-ops, where they differ
COMPARISONS = {"eq": "==", "ne": "!=", "ult": "<", "ule": "<="}
RECORD_VIEWS = {"r8": 8, "r16": 16, "r32": 32, "r64": 64}
Emit = Callable[..., ir.Value]


class Numba(Bytecode):
    """What an Engine asks of its back end."""

    name = "numba"

    def _load_library(self, progress: Any) -> runtime.Library:
        return _library(tuple(self.front.modules), progress)

    def _callback_address(self) -> int:
        word = ctypes.c_uint64
        self._callback = ctypes.CFUNCTYPE(word, word, word, word, word, word)(self.called)
        return ctypes.cast(self._callback, ctypes.c_void_p).value or 0

    def _bind(self, frame: Frame, block: Block) -> BlockCode:
        function = frame.functions[block.number] = compiled(block.source, self.library)
        return function


_libraries: dict[tuple[str, ...], runtime.Library] = {}
_blocks: dict[tuple[int, str], BlockCode] = {}


def _library(modules: tuple[str, ...], progress: Any) -> runtime.Library:
    """One for the whole process, so that compiled blocks outlive an engine."""
    if modules not in _libraries:
        _libraries[modules] = runtime.load(modules, progress)
    return _libraries[modules]


def compiled(source: BlockSource, library: runtime.Library) -> BlockCode:
    """The block function, compiled if its text is new."""
    key = id(library), source.text
    if key not in _blocks:
        namespace = {**_common_names(library), **{wide_name(*wide): _wide(*wide) for wide in source.wide},
                     **{SYMBOL_PREFIX + name: _runtime_function(library, name) for name in source.calls},
                     **{name: _host(host) for name, host in source.hosts.items()}}
        tree = ast.fix_missing_locations(_Words().visit(ast.parse(source.text)))
        exec(compile(tree, "<numba block>", "exec"), namespace)  # noqa: S102 (our own source)
        _blocks[key] = _function(namespace["block"])
    return _blocks[key]


def _function(block: Any) -> BlockCode:
    made = cfunc(U64(U64, U64), error_model="numpy")(block)
    function = BLOCK_TYPE(made.address)
    function.made = made                # keeps the code
    return function


class _Words(ast.NodeTransformer):
    """The text for machine words."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        assert isinstance(node.value, int)
        if node.value <= MASK64:
            return _call("u64", node)
        return _call("wide", _call("u64", ast.Constant(node.value >> 64)), _call("u64", ast.Constant(node.value & MASK64)))

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        return _call(f"load{self._bits(node)}", self._address(node))

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        target = node.targets[0]
        value = self.visit(node.value)
        if isinstance(target, ast.Subscript):
            return ast.Expr(_call(f"store{self._bits(target)}", self._address(target), value))
        return ast.Assign([target], value)

    @staticmethod
    def _bits(node: ast.Subscript) -> int:
        assert isinstance(node.value, ast.Name)
        return RECORD_VIEWS[node.value.id]

    def _address(self, node: ast.Subscript) -> ast.expr:
        assert isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, int)
        offset = node.slice.value * self._bits(node) // 8
        return ast.BinOp(ast.Name("cpu", ast.Load()), ast.Add(), _call("u64", ast.Constant(offset)))


def _call(name: str, *args: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(args), [])


# --- intrinsics
@cache
def word_type(bits: int) -> Any:
    """numba's type of a value: words, and beyond them unsigned integers of just that width."""
    return U64 if bits <= 64 else types.Integer(f"uint{bits}", bits, signed=False)


def _intrinsic(result: Any, arguments: list[Any], emit: Emit) -> Any:
    """A function of these types; emit(builder, *values) builds its LLVM value."""
    names = ", ".join(f"a{i}" for i in range(len(arguments)))
    namespace = {"emit": emit, "signature": result(*arguments)}
    exec(  # noqa: S102 (numba wants a real signature)
        f"def made(typing{', ' if names else ''}{names}):\n"
        f"    def codegen(context, builder, signature, args):\n        return emit(builder, *args)\n"
        f"    return signature, codegen\n", namespace)
    return intrinsic(namespace["made"])


def _cast(builder: ir.IRBuilder, value: ir.Value, bits: int) -> ir.Value:
    """A value truncated or zero-extended to an LLVM integer of `bits`."""
    if value.type.width == bits:
        return value
    return (builder.trunc if value.type.width > bits else builder.zext)(value, ir.IntType(bits))


def _as_word(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    return _cast(builder, value, max(64, value.type.width))


@cache
def _wide(op: str, bits: int, operand_bits: int) -> Any:
    """A micro-op on values of which one at least is wider than 64 bits."""
    def emit(builder: ir.IRBuilder, *args: ir.Value) -> ir.Value:
        if op in ("zext", "sext", "trunc"):
            narrow = _cast(builder, args[0], operand_bits)
            return _as_word(builder, getattr(builder, op)(narrow, ir.IntType(bits)))
        if op in COMPARISONS:
            return _as_word(builder, builder.icmp_unsigned(COMPARISONS[op], *args))
        if op == "select":
            return builder.select(builder.trunc(args[0], I1), args[1], args[2])
        return getattr(builder, METHODS.get(op, op))(*args)

    operands = sum("{%s}" % letter in OPS[op].llvm for letter in "abc")
    arguments = [word_type(operand_bits)] * operands
    if op == "select":
        arguments[0] = U64
    return _intrinsic(word_type(bits), arguments, emit)


def _called_at(address: int, arity: int) -> Any:
    kind = ir.FunctionType(I64, [I64] * arity)
    return _intrinsic(U64, [U64] * arity, lambda builder, *args: builder.call(
        builder.inttoptr(ir.Constant(I64, address), kind.as_pointer()), args))


@cache
def _runtime_function(library: runtime.Library, name: str) -> Any:
    return _called_at(library.address(name), len(REGISTRY[name].parameters))


@cache
def _host(host: Host) -> Any:
    """Through the compiled snippet and the exchange area of jit/hostcode.py."""
    function, area, guest, saved = hostcode.snippet(host.asm, host.constraints, host.bits, host.widths)

    def emit(builder: ir.IRBuilder, *args: ir.Value) -> ir.Value:
        for i, value in enumerate(args):
            builder.store(_cast(builder, value, 128), _pointer(builder, area + hostcode.SLOT * (i + 1), 128))
        kind = ir.FunctionType(ir.VoidType(), [I64] * 3)
        builder.call(builder.inttoptr(ir.Constant(I64, function), kind.as_pointer()),
                     [ir.Constant(I64, address) for address in (area, guest, saved)])
        if not host.bits:
            return ir.Constant(I64, 0)
        stored = builder.load(_pointer(builder, area, max(8, host.bits)))
        return _as_word(builder, _cast(builder, stored, host.bits))

    return _intrinsic(word_type(host.bits), [word_type(width) for width in host.widths], emit)


def _pointer(builder: ir.IRBuilder, address: int, bits: int) -> ir.Value:
    return builder.inttoptr(ir.Constant(I64, address), ir.IntType(bits).as_pointer())


# --- names that every block may use
@cache
def _common_names(library: runtime.Library) -> dict[str, Any]:
    wide = _intrinsic(word_type(128), [U64, U64], _join)
    names = {**INTRINSICS, "wide": wide, "bswap": _intrinsic(U64, [U64], lambda b, word: b.bswap(word)),
             "sdiv": _signed_division("sdiv"), "srem": _signed_division("srem"),
             **{name: _runtime_function(library, f"{name}_slow" if name == "probe" else name) for name in ("probe", "set_fault")}}
    for bits in WIDTHS:
        names |= _accesses(bits, *(_runtime_function(library, n) for n in ("load_slow", "load_for_write", "store_slow", "probe_slow")))
    return names


def _join(builder: ir.IRBuilder, high: ir.Value, low: ir.Value) -> ir.Value:
    return builder.or_(builder.shl(builder.zext(high, I128), ir.Constant(I128, 64)), builder.zext(low, I128))


def _signed_division(operation: str) -> Any:
    def emit(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, bits: ir.Value) -> ir.Value:
        gap = builder.sub(ir.Constant(I64, 64), bits)
        x, y = (builder.ashr(builder.shl(value, gap), gap) for value in (a, b))
        return builder.lshr(builder.shl(getattr(builder, operation)(x, y), gap), gap)

    return _intrinsic(U64, [U64] * 3, emit)


def _accesses(bits: int, load: Any, load_for_write: Any, store: Any, probe: Any) -> dict[str, Any]:
    """getN, putN, readN, updateN and writeN: everything through the runtime functions."""
    kind, size = word_type(bits), bits // 8

    def get(builder: ir.IRBuilder, cpu: ir.Value, offset: ir.Value) -> ir.Value:
        value = builder.load(builder.inttoptr(builder.add(cpu, offset), ir.IntType(bits).as_pointer()))
        value.align = 1
        return _as_word(builder, value)

    def put(builder: ir.IRBuilder, cpu: ir.Value, offset: ir.Value, value: ir.Value) -> ir.Value:
        place = builder.inttoptr(builder.add(cpu, offset), ir.IntType(bits).as_pointer())
        builder.store(_cast(builder, value, bits), place).align = 1
        return ir.Constant(I64, 0)

    names = {f"get{bits}": _intrinsic(kind, [U64, U64], get), f"put{bits}": _intrinsic(U64, [U64, U64, kind], put)}
    read, write = (_read_wide, _write_wide) if bits > 64 else (_read_word, _write_word)
    return {**names, f"read{bits}": read(size, load), f"update{bits}": read(size, load_for_write),
            f"write{bits}": write(size, store, probe)}


_inner: Any = njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy")  # type: ignore[call-overload]


def _read_word(size: int, load: Any) -> Any:
    count = INTRINSICS["u64"](size)
    return _inner(lambda cpu, address: load(cpu, address, count))


def _write_word(size: int, store: Any, _probe: Any) -> Any:
    count = INTRINSICS["u64"](size)
    return _inner(lambda cpu, address, value: store(cpu, address, value, count))


def _read_wide(size: int, load: Any) -> Any:
    """In two parts; the second not after a fault."""
    u64, failed = INTRINSICS["u64"], _failed()
    first, rest = u64(WORD), u64(size - WORD)
    join = _intrinsic(word_type(size * 8), [U64, U64], lambda b, high, low: _cast(b, _join(b, high, low), size * 8))

    def read(cpu, address):  # type: ignore[no-untyped-def]
        low = load(cpu, address, first)
        if failed(cpu) != u64(0):
            return join(u64(0), low)
        return join(load(cpu, address + first, rest), low)

    return _inner(read)


def _write_wide(size: int, store: Any, probe: Any) -> Any:
    u64 = INTRINSICS["u64"]
    first, rest, whole = u64(WORD), u64(size - WORD), u64(size)
    low = _intrinsic(U64, [word_type(size * 8)], lambda b, value: b.trunc(value, I64))
    high = _intrinsic(U64, [word_type(size * 8)], lambda b, value: _as_word(
        b, _cast(b, b.lshr(value, ir.Constant(value.type, 64)), 64)))

    def write(cpu, address, value):  # type: ignore[no-untyped-def]
        if probe(cpu, address, whole) == u64(0) and store(cpu, address, low(value), first) == u64(0):
            return store(cpu, address + first, high(value), rest)
        return u64(1)

    return _inner(write)


def _failed() -> Any:
    from jit.codecache import Cpu

    offset, load = INTRINSICS["u64"](Cpu.offset("fault")), INTRINSICS["load64"]
    return _inner(lambda cpu: load(cpu + offset))
