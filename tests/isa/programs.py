"""Random programs of user-mode 64-bit code: integer, string, SSE and x87 instructions with forward jumps, calls and a loop.

Everything that a program shows is defined, but for AF: an instruction that leaves other flags undefined is followed by one that
writes them all, so the programs also show whether dropped flag writes are missed.  Memory operands lie in the data window,
whose middle is a page border.
"""
from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.oracle.assembler import assemble
from tests.oracle.state import FLAT, MAX_CODE, RDI, RSP, Case, Flags, Fpu, State
from tests.oracle.values import integer, vector

CONDITIONS = ("o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g")
REGISTERS = {64: ("rax", "rcx", "rdx", "rbx", "rbp", "r8", "r9", "r10"), 32: ("eax", "ecx", "edx", "ebx", "ebp",
"r8d", "r9d", "r10d"),
             16: ("ax", "cx", "dx", "bx", "bp", "r8w", "r9w", "r10w"), 8: ("al", "ah", "cl", "ch", "dl", "dh", "bl", "bh")}
SIZES = {8: "byte", 16: "word", 32: "dword", 64: "qword", 128: "xmmword"}
XMM = tuple(f"xmm{i}" for i in (0, 1, 2, 3, 9))
MIDDLE = FLAT.data_window.base + FLAT.data_window.size // 2     # RDI; RSI is 64 lower, and R15 counts the loop
REACH = 60                                                      # operands lie within this distance of RDI

TWO = ("add", "sub", "adc", "sbb", "cmp", "and", "or", "xor", "test", "mov")
TO_MEMORY = ("add", "sub", "adc", "sbb", "cmp", "and", "or", "xor", "mov", "test", "lock add", "lock xor", "xadd", "xchg")
SHIFTS = ("shl", "shr", "sar", "rol", "ror", "rcl", "rcr")
PACKED = ("paddb", "paddw", "paddd", "paddq", "psubb", "psubusw", "pand", "pandn", "por", "pxor", "pmullw",
"pmuludq", "pcmpeqb",
          "pcmpgtd", "punpcklbw", "punpckhdq", "packsswb", "pminub", "pmaxsw", "pavgb", "psadbw", "pshufb", "pmaddwd")
FLOAT = ("addps", "mulps", "subpd", "divpd", "minps", "maxpd", "sqrtps", "addss", "mulsd", "divss", "sqrtsd",
"andps", "xorpd")
X87 = ("fld1; fild dword ptr {m32}; faddp; fstp qword ptr {m64}",
"fld qword ptr {m64}; fmul st(0), st(0); fstp dword ptr {m32}",
       "fild qword ptr {m64}; fld1; fcomip st(0), st(1); fstp st(0); j{cc} {label}",
       "fldpi; fld dword ptr {m32}; fdivrp; fistp dword ptr {m32}",
       "fld1; fldz; fxch; fsub st(1), st(0); fstp st(0); fstp xword ptr {m80}",
       "fnstcw word ptr {m16}; fldz; fchs; fstp qword ptr {m64}")
STRINGS = ("movsb", "movsq", "stosb", "stosd", "lodsb", "lodsw", "scasb", "cmpsb", "scasd", "rep movsb", "rep stosd",
"repne scasb", "repe cmpsb")


