"""MMX and SSE to SSE4.2 (SDM vol. 1, chapters 9 to 12).  RCPPS and RSQRTPS are compared with their documented error."""
from __future__ import annotations

from .table import parse

# Packed integer operations that exist on MMX and on XMM registers alike.
BOTH_I8 = "paddb, psubb, paddsb, psubsb, paddusb, psubusb, pcmpeqb, pcmpgtb, punpcklbw, punpckhbw"
BOTH_I16 = ("paddw, psubw, paddsw, psubsw, paddusw, psubusw, pcmpeqw, pcmpgtw, pmullw, pmulhw, pmaddwd, packsswb, packuswb, "
            "punpcklwd, punpckhwd")
BOTH_I32 = "paddd, psubd, pcmpeqd, pcmpgtd, packssdw, punpckldq, punpckhdq"
BOTH_BITS = "pand, pandn, por, pxor"
SHIFTS = "psllw, pslld, psllq, psrlw, psrld, psrlq, psraw, psrad"
SSE_ON_MMX_I8 = "pavgb, pmaxub, pminub, psadbw"
SSE_ON_MMX_I16 = "pavgw, pmaxsw, pminsw, pmulhuw"
SSSE3 = ("pshufb, phaddw, phaddd, phaddsw, phsubw, phsubd, phsubsw, pmaddubsw, pmulhrsw, psignb, psignw, psignd, pabsb, pabsw, "
         "pabsd")

MMX = f"""
{BOTH_I8}           | {{q}}, {{qm64}}            |  | lanes=i8
{BOTH_I16}          | {{q}}, {{qm64}}            |  | lanes=i16
{BOTH_I32}          | {{q}}, {{qm64}}            |  | lanes=i32
{BOTH_BITS}         | {{q}}, {{qm64}}
{SHIFTS}            | {{q}}, {{c}}               |  | lanes=i16
{SHIFTS}            | {{q}}, {{qm64}}            |  | setup=mmx_count
{SSE_ON_MMX_I8}     | {{q}}, {{qm64}}            |  | lanes=i8
{SSE_ON_MMX_I16}    | {{q}}, {{qm64}}            |  | lanes=i16
{SSSE3}             | {{q}}, {{qm64}}
paddq, psubq, pmuludq | {{q}}, {{qm64}}          |  | lanes=i32
palignr             | {{q}}, {{qm64}}, {{i8}}      |  | mask=0x1F
pshufw              | {{q}}, {{qm64}}, {{i8}}
pinsrw              | {{q}}, {{r32}}, {{i8}}; {{q}}, {{m16}}, {{i8}}
pextrw              | {{r32}}, {{q}}, {{i8}}
pmovmskb            | {{r32}}, {{q}}
movd                | {{q}}, {{rm32}}; {{rm32}}, {{q}}
movq                | {{q}}, {{qm64}}; {{m64}}, {{q}}; {{q}}, {{r64}}; {{r64}}, {{q}}
movntq              | {{m64}}, {{q}}
maskmovq            | {{q}}, {{q}}               |  | uses=rdi setup=masked_store
cvtpi2ps            | {{x}}, {{qm64}}            |  | lanes=i32 setup=rounding
cvtpi2pd            | {{x}}, {{qm64}}            |  | lanes=i32
cvtps2pi, cvttps2pi | {{q}}, {{x}}; {{q}}, {{m64}} |  | lanes=f32 setup=rounding
cvtpd2pi, cvttpd2pi | {{q}}, {{x}}; {{q}}, {{m128}} |  | lanes=f64 setup=rounding
movq2dq             | {{x}}, {{q}}
movdq2q             | {{q}}, {{x}}
emms                |
"""

