"""Regions: hot loops compiled a second time, as one LLVM function with guest registers in host registers.

Where slices end is where time is spent: each end is a sample, weighted by the instructions since the last one, and costs running
code nothing.  A block that gathered enough becomes the head of a region (jit/region_shape.py), which a thread compiles
(jit/region_build.py, jit/region_object.py) or finds on disk, and which is installed between two slices by patching the
block's entry.  Blocks stay what they are: whoever enters the loop elsewhere, and whatever the region leaves to, runs them.

A guest cannot tell: same instruction counts, same points of interruption, same faults.
"""
from __future__ import annotations

import ctypes
import struct
import threading
from collections import Counter as Tally
from collections import deque
from dataclasses import dataclass
from importlib import import_module
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from jit.region_build import EXIT, HELPER
from jit.region_object import CONSTANTS, RegionCode, obtain
from jit.region_shape import Blocks, Rejected, Shape, grow, linear
from jit.ram import zeros
from jit.state import PAGE_BITS, PAGE_SIZE, REGION, TLB_ENTRIES, Counter, TlbFlag
from jit.stencil import ABS32, ABS64, HOLE, REL32
from jit.translate import BLOCK_ROOM
from jit.work import MODE_MMU_SHIFT, MODE_SINGLE

if TYPE_CHECKING:
    from jit.engine import Vcpu
    from jit.native import Native

SAMPLE_INSNS = 200_000                  # between samples, at least
HEAT = 6_000_000                        # instructions' worth of samples that make a block hot,
HEAT_SAMPLES = 3                        # ... of so many samples at least
REGION_LIMIT = 8192                     # between two flushes of the code cache
QUEUE_LIMIT = 64
MASK64 = (1 << 64) - 1
EXIT_ROOM = 128                         # bytes that a way out takes at most


@dataclass
class Heat:
    """Samples of one block head."""

    weight: int = 0
    samples: int = 0
    threshold: int = HEAT               # doubles with every attempt


@dataclass
class Job:
    shape: Shape
    generation: int                     # of the code cache, when the shape was found


