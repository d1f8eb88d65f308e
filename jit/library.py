"""The stencil library of a process: templates, code and relocations where every engine's translator reads them.

The forms that a front end lists are compiled at the first start (jit/prebuild.py), others when they are first met; all are
remembered on disk, and the next start takes them over as they are, without LLVM.  What stencils point at with 32 bits, their
constants and two fixed pieces of code, each engine has in its own arena.
"""
from __future__ import annotations

import ctypes
import marshal
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np

from jit import cache, prebuild
from jit.lower import Function, Helpers, Module
from jit.prebuild import NO_EXIT
from jit.state import FORM, RELOCATION, TEMPLATE
from jit.stencil import CONSTANT, ENTRIES, STUBS, Code, compile_module, stub_module
from jit.words import REGISTRY
from jit.x86.front import PAIR

if TYPE_CHECKING:
    from jit.native import Native

TEMPLATES, CODE_POOL, RELOCATION_POOL = 8192, 4 << 20, 200_000      # at first; they grow
FORMS = 1 << 18                         # of the hash table, which must stay half empty
CONSTANT_POOL = 512 << 10               # bytes of each arena
FAULT, LEAVE = "stub_fault", "stub_leave"

_libraries: dict[tuple[type, tuple[str, ...]], StencilLibrary] = {}


def shared(engine: Native, progress: Any = None) -> StencilLibrary:
    """The library of an engine's front end, attached to it; made if it is the first engine of the process."""
    known = type(engine.front), tuple(sorted(REGISTRY))
    if known not in _libraries:
        _libraries[known] = StencilLibrary(engine, known[1], progress)
    _libraries[known].attach(engine)
    return _libraries[known]


class Pool:
    """An array that grows."""

    def __init__(self, dtype: Any, room: int):
        self.array, self.used = np.zeros(room, dtype), 0

    def append(self, rows: Any) -> int:
        """Where the rows went."""
        at, self.used = self.used, self.used + len(rows)
        if self.used > len(self.array):
            larger = np.zeros(max(2 * len(self.array), self.used), self.array.dtype)
            larger[:at] = self.array[:at]
            self.array = larger
        self.array[at:self.used] = rows
        return at

    def image(self) -> bytes:
        return self.array[:self.used].tobytes()

    def fill(self, image: bytes) -> None:
        self.append(np.frombuffer(image, self.array.dtype))


