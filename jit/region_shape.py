"""Which blocks make a region: those on a loop through a hot block, reached by direct jumps within its page.

Blocks are the translator's own, taken as they stand, so that a region counts instructions and ends slices where they do.
Returns count as jumps to behind the calls that were found.  Not here: loops that run through several pages.
"""
from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jit.codecache import JMP_REL32
from jit.state import BLOCK, NO_PAGE, PAGE_BITS, PAGE_SIZE, REGION_BLOCKS
from jit.translate import MODE_BASE_SHIFT, MODE_SINGLE, MODE_SIZE

MAX_INSNS = 240
PAGE_MASK = PAGE_SIZE - 1


class Rejected(Exception):
    """Why there is no region; one of a few texts that statistics count."""


@dataclass
class BlockCode:
    """A copy of what a region needs of a block."""

    number: int
    pc: int
    mode: int
    insns: int
    code: bytes
    targets: list[int] = field(default_factory=list)        # pcs that its end may go to directly
    returns_to: int | None = None       # it ends in a call: where that comes back
    is_return: bool = False


@dataclass
class Shape:
    """Blocks of a region; the first is its head."""

    mode: int
    blocks: list[BlockCode]

    @property
    def key(self) -> str:
        """What decides the region's code, beside the generator."""
        return repr((self.mode, [(b.pc, b.insns, b.code) for b in self.blocks]))


class Blocks:
    """The engine's block records, read in place.  `engine` below is the address of its record."""

    def __init__(self, words: Any, engine: Any, library: Any, isa: Any):
        self.words, self.engine, self.ram, self.library, self.isa = words, engine.address, engine.ram, library, isa
        limit = int(self.words["block_limit"])
        raw = (ctypes.c_uint8 * (limit * BLOCK.itemsize)).from_address(int(self.words["blocks"]))
        self.records = np.frombuffer(raw, BLOCK)

    def find(self, ram: int, pc: int, mode: int) -> int:
        """Number of a live block, 0 for none."""
        return self.library.find_block(self.engine, ram, pc, mode)

    def address(self, number: int) -> int:
        """Host address of a record."""
        return int(self.words["blocks"]) + number * BLOCK.itemsize

    def all_alive(self, numbers: list[int]) -> bool:
        return bool(self.records["cold"][numbers].all())

    def is_patched(self, number: int) -> bool:
        """Does the block's entry lead into a region?"""
        return ctypes.c_uint8.from_address(int(self.records[number]["code"])).value == JMP_REL32

    def read(self, number: int) -> BlockCode:
        """Raises Rejected for a block that cannot be part of a region."""
        record = self.records[number]
        if record["ram2"] != NO_PAGE or int(record["mode"]) & MODE_SINGLE:
            raise Rejected("one instruction at a time")
        pc, mode, ram, size, insns = (int(record[name]) for name in ("pc", "mode", "ram", "size", "insns"))
        block = BlockCode(number, pc, mode, insns, self.ram[ram:ram + size].tobytes())
        self._read_end(block, int(record["first_offset"]))
        return block

    def _read_end(self, block: BlockCode, first_offset: int) -> None:
        offsets = int(self.words["offsets"]) + first_offset
        at = ctypes.c_uint8.from_address(offsets + block.insns - 1).value
        step = self.isa.instruction(block.code[at:], block.pc + at, block.mode, None, 0, {})
        if step is None:
            raise Rejected("an instruction without semantics")
        block.targets = targets(step, block.pc + at)
        block.returns_to, block.is_return = step.returns_to, step.is_return


def targets(step: Any, pc: int) -> list[int]:
    """Constant pcs that an instruction at `pc`, the last of its block, may go to."""
    last = step.uops[-1] if step.uops else None
    if last is None or last.op not in ("goto", "branch", "indirect", "leave"):
        return [pc + step.length]
    values = {"goto": last.args, "branch": last.args[1:]}.get(last.op, ())
    return [step.constants[v.number] for v in values if v.number in step.constants]


def linear(pc: int, mode: int) -> int:
    return pc if mode & MODE_SIZE == 2 else (pc + (mode >> MODE_BASE_SHIFT)) & 0xFFFF_FFFF


def grow(blocks: Blocks, number: int) -> Shape:
    """The loop through block `number`.  Raises Rejected."""
    head = blocks.read(number)
    known = _reachable(blocks, head)
    follow = _successors(known)
    loop = _reach(head.pc, follow) & _reach(head.pc, _reverse(follow))
    if not loop:
        raise Rejected("no loop within the page")
    others = sorted(loop - {head.pc})
    return Shape(head.mode, [head, *(known[pc] for pc in others)])


def _reachable(blocks: Blocks, head: BlockCode) -> dict[int, BlockCode]:
    """Blocks by pc, breadth first from the head, on its page, as many as a region may have."""
    page = int(blocks.records[head.number]["ram"]) & ~PAGE_MASK
    known, queue, insns = {head.pc: head}, [head], head.insns
    for block in queue:
        for pc in [*block.targets, *([block.returns_to] if block.returns_to is not None else [])]:
            place = linear(pc, head.mode)
            if pc in known or place >> PAGE_BITS != linear(head.pc, head.mode) >> PAGE_BITS:
                continue
            number = blocks.find(page | place & PAGE_MASK, pc, head.mode)
            if number == 0 or len(known) == REGION_BLOCKS:
                continue
            try:
                found = blocks.read(number)
            except Rejected:
                continue
            insns += found.insns
            if insns <= MAX_INSNS:
                known[pc] = found
                queue.append(found)
    return known


def _successors(known: dict[int, BlockCode]) -> dict[int, set[int]]:
    returns = {b.returns_to for b in known.values() if b.returns_to is not None}
    return {pc: {t for t in (*b.targets, *(returns if b.is_return else ())) if t in known} for pc, b in known.items()}


def _reverse(follow: dict[int, set[int]]) -> dict[int, set[int]]:
    back: dict[int, set[int]] = {pc: set() for pc in follow}
    for pc, successors in follow.items():
        for successor in successors:
            back[successor].add(pc)
    return back


def _reach(start: int, follow: dict[int, set[int]]) -> set[int]:
    """What can be reached from `start` by one step or more."""
    found: set[int] = set()
    queue = [start]
    while queue:
        for pc in follow[queue.pop()]:
            if pc not in found:
                found.add(pc)
                queue.append(pc)
    return found


