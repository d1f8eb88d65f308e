"""x87 instructions (SDM vol. 1, 8.3).  Comparison ignores the pointers to the last instruction and operand."""
from __future__ import annotations

from .table import parse

MASKED = """
# loads and stores
fld                 | {m32}                  |  | setup=fpu_push lanes=f32
fld                 | {m64}                  |  | setup=fpu_push lanes=f64
fld                 | {m80}                  |  | setup=fpu_push lanes=f80
fld                 | {st}                   |  | setup=fpu_push
fst, fstp           | {m32}; {m64}; {st}     |  | setup=fpu
fstp                | {m80}                  |  | setup=fpu
fild                | {m16}; {m32}; {m64}    |  | setup=fpu_push
fist                | {m16}; {m32}           |  | setup=fpu
fistp, fisttp       | {m16}; {m32}; {m64}    |  | setup=fpu
fbld                | {m80}                  |  | setup=fpu_push lanes=bcd
fbstp               | {m80}                  |  | setup=fpu
fld1, fldl2t, fldl2e, fldpi, fldlg2, fldln2, fldz |  |  | setup=fpu_push
fxch                | {st}                   |  | setup=fpu
fcmovb, fcmove, fcmovbe, fcmovu, fcmovnb, fcmovne, fcmovnbe, fcmovnu | st(0), {st} |  | setup=fpu
# arithmetic
fadd, fsub, fsubr, fmul, fdiv, fdivr             | {m32}                   |  | setup=fpu lanes=f32
fadd, fsub, fsubr, fmul, fdiv, fdivr             | {m64}                   |  | setup=fpu lanes=f64
fadd, fsub, fsubr, fmul, fdiv, fdivr             | st(0), {st}; {st}, st(0) |  | setup=fpu
faddp, fsubp, fsubrp, fmulp, fdivp, fdivrp       | {st}, st(0)             |  | setup=fpu
fiadd, fisub, fisubr, fimul, fidiv, fidivr       | {m16}; {m32}            |  | setup=fpu
fchs, fabs, fsqrt, frndint, fscale, fprem, fprem1, fxtract | |  | setup=fpu_push
# comparison
fcom, fcomp         | {m32}                  |  | setup=fpu lanes=f32
fcom, fcomp         | {m64}                  |  | setup=fpu lanes=f64
fcom, fcomp, fucom, fucomp | {st}            |  | setup=fpu
fcompp, fucompp, ftst, fxam |                |  | setup=fpu
ficom, ficomp       | {m16}; {m32}           |  | setup=fpu
fcomi, fcompi, fucomi, fucompi | st(0), {st} |  | setup=fpu
# transcendental: neighbours of the exact result are accepted
fsin, fcos, fsincos, fptan, fpatan |         |  | setup=fpu_small approx=x87
f2xm1, fyl2x, fyl2xp1 |                      |  | setup=fpu_signed_small approx=x87
# control
fnstcw              | {m16}                  |  | setup=fpu
fldcw               | {m16}                  |  | setup=fpu_control_word
fnstsw              | ax                     |  | setup=fpu_status uses=rax
fnstsw              | {m16}                  |  | setup=fpu_status
fnclex, fninit, fincstp, fdecstp, fnop, wait, emms | |  | setup=fpu_status
ffree               | {st}                   |  | setup=fpu
fnstenv             | {p28}                  |  | setup=fpu_environment
fldenv              | {p28}                  |  | setup=fpu_environment_load
fnsave              | {p108}                 |  | setup=fpu_environment
frstor              | {p108}                 |  | setup=fpu_environment_load
fxsave              | {p512}                 |  | setup=fxsave
fxrstor             | {p512}                 |  | setup=fxrstor
fxsave64            | {p512}                 |  | mode=64 setup=fxsave
fxrstor64           | {p512}                 |  | mode=64 setup=fxrstor
"""

UNMASKED = """
fld                 | {m32}                  |  | setup=fpu_unmasked_push lanes=f32
fld                 | {m64}                  |  | setup=fpu_unmasked_push lanes=f64
fst, fstp           | {m32}; {m64}           |  | setup=fpu_unmasked
fistp               | {m16}; {m32}; {m64}    |  | setup=fpu_unmasked
fadd, fmul, fdiv    | {m64}                  |  | setup=fpu_unmasked lanes=f64
fadd, fmul, fdiv    | st(0), {st}            |  | setup=fpu_unmasked
fsqrt, fcompp       |                        |  | setup=fpu_unmasked
fld1, fsqrt, wait, fnclex, fninit, fchs, emms |  |  | setup=fpu_pending
fnstsw              | {m16}                  |  | setup=fpu_pending
fnstcw              | {m16}                  |  | setup=fpu_pending
"""

FORMS = (*parse("x87", MASKED), *parse("x87-unmasked", UNMASKED))