class Regions:
    """All regions of one engine.  Tests lower `heat` and `sample_insns`, and switch `background` off."""

    def __init__(self, native: Native):
        self._native, self.words = ref(native), native.words
        self.isa = import_module(native.front.regions)
        self.layout = native.front.layout
        self.blocks = Blocks(native.words, native.engine, native.library, self.isa)
        self.rows = zeros(REGION_LIMIT, REGION)
        self.words["regions"] = self.rows.ctypes.data
        self.heat, self.sample_insns, self.background = HEAT, SAMPLE_INSNS, True
        self.rejected: Tally[str] = Tally()
        self.installed = self.built = 0
        self._heats: dict[tuple[int, int], Heat] = {}
        self._slices: dict[int, int] = {}                   # by vCPU: value of the counter of slices that ended in a region
        self._retired = self._sampled = 0
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._done: deque[tuple[Job, RegionCode | Exception, bool]] = deque()
        self._thread: threading.Thread | None = None

    # --- finding hot blocks
    def slice_ended(self, vcpu: Vcpu, executed: int) -> None:
        """The budget of a slice is used up; `executed` instructions later than the last call."""
        if self._done:
            self.install_finished()
        self._retired += executed
        if self._retired - self._sampled >= self.sample_insns:
            weight, self._sampled = self._retired - self._sampled, self._retired
            self._sample(vcpu, weight)

    def _sample(self, vcpu: Vcpu, weight: int) -> None:
        slices = int(vcpu.state["statistics"][Counter.REGION_SLICES])
        if self._slices.get(vcpu.index, 0) != slices:
            self._slices[vcpu.index] = slices
            return
        key = int(vcpu.state["pc"]), int(vcpu.state["mode"])
        heat = self._heats.setdefault(key, Heat(threshold=self.heat))
        heat.weight += weight
        heat.samples += 1
        if heat.weight >= heat.threshold and (heat.samples >= HEAT_SAMPLES or self.heat != HEAT):
            heat.threshold *= 2
            self._consider(vcpu, *key)

    def _consider(self, vcpu: Vcpu, pc: int, mode: int) -> None:
        if self._jobs.qsize() >= QUEUE_LIMIT:
            return
        try:
            self._jobs.put(self._job(vcpu, pc, mode))
        except Rejected as reason:
            self.rejected[str(reason)] += 1
            return
        if self.background:
            self._start()
        else:
            _work(self._jobs, self._done, self.layout, self.isa)
            self.install_finished()

    def _job(self, vcpu: Vcpu, pc: int, mode: int) -> Job:
        number = self._block_at(vcpu, pc, mode)
        if number == 0:
            raise Rejected("no block there")
        if self.blocks.is_patched(number):
            raise Rejected("a region already")
        return Job(grow(self.blocks, number), int(self.words["generation"]))

    def _block_at(self, vcpu: Vcpu, pc: int, mode: int) -> int:
        """Number of the block at `pc`; found in the soft TLB as it is, so that looking changes nothing."""
        if mode & MODE_SINGLE:
            return 0
        address = linear(pc, mode)
        index = ((mode >> MODE_MMU_SHIFT) & 3) * TLB_ENTRIES + ((address >> PAGE_BITS) & (TLB_ENTRIES - 1))
        info = vcpu.state["tlb_info"][index]
        if int(info["page"]) != address & -PAGE_SIZE or not int(info["flags"]) & TlbFlag.EXECUTE or not info["host"]:
            return 0
        return self.blocks.find(int(info["host"]) - int(self.words["ram"]) + (address & (PAGE_SIZE - 1)), pc, mode)

    def make(self, vcpu: Vcpu, pc: int) -> RegionCode:
        """A region for the loop through the block at `pc`, now.  Raises Rejected.  For tests."""
        job = self._job(vcpu, pc, int(vcpu.state["mode"]))
        code, built = obtain(job.shape, self.layout, self.isa)
        self._install(job, code, built)
        return code

    # --- compiling, off the guest's thread
    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            arguments = self._jobs, self._done, self.layout, self.isa
            self._thread = threading.Thread(target=_work, args=arguments, name="regions")
            self._thread.start()

    def wait(self) -> None:
        """Until everything that is queued is compiled and installed."""
        while self._thread and self._thread.is_alive() or not self._jobs.empty():
            self._start()
            assert self._thread
            self._thread.join()
        self.install_finished()

    # --- installing, between slices
    def install_finished(self) -> None:
        while self._done:
            job, result, built = self._done.popleft()
            try:
                if isinstance(result, Exception):
                    raise result
                self._install(job, result, built)
            except Rejected as reason:
                self.rejected[str(reason)] += 1

    def _install(self, job: Job, code: RegionCode, built: bool) -> None:
        numbers = [block.number for block in job.shape.blocks]
        if int(self.words["generation"]) != job.generation or not self.blocks.all_alive(numbers):
            raise Rejected("code changed meanwhile")
        if self.blocks.is_patched(numbers[0]):
            raise Rejected("a region already")
        row = int(self.words["region_count"])
        size = len(code.text) + len(code.constants) + EXIT_ROOM * (len(code.exits) + 2)
        if row == REGION_LIMIT or int(self.words["arena_end"] - self.words["arena_next"]) < size + BLOCK_ROOM:
            raise Rejected("no room")
        entry, dead = self._place(code, numbers)
        self._enter(row, numbers, entry, dead)
        self.installed += 1
        self.built += built

    def _place(self, code: RegionCode, numbers: list[int]) -> tuple[int, int]:
        """Copy a region to the arena and resolve what it refers to; addresses of its entry and of its `dead` word."""
        symbols = {f"{EXIT}{i}": self._way_on(numbers[0], pc) for i, pc in enumerate(code.exits)}
        dead = _aligned(int(self.words["arena_next"]), 64)
        constants = dead + 64
        entry = _aligned(constants + len(code.constants), 64)
        symbols |= {f"{HOLE}dead": dead, CONSTANTS: constants, "FAULT": int(self.words["fault_stub"]),
                    "LEAVE": int(self.words["leave_stub"])}
        symbols |= {f"{HOLE}block{i}": number << 8 for i, number in enumerate(numbers)}
        text = bytearray(code.text)
        for offset, kind, symbol, addend in code.relocations:
            value = (symbols[symbol] if symbol in symbols else self._helper(symbol)) + addend
            _relocate(text, offset, kind, value, entry + offset)
        ctypes.memmove(dead, bytes(8), 8)
        data = bytearray(code.constants)
        for at, target in code.tables:
            struct.pack_into("<Q", data, at, entry + target)
        ctypes.memmove(constants, bytes(data), len(data))
        ctypes.memmove(entry, bytes(text), len(text))
        self.words["arena_next"] = _aligned(entry + len(text), 16)
        return entry, dead

    def _helper(self, symbol: str) -> int:
        assert symbol.startswith(HELPER), symbol
        native = self._native()
        assert native
        return int(native.helpers[native.stencils.helpers.index[symbol[len(HELPER):]]])

    def _way_on(self, head: int, pc: int) -> int:
        """Where the region goes for the block at `pc` outside it: that block, or a way out as blocks have them."""
        library, engine, block = self.blocks.library, self.blocks.engine, self.blocks.address(head)
        known = library.known_target(engine, block, pc)
        return known or library.emit_way_out(engine, block, pc, int(self.words["work"]), 0)

    def _enter(self, row: int, numbers: list[int], entry: int, dead: int) -> None:
        code = int(self.blocks.records[numbers[0]]["code"])
        original = ctypes.c_uint64.from_address(code).value
        members = np.zeros(self.rows.dtype["members"].shape, np.uint32)
        members[:len(numbers)] = numbers
        self.rows[row] = (code, original, dead, len(numbers), members)
        self.words["region_count"] = row + 1
        self.blocks.records["in_region"][numbers] = 1
        self.blocks.library.patch_jump(code, entry)

    def statistics(self) -> dict[str, int]:
        """Its part of jit.engine.Statistics."""
        return {"regions": self.installed, "regions_built": self.built, "regions_rejected": sum(self.rejected.values())}


def _work(jobs: SimpleQueue[Job], done: deque[Any], layout: Any, isa: Any) -> None:
    """Compile what is queued; not while the process ends."""
    while threading.main_thread().is_alive():
        try:
            job = jobs.get_nowait()
        except Empty:
            return
        try:
            done.append((job, *obtain(job.shape, layout, isa)))
        except Exception as error:  # noqa: BLE001 (raised where results are taken)
            done.append((job, error, False))


def _relocate(text: bytearray, offset: int, kind: int, value: int, place: int) -> None:
    if kind == REL32:
        struct.pack_into("<i", text, offset, value - place)
    elif kind == ABS32:
        struct.pack_into("<I", text, offset, value & 0xFFFF_FFFF)
    else:
        assert kind == ABS64
        struct.pack_into("<Q", text, offset, value & MASK64)


def _aligned(address: int, to: int) -> int:
    return -(-address // to) * to
