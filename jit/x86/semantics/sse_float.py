"""SSE floating point: arithmetic, comparisons, conversions, MXCSR (SDM vol. 2; vol. 1 ch. 10-12).

Tables first: the host instruction of the same name does the work under the guest's MXCSR.  RCPPS and RSQRTPS are as
exact as the host's.
"""
from __future__ import annotations

from jit.hostcode import MXCSR_FLAGS, MXCSR_MASKS
from jit.ir import Value
from jit.x86.builder import IMMEDIATE_IN_FORM, Builder, semantics
from jit.x86.insn import Operand
from jit.x86.semantics.vector import (
    enter_mmx_state, floating, is_mm, read, read128, read_host_mxcsr, require_mmx, write_host_mxcsr, write_memory,
    write_mm, write_xmm,
)
from jit.x86.state import Vector

MXCSR_VALID = 0xFFFF                    # MXCSR_MASK: DAZ is supported; other bits are reserved

# Mnemonics end in ps, pd (whole register), ss or sd (lowest element): the width of a memory source follows.
MEMORY_BITS = {"ps": 128, "pd": 128, "ss": 32, "sd": 64}
ARITHMETIC = [name + kind for name in ("add", "sub", "mul", "div", "min", "max", "sqrt") for kind in MEMORY_BITS]
ARITHMETIC += ["addsubps", "addsubpd", "haddps", "haddpd", "hsubps", "hsubpd", "rcpps", "rcpss", "rsqrtps", "rsqrtss"]
PREDICATES = ("eq", "lt", "le", "unord", "neq", "nlt", "nle", "ord")
COMPARE = {f"cmp{name}{kind}": f"cmp{kind} $${number}"
           for number, name in enumerate(PREDICATES) for kind in MEMORY_BITS}
COMPARE_IMMEDIATE = ("cmpps", "cmppd", "cmpss", "cmpsd.xmm")          # as capstone calls predicates above 7
IMMEDIATE = ("roundps", "roundpd", "roundss", "roundsd", "dpps", "dppd")
# XMM to XMM: width of a memory source; the scalar ones keep the destination's upper part
CONVERT = {
    "cvtps2pd": 64, "cvtpd2ps": 128, "cvtdq2ps": 128, "cvtdq2pd": 64, "cvtps2dq": 128, "cvttps2dq": 128,
    "cvtpd2dq": 128, "cvttpd2dq": 128,
}
CONVERT_SCALAR = {"cvtss2sd": 32, "cvtsd2ss": 64}
TO_INTEGER = {"cvtss2si": 32, "cvttss2si": 32, "cvtsd2si": 64, "cvttsd2si": 64}
TO_MMX = {"cvtps2pi": 64, "cvttps2pi": 64, "cvtpd2pi": 128, "cvttpd2pi": 128}


def two_operands(b: Builder, text: str, dst: Operand, src: Operand, memory_bits: int) -> None:
    """dst = op(dst, src) by the host's instruction; `text` is its mnemonic with an immediate, if any."""
    b.require_sse()
    value = read128(b, src, memory_bits)
    comma = "," if "$$" in text else ""
    write_xmm(b, dst, floating(b, f"{text}{comma} $2, $0", "=x,0,x", 128, read128(b, dst), value))


@semantics(*ARITHMETIC)
def arithmetic(b: Builder, dst: Operand, src: Operand) -> None:
    name = b.insn.mnemonic
    two_operands(b, name, dst, src, MEMORY_BITS[name[-2:]])


@semantics(*COMPARE)
def compare(b: Builder, dst: Operand, src: Operand) -> None:
    name = b.insn.mnemonic
    two_operands(b, COMPARE[name], dst, src, MEMORY_BITS[name[-2:]])


@semantics(*COMPARE_IMMEDIATE)
def compare_immediate(b: Builder, dst: Operand, src: Operand, imm: Operand) -> None:
    """Only the low three bits of the predicate count without a VEX prefix."""
    name = b.insn.mnemonic.removesuffix(".xmm")
    two_operands(b, f"{name} $${b.imm8(imm) & 7}", dst, src, MEMORY_BITS[name[-2:]])


