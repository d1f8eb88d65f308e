"""The x86-64 CPU record and the names of its bits (Intel SDM vol. 1 ch. 3, vol. 3A ch. 2 and 4).

RIP is the common field `pc` (an offset in CS).  Arithmetic flags are lazy, two words: `result` (sign-extended to 64 bits: ZF, SF, PF) and `aux` (AUX_* bits: CF, OF, AF and
corrections).  `eflags` holds every other flag.  See flags.py for the readers.
"""
from __future__ import annotations

from enum import IntEnum, IntFlag

import numpy as np

from jit.state import common_fields
from jit.words import Layout, sub_layout

MMU_KERNEL, MMU_USER, MMU_KERNEL_SMAP = 0, 1, 2          # supervisor (AC=1 or no SMAP), user, supervisor under SMAP
MMU_INDICES = 3

SEGMENT = np.dtype([
    ("selector", "u8"),
    ("base", "u8"),
    ("limit", "u8"),                    # in bytes, granularity applied
    ("attributes", "u8"),               # SegmentAttribute: bits 8-23 of a descriptor's upper half, in place
])

_FIELDS = [
    *common_fields(MMU_INDICES),
    ("gpr", "u8", 16),
    ("result", "u8"),
    ("aux", "u8"),
    ("eflags", "u8"),                   # all flags but CF PF AF ZF SF OF
    ("seg", SEGMENT, 8),                # Seg: ES CS SS DS FS GS LDTR TR
    ("gdtr_base", "u8"), ("gdtr_limit", "u8"),
    ("idtr_base", "u8"), ("idtr_limit", "u8"),
    ("cpl", "u8"),
    ("cr0", "u8"), ("cr2", "u8"), ("cr3", "u8"), ("cr4", "u8"), ("cr8", "u8"),
    ("dr", "u8", 8),
    ("efer", "u8"), ("star", "u8"), ("lstar", "u8"), ("cstar", "u8"), ("fmask", "u8"),
    ("kernel_gs_base", "u8"), ("tsc_aux", "u8"), ("tsc_offset", "u8"),
    ("sysenter_cs", "u8"), ("sysenter_esp", "u8"), ("sysenter_eip", "u8"),
    ("pat", "u8"), ("misc_enable", "u8"), ("mtrr_def_type", "u8"), ("mtrr", "u8", 64), ("mcg", "u8", 8),
    ("apic_base", "u8"), ("tsc_deadline", "u8"),
    ("feature_1_ecx", "u8"), ("feature_1_edx", "u8"), ("feature_7_ebx", "u8"),   # CPUID words the engine consults
    ("feature_ext_ecx", "u8"), ("feature_ext_edx", "u8"), ("physical_bits", "u8"),
    ("a20_mask", "u8"),                 # all ones, or ~(1 << 20) with A20 disabled
    ("nmi_blocked", "u8"), ("smm", "u8"), ("halted", "u8"), ("wait_for_sipi", "u8"),
    ("pending_vector", "u8"),           # vector of the exception being delivered + 1, for double faults
    ("pending_db", "u8"),               # DR6 bits of a debug trap to take after this instruction
    ("xcr0", "u8"),
    ("fcw", "u8"), ("fsw", "u8"), ("ftw", "u8"),        # ftw: one bit a physical register, 1 = valid (FXSAVE form)
    ("fop", "u8"), ("fip", "u8"), ("fdp", "u8"), ("fcs", "u8"), ("fds", "u8"),
    ("mxcsr", "u8"),
    ("host_mxcsr", "u8"),
    ("scratch", "u8", 32),              # for helpers of one instruction; never live across instructions
    ("st", "u8", 16),                   # 8 physical x87 registers, 16 bytes apart, 80 bits used
    ("xmm", "u8", 32),                  # 16 registers of 16 bytes
]


def _aligned(fields: list[tuple]) -> np.dtype:
    """All fields are multiples of 8 bytes; pad before `st` so that the vector file is 16-byte aligned."""
    at = 0
    out = []
    for field in fields:
        if field[0] == "st" and at % 16:
            out.append(("padding", "u8"))
            at += 8
        out.append(field)
        at += np.dtype([field]).itemsize
    return np.dtype(out)


CPU = _aligned(_FIELDS)
X86 = Layout("X86", CPU)
Segment = sub_layout(X86, "seg")


class Gpr(IntEnum):
    RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 = range(16)


