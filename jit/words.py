"""Word functions: the runtime library is written in a subset of Python where every value is a 64-bit unsigned word.

`@word_function` registers a function.  Its source is rewritten once: integer literals and named constants become 64-bit
words, `cpu.field` on a parameter annotated with a `Layout` becomes a load or a store at the field's offset, and calls of
other word functions become calls by symbol name.  The result has two uses: numba compiles it for the runtime library
(jit/runtime.py), and CPython runs it as it stands, with every result masked to 64 bits, for the reference back end.

The subset: assignments, if, while, for over range, return, calls, arithmetic and comparisons.  No signed type: `sar`,
`slt` and `sext` do what needs a sign.  A shift count must be below 64, as in the micro-ops.
"""
from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

from jit import primitives

MASK64 = (1 << 64) - 1
SYMBOL_PREFIX = "nm_"
REGISTRY: dict[str, WordFunction] = {}


class Layout:
    """A structured dtype whose fields word functions may name.  `cpu: X86` in a signature makes `cpu.rip` legal."""

    def __init__(self, name: str, dtype: np.dtype):
        self.name, self.dtype = name, dtype

    def offset(self, path: str) -> int:
        """Byte offset of a field, e.g. offset("seg.1.base").  Raises KeyError for a field that is not there."""
        return self.field(path)[0]

    def field(self, path: str) -> tuple[int, np.dtype]:
        at, dtype = 0, self.dtype
        for part in path.split("."):
            if part.isdigit():
                dtype = dtype.subdtype[0]
                at += int(part) * dtype.itemsize
            else:
                dtype, step = dtype.fields[part][:2]
                at += step
        return at, dtype



def sub_layout(layout: Layout, field: str) -> Layout:
    """The layout of one element of an array field: sub_layout(X86, "seg")."""
    dtype = layout.dtype.fields[field][0]
    return Layout(field, dtype.subdtype[0] if dtype.subdtype else dtype)


class WordFunction:
    """One function of the runtime library; calling it from Python runs the reference version."""

    def __init__(self, function: FunctionType):
        self.function, self.name = function, function.__name__
        self.parameters = list(inspect.signature(function).parameters)
        self._reference: Callable[..., int] | None = None

    @property
    def symbol(self) -> str:
        return SYMBOL_PREFIX + self.name

    def tree(self, reference: bool) -> tuple[ast.Module, dict[str, Any]]:
        """The rewritten source and the names that it needs."""
        source = textwrap.dedent(inspect.getsource(self.function))
        definition = ast.parse(source).body[0]
        assert isinstance(definition, ast.FunctionDef)
        rewriter = _Rewriter(self.function, definition, reference)
        return ast.fix_missing_locations(ast.Module([rewriter.rewrite()], [])), rewriter.needs

    def source(self) -> str:
        """The rewritten source: what numba compiles, and what the cache is keyed by."""
        return ast.unparse(self.tree(reference=False)[0])

    def replace_reference(self, function: Callable[..., int]) -> None:
        """Let CPython run `function` instead: for what only makes sense compiled."""
        self._reference = function

    def __call__(self, *args: int) -> int:
        if self._reference is None:
            tree, needs = self.tree(reference=True)
            namespace = {**primitives.REFERENCE, **needs}
            exec(compile(tree, self.function.__code__.co_filename, "exec"), namespace)  # noqa: S102 (our own source)
            self._reference = namespace[self.name]
        return self._reference(*args)

    def __repr__(self) -> str:
        return f"<word function {self.name}>"


def word_function(function: FunctionType) -> WordFunction:
    """Decorator: put a function into the runtime library."""
    if function.__name__ in REGISTRY:
        raise ValueError(f"two word functions are named {function.__name__!r}; give one of them another name")
    REGISTRY[function.__name__] = word = WordFunction(function)
    return word


class _Place:
    """What an attribute or index chain names: an address expression and the dtype that is there."""

    def __init__(self, address: ast.expr, dtype: np.dtype):
        self.address, self.dtype = address, dtype


