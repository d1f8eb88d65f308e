"""The engine from outside: slices and budgets, chained blocks, memory accesses of every kind, callbacks, a full code cache."""
from __future__ import annotations

import hashlib
from collections.abc import Iterator
from random import Random

import pytest

from jit import cache
from jit.engine import PAUSE_NS, Vcpu
from jit.library import StencilLibrary
from jit.native import FIXED_SIZE
from jit.state import Call, Exit, TlbFlag
from jit.translate import BLOCK_ROOM
from jit.work import MAX_INSNS
from jit.x86.front import X86Front
from jit.x86.state import Flag, Vector
from tests.jit.guest import BUDGET, CODE, DATA, EVERY, MMIO, OTHER_CODE, RAM_SIZE, SPARE, WINDOW, WRITABLE, Guest

PAGE = 0x1000
LOOP = "mov ecx, 100; top: dec ecx; jne top; hlt"
LOOP_INSTRUCTIONS = 1 + 100 * 2 + 1


@pytest.fixture(params=("native", "bytecode"))
def guest(request: pytest.FixtureRequest) -> Guest:
    return Guest(backend=request.param)


# --- budgets
@pytest.mark.parametrize("budget", (1, 2, 3, 7, 50, 199, 200, 201, 202, 203))
def test_slices_add_up_to_the_instructions_of_the_program(guest: Guest, budget: int) -> None:
    guest.code(LOOP)
    executed = []
    reason = guest.run(CODE, budget)
    executed.append(guest.cpu.executed)
    while reason == Exit.BUDGET:
        reason = guest.run(None, budget)
        executed.append(guest.cpu.executed)
    assert reason == Exit.HALT
    assert sum(executed) == guest.cpu.retired == LOOP_INSTRUCTIONS


def test_a_slice_ends_at_the_first_block_boundary_behind_its_budget(guest: Guest) -> None:
    guest.code("nop; " * 100 + "hlt")
    assert guest.run(CODE, 1) == Exit.BUDGET
    assert guest.cpu.executed == MAX_INSNS
    assert int(guest.cpu.state["pc"]) == CODE + MAX_INSNS
    assert guest.run(None, 0) == Exit.BUDGET
    assert guest.cpu.executed == 0


def test_a_fault_counts_what_completed_and_one_for_its_delivery(guest: Guest) -> None:
    guest.code("nop; nop; mov rax, [rdi]; nop; hlt")
    guest["rdi"] = WINDOW
    assert guest.run() == Exit.HALT
    assert guest.exception == Vector.PF
    assert guest.cpu.retired == 2 + 1 + 1                   # the handler's HLT


def test_a_handler_that_fails_at_once_still_uses_its_budget_up(guest: Guest) -> None:
    """In real mode, where the stack pointer wraps, that goes on for ever."""
    guest.cpu.state["efer"] = guest.cpu.state["cr0"] = guest.cpu.state["cr4"] = 0
    for seg in range(6):
        guest.cpu.state["seg"][seg] = 0, 0, 0xFFFF, 0x9B00 if seg == 1 else 0x9300
    guest.cpu.state["idtr_base"], guest.cpu.state["idtr_limit"] = 0, 0x3FF
    guest.cpu.call("update_mode")
    guest.cpu.call("flush_tlb", 0)
    guest.write(4 * int(Vector.UD), (0x9000).to_bytes(4, "little"))
    guest.write(0x9000, b"\x0f\x0b")
    assert guest.run(0x9000, 1000) == Exit.BUDGET
    assert guest.cpu.executed == 1000


def test_time_within_a_slice_is_that_of_the_blocks_begun(guest: Guest) -> None:
    seen = []
    guest.handler = lambda vcpu, *_: seen.append(vcpu.now) or 0
    guest.code("nop; jmp over; nop; over: mov rax, [rdi]; mov rax, [rdi]; hlt")
    guest["rdi"] = MMIO
    guest.cpu.state["pc"] = CODE
    guest.cpu.run(1000, 5000)
    assert seen == [5005, 5005]
    assert guest.cpu.now == 5005


