"""The engine as Python sees it: guest RAM, vCPUs, and run(budget) -> Exit.

    engine = Engine(X86Front(), ram_size=256 << 20, callback=handler)
    engine.map_ram(0, 0, 256 << 20)
    vcpu = engine.add_cpu()
    exit = vcpu.run(10_000_000)

The callback gets (vcpu, Call, a, b, c) for MMIO, ports and system operations, and returns a word.
"""
from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from jit import backends, exact
from jit.ram import Ram, zeros
from jit.state import (
    BLOCK, ENGINE, KICK_BIAS, KICKED, MAX_BREAKPOINTS, MAX_CPUS, NO_PAGE, NO_WHERE, PAGE_BITS, PAGE_SIZE, RAM_RANGES, Exit,
    TlbFlag, Trace,
)

ARENA_SIZE = 128 << 20                  # bytes for translated code and what it calls, by default
COPY_ARENA_SIZE = 12 << 20              # the same of copies, of which many may be alive
BLOCK_LIMIT = 600_000
OFFSET_LIMIT = 6_000_000
BUCKETS = 1 << 17
MASK64 = (1 << 64) - 1
PAUSE_NS = 500                          # that PAUSE takes when it hands over: two vCPUs that both wait do not do it a million times

EXITS = list(Exit)

Handler = Callable[["Vcpu", int, int, int, int], int]      # (vcpu, Call, a, b, c) -> word


@dataclass(frozen=True)
class Statistics:
    """Counters since the engine was made."""

    blocks: int                         # in the code cache now
    code_bytes: int                     # of the arena in use
    cache_flushes: int
    forms: int                          # instruction forms with a template
    forms_built: int                    # of those, compiled in this process (not from the disk cache)
    instructions: int                   # retired, all vCPUs
    regions: int = 0                    # loops that were compiled as a whole, or loaded, and entered into the code cache
    regions_built: int = 0              # of those, compiled in this process
    regions_rejected: int = 0           # hot blocks that are no loop a region can be made of


@dataclass(frozen=True)
class BlockInfo:
    """A translated block, for people."""

    pc: int                             # x86: offset in CS
    mode: int                           # block mode word
    host: int                           # host address of its code
    instructions: list[tuple[int, bytes]]       # pc and bytes of each


