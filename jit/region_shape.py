"""Which blocks make a region: those on a loop through a hot block, reached by direct jumps within its page.

Blocks are the translator's own, taken as they stand, so that a region counts instructions and ends slices where they do.
Returns count as jumps to behind the calls that were found, other indirect jumps as jumps to every block of the page that
nothing else leads to.  Not here: loops that run through several pages.
"""
from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jit.codecache import JMP_REL32
from jit.state import BLOCK, NO_PAGE, PAGE_BITS, PAGE_SIZE, REGION_BLOCKS
from jit.work import MODE_BASE_SHIFT, MODE_SINGLE, MODE_SIZE

MAX_INSNS = 240
MAX_ENTRIES = 24                        # of a page, for indirect jumps to choose from
PAGE_BLOCKS = 200                       # of a page that are looked at for that
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
    is_indirect: bool = False           # any other jump to a computed pc


@dataclass
class Shape:
    """Blocks of a region; the first is its head.  `entries`: pcs of those that indirect jumps may go to."""

    mode: int
    blocks: list[BlockCode]
    entries: list[int]

    def successors(self, block: BlockCode) -> list[int]:
        """Pcs in the region that the end of a block may go to."""
        inside = {b.pc for b in self.blocks}
        returns = {b.returns_to for b in self.blocks if b.returns_to is not None} if block.is_return else ()
        return [pc for pc in (*block.targets, *sorted(returns), *(self.entries if block.is_indirect else ())) if pc in inside]

    @property
    def key(self) -> str:
        """What decides the region's code, beside the generator."""
        return repr((self.mode, [(b.pc, b.insns, b.code) for b in self.blocks], self.entries))


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

    def on_page(self, page: int) -> list[int]:
        """Numbers of the live blocks on the page at `page` in the RAM mapping, up to PAGE_BLOCKS."""
        cell = int(self.words["page_blocks"]) + (page >> PAGE_BITS) * 4
        number, found = ctypes.c_uint32.from_address(cell).value, []
        while number and len(found) < PAGE_BLOCKS:
            found.append(number)
            record = self.records[number]
            number = int(record["page_next" if int(record["ram"]) & ~PAGE_MASK == page else "page_next2"])
        return found

    def try_read(self, number: int) -> BlockCode | None:
        """None for number 0 and for what cannot be part of a region."""
        try:
            return self.read(number) if number else None
        except Rejected:
            return None

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
        block.is_indirect = bool(step.uops) and step.uops[-1].op == "indirect" and not step.is_return


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
    shape = _reachable(blocks, head)
    follow = {block.pc: set(shape.successors(block)) for block in shape.blocks}
    loop = _reach(head.pc, follow) & _reach(head.pc, _reverse(follow))
    if not loop:
        raise Rejected("no loop within the page")
    others = sorted((b for b in shape.blocks if b.pc in loop and b is not head), key=lambda b: b.pc)
    return Shape(head.mode, [head, *others], [pc for pc in shape.entries if pc in loop])


def _reachable(blocks: Blocks, head: BlockCode) -> Shape:
    """Blocks from the head on, breadth first, on its page, as many as a region may have."""
    page = int(blocks.records[head.number]["ram"]) & ~PAGE_MASK
    shape, known, insns = Shape(head.mode, [head], []), {head.pc}, head.insns
    for block in shape.blocks:
        if block.is_indirect and not shape.entries:
            shape.entries = entries(blocks, page, head.mode)
        for pc in _leads_to(block, shape):
            place = linear(pc, head.mode)
            if pc in known or place >> PAGE_BITS != linear(head.pc, head.mode) >> PAGE_BITS:
                continue
            found = blocks.try_read(blocks.find(page | place & PAGE_MASK, pc, head.mode))
            if found and len(known) < REGION_BLOCKS and insns + found.insns <= MAX_INSNS:
                insns += found.insns
                known.add(pc)
                shape.blocks.append(found)
    return shape


def _leads_to(block: BlockCode, shape: Shape) -> list[int]:
    returns = [block.returns_to] if block.returns_to is not None else []
    return [*block.targets, *returns, *(shape.entries if block.is_indirect else ())]


def entries(blocks: Blocks, page: int, mode: int) -> list[int]:
    """Pcs of a page's blocks that no other one of them leads to; none if there are too many to tell."""
    found = [block for number in blocks.on_page(page) if (block := blocks.try_read(number)) and block.mode == mode]
    led_to = {pc for block in found for pc in (*block.targets, block.returns_to)}
    free = sorted(block.pc for block in found if block.pc not in led_to)
    return free if len(free) <= MAX_ENTRIES else []


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