def test_a_kick_ends_the_slice_at_the_next_block_boundary(guest: Guest) -> None:
    guest.handler = lambda vcpu, *_: vcpu.kick() or 0
    guest.code("mov rax, [rdi]; inc ebx; jmp over; over: inc ebx; hlt")
    guest["rdi"], guest["rbx"] = MMIO, 0
    assert guest.run() == Exit.BUDGET
    assert guest["rbx"] == 1
    assert guest.cpu.retired == 3
    assert guest.halts(None)["rbx"] == 2
    assert guest.cpu.retired == 5


def test_a_kick_before_a_fault_ends_the_slice_before_the_handler_runs(guest: Guest) -> None:
    guest.handler = lambda vcpu, *_: vcpu.kick() or 0
    guest.code("mov rax, [rdi]; ud2; nop; nop; nop; nop; hlt")
    guest["rdi"] = MMIO
    assert guest.run() == Exit.BUDGET
    assert guest.cpu.retired == 1 + 1                       # and the exception
    assert guest.run(None) == Exit.HALT
    assert guest.exception == Vector.UD


@pytest.mark.parametrize("text", ("mov ss, eax", "sti"))
def test_no_slice_ends_in_an_interrupt_shadow(guest: Guest, text: str) -> None:
    """Interrupts are taken between slices only."""
    guest.code(f"{text}; inc ebx; nop; hlt")
    guest["rax"] = guest["rbx"] = 0
    assert guest.run(CODE, 1) == Exit.BUDGET
    assert guest["rbx"] == 1
    assert guest.cpu.executed == 2


# --- blocks find each other
def test_pause_gives_way_and_takes_time_only_where_somebody_waits(guest: Guest) -> None:
    guest.code("pause; hlt")
    guest.cpu.state["pc"] = CODE
    assert guest.cpu.run(BUDGET, 0, contended=True) == Exit.PAUSE
    assert (guest.cpu.now, guest.cpu.retired) == (1 + PAUSE_NS, 1)
    assert guest.run() == Exit.HALT
    assert (guest.cpu.now, guest.cpu.retired) == (2, 1 + 2)


def test_a_loop_over_two_blocks_leaves_the_dispatcher_alone(guest: Guest) -> None:
    guest.code("mov ecx, 10000; top: dec ecx; jmp on; nop; on: test ecx, ecx; jne top; hlt")
    guest.halts()
    assert guest.entries() < 10


def test_calls_and_returns_go_through_the_jump_cache(guest: Guest) -> None:
    guest.code("mov ecx, 10000; top: call rsi; call rsi; dec ecx; jne top; hlt")
    guest.code("inc ebx; ret", OTHER_CODE)
    guest["rsi"], guest["rbx"] = OTHER_CODE, 0
    assert guest.halts()["rbx"] == 20_000
    assert guest.entries() < 20


def test_a_loop_across_pages_goes_through_the_jump_cache(guest: Guest) -> None:
    guest.code(f"mov ecx, 10000; top: dec ecx; jne {OTHER_CODE}; hlt")
    guest.code(f"jmp {CODE + 5}", OTHER_CODE)
    guest.halts()
    assert guest.entries() < 20


def test_a_chained_loop_still_ends_with_its_budget(guest: Guest) -> None:
    guest.code("top: inc rbx; jmp top")
    guest["rbx"] = 0
    assert guest.run(CODE, 1_000_000) == Exit.BUDGET
    assert guest["rbx"] == 500_000


@pytest.mark.parametrize("cc, taken", (("e", True), ("ne", False)))
def test_both_ways_of_a_branch_lead_where_they_should(guest: Guest, cc: str, taken: bool) -> None:
    guest.code(f"xor eax, eax; j{cc} yes; mov ebx, 1; hlt; yes: mov ebx, 2; hlt")
    for _ in range(3):
        assert guest.halts()["rbx"] == 1 + taken


