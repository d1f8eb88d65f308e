"""The block mode word, and RFLAGS between their lazy and their architectural form (SDM vol. 1 ch. 3.4.3).

Entry points:
    update_mode(cpu)                    recompute cpu.mode and cpu.mmu; after any change of CR0, CR4, EFER, CPL, CS, SS, DS, ES,
                                        EFLAGS.VM/IOPL/AC/TF, DR7 or MXCSR masks
    update_mxcsr(cpu)                   the same under another name, for LDMXCSR and FXRSTOR
    arithmetic_flags(cpu) -> word       CF PF AF ZF SF OF at their RFLAGS places
    flags_image(cpu) -> RFLAGS          bit 1 set, reserved bits clear
    set_flags(cpu, image, mask)         write the RFLAGS bits in `mask`; does not update the mode
    load_flags(cpu, image, bits)        what POPF and IRET may write at this privilege; 1 after #GP(0) in virtual-8086 mode
    load_resume(cpu, image)             RF, as IRET and task switches do
    set_arithmetic(cpu, image)          only CF PF AF ZF SF OF
    set_zf(cpu, zf)                     only ZF
    kick(cpu)                           end the slice at the next block boundary
    refuse(cpu)                         #GP(0)
    undefined(cpu)                      #UD
"""
from __future__ import annotations

from jit.memory import set_fault
from jit.state import KICK_BIAS, KICKED, NO_ERROR_CODE
from jit.words import word_function
from jit.x86.breakpoints import armed
from jit.x86.state import (
    ARITHMETIC, AUX_AF, MMU_KERNEL, MMU_KERNEL_SMAP, MMU_USER, MODE_CS_BASE_SHIFT, X86, CodeSize, Cr0, Cr4, Efer, Flag, Mode,
    Seg, Segment, SegmentAttribute, Vector,
)

A = SegmentAttribute
MODE_MMU_SHIFT = 4
MXCSR_MASK_SHIFT = 7                    # six mask bits from here up
MXCSR_MASKS = 0x3F
IOPL_SHIFT = 12
SYSTEM_FLAGS = (Flag.TF | Flag.IF | Flag.DF | Flag.IOPL | Flag.NT | Flag.RF | Flag.VM | Flag.AC | Flag.VIF | Flag.VIP
                | Flag.ID)
FLAT_LIMIT = (1 << 32) - 1
FLAT_DATA = A.P | A.S | A.WRITABLE
FLAT_DATA_MASK = FLAT_DATA | A.CODE | A.EXPAND_DOWN | A.UNUSABLE
FLAT_CODE = A.P | A.S | A.CODE | A.WRITABLE             # readable code
FLAT_CODE_MASK = FLAT_CODE | A.UNUSABLE


@word_function
def undefined(cpu: X86):
    return set_fault(cpu, Vector.UD, NO_ERROR_CODE, 0)


@word_function
def refuse(cpu: X86):
    """#GP(0)."""
    return set_fault(cpu, Vector.GP, 0, 0)


# --- what the CPU is doing
@word_function
def in_long_code(cpu: X86):
    """64-bit code is running."""
    return cpu.efer & Efer.LMA and cpu.seg[Seg.CS].attributes & A.L


@word_function
def in_v86(cpu: X86):
    return cpu.cr0 & Cr0.PE and cpu.eflags & Flag.VM


@word_function
def in_protected(cpu: X86):
    """Protected mode (long mode included), not virtual-8086."""
    return cpu.cr0 & Cr0.PE and cpu.eflags & Flag.VM == 0


@word_function
def iopl(cpu: X86):
    return (cpu.eflags & Flag.IOPL) >> IOPL_SHIFT


@word_function
def implicit_mmu(cpu: X86):
    """MMU index of accesses to descriptor tables and task-state segments: SMAP holds whatever EFLAGS.AC says."""
    return MMU_KERNEL_SMAP if cpu.cr4 & Cr4.SMAP else MMU_KERNEL


@word_function
def data_mmu(cpu: X86, cpl):
    """MMU index of ordinary accesses at a privilege level."""
    if cpl == 3:
        return MMU_USER
    return MMU_KERNEL_SMAP if cpu.cr4 & Cr4.SMAP and cpu.eflags & Flag.AC == 0 else MMU_KERNEL


# --- the mode word
@word_function
def update_mode(cpu: X86):
    cpu.mmu = data_mmu(cpu, cpu.cpl)
    mode = cpu.mmu << MODE_MMU_SHIFT | unit_mode(cpu) | privilege_mode(cpu)
    if in_long_code(cpu):
        cpu.mode = mode | CodeSize.BITS64 | Mode.FLAT
        return 0
    if cpu.seg[Seg.CS].attributes & A.DB:
        mode |= CodeSize.BITS32
    if cpu.seg[Seg.SS].attributes & A.DB:
        mode |= Mode.STACK32
    if segments_flat(cpu):
        mode |= Mode.FLAT
    cpu.mode = mode | (cpu.seg[Seg.CS].base & FLAT_LIMIT) << MODE_CS_BASE_SHIFT
    return 0


@word_function
def update_mxcsr(cpu: X86):
    return update_mode(cpu)