INTEGER_SSE = f"""
{BOTH_I8}           | {{x}}, {{xm128}}           |  | lanes=i8
{BOTH_I16}          | {{x}}, {{xm128}}           |  | lanes=i16
{BOTH_I32}          | {{x}}, {{xm128}}           |  | lanes=i32
{BOTH_BITS}         | {{x}}, {{xm128}}
{SHIFTS}            | {{x}}, {{c}}               |  | lanes=i16
{SHIFTS}            | {{x}}, {{xm128}}           |  | setup=xmm_count
pslldq, psrldq      | {{x}}, {{i8}}              |  | mask=0x1F
{SSE_ON_MMX_I8}     | {{x}}, {{xm128}}           |  | lanes=i8
{SSE_ON_MMX_I16}    | {{x}}, {{xm128}}           |  | lanes=i16
{SSSE3}             | {{x}}, {{xm128}}
paddq, psubq, pmuludq, punpcklqdq, punpckhqdq | {{x}}, {{xm128}} |  | lanes=i64
palignr             | {{x}}, {{xm128}}, {{i8}}     |  | mask=0x3F
pshufd, pshuflw, pshufhw | {{x}}, {{xm128}}, {{i8}}
pinsrw              | {{x}}, {{r32}}, {{i8}}; {{x}}, {{m16}}, {{i8}}
pextrw              | {{r32}}, {{x}}, {{i8}}; {{m16}}, {{x}}, {{i8}}
pmovmskb            | {{r32}}, {{x}}
movd                | {{x}}, {{rm32}}; {{rm32}}, {{x}}
movq                | {{x}}, {{xm64}}; {{m64}}, {{x}}; {{x}}, {{r64}}; {{r64}}, {{x}}
movdqa              | {{x}}, {{xm128}}; {{m128}}, {{x}}
movdqu              | {{x}}, {{xm128}}; {{m128}}, {{x}} |  | unaligned
movntdq             | {{m128}}, {{x}}
movnti              | {{m32}}, {{r32}}; {{m64}}, {{r64}}
maskmovdqu          | {{x}}, {{x}}               |  | uses=rdi setup=masked_store
lddqu               | {{x}}, {{m128}}            |  | unaligned
# SSE4.1
pminsb, pmaxsb      | {{x}}, {{xm128}}           |  | lanes=i8
pminuw, pmaxuw, packusdw | {{x}}, {{xm128}}      |  | lanes=i16
pminsd, pmaxsd, pminud, pmaxud, pmulld, pmuldq | {{x}}, {{xm128}} |  | lanes=i32
pcmpeqq, pcmpgtq    | {{x}}, {{xm128}}           |  | lanes=i64
phminposuw          | {{x}}, {{xm128}}           |  | lanes=i16
ptest               | {{x}}, {{xm128}}
pblendvb            | {{x}}, {{xm128}}, xmm0
pblendw             | {{x}}, {{xm128}}, {{i8}}
mpsadbw             | {{x}}, {{xm128}}, {{i8}}     |  | lanes=i8
pmovsxbw, pmovsxwd, pmovsxdq, pmovzxbw, pmovzxwd, pmovzxdq | {{x}}, {{xm64}}
pmovsxbd, pmovsxwq, pmovzxbd, pmovzxwq | {{x}}, {{xm32}}
pmovsxbq, pmovzxbq  | {{x}}, {{xm16}}
pinsrb              | {{x}}, {{r32}}, {{i8}}; {{x}}, {{m8}}, {{i8}}
pinsrd              | {{x}}, {{rm32}}, {{i8}}
pinsrq              | {{x}}, {{rm64}}, {{i8}}      |  | mode=64
pextrb              | {{r32}}, {{x}}, {{i8}}; {{m8}}, {{x}}, {{i8}}
pextrd              | {{rm32}}, {{x}}, {{i8}}
pextrq              | {{rm64}}, {{x}}, {{i8}}      |  | mode=64
movntdqa            | {{x}}, {{m128}}
# SSE4.2
pcmpestri, pcmpestrm | {{x}}, {{xm128}}, {{i8}}    |  | unaligned uses=rax,rdx,rcx setup=string_lengths mask=0x7F
pcmpistri, pcmpistrm | {{x}}, {{xm128}}, {{i8}}    |  | unaligned uses=rcx setup=text mask=0x7F
"""