def test_a_jump_to_the_last_address_is_no_hit_of_an_empty_jump_cache(guest: Guest) -> None:
    jump = guest.code("call rsi; hlt")
    guest.code("jmp rdi", jump)
    at = next(a for a in range(OTHER_CODE, OTHER_CODE + PAGE) if (a ^ a >> 12) & 0xFFF == 0)     # the same entry
    guest.code("mov ebx, 1; ret", at)
    guest["rsi"], guest["rdi"] = at, (1 << 64) - 1
    guest.halts()
    guest.cpu.call("flush_tlb", 0)
    guest.run(jump)
    assert guest.exception == Vector.PF


def test_a_block_may_jump_into_the_middle_of_itself(guest: Guest) -> None:
    guest.code("xor ebx, ebx; add ebx, 1; cmp ebx, 3; jb back; hlt; nop; back: jmp 0x10002")
    assert guest.halts()["rbx"] == 3


# --- a full cache
def test_a_full_arena_is_flushed_and_the_guest_notices_nothing() -> None:
    guest = Guest(arena_size=FIXED_SIZE + BLOCK_ROOM + (64 << 10))
    text = "".join(f"l{i}: add rbx, {i}; jmp l{i + 1}; nop; " for i in range(400))
    guest.code(f"xor ebx, ebx; mov ecx, 20; l: {text} l400: dec ecx; jne l; hlt", SPARE)
    assert guest.halts(SPARE)["rbx"] == 20 * sum(range(400))
    assert guest.engine.statistics().cache_flushes > 5
    assert guest.cpu.retired == 2 + 20 * (400 * 2 + 2) + 1


def test_a_flush_keeps_the_other_vcpus_running() -> None:
    guest = Guest(arena_size=FIXED_SIZE + BLOCK_ROOM + (32 << 10))
    other = guest.add_cpu()
    guest.code("top: call rsi; inc rbx; jmp top", CODE)
    guest.code("ret", OTHER_CODE)
    text = "".join(f"l{i}: add rbx, {i}; jmp l{i + 1}; nop; " for i in range(300))
    guest.code(f"{text} l300: jmp {SPARE}", SPARE)
    guest["rsi"], guest["rbx"] = OTHER_CODE, 0
    guest.cpu.state["pc"], other.state["pc"], other.state["gpr"][3] = CODE, SPARE, 0
    for _ in range(30):
        guest.cpu.run(1000, 0)
        other.run(1000, 0)
    assert guest.engine.statistics().cache_flushes > 5
    assert abs(guest["rbx"] - 30 * 1000 / 4) < 30
    assert int(other.state["gpr"][3]) > 0


def test_the_library_of_stencils_grows_while_the_guest_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("TEMPLATES", 16), ("CODE_POOL", 64), ("RELOCATION_POOL", 8)):
        monkeypatch.setattr(f"jit.library.{name}", size)
    monkeypatch.setattr("jit.library._libraries", {})
    monkeypatch.setattr(X86Front, "listed_forms", lambda _: [])
    monkeypatch.setattr("jit.cache.read", lambda kind, name, read=cache.read: None if kind == "stencils" else read(kind, name))
    monkeypatch.setattr("jit.cache.write", lambda *_: None)
    guest = Guest()
    guest.code("mov ecx, 3; xor ebx, ebx; top: add ebx, ecx; imul eax, ebx, 3; dec ecx; jne top; ror rax, 3; sub al, 2; hlt")
    assert guest.halts()["rbx"] == 6
    assert guest.engine.statistics().forms > 16


# --- memory
ACCESSES = [("al", 1), ("ax", 2), ("eax", 4), ("rax", 8)]


