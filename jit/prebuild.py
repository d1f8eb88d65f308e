"""Forms compiled ahead: the list that ships with a front end becomes stencils at the first start, on both cores.

Each form is also kept by the hash of its LLVM text, so that after a change in the sources only forms that came out different
are compiled again.
"""
from __future__ import annotations

import marshal
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from jit import cache
from jit.lower import Function, Helpers, Module
from jit.state import TemplateFlag
from jit.stencil import CONSTANT, HOLE_NUMBER, Code, compile_module, without_flags

NO_EXIT = 255
BATCH = 48                              # forms in one LLVM module
VARIANTS = ("live", "dead")
Example = tuple[int, bytes]             # mode, the bytes of one instruction of the form
Built = tuple[int, tuple[int, int], list[Any], bytes]   # flags, exits, codes, constants: plain data

_front: Any = None
_helpers: Helpers


def start_worker(front_class: Callable[[], Any], helper_names: list[str]) -> None:
    """Make this process ready for `build_batch`."""
    global _front, _helpers
    _front, _helpers = front_class(), Helpers(helper_names)


def build_forms(front_class: Callable[[], Any], helper_names: list[str], examples: list[Example],
                progress: Callable[[int, int], None] | None) -> Iterable[Built]:
    """Every example's form, in order, compiled or from the cache."""
    batches = [examples[i:i + BATCH] for i in range(0, len(examples), BATCH)]
    done = 0
    with ProcessPoolExecutor(2, initializer=start_worker, initargs=(front_class, helper_names)) as pool:
        for built in pool.map(build_batch, batches):
            done += len(built)
            if progress:
                progress(done, len(examples))
            yield from built


def build_batch(examples: list[Example]) -> list[Built]:
    """Compile what the cache lacks of these in one LLVM module."""
    forms = [_front.form(code, mode) for mode, code in examples]
    texts = [form_text(form) for form in forms]
    found = [cache.read("forms", cache.key(text)) for text in texts]
    missing = [i for i, image in enumerate(found) if image is None]
    built: dict[int, bytes] = {}
    if missing:
        codes, constants = compile_forms([forms[i] for i in missing])
        for i, variants in zip(missing, codes):
            built[i] = marshal.dumps(describe(forms[i], variants, constants))
            cache.write("forms", cache.key(texts[i]), built[i])
    return [marshal.loads(found[i] or built[i]) for i in range(len(examples))]  # noqa: S302 (plain data of our own)


def form_text(form: Any) -> str:
    """What decides a form's code: its LLVM text and flags."""
    module = Module()
    add_form(module, "f", form)
    return f"{int(form.flags)} {form.exits}\n{module.text()}"


def add_form(module: Module, name: str, form: Any) -> None:
    """Lower a form's variants into a module."""
    Function(module, f"{name}_live", _front.layout, _helpers).define(form.uops)
    if form.flags & TemplateFlag.WRITES_FLAGS:
        Function(module, f"{name}_dead", _front.layout, _helpers).define(without_flags(form.uops))


def compile_forms(forms: list[Any]) -> tuple[list[list[Code]], bytes]:
    module = Module()
    for i, form in enumerate(forms):
        add_form(module, f"f{i}", form)
    functions, constants = compile_module(module)
    variants = [[functions[f"f{i}_{v}"] for v in VARIANTS if f"f{i}_{v}" in functions] for i in range(len(forms))]
    return variants, constants


def describe(form: Any, codes: list[Code], constants: bytes) -> Built:
    """A form as plain data.  Constants are kept only where the code refers to them."""
    exits = tuple(NO_EXIT if hole is None else HOLE_NUMBER[hole] for hole in form.exits)
    uses = any(number == CONSTANT for code in codes for _, _, number, _ in code.relocations)
    plain = [(code.text, code.relocations, code.droppable) for code in codes]
    return int(form.flags), exits, plain, constants if uses else b""  # type: ignore[return-value]
