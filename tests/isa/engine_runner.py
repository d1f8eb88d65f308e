"""Runs one oracle case on the engine: translated code, compiled page walk, real exception delivery.

64- and 32-bit cases run at CPL 3 in long mode behind page tables that map the oracle's layout; 16-bit cases in real mode.
The code page is filled with INT3 (real mode: HLT), and every vector's handler is a HLT, so completion and faults alike end a
slice there, and the frame on the handler's stack tells where from.
"""
from __future__ import annotations

import struct
from functools import cache

from jit.engine import Engine, Vcpu
from jit.state import PAGE_SIZE, Exit
from jit.x86.front import X86Front
from jit.x86.state import ARITHMETIC, Cr0, Cr4, Efer, Seg, SegmentAttribute
from tests.isa.flags import architectural_flags, lazy_flags
from tests.oracle.state import FLAT, REAL, Case, Fault, Flags, Result, State, Vector, Window, abridged_tags, full_tags

RAM_SIZE = 2 << 20
PML4, PDPT, PD, PT, GDT, IDT, TSS, STACK, HANDLERS = range(0x1000, 0xA000, 0x1000)
STACK_TOP = STACK + PAGE_SIZE
USER_PAGES = 0x1_0000                           # physical address of the first page of the layout
PRESENT, WRITABLE, USER, ACCESSED, DIRTY, LARGE = 1, 2, 4, 0x20, 0x40, 0x80
HANDLER_SIZE = 16
KERNEL_CS, USER_SS, USER_CS = 0x08, 0x2B, {64: 0x33, 32: 0x23}
KERNEL_CODE = 0x00AF_9B00_0000_FFFF             # descriptor: 64-bit code, DPL 0
INTERRUPT_GATE = 0xEE00                         # present, DPL 3, 64-bit interrupt gate
TSS_ATTRIBUTES = 0x8B00                         # present, busy 64-bit task-state segment
TSS_RSP0, TSS_LIMIT = 4, 0x67
WITH_ERROR_CODE = {8, 10, 11, 12, 13, 14, 17}
REAL_HANDLERS = 0xC000
HLT, INT3 = 0xF4, 0xCC
BUDGET = 20_000
FLAT_LIMIT = 0xFFFF_FFFF
MASK64 = (1 << 64) - 1
FEATURES_EXT_EDX = 1 << 11 | 1 << 20 | 1 << 29  # SYSCALL, NX, long mode
A = SegmentAttribute


class TooLong(RuntimeError):
    """A case did not end within BUDGET instructions."""


