"""Regions beside blocks: the same program on two engines, one of which has compiled its loop, is the same at every slice's end."""
from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest

from jit.region_shape import Rejected
from jit.state import Call, Exit
from jit.x86.state import Flag, Vector
from tests.jit.guest import CODE, DATA, MMIO, OTHER_CODE, STACK_TOP, WINDOW, Guest

COMPARED = ("gpr", "result", "aux", "pc", "eflags", "mode", "left", "reserve", "xmm", "st", "fsw", "ftw", "mxcsr", "single")
DATA_BYTES = 0x1000
WARM = 60                               # instructions that make the blocks of a loop known


class Twins:
    """`hot` makes regions, `plain` does not; what is done to one is done to the other."""

    def __init__(self) -> None:
        self.hot, self.plain = Guest(regions=True), Guest(regions=False)
        self.guests = (self.hot, self.plain)
        self.made: list[Any] = []

    def start(self, text: str, handler: Any = None, **registers: int) -> Twins:
        """Write code to CODE and go there with these registers, all others 0."""
        for guest in self.guests:
            guest.handler = handler
            guest.write(CODE, bytes(DATA_BYTES))
            guest.write(DATA, bytes(range(256)) * (DATA_BYTES // 256))
            guest.code(text)
            state = guest.cpu.state
            for field in ("gpr", "aux", "xmm"):
                state[field] = 0
            state["result"], state["pc"], state["eflags"] = 1, CODE, 2
            guest["rsp"], guest["rsi"] = STACK_TOP, DATA
            for name, value in registers.items():
                guest[name] = value
        return self

    def warm(self, head: int = CODE, budget: int = WARM) -> Twins:
        """Run a little; then the loop through `head` becomes a region."""
        self.run(budget)
        self.made.append(self.regions.make(self.hot.cpu, head))
        return self

    @property
    def regions(self) -> Any:
        return self.hot.engine.backend.regions

    def run(self, budget: int) -> Exit:
        """One slice; both must agree on everything afterwards."""
        reasons = [guest.run(None, budget) for guest in self.guests]
        assert reasons[0] == reasons[1]
        for field in COMPARED:
            ours, theirs = (guest.cpu.state[field] for guest in self.guests)
            assert np.array_equal(ours, theirs), f"{field}: {ours} with regions, {theirs} without"
        assert self.hot.cpu.retired == self.plain.cpu.retired
        ours, theirs = (guest.engine.ram[:0x10_0000] for guest in self.guests)
        assert np.array_equal(ours, theirs)
        return reasons[0]

    def finish(self, budgets: Callable[[], int] = lambda: 1000) -> Twins:
        """Slices until a HLT."""
        for _ in range(100_000):
            if (reason := self.run(budgets())) != Exit.BUDGET:
                assert reason == Exit.HALT
                return self
        raise AssertionError("the program does not end")

    @property
    def slices_in_region(self) -> int:
        return int(self.hot.cpu.state["statistics"][0])


@pytest.fixture(scope="module")
def engines() -> Twins:
    return Twins()


@pytest.fixture
def twins(engines: Twins) -> Twins:
    for guest in engines.guests:
        guest.engine.library.flush_cache(guest.engine.address)
        guest.cpu.retired = 0
        guest.cpu.state["statistics"][0] = 0
    return engines


COUNT_DOWN = "mov eax, ecx; mov [rsi + 8], rax; add rbx, [rsi + 8]; dec ecx; jne {head}; hlt"
BRANCHES = """
    test ecx, 1; je even; add rax, rcx; jmp join
    even: xor rax, rcx; cmp rax, 1000; ja join; inc rdx
    join: sub ecx, 1; jne {head}; hlt"""
CALLS = "push rcx; call double; pop rdx; add rax, rdx; sub ecx, 1; jne {head}; hlt; double: lea rbx, [rcx + rcx]; add rax, rbx; ret"
PARTIAL = """
    mov al, cl; mov ah, 3; add ah, al; mov bx, ax; rol bl, 3; xchg bh, dl; movzx edi, ah; imul ebp, edi, 7; bswap ebp
    setc dh; cmovs r8, rbp; sub cx, 1; jne {head}; hlt"""
TABLE = """
    mov eax, ecx; and eax, 7; imul eax, eax, 8; lea rdx, [rip + f0]; add rdx, rax; call rdx; add rbx, rax; sub ecx, 1; jne {head}; hlt
    """ + "; ".join(f".p2align 3; f{i}: add eax, {i}; {'inc' if i & 1 else 'not'} r8; ret" for i in range(8))
CARRIES = "add rax, rbx; adc rdx, 7; sbb r8, rdx; inc r9; rcl r10, 1; jc over; dec r11; over: lea ecx, [rcx - 1]; jecxz out; jmp {head}; out: hlt"
SHIFTS = "shl rax, cl; shr rbx, 3; sar rdx, cl; ror rdi, cl; shld r8, rax, 5; jo over; bt rax, rcx; setc r9b; over: sub ecx, 1; jns {head}; hlt"
VECTORS = """
    movd xmm1, ecx; pshufd xmm1, xmm1, 0; paddd xmm0, xmm1; pxor xmm2, xmm0; movdqu [rsi + 16], xmm2; cvtsi2sd xmm3, ecx
    addsd xmm4, xmm3; ucomisd xmm4, xmm3; movq rax, xmm4; punpcklbw xmm5, xmm0; movss xmm6, xmm1; sub ecx, 1; jne {head}; hlt"""
DIVISIONS = "mov rax, rcx; xor edx, edx; mov ebx, 7; div rbx; add r8, rdx; mov eax, ecx; cdq; idiv ebx; add r9, rax; loop {head}; hlt"
STRINGS = "mov edi, 0x30100; push rcx; mov ecx, 5; rep stosb; pop rcx; lodsb; dec rsi; add ebx, eax; sub ecx, 1; jne {head}; hlt"
NESTED = "mov edx, 3; inner: add rax, rdx; dec edx; jne inner; cmp rax, rcx; sbb ebx, ebx; sub ecx, 1; jg {head}; hlt"
FLAGS_ACROSS = "cmp ecx, 17; jl less; je same; add rax, 3; jmp on; less: sub rax, 1; jmp on; same: neg rax; on: lea rcx, [rcx - 1]; jrcxz out; jmp {head}; out: hlt"
LOOPS = {name: text.format(head=hex(CODE)) for name, text in {
    "count down": COUNT_DOWN, "branches": BRANCHES, "calls": CALLS, "indirect calls": TABLE, "partial registers": PARTIAL, "carries": CARRIES,
    "shifts": SHIFTS, "vectors": VECTORS, "divisions": DIVISIONS, "nested": NESTED, "flags across blocks": FLAGS_ACROSS}.items()}


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_is_the_same_as_a_region(twins: Twins, name: str) -> None:
    twins.start(LOOPS[name], rcx=300).warm()
    twins.finish()
    assert twins.slices_in_region or name == "divisions"


@pytest.mark.parametrize("name", LOOPS)
def test_slices_of_every_length_end_at_the_same_places(twins: Twins, name: str) -> None:
    random = Random(name)
    twins.start(LOOPS[name], rcx=200).warm()
    for budget in range(1, 45):
        if twins.run(budget) != Exit.BUDGET:
            break
    else:
        twins.finish(lambda: random.randrange(1, 60))
    assert twins.slices_in_region


def test_flags_are_exact_behind_the_loop(twins: Twins) -> None:
    twins.start(f"add al, 0x11; sub ecx, 1; jne {CODE:#x}; pushfq; pop rdx; hlt", rcx=50).warm().finish()
    assert twins.hot["rdx"] & (Flag.ZF | Flag.CF | Flag.PF) == Flag.ZF | Flag.PF


def test_flags_of_many_origins_meet(twins: Twins) -> None:
    """Six ways back to the head, each with flags of another kind: the ways out there choose among them through a table."""
    ways = ("add al, cl", "cmp cl, 5", "xor al, cl", "shl al, 3", "inc al", "sub ax, cx", "neg al", "imul eax, ecx")
    chain = "; ".join(f"cmp cl, {i}; jne n{i}; {way}; jmp {CODE:#x}; n{i}: nop" for i, way in enumerate(ways))
    twins.start(f"lea ecx, [rcx + 1]; mov [rsi], ecx; lea ecx, [rcx]; and cl, 15; {chain}; lea edx, [rdx - 1]; cmp dx, 0; jne {CODE:#x}; hlt",
                rdx=40)
    twins.warm(budget=600)
    assert twins.made[-1].tables
    for budget in range(1, 120):
        twins.run(budget % 23 + 1)
    twins.finish()


def test_a_fault_in_the_middle_names_its_instruction(twins: Twins) -> None:
    """Two instructions of the block have run, one register is changed, memory behind the fault is untouched."""
    twins.start(f"inc rax; mov rdx, rax; mov [rdi], rax; inc rbx; add rdi, 8; jmp {CODE:#x}", rdi=DATA)
    twins.warm()
    for guest in twins.guests:
        guest["rdi"] = WINDOW
    assert twins.run(1000) == Exit.HALT
    for guest in twins.guests:
        assert guest.exception == Vector.PF
        assert guest["rax"] == guest["rbx"] + 1
        assert guest.read(guest["rsp"]) & 0xFFFF_FFFF == 2          # error code: a write to a page that is not there
        assert guest.read(guest["rsp"] + 8) == CODE + 6             # behind INC and MOV
    assert int(twins.hot.cpu.state["cr2"]) == WINDOW


def test_a_division_by_zero_faults_in_the_region(twins: Twins) -> None:
    twins.start(f"mov eax, 100; xor edx, edx; div ecx; sub ecx, 1; jmp {CODE:#x}", rcx=40).warm()
    assert twins.run(1000) == Exit.HALT
    assert twins.hot.exception == Vector.DE


def test_devices_see_exact_time_and_may_end_the_slice(twins: Twins) -> None:
    seen: dict[Any, list[tuple[int, ...]]] = {guest.cpu: [] for guest in twins.guests}

    def handler(vcpu: Any, call: int, a: int, b: int, c: int) -> int:
        seen[vcpu].append((call, a, b, c, vcpu.now))
        if len(seen[vcpu]) % 7 == 0:
            vcpu.kick()
        return 5

    twins.start(f"mov [rdi], ecx; add rax, [rdi + 16]; test cl, 1; je even; inc ebx; even: sub ecx, 1; jne {CODE:#x}; hlt",
                handler, rcx=100, rdi=MMIO)
    twins.run(WARM)
    twins.warm().finish()
    hot, plain = seen.values()
    assert hot == plain
    assert len(hot) == 200
    assert twins.slices_in_region


def test_code_that_changes_the_block_it_is_in_restarts(twins: Twins) -> None:
    """Once, the store hits the immediate of the next instruction of its own block."""
    text = f"inc ecx; mov r8, rsi; cmp ecx, 30; cmove r8, r9; mov byte ptr [r8], 0x12; mov edx, 0x11; cmp ecx, 60; jne {CODE:#x}; hlt"
    twins.start(text)
    place = operand_of_mov_edx(twins)
    twins.start(text, r9=place).warm().finish(lambda: 9)
    assert twins.hot["rdx"] == 0x12


def operand_of_mov_edx(twins: Twins) -> int:
    """Address of the immediate in MOV EDX, 0x11."""
    return CODE + 1 + twins.hot.engine.ram[CODE:CODE + 64].tobytes().index(b"\xba\x11\0\0\0")


def test_code_that_changes_another_block_of_the_region_ends_it(twins: Twins) -> None:
    text = f"""inc ecx; cmp ecx, 30; jne over; mov byte ptr [rdi], 0x77; add ebx, 1
        over: jmp there; nop; nop; there: mov edx, 0x11; cmp ecx, 60; jne {CODE:#x}; hlt"""
    twins.start(text)
    place = operand_of_mov_edx(twins)
    twins.start(text, rdi=place)
    for guest in twins.guests:                              # so that the storing block is known before the region is made
        guest["rcx"], guest["rdi"] = 29, DATA
    twins.run(WARM)
    for guest in twins.guests:
        guest["rcx"], guest["rdi"] = 0, place
        guest.cpu.state["pc"] = CODE
    twins.warm()
    twins.finish(lambda: 7)
    assert twins.hot["rdx"] == 0x77


def test_a_device_that_writes_code_ends_the_region(twins: Twins) -> None:
    """The device changes the loop's other block while the region runs; it is executed in its new form."""
    place: list[int] = []

    def handler(vcpu: Any, call: int, a: int, b: int, c: int) -> int:
        if call == Call.MMIO_WRITE and c == 40:
            guest = next(g for g in twins.guests if g.cpu is vcpu)
            guest.write(place[0], b"\x99")
        return 0

    text = f"mov [rdi], ecx; jmp there; nop; nop; there: mov edx, 0x11; add rax, rdx; sub ecx, 1; jne {CODE:#x}; hlt"
    twins.start(text, handler, rcx=100, rdi=MMIO)
    place.append(operand_of_mov_edx(twins))
    twins.warm()
    twins.finish(lambda: 31)
    assert twins.hot["rdx"] == 0x99


def test_the_guest_may_write_over_a_loop_between_two_runs_of_it(twins: Twins) -> None:
    twins.start(f"inc eax; sub ecx, 1; jne {CODE:#x}; hlt", rcx=100).warm()
    twins.finish()
    twins.start(f"dec eax; sub ecx, 1; jne {CODE:#x}; hlt", rcx=100).finish()
    assert twins.hot["rax"] == (1 << 32) - 100


def test_a_flush_of_the_code_cache_drops_regions(twins: Twins) -> None:
    twins.start(LOOPS["branches"], rcx=300).warm()
    twins.run(100)
    for guest in twins.guests:
        guest.engine.library.flush_cache(guest.engine.address)
    twins.finish()


def test_a_region_leaves_for_blocks_on_other_pages(twins: Twins) -> None:
    for guest in twins.guests:
        guest.code(f"add rax, rbx; jmp {CODE + 9:#x}", OTHER_CODE)
    text = f"test cl, 3; je {OTHER_CODE:#x}; sub ecx, 1; jne {CODE:#x}; hlt"
    twins.start(text, rcx=200, rbx=5)
    assert twins.hot.engine.ram[CODE + 9] == 0x83           # the SUB
    twins.warm()
    twins.finish(lambda: 13)


def test_32_bit_addresses_wrap(twins: Twins) -> None:
    twins.start(f"mov eax, [esi + edi]; add ebx, eax; add edi, 4; and edi, 0xff; sub ecx, 1; jne {CODE:#x}; hlt", rcx=100).warm()
    twins.finish()


def test_a_block_that_is_on_no_loop_is_rejected(twins: Twins) -> None:
    twins.start("inc eax; jmp on; nop; on: hlt").run(10)
    with pytest.raises(Rejected, match="no loop"):
        twins.regions.make(twins.hot.cpu, CODE)


def test_a_hot_loop_becomes_a_region_by_itself(twins: Twins) -> None:
    regions = twins.regions
    before = regions.installed
    regions.heat, regions.background, regions.sample_insns = 1000, False, 100
    twins.start(LOOPS["branches"], rcx=5000)
    twins.finish()
    assert regions.installed > before
    assert twins.slices_in_region


def test_the_background_thread_delivers(twins: Twins) -> None:
    regions = twins.regions
    before = regions.installed
    regions.heat, regions.background, regions.sample_insns = 1000, True, 100
    twins.start(LOOPS["calls"], rcx=1000)
    for _ in range(10):
        twins.run(100)
    regions.wait()
    twins.finish()
    assert regions.installed > before


# --- loops at random
REGISTERS = {8: ("al", "bl", "dl", "ah", "bh", "r8b", "r9b"), 16: ("ax", "bx", "dx", "r8w", "r9w"),
             32: ("eax", "ebx", "edx", "r8d", "r9d", "ebp"), 64: ("rax", "rbx", "rdx", "r8", "r9", "rbp")}
LEGACY_ONLY = ("ah", "bh")
SIZES = {8: "byte", 16: "word", 32: "dword", 64: "qword"}
CONDITIONS = ("o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g")


def random_instruction(random: Random) -> str:
    bits = random.choice((8, 16, 32, 64))
    a, b = random.choices(REGISTERS[bits], k=2)
    if {a, b} & set(LEGACY_ONLY):
        a, b = ("bh", "dl")
    memory = f"{SIZES[bits]} ptr [rsi + r10 * {random.choice((1, 2, 4))} + {random.randrange(64)}]"
    number = random.choice((1, 3, 0x7F, -1, -128))
    return random.choice((
        f"{random.choice(('add', 'sub', 'adc', 'sbb', 'and', 'or', 'xor', 'cmp', 'test', 'mov'))} {a}, {b}",
        f"{random.choice(('add', 'sub', 'adc', 'sbb', 'and', 'or', 'xor', 'cmp'))} {a}, {number}",
        f"{random.choice(('add', 'sub', 'mov', 'xor', 'cmp'))} {a if a not in LEGACY_ONLY else 'al'}, {memory}",
        f"{random.choice(('add', 'sub', 'mov', 'and', 'or', 'adc'))} {memory}, {b if b not in LEGACY_ONLY else 'bl'}",
        f"{random.choice(('inc', 'dec', 'neg', 'not'))} {random.choice((a if a not in LEGACY_ONLY else 'al', memory))}",
        f"{random.choice(('shl', 'shr', 'sar', 'rol', 'ror', 'rcl', 'rcr'))} {a}, {random.choice(('1', '3', '0', 'cl'))}",
        f"set{random.choice(CONDITIONS)} {random.choice(('al', 'bl', 'dl', 'r8b'))}",
        f"cmov{random.choice(CONDITIONS)} eax, r9d",
        f"imul {random.choice(REGISTERS[64])}, rdx",
        f"lea {random.choice(REGISTERS[64])}, [rax + rbx * 4 + 5]",
        "mul bl", "cdq", "cqo", "bswap rax", "xadd rax, rbx", "bt rax, 5", "pushfq; pop r9", "lahf", "popcnt rax, rbx",
        "mov r10, rax; and r10, 0x1ff", "movd xmm0, eax; paddd xmm1, xmm0", "movdqu xmm2, [rsi + 3]; pxor xmm1, xmm2",
        "push rdx; pop rbx", "call sub1",
    ))


def random_loop(random: Random) -> str:
    """Blocks with forward branches among them, then the loop's end; a subroutine behind."""
    blocks = []
    count = random.randrange(1, 10)
    for i in range(count):
        body = [random_instruction(random) for _ in range(random.randrange(1, 7))]
        target = f"l{random.randrange(i + 1, count + 1)}"
        blocks.append(f"l{i}: " + "; ".join([*body, f"j{random.choice(CONDITIONS)} {target}"]))
    return "; ".join([*blocks, f"l{count}: dec qword ptr [rsi + 0xf00]; jne {CODE:#x}; hlt; sub1: add rax, 7; xor r8, rax; ret"])


@pytest.mark.parametrize("seed", range(40))
def test_random_loops(twins: Twins, seed: int) -> None:
    random = Random(seed)
    values = {name: random.getrandbits(64) for name in ("rax", "rbx", "rdx", "r8", "r9", "rbp")}
    twins.start(random_loop(random), **values, rcx=5)
    for guest in twins.guests:
        guest.word(DATA + 0xF00, 400)
    twins.warm(budget=300)
    twins.finish(lambda: random.randrange(1, 400))
    assert twins.slices_in_region
