"""SSE4.2 string comparisons and CRC32 (SDM vol. 2, "PCMPESTRI" to "PCMPISTRM"; vol. 1 ch. 12)."""
from __future__ import annotations

from jit.ir import Value
from jit.x86.builder import IMMEDIATE_IN_FORM, Builder, semantics
from jit.x86.insn import Operand
from jit.x86.semantics.vector import XMM0, read128
from jit.x86.state import Gpr

# A FLAGS image in RAX: LAHF brings SF, ZF, AF, PF and CF to AH; OF (bit 11) is fetched by SETO.
FLAGS_IMAGE = "seto %cl; lahf; movzbl %cl, %ecx; movzbl %ah, %eax; shll $$11, %ecx; orl %ecx, %eax"
LONGEST = 16                            # lengths saturate at the number of elements


@semantics("pcmpistri", "pcmpistrm")
def implicit_length(b: Builder, first: Operand, second: Operand, imm: Operand) -> None:
    b.require_sse()
    value = read128(b, second, unaligned=True)
    text = f"{b.insn.mnemonic} $${b.imm8(imm)}, $2, $1"
    _compare(b, text, "", read128(b, first), value)


@semantics("pcmpestri", "pcmpestrm")
def explicit_length(b: Builder, first: Operand, second: Operand, imm: Operand) -> None:
    b.require_sse()
    value = read128(b, second, unaligned=True)
    text = f"{b.insn.mnemonic} $${b.imm8(imm)}, $2, $1"
    _compare(b, text, ",{ax},{dx}", read128(b, first), value, _length(b, Gpr.RAX), _length(b, Gpr.RDX))


def _length(b: Builder, register: Gpr) -> Value:
    """EAX or EDX; with REX.W RAX or RDX, brought into 32 bits."""
    low = b.reg(register, 32)
    if not b.insn.rex & 8:
        return low
    return b.select(low.sext(64).eq(b.reg(register)), low, LONGEST)


def _compare(b: Builder, text: str, lengths: str, *args: Value) -> None:
    """The comparison runs twice: once for its result (index in ECX or mask in XMM0), once for the flags."""
    if b.insn.mnemonic.endswith("i"):
        index = b.host(f"{text}; movl %ecx, $0", f"=r,x,x{lengths},~{{ecx}},~{{flags}}", 32, *args)
        b.set_reg(Gpr.RCX, index)
    else:
        mask = b.host(f"{text}; movdqa %xmm0, $0", f"=x,x,x{lengths},~{{xmm0}},~{{flags}}", 128, *args)
        b.put(XMM0, mask)
    image = b.host(f"{text}; {FLAGS_IMAGE}", f"={{ax}},x,x{lengths},~{{cx}},~{{xmm0}},~{{flags}}", 64, *args)
    b.flags.load(image)


@semantics("crc32")
def crc32(b: Builder, dst: Operand, src: Operand) -> None:
    """CRC-32C; the result is 32 bits, zero-extended, even for a 64-bit destination."""
    suffix = {8: "b", 16: "w", 32: "l", 64: "q"}[src.bits]
    if src.bits == 64:
        b.put(b.slot(dst), b.host("crc32q $2, $0", "=r,0,r", 64, b.get(b.slot(dst), 64), b.load(src)))
    else:
        value = b.host(f"crc32{suffix} $2, $0", "=r,0,r", 32, b.get(b.slot(dst), 32), b.load(src))
        b.put(b.slot(dst), value.zext(64))


IMMEDIATE_IN_FORM.update(("pcmpistri", "pcmpistrm", "pcmpestri", "pcmpestrm"))