class Machine:
    """One engine with one vCPU; everything a case can change is set before it."""

    budget, alone = BUDGET, False

    def __init__(self) -> None:
        self.engine = Engine(X86Front(), RAM_SIZE, self._no_callback)
        self.engine.map_ram(0, 0, RAM_SIZE)
        self.vcpu: Vcpu = self.engine.add_cpu()

    @staticmethod
    def _no_callback(vcpu: Vcpu, call: int, a: int, b: int, c: int) -> int:
        raise AssertionError(f"an instruction test asked the machine for call {call} ({a:#x}, {b:#x}, {c:#x})")

    def write(self, physical: int, content: bytes) -> None:
        self.engine.ram_written(physical, len(content))
        self.engine.ram[physical:physical + len(content)] = bytearray(content)

    def read(self, physical: int, size: int) -> bytes:
        return self.engine.ram[physical:physical + size].tobytes()

    def run(self, case: Case) -> Result:
        self.vcpu.reset_record()
        self._set_registers(case.initial)
        self._set_memory(case)
        self._set_system(case)
        self.vcpu.call("update_mode")
        reason = self._slices()
        if reason != Exit.HALT:
            raise TooLong(f"{case} ended with {reason!r} at {int(self.vcpu.state['pc']):#x}")
        return self._result(case)

    def _slices(self) -> Exit:
        """Run in slices of `budget` instructions; with `alone`, each instruction in a block of its own."""
        limit = self.vcpu.retired + BUDGET
        reason = Exit.BUDGET
        while reason == Exit.BUDGET and self.vcpu.retired < limit:
            self.vcpu.state["single"] = self.alone
            reason = self.vcpu.run(0 if self.alone else self.budget, 0)
        return reason

    def _set_registers(self, before: State) -> None:
        state = self.vcpu.state
        state["gpr"][:] = before.gpr
        state["result"], state["aux"] = lazy_flags(before.rflags)
        state["eflags"] = before.rflags & ~int(ARITHMETIC)
        state["mxcsr"], state["fcw"], state["fsw"] = before.mxcsr, before.fpu.cw, before.fpu.sw
        state["ftw"] = abridged_tags(before.fpu.tw)
        for i, value in enumerate(before.xmm):
            state["xmm"][2 * i:2 * i + 2] = value & MASK64, value >> 64
        for i, value in enumerate(before.fpu.st):
            place = 2 * ((before.fpu.top + i) & 7)
            state["st"][place:place + 2] = value & MASK64, value >> 64
        state["cr4"] = int(Cr4.OSFXSR | Cr4.OSXMMEXCPT | Cr4.PAE)
        state["physical_bits"], state["a20_mask"], state["feature_ext_edx"] = 40, MASK64, FEATURES_EXT_EDX

    def _state(self, case: Case, rip: int, rflags: int, rsp: int) -> State:
        record = self.vcpu.state
        after = State(gpr=[int(v) for v in record["gpr"]], rip=rip, rflags=rflags & ~int(Flags.RF), mxcsr=int(record["mxcsr"]))
        after.gpr[4] = rsp
        after.xmm = [_wide(record["xmm"], i) for i in range(16)]
        after.fpu.cw, after.fpu.sw = int(record["fcw"]), int(record["fsw"])
        after.fpu.st = [_wide(record["st"], (after.fpu.top + i) & 7) for i in range(8)]
        after.fpu.tw = full_tags(int(record["ftw"]), after.fpu.top, after.fpu.st)
        after.memory = {base: self.read(self.physical(base), len(content)) for base, content in case.initial.memory.items()}
        return after

    def _segment(self, seg: int, selector: int, limit: int, attributes: int, base: int = 0) -> None:
        row = self.vcpu.state["seg"][seg]
        row["selector"], row["base"], row["limit"], row["attributes"] = selector, base, limit, int(attributes)

    def physical(self, address: int) -> int:
        raise NotImplementedError

    def _set_memory(self, case: Case) -> None:
        raise NotImplementedError

    def _set_system(self, case: Case) -> None:
        raise NotImplementedError

    def _result(self, case: Case) -> Result:
        raise NotImplementedError


class ProtectedMachine(Machine):
    """64- and 32-bit user code under a long-mode kernel that does nothing but halt."""

    pages = (FLAT.code, FLAT.data, FLAT.data + PAGE_SIZE, FLAT.read_only, FLAT.stack)

    def __init__(self) -> None:
        super().__init__()
        every = PRESENT | WRITABLE | USER | ACCESSED | DIRTY
        self._word(PML4, PDPT | every)
        self._word(PDPT, PD | every)
        self._word(PD, PRESENT | WRITABLE | ACCESSED | DIRTY | LARGE)               # the kernel: the first 2 MiB as they are
        self._word(PD + 8 * (FLAT.code >> 21 & 511), PT | every)
        for i, page in enumerate(self.pages):
            rights = every if page != FLAT.read_only else every & ~WRITABLE
            self._word(PT + 8 * (page >> 12 & 511), USER_PAGES + i * PAGE_SIZE | rights)
        self._word(GDT + KERNEL_CS, KERNEL_CODE)
        self.write(TSS + TSS_RSP0, struct.pack("<Q", STACK_TOP))
        for vector in range(32):
            handler = HANDLERS + vector * HANDLER_SIZE
            self.write(IDT + 16 * vector, struct.pack("<HHHHQ", handler, KERNEL_CS, INTERRUPT_GATE, 0, 0))
            self.write(handler, bytes([HLT]))

    def _word(self, physical: int, value: int) -> None:
        self.write(physical, struct.pack("<Q", value))

    def physical(self, address: int) -> int:
        return USER_PAGES + self.pages.index(address & ~(PAGE_SIZE - 1)) * PAGE_SIZE + address % PAGE_SIZE

    def _set_memory(self, case: Case) -> None:
        self.write(USER_PAGES, bytes([INT3]) * PAGE_SIZE + bytes(PAGE_SIZE * (len(self.pages) - 1)))
        self.write(self.physical(FLAT.entry), case.code)
        for base, content in case.initial.memory.items():
            self.write(self.physical(base), content)

    def _set_system(self, case: Case) -> None:
        state = self.vcpu.state
        state["cr0"] = int(Cr0.PE | Cr0.MP | Cr0.ET | Cr0.NE | Cr0.WP | Cr0.PG)
        state["cr3"], state["efer"], state["cpl"] = PML4, int(Efer.LME | Efer.LMA | Efer.SCE | Efer.NXE), 3
        state["pc"] = FLAT.entry
        state["gdtr_base"], state["gdtr_limit"], state["idtr_base"], state["idtr_limit"] = GDT, 0xFF, IDT, 0xFFF
        user = A.P | A.S | A.DPL | A.WRITABLE | A.ACCESSED | A.G
        self._segment(Seg.CS, USER_CS[case.mode], FLAT_LIMIT, user | A.CODE | (A.L if case.mode == 64 else A.DB))
        for seg in (Seg.ES, Seg.SS, Seg.DS, Seg.FS, Seg.GS):
            self._segment(seg, USER_SS, FLAT_LIMIT, user | A.DB)
        self._segment(Seg.TR, 0x40, TSS_LIMIT, TSS_ATTRIBUTES, TSS)

    def _result(self, case: Case) -> Result:
        vector = (int(self.vcpu.state["pc"]) - HANDLERS) // HANDLER_SIZE
        frame = [*struct.unpack("<6Q", self.read(STACK_TOP - 48, 48))]
        error = frame.pop(0) if vector in WITH_ERROR_CODE else 0
        rip, _cs, rflags, rsp, _ss = frame[-5:]
        if vector != Vector.BP:
            address = int(self.vcpu.state["cr2"]) if vector == Vector.PF else 0
            return Result(self._state(case, rip, rflags, rsp), Fault(vector, error, address))
        if Window(FLAT.entry, len(case.code)).contains(rip - 1):        # the case's own INT3, not the filler
            return Result(self._state(case, rip, rflags, rsp), Fault(Vector.BP))
        return Result(self._state(case, rip - 1, rflags, rsp))