@pytest.mark.parametrize("register, size", ACCESSES)
def test_loads_and_stores_across_pages_touch_the_right_bytes(guest: Guest, register: str, size: int) -> None:
    pages = [SPARE + 5 * PAGE, SPARE + 2 * PAGE]            # not side by side
    for i, page in enumerate(pages):
        guest.map(WINDOW + i * PAGE, page)
        guest.write(page, bytes((i + 3 * at) & 0xFF for at in range(PAGE)))
    guest.code(f"xor eax, eax; mov {register}, [rdi]; mov rbx, rax; mov [rsi], {register}; hlt")
    for back in range(1, size + 2):
        both = guest.engine.ram[pages[0]:pages[0] + PAGE].tobytes() + guest.engine.ram[pages[1]:pages[1] + PAGE].tobytes()
        guest["rdi"] = WINDOW + PAGE - back
        guest["rsi"] = WINDOW + PAGE - back
        expected = int.from_bytes(both[PAGE - back:PAGE - back + size], "little")
        assert guest.halts()["rbx"] == expected
        after = guest.engine.ram[pages[0]:pages[0] + PAGE].tobytes() + guest.engine.ram[pages[1]:pages[1] + PAGE].tobytes()
        assert after == both


@pytest.mark.parametrize("text, size", (
    ("mov [rdi], ax", 2), ("mov [rdi], eax", 4), ("mov [rdi], rax", 8), ("movups [rdi], xmm0", 16), ("fstp xword ptr [rdi]", 10),
    ("add [rdi], rax", 8), ("lock xadd [rdi], rax", 8), ("cmpxchg [rdi], rcx", 8)))
def test_a_store_whose_second_page_cannot_be_written_changes_nothing(guest: Guest, text: str, size: int) -> None:
    guest.map(WINDOW, SPARE)
    guest.map(WINDOW + PAGE, SPARE + PAGE, EVERY & ~WRITABLE)
    guest.write(SPARE, bytes(2 * PAGE))
    guest.code(f"fld1; {text}; hlt")
    guest["rax"], guest["rcx"] = 0, 0xFFFF_FFFF_FFFF_FFFF
    for back in range(1, size):
        guest["rdi"] = WINDOW + PAGE - back
        guest.write(SPARE, bytes(2 * PAGE))
        guest.cpu.state["fsw"] = guest.cpu.state["ftw"] = 0
        guest.run()
        assert guest.exception == Vector.PF
        assert int(guest.cpu.state["cr2"]) == WINDOW + PAGE
        assert guest.read(SPARE + PAGE - back, back) == 0


def test_accesses_above_the_last_page_wrap_into_page_zero_or_fault_but_stay_in_the_guest(guest: Guest) -> None:
    guest.code("mov rax, [rdi]; hlt")
    guest["rdi"] = (1 << 64) - 4
    guest.run()
    assert guest.exception == Vector.PF


def test_two_linear_pages_of_one_physical_page_agree(guest: Guest) -> None:
    guest.map(WINDOW, SPARE)
    guest.map(WINDOW + PAGE, SPARE)
    guest.code("mov dword ptr [rdi], 5; add dword ptr [rsi], 2; mov eax, [rdi]; hlt")
    guest["rdi"], guest["rsi"] = WINDOW + 8, WINDOW + PAGE + 8
    assert guest.halts()["rax"] == 7


def test_pages_that_share_a_tlb_entry_do_not_mix(guest: Guest) -> None:
    guest.code("mov ecx, 50; top: inc dword ptr [rdi]; inc dword ptr [rsi]; dec ecx; jne top; hlt")
    guest["rdi"] = 0x0008_0000                              # its TLB entry is that of every address 4 MiB away
    guest["rsi"] = WINDOW + 0x8_0000
    guest.map(WINDOW + 0x8_0000, SPARE)
    guest.write(0x8_0000, bytes(8))
    guest.write(SPARE, bytes(8))
    guest.halts()
    assert (guest.read(0x8_0000, 4), guest.read(SPARE, 4)) == (50, 50)


def test_rom_ignores_stores_and_runs_code(guest: Guest) -> None:
    readable = TlbFlag.READ | TlbFlag.EXECUTE
    full = readable | TlbFlag.WRITE
    guest.engine.set_ranges([(0, SPARE, 0, full), (SPARE, PAGE, SPARE, full | TlbFlag.ROM),
                             (SPARE + PAGE, RAM_SIZE - SPARE - PAGE, SPARE + PAGE, full)])
    guest.code("mov dword ptr [rip + 0x200], 0; mov byte ptr [rip], 0xCC; mov ebx, 3; hlt", SPARE)
    before = guest.read(SPARE, 64)
    assert guest.halts(SPARE)["rbx"] == 3
    assert guest.read(SPARE, 64) == before


