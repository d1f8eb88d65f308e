"""The bytecode back end: blocks of generated Python (jit/bytecode.py), found, linked and left as the native ones are.

The dispatcher, the translator's rules for where blocks end, code cache, MMU and exceptions are the word functions themselves,
run by CPython.  Two of them mean machine code and are replaced: `take_instruction` (here it decodes to micro-ops) and `emit_block`.
What a native block keeps in its code, a block here keeps in a cell of memory that nobody executes, laid out so that the
dispatcher's patches do to it what they do to code: a jump at the entry once it is dead, and the rel32 of its direct jumps.

Speed, on one 2.5 GHz core: 1.3 million guest instructions a second in loops of integer code, 0.4 million on average over the first
seconds of a Linux boot; 0.15 ms for an instruction that is new.
"""
from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod, WeakValueDictionary

import numpy as np

from jit import decode, emit, hostcode
from jit.bytecode import MASK64, PC, WORD, BlockSource, End, Step, block_source
from jit.codecache import JMP_REL32, Cpu, block_at
from jit.emit import JUMP_MASK, known_target, same_page
from jit.frame import BlockCode, Frame, view
from jit.primitives import PYTHON_FUNCTIONS, python_address
from jit.state import BLOCK, JUMP_ENTRY, PAGE_BITS, TEMPLATE, Leave, TemplateFlag
from jit.translate import BLOCK_ROOM
from jit.words import REGISTRY
from jit.work import H_NEXT, H_PC, MODE_SINGLE, UNDEFINED, W_LENGTH, W_TEMPLATE, WORDS_BYTES, WORK_SIZE

if TYPE_CHECKING:
    from jit.engine import Engine, Vcpu