class Program:
    """Instructions with their labels; `text(count)` is one of about `count` snippets."""

    def __init__(self, seed: int):
        self.rng = Random(f"program {seed}")
        self.labels = 0
        self.open: dict[str, int] = {}                          # labels to be placed: after how many snippets
        self.makers: tuple[Callable[[], str], ...] = (
            self.two, self.two, self.to_memory, self.from_memory, self.immediate, self.one, self.shift, self.compare_and_jump,
            self.compare_and_jump, self.condition, self.address, self.extend, self.bits, self.multiply, self.stack, self.exchange,
            self.string, self.packed, self.float, self.move_vector, self.scalar, self.x87, self.call)

    # --- operands
    def bits_(self) -> int:
        return self.rng.choice((8, 16, 32, 32, 64, 64))

    def register(self, bits: int) -> str:
        return self.rng.choice(REGISTERS[bits])

    def memory(self, bits: int) -> str:
        return f"[rdi + {self.rng.randrange(-REACH, REACH)}]" if self.rng.random() < 0.7 else f"[rsp - {8 * self.rng.randrange(1, 9)}]"

    def sized(self, bits: int) -> str:
        return f"{SIZES[bits]} ptr {self.memory(bits)}"

    def cc(self) -> str:
        return self.rng.choice(CONDITIONS)

    def cover(self) -> str:
        """Writes all flags (AF may be undefined)."""
        a, b = self.register(32), self.register(32)
        return self.rng.choice((f"cmp {a}, {b}", f"test {a}, {b}", f"add {a}, {b}",
                                f"sub {a}, {self.rng.randrange(99)}", f"xor {a}, {b}"))

    def fresh(self) -> str:
        self.labels += 1
        return f"l{self.labels}"

    def label(self) -> str:
        """A label that will stand a few snippets further on."""
        name = self.fresh()
        self.open[name] = self.rng.randrange(1, 5)
        return name

    # --- instructions
    def two(self) -> str:
        bits = self.bits_()
        return f"{self.rng.choice(TWO)} {self.register(bits)}, {self.register(bits)}"

    def to_memory(self) -> str:
        bits = self.bits_()
        return f"{self.rng.choice(TO_MEMORY)} {self.sized(bits)}, {self.register(bits)}"

    def from_memory(self) -> str:
        bits = self.bits_()
        return f"{self.rng.choice(TWO[:8] + TWO[9:])} {self.register(bits)}, {self.sized(bits)}"

    def immediate(self) -> str:
        bits = self.bits_()
        place = self.register(bits) if self.rng.random() < 0.6 else self.sized(bits)
        return f"{self.rng.choice(TWO)} {place}, {integer(self.rng, min(bits, 32)) >> 1}"

    def one(self) -> str:
        bits = self.bits_()
        place = self.register(bits) if self.rng.random() < 0.6 else self.sized(bits)
        return f"{self.rng.choice(('inc', 'dec', 'neg', 'not'))} {place}"

    def shift(self) -> str:
        bits = self.bits_()
        place = self.register(bits) if self.rng.random() < 0.7 else self.sized(bits)
        count = self.rng.choice(("1", "cl", str(self.rng.randrange(1, 31))))
        tail = "" if count == "1" else f"; {self.cover()}"
        if bits > 8 and self.rng.random() < 0.2:
            return f"{self.rng.choice(('shld', 'shrd'))} {place}, {self.register(bits)}, {self.rng.randrange(1, 15)}; {self.cover()}"
        return f"{self.rng.choice(SHIFTS)} {place}, {count}{tail}"

    def compare_and_jump(self) -> str:
        bits = self.bits_()
        a, b = self.register(bits), self.register(bits)
        if self.rng.random() < 0.3:
            b = self.rng.choice((self.sized(bits), str(self.rng.randrange(100))))
        name = self.rng.choice(("cmp", "test", "sub", "and", "add", "xor", "or", "adc"))
        if name == "test" and "ptr" in b:
            name = "cmp"
        return f"{name} {a}, {b}; j{self.cc()} {self.label()}"

    def condition(self) -> str:
        bits = self.rng.choice((16, 32, 64))
        return self.rng.choice((f"set{self.cc()} {self.register(8)}",
                                f"cmov{self.cc()} {self.register(bits)}, {self.register(bits)}",
                                f"cmov{self.cc()} {self.register(bits)}, {self.sized(bits)}",
                                f"set{self.cc()} {self.sized(8)}",
                                "stc", "clc", "cmc", f"j{self.cc()} {self.label()}"))

    def address(self) -> str:
        a, b, c = (self.register(64) for _ in range(3))
        return self.rng.choice((f"lea {a}, [{b} + {c}*4 - 7]", f"lea {self.register(32)}, [{b}*8 + 3]",
                                f"lea {self.register(16)}, [{b} + {c}]",
                                f"lea {a}, [rip + 5]", f"mov {a}, [rdi + r12*8 - 8]",
                                f"mov [rdi + r12*2 + 9], {self.register(32)}"))

    def extend(self) -> str:
        return self.rng.choice((f"movzx {self.register(32)}, {self.sized(16)}", f"movsx {self.register(64)}, dl",
                                f"movsxd {self.register(64)}, {self.sized(32)}", "cdqe", "cqo", "cwde", "cdq", "cbw",
                                f"bswap {self.register(64)}", f"movzx {self.register(16)}, {self.sized(8)}"))

    def bits(self) -> str:
        bits = self.rng.choice((16, 32, 64))
        a, b = self.register(bits), self.register(bits)
        return self.rng.choice((f"bt {a}, {b}", f"bts {a}, {self.rng.randrange(bits)}",
                                f"btr {self.sized(bits)}, {self.rng.randrange(bits)}",
                                f"btc {a}, {b}", f"or {a}, 1; bsf {b}, {a}", f"or {a}, 1; bsr {b}, {a}",
                                f"popcnt {a}, {b}")) + f"; {self.cover()}"

    def multiply(self) -> str:
        bits = self.rng.choice((16, 32, 64))
        a, b = self.register(bits), self.register(bits)
        return self.rng.choice((f"imul {a}, {b}", f"imul {a}, {b}, 7", f"mul {a}", f"imul {self.sized(bits)}",
                                f"mul {self.register(8)}",
                                f"or {REGISTERS[32][3]}, 1; xor edx, edx; div ebx",
                                f"imul {a}, {self.sized(bits)}")) + f"; {self.cover()}"

    def stack(self) -> str:
        a, b = self.register(64), self.register(64)
        return self.rng.choice((f"push {a}; pop {b}", f"push {self.rng.randrange(300)}; pop {a}",
                                f"push {self.sized(64)}; pop {b}",
                                f"push {a}; pop qword ptr [rdi]", f"push {a}; mov {b}, [rsp]; add rsp, 8"))

    def exchange(self) -> str:
        bits = self.bits_()
        a, b = self.register(bits), self.register(bits)
        return self.rng.choice((f"xchg {a}, {b}", f"xadd {a}, {b}", f"cmpxchg {a}, {b}",
                                f"lock cmpxchg {self.sized(bits)}, {a}", f"xchg {self.sized(bits)}, {a}"))

    def string(self) -> str:
        name = self.rng.choice(STRINGS)
        count = f"mov ecx, {self.rng.randrange(9)}; " if name.startswith("rep") else ""
        return f"{count}{name}; lea rsi, [r14 - 64]; mov rdi, r14"

    def packed(self) -> str:
        source = self.rng.choice(XMM) if self.rng.random() < 0.8 else f"xmmword ptr [r14 + {16 * self.rng.randrange(-3, 3)}]"
        return self.rng.choice((f"{self.rng.choice(PACKED)} {self.rng.choice(XMM)}, {source}",
                                f"pshufd {self.rng.choice(XMM)}, {source}, {self.rng.randrange(256)}",
                                f"psrlq {self.rng.choice(XMM)}, {self.rng.randrange(70)}",
                                                                                                                                                        f"ptest {self.rng.choice(XMM)}, {source}; j{self.rng.choice(('e', 'b', 'a'))} {self.label()}"))

    def float(self) -> str:
        return f"{self.rng.choice(FLOAT)} {self.rng.choice(XMM)}, {self.rng.choice(XMM)}"

    def move_vector(self) -> str:
        x = self.rng.choice(XMM)
        return self.rng.choice((f"movups {x}, {self.memory(128)}", f"movups {self.memory(128)}, {x}",
                                f"movdqa {x}, {self.rng.choice(XMM)}", f"movq {x}, {self.register(64)}",
                                f"movd {self.register(32)}, {x}", f"movsd {x}, qword ptr {self.memory(64)}",
                                f"movlps {x}, qword ptr {self.memory(64)}",
                                f"movhps qword ptr {self.memory(64)}, {x}", f"pinsrw {x}, {self.register(32)}, 3",
                                f"pextrq {self.register(64)}, {x}, 1",
                                f"movss dword ptr {self.memory(32)}, {x}", f"pmovmskb {self.register(32)}, {x}"))

    def scalar(self) -> str:
        x, y = self.rng.choice(XMM), self.rng.choice(XMM)
        return self.rng.choice((f"cvtsi2sd {x}, {self.register(64)}", f"cvttss2si {self.register(32)}, {x}",
                                f"ucomisd {x}, {y}; j{self.rng.choice(('p', 'a', 'e', 'b'))} {self.label()}",
                                f"cvtss2sd {x}, {y}", f"comiss {x}, {y}; set{self.cc()} al", f"cmpltpd {x}, {y}",
                                f"stmxcsr dword ptr {self.memory(32)}"))

    def x87(self) -> str:
        text = self.rng.choice(X87)
        return text.format(cc=self.rng.choice(("a", "be", "e", "p")), label=self.label() if "{label}" in text else "",
                           **{f"m{n}": self.memory(n) for n in (16, 32, 64, 80)})

    def call(self) -> str:
        name, after = self.fresh(), self.fresh()
        return f"call {name}; jmp {after}; {name}: {self.two()}; ret; {after}: nop"

    def fault(self) -> str:
        return self.rng.choice((f"mov r13d, {FLAT.hole}; {self.two()}; mov rax, [r13]", "xor ecx, ecx; div ecx", "ud2",
                                f"mov r13d, {FLAT.read_only}; {self.two()}; add [r13], eax",
                                f"cmp eax, {self.register(32)}; movaps xmm0, [rdi + 1]"))

    # --- the whole
    def text(self, count: int) -> str:
        loop, fault = self.rng.random() < 0.5, self.rng.randrange(8 * count)
        lines = ["mov r14, rdi", "mov r15d, 3", "top: nop"]
        for i in range(count):
            lines.append(self.fault() if i == fault else self.rng.choice(self.makers)())
            self.open = {name: distance - 1 for name, distance in self.open.items()}
            lines += self._place(0)
        return "; ".join([*lines, *self._place(99), *(["dec r15d", "jne top"] if loop else [])])

    def _place(self, distance: int) -> list[str]:
        """Labels that are due."""
        due = [name for name in self.open if self.open[name] <= distance]
        for name in due:
            del self.open[name]
        return [f"{name}: nop" for name in due]


def code(seed: int) -> tuple[str, bytes]:
    """A program that fits MAX_CODE bytes."""
    for count in range(30, 0, -3):
        text = Program(seed).text(count)
        if len(content := assemble(text, 64, FLAT.entry)) <= MAX_CODE:
            return text, content
    raise ValueError(f"no program of seed {seed} fits {MAX_CODE} bytes")


def program(seed: int) -> Case:
    """The case of a seed."""
    text, content = code(seed)
    rng = Random(f"state {seed}")
    state = State(gpr=[integer(rng, 64) for _ in range(16)], rip=FLAT.entry,
                  rflags=int(Flags.FIXED | Flags.IF) | rng.getrandbits(12) & 0x8D5)
    state.xmm = [vector(rng, rng.choice(("f32", "f64", "i32"))) for _ in range(16)]
    state.fpu = Fpu()
    state.gpr[RDI], state.gpr[RDI - 1], state.gpr[12] = MIDDLE, MIDDLE - 64, rng.randrange(4)
    state.gpr[RSP] = FLAT.stack_window.base + 0x100
    state.memory = {window.base: rng.randbytes(window.size) for window in FLAT.windows}
    return Case(text, content, 64, state, form=f"program {seed}", undefined_flags=int(Flags.AF))