class Vcpu:
    """One vCPU: its record, and run()."""

    def __init__(self, engine: Engine, index: int):
        self.engine, self.index = engine, index
        dtype = engine.front.layout.dtype
        self._memory = zeros(dtype.itemsize, np.dtype(np.uint8))
        self.address = self._memory.ctypes.data
        self.state = self._memory.view(dtype)[0]
        cell = ctypes.c_uint64.from_address
        at = engine.front.layout.offset
        self._left, self._reserve, self._clock, self._fault, self._contended, self._single = (
            cell(self.address + at(name)) for name in ("left", "reserve", "clock", "fault", "contended", "single"))
        self.retired = self.waited = 0      # instructions; virtual ns that spend() added
        self.part: exact.Part | None = None
        """The block in the middle of which run() stopped."""
        self.over = True
        """Did the last run() use up its budget, or leave for another reason of its own?"""
        self._started = 0                   # virtual time of the last run(), in ns
        self.reset_record()

    def reset_record(self) -> None:
        """Everything zero but what the engine itself needs; the ISA's reset values are the CPU device's business."""
        self._memory[:] = 0
        state = self.state
        state["engine"], state["index"], state["where"] = self.engine.address, self.index, NO_WHERE
        state["jump"]["pc"] = NO_PAGE
        for tag in ("read", "write", "execute"):
            state["tlb"][tag] = NO_PAGE
        state["tlb_info"]["page"] = NO_PAGE
        state["helpers"][:len(self.engine.backend.helpers)] = self.engine.backend.helpers

    def run(self, budget: int, now: int, contended: bool = False, piece: int | None = None, count: int | None = None) -> Exit:
        """Run at most about `budget` instructions (a block may overshoot) from virtual time `now` (ns).  `contended`: spin-wait
        hints end the slice.  Raises what a callback raised.

        It returns early, with Exit.BUDGET and `over` false, at the first block boundary after `piece` instructions and after
        exactly `count` instructions; called again with what is left of the budget, it goes on as if it had not stopped."""
        kicked = not self.over and self.kicked
        self._contended.value = contended
        self._started, end = now, now + budget
        self._left.value, self._reserve.value, self._clock.value = 0, budget, end
        piece = budget if piece is None else min(piece, budget)
        if kicked:
            self.kick()
        reason = Exit.BUDGET
        try:
            if kicked or self.inside or count is not None and count <= piece + exact.ROOM:
                reason = exact.run(self, now + piece, count)
            else:
                reason = self.enter(piece)
            if reason == Exit.PAUSE:
                self._left.value = (self._left.value - PAUSE_NS) & MASK64
        finally:
            self.over = reason != Exit.BUDGET or not self.inside and (self.kicked or self.now >= end)
        return reason

    def enter(self, amount: int) -> Exit:
        """Run blocks while fewer than `amount` ns have passed, of what is left of the slice."""
        before = self.now
        self._divide(amount)
        reason = EXITS[self.engine.backend.enter(self)]
        self.retired += self.now - before - self.waited
        self.waited = 0
        self.raise_error()
        return reason

    def raise_error(self) -> None:
        """What a callback raised meanwhile."""
        if self.engine.error is not None:
            error, self.engine.error = self.engine.error, None
            raise error

    @property
    def kicked(self) -> bool:
        return _signed((self._left.value + self._reserve.value) & MASK64) < _signed(KICKED)

    @kicked.setter
    def kicked(self, kicked: bool) -> None:
        self._left.value = self._reserve.value = 0
        if kicked:
            self.kick()

    def charge(self, insns: int) -> None:
        """Take the instructions of a block that is run one by one from the slice; no other block may start."""
        self._divide(0)
        self._reserve.value = (self._reserve.value - insns) & MASK64

    def _divide(self, amount: int) -> None:
        """Of what is left of the slice, run() may use `amount` now."""
        total = self._left.value + self._reserve.value
        self._left.value, self._reserve.value = amount, (total - amount) & MASK64

    @property
    def executed(self) -> int:
        """Virtual ns of the current or last run(): its instructions and what spend() added."""
        return self.now - self._started

    @property
    def inside(self) -> bool:
        """Stopped where no slice ends: in a block, or in the shadow of STI or MOV SS."""
        return self.part is not None or bool(self._single.value)

    @property
    def now(self) -> int:
        """Virtual time in ns, during and right after a slice."""
        return (self._clock.value - self._left.value - self._reserve.value) & MASK64

    def spend(self, ns: int) -> None:
        """Let virtual time pass without instructions: an access to a slow device took that long.  For callbacks."""
        self._left.value = (self._left.value - ns) & MASK64
        self.waited += ns

    def kick(self) -> None:
        """Leave compiled code at the next block boundary; for callbacks."""
        if _signed(self._left.value) >= _signed(KICKED):
            self._left.value = (self._left.value - KICK_BIAS) & MASK64
            self._clock.value = (self._clock.value - KICK_BIAS) & MASK64

    def call(self, name: str, *args: int) -> int:
        """A runtime function on this vCPU; afterwards cpu.fault tells whether it reported one."""
        return getattr(self.engine.library, name)(self.address, *args)

    def deliver(self, name: str, *argument: int) -> int:
        """call() for runtime functions that have at most one argument and may call back, between two slices."""
        return self.engine.backend.call(self, name, *argument)

    @property
    def fault(self) -> int:
        """Vector + 1 of the exception that the last runtime function reported, 0 for none; reading clears it."""
        value, self._fault.value = self._fault.value, 0
        return value


CLOSED = "the machine is closed: its memory is gone"


