"""One instruction's world: machine state, memory layout, case, result, and how two results are compared.

Register numbers are the encoding's (0 rax, 1 rcx, 2 rdx, 3 rbx, 4 rsp, 5 rbp, 6 rsi, 7 rdi, 8..15).
x87 registers are in stack order, st[0] is ST(0), as 80-bit integers; `tw` is the full 16-bit tag word of FSTENV,
in physical order.  MMX register i lives in physical register i, that is in st[i] while TOP is 0.
Not here: segment registers and bases (flat, base 0), system registers, AVX state.
"""
from __future__ import annotations

import struct
from copy import deepcopy
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

GPR_NAMES = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
             "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15")
RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI = range(8)
MASK64 = (1 << 64) - 1
F80_MASK = (1 << 80) - 1
PAGE = 0x1000
MAX_CODE = 256                  # bytes of code a case may have


class Flags(IntFlag):
    """RFLAGS bits that user code can see (SDM vol. 1, 3.4.3)."""
    CF = 1 << 0
    FIXED = 1 << 1
    PF = 1 << 2
    AF = 1 << 4
    ZF = 1 << 6
    SF = 1 << 7
    TF = 1 << 8
    IF = 1 << 9
    DF = 1 << 10
    OF = 1 << 11
    IOPL = 3 << 12
    NT = 1 << 14
    RF = 1 << 16
    AC = 1 << 18
    ID = 1 << 21


ARITHMETIC = Flags.CF | Flags.PF | Flags.AF | Flags.ZF | Flags.SF | Flags.OF
COMPARED_FLAGS = ARITHMETIC | Flags.DF | Flags.AC | Flags.ID


class Vector(IntEnum):
    """Exceptions an instruction can raise here (SDM vol. 3A, table 6-1)."""
    DE = 0
    DB = 1
    BP = 3
    OF = 4
    BR = 5
    UD = 6
    NM = 7
    SS = 12
    GP = 13
    PF = 14
    MF = 16
    AC = 17
    XM = 19


class SwBit(IntFlag):
    """x87 status word (SDM vol. 1, figure 8-4)."""
    IE = 1 << 0
    DE = 1 << 1
    ZE = 1 << 2
    OE = 1 << 3
    UE = 1 << 4
    PE = 1 << 5
    SF = 1 << 6
    ES = 1 << 7
    C0 = 1 << 8
    C1 = 1 << 9
    C2 = 1 << 10
    TOP = 7 << 11
    C3 = 1 << 14
    B = 1 << 15


SW_TOP_SHIFT = 11
TAG_VALID, TAG_ZERO, TAG_SPECIAL, TAG_EMPTY = range(4)
TW_ALL_EMPTY = 0xFFFF
CW_RESET = 0x037F               # FNINIT: all masked, 64-bit precision, nearest
MXCSR_RESET = 0x1F80


@dataclass(frozen=True)
class Window:
    """Bytes of memory that a case sets before and reads after the instruction."""
    base: int
    size: int

    @property
    def end(self) -> int:
        return self.base + self.size

    def contains(self, address: int, size: int = 1) -> bool:
        return self.base <= address and address + size <= self.end


@dataclass(frozen=True)
class Layout:
    """Where things are; the same in every engine.  Pages outside these are not mapped."""
    code: int                   # page of code, filled with INT3
    entry: int                  # first byte of the case's code
    data: int                   # two pages, read/write
    data_window: Window         # lies across the border of the two pages
    read_only: int              # one page of zeros, not writable
    stack: int                  # one page, read/write
    stack_window: Window
    hole: int                   # never mapped: an access faults

    @property
    def windows(self) -> tuple[Window, Window]:
        return self.data_window, self.stack_window


FLAT = Layout(code=0x1000_0000, entry=0x1000_0400, data=0x1001_0000, data_window=Window(0x1001_0E00, 0x400),
              read_only=0x1001_8000, stack=0x1002_0000, stack_window=Window(0x1002_0700, 0x200), hole=0x1003_0000)
REAL = Layout(code=0x1000, entry=0x1400, data=0x4000, data_window=Window(0x4E00, 0x400),
              read_only=0x7000, stack=0x8000, stack_window=Window(0x8700, 0x200), hole=0xA000)


def layout(mode: int) -> Layout:
    """Layout of a mode: 64 and 32 share one, 16 is real mode with all segments 0."""
    return REAL if mode == 16 else FLAT


@dataclass
class Fpu:
    """x87 state; see the module's text for the order of registers and tags."""
    cw: int = CW_RESET
    sw: int = 0
    tw: int = TW_ALL_EMPTY
    st: list[int] = field(default_factory=lambda: [0] * 8)

    @property
    def top(self) -> int:
        return self.sw >> SW_TOP_SHIFT & 7

    def retag(self) -> None:
        """Recomputes the tags of non-empty registers from their contents, as FSTENV does."""
        empty = abridged_tags(self.tw)
        self.tw = full_tags(empty, self.top, self.st)


