"""The stencil library of one engine: templates, code and relocations where the translator reads them.

The forms that a front end lists are compiled at the first start (jit/prebuild.py), others when they are first met; all are
remembered on disk with the bytes of one example each, and the next start loads them without LLVM.
"""
from __future__ import annotations

import ctypes
import marshal
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from jit import cache, prebuild
from jit.lower import Function, Helpers, Module
from jit.prebuild import NO_EXIT
from jit.state import FORM, RELOCATION, TEMPLATE
from jit.stencil import CONSTANT, ENTRIES, STUBS, Code, compile_module, stub_module
from jit.words import REGISTRY
from jit.x86.front import PAIR

TEMPLATES, CODE_POOL, RELOCATION_POOL = 8192, 4 << 20, 200_000      # at first; they grow
FORMS = 1 << 18                         # of the hash table, which must stay half empty
CONSTANT_POOL = 512 << 10


class StencilLibrary:
    """`runtime` is the loaded runtime library; `words` the ENGINE record, whose decoder fields are set already."""

    def __init__(self, front: Any, runtime: Any, words: Any, arena: Any, progress: Any = None):
        self.front, self.runtime, self.words, self.arena = front, runtime, words, arena
        self.helpers = Helpers(sorted(REGISTRY))
        self.templates = np.zeros(TEMPLATES, TEMPLATE)
        self.forms = np.zeros(FORMS, FORM)
        self.code = np.zeros(CODE_POOL, np.uint8)
        self.relocations = np.zeros(RELOCATION_POOL, RELOCATION)
        self._code_used = self._relocations_used = 0
        self.count, self.built = 1, 0
        self.constants = arena.reserve(CONSTANT_POOL)
        self._constants_used = 0
        self._constants_at: dict[bytes, int] = {b"": 0}
        for name, array in (("templates", self.templates), ("forms", self.forms), ("stencil_code", self.code),
                            ("relocations", self.relocations)):
            words[name] = array.ctypes.data
        words["form_mask"], words["constants"] = FORMS - 1, self.constants
        self._add_stubs()
        prebuild.start_worker(lambda: front, list(self.helpers.index))
        self._key = cache.key("stencils 2", _sources(), *self.helpers.index)
        self._stored: list[Any] = []
        self._changed = False
        self._load(progress)

    # --- public
    def add(self, example: bytes, mode: int, key: int) -> int:
        """Compile the form of the instruction at `example` and enter it under its key; its template number."""
        built = prebuild.build_batch([(mode, example)])[0]
        self.built += 1
        self._changed = True
        return self._enter((key, mode, example, built))

    def examples(self) -> list[tuple[int, bytes]]:
        """One (mode, bytes) for every form that is known."""
        return [(mode, example) for _, mode, example, _ in self._stored]

    def save(self) -> None:
        """Remember on disk what was compiled in this process."""
        if self._changed:
            cache.write("stencils", self._key, marshal.dumps(self._stored))
            self._changed = False

    # --- private
    def _load(self, progress: Any) -> None:
        image = cache.read("stencils", self._key)
        if image is None:
            self._build_listed(progress)
            return
        for entry in marshal.loads(image):  # noqa: S302 (our own file; plain tuples, no code)
            self._enter(entry)

    def _build_listed(self, progress: Any) -> None:
        """The first start after an installation or a change: compile the front end's list."""
        examples = self.front.listed_forms()
        names = list(self.helpers.index)
        for (mode, example), built in zip(examples, prebuild.build_forms(type(self.front), names, examples, progress)):
            key = self._key_of(example, mode)
            if key and not self._find(key):
                self._enter((key, mode, example, built))
        self._changed = True
        self.save()

    def _key_of(self, example: bytes, mode: int) -> int:
        """The key that the translator computes for an example; 0 when it is no instruction."""
        if not mode & PAIR:
            return self._single_key(example, mode)
        first = self.front.first_length(example, mode & ~PAIR)
        keys = [self._single_key(part, mode & ~PAIR) for part in (example[:first], example[first:])]
        return self.runtime.pair_key(*keys) if all(keys) else 0

    def _single_key(self, example: bytes, mode: int) -> int:
        buffer = ctypes.create_string_buffer(example, 16)
        return self.runtime.example_key(self.words.__array_interface__["data"][0], ctypes.addressof(buffer), len(example), mode)

    def _find(self, key: int) -> int:
        slot = key & (FORMS - 1)
        while self.forms[slot]["key"]:
            if int(self.forms[slot]["key"]) == key:
                return int(self.forms[slot]["template"])
            slot = (slot + 1) & (FORMS - 1)
        return 0

    def _enter(self, entry: Any) -> int:
        key, _, _, (flags, exits, codes, constants) = entry
        if self.count >= FORMS // 2:
            raise MemoryError(f"the guest uses more than {FORMS // 2} forms of instructions; no honest program does")
        base = self._add_constants(constants)
        number = self._template([Code(*code) for code in codes], flags, exits, base)
        slot = key & (FORMS - 1)
        while self.forms[slot]["key"]:
            slot = (slot + 1) & (FORMS - 1)
        self.forms[slot] = (key, number)
        self._stored.append(entry)
        return number

    def _add_stubs(self) -> None:
        functions, constants = compile_module(stub_module(self.front.layout))
        base = self._add_constants(constants)
        for name in STUBS:
            self._template([ENTRIES.get(name) or functions[f"stub_{name}"]], 0, (NO_EXIT, NO_EXIT), base)
        self.words["fault_stub"] = self.arena.put(functions["stub_fault"].text)
        self.words["leave_stub"] = self.arena.put(functions["stub_leave"].text)
        module, form = Module(), self.front.undefined()
        Function(module, "live", self.front.layout, self.helpers).define(form.uops)
        self._template([compile_module(module)[0]["live"]], int(form.flags), (NO_EXIT, NO_EXIT), base)

    def _add_constants(self, data: bytes) -> int:
        """Copy read-only data into the arena; its offset in the constant area."""
        if data in self._constants_at:
            return self._constants_at[data]
        at = -(-self._constants_used // 64) * 64
        if at + len(data) > CONSTANT_POOL:
            raise MemoryError("the stencils' constant area is full")
        place = self.constants - self.arena.base + at
        self.arena.map[place:place + len(data)] = data
        self._constants_used = at + len(data)
        self._constants_at[data] = at
        return at

    def _template(self, codes: list[Code], flags: int, exits: tuple[int, ...], constants: int) -> int:
        number, self.count = self.count, self.count + 1
        self.templates = self._grown(self.templates, "templates", self.count)
        row = self.templates[number]
        row["flags"], row["exits"] = flags, exits
        for i in range(2):
            code = codes[min(i, len(codes) - 1)]
            row["variants"][i] = self._put(code, constants) if i < len(codes) else row["variants"][0]
        self.words["template_count"] = self.count
        return number

    def _put(self, code: Code, constants: int) -> tuple[int, ...]:
        at, first = self._code_used, self._relocations_used
        self.code = self._grown(self.code, "stencil_code", at + len(code.text))
        self.relocations = self._grown(self.relocations, "relocations", first + len(code.relocations))
        self.code[at:at + len(code.text)] = np.frombuffer(code.text, np.uint8)
        for i, (place, kind, number, addend) in enumerate(code.relocations):
            if number == CONSTANT:
                addend += constants
            self.relocations[first + i] = (place, kind, number, addend & ((1 << 64) - 1))
        self._code_used += len(code.text)
        self._relocations_used += len(code.relocations)
        return at, len(code.text), int(code.droppable), first, len(code.relocations)


    def _grown(self, array: np.ndarray, word: str, needed: int) -> np.ndarray:
        """The array, or a larger copy that has room for `needed` items; compiled code finds it through the ENGINE record."""
        if needed <= len(array):
            return array
        larger = np.zeros(max(2 * len(array), needed), array.dtype)
        larger[:len(array)] = array
        self.words[word] = larger.ctypes.data
        return larger


def _sources() -> str:
    """Text of everything that decides what stencils look like."""
    names = ("jit.ir", "jit.lower", "jit.stencil", "jit.state", "jit.x86.state", "jit.x86.builder", "jit.x86.flags",
             "jit.x86.insn", "jit.x86.decode", "jit.x86.front", "jit.x86.x87", "jit.x86.fxsave", "jit.hostcode")
    text = [Path(str(import_module(name).__file__)).read_text() for name in names]
    folder = Path(str(import_module("jit.x86.semantics").__file__)).parent
    return "\n".join([*text, *(p.read_text() for p in sorted(folder.glob("*.py")))])