class Closed:
    """In place of the runtime library of an engine that was closed."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(CLOSED)


class Engine:
    """Guest RAM, code cache and vCPUs of one machine.  `backend` says who runs guest code: jit/backends.py; `regions`,
    whether the native one compiles hot loops a second time (jit/region.py)."""

    def __init__(self, front: Any, ram_size: int, callback: Handler, progress: backends.Progress | None = None,
                 arena_size: int = ARENA_SIZE, backend: str = backends.DEFAULT, regions: bool = True, ram: Ram | None = None):
        make_backend = backends.find(backend)
        self.front, self.handler, self.regions = front, callback, regions
        self.error: BaseException | None = None
        self.closed = False
        self.ram_size = -(-ram_size // PAGE_SIZE) * PAGE_SIZE
        self._ram = ram or Ram(self.ram_size)
        self.ram = self._ram.array
        self.record = np.zeros(1, ENGINE)[0:1]
        self.words = self.record[0]
        self.address = self.record.ctypes.data
        self.cpus: dict[int, Vcpu] = {}
        self._by_address: dict[int, Vcpu] = {}
        self._keep: list[Any] = []
        self._make_code_cache()
        self.backend = make_backend(self, progress, arena_size)
        self.library = self.backend.library

    # --- building
    def array(self, count: int, dtype: Any) -> int:
        """Zeroed memory that lives as long as the engine; its address."""
        array = zeros(count, np.dtype(dtype))
        self._keep.append(array)
        return array.ctypes.data

    def _make_code_cache(self) -> None:
        w, pages = self.words, self.ram_size >> PAGE_BITS
        w["ram"], w["ram_size"] = self.ram.ctypes.data, self.ram_size
        w["code_lines"], w["page_blocks"] = self.array(pages, np.uint32), self.array(pages, np.uint32)
        w["blocks"], w["block_limit"], w["block_count"] = self.array(BLOCK_LIMIT, BLOCK), BLOCK_LIMIT, 1
        w["buckets"], w["bucket_mask"] = self.array(BUCKETS, np.uint32), BUCKETS - 1
        w["offsets"], w["offset_limit"] = self.array(OFFSET_LIMIT, np.uint8), OFFSET_LIMIT

    # --- the callback
    def called(self, cpu: int, call: int, a: int, b: int, c: int) -> int:
        """Guest code asks for something; an exception ends the slice and is carried to the caller of run."""
        try:
            return self.handler(self._by_address[cpu], call, a, b, c) & MASK64
        except BaseException as error:  # noqa: BLE001
            self.fail(cpu, error)
            return MASK64

    def fail(self, cpu: int, error: BaseException) -> None:
        self.error = self.error or error
        if cpu in self._by_address:
            self._by_address[cpu].kick()

    # --- vCPUs
    def add_cpu(self) -> Vcpu:
        """A new vCPU with the lowest free index.  Raises RuntimeError when there are too many."""
        index = next((i for i in range(MAX_CPUS) if i not in self.cpus), None)
        if index is None:
            raise RuntimeError(f"an engine has at most {MAX_CPUS} vCPUs")
        vcpu = self.cpus[index] = Vcpu(self, index)
        self.words["cpus"][index] = vcpu.address
        self.words["cpu_count"] = max(self.cpus) + 1
        self._by_address = {v.address: v for v in self.cpus.values()}
        return vcpu

    def remove_cpu(self, vcpu: Vcpu) -> None:
        del self.cpus[vcpu.index]
        self.words["cpus"][vcpu.index] = 0
        self.words["cpu_count"] = max(self.cpus, default=-1) + 1
        self._by_address = {v.address: v for v in self.cpus.values()}

    def set_breakpoints(self, addresses: list[int]) -> None:
        """Linear addresses at which vCPUs leave run() with Exit.DEBUG; a vCPU that runs on from there passes the address once.
        While there are any, every instruction goes through the dispatcher alone.  Raises ValueError for too many."""
        if len(addresses) > MAX_BREAKPOINTS:
            raise ValueError(f"{len(addresses)} breakpoints; the engine takes {MAX_BREAKPOINTS}")
        self.words["breakpoints"][:len(addresses)] = addresses
        self.words["breakpoint_count"] = len(addresses)
        self.library.flush_all_jumps(self.address)          # computed jumps would pass the dispatcher by

    def set_trace(self, wanted: Trace) -> None:
        """What the callback is told through Call.TRACE from now on.  Chained blocks are dropped when that must not happen."""
        was, self.words["trace"] = int(self.words["trace"]), int(wanted)
        if (was ^ wanted) & Trace.UNCHAINED:
            self.library.flush_cache(self.address)

    def block_row(self, number: int) -> Any:
        """A copy of a block's BLOCK record."""
        return np.frombuffer(ctypes.string_at(int(self.words["blocks"]) + number * BLOCK.itemsize, BLOCK.itemsize), BLOCK)[0]

    def block(self, number: int) -> BlockInfo:
        """A block of the code cache."""
        row = self.block_row(number)
        pc, ram, size = int(row["pc"]), int(row["ram"]), int(row["size"])
        first = size if row["ram2"] == NO_PAGE else PAGE_SIZE - ram % PAGE_SIZE
        code = self.ram[ram:ram + first].tobytes()
        if first < size:
            code += self.ram[int(row["ram2"]):int(row["ram2"]) + size - first].tobytes()
        offsets = ctypes.string_at(int(self.words["offsets"]) + int(row["first_offset"]), int(row["insns"]))
        starts = [*offsets, size]
        insns = [(pc + start, code[start:end]) for start, end in zip(starts, starts[1:])]
        return BlockInfo(pc, int(row["mode"]), int(row["code"]), insns)

    # --- memory
    def set_ranges(self, ranges: list[tuple[int, int, int, TlbFlag]]) -> None:
        """The guest-physical map of RAM and ROM: (start, size, offset in the RAM mapping, flags), page-aligned, not
        overlapping.  Everything else is MMIO.  Flushes all soft TLBs."""
        if len(ranges) > RAM_RANGES:
            raise ValueError(f"{len(ranges)} RAM ranges; the engine takes {RAM_RANGES}")
        for row, (start, size, offset, flags) in zip(self.words["ranges"], sorted(ranges)):
            row["start"], row["end"], row["host"], row["flags"] = start, start + size, self.words["ram"] + offset, int(flags)
        self.words["range_count"] = len(ranges)
        self.flush_tlbs()

    def map_ram(self, start: int, offset: int, size: int) -> None:
        """Make [start, start + size) RAM, beside what is mapped already."""
        rows = self.words["ranges"][:int(self.words["range_count"])]
        base = int(self.words["ram"])
        known = [(int(r["start"]), int(r["end"] - r["start"]), int(r["host"]) - base, TlbFlag(int(r["flags"]))) for r in rows]
        self.set_ranges([*known, (start, size, offset, TlbFlag.READ | TlbFlag.WRITE | TlbFlag.EXECUTE)])

    def drop_code(self) -> None:
        """Forget all translated code: RAM has other contents."""
        if self.words["block_count"] > 1:
            self.library.flush_cache(self.address)

    def flush_tlbs(self) -> None:
        for vcpu in self.cpus.values():
            vcpu.call("flush_tlb", 0)

    def ram_written(self, offset: int, size: int) -> None:
        """Tell the engine before somebody other than the guest writes RAM: translated code there is dropped."""
        if size:
            self.library.ram_written(self.address, int(self.words["ram"]) + offset, size)

    def host_offset(self, physical: int) -> int | None:
        """Offset in the RAM mapping of a guest-physical address; None where no RAM or ROM is."""
        for row in self.words["ranges"][:int(self.words["range_count"])]:
            if row["start"] <= physical < row["end"]:
                return int(row["host"]) - int(self.words["ram"]) + physical - int(row["start"])
        return None

    def statistics(self) -> Statistics:
        w = self.words
        return Statistics(
            blocks=int(w["block_count"]) - 1, cache_flushes=int(w["generation"]),
            instructions=sum(v.retired for v in self.cpus.values()), **self.backend.statistics(),
        )

    def save(self) -> None:
        """Keep what was compiled for the next start."""
        self.backend.save()

    # --- copies
    def copy(self, callback: Handler) -> Engine:
        """An engine with the same RAM, which is shared until somebody writes it, and without vCPUs.  Raises RuntimeError when it is closed."""
        if self.closed:
            raise RuntimeError(CLOSED)
        return Engine(self.front, self.ram_size, callback, arena_size=COPY_ARENA_SIZE, backend=self.backend.name,
                      regions=self.regions, ram=self._ram.copy())

    def become(self, other: Engine) -> None:
        """Take over another engine's RAM.  Translated code goes."""
        self.drop_code()
        self._ram.become(other._ram)

    def close(self) -> None:
        """Let go of host memory, as soon as nobody looks at it any more.  Nothing can run after that."""
        if self.closed:
            return
        self.save()
        self.closed = True
        self.cpus.clear()
        self._by_address.clear()
        self.backend.close()
        self.library = Closed()
        self._keep.clear()
        self.ram = self.ram[:0].copy()
        del self._ram


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
