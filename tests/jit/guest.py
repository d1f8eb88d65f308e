"""A bare machine for tests of the engine: 64-bit code at CPL 0, page tables in RAM, every exception's handler a HLT.

The first 2 MiB are mapped one to one, and so is the MMIO area behind RAM.  Pages from WINDOW on are mapped one by one with
`map`.  Nothing here is asynchronous: a test writes code, runs it until it halts, and looks.
"""
from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from jit.engine import Engine, Vcpu
from jit.state import PAGE_SIZE, Call, Exit
from jit.x86.front import X86Front
from jit.x86.state import Cr0, Cr4, Efer, Gpr, Seg, SegmentAttribute, Vector
from tests.oracle.assembler import assemble

RAM_SIZE = 4 << 20
PML4, PDPT, PD, PD_WINDOW, PT_WINDOW, GDT, IDT, HANDLERS = range(0x1000, 0x9000, 0x1000)
STACK_TOP = 0xF000
CODE, OTHER_CODE, DATA = 0x1_0000, 0x2_0000, 0x3_0000
SPARE = 0x10_0000                       # physical pages for the window, here and up
MMIO = 0x40_0000                        # physical and linear; behind RAM
WINDOW = 0x4000_0000                    # 512 pages that start unmapped
PRESENT, WRITABLE, ACCESSED, DIRTY, LARGE = 1, 2, 0x20, 0x40, 0x80
EVERY = PRESENT | WRITABLE | ACCESSED | DIRTY
LARGE_PAGE = 2 << 20
HANDLER_SIZE, HLT = 16, 0xF4
KERNEL_CS, KERNEL_CODE = 0x08, 0x00AF_9B00_0000_FFFF
INTERRUPT_GATE = 0x8E00
FLAT_LIMIT = 0xFFFF_FFFF
BUDGET = 1_000_000
A = SegmentAttribute

Handler = Callable[[Vcpu, int, int, int, int], int]


