"""Packed integer instructions on MMX and XMM registers: MMX, SSE2, SSSE3, SSE4.1, SSE4.2, AES-NI, PCLMULQDQ (SDM vol. 2).

Most are one row: the host instruction of the same name does the work.  Not here: moves (sse_move.py), strings and CRC32
(sse_string.py).
"""
from __future__ import annotations

from collections.abc import Callable

from jit.ir import Value
from jit.x86.builder import IMMEDIATE_IN_FORM, Builder, semantics
from jit.x86.insn import Operand
from jit.x86.semantics.vector import (
    XMM0, enter_mmx_state, host_mmx, is_mm, read, read128, require_mmx, write_mm, write_xmm,
)

# dst = dst op src, on MMX registers (64-bit memory operand) and on XMM registers (128-bit, aligned)
BOTH_FILES = """
    paddb paddw paddd paddq paddsb paddsw paddusb paddusw psubb psubw psubd psubq psubsb psubsw psubusb psubusw
    pmullw pmulhw pmulhuw pmuludq pmaddwd psadbw pavgb pavgw pmaxub pmaxsw pminub pminsw
    pcmpeqb pcmpeqw pcmpeqd pcmpgtb pcmpgtw pcmpgtd packsswb packssdw packuswb
    punpcklbw punpcklwd punpckldq punpckhbw punpckhwd punpckhdq
    pshufb phaddw phaddd phaddsw phsubw phsubd phsubsw pmaddubsw pmulhrsw psignb psignw psignd pabsb pabsw pabsd
"""
HALF_MEMORY = {"punpcklbw", "punpcklwd", "punpckldq"}      # their MMX forms read 32 bits of memory

# dst = dst op src, XMM registers only
XMM_ONLY = """
    punpcklqdq punpckhqdq pmuldq pmulld packusdw pcmpeqq pcmpgtq
    pminsb pminsd pminuw pminud pmaxsb pmaxsd pmaxuw pmaxud
    aesenc aesenclast aesdec aesdeclast
    unpcklps unpckhps unpcklpd unpckhpd
"""
# dst = op(src), XMM registers only; the width of a memory source
UNARY = {
    "phminposuw": 128, "aesimc": 128,
    "pmovsxbw": 64, "pmovsxbd": 32, "pmovsxbq": 16, "pmovsxwd": 64, "pmovsxwq": 32, "pmovsxdq": 64,
    "pmovzxbw": 64, "pmovzxbd": 32, "pmovzxbq": 16, "pmovzxwd": 64, "pmovzxwq": 32, "pmovzxdq": 64,
}
BITWISE: dict[str, Callable[[Value, Value], Value]] = {
    **dict.fromkeys(("pand", "andps", "andpd"), lambda a, b: a & b),
    **dict.fromkeys(("pandn", "andnps", "andnpd"), lambda a, b: ~a & b),
    **dict.fromkeys(("por", "orps", "orpd"), lambda a, b: a | b),
    **dict.fromkeys(("pxor", "xorps", "xorpd"), lambda a, b: a ^ b),
}
SHIFTS = "psllw pslld psllq psrlw psrld psrlq psraw psrad pslldq psrldq"
# an immediate follows the operands
UNARY_IMMEDIATE = "pshufd pshufhw pshuflw aeskeygenassist"
BINARY_IMMEDIATE = "pblendw mpsadbw blendps blendpd shufps shufpd pclmulqdq"
BY_XMM0 = "pblendvb blendvps blendvpd"


def in_mmx(b: Builder, dst: Operand, compute: Callable[[Value], Value]) -> None:
    """dst = compute(old dst) in the MMX file, with the state change that goes with it."""
    result = compute(b.get(b.slot(dst), 64))
    write_mm(b, dst, result)
    enter_mmx_state(b)


@semantics(*BOTH_FILES.split())
def packed(b: Builder, dst: Operand, src: Operand) -> None:
    name = b.insn.mnemonic
    if not is_mm(dst):
        return packed_xmm(b, dst, src)
    require_mmx(b)
    half = name in HALF_MEMORY and src.kind == "mem"
    value = read(b, src, 32 if half else 64).zext(64)
    return in_mmx(b, dst, lambda old: host_mmx(b, f"{name} %mm1, %mm0", old, value))


@semantics(*XMM_ONLY.split())
def packed_xmm(b: Builder, dst: Operand, src: Operand) -> None:
    b.require_sse()
    value = read128(b, src)
    write_xmm(b, dst, b.host(f"{b.insn.mnemonic} $2, $0", "=x,0,x", 128, read128(b, dst), value))


