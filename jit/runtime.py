"""The runtime library: every word function compiled by numba into one object, cached on disk, loaded by llvmlite alone.

A build compiles each function by itself (calls between them are external symbols, so an edit recompiles one function), links
and optimises the lot once, and emits one object.  A warm start never imports numba.
"""
from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm

from jit import cache
from jit.backends import Progress
from jit.words import REGISTRY, WordFunction

# What functions are made of besides their own files: the rewriter, the primitives, the layouts and constants of records.
_SHARED_SOURCES = sorted(str(p) for p in Path(__file__).parent.glob("**/state.py")) + [
    str(Path(__file__).parent / name) for name in ("words.py", "primitives.py", "numba_primitives.py", "stencil.py")]
_UNRESOLVED = 4096          # any address: numba wants every external symbol to have one, though nothing is run there


class Library:
    """Loaded runtime functions: `library.address(name)`, and `library.name(...)` to call one from Python."""

    def __init__(self, image: bytes, names: Iterable[str]):
        initialize_llvm()
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target_machine())
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(image))
        self._engine.finalize_object()
        self.addresses = {name: self._engine.get_function_address(REGISTRY[name].symbol) for name in names}

    def address(self, name: str) -> int:
        return self.addresses[name]

    def __getattr__(self, name: str) -> Callable[..., int]:
        if name not in self.addresses:
            raise AttributeError(f"the runtime library has no function {name!r}")
        words = [ctypes.c_uint64] * len(REGISTRY[name].parameters)
        function = ctypes.CFUNCTYPE(ctypes.c_uint64, *words)(self.addresses[name])
        setattr(self, name, function)
        return function


_loaded: dict[tuple[str, ...], Library] = {}


def load(modules: Iterable[str], progress: Progress | None = None) -> Library:
    """The library made of every word function in the given modules, built if the cache does not have it.  Engines share it:
    its functions keep nothing between calls."""
    for module in modules:
        import_module(module)
    names = tuple(sorted(REGISTRY))
    if names not in _loaded:
        _loaded[names] = _load(tuple(modules), names, progress)
    return _loaded[names]


def _load(modules: tuple[str, ...], names: tuple[str, ...], progress: Progress | None) -> Library:
    files = sorted({REGISTRY[name].function.__code__.co_filename for name in names})
    name = cache.key("runtime 2", *names, *(Path(file).read_bytes() for file in [*files, *_SHARED_SOURCES]))
    image = cache.read("runtime", name)
    if image is None:
        image = _build(modules, names, {n: REGISTRY[n].source() for n in names}, progress)
        cache.write("runtime", name, image)
    return Library(image, names)


def _build(modules: tuple[str, ...], names: tuple[str, ...], sources: dict[str, str], progress: Progress | None) -> bytes:
    bitcode: dict[str, bytes] = {}
    missing = []
    for name in names:
        cached = cache.read("words", cache.key("word 1", sources[name]))
        if cached is None:
            missing.append(name)
        else:
            bitcode[name] = cached
    if missing:
        with ProcessPoolExecutor(2, initializer=_start_worker, initargs=(modules,)) as pool:
            for name, compiled in pool.map(_compile, missing, chunksize=4):
                bitcode[name] = compiled
                cache.write("words", cache.key("word 1", sources[name]), compiled)
                if progress:
                    progress(len(bitcode), len(names))
    return _link([bitcode[name] for name in names])


def _start_worker(modules: tuple[str, ...]) -> None:
    initialize_llvm()
    for module in modules:
        import_module(module)


def _compile(name: str) -> tuple[str, bytes]:
    """One function through numba, wrapped to take and return plain words under its own symbol."""
    from numba import njit, types

    word = types.uint64
    function = REGISTRY[name]
    tree, needs = function.tree(reference=False)
    namespace: dict[str, Any] = {**_numba_names()}
    for other in needs.values():
        llvm.add_symbol(other.symbol, _UNRESOLVED)
        namespace[other.name] = types.ExternalFunction(other.symbol, word(*[word] * len(other.parameters)))
    import ast

    exec(compile(ast.unparse(tree), f"<word {name}>", "exec"), namespace)  # noqa: S102 (our own source)
    signature = word(*[word] * len(function.parameters))
    options = dict(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, nogil=True)
    compiled = njit(signature, **options)(namespace[name]).overloads[signature.args]
    module = compiled.library._final_module.clone()
    module.link_in(llvm.parse_assembly(_wrapper(function, compiled.fndesc.llvm_func_name)))
    return name, module.as_bitcode()


def _numba_names() -> dict[str, Any]:
    from jit.primitives import numba_primitives

    return numba_primitives()


def _wrapper(function: WordFunction, inner: str) -> str:
    """numba returns through a pointer and a status; everybody else wants a word."""
    parameters = ", ".join(f"i64 %a{i}" for i in range(len(function.parameters)))
    return f"""
        declare i32 @{inner}(ptr, ptr, {parameters})
        define i64 @{function.symbol}({parameters}) {{
            %result = alloca i64
            %error = alloca ptr
            call i32 @{inner}(ptr %result, ptr %error, {parameters})
            %word = load i64, ptr %result
            ret i64 %word
        }}"""


def _link(bitcode: list[bytes]) -> bytes:
    initialize_llvm()
    whole = llvm.parse_assembly("")
    for code in bitcode:
        whole.link_in(llvm.parse_bitcode(code))
    for function in whole.functions:
        if not function.is_declaration and not function.name.startswith("nm_"):
            function.linkage = "internal"
    for variable in whole.global_variables:
        if variable.linkage == llvm.Linkage.common:
            variable.linkage = "internal"
    machine = target_machine()
    builder = llvm.create_pass_builder(machine, llvm.PipelineTuningOptions(speed_level=2))
    builder.getModulePassManager().run(whole, builder)
    return machine.emit_object(whole)


def target_machine() -> Any:
    initialize_llvm()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(opt=2, reloc="static", codemodel="large", cpu=llvm.get_host_cpu_name())


_ready = False


def initialize_llvm() -> None:
    global _ready
    if not _ready:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        llvm.initialize_native_asmparser()
        _ready = True