MODE, LEAVE, LINK, JUMP = (Cpu.offset(name) // WORD for name in ("mode", "leave", "link", "jump"))
JUMP_WORDS = JUMP_ENTRY.itemsize // WORD
JUMP_PC, JUMP_MODE, JUMP_CODE = (JUMP_ENTRY.fields[name][1] // WORD for name in ("pc", "mode", "code"))
WORK_WORDS = WORDS_BYTES // WORD
# The cell of a block: a jump (E9 rel32) once it is dead, the rel32 of its two direct jumps, and an address for its way out.
CELL, SITES, WAY_OUT = 32, (8, 12), 16
ARENA_BYTES = 640                       # of the arena that this engine does without: a block has as much, more or less
TEMPLATES = 512                         # one for every set of flags that instructions have, after those of the translator itself
STEP_FLAGS = ~(TemplateFlag.FUSES | TemplateFlag.CONDITIONAL)           # pairs are the stencils' business


@dataclass(eq=False)
class Block:
    """A block as `Bytecode.run_blocks` sees it."""

    number: int
    pc: int
    code: int                           # address of its cell
    source: BlockSource
    links: list[Block | None] = field(default_factory=list)     # where its direct jumps lead, as far as that is settled
    ways: list[Leave | None] = field(default_factory=list)      # what one does without a link; None: ask the jump cache


class ReferenceLibrary:
    """Runtime functions run by CPython, with the interface of jit.runtime.Library."""

    def __init__(self, modules: tuple[str, ...]):
        for module in modules:
            import_module(module)

    def address(self, name: str) -> int:
        return python_address(REGISTRY[name])

    def __getattr__(self, name: str) -> Callable[..., int]:
        if name not in REGISTRY:
            raise AttributeError(f"there is no runtime function {name!r}")
        function = REGISTRY[name]

        def call(*args: int) -> int:
            return function(*(int(a) & MASK64 for a in args))

        setattr(self, name, call)
        return call


class Bytecode:
    """What an Engine (jit/engine.py) asks of its back end."""

    name = "bytecode"
    helpers = np.zeros(0, np.uint64)    # addresses of runtime functions in every record: nobody here needs them

    def __init__(self, engine: Engine, progress: Any, arena_size: int):
        self.engine, self.front, self.words = engine, engine.front, engine.words
        self.library = self._load_library(progress)
        self.frames: dict[int, Frame] = {}                      # by address of the record
        self.blocks: dict[int, Block] = {}                      # by address of the cell
        self.steps: list[Step] = []                             # of the block being translated
        self.generation = 0
        self.running: Frame | None = None
        self._fill_record(arena_size)
        _BACKENDS[engine.address] = self

    # --- building
    def _load_library(self, progress: Any) -> Any:
        return ReferenceLibrary(self.front.modules)

    def _fill_record(self, arena_size: int) -> None:
        w, engine = self.words, self.engine
        for name in ("walk", "raise_fault", "before_step", "after_step", "watch"):
            w[name] = self.library.address(getattr(self.front, name))
        w["callback"], w["enter"] = self._callback_address(), python_address(_run_blocks)
        w["work"] = self.work = engine.array(WORK_SIZE, np.uint8)
        size = CELL * max(1, arena_size // ARENA_BYTES) + BLOCK_ROOM
        w["arena_start"] = w["arena_next"] = self.cells = engine.array(size, np.uint8)
        w["arena_end"] = self.cells + size
        self.memory = view(self.cells, size)
        self.rows = np.frombuffer(view(int(w["blocks"]), int(w["block_limit"]) * BLOCK.itemsize), BLOCK)
        self.templates = np.zeros(TEMPLATES, TEMPLATE)
        w["templates"] = self.templates.ctypes.data
        self.undefined = self.front.undefined()
        self.templates[UNDEFINED]["flags"] = int(self.undefined.flags)
        self.template_of: dict[int, int] = {}

    def _callback_address(self) -> int:
        method = WeakMethod(self.called)                        # the list of functions outlives engines

        def callback(cpu: int, call: int, a: int, b: int, c: int) -> int:
            called = method()
            assert called
            return called(cpu, call, a, b, c)

        PYTHON_FUNCTIONS.append(callback)
        return len(PYTHON_FUNCTIONS) - 1

    # --- translating
    def take_instruction(self, i: int, pc: int, mode: int, host: int, size: int) -> int:
        """In place of the word function of that name: the work area's words of instruction i, and its Step."""
        found = self.front.instruction(ctypes.string_at(host, size), pc, mode)
        if found is None:
            return 0
        form, length = found
        self.steps[i:] = [Step(form.uops, pc, ctypes.string_at(host, length).hex())]
        words = self._work(i)
        words[W_TEMPLATE], words[W_LENGTH] = self._template(int(form.flags) & STEP_FLAGS), length
        words[H_PC], words[H_NEXT] = pc, pc + length & MASK64
        return length

    def _work(self, i: int) -> memoryview:
        return view(self.work + i * WORDS_BYTES, WORDS_BYTES).cast("Q")

    def _template(self, flags: int) -> int:
        if flags not in self.template_of:
            number = self.template_of[flags] = UNDEFINED + 1 + len(self.template_of)
            self.templates[number]["flags"] = flags
        return self.template_of[flags]

    def emit_block(self, number: int, count: int) -> int:
        """In place of the word function of that name: the block's source and cell."""
        if self.generation != int(self.words["generation"]):
            self._forget_all()
        last, row = self._work(count - 1), self.rows[number]
        if last[W_TEMPLATE] == UNDEFINED:
            self.steps[count - 1:] = [Step(self.undefined.uops, last[H_PC])]
        source = block_source(self.steps[:count], last[H_NEXT], checked=not int(row["mode"]) & MODE_SINGLE)
        code = int(self.words["arena_next"])
        self.words["arena_next"] = code + CELL
        row["code"], row["cold"] = code, code + WAY_OUT
        block = self.blocks[code] = Block(number, int(row["pc"]), code, source)
        for target in source.targets:
            self._settle(block, target)
        return 0

    def _settle(self, block: Block, target: int | None) -> None:
        """Where a direct jump leads from the start."""
        assert target is not None, "a direct jump goes to a constant"
        engine, mode = self.engine.address, int(self.rows[block.number]["mode"])
        row = block_at(engine, block.number)
        known = known_target(engine, row, target)
        block.links.append(self.blocks[known] if known else None)
        block.ways.append(Leave.NEXT if mode & MODE_SINGLE else Leave.LINK if same_page(row, target, mode) else None)

    def _forget_all(self) -> None:
        """The code cache was flushed."""
        self.generation = int(self.words["generation"])
        self.blocks.clear()
        for frame in self.frames.values():
            frame.functions.clear()
        ctypes.memset(self.cells, 0, len(self.memory))

    # --- running
    def enter(self, vcpu: Vcpu) -> int:
        """Run until an Exit."""
        return self.call(vcpu, "run")

    def call(self, vcpu: Vcpu, name: str, *argument: int) -> int:
        """A runtime function that may call back, or run blocks."""
        frame = self.frames.get(vcpu.address)
        if frame is None or frame.owner is not vcpu:
            frame = self.frames[vcpu.address] = Frame(vcpu.address, self.front.layout.dtype.itemsize, vcpu)
        before = hostcode.enter(self._mxcsr(frame))
        self.running = frame
        try:
            return REGISTRY[name](vcpu.address, *argument)
        finally:
            self.running = None
            self._mxcsr(frame, hostcode.leave())
            hostcode.enter(before)

    def host_code(self, start: int) -> str:
        """The generated source of the block whose cell is at `start`."""
        return self.blocks[start].source.text

    def called(self, cpu: int, call: int, a: int, b: int, c: int) -> int:
        """The callback.  Python sees the guest's floating-point flags in the record, and may change its control word there."""
        frame = self.running
        if frame:
            self._mxcsr(frame, hostcode.leave())
        result = self.engine.called(cpu, call, a, b, c)
        if frame:
            hostcode.enter(self._mxcsr(frame))
        return result

    def _mxcsr(self, frame: Frame, flags: int = 0) -> int:
        """The record's MXCSR after adding sticky flags."""
        name = self.front.mxcsr_field
        if name is None:
            return hostcode.MXCSR_MASKS
        at = self.front.layout.offset(name) // WORD
        frame.r64[at] |= flags
        return frame.r64[at]

    def run_blocks(self, cpu: int, code: int) -> int:
        """From the block whose cell is at `code` to the next and on, until the dispatcher is needed."""
        frame, block = self.frames[cpu], self.blocks[code]
        r64, functions, memory, cells = frame.r64, frame.functions, self.memory, self.cells
        following: Block | None
        while True:
            if memory[block.code - cells] == JMP_REL32:
                following = self._successor(r64, block)
            else:
                function = functions.get(block.number) or self._bind(frame, block)
                end = function(cpu, block.number << 8)
                if end <= End.GOTO1:
                    following = block.links[end] or self._jump(r64, block, end)
                elif end == End.INDIRECT:
                    following = self._cached(r64)
                else:
                    return self._stop(r64, block, end)
            if following is None:
                return 0
            block = following

    def _bind(self, frame: Frame, block: Block) -> BlockCode:
        function = frame.functions[block.number] = frame.bind(block.source)
        return function

    def _successor(self, r64: memoryview, block: Block) -> Block | None:
        """A dead block: whoever arrives goes out, or on to the block that took its place."""
        target = block.code + 5 + self._relative(block.code + 1)
        if target == block.code + WAY_OUT:
            self._stop(r64, block, End.HEAD)
            return None
        return self.blocks[target]

    def _jump(self, r64: memoryview, block: Block, end: int) -> Block | None:
        """A direct jump that is not settled yet."""
        site = block.code + SITES[end]
        if relative := self._relative(site):
            block.links[end] = self.blocks[site + 4 + relative]
            return block.links[end]
        if block.ways[end] is None:
            return self._cached(r64)
        if block.ways[end] == Leave.LINK:
            r64[LINK], r64[LEAVE] = site, int(Leave.LINK)
        return None

    def _relative(self, address: int) -> int:
        at = address - self.cells
        return int.from_bytes(self.memory[at:at + 4], "little", signed=True)

    def _cached(self, r64: memoryview) -> Block | None:
        """What the jump cache has for cpu.pc."""
        pc = r64[PC]
        at = JUMP + ((pc ^ pc >> PAGE_BITS) & JUMP_MASK) * JUMP_WORDS
        if r64[at + JUMP_PC] == pc and r64[at + JUMP_MODE] == r64[MODE]:
            return self.blocks[r64[at + JUMP_CODE]]
        return None

    def _stop(self, r64: memoryview, block: Block, end: int) -> int:
        if end == End.HEAD:
            r64[PC], r64[LINK], r64[LEAVE] = block.pc, block.number << 8, int(Leave.HEAD)
        elif end == End.FAULT:
            r64[LEAVE] = int(Leave.FAULT)
        return 0

    # --- housekeeping
    def statistics(self) -> dict[str, int]:
        """Its part of jit.engine.Statistics: there is neither machine code nor a form."""
        return {"code_bytes": 0, "forms": 0, "forms_built": 0}

    def save(self) -> None:
        """There is nothing to keep."""

    def close(self) -> None:
        """Let go of host memory."""
        self.frames.clear()
        self.blocks.clear()


# --- the two replaced word functions, and entering a block
_BACKENDS: WeakValueDictionary[int, Bytecode] = WeakValueDictionary()      # by address of the ENGINE record


def _of_cpu(cpu: int) -> Bytecode:
    return _BACKENDS[ctypes.c_uint64.from_address(cpu + Cpu.offset("engine")).value]


def _run_blocks(cpu: int, code: int) -> int:
    return _of_cpu(cpu).run_blocks(cpu, code)


def _take_instruction(cpu: int, i: int, pc: int, mode: int, host: int, size: int) -> int:
    return _of_cpu(cpu).take_instruction(i, pc, mode, host, size)


def _emit_block(engine: int, number: int, count: int) -> int:
    return _BACKENDS[engine].emit_block(number, count)


decode.take_instruction.replace_reference(_take_instruction)
emit.emit_block.replace_reference(_emit_block)
