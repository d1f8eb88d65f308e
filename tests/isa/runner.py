"""Runs one oracle case on the bytecode back end: a CPU record, an ENGINE record and a few pages of RAM, no machine.

The pages are those of the oracle's layout, mapped one to one; every other address faults, as does a write to the read-only
page.  The page walk and the callback are plain Python functions (jit/primitives.py, PYTHON_FUNCTIONS).
"""
from __future__ import annotations

import mmap
from functools import cache, lru_cache
from importlib import import_module
from pkgutil import iter_modules

import jit.x86
from jit import hostcode, memory
from jit.bytecode import Step
from jit.primitives import PYTHON_FUNCTIONS, REFERENCE
from jit.state import ENGINE, NO_ERROR_CODE, NO_WHERE, PAGE_SIZE, TlbFlag
from jit.words import Layout
from jit.x86 import semantics  # noqa: F401  (registers all instructions)
from jit.x86.builder import Builder, NoSemantics
from jit.x86.insn import decode
from jit.x86.state import (
    ARITHMETIC,
    MMU_USER,
    X86,
    CodeSize,
    Cr0,
    Cr4,
    Efer,
    Mode,
    PageFault,
    Seg,
    SegmentAttribute,
    Vector,
)
from tests.isa.blocks import BlockFunction, compile_block
from tests.isa.flags import architectural_flags, lazy_flags
from tests.oracle.state import Case, Fault, Result, State, abridged_tags, full_tags, layout

for _module in iter_modules(jit.x86.__path__):
    import_module(f"jit.x86.{_module.name}")                # word functions that semantics call by name

Engine = Layout("Engine", ENGINE)
MAX_STEPS = 2000                                            # instructions of one case; loops and REP need several
SIZES = {16: CodeSize.BITS16, 32: CodeSize.BITS32, 64: CodeSize.BITS64}
FLAT_LIMIT, REAL_LIMIT = 0xFFFF_FFFF, 0xFFFF
DATA_SEGMENT = SegmentAttribute.P | SegmentAttribute.S | SegmentAttribute.WRITABLE | SegmentAttribute.ACCESSED
MASK64 = (1 << 64) - 1
INT3 = 0xCC                                                 # what the code page is filled with
offset = lru_cache(maxsize=None)(X86.offset)
load64, store64 = REFERENCE["load64"], REFERENCE["store64"]


class TooLong(RuntimeError):
    """A case did not leave its code within MAX_STEPS instructions."""