# --- callbacks
class Device:
    """Remembers accesses; a read answers 11h, 22h, 33h... repeated over its size."""

    def __init__(self) -> None:
        self.log: list[tuple[int, ...]] = []
        self.count = 0

    def __call__(self, vcpu: Vcpu, call: int, a: int, b: int, c: int) -> int:
        if call in (Call.MMIO_READ, Call.PORT_READ):
            self.count += 1
            self.log.append((call, a, b))
            return int.from_bytes(bytes([0x11 * self.count]) * b, "little")
        self.log.append((call, a, b, c))
        return 0


def test_mmio_in_the_middle_of_a_block_goes_on_precisely(guest: Guest) -> None:
    guest.handler = device = Device()
    guest.code("mov ebx, 1; mov eax, [rdi]; add eax, ebx; mov [rdi + 8], al; movzx ecx, word ptr [rdi + 2]; mov [rdi + 16], rcx;"
               "stc; adc dword ptr [rdi + 4], 1; setc dl; hlt")
    guest["rdi"] = MMIO
    guest.halts()
    read, write = Call.MMIO_READ, Call.MMIO_WRITE
    assert device.log == [(read, MMIO, 4), (write, MMIO + 8, 1, 0x12), (read, MMIO + 2, 2), (write, MMIO + 16, 8, 0x2222),
                          (read, MMIO + 4, 4), (write, MMIO + 4, 4, 0x33333335)]
    assert (guest["rax"], guest["rcx"], guest["rdx"] & 0xFF) == (0x11111112, 0x2222, 0)


def test_sixteen_byte_mmio_comes_in_two_halves(guest: Guest) -> None:
    guest.handler = device = Device()
    guest.code("movups xmm0, [rdi]; movups [rdi + 32], xmm0; hlt")
    guest["rdi"] = MMIO
    guest.halts()
    one, two = (int.from_bytes(bytes([b]) * 8, "little") for b in (0x11, 0x22))
    assert device.log == [(Call.MMIO_READ, MMIO, 8), (Call.MMIO_READ, MMIO + 8, 8),
                          (Call.MMIO_WRITE, MMIO + 32, 8, one), (Call.MMIO_WRITE, MMIO + 40, 8, two)]


def test_an_access_across_ram_and_mmio_goes_to_both(guest: Guest) -> None:
    guest.handler = device = Device()
    guest.write(RAM_SIZE - 2, b"\xAB\xCD")
    guest.code("mov eax, [rdi]; mov [rdi], ebx; hlt")
    guest["rdi"], guest["rbx"] = MMIO - 2, 0x4433_2211
    assert guest.halts()["rax"] == 0x1111_CDAB
    assert device.log == [(Call.MMIO_READ, MMIO, 2), (Call.MMIO_WRITE, MMIO, 2, 0x4433)]
    assert guest.read(RAM_SIZE - 2, 2) == 0x2211


def test_ports_reach_the_callback(guest: Guest) -> None:
    guest.handler = device = Device()
    guest.code("in al, 0x60; mov edx, 0x3F8; out dx, al; in eax, dx; hlt")
    guest["rax"] = 0
    assert guest.halts()["rax"] == 0x2222_2222
    assert device.log == [(Call.PORT_READ, 0x60, 1), (Call.PORT_WRITE, 0x3F8, 1, 0x11), (Call.PORT_READ, 0x3F8, 4)]