@semantics(*IMMEDIATE)
def arithmetic_immediate(b: Builder, dst: Operand, src: Operand, imm: Operand) -> None:
    name = b.insn.mnemonic
    two_operands(b, f"{name} $${b.imm8(imm)}", dst, src, MEMORY_BITS[name[-2:]])


@semantics(*CONVERT_SCALAR)
def convert_scalar(b: Builder, dst: Operand, src: Operand) -> None:
    two_operands(b, b.insn.mnemonic, dst, src, CONVERT_SCALAR[b.insn.mnemonic])


@semantics(*CONVERT)
def convert(b: Builder, dst: Operand, src: Operand) -> None:
    b.require_sse()
    value = read128(b, src, CONVERT[b.insn.mnemonic])
    write_xmm(b, dst, floating(b, f"{b.insn.mnemonic} $1, $0", "=x,x", 128, value))


@semantics("cvtsi2ss", "cvtsi2sd")
def from_integer(b: Builder, dst: Operand, src: Operand) -> None:
    b.require_sse()
    bits = 64 if b.insn.rex & 8 else 32
    suffix = "q" if bits == 64 else "l"
    value = read(b, src, bits)
    text = f"{b.insn.mnemonic}{suffix} $2, $0"
    write_xmm(b, dst, floating(b, text, "=x,0,r", 128, read128(b, dst), value))


@semantics(*TO_INTEGER)
def to_integer(b: Builder, dst: Operand, src: Operand) -> None:
    b.require_sse()
    value = read128(b, src, TO_INTEGER[b.insn.mnemonic])
    b.put(b.slot(dst), floating(b, f"{b.insn.mnemonic} $1, $0", "=r,x", dst.bits, value).zext(64))


@semantics("cvtpi2ps", "cvtpi2pd")
def from_mmx(b: Builder, dst: Operand, src: Operand) -> None:
    """CVTPI2PD does not touch the x87 state when its source is memory."""
    b.require_sse()
    if is_mm(src) or b.insn.mnemonic == "cvtpi2ps":
        require_mmx(b)
        enter_mmx_state(b)
    value = read(b, src, 64)
    text = f"movq $2, %mm0; {b.insn.mnemonic} %mm0, $0; emms"
    write_xmm(b, dst, floating(b, text, "=x,0,r,~{mm0}", 128, read128(b, dst), value))


@semantics(*TO_MMX)
def to_mmx(b: Builder, dst: Operand, src: Operand) -> None:
    b.require_sse()
    require_mmx(b)
    enter_mmx_state(b)
    value = read128(b, src, TO_MMX[b.insn.mnemonic])
    write_mm(b, dst, floating(b, f"{b.insn.mnemonic} $1, %mm0; movq %mm0, $0; emms", "=r,x,~{mm0}", 64, value))


@semantics("comiss", "comisd", "ucomiss", "ucomisd")
def compare_to_flags(b: Builder, first: Operand, second: Operand) -> None:
    b.require_sse()
    value = read128(b, second, MEMORY_BITS[b.insn.mnemonic[-2:]])
    text = f"{b.insn.mnemonic} $2, $1; lahf; movzbl %ah, %eax"
    b.flags.comparison(floating(b, text, "={ax},x,x,~{flags}", 64, read128(b, first), value))


# --- MXCSR
@semantics("stmxcsr")
def stmxcsr(b: Builder, dst: Operand) -> None:
    b.require_sse()
    write_memory(b, dst, current_mxcsr(b))


@semantics("ldmxcsr")
def ldmxcsr(b: Builder, src: Operand) -> None:
    b.require_sse()
    set_mxcsr(b, read(b, src, 32))
    b.system("update_mode")


def current_mxcsr(b: Builder) -> Value:
    """The guest's MXCSR, 32 bits: its control bits, and the sticky flags as the host has them now."""
    return b.field("mxcsr").trunc(32) | (read_host_mxcsr(b) & MXCSR_FLAGS)


def set_mxcsr(b: Builder, value: Value) -> None:
    """#GP for reserved bits; then the record and the host's register.  The block mode may change: call update_mode."""
    b.raise_if((value & ~MXCSR_VALID).ne(0), Vector.GP, 0)
    b.set_field("mxcsr", value.zext(64), now=True)
    write_host_mxcsr(b, value | MXCSR_MASKS)


IMMEDIATE_IN_FORM.update((*COMPARE_IMMEDIATE, *IMMEDIATE))
