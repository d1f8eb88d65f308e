"""Random programs of a dozen instructions, with jumps and loops, on both back ends and on the host CPU.

What single instructions cannot show: flags that are dropped because nobody reads them, chained blocks, faults amid a block.
Only instructions whose flags are defined take part (AF aside, which nothing here reads), and memory around RSP only.
"""
from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from tests.isa import engine_runner, runner
from tests.oracle import native
from tests.oracle.assembler import assemble
from tests.oracle.compare import explain
from tests.oracle.state import FLAT, Case, Flags, Result, State
from tests.oracle.values import integer

PROGRAMS = 150
LONGEST = 64                                        # bytes; tests/isa/programs.py has longer ones
BACK_ENDS: dict[str, Callable[[Case], Result]] = {"bytecode": runner.run, "engine": engine_runner.run}
CONDITIONS = ("o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g")
REGISTERS = {64: ("rax", "rcx", "rdx", "rbx", "rsi", "rdi", "r8", "r9"),
             32: ("eax", "ecx", "edx", "ebx", "esi", "edi", "r8d", "r9d"),
             16: ("ax", "cx", "dx", "bx", "si", "r9w"), 8: ("al", "ah", "cl", "ch", "dl", "dh", "bl", "bh")}
SIZES = {8: "byte", 16: "word", 32: "dword", 64: "qword"}
TWO = ("add", "sub", "adc", "sbb", "cmp", "and", "or", "xor", "test", "mov")
ONE = ("inc", "dec", "neg", "not")
BY_ONE = ("shl {}, 1", "shr {}, 1", "sar {}, 1", "rol {}, 1", "ror {}, 1", "rcl {}, 1", "rcr {}, 1")
COUNTER = "r15d"                                    # of loops; no instruction below uses it


def instruction(rng: Random) -> str:
    bits = rng.choice((8, 16, 32, 32, 64, 64))
    a, b = (rng.choice(REGISTERS[bits]) for _ in range(2))
    place = f"{SIZES[bits]} ptr [rsp - {8 * rng.randrange(1, 12)}]"
    wide_a, wide_b = (rng.choice(REGISTERS[64]) for _ in range(2))
    condition = rng.choice(CONDITIONS)
    return rng.choice([
        f"{rng.choice(TWO)} {a}, {b}", f"{rng.choice(TWO)} {a}, {b}", f"{rng.choice(TWO)} {a}, {place}",
        f"{rng.choice(TWO[:-2])} {place}, {a}", f"{rng.choice(TWO)} {a}, {rng.randrange(0x7F)}", f"mov {place}, {a}",
        f"{rng.choice(ONE)} {a}", rng.choice(BY_ONE).format(a), f"set{condition} {rng.choice(REGISTERS[8])}",
        f"cmov{condition} {wide_a}, {wide_b}", f"lea {wide_a}, [{wide_b} + {wide_a}*4 + 5]",
        f"movzx {wide_a}, {rng.choice(('al', 'dl'))}", f"xchg {a}, {b}", "cdqe", "cmc", "stc", "push rax; pop rbx", f"xadd {a}, {b}",
    ])


def program(seed: int) -> Case:
    """As many instructions as fit; with a jump over some of them, or in a loop."""
    rng = Random(f"program {seed}")
    head, tail = rng.choice([("", ""), (f"mov {COUNTER}, 3; top:", f"; dec {COUNTER}; jne top"),
                             (f"mov {COUNTER}, 2; top:", f"; dec {COUNTER}; j{rng.choice(('ne', 'g'))} top")])
    body: list[str] = []
    while True:
        longer = [*body, instruction(rng)]
        text = _with_jump(head, longer, tail, Random(f"jump {seed}"))
        if len(assemble(text, 64, FLAT.entry)) > LONGEST:
            break
        body = longer
    text = _with_jump(head, body, tail, Random(f"jump {seed}"))
    state = State(gpr=[integer(rng, 64) for _ in range(16)], rip=FLAT.entry,
                  rflags=int(Flags.FIXED | Flags.IF) | rng.getrandbits(12) & 0x8D5)
    state.gpr[4] = FLAT.stack_window.base + 0x100
    state.memory = {window.base: rng.randbytes(window.size) for window in FLAT.windows}
    return Case(text, assemble(text, 64, FLAT.entry), 64, state, form=f"program {seed}", undefined_flags=int(Flags.AF))


def _with_jump(head: str, body: list[str], tail: str, rng: Random) -> str:
    if len(body) < 5:
        return head + "; ".join(body) + tail
    start, condition = rng.randrange(1, 3), rng.choice(CONDITIONS)
    end = start + 2
    first, skipped, last = ("; ".join(part) for part in (body[:start], body[start:end], body[end:]))
    return f"{head}{first}; j{condition} over; {skipped}; over: {last}{tail}"


@pytest.mark.skipif(not native.available(), reason="this host cannot run x86-64 code")
@pytest.mark.parametrize("back_end", BACK_ENDS)
def test_programs_do_what_they_do_on_the_host_cpu(back_end: str) -> None:
    cases = [program(seed) for seed in range(PROGRAMS)]
    found = [text for case, expected in zip(cases, native.run_many(cases))
             if (text := explain(case, expected, BACK_ENDS[back_end](case)))]
    assert not found, "\n".join(found[:5])
