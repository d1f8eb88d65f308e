"""A block of the bytecode back end by itself, without dispatcher and code cache."""
from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import lru_cache

from jit.bytecode import Step, block_source
from jit.codecache import Cpu, Engine
from jit.frame import Frame
from jit.x86.state import X86

BlockFunction = Callable[[int], int]


def compile_block(steps: Sequence[Step], next_pc: int, number: int = 0) -> BlockFunction:
    """A function of a CPU record's address that returns an End.  `next_pc` is where control falls through to; `number` goes into cpu.where."""
    source = block_source(steps, next_pc)
    return lambda cpu: frame_of(cpu).bind(source)(cpu, number << 8)


def frame_of(cpu: int) -> Frame:
    engine = _word(cpu + Cpu.offset("engine"))
    return _frame(cpu, engine, _word(engine + Engine.offset("ram")), _word(engine + Engine.offset("ram_size")))


@lru_cache(maxsize=16)
def _frame(cpu: int, _engine: int, _ram: int, _size: int) -> Frame:
    return Frame(cpu, X86.dtype.itemsize)


def _word(address: int) -> int:
    return ctypes.c_uint64.from_address(address).value