@semantics(*UNARY)
def unary(b: Builder, dst: Operand, src: Operand) -> None:
    b.require_sse()
    value = read128(b, src, UNARY[b.insn.mnemonic])
    write_xmm(b, dst, b.host(f"{b.insn.mnemonic} $1, $0", "=x,x", 128, value))


@semantics(*BITWISE)
def bitwise(b: Builder, dst: Operand, src: Operand) -> None:
    operation = BITWISE[b.insn.mnemonic]
    if is_mm(dst):
        require_mmx(b)
        value = read(b, src, 64)
        return in_mmx(b, dst, lambda old: operation(old, value))
    b.require_sse()
    value = read(b, src, 128)
    return write_xmm(b, dst, operation(read128(b, dst), value))


@semantics(*SHIFTS.split())
def shift(b: Builder, dst: Operand, count: Operand) -> None:
    if count.kind != "imm":
        return packed(b, dst, count)
    text = f"{b.insn.mnemonic} $${b.imm8(count)}"
    if is_mm(dst):
        require_mmx(b)
        return in_mmx(b, dst, lambda old: host_mmx(b, f"{text}, %mm0", old))
    b.require_sse()
    return write_xmm(b, dst, b.host(f"{text}, $0", "=x,0", 128, read128(b, dst)))


@semantics(*UNARY_IMMEDIATE.split())
def unary_immediate(b: Builder, dst: Operand, src: Operand, imm: Operand) -> None:
    b.require_sse()
    value = read128(b, src)
    write_xmm(b, dst, b.host(f"{b.insn.mnemonic} $${b.imm8(imm)}, $1, $0", "=x,x", 128, value))


@semantics(*BINARY_IMMEDIATE.split())
def binary_immediate(b: Builder, dst: Operand, src: Operand, imm: Operand) -> None:
    b.require_sse()
    value = read128(b, src)
    text = f"{b.insn.mnemonic} $${b.imm8(imm)}, $2, $0"
    write_xmm(b, dst, b.host(text, "=x,0,x", 128, read128(b, dst), value))


@semantics("pshufw")
def pshufw(b: Builder, dst: Operand, src: Operand, imm: Operand) -> None:
    require_mmx(b)
    value = read(b, src, 64)
    in_mmx(b, dst, lambda old: host_mmx(b, f"pshufw $${b.imm8(imm)}, %mm1, %mm0", old, value))


@semantics("palignr")
def palignr(b: Builder, dst: Operand, src: Operand, imm: Operand) -> None:
    if not is_mm(dst):
        return binary_immediate(b, dst, src, imm)
    require_mmx(b)
    value = read(b, src, 64)
    return in_mmx(b, dst, lambda old: host_mmx(b, f"palignr $${b.imm8(imm)}, %mm1, %mm0", old, value))


@semantics(*BY_XMM0.split())
def blend_by_xmm0(b: Builder, dst: Operand, src: Operand, *_xmm0: Operand) -> None:
    b.require_sse()
    value = read128(b, src)
    text = f"{b.insn.mnemonic} %xmm0, $2, $0"
    write_xmm(b, dst, b.host(text, "=x,0,x,{xmm0}", 128, read128(b, dst), value, b.get(XMM0, 128)))


@semantics("ptest")
def ptest(b: Builder, dst: Operand, src: Operand) -> None:
    b.require_sse()
    value = read128(b, src)
    image = b.host("ptest $2, $1; lahf; movzbl %ah, %eax", "={ax},x,x,~{flags}", 64, read128(b, dst), value)
    b.flags.comparison(image)


@semantics("pmovmskb")
def pmovmskb(b: Builder, dst: Operand, src: Operand) -> None:
    if is_mm(src):
        require_mmx(b)
        value = b.get(b.slot(src), 64).zext(128)
        enter_mmx_state(b)
    else:
        b.require_sse()
        value = read128(b, src)
    b.put(b.slot(dst), b.host("pmovmskb $1, $0", "=r,x", 32, value).zext(64))


@semantics("movmskps", "movmskpd")
def movmsk(b: Builder, dst: Operand, src: Operand) -> None:
    b.require_sse()
    b.put(b.slot(dst), b.host(f"{b.insn.mnemonic} $1, $0", "=r,x", 32, read128(b, src)).zext(64))


@semantics("emms")
def emms(b: Builder) -> None:
    """All x87 registers empty, TOP = 0 (SDM vol. 3A table 12-2)."""
    require_mmx(b)
    enter_mmx_state(b)
    b.set_field("ftw", 0)


IMMEDIATE_IN_FORM.update(f"{SHIFTS} {UNARY_IMMEDIATE} {BINARY_IMMEDIATE} pshufw palignr".split())