class _Rewriter(ast.NodeTransformer):
    def __init__(self, function: FunctionType, definition: ast.FunctionDef, reference: bool):
        self.globals = {**function.__globals__, **_closure(function)}
        self.definition, self.reference = definition, reference
        self.needs: dict[str, Any] = {}
        self.pointers: dict[str, np.dtype] = {}

    def rewrite(self) -> ast.FunctionDef:
        node = self.definition
        for argument in node.args.args:
            if isinstance(layout := self._constant(argument.annotation), Layout):
                self.pointers[argument.arg] = layout.dtype
            argument.annotation = None
        node.decorator_list, node.returns = [], None
        if isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant):
            node.body.pop(0)                                                            # docstring
        self.locals = {a.arg for a in node.args.args} | {
            n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        node.body = [self.visit(statement) for statement in node.body]
        if not isinstance(node.body[-1], ast.Return):
            node.body.append(ast.Return(self._word(0)))
        return node

    # --- statements
    def visit_Return(self, node: ast.Return) -> ast.AST:
        return ast.Return(self._value(node.value) if node.value else self._word(0))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        layout = self._constant(node.annotation)
        assert isinstance(node.target, ast.Name) and isinstance(layout, Layout) and node.value is not None
        self.pointers[node.target.id] = layout.dtype
        return ast.Assign([node.target], self._value(node.value), lineno=node.lineno)

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        target = node.targets[0]
        if isinstance(target, ast.Name):
            return ast.Assign([target], self._value(node.value), lineno=node.lineno)
        return ast.Expr(self._store(self._place(target), self._value(node.value)))

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        target = node.target
        current: ast.expr
        if isinstance(target, ast.Name):
            current = ast.BinOp(ast.Name(target.id, ast.Load()), node.op, node.value)
            return ast.Assign([target], self._value(current), lineno=node.lineno)
        place = self._place(target)
        result = self._arithmetic(ast.BinOp(self._load(place), node.op, self._value(node.value)))
        return ast.Expr(self._store(place, result))

    def visit_If(self, node: ast.If) -> ast.AST:
        return ast.If(self._test(node.test), self._body(node.body), self._body(node.orelse))

    def visit_While(self, node: ast.While) -> ast.AST:
        return ast.While(self._test(node.test), self._body(node.body), self._body(node.orelse))

    def visit_For(self, node: ast.For) -> ast.AST:
        return ast.For(node.target, self._value(node.iter), self._body(node.body), [])

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        return ast.Expr(self._value(node.value))

    def _body(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        return [self.visit(s) for s in statements]

    # --- expressions: a value is a word, a test is true or false
    def _test(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Compare):
            return ast.Compare(self._value(node.left), node.ops, [self._value(c) for c in node.comparators])
        if isinstance(node, ast.BoolOp):
            return ast.BoolOp(node.op, [self._test(v) for v in node.values])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ast.UnaryOp(node.op, self._test(node.operand))
        if isinstance(node, ast.Constant) and isinstance(node.value, bool):
            return node
        return ast.Compare(self._value(node), [ast.NotEq()], [self._word(0)])

    def _value(self, node: ast.expr) -> ast.expr:
        constant = self._constant(node)
        if isinstance(constant, (int, np.integer)):
            return self._word(int(constant))
        if isinstance(node, ast.Name):
            return node
        if isinstance(node, (ast.Attribute, ast.Subscript)):
            place = self._place(node)
            return self._load(place) if place.dtype.fields is None and place.dtype.subdtype is None else place.address
        if isinstance(node, ast.BinOp):
            return self._arithmetic(ast.BinOp(self._value(node.left), node.op, self._value(node.right)))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Invert)):
            return self._mask(ast.UnaryOp(node.op, self._value(node.operand)))
        if isinstance(node, (ast.Compare, ast.BoolOp, ast.UnaryOp)):
            return ast.IfExp(self._test(node), self._word(1), self._word(0))
        if isinstance(node, ast.IfExp):
            return ast.IfExp(self._test(node.test), self._value(node.body), self._value(node.orelse))
        if isinstance(node, ast.Call):
            return self._call(node)
        raise SyntaxError(f"{self.definition.name}: {ast.unparse(node)!r} is not in the word subset")

    def _call(self, node: ast.Call) -> ast.expr:
        assert isinstance(node.func, ast.Name) and not node.keywords
        called = self.globals.get(node.func.id)
        if isinstance(called, WordFunction):
            if len(node.args) != len(called.parameters):
                raise SyntaxError(f"{self.definition.name} calls {called.name} with {len(node.args)} arguments")
            self.needs[called.name] = called
            return ast.Call(ast.Name(called.name, ast.Load()), [self._value(a) for a in node.args], [])
        if node.func.id != "range" and node.func.id not in primitives.REFERENCE:
            raise SyntaxError(f"{self.definition.name} calls {node.func.id}, which is no word function")
        return ast.Call(node.func, [self._value(a) for a in node.args], [])

    def _arithmetic(self, node: ast.BinOp) -> ast.expr:
        if isinstance(node.op, (ast.Add, ast.Sub, ast.Mult, ast.LShift)):
            return self._mask(node)
        if isinstance(node.op, (ast.BitAnd, ast.BitOr, ast.BitXor, ast.RShift, ast.FloorDiv, ast.Mod)):
            return node
        raise SyntaxError(f"{self.definition.name}: operator in {ast.unparse(node)!r} is not in the word subset")

    def _mask(self, node: ast.expr) -> ast.expr:
        return ast.BinOp(node, ast.BitAnd(), ast.Constant(MASK64)) if self.reference else node

    def _word(self, value: int) -> ast.expr:
        constant = ast.Constant(value & MASK64)
        return constant if self.reference else ast.Call(ast.Name("u64", ast.Load()), [constant], [])

    # --- names that are constants, and places in records
    def _constant(self, node: ast.expr | None) -> Any:
        """What a name or dotted name from the module stands for; None when it is a local or not a constant."""
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name) and node.id not in getattr(self, "locals", ()):
            return self.globals.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = self._constant(node.value)
            return getattr(owner, node.attr, None) if owner is not None else None
        return None

    def _place(self, node: ast.expr) -> _Place:
        if isinstance(node, ast.Name):
            if node.id not in self.pointers:
                raise SyntaxError(f"{self.definition.name}: {node.id!r} has no record layout; annotate it")
            return _Place(ast.Name(node.id, ast.Load()), self.pointers[node.id])
        if isinstance(node, ast.Attribute):
            outer = self._place(node.value)
            if outer.dtype.fields is None or node.attr not in outer.dtype.fields:
                raise SyntaxError(f"{self.definition.name}: no field {node.attr!r} in {ast.unparse(node.value)!r}")
            dtype, offset = outer.dtype.fields[node.attr][:2]
            return _Place(self._plus(outer.address, self._word(offset)) if offset else outer.address, dtype)
        if isinstance(node, ast.Subscript):
            outer = self._place(node.value)
            assert outer.dtype.subdtype is not None, f"{ast.unparse(node.value)!r} is not an array"
            item = outer.dtype.subdtype[0]
            scaled = ast.BinOp(self._value(node.slice), ast.Mult(), self._word(item.itemsize))
            return _Place(self._plus(outer.address, scaled), item)
        raise SyntaxError(f"{self.definition.name}: {ast.unparse(node)!r} is not a place")

    def _plus(self, a: ast.expr, b: ast.expr) -> ast.expr:
        return self._mask(ast.BinOp(a, ast.Add(), b))

    def _load(self, place: _Place) -> ast.expr:
        return ast.Call(ast.Name(f"load{place.dtype.itemsize * 8}", ast.Load()), [place.address], [])

    def _store(self, place: _Place, value: ast.expr) -> ast.expr:
        return ast.Call(ast.Name(f"store{place.dtype.itemsize * 8}", ast.Load()), [place.address, value], [])


def _closure(function: FunctionType) -> dict[str, Any]:
    cells = function.__closure__ or ()
    return {name: cell.cell_contents for name, cell in zip(function.__code__.co_freevars, cells)}