class Seg(IntEnum):
    ES, CS, SS, DS, FS, GS, LDTR, TR = range(8)


class SegmentAttribute(IntFlag):
    """Descriptor bits 32-63 without the base and limit parts (SDM vol. 3A figure 3-8)."""

    ACCESSED = 1 << 8
    WRITABLE = 1 << 9                   # data: writable; code: readable
    EXPAND_DOWN = 1 << 10               # data: expand-down; code: conforming
    CODE = 1 << 11
    S = 1 << 12                         # code or data (not system)
    DPL = 3 << 13
    P = 1 << 15
    AVL = 1 << 20
    L = 1 << 21
    DB = 1 << 22
    G = 1 << 23
    UNUSABLE = 1 << 24                  # loaded with a null selector


class Smm(IntEnum):
    """The record's `smm`."""

    OUTSIDE = 0
    INSIDE = 1
    LEAVING = 2                         # RSM was executed; whoever runs the vCPU restores its state


class Flag(IntFlag):
    """RFLAGS."""

    CF = 1 << 0
    ONE = 1 << 1
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
    VM = 1 << 17
    AC = 1 << 18
    VIF = 1 << 19
    VIP = 1 << 20
    ID = 1 << 21


ARITHMETIC = Flag.CF | Flag.PF | Flag.AF | Flag.ZF | Flag.SF | Flag.OF

# Bits of `aux`.  An operation of width w puts its carry-out vector's top two bits at 63 and 62, so OF = bit 63 ^ bit 62.
AUX_CF = 1 << 63
AUX_PO = 1 << 62                        # carry out of the bit below the top ("partial overflow")
AUX_AF = 1 << 3
AUX_PF_FLIP = 1 << 2                    # PF is the parity of result's low byte, xor this
AUX_SF_FLIP = 1 << 0                    # SF is result's bit 63, xor this


class Cr0(IntFlag):
    PE, MP, EM, TS, ET, NE = (1 << i for i in range(6))
    WP, AM, NW, CD, PG = 1 << 16, 1 << 18, 1 << 29, 1 << 30, 1 << 31


class Cr4(IntFlag):
    VME, PVI, TSD, DE, PSE, PAE, MCE, PGE, PCE, OSFXSR, OSXMMEXCPT, UMIP = (1 << i for i in range(12))
    FSGSBASE, PCIDE, OSXSAVE, SMEP, SMAP = 1 << 16, 1 << 17, 1 << 18, 1 << 20, 1 << 21


class Efer(IntFlag):
    SCE, LME, LMA, NXE = 1, 1 << 8, 1 << 10, 1 << 11


class Vector(IntEnum):
    """Exceptions (SDM vol. 3A table 6-1)."""

    DE, DB, NMI, BP, OF, BR, UD, NM, DF, _9, TS, NP, SS, GP, PF, _15, MF, AC, MC, XM = range(20)


class PageFault(IntFlag):
    """#PF error code."""

    P, W, U, RSVD, I = 1, 2, 4, 8, 16


class Mode(IntFlag):
    """Block mode word: everything that code is specialised for.  Computed by system.update_mode."""

    SIZE = 3                            # CodeSize
    STACK32 = 1 << 2                    # SS.B: stack pointer is ESP (always clear in 64-bit code, where it is RSP)
    FLAT = 1 << 3                       # CS DS ES SS: base 0, limit 4 GiB, present, readable/writable (set in 64-bit code)
    MMU = 3 << 4                        # MMU index in bits 4-5
    FPU = 1 << 6                        # x87/MMX usable: CR0.EM = TS = 0
    SSE = 1 << 7                        # SSE usable: CR0.EM = TS = 0 and CR4.OSFXSR = 1
    SINGLE = 1 << 8                     # one instruction, then back to the dispatcher
    UNMASKED = 1 << 9                   # MXCSR unmasks an exception: SIMD FP instructions check for #XM
    PROTECTED = 1 << 10                 # CR0.PE = 1 and EFLAGS.VM = 0
    CPL3 = 1 << 11
    V86_IOPL = 1 << 12                  # virtual-8086 mode with IOPL < 3: CLI, STI, PUSHF, POPF, INT n, IRET fault


MODE_CS_BASE_SHIFT = 16                 # CS.base (32 bits, 0 in 64-bit code) sits above the mode bits


class CodeSize(IntEnum):
    BITS16, BITS32, BITS64 = 0, 1, 2
