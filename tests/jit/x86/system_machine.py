"""A bare x86 vCPU for tests of system word functions: a record, flat RAM, tables built in it, and no engine.

`Machine("reference")` runs the functions in CPython, `Machine("compiled")` the numba library: same calls, same memory.
"""
from __future__ import annotations

import ctypes
import struct
from functools import cache
from typing import Any

import numpy as np

from jit import runtime
from jit.memory import set_fault
from jit.primitives import PYTHON_FUNCTIONS
from jit.state import ENGINE, NO_ERROR_CODE, NO_WHERE, PAGE_BITS, Call, TlbFlag
from jit.words import REGISTRY
from jit.x86.state import CPU, Cr0, Cr4, Efer, Flag, Gpr, Seg
from jit.x86.state import SegmentAttribute as A

MODULES = ("jit.memory", "jit.x86.system", "jit.x86.interrupts", "jit.x86.transfers", "jit.x86.strings", "jit.x86.debug")
MASK64 = (1 << 64) - 1
RAM_SIZE = 8 << 20
GDT, IDT, LDT, TSS, TSS2, STACK0, STACK3, CODE, PML4 = (
    0x1000, 0x2000, 0x3000, 0x4000, 0x5000, 0x9000, 0xA000, 0xB000, 0x10000)

# selectors in the GDT that `Machine.tables` builds
CODE0, DATA0, CODE3, DATA3, CODE64, CODE64_3, CONFORMING, TR, LDTR, ABSENT, GATE, CODE16, READ_ONLY, TASK_GATE, TR2, DATA3_64 = (
    0x08, 0x10, 0x18, 0x20, 0x28, 0x30, 0x38, 0x40, 0x50, 0x60, 0x68, 0x78, 0x80, 0x88, 0x90, 0xA0)
G, DB, LONG = 8, 4, 2                   # descriptor flags nibble
FEATURES_EXT_EDX = 1 << 11 | 1 << 20 | 1 << 26 | 1 << 27 | 1 << 29    # SYSCALL NX 1GB RDTSCP LM


def descriptor(base: int, limit: int, access: int, flags: int) -> int:
    """A segment descriptor; `limit` in units of its granularity, `access` its byte 5."""
    return (limit & 0xFFFF | (base & 0xFFFFFF) << 16 | access << 40 | (limit >> 16 & 15) << 48 | flags << 52
            | (base >> 24 & 0xFF) << 56)


def gate(selector: int, offset: int, kind: int, dpl: int, count: int = 0, present: int = 1) -> int:
    """An 8-byte gate, or the first half of a 16-byte one (`count`: parameters, or the IST index)."""
    return (offset & 0xFFFF | selector << 16 | count << 32 | (kind | dpl << 5 | present << 7) << 40
            | (offset >> 16 & 0xFFFF) << 48)


@cache
def library() -> runtime.Library:
    return runtime.load(MODULES)