def test_the_callback_sees_registers_as_they_are_before_the_instruction(guest: Guest) -> None:
    seen = []

    def look(vcpu: Vcpu, *_: int) -> int:
        seen.append((int(vcpu.state["gpr"][3]), vcpu.engine.library.arithmetic_flags(vcpu.address)))
        return 0

    guest.handler = look
    guest.code("mov ebx, 5; sub ebx, 5; mov rax, [rdi]; mov ebx, 9; add ebx, 1; hlt")
    guest["rdi"] = MMIO
    guest.halts()
    assert seen == [(0, int(Flag.ZF | Flag.PF))]


def test_an_exception_in_a_callback_reaches_the_caller_and_the_guest_can_go_on(guest: Guest) -> None:
    def fail(*_: int) -> int:
        raise LookupError("no such device")

    guest.handler = fail
    guest.code("xor ebx, ebx; mov rax, [rdi]; inc ebx; jmp on; on: inc ebx; hlt")
    guest["rdi"] = MMIO
    with pytest.raises(LookupError, match="no such device"):
        guest.run()
    assert guest["rbx"] == 1
    assert guest["rax"] == (1 << 64) - 1
    assert guest.halts(None)["rbx"] == 2


def test_an_interrupt_from_the_keyboard_in_a_callback_reaches_the_caller(guest: Guest) -> None:
    def interrupt(*_: int) -> int:
        raise KeyboardInterrupt

    guest.handler = interrupt
    guest.code("top: mov rax, [rdi]; jmp top")
    guest["rdi"] = MMIO
    with pytest.raises(KeyboardInterrupt):
        guest.run()


@pytest.fixture
def no_forms() -> Iterator[StencilLibrary]:
    """The library of this process, as if no form had ever been met; as it was after the test."""
    library = Guest().engine.backend.stencils
    forms, known = library.forms.copy(), list(library._known)
    library.forms[:] = 0
    yield library
    library.forms[:], library._known[:] = forms, known