class Machine:
    """The records and pages for one mode.  Reused for every case: everything a case can change is set before it."""

    def __init__(self, mode: int):
        self.mode, self.layout = mode, layout(mode)
        place = self.layout
        self.pages = [place.code, place.data, place.data + PAGE_SIZE, place.read_only, place.stack]
        self.ram = _Block(PAGE_SIZE * len(self.pages))
        self.lines = _Block(4 * len(self.pages))
        self.engine, self.cpu = _Block(ENGINE.itemsize), _Block(X86.dtype.itemsize)
        self.host = {page: self.ram.address + PAGE_SIZE * i for i, page in enumerate(self.pages)}
        self._set_engine()
        self._set_cpu()

    # --- records
    def _set_engine(self) -> None:
        def put(path: str, value: int) -> None:
            store64(self.engine.address + Engine.offset(path), value)

        for i, page in enumerate(self.pages):
            put(f"ranges.{i}.start", page)
            put(f"ranges.{i}.end", page + PAGE_SIZE)
            put(f"ranges.{i}.host", self.host[page])
            put(f"ranges.{i}.flags", int(TlbFlag.READ | TlbFlag.WRITE | TlbFlag.EXECUTE))
        put("range_count", len(self.pages))
        put("ram", self.ram.address)
        put("ram_size", PAGE_SIZE * len(self.pages))
        put("code_lines", self.lines.address)
        put("walk", _register(self._walk))
        put("callback", _register(_no_callback))

    def _set_cpu(self) -> None:
        size = SIZES[self.mode]
        flags = Mode(size) | Mode.FPU | Mode.SSE
        if self.mode != 16:
            flags |= Mode.FLAT | Mode.STACK32 | Mode.PROTECTED | Mode.CPL3 | Mode(MMU_USER << 4)
            self.put("cpl", 3)
            self.put("mmu", MMU_USER)
            self.put("cr0", int(Cr0.PE | Cr0.MP | Cr0.ET | Cr0.NE | Cr0.WP | Cr0.PG))
            self.put("efer", int(Efer.LME | Efer.LMA | Efer.SCE | Efer.NXE))
        self.block_mode = flags
        self.put("mode", int(flags))
        self.put("engine", self.engine.address)
        self.put("cr4", int(Cr4.OSFXSR | Cr4.OSXMMEXCPT | Cr4.PAE))
        for segment in (Seg.ES, Seg.CS, Seg.SS, Seg.DS, Seg.FS, Seg.GS):
            self.put(f"seg.{int(segment)}.limit", REAL_LIMIT if self.mode == 16 else FLAT_LIMIT)
            kind = DATA_SEGMENT | (SegmentAttribute.CODE if segment == Seg.CS else SegmentAttribute.DB)
            dpl = 0 if self.mode == 16 else int(SegmentAttribute.DPL)
            self.put(f"seg.{int(segment)}.attributes", int(kind) | dpl)
        self.put("where", NO_WHERE)

    def put(self, path: str, value: int) -> None:
        store64(self.cpu.address + offset(path), value & MASK64)

    def get(self, path: str) -> int:
        return load64(self.cpu.address + offset(path))

    def _walk(self, cpu: int, address: int, access: int, mmu: int) -> int:
        page = address & ~(PAGE_SIZE - 1)
        allowed = TlbFlag.READ | TlbFlag.EXECUTE if page == self.layout.read_only else \
            TlbFlag.READ | TlbFlag.WRITE | TlbFlag.EXECUTE
        if page not in self.host or access & ~int(allowed):
            code = PageFault.U | (PageFault.P if page in self.host else 0) | (PageFault.W if access & TlbFlag.WRITE else 0)
            return memory.set_fault(cpu, Vector.PF, int(code), address)
        self.put("walk_physical", page)
        self.put("walk_flags", int(allowed))
        return 0

    # --- one case
    def run(self, case: Case) -> Result:
        self._load(case.initial, case)
        start, end = self.layout.entry, self.layout.entry + len(case.code)
        before = hostcode.enter(self.get("mxcsr"))
        try:
            for _ in range(MAX_STEPS):
                pc = self.get("pc")
                if not start <= pc < end:
                    return Result(self._read(case), self._fetch_fault(pc))
                if fault := self._step(case.code[pc - start:], pc):
                    return Result(self._read(case), fault)
        finally:
            hostcode.enter(before)
        raise TooLong(f"{case} still runs after {MAX_STEPS} instructions, at {self.get('pc'):#x}")

    def _step(self, code: bytes, pc: int) -> Fault | None:
        function = block_of(code, pc, self.block_mode)
        if function is None:
            return Fault(Vector.UD)
        self.put("left", 1)
        function(self.cpu.address)
        self.put("mxcsr", self.get("mxcsr") | hostcode.leave())
        if not (fault := self.get("fault")):
            return None
        self.put("pc", pc)
        self.put("fault", 0)
        code_word = self.get("fault_code")
        return Fault(fault - 1, 0 if code_word == NO_ERROR_CODE else code_word, self.get("fault_address"))

    def _fetch_fault(self, pc: int) -> Fault | None:
        return None if pc & ~(PAGE_SIZE - 1) == self.layout.code else Fault(Vector.PF, int(PageFault.U | PageFault.I), pc)

    def _load(self, state: State, case: Case) -> None:
        for i, value in enumerate(state.gpr):
            self.put(f"gpr.{i}", value)
        result, aux = lazy_flags(state.rflags)
        self.put("result", result)
        self.put("aux", aux)
        self.put("eflags", state.rflags & ~int(ARITHMETIC))
        self.put("pc", self.layout.entry)
        self.put("fault", 0)
        self.ram.fill(0)
        self._copy_in(self.layout.code, bytes([INT3]) * PAGE_SIZE)
        self._copy_in(self.layout.entry, case.code)
        for base, content in state.memory.items():
            self._copy_in(base, content)
        for i, value in enumerate(state.xmm):
            self._put_wide(X86.offset("xmm") + 16 * i, value, 16)
        self.put("mxcsr", state.mxcsr)
        self._load_fpu(state)

    def _load_fpu(self, state: State) -> None:
        fpu = state.fpu
        self.put("fcw", fpu.cw)
        self.put("fsw", fpu.sw)
        self.put("ftw", abridged_tags(fpu.tw))
        for i, value in enumerate(fpu.st):
            self._put_wide(X86.offset("st") + 16 * ((fpu.top + i) & 7), value, 10)

    def _read(self, case: Case) -> State:
        state = State(gpr=[self.get(f"gpr.{i}") for i in range(16)], rip=self.get("pc"), rflags=self._rflags())
        state.xmm = [self._get_wide(X86.offset("xmm") + 16 * i, 16) for i in range(16)]
        state.mxcsr = self.get("mxcsr")
        state.fpu.cw, state.fpu.sw = self.get("fcw"), self.get("fsw")
        state.fpu.st = [self._get_wide(X86.offset("st") + 16 * ((state.fpu.top + i) & 7), 10) for i in range(8)]
        state.fpu.tw = full_tags(self.get("ftw"), state.fpu.top, state.fpu.st)
        for base, content in case.initial.memory.items():
            state.memory[base] = self._copy_out(base, len(content))
        return state

    def _rflags(self) -> int:
        return (self.get("eflags") & ~int(ARITHMETIC)) | architectural_flags(self.get("result"), self.get("aux"))

    # --- bytes
    def _copy_in(self, address: int, content: bytes) -> None:
        """Bytes of one page, or of the two data pages, which lie side by side in RAM too."""
        at = self._place(address)
        self.ram.view[at:at + len(content)] = content

    def _copy_out(self, address: int, size: int) -> bytes:
        at = self._place(address)
        return bytes(self.ram.view[at:at + size])

    def _place(self, address: int) -> int:
        return self.host[address & ~(PAGE_SIZE - 1)] - self.ram.address + address % PAGE_SIZE

    def _put_wide(self, offset: int, value: int, size: int) -> None:
        self.cpu.view[offset:offset + size] = value.to_bytes(size, "little")

    def _get_wide(self, offset: int, size: int) -> int:
        return int.from_bytes(self.cpu.view[offset:offset + size], "little")