class Machine:
    def __init__(self, backend: str):
        self.compiled = backend == "compiled"
        for module in MODULES:
            __import__(module)
        self.ram = np.zeros(RAM_SIZE, np.uint8)
        self.engine = np.zeros(1, ENGINE)
        self.cpu_array = np.zeros(1, CPU)
        self.address, self.cpu = self.cpu_array.ctypes.data, self.cpu_array[0]
        self.ports: list[tuple[Any, ...]] = []
        self.port_value = 0
        self.system: dict[tuple[int, int], int] = {}
        self._engine_record()
        self.cpu["engine"], self.cpu["where"] = self.engine.ctypes.data, NO_WHERE
        self.cpu["physical_bits"], self.cpu["a20_mask"] = 40, MASK64
        self.cpu["feature_ext_edx"], self.cpu["left"] = FEATURES_EXT_EDX, 1000
        self.cpu["dr"][6], self.cpu["result"], self.cpu["mxcsr"] = 0xFFFF0FF0, 1, 0x1F80
        self["tlb_used_count"] = 1 << 32                 # any entry may be filled: zeros are a page number
        self.call("flush_tlb", 0)
        self.set_segment(Seg.CS, 0, 0, 0xFFFF, 0x9B00)
        for seg in (Seg.ES, Seg.SS, Seg.DS, Seg.FS, Seg.GS):
            self.set_segment(seg, 0, 0, 0xFFFF, 0x9300)
        self.cpu["idtr_limit"], self.cpu["cr0"] = 0x3FF, int(Cr0.ET)
        self.call("update_mode")

    def _engine_record(self) -> None:
        words = self.engine[0]
        self.code_lines = np.zeros(RAM_SIZE >> PAGE_BITS, np.uint32)
        words["ram"], words["ram_size"], words["code_lines"] = self.ram.ctypes.data, RAM_SIZE, self.code_lines.ctypes.data
        row = words["ranges"][0]
        row["start"], row["end"], row["host"], row["flags"] = 0, RAM_SIZE, self.ram.ctypes.data, int(TlbFlag(7))
        words["range_count"], words["cpu_count"], words["cpus"][0] = 1, 1, self.address
        if self.compiled:
            word = ctypes.c_uint64
            self._callback = ctypes.CFUNCTYPE(word, *[word] * 5)(self.callback)
            words["callback"] = ctypes.cast(self._callback, ctypes.c_void_p).value
            words["walk"], words["watch"] = library().address("x86_walk"), library().address("x86_watch")
        else:
            first = len(PYTHON_FUNCTIONS)
            PYTHON_FUNCTIONS.extend([self.callback, REGISTRY["x86_walk"], REGISTRY["x86_watch"]])
            words["callback"], words["walk"], words["watch"] = first, first + 1, first + 2

    def callback(self, cpu: int, call: int, a: int, b: int, c: int) -> int:
        if call == Call.SYSTEM:
            self.ports.append((call, a, b, c))
            if (a, b) not in self.system:
                set_fault(cpu, 13, 0, 0)
            return self.system.get((a, b), 0)
        self.ports.append((call, a, b, c))
        return self.port_value

    # --- calls
    def call(self, name: str, *args: int) -> int:
        words = [int(a) & MASK64 for a in args]
        if self.compiled:
            return int(getattr(library(), name)(self.address, *words))
        return int(REGISTRY[name](self.address, *words))

    def fault(self) -> tuple[int, int | None, int] | None:
        """(vector, error code, address) of the fault that was reported, which is then cleared."""
        found, self.cpu["fault"] = int(self.cpu["fault"]), 0
        if not found:
            return None
        code = int(self.cpu["fault_code"])
        return found - 1, None if code == NO_ERROR_CODE else code, int(self.cpu["fault_address"])

    # --- state
    def __getitem__(self, name: str) -> int:
        return int(self.cpu[name])

    def __setitem__(self, name: str, value: int) -> None:
        self.cpu[name] = int(value)

    def reg(self, register: int) -> int:
        return int(self.cpu["gpr"][register])

    def set_reg(self, register: int, value: int) -> None:
        self.cpu["gpr"][register] = value

    def selector(self, seg: int) -> int:
        return int(self.cpu["seg"][seg]["selector"])

    def base(self, seg: int) -> int:
        return int(self.cpu["seg"][seg]["base"])

    def unusable(self, seg: int) -> bool:
        return bool(int(self.cpu["seg"][seg]["attributes"]) & A.UNUSABLE)

    def set_segment(self, seg: int, selector: int, base: int, limit: int, attributes: int) -> None:
        row = self.cpu["seg"][seg]
        row["selector"], row["base"], row["limit"], row["attributes"] = selector, base, limit, attributes

    def load(self, at: int, size: int = 8) -> int:
        return int.from_bytes(self.ram[at:at + size].tobytes(), "little")

    def store(self, at: int, value: int, size: int = 8) -> None:
        self.ram[at:at + size] = np.frombuffer((value & (1 << size * 8) - 1).to_bytes(size, "little"), np.uint8)

    def write(self, at: int, data: bytes) -> None:
        self.ram[at:at + len(data)] = np.frombuffer(data, np.uint8)

    def flags(self) -> Flag:
        return Flag(self.call("flags_image"))

    # --- tables
    def tables(self, long: bool) -> None:
        """GDT, IDT, LDT, TSS as the constants above say."""
        tss_limit = 0xFFF
        entries = {
            CODE0: descriptor(0, 0xFFFFF, 0x9B, G | DB), DATA0: descriptor(0, 0xFFFFF, 0x93, G | DB),
            CODE3: descriptor(0, 0xFFFFF, 0xFB, G | DB), DATA3: descriptor(0, 0xFFFFF, 0xF3, G | DB),
            CODE64: descriptor(0, 0xFFFFF, 0x9B, G | LONG), CODE64_3: descriptor(0, 0xFFFFF, 0xFB, G | LONG),
            CONFORMING: descriptor(0, 0xFFFFF, 0x9F, G | (LONG if long else DB)), TR: descriptor(TSS, tss_limit, 0x89, 0),
            LDTR: descriptor(LDT, 0xFF, 0x82, 0), ABSENT: descriptor(0, 0xFFFFF, 0x13, G | DB),
            CODE16: descriptor(0x20000, 0xFFFF, 0x9B, 0), READ_ONLY: descriptor(0, 0xFFFF, 0x90, 0),
            TASK_GATE: gate(TR2, 0, 0x05, 3), TR2: descriptor(TSS2, 0x67, 0x89, 0),
        }
        for selector, value in entries.items():
            self.store(GDT + selector, value)
        self["gdtr_base"], self["gdtr_limit"], self["idtr_base"], self["idtr_limit"] = GDT, 0xAF, IDT, 0x7FF
        self.store(LDT + 8, descriptor(0x30000, 0xFFF, 0xF3, 0))
        self.set_segment(Seg.TR, TR, TSS, tss_limit, 0x8B00)
        if long:
            self["idtr_limit"] = 0xFFF
            self.store(TSS + 4, STACK0)
        else:
            self.store(TSS + 4, STACK0, 4)
            self.store(TSS + 8, DATA0, 4)
        self.store(TSS + 0x66, 0x100, 2)

    def enter(self, cs: int, ss: int) -> None:
        """Put CS and SS (with their descriptors) and the data segments into the record, unchecked."""
        for seg, selector in ((Seg.CS, cs), (Seg.SS, ss), (Seg.DS, ss), (Seg.ES, ss), (Seg.FS, ss), (Seg.GS, ss)):
            self.call("set_segment", seg, selector, self.load(GDT + (selector & 0xFFF8)))
        self["cpl"] = cs & 3
        self["pc"] = CODE
        self.set_reg(Gpr.RSP, STACK3 if cs & 3 else STACK0)
        self.call("update_mode")

    def protected(self, cpl: int = 0) -> Machine:
        """32-bit protected mode, no paging."""
        self.tables(long=False)
        self["cr0"] = self["cr0"] | Cr0.PE
        self.enter((CODE3 | 3) if cpl else CODE0, (DATA3 | 3) if cpl else DATA0)
        return self

    def long(self, cpl: int = 0) -> Machine:
        """64-bit mode; the low 8 MiB are mapped 1:1 by 2 MiB pages, for everybody."""
        self.tables(long=True)
        self.store(PML4, PML4 + 0x1007)
        self.store(PML4 + 0x1000, PML4 + 0x2007)
        for i in range(4):
            self.store(PML4 + 0x2000 + 8 * i, i << 21 | 0x87)
        self["cr3"], self["cr4"] = PML4, int(Cr4.PAE)
        self["efer"] = int(Efer.LME | Efer.LMA | Efer.NXE | Efer.SCE)
        self["cr0"] = self["cr0"] | Cr0.PE | Cr0.PG | Cr0.WP
        self.enter((CODE64_3 | 3) if cpl else CODE64, (DATA3 | 3) if cpl else DATA0)
        return self

    def idt_gate(self, vector: int, selector: int, offset: int, kind: int = 0xE, dpl: int = 0, ist: int = 0,
                 present: int = 1) -> None:
        """An IDT gate; 16 bytes in long mode."""
        value = gate(selector, offset, kind, dpl, ist, present)
        if self["efer"] & Efer.LMA:
            self.store(IDT + vector * 16, value)
            self.store(IDT + vector * 16 + 8, offset >> 32)
        else:
            self.store(IDT + vector * 8, value)

    def frame(self, count: int, size: int) -> list[int]:
        """The top `count` values of the stack, lowest address first."""
        top = self.reg(Gpr.RSP)
        return [self.load(top + i * size, size) for i in range(count)]


def pack(*values: int, size: int) -> bytes:
    return struct.pack("<" + {2: "H", 4: "I", 8: "Q"}[size] * len(values), *values)