class RealMachine(Machine):
    """16-bit code in real mode; RAM as the layout has it."""

    def __init__(self) -> None:
        super().__init__()
        for vector in range(256):
            self.write(4 * vector, struct.pack("<HH", REAL_HANDLERS + vector, 0))
            self.write(REAL_HANDLERS + vector, bytes([HLT]))

    def physical(self, address: int) -> int:
        return address

    def _set_memory(self, case: Case) -> None:
        self.write(REAL.code, bytes([HLT]) * PAGE_SIZE)
        self.write(REAL.code + PAGE_SIZE, bytes(REAL_HANDLERS - REAL.code - PAGE_SIZE))
        self.write(REAL.entry, case.code)
        for base, content in case.initial.memory.items():
            self.write(base, content)

    def _set_system(self, case: Case) -> None:
        state = self.vcpu.state
        state["cr0"], state["pc"], state["idtr_limit"] = int(Cr0.ET), REAL.entry, 0x3FF
        data = A.P | A.S | A.WRITABLE | A.ACCESSED
        self._segment(Seg.CS, 0, 0xFFFF, data | A.CODE)
        for seg in (Seg.ES, Seg.SS, Seg.DS, Seg.FS, Seg.GS):
            self._segment(seg, 0, 0xFFFF, data)

    def _result(self, case: Case) -> Result:
        state = self.vcpu.state
        pc = int(state["pc"]) - 1
        rflags = int(state["eflags"]) | architectural_flags(int(state["result"]), int(state["aux"]))
        rsp = int(state["gpr"][4])
        if pc < REAL_HANDLERS:
            return Result(self._state(case, pc, rflags, rsp))
        top = rsp & 0xFFFF
        ip, _cs, low_flags = struct.unpack("<3H", self.read(top, 6))
        self._forget_frame(case, top)
        before = rsp & ~0xFFFF | (top + 6) & 0xFFFF
        return Result(self._state(case, ip, low_flags | rflags & ~0xFFFF, before), Fault(pc - REAL_HANDLERS))

    def _forget_frame(self, case: Case, top: int) -> None:
        for base, content in case.initial.memory.items():
            if base <= top and top + 6 <= base + len(content):
                self.write(top, content[top - base:top - base + 6])


def _wide(array: object, i: int) -> int:
    return int(array[2 * i]) | int(array[2 * i + 1]) << 64


@cache
def machine(mode: int) -> Machine:
    return RealMachine() if mode == 16 else ProtectedMachine()


def run(case: Case) -> Result:
    """What translated code makes of a case.  Raises TooLong when it does not end."""
    return machine(16 if case.mode == 16 else 64).run(case)
