"""General-purpose instructions in user mode (SDM vol. 1, 5.1): arithmetic, logic, bits, strings, stack, branches.

Not here: segment loads, far transfers, port I/O, and anything that needs privilege.
"""
from __future__ import annotations

from .table import parse

CONDITIONS = "o no b ae e ne be a s ns p np l ge le g".split()


def _each_condition(prefix: str) -> str:
    return ", ".join(prefix + condition for condition in CONDITIONS)


INTEGER = f"""
# arithmetic
add, adc, sbb, sub  | {{rmW}}, {{rW}}; {{rW}}, {{mW}}; {{rmW}}, {{iW}}      |                | lock
cmp                 | {{rmW}}, {{rW}}; {{rW}}, {{mW}}; {{rmW}}, {{iW}}
inc, dec, neg, not  | {{rmW}}                                           |                | lock
mul, imul           | {{rmW}}                                           | multiply       | uses=rax,rdx
imul                | {{rW}}, {{rmW}}; {{rW}}, {{rmW}}, {{iW}}              | multiply       | w=16,32,64
div                 | {{rmW}}                                           | all            | uses=rax,rdx setup=div
idiv                | {{rmW}}                                           | all            | uses=rax,rdx setup=idiv
daa, das            |                                                 | OF             | mode=32,16 uses=rax
aaa, aas            |                                                 | OF SF ZF PF    | mode=32,16 uses=rax
aam, aad            | {{i8}}                                            | OF AF CF       | mode=32,16 uses=rax
cbw, cwde, cwd, cdq |                                                 |                | uses=rax,rdx
cdqe, cqo           |                                                 |                | mode=64
xadd                | {{rmW}}, {{rW}}                                     |                | lock
cmpxchg             | {{rmW}}, {{rW}}                                     |                | lock uses=rax setup=compare_exchange
cmpxchg8b           | {{m64}}                                           |                | lock uses=rax,rbx,rcx,rdx setup=compare_exchange_pair
cmpxchg16b          | {{m128}}                                          |                | lock mode=64 uses=rax,rbx,rcx,rdx setup=compare_exchange_pair
# logic, shifts, bits
and, or, xor        | {{rmW}}, {{rW}}; {{rW}}, {{mW}}; {{rmW}}, {{iW}}      | AF             | lock
test                | {{rmW}}, {{rW}}; {{rmW}}, {{iW}}                      | AF
shl, shr, sar       | {{rmW}}, {{c}}; {{rmW}}, 1                          | shift
shl, shr, sar       | {{rmW}}, cl                                       | shift          | uses=rcx setup=count
rol, ror, rcl, rcr  | {{rmW}}, {{c}}; {{rmW}}, 1                          | rotate
rol, ror, rcl, rcr  | {{rmW}}, cl                                       | rotate         | uses=rcx setup=count
shld, shrd          | {{rmW}}, {{rW}}, {{c}}                                | double_shift   | w=16,32,64
shld, shrd          | {{rmW}}, {{rW}}, cl                                 | double_shift   | w=16,32,64 uses=rcx setup=count
bt                  | {{rW}}, {{rW}}                                      | bit_test       | w=16,32,64 setup=bit_index
bt                  | {{mW}}, {{rW}}                                      | bit_test       | w=16,32,64 setup=bit_offset
bts, btr, btc       | {{rW}}, {{rW}}                                      | bit_test       | w=16,32,64 setup=bit_index
bts, btr, btc       | {{mW}}, {{rW}}                                      | bit_test       | w=16,32,64 setup=bit_offset lock
bt                  | {{rmW}}, {{s8}}                                     | bit_test       | w=16,32,64
bts, btr, btc       | {{rmW}}, {{s8}}                                     | bit_test       | w=16,32,64 lock
bsf, bsr            | {{rW}}, {{rmW}}                                     | bit_scan       | w=16,32,64
popcnt              | {{rW}}, {{rmW}}                                     |                | w=16,32,64
crc32               | {{r32}}, {{rm8}}; {{r32}}, {{rm16}}; {{r32}}, {{rm32}}; {{r64}}, {{rm64}}
bswap               | {{rW}}                                            |                | w=32,64
{_each_condition("set")} | {{rm8}}
# moves
mov                 | {{rmW}}, {{rW}}; {{rW}}, {{mW}}; {{rmW}}, {{iW}}
movabs              | {{r64}}, {{i64}}
movzx, movsx        | {{rW}}, {{rm8}}                                     |                | w=16,32,64
movzx, movsx        | {{rW}}, {{rm16}}                                    |                | w=32,64
movsxd              | {{r64}}, {{rm32}}
xchg                | {{rW}}, {{rW}}; {{mW}}, {{rW}}
xchg                | {{rW}}, rax                                       |                | w=64
xchg                | {{rW}}, eax                                       |                | w=32
xchg                | {{rW}}, ax                                        |                | w=16
lea                 | {{rW}}, {{p8}}                                      |                | w=16,32,64
{_each_condition("cmov")} | {{rW}}, {{rmW}}                               |                | w=16,32,64
xlatb               |                                                 |                | uses=rax,rbx setup=table_lookup
# flags, hints
lahf, sahf          |                                                 |                | uses=rax
clc, stc, cmc, cld, std, nop, pause, lfence, mfence, sfence |
nop                 | {{rmW}}                                           |                | w=16,32
prefetchnta, prefetcht0, prefetcht1, prefetcht2, prefetchw, clflush | {{m8}}
endbr64, endbr32, ud2, int3 |
"""

