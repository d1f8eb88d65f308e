"""The same interface as native.py on the unicorn emulator, and 16-bit real mode besides.

x87 and SSE state goes in and out through FXRSTOR and FXSAVE stubs that run inside the emulator.
Unicorn runs at privilege level 0; it does not accumulate MXCSR's exception flags, nor #XM, nor x87's #MF, and its #GP
and #SS lack an error code.  test_oracle.py keeps the list of further disagreements with the host CPU.
"""
from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import unicorn
from unicorn import x86_const as x86

from .assembler import assemble
from .state import (
    FXSAVE_SIZE,
    MAX_CODE,
    PAGE,
    RAX,
    RDX,
    Case,
    Fault,
    Layout,
    Result,
    State,
    Vector,
    Window,
    layout,
    pack_fxsave,
    unpack_fxsave,
)

MAX_INSTRUCTIONS = 100_000      # a case that runs longer is taken for a loop

_GPR_IDS = {
    64: (x86.UC_X86_REG_RAX, x86.UC_X86_REG_RCX, x86.UC_X86_REG_RDX, x86.UC_X86_REG_RBX, x86.UC_X86_REG_RSP,
         x86.UC_X86_REG_RBP, x86.UC_X86_REG_RSI, x86.UC_X86_REG_RDI, x86.UC_X86_REG_R8, x86.UC_X86_REG_R9,
         x86.UC_X86_REG_R10, x86.UC_X86_REG_R11, x86.UC_X86_REG_R12, x86.UC_X86_REG_R13, x86.UC_X86_REG_R14,
         x86.UC_X86_REG_R15),
    32: (x86.UC_X86_REG_EAX, x86.UC_X86_REG_ECX, x86.UC_X86_REG_EDX, x86.UC_X86_REG_EBX, x86.UC_X86_REG_ESP,
         x86.UC_X86_REG_EBP, x86.UC_X86_REG_ESI, x86.UC_X86_REG_EDI),
}
_GPR_IDS[16] = _GPR_IDS[32]
_MODES = {16: unicorn.UC_MODE_16, 32: unicorn.UC_MODE_32, 64: unicorn.UC_MODE_64}
_PC = {16: x86.UC_X86_REG_IP, 32: x86.UC_X86_REG_EIP, 64: x86.UC_X86_REG_RIP}
CR4_OSFXSR, CR4_OSXMMEXCPT = 1 << 9, 1 << 10
WRITE_ACCESSES = (unicorn.UC_MEM_WRITE_UNMAPPED, unicorn.UC_MEM_WRITE_PROT)
PF_PRESENT, PF_WRITE = 1, 2


class UnicornError(RuntimeError):
    """The emulator failed in a way that is no exception of the guest."""


def available() -> bool:
    """Always: unicorn is portable."""
    return True


def run(case: Case) -> Result:
    """What unicorn makes of one case.  Raises UnicornError for the cases that would kill this process."""
    if case.text.startswith("pcmpestr") and any(case.initial.gpr[n] & 0xFFFF_FFFF == 1 << 31 for n in (RAX, RDX)):
        raise UnicornError(f"unicorn crashes on a string length of -2**31: {case}")
    return _machine(case.mode).run(case)


def run_many(cases: Sequence[Case]) -> list[Result]:
    """Results in the order of the cases."""
    return [run(case) for case in cases]


@cache
def _machine(mode: int) -> _Machine:
    return _Machine(mode)