@pytest.mark.parametrize("text", ("inc ebx; hlt", "cmp ebx, 5; je on; inc ebx; on: hlt"))
def test_an_exception_while_a_form_is_built_leaves_the_guest_as_it_was(
        text: str, no_forms: StencilLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = Guest()

    def fail(*_: object) -> None:
        raise LookupError("no template")

    guest.code(text)
    guest["rbx"] = 0
    with monkeypatch.context() as patch, pytest.raises(LookupError, match="no template"):
        patch.setattr(no_forms, "add", fail)
        guest.run()
    assert (guest["rbx"], int(guest.cpu.state["pc"]), guest.cpu.retired) == (0, CODE, 0)
    assert guest.halts(None)["rbx"] == 1


def test_a_callback_may_move_memory_under_the_running_block(guest: Guest) -> None:
    full = TlbFlag.READ | TlbFlag.WRITE | TlbFlag.EXECUTE
    guest.write(SPARE, bytes([1]) * 8)

    def swap(*_: int) -> int:
        guest.engine.set_ranges([(0, SPARE, 0, full), (SPARE + PAGE, RAM_SIZE - SPARE - PAGE, SPARE + PAGE, full)])
        guest.handler = device
        return 0

    device = Device()
    guest.handler = swap
    guest.code("mov al, [rsi]; mov bl, [rdi]; mov cl, [rsi]; hlt")
    guest["rsi"], guest["rdi"], guest["rax"], guest["rcx"] = SPARE, MMIO, 0, 0
    guest.halts()
    assert (guest["rax"], guest["rcx"]) == (1, 0x11)
    assert device.log == [(Call.MMIO_READ, SPARE, 1)]


def test_a_callback_may_write_memory_that_the_block_reads_next(guest: Guest) -> None:
    guest.handler = lambda *_: guest.write(DATA, bytes([9] * 8)) or 0
    guest.write(DATA, bytes(8))
    guest.code("mov al, [rsi]; mov bl, [rdi]; mov cl, [rsi]; hlt")
    guest["rsi"], guest["rdi"], guest["rax"], guest["rcx"] = DATA, MMIO, 0, 0
    guest.halts()
    assert (guest["rax"], guest["rcx"]) == (0, 9)


def test_floating_point_modes_of_guest_and_host_do_not_mix(guest: Guest) -> None:
    """The guest rounds up; Python, in its callback, to nearest; the guest's sticky flags survive the callback."""
    sums = []
    guest.handler = lambda *_: sums.append(1.0 + 2.0 ** -60) or 0
    guest.code("divsd xmm0, xmm1; mov rax, [rdi]; addsd xmm1, xmm2; stmxcsr dword ptr [rsi]; hlt")
    guest["rdi"], guest["rsi"] = MMIO, DATA
    state = guest.cpu.state
    state["mxcsr"] = 0x1F80 | 2 << 13
    state["xmm"][:6] = 0x3FF0000000000000, 0, 0x4008000000000000, 0, 0x3C00000000000000, 0
    guest.halts()
    assert sums == [1.0]
    assert int(state["xmm"][0]) == 0x3FD5555555555556
    assert int(state["xmm"][2]) == 0x4008000000000001
    assert guest.read(DATA, 4) == 0x1F80 | 2 << 13 | 0x20
    assert 1.0 + 2.0 ** -60 == 1.0


# --- the same again
def program(seed: int) -> str:
    rng = Random(seed)
    registers = ("rax", "rbx", "rdx", "rbp", "r8", "r9", "r10")
    lines = []
    for _ in range(60):
        a, b = rng.choice(registers), rng.choice(registers)
        lines.append(rng.choice([
            f"add {a}, {b}", f"sub {a}, {b}", f"imul {a}, {b}", f"mov [rdi + {8 * rng.randrange(64)}], {a}", f"adc {a}, {b}",
            f"xor {a}, [rdi + {8 * rng.randrange(64)}]", f"rol {a}, 7", f"movq xmm0, {a}; addsd xmm1, xmm0", f"cmovc {a}, {b}"]))
    return "mov ecx, 40; top: " + "; ".join(lines) + "; dec ecx; jne top; hlt"


def run_digest(seed: int, budgets: list[int]) -> str:
    guest = Guest()
    guest.code(program(seed))
    guest["rdi"] = DATA
    guest.cpu.state["pc"] = CODE
    turn = 0
    while guest.cpu.run(budgets[turn % len(budgets)], 0) == Exit.BUDGET:
        turn += 1
    state = guest.cpu.state
    digest = hashlib.sha256(guest.engine.ram[DATA:DATA + PAGE].tobytes())
    for name in ("gpr", "result", "aux", "eflags", "xmm", "mxcsr", "pc", "st", "fsw"):
        digest.update(state[name].tobytes())
    digest.update(str(guest.cpu.retired).encode())
    return digest.hexdigest()


def test_the_same_program_ends_in_the_same_state_however_it_is_sliced() -> None:
    results = {run_digest(1, budgets) for budgets in ([1 << 30], [1 << 30], [100], [1], [7, 333])}
    assert len(results) == 1


def test_two_engines_in_one_process_do_not_touch_each_other() -> None:
    one, two = Guest(), Guest()
    for guest, number in ((one, 1), (two, 2)):
        guest.code(f"mov ecx, 1000; top: add rbx, {number}; dec ecx; jne top; hlt")
        guest["rbx"] = 0
        guest.cpu.state["pc"] = CODE
    reasons = {id(one): Exit.BUDGET, id(two): Exit.BUDGET}
    while Exit.BUDGET in reasons.values():
        for guest in (one, two):
            if reasons[id(guest)] == Exit.BUDGET:
                reasons[id(guest)] = guest.cpu.run(100, 0)
    assert (one["rbx"], two["rbx"]) == (1000, 2000)


# --- many engines
def test_engines_share_the_low_memory_that_there_is_and_say_when_it_is_used_up() -> None:
    engines = []
    with pytest.raises(OSError, match=r"\d+ machines are alive, and there is no memory below 2 GiB for the code of one more; close"):
        for _ in range(200):
            engines.append(Guest())
    assert len(engines) > 16
    assert engines[-1].engine.backend.arena.size < engines[0].engine.backend.arena.size
    engines.pop().engine.close()
    Guest()