BMI = """
tzcnt               | {rW}, {rmW}        | OF SF PF AF    | w=16,32,64
lzcnt               | {rW}, {rmW}        | OF SF PF AF    | w=16,32,64
movbe               | {rW}, {mW}; {mW}, {rW} |            | w=16,32,64
"""

_STRINGS = "mode={mode} uses=rsi,rdi,rcx,rax setup=string"
_STRING_WIDTHS = {64: "bwdq", 32: "bwd", 16: "bwd"}
STRING = "".join(
    f"{prefix}{name}{width} | | | " + _STRINGS.format(mode=mode) + "\n"
    for mode, widths in _STRING_WIDTHS.items()
    for names, prefixes in ((("movs", "stos", "lods"), ("", "rep ")), (("cmps", "scas"), ("", "repe ", "repne ")))
    for name in names for prefix in prefixes for width in widths)

STACK = """
push                | {rm64}; {i32}; {i8}    |     | mode=64 setup=unaligned_stack
push, pop           | {rm16}                 |     | setup=unaligned_stack
push, pop           | {rm32}                 |     | mode=32,16 setup=unaligned_stack
push                | {i32}; {i8}            |     | mode=32 setup=unaligned_stack
pop                 | {rm64}                 |     | mode=64 setup=unaligned_stack
pushf               |                        |     | mode=32,16
popf                |                        |     | mode=32,16 setup=flags_on_stack
pushfq              |                        |     | mode=64
popfq               |                        |     | mode=64 setup=flags_on_stack
pushal, popal       |                        |     | mode=32
pushaw, popaw       |                        |     | mode=32,16
leave               |                        |     | setup=frame
enter               | {i8}, 0; {i8}, 1       |     | setup=frame mask=0x3F
enter               | {i8}, 3                |     | mode=64 setup=frame mask=0x1F
bound               | {r16}, {p4}            |     | mode=32 setup=bound
bound               | {r32}, {p8}            |     | mode=32 setup=bound
"""

BRANCH = f"""
{_each_condition("j")} | {{rel}}
jmp, call           | {{rel}}
jmp, call           | {{rm64}}                 |     | mode=64 setup=branch_target
jmp, call           | {{rm32}}                 |     | mode=32 setup=branch_target
jmp, call           | {{rm16}}                 |     | mode=16 setup=branch_target
ret                 |                        |     | setup=return_address
ret                 | {{i8}}                   |     | setup=return_address mask=0x3F
loop, loope, loopne | {{rel8}}                 |     | setup=loop_count
jrcxz               | {{rel8}}                 |     | mode=64 setup=loop_count
jecxz               | {{rel8}}                 |     | setup=loop_count
jcxz                | {{rel8}}                 |     | mode=32,16 setup=loop_count
"""

FORMS = (*parse("integer", INTEGER), *parse("bmi", BMI), *parse("string", STRING), *parse("stack", STACK),
         *parse("branch", BRANCH))