@dataclass
class State:
    """Registers and the windows of memory (base address -> bytes).  `rflags` includes the always-one bit 1."""
    gpr: list[int] = field(default_factory=lambda: [0] * 16)
    rip: int = 0
    rflags: int = int(Flags.FIXED | Flags.IF)
    xmm: list[int] = field(default_factory=lambda: [0] * 16)
    mxcsr: int = MXCSR_RESET
    fpu: Fpu = field(default_factory=Fpu)
    memory: dict[int, bytes] = field(default_factory=dict)

    def copy(self) -> State:
        return State(list(self.gpr), self.rip, self.rflags, list(self.xmm), self.mxcsr, deepcopy(self.fpu),
                     dict(self.memory))

    def load(self, address: int, size: int) -> int:
        """Little-endian value from a window.  Raises KeyError outside of the windows."""
        for base, data in self.memory.items():
            if base <= address and address + size <= base + len(data):
                return int.from_bytes(data[address - base:address - base + size], "little")
        raise KeyError(f"{address:#x} is in no window of this state")

    def store(self, address: int, size: int, value: int) -> None:
        """Puts a little-endian value into a window.  Raises KeyError outside of the windows."""
        for base, data in self.memory.items():
            if base <= address and address + size <= base + len(data):
                at = address - base
                piece = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
                self.memory[base] = data[:at] + piece + data[at + size:]
                return
        raise KeyError(f"{address:#x} is in no window of this state")


@dataclass(frozen=True)
class Fault:
    """An exception instead of completion.  `error` and `address` (CR2) are meaningful for #GP/#PF and #PF."""
    vector: int
    error: int = 0
    address: int = 0

    def __str__(self) -> str:
        name = Vector(self.vector).name if self.vector in Vector._value2member_map_ else f"vector{self.vector}"
        return f"#{name}(error={self.error:#x}, address={self.address:#x})"


@dataclass
class Result:
    """State after the instruction, or at the fault (then rip is the faulting instruction)."""
    state: State
    fault: Fault | None = None


@dataclass
class Case:
    """One instruction with one initial state.

    The `undefined_*` masks say which bits the manual leaves undefined after this very case.
    `approximate`: name of a tolerance class, see `differences`; empty for exact results.
    """
    text: str
    code: bytes
    mode: int
    initial: State
    form: str = ""
    group: str = ""
    undefined_flags: int = 0
    undefined_sw: int = 0
    undefined_gpr: dict[int, int] = field(default_factory=dict)
    undefined_memory: tuple[Window, ...] = ()
    approximate: str = ""

    @property
    def layout(self) -> Layout:
        return layout(self.mode)

    def __str__(self) -> str:
        return f"{self.text}  [{self.code.hex(' ')}] mode {self.mode}, form {self.form!r}"


# ---- x87 tags and the FXSAVE image --------------------------------------------------------------------------------

def tag_of(value: int) -> int:
    """Tag of an 80-bit register that is not empty (SDM vol. 1, 8.1.7)."""
    exponent, mantissa = value >> 64 & 0x7FFF, value & MASK64
    if exponent == 0 and mantissa == 0:
        return TAG_ZERO
    if exponent in (0, 0x7FFF) or not mantissa >> 63:
        return TAG_SPECIAL
    return TAG_VALID


def abridged_tags(tw: int) -> int:
    """FXSAVE's byte: bit set for each physical register that is not empty."""
    return sum(1 << i for i in range(8) if tw >> 2 * i & 3 != TAG_EMPTY)


def full_tags(abridged: int, top: int, st: list[int]) -> int:
    """16-bit tag word from FXSAVE's byte and the registers in stack order."""
    tw = 0
    for physical in range(8):
        valid = abridged >> physical & 1
        tw |= (tag_of(st[(physical - top) & 7]) if valid else TAG_EMPTY) << 2 * physical
    return tw


FXSAVE_SIZE = 512
FXSAVE_HEAD = struct.Struct("<HHBxHQQII")       # FCW FSW FTW FOP FIP FDP MXCSR MXCSR_MASK
FXSAVE_ST, FXSAVE_XMM = 32, 160


def pack_fxsave(state: State) -> bytes:
    """512-byte FXRSTOR image (SDM vol. 1, table 10-2)."""
    fpu = state.fpu
    image = bytearray(FXSAVE_SIZE)
    FXSAVE_HEAD.pack_into(image, 0, fpu.cw, fpu.sw, abridged_tags(fpu.tw), 0, 0, 0, state.mxcsr, 0)
    for i, value in enumerate(fpu.st):
        image[FXSAVE_ST + 16 * i:FXSAVE_ST + 16 * i + 10] = value.to_bytes(10, "little")
    image[FXSAVE_XMM:FXSAVE_XMM + 256] = b"".join([value.to_bytes(16, "little") for value in state.xmm])
    return bytes(image)


def unpack_fxsave(image: bytes, state: State) -> None:
    """Fills fpu, xmm and mxcsr of a state from a 512-byte FXSAVE image."""
    cw, sw, tags, _fop, _fip, _fdp, mxcsr, _mask = FXSAVE_HEAD.unpack_from(image)
    st = [int.from_bytes(image[at:at + 10], "little") for at in range(FXSAVE_ST, FXSAVE_ST + 128, 16)]
    state.fpu = Fpu(cw, sw, full_tags(tags, sw >> SW_TOP_SHIFT & 7, st), st)
    state.xmm = [int.from_bytes(image[at:at + 16], "little") for at in range(FXSAVE_XMM, FXSAVE_XMM + 256, 16)]
    state.mxcsr = mxcsr