class StencilLibrary:
    """`engine` is the first that uses it: its record has the decoder fields that keys are computed with."""

    def __init__(self, engine: Native, helper_names: tuple[str, ...], progress: Any = None):
        self.front, self.runtime = engine.front, engine.library
        self.helpers = Helpers(list(helper_names))
        self.templates, self.code = Pool(TEMPLATE, TEMPLATES), Pool(np.uint8, CODE_POOL)
        self.relocations, self.constants = Pool(RELOCATION, RELOCATION_POOL), Pool(np.uint8, CONSTANT_POOL)
        self.forms = np.zeros(FORMS, FORM)
        self.built = 0
        self._stubs: dict[str, bytes] = {}
        self._constants_at: dict[bytes, int] = {}
        self._known: list[tuple[int, int, bytes, int]] = []         # key, mode, example, template
        self._engines: WeakSet[Native] = WeakSet()
        self._key = cache.key("stencils 3", _sources(), *self.helpers.index)
        self._changed = False
        prebuild.start_worker(lambda: self.front, list(self.helpers.index))
        image = cache.read("stencils", self._key)
        if image is None:
            self._build(engine, progress)
        else:
            self._take_over(image)

    # --- public
    def attach(self, engine: Native) -> None:
        """Let an engine translate with this library: pointers in its record, constants and fixed code in its arena."""
        words, arena = engine.words, engine.arena
        words["form_mask"], words["forms"] = FORMS - 1, self.forms.ctypes.data
        words["constants"] = arena.reserve(CONSTANT_POOL)
        words["fault_stub"], words["leave_stub"] = arena.put(self._stubs[FAULT]), arena.put(self._stubs[LEAVE])
        self._engines.add(engine)
        self._refresh(engine, 0)

    def detach(self, engine: Native) -> None:
        """The engine is not used any more."""
        self._engines.discard(engine)

    def add(self, example: bytes, mode: int, key: int) -> int:
        """Compile the form of the instruction at `example` and enter it under its key; its template number."""
        had = self.constants.used
        number = self._enter(key, mode, example, prebuild.build_batch([(mode, example)])[0])
        self.built += 1
        self._changed = True
        for engine in self._engines:
            self._refresh(engine, had)
        return number

    @property
    def count(self) -> int:
        """Templates, those of the translator itself included."""
        return self.templates.used

    def examples(self) -> list[tuple[int, bytes]]:
        """One (mode, bytes) for every form that is known."""
        return [(mode, example) for _, mode, example, _ in self._known]

    def save(self) -> None:
        """Remember on disk what was compiled in this process."""
        if self._changed:
            pools = [pool.image() for pool in self._pools()]
            cache.write("stencils", self._key, marshal.dumps((pools, self._stubs, self._constants_at, self._known)))
            self._changed = False

    # --- private
    def _pools(self) -> list[Pool]:
        return [self.templates, self.code, self.relocations, self.constants]

    def _refresh(self, engine: Native, first: int) -> None:
        """Pools have grown: tell an engine where they are; its constants lack those from `first` on."""
        words, arena = engine.words, engine.arena
        words["templates"], words["template_count"] = self.templates.array.ctypes.data, self.templates.used
        words["stencil_code"], words["relocations"] = self.code.array.ctypes.data, self.relocations.array.ctypes.data
        place = int(words["constants"]) - arena.base
        arena.memory[place + first:place + self.constants.used] = self.constants.array[first:self.constants.used]

    def _take_over(self, image: bytes) -> None:
        pools, self._stubs, self._constants_at, self._known = marshal.loads(image)  # noqa: S302 (our own file; plain data)
        for pool, content in zip(self._pools(), pools, strict=True):
            pool.fill(content)
        for key, _, _, number in self._known:
            self._note(key, number)

    def _build(self, engine: Native, progress: Any) -> None:
        """The first start after an installation or a change: the translator's own pieces, and the front end's list."""
        self.templates.append(np.zeros(1, TEMPLATE))                # number 0 is none
        self._add_stubs()
        examples = self.front.listed_forms()
        names = list(self.helpers.index)
        for (mode, example), built in zip(examples, prebuild.build_forms(type(self.front), names, examples, progress)):
            key = self._key_of(engine, example, mode)
            if key and not self._find(key):
                self._enter(key, mode, example, built)
        self._changed = True
        self.save()

    def _key_of(self, engine: Native, example: bytes, mode: int) -> int:
        """The key that the translator computes for an example; 0 when it is no instruction."""
        if not mode & PAIR:
            return self._single_key(engine, example, mode)
        first = self.front.first_length(example, mode & ~PAIR)
        keys = [self._single_key(engine, part, mode & ~PAIR) for part in (example[:first], example[first:])]
        return self.runtime.pair_key(*keys) if all(keys) else 0

    def _single_key(self, engine: Native, example: bytes, mode: int) -> int:
        buffer = ctypes.create_string_buffer(example, 16)
        record = engine.words.__array_interface__["data"][0]
        return self.runtime.example_key(record, ctypes.addressof(buffer), len(example), mode)

    def _slot(self, key: int) -> int:
        """Where a key is in the hash table, or belongs."""
        slot = key & (FORMS - 1)
        while int(self.forms["key"][slot]) not in (0, key):
            slot = (slot + 1) & (FORMS - 1)
        return slot

    def _find(self, key: int) -> int:
        return int(self.forms["template"][self._slot(key)])

    def _note(self, key: int, number: int) -> None:
        self.forms[self._slot(key)] = (key, number)

    def _enter(self, key: int, mode: int, example: bytes, built: prebuild.Built) -> int:
        flags, exits, codes, constants = built
        if self.count >= FORMS // 2:
            raise MemoryError(f"the guest uses more than {FORMS // 2} forms of instructions; no honest program does")
        number = self._template([Code(*code) for code in codes], flags, exits, self._add_constants(constants))
        self._note(key, number)
        self._known.append((key, mode, example, number))
        return number

    def _add_stubs(self) -> None:
        functions, constants = compile_module(stub_module(self.front.layout))
        base = self._add_constants(constants)
        for name in STUBS:
            self._template([ENTRIES.get(name) or functions[f"stub_{name}"]], 0, (NO_EXIT, NO_EXIT), base)
        self._stubs = {name: functions[name].text for name in (FAULT, LEAVE)}
        module, form = Module(), self.front.undefined()
        Function(module, "live", self.front.layout, self.helpers).define(form.uops)
        self._template([compile_module(module)[0]["live"]], int(form.flags), (NO_EXIT, NO_EXIT), base)

    def _add_constants(self, data: bytes) -> int:
        """Keep read-only data, 64-byte aligned; its offset in the constant area."""
        if not data:
            return 0
        if data not in self._constants_at:
            padding = bytes(-self.constants.used % 64)
            if self.constants.used + len(padding) + len(data) > CONSTANT_POOL:
                raise MemoryError("the stencils' constant area is full")
            at = self.constants.append(np.frombuffer(padding + data, np.uint8)) + len(padding)
            self._constants_at[data] = at
        return self._constants_at[data]

    def _template(self, codes: list[Code], flags: int, exits: tuple[int, ...], constants: int) -> int:
        row = np.zeros(1, TEMPLATE)
        row["flags"], row["exits"] = flags, exits
        for i in range(2):
            row["variants"][0, i] = self._put(codes[i], constants) if i < len(codes) else row["variants"][0, 0]
        return self.templates.append(row)

    def _put(self, code: Code, constants: int) -> tuple[int, ...]:
        rows = [(place, kind, number, (addend + (constants if number == CONSTANT else 0)) & ((1 << 64) - 1))
                for place, kind, number, addend in code.relocations]
        at = self.code.append(np.frombuffer(code.text, np.uint8))
        first = self.relocations.append(np.array(rows, RELOCATION))
        return at, len(code.text), int(code.droppable), first, len(rows)


@lru_cache
def _sources() -> str:
    """Text of everything that decides what stencils look like."""
    names = ("jit.ir", "jit.lower", "jit.stencil", "jit.state", "jit.x86.state", "jit.x86.builder", "jit.x86.flags",
             "jit.x86.insn", "jit.x86.decode", "jit.x86.front", "jit.x86.x87", "jit.x86.fxsave", "jit.hostcode")
    text = [Path(str(import_module(name).__file__)).read_text() for name in names]
    folder = Path(str(import_module("jit.x86.semantics").__file__)).parent
    return "\n".join([*text, *(p.read_text() for p in sorted(folder.glob("*.py")))])