class Guest:
    """One engine; `cpu` is its first vCPU.  `handler` answers MMIO and ports; `options` go to the engine."""

    def __init__(self, handler: Handler | None = None, **options: Any):
        self.handler = handler
        self.engine = Engine(X86Front(), RAM_SIZE, self._called, **options)
        self.engine.map_ram(0, 0, RAM_SIZE)
        self._tables()
        self.cpu = self.add_cpu()

    def _called(self, vcpu: Vcpu, call: int, a: int, b: int, c: int) -> int:
        if self.handler is None:
            raise AssertionError(f"the guest asked for {Call(call)!r} ({a:#x}, {b:#x}, {c:#x})")
        return self.handler(vcpu, call, a, b, c)

    # --- the machine
    def _tables(self) -> None:
        self.word(PML4, PDPT | EVERY)
        self.word(PDPT, PD | EVERY)
        self.word(PDPT + 8 * (WINDOW >> 30), PD_WINDOW | EVERY)
        self.word(PD_WINDOW, PT_WINDOW | EVERY)
        for i in range(4):                                  # 4 MiB of RAM, 4 MiB of MMIO
            self.word(PD + 8 * i, i * LARGE_PAGE | EVERY | LARGE)
        self.word(GDT + KERNEL_CS, KERNEL_CODE)
        for vector in range(32):
            handler = HANDLERS + vector * HANDLER_SIZE
            self.write(IDT + 16 * vector, struct.pack("<HHHHQ", handler, KERNEL_CS, INTERRUPT_GATE, 0, 0))
            self.write(handler, bytes([HLT]))

    def add_cpu(self) -> Vcpu:
        vcpu = self.engine.add_cpu()
        state = vcpu.state
        state["cr0"] = int(Cr0.PE | Cr0.MP | Cr0.ET | Cr0.NE | Cr0.WP | Cr0.PG)
        state["cr3"], state["efer"] = PML4, int(Efer.LME | Efer.LMA | Efer.NXE)
        state["cr4"] = int(Cr4.PAE | Cr4.OSFXSR | Cr4.OSXMMEXCPT)
        state["eflags"], state["result"], state["mxcsr"], state["fcw"] = 2, 1, 0x1F80, 0x37F
        state["physical_bits"], state["a20_mask"] = 40, (1 << 64) - 1
        state["gdtr_base"], state["gdtr_limit"], state["idtr_base"], state["idtr_limit"] = GDT, 0xFFF, IDT, 0xFFF
        data = A.P | A.S | A.WRITABLE | A.ACCESSED | A.G
        state["seg"][Seg.CS] = KERNEL_CS, 0, FLAT_LIMIT, int(data | A.CODE | A.L)
        for seg in (Seg.ES, Seg.SS, Seg.DS, Seg.FS, Seg.GS):
            state["seg"][seg] = 0, 0, FLAT_LIMIT, int(data | A.DB)
        state["gpr"][Gpr.RSP] = STACK_TOP - 0x1000 * vcpu.index
        vcpu.call("update_mode")
        return vcpu

    # --- memory
    def write(self, physical: int, content: bytes) -> None:
        """As a device does."""
        self.engine.ram_written(physical, len(content))
        self.engine.ram[physical:physical + len(content)] = bytearray(content)

    def read(self, physical: int, size: int = 8) -> int:
        return int.from_bytes(self.engine.ram[physical:physical + size].tobytes(), "little")

    def word(self, physical: int, value: int) -> None:
        self.write(physical, struct.pack("<Q", value))

    def map(self, linear: int, physical: int, rights: int = EVERY) -> None:
        """Map one page of the window, and forget what every vCPU's TLB had there; rights 0 unmaps."""
        self.word(PT_WINDOW + 8 * (linear - WINDOW >> 12), physical | rights if rights else 0)
        for vcpu in self.engine.cpus.values():
            vcpu.call("flush_page", linear)

    def code(self, text: str, at: int = CODE, linear: int | None = None) -> int:
        """Assemble to physical address `at` (to run at `linear`); the linear address behind it."""
        linear = at if linear is None else linear
        content = assemble(text, 64, linear)
        for start in range(0, len(content), PAGE_SIZE):
            self.write(at + start, content[start:start + PAGE_SIZE])
        return linear + len(content)

    # --- running
    def run(self, pc: int | None = CODE, budget: int = BUDGET, cpu: Vcpu | None = None) -> Exit:
        vcpu = cpu or self.cpu
        if pc is not None:
            vcpu.state["pc"] = pc
        return vcpu.run(budget, 0)

    def halts(self, pc: int | None = CODE, cpu: Vcpu | None = None) -> Guest:
        """Run to a HLT that is no exception's handler."""
        reason = self.run(pc, cpu=cpu)
        at = int((cpu or self.cpu).state["pc"])
        assert reason == Exit.HALT, f"{reason!r} at {at:#x}"
        assert not HANDLERS <= at < HANDLERS + PAGE_SIZE, f"exception {Vector((at - HANDLERS) // HANDLER_SIZE)!r}"
        return self

    @property
    def exception(self) -> Vector | None:
        """The exception whose handler the vCPU halted in."""
        number, inside = divmod(int(self.cpu.state["pc"]) - 1 - HANDLERS, HANDLER_SIZE)
        return Vector(number) if 0 <= number < 32 and inside == 0 else None

    def __getitem__(self, register: str) -> int:
        return int(self.cpu.state["gpr"][Gpr[register.upper()]])

    def __setitem__(self, register: str, value: int) -> None:
        self.cpu.state["gpr"][Gpr[register.upper()]] = value

    def entries(self) -> int:
        """How often blocks were entered from the dispatcher so far."""
        from jit.state import BLOCK

        w = self.engine.words
        array = next(a for a in self.engine._keep if a.dtype == BLOCK)
        return int(array["heat"][:int(w["block_count"])].sum())
