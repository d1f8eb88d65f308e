"""The stencil library of one engine: templates, code and relocations where the translator reads them.

Forms are compiled when they are first met and remembered on disk with the bytes of one example each; the next start loads
them all without LLVM.
"""
from __future__ import annotations

import marshal
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from jit import cache
from jit.lower import Function, Helpers, Module
from jit.state import FORM, RELOCATION, TEMPLATE, TemplateFlag
from jit.stencil import CONSTANT, HOLE_NUMBER, STUBS, Code, compile_module, stub_module, without_flags

TEMPLATES, FORMS = 16384, 65536
CODE_POOL, RELOCATION_POOL = 24 << 20, 400_000
CONSTANT_POOL = 256 << 10
NO_EXIT = 255


class StencilLibrary:
    def __init__(self, front: Any, words: Any, arena: Any, progress: Any = None):
        self.front, self.words, self.arena = front, words, arena
        self.helpers = Helpers()
        for name in ("load_slow", "store_slow", "probe_slow"):
            self.helpers[name]
        self.templates = np.zeros(TEMPLATES, TEMPLATE)
        self.forms = np.zeros(FORMS, FORM)
        self.code = np.zeros(CODE_POOL, np.uint8)
        self.relocations = np.zeros(RELOCATION_POOL, RELOCATION)
        self._code_used = self._relocations_used = 0
        self.count, self.built = 1, 0
        self.constants = arena.reserve(CONSTANT_POOL)
        self._constants_used = 0
        for name, array in (("templates", self.templates), ("forms", self.forms), ("stencil_code", self.code),
                            ("relocations", self.relocations)):
            words[name] = array.ctypes.data
        words["form_mask"], words["constants"] = FORMS - 1, self.constants
        self._key = cache.key("stencils 1", _sources())
        self._add_stubs()
        self._new: list[Any] = []
        self._load()

    # --- public
    def add(self, example: bytes, mode: int, key: int) -> int:
        """Compile the form of the instruction at `example` and enter it under its key; its template number."""
        form = self.front.form(example, mode)
        module = Module()
        Function(module, "live", self.front.layout, self.helpers).define(form.uops)
        names = ["live"]
        if form.flags & TemplateFlag.WRITES_FLAGS:
            Function(module, "dead", self.front.layout, self.helpers).define(without_flags(form.uops))
            names.append("dead")
        functions, constants = compile_module(module)
        codes = [functions[name] for name in names]
        exits = tuple(NO_EXIT if hole is None else HOLE_NUMBER[hole] for hole in form.exits)
        self.built += 1
        entry = (key, int(form.flags), exits, [_plain(code) for code in codes], constants, dict(self.helpers.index))
        self._new.append(entry)
        return self._enter(entry)

    def save(self) -> None:
        """Remember on disk what was compiled in this process."""
        if self._new:
            self._stored += self._new
            self._new = []
            cache.write("stencils", self._key, marshal.dumps(self._stored))

    # --- private
    def _load(self) -> None:
        self._stored: list[Any] = []
        image = cache.read("stencils", self._key)
        if image is None:
            return
        self._stored = marshal.loads(image)  # noqa: S302 (our own file; plain tuples, no code)
        for entry in self._stored:
            for name in entry[5]:
                self.helpers[name]
        for entry in self._stored:
            self._enter(entry)

    def _enter(self, entry: Any) -> int:
        key, flags, exits, codes, constants, _ = entry
        base = self._add_constants(constants)
        number = self._template([Code(*code) for code in codes], flags, exits, base)
        slot = key & (FORMS - 1)
        while self.forms[slot]["key"]:
            slot = (slot + 1) & (FORMS - 1)
        self.forms[slot] = (key, number)
        return number

    def _add_stubs(self) -> None:
        functions, constants = compile_module(stub_module(self.front.layout))
        base = self._add_constants(constants)
        for name in STUBS:
            self._template([functions[f"stub_{name}"]], 0, (NO_EXIT, NO_EXIT), base)
        self.words["fault_stub"] = self.arena.put(functions["stub_fault"].text)
        self.words["leave_stub"] = self.arena.put(functions["stub_leave"].text)
        module, form = Module(), self.front.undefined()
        Function(module, "live", self.front.layout, self.helpers).define(form.uops)
        self._template([compile_module(module)[0]["live"]], int(form.flags), (NO_EXIT, NO_EXIT), base)

    def _add_constants(self, data: bytes) -> int:
        """Copy read-only data into the arena; its offset in the constant area."""
        if not data:
            return 0
        at = -(-self._constants_used // 64) * 64
        if at + len(data) > CONSTANT_POOL:
            raise MemoryError("the stencils' constant area is full")
        place = self.constants - self.arena.base + at
        self.arena.map[place:place + len(data)] = data
        self._constants_used = at + len(data)
        return at

    def _template(self, codes: list[Code], flags: int, exits: tuple[int, ...], constants: int) -> int:
        number, self.count = self.count, self.count + 1
        row = self.templates[number]
        row["flags"], row["exits"] = flags, exits
        for i in range(2):
            code = codes[min(i, len(codes) - 1)]
            row["variants"][i] = self._put(code, constants) if i < len(codes) else row["variants"][0]
        self.words["template_count"] = self.count
        return number

    def _put(self, code: Code, constants: int) -> tuple[int, ...]:
        at, first = self._code_used, self._relocations_used
        self.code[at:at + len(code.text)] = np.frombuffer(code.text, np.uint8)
        for i, (place, kind, number, addend) in enumerate(code.relocations):
            if number == CONSTANT:
                addend += constants
            self.relocations[first + i] = (place, kind, number, addend & ((1 << 64) - 1))
        self._code_used += len(code.text)
        self._relocations_used += len(code.relocations)
        return at, len(code.text), int(code.droppable), first, len(code.relocations)


def _plain(code: Code) -> tuple[Any, ...]:
    return code.text, code.relocations, code.droppable


def _sources() -> str:
    """Text of everything that decides what stencils look like."""
    names = ("jit.ir", "jit.lower", "jit.stencil", "jit.state", "jit.x86.state", "jit.x86.builder", "jit.x86.flags",
             "jit.x86.insn", "jit.x86.decode", "jit.x86.front", "jit.x86.x87", "jit.x86.fxsave", "jit.hostcode")
    text = [Path(str(import_module(name).__file__)).read_text() for name in names]
    folder = Path(str(import_module("jit.x86.semantics").__file__)).parent
    return "\n".join([*text, *(p.read_text() for p in sorted(folder.glob("*.py")))])