class _Machine:
    """One emulator of a mode, reused by all its cases."""

    def __init__(self, mode: int):
        self.mode = mode
        self.layout: Layout = layout(mode)
        self.uc = unicorn.Uc(unicorn.UC_ARCH_X86, _MODES[mode])
        self.gpr_ids = list(_GPR_IDS[mode])
        self.fault: Fault | None = None
        self.stop_at: int | None = None         # address of the filler's INT3
        self.code = Window(self.layout.entry, 0)
        self._map()
        self.uc.hook_add(unicorn.UC_HOOK_INTR, self._on_interrupt)
        self.uc.hook_add(unicorn.UC_HOOK_MEM_INVALID, self._on_bad_access)
        cr4 = self.uc.reg_read(x86.UC_X86_REG_CR4)
        self.uc.reg_write(x86.UC_X86_REG_CR4, cr4 | CR4_OSFXSR | CR4_OSXMMEXCPT)
        self.fresh = self.uc.context_save()

    def _map(self) -> None:
        uc, place = self.uc, self.layout
        uc.mem_map(place.code, PAGE)
        uc.mem_map(place.data, 2 * PAGE)
        uc.mem_map(place.read_only, PAGE, unicorn.UC_PROT_READ)
        uc.mem_map(place.stack, PAGE)
        uc.mem_write(place.code, b"\xcc" * PAGE)
        self.image = place.data                 # FXSAVE area of the stubs, outside of the window
        self.stub = place.code + PAGE - 16
        self.base = x86.UC_X86_REG_BX if self.mode == 16 else self.gpr_ids[3]
        operand = "[bx]" if self.mode == 16 else "[rbx]" if self.mode == 64 else "[ebx]"
        self.restore = assemble(f"fxrstor {operand}", self.mode)
        self.save = assemble(f"fxsave {operand}", self.mode)

    def run(self, case: Case) -> Result:
        """Loads the case, runs it to the filler or to a fault, and reads everything back."""
        if self.fault:                          # else two faults in a row become a double fault
            self.uc.context_restore(self.fresh)
        self._load(case)
        self.fault, self.stop_at = None, None
        self.code = Window(case.layout.entry, len(case.code))
        try:
            self.uc.emu_start(case.layout.entry, -1 & (1 << 64) - 1, count=MAX_INSTRUCTIONS)
        except unicorn.UcError as error:
            self._on_error(error)
        return self._collect(case)

    def _load(self, case: Case) -> None:
        uc, start = self.uc, case.initial
        for base, data in start.memory.items():
            uc.mem_write(base, data)
        self._run_stub(self.restore, pack_fxsave(start))
        uc.reg_write_batch(list(zip(self.gpr_ids, start.gpr)))
        uc.reg_write(x86.UC_X86_REG_EFLAGS, start.rflags)
        uc.mem_write(self.layout.entry, case.code.ljust(MAX_CODE, b"\xcc"))
        uc.ctl_remove_cache(self.layout.entry, self.layout.entry + MAX_CODE)

    def _run_stub(self, code: bytes, image: bytes | None = None) -> None:
        if image is not None:
            self.uc.mem_write(self.image, image)
        self.uc.reg_write(self.base, self.image)
        self.uc.mem_write(self.stub, code)
        self.uc.ctl_remove_cache(self.stub, self.stub + 16)
        self.uc.emu_start(self.stub, self.stub + len(code), count=1)

    def _collect(self, case: Case) -> Result:
        uc = self.uc
        state = State(gpr=[*uc.reg_read_batch(self.gpr_ids), *[0] * (16 - len(self.gpr_ids))],
                      rip=uc.reg_read(_PC[self.mode]) if self.stop_at is None else self.stop_at,
                      rflags=uc.reg_read(x86.UC_X86_REG_EFLAGS))
        state.memory = {base: bytes(uc.mem_read(base, len(data))) for base, data in case.initial.memory.items()}
        self._run_stub(self.save)
        unpack_fxsave(bytes(uc.mem_read(self.image, FXSAVE_SIZE)), state)
        if self.mode != 64:
            state.xmm[8:] = case.initial.xmm[8:]
            state.gpr[8:] = case.initial.gpr[8:]
        return Result(state, self.fault)

    def _on_interrupt(self, uc: unicorn.Uc, number: int, _data: object) -> None:
        pc = uc.reg_read(_PC[self.mode])
        if number == Vector.BP and not self.code.contains(pc - 1):
            self.stop_at = pc - 1
        else:
            self.fault = Fault(number)
        uc.emu_stop()

    def _on_bad_access(self, _uc: unicorn.Uc, access: int, address: int, _size: int, _value: int, _data: object) -> bool:
        write = access in WRITE_ACCESSES
        present = access in (unicorn.UC_MEM_WRITE_PROT, unicorn.UC_MEM_READ_PROT, unicorn.UC_MEM_FETCH_PROT)
        self.fault = Fault(Vector.PF, PF_WRITE * write | PF_PRESENT * present, address)
        return False

    def _on_error(self, error: unicorn.UcError) -> None:
        if error.errno == unicorn.UC_ERR_INSN_INVALID:
            self.fault = Fault(Vector.UD)
        elif self.fault is None:
            raise UnicornError(f"unicorn stopped with: {error}") from error