PS = "addps, subps, mulps, divps, minps, maxps"
SS = "addss, subss, mulss, divss, minss, maxss, sqrtss"
PD = "addpd, subpd, mulpd, divpd, minpd, maxpd"
SD = "addsd, subsd, mulsd, divsd, minsd, maxsd, sqrtsd"
ARITHMETIC = f"""
{PS}, sqrtps, haddps, hsubps, addsubps | {{x}}, {{xm128}} |  | lanes=f32 @
{SS}                | {{x}}, {{xm32}}            |  | lanes=f32 @
{PD}, sqrtpd, haddpd, hsubpd, addsubpd | {{x}}, {{xm128}} |  | lanes=f64 @
{SD}                | {{x}}, {{xm64}}            |  | lanes=f64 @
cmpps               | {{x}}, {{xm128}}, {{i8}}     |  | lanes=f32 mask=7 @
cmpss               | {{x}}, {{xm32}}, {{i8}}      |  | lanes=f32 mask=7 @
cmppd               | {{x}}, {{xm128}}, {{i8}}     |  | lanes=f64 mask=7 @
cmpsd               | {{x}}, {{xm64}}, {{i8}}      |  | lanes=f64 mask=7 @
comiss, ucomiss     | {{x}}, {{xm32}}            |  | lanes=f32 @
comisd, ucomisd     | {{x}}, {{xm64}}            |  | lanes=f64 @
cvtdq2ps, cvtdq2pd  | {{x}}, {{x}}               |  | lanes=i32 @
cvtdq2ps            | {{x}}, {{m128}}            |  | lanes=i32 @
cvtdq2pd            | {{x}}, {{m64}}             |  | lanes=i32 @
cvtps2dq, cvttps2dq | {{x}}, {{xm128}}           |  | lanes=f32 @
cvtpd2dq, cvttpd2dq, cvtpd2ps | {{x}}, {{xm128}} |  | lanes=f64 @
cvtps2pd            | {{x}}, {{xm64}}            |  | lanes=f32 @
cvtss2sd            | {{x}}, {{xm32}}            |  | lanes=f32 @
cvtsd2ss            | {{x}}, {{xm64}}            |  | lanes=f64 @
cvtsi2ss, cvtsi2sd  | {{x}}, {{rm32}}; {{x}}, {{rm64}} |  | @
cvtss2si, cvttss2si | {{r32}}, {{xm32}}; {{r64}}, {{xm32}} |  | lanes=f32 @
cvtsd2si, cvttsd2si | {{r32}}, {{xm64}}; {{r64}}, {{xm64}} |  | lanes=f64 @
dpps                | {{x}}, {{xm128}}, {{i8}}     |  | lanes=f32 @
dppd                | {{x}}, {{xm128}}, {{i8}}     |  | lanes=f64 @
roundps             | {{x}}, {{xm128}}, {{i8}}     |  | lanes=f32 mask=0xF @
roundss             | {{x}}, {{xm32}}, {{i8}}      |  | lanes=f32 mask=0xF @
roundpd             | {{x}}, {{xm128}}, {{i8}}     |  | lanes=f64 mask=0xF @
roundsd             | {{x}}, {{xm64}}, {{i8}}      |  | lanes=f64 mask=0xF @
"""

MOVES = """
rcpps, rsqrtps      | {x}, {xm128}           |  | lanes=f32 approx=rcp
rcpss, rsqrtss      | {x}, {xm32}            |  | lanes=f32 approx=rcp
andps, andnps, orps, xorps, unpcklps, unpckhps | {x}, {xm128} |  | lanes=f32
andpd, andnpd, orpd, xorpd, unpcklpd, unpckhpd | {x}, {xm128} |  | lanes=f64
shufps              | {x}, {xm128}, {i8}     |  | lanes=f32
shufpd              | {x}, {xm128}, {i8}     |  | lanes=f64
movaps, movapd      | {x}, {xm128}; {m128}, {x}
movups, movupd      | {x}, {xm128}; {m128}, {x} |  | unaligned
movss               | {x}, {xm32}; {m32}, {x} |  | lanes=f32
movsd               | {x}, {xm64}; {m64}, {x} |  | lanes=f64
movlps, movhps, movlpd, movhpd | {x}, {m64}; {m64}, {x}
movhlps, movlhps    | {x}, {x}
movmskps, movmskpd  | {r32}, {x}
movntps, movntpd    | {m128}, {x}
movddup             | {x}, {xm64}
movshdup, movsldup  | {x}, {xm128}
blendps, blendpd, insertps | {x}, {x}, {i8}
blendps, blendpd    | {x}, {m128}, {i8}
insertps            | {x}, {m32}, {i8}
blendvps, blendvpd  | {x}, {xm128}, xmm0
extractps           | {rm32}, {x}, {i8}
ldmxcsr             | {m32}                  |  | setup=mxcsr_operand
stmxcsr             | {m32}                  |  | setup=rounding
"""

FORMS = (*parse("mmx", MMX), *parse("sse", INTEGER_SSE), *parse("sse", MOVES), *parse("sse", ARITHMETIC.replace("@", "")),
         *parse("sse-rounding", ARITHMETIC.replace("@", "setup=rounding")),
         *parse("sse-unmasked", ARITHMETIC.replace("@", "setup=unmasked")))
