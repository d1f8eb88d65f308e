"""What the source of a block (jit/bytecode.py) finds under its names when CPython runs it: the frame of one vCPU.

The record and guest RAM are memoryviews.  Accesses look into the soft TLB first, as stencils do, and leave the rest to the
runtime functions of jit/memory.py.
"""
from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from types import FunctionType
from typing import Any

from jit import memory
from jit.bytecode import FAULT, MASK64, WORD, BlockSource, Host, code_of, wide_name
from jit.codecache import Cpu, Engine
from jit.ir import PYTHON_NAMES, python_function
from jit.state import PAGE_BITS, PAGE_SIZE, TLB_ENTRIES, TLB_ENTRY
from jit.words import REGISTRY, SYMBOL_PREFIX

PAGES = MASK64 & -PAGE_SIZE
MMU, TLB = Cpu.offset("mmu") // WORD, Cpu.offset("tlb") // WORD
ENTRY_WORDS = TLB_ENTRY.itemsize // WORD
TLB_WORDS = TLB_ENTRIES * ENTRY_WORDS
TLB_MASK = TLB_ENTRIES - 1
READ, WRITE, ADDEND = (TLB_ENTRY.fields[name][1] // WORD for name in ("read", "write", "addend"))
FORMATS = {8: "B", 16: "<H", 32: "<I", 64: "<Q", 80: "<QH", 128: "<QQ"}
BlockCode = Callable[[int, int], int]


def view(address: int, size: int) -> memoryview:
    """Host memory as bytes.  It must outlive the view."""
    return memoryview((ctypes.c_uint8 * size).from_address(address)).cast("B")


class Frame:
    """The names for the vCPU whose record, `size` bytes long, is at host address `cpu`; `owner` keeps it there."""

    def __init__(self, cpu: int, size: int, owner: object = None):
        self.cpu, self.record, self.owner = cpu, view(cpu, size), owner
        self.functions: dict[int, BlockCode] = {}               # of blocks by number
        self.r64 = self.record.cast("Q")
        engine = self.r64[Cpu.offset("engine") // WORD]
        words = view(engine, Engine.dtype.itemsize).cast("Q")
        self.ram_base = words[Engine.offset("ram") // WORD]
        self.ram = view(self.ram_base, words[Engine.offset("ram_size") // WORD])
        self.namespace: dict[str, Any] = {
            **PYTHON_NAMES, "r8": self.record, "r16": self.record.cast("H"), "r32": self.record.cast("I"), "r64": self.r64,
            "probe": self._probe(), "set_fault": memory.set_fault,
        }
        for bits in FORMATS:
            self.namespace |= {f"get{bits}": self._get(bits), f"put{bits}": self._put(bits), f"read{bits}": self._read(bits),
                               f"update{bits}": self._read(bits, memory.load_for_write), f"write{bits}": self._write(bits)}

    def bind(self, source: BlockSource) -> BlockCode:
        """The function of a block on this vCPU."""
        for name in source.calls:
            self.namespace[SYMBOL_PREFIX + name] = REGISTRY[name]
        for wide in source.wide:
            self.namespace[wide_name(*wide)] = python_function(*wide)
        own = {name: _host_function(host) for name, host in source.hosts.items()}
        return FunctionType(code_of(source.text), {**self.namespace, **own} if own else self.namespace)

    # --- the record
    def _get(self, bits: int) -> Callable[[int, int], int]:
        record, unpack = self.record, _unpack(bits)
        return lambda _cpu, offset: unpack(record, offset)

    def _put(self, bits: int) -> Callable[[int, int, int], None]:
        record, pack = self.record, _pack(bits)
        return lambda _cpu, offset, value: pack(record, offset, value)

    # --- guest memory
    def _read(self, bits: int, slow: Callable[..., int] = memory.load_slow) -> Callable[[int, int], int]:
        r64, ram, base, unpack, last = self.r64, self.ram, self.ram_base, _unpack(bits), bits // 8 - 1

        def read(cpu: int, address: int) -> int:
            at = TLB + r64[MMU] * TLB_WORDS + (address >> PAGE_BITS & TLB_MASK) * ENTRY_WORDS
            if r64[at + READ] == address + last & PAGES:
                return unpack(ram, (address + r64[at + ADDEND] & MASK64) - base)
            return self._in_parts(cpu, address, last + 1, slow) if last >= WORD else slow(cpu, address, last + 1)

        return read

    def _in_parts(self, cpu: int, address: int, size: int, slow: Callable[..., int]) -> int:
        value = 0
        for at in range(0, size, WORD):
            value |= slow(cpu, address + at & MASK64, min(WORD, size - at)) << (8 * at)
            if self.r64[FAULT]:
                break
        return value

    def _write(self, bits: int) -> Callable[[int, int, int], None]:
        r64, ram, base, pack, last = self.r64, self.ram, self.ram_base, _pack(bits), bits // 8 - 1

        def write(cpu: int, address: int, value: int) -> None:
            at = TLB + r64[MMU] * TLB_WORDS + (address >> PAGE_BITS & TLB_MASK) * ENTRY_WORDS
            if r64[at + WRITE] == address + last & PAGES:
                pack(ram, (address + r64[at + ADDEND] & MASK64) - base, value)
            elif last < WORD:
                memory.store_slow(cpu, address, value, last + 1)
            elif not memory.probe_slow(cpu, address, last + 1):
                self._store_parts(cpu, address, value, last + 1)

        return write

    def _store_parts(self, cpu: int, address: int, value: int, size: int) -> None:
        for at in range(0, size, WORD):
            if memory.store_slow(cpu, address + at & MASK64, value >> (8 * at) & MASK64, min(WORD, size - at)):
                return

    def _probe(self) -> Callable[[int, int, int], None]:
        r64 = self.r64

        def probe(cpu: int, address: int, size: int) -> None:
            at = TLB + r64[MMU] * TLB_WORDS + (address >> PAGE_BITS & TLB_MASK) * ENTRY_WORDS
            if r64[at + WRITE] != address + size - 1 & PAGES:
                memory.probe_slow(cpu, address, size)

        return probe


def _unpack(bits: int) -> Callable[[memoryview, int], int]:
    unpack = struct.Struct(FORMATS[bits]).unpack_from
    if bits <= 64:
        return lambda memory, at: unpack(memory, at)[0]

    def wide(memory: memoryview, at: int) -> int:
        low, high = unpack(memory, at)
        return low | high << 64

    return wide


def _pack(bits: int) -> Callable[[memoryview, int, int], None]:
    pack = struct.Struct(FORMATS[bits]).pack_into
    return pack if bits <= 64 else lambda memory, at, value: pack(memory, at, value & MASK64, value >> 64)


def _host_function(host: Host) -> Callable[..., int]:
    from jit import hostcode                                        # only vector and x87 code needs LLVM

    return lambda *values: hostcode.run(host.asm, host.constraints, host.bits, *zip(values, host.widths))