@word_function
def unit_mode(cpu: X86):
    """Mode bits of the x87 and SSE units."""
    if cpu.cr0 & (Cr0.EM | Cr0.TS):
        return 0
    mode = Mode.FPU
    if cpu.cr4 & Cr4.OSFXSR:
        mode |= Mode.SSE
    if ~cpu.mxcsr >> MXCSR_MASK_SHIFT & MXCSR_MASKS:
        mode |= Mode.UNMASKED
    return mode


@word_function
def privilege_mode(cpu: X86):
    """Mode bits of privilege, virtual-8086 mode and single-stepping."""
    mode = 0
    if cpu.cpl == 3:
        mode |= Mode.CPL3
    if cpu.eflags & Flag.TF or armed(cpu):
        mode |= Mode.SINGLE
    if in_protected(cpu):
        mode |= Mode.PROTECTED
    elif in_v86(cpu) and iopl(cpu) < 3:
        mode |= Mode.V86_IOPL
    return mode


@word_function
def segments_flat(cpu: X86):
    """CS, DS, ES and SS start at 0, end at 4 GiB, and can be read; the latter three also written."""
    if is_flat(cpu.seg[Seg.CS], FLAT_CODE_MASK, FLAT_CODE) == 0 and is_flat(cpu.seg[Seg.CS], FLAT_DATA_MASK, FLAT_DATA) == 0:
        return 0
    if is_flat(cpu.seg[Seg.SS], FLAT_DATA_MASK, FLAT_DATA) == 0:
        return 0
    return is_flat(cpu.seg[Seg.DS], FLAT_DATA_MASK, FLAT_DATA) and is_flat(cpu.seg[Seg.ES], FLAT_DATA_MASK, FLAT_DATA)


@word_function
def is_flat(s: Segment, mask, attributes):
    return s.base == 0 and s.limit == FLAT_LIMIT and s.attributes & mask == attributes


# --- flags
@word_function
def arithmetic_flags(cpu: X86):
    result = cpu.result
    aux = cpu.aux
    flags = aux >> 63
    flags |= ((popcount(result & 0xFF) ^ aux >> 2 ^ 1) & 1) << 2
    flags |= (aux & AUX_AF) << 1
    if result == 0:
        flags |= Flag.ZF
    flags |= (result >> 63 ^ aux & 1) << 7
    return flags | ((aux >> 63 ^ aux >> 62) & 1) << 11


@word_function
def set_arithmetic(cpu: X86, image):
    """As jit/x86/flags.py writes all six: result is 0 or 1, aux corrects PF and SF."""
    zf = image >> 6 & 1
    cf = image & 1
    cpu.result = zf ^ 1
    aux = (image >> 2 & 1 ^ zf) << 2 | image >> 7 & 1 | (image & Flag.AF) >> 1
    cpu.aux = aux | cf << 63 | (cf ^ image >> 11 & 1) << 62
    return 0


@word_function
def set_zf(cpu: X86, zf):
    return set_arithmetic(cpu, arithmetic_flags(cpu) & ~Flag.ZF | (Flag.ZF if zf else 0))


@word_function
def flags_image(cpu: X86):
    return arithmetic_flags(cpu) | cpu.eflags & SYSTEM_FLAGS | Flag.ONE


@word_function
def set_flags(cpu: X86, image, mask):
    """Write the flags in `mask`.  Setting IF ends the slice when something waits for it."""
    if mask & ARITHMETIC:
        set_arithmetic(cpu, arithmetic_flags(cpu) & ~mask | image & mask)
    old = cpu.eflags
    cpu.eflags = (old & ~mask | image & mask) & SYSTEM_FLAGS
    if cpu.request and cpu.eflags & ~old & Flag.IF:
        kick(cpu)
    return 0


@word_function
def load_flags(cpu: X86, image, bits):
    """POPF and IRET: the flags that the current privilege may change, from an image of `bits` bits."""
    mask = ARITHMETIC | Flag.TF | Flag.DF | Flag.NT
    if bits > 16:
        mask |= Flag.AC | Flag.ID
    if in_v86(cpu):
        return load_v86_flags(cpu, image, bits, mask)
    if cpu.cpl == 0:
        mask |= Flag.IOPL
    if cpu.cpl <= iopl(cpu):
        mask |= Flag.IF
    return set_flags(cpu, image, mask)


@word_function
def load_resume(cpu: X86, image):
    """RF lasts for one instruction.  Without breakpoints nothing depends on it, nothing would clear it, and it stays clear."""
    return set_flags(cpu, image if armed(cpu) else 0, Flag.RF)


@word_function
def load_v86_flags(cpu: X86, image, bits, mask):
    """With IOPL below 3 the 16-bit forms write VIF in place of IF, if CR4.VME allows (SDM vol. 3B ch. 20.3)."""
    if iopl(cpu) == 3:
        return set_flags(cpu, image, mask | Flag.IF)
    if cpu.cr4 & Cr4.VME == 0 or bits != 16 or image & Flag.TF or (image & Flag.IF and cpu.eflags & Flag.VIP):
        return refuse(cpu)
    virtual = Flag.VIF if image & Flag.IF else 0
    return set_flags(cpu, image & ~Flag.VIF | virtual, mask | Flag.VIF)


@word_function
def kick(cpu: X86):
    """Leave at the next block boundary.  Time stays what it is."""
    if slt(KICKED, cpu.left):
        cpu.left -= KICK_BIAS
        cpu.clock -= KICK_BIAS
    return 0