class _Block:
    """Zeroed, page-aligned host memory with a known address."""

    def __init__(self, size: int):
        self._map = mmap.mmap(-1, max(size, PAGE_SIZE))
        self.view = memoryview(self._map)
        self.address = memory_address(self._map)

    def fill(self, byte: int) -> None:
        self.view[:] = bytes([byte]) * len(self.view)


def memory_address(mapping: mmap.mmap) -> int:
    import ctypes

    return ctypes.addressof(ctypes.c_char.from_buffer(mapping))


def _register(function: object) -> int:
    PYTHON_FUNCTIONS.append(function)
    return len(PYTHON_FUNCTIONS) - 1


def _no_callback(cpu: int, call: int, a: int, b: int, c: int) -> int:
    raise AssertionError(f"an instruction test asked the machine for call {call} ({a:#x}, {b:#x}, {c:#x})")


# --- entry points
@lru_cache(maxsize=50_000)
def block_of(code: bytes, pc: int, mode: Mode) -> BlockFunction | None:
    """The block of the one instruction at `pc`; None when there is no such instruction."""
    insn = decode(code, pc, int(mode), concrete=True)
    if insn is None:
        return None
    try:
        uops = Builder(insn).build()
    except NoSemantics:
        return None
    size = 0xFFFF if insn.code_size == CodeSize.BITS16 else MASK64
    return compile_block([Step(uops, pc, insn.raw[:insn.length].hex())], (pc + insn.length) & size)


@cache
def machine(mode: int) -> Machine:
    return Machine(mode)


def run(case: Case) -> Result:
    """What the bytecode back end makes of a case.  Raises TooLong when it does not end."""
    return machine(case.mode).run(case)
