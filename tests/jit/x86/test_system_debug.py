"""The guest's breakpoints: DR0-DR7, RF, the T bit of a task (SDM vol. 3B ch. 17), and a program that debugs itself."""
from __future__ import annotations

import struct

import pytest

from jit.state import Call, Exit
from jit.x86.breakpoints import Dr6, Kind
from jit.x86.interrupts import Event
from jit.x86.state import Cr4, Flag, Gpr, Mode, Seg, Vector
from tests.jit.guest import CODE as PROGRAM
from tests.jit.guest import DATA, HANDLER_SIZE, HANDLERS, IDT, OTHER_CODE, SPARE, WINDOW, Guest
from tests.jit.x86.system_machine import CODE, CODE0, DATA0, GDT, TASK_GATE, TR, TR2, TSS, TSS2, Machine

DB = Vector.DB
HANDLER, WATCHED = 0xC000, 0x20_0800
NO_PAGE = (1 << 64) - 1
LENGTH = {1: 0, 2: 1, 8: 2, 4: 3}       # LEN of DR7 by bytes
DR6_EMPTY = 0xFFFF_0FF0


@pytest.fixture(params=["reference", "compiled"])
def backend(request):
    return request.param


@pytest.fixture
def kernel(backend):
    m = Machine(backend).protected()
    m.idt_gate(DB, CODE0, HANDLER)
    return m


@pytest.fixture
def long(backend):
    return Machine(backend).long()


def control(number: int, kind: Kind, length: int = 1, local: bool = True) -> int:
    """DR7's bits of one breakpoint."""
    return (1 if local else 2) << 2 * number | (kind | LENGTH[length] << 2) << 16 + 4 * number


def arm(m: Machine, address: int, kind: Kind, length: int = 1, number: int = 0) -> None:
    m.call("write_dr", number, address)
    m.call("write_dr", 7, control(number, kind, length))
    assert m.fault() is None


def hits(m: Machine) -> int:
    found, m["pending_db"] = m["pending_db"], 0
    return found


# --- what is enabled
def test_enabled_breakpoints_make_instructions_pass_the_dispatcher(kernel):
    arm(kernel, 0, Kind.EXECUTE)
    assert kernel["mode"] & Mode.SINGLE
    kernel.call("write_dr", 7, 0x400)
    assert not kernel["mode"] & Mode.SINGLE


@pytest.mark.parametrize("kind, watched", [(Kind.EXECUTE, False), (Kind.WRITE, True), (Kind.PORT, False), (Kind.ACCESS, True)])
def test_pages_with_data_breakpoints_have_no_tags(long, kind, watched):
    long.call("load_slow", WATCHED, 4)
    arm(long, WATCHED, kind)
    long.call("store_slow", WATCHED, 0, 4)
    entry = long.cpu["tlb"][WATCHED >> 12 & 1023]
    assert (int(entry["read"]) == NO_PAGE, int(entry["write"]) == NO_PAGE) == (watched, watched)
    assert int(entry["execute"]) == WATCHED & ~0xFFF
    long.call("write_dr", 7, 0)
    long.call("store_slow", WATCHED, 0, 4)
    assert int(entry["read"]) == int(entry["write"]) == WATCHED & ~0xFFF


# --- data
@pytest.mark.parametrize("length, at, size, hit", [
    (1, 0, 1, True), (1, 1, 1, False), (1, -1, 1, False), (1, -7, 8, True), (2, 1, 1, True), (2, 2, 4, False), (4, 3, 1, True),
    (4, 4, 1, False), (4, -4, 4, False), (4, -1, 2, True), (8, 7, 1, True), (8, 8, 8, False), (8, -8, 8, False),
])
def test_an_access_meets_the_range_it_touches(long, length, at, size, hit):
    arm(long, WATCHED, Kind.ACCESS, length)
    long.call("load_slow", WATCHED + at, size)
    assert hits(long) == hit
    long.call("store_slow", WATCHED + at, 0, size)
    assert hits(long) == hit


def test_ranges_are_aligned_to_their_length(long):
    arm(long, WATCHED + 3, Kind.WRITE, 4)
    long.call("store_slow", WATCHED, 0, 1)
    assert hits(long) == 1
    long.call("store_slow", WATCHED + 4, 0, 1)
    assert hits(long) == 0


def test_the_last_bytes_of_the_address_space_can_be_watched(long):
    arm(long, NO_PAGE, Kind.WRITE, 8)
    long.call("x86_watch", NO_PAGE - 3, 4, 2)
    assert hits(long) == 1
    long.call("x86_watch", 0, 8, 2)
    assert hits(long) == 0


def test_write_breakpoints_ignore_reads(long):
    arm(long, WATCHED, Kind.WRITE, 4, number=3)
    long.call("load_slow", WATCHED, 4)
    assert hits(long) == 0
    long.call("load_for_write", WATCHED, 4)
    assert hits(long) == 0
    long.call("store_slow", WATCHED, 0x1234, 4)
    assert (hits(long), long.load(WATCHED, 4)) == (8, 0x1234)


def test_each_page_of_a_crossing_access_is_watched(long):
    arm(long, 0x20_1000, Kind.ACCESS, 2)
    long.call("load_slow", 0x20_0FFF, 2)
    assert hits(long) == 1
    long.call("store_slow", 0x20_0FFD, 0, 8)
    assert hits(long) == 1
    long.call("store_slow", 0x20_0FFB, 0, 5)
    assert hits(long) == 0


def test_repeated_strings_stop_at_the_iteration_that_hits(long):
    arm(long, WATCHED + 4, Kind.WRITE, 4)
    long.set_reg(Gpr.RCX, 16)
    long.set_reg(Gpr.RDI, WATCHED)
    assert long.call("stos", 1, 64, Seg.DS, 1) == 0
    assert (long.reg(Gpr.RCX), long.reg(Gpr.RDI), hits(long)) == (11, WATCHED + 5, 1)
    assert long.flags() & Flag.RF


# --- ports
@pytest.mark.parametrize("de, port, size, hit", [
    (True, 0x80, 1, True), (True, 0x81, 1, True), (True, 0x82, 1, False), (True, 0x7E, 2, False), (True, 0x7D, 4, True),
    (False, 0x80, 1, False),
])
def test_port_breakpoints_need_debugging_extensions(kernel, de, port, size, hit):
    kernel["cr4"] = int(Cr4.DE) if de else 0
    arm(kernel, 0x80, Kind.PORT, 2)
    kernel.call("port_out", port, 0, size)
    assert hits(kernel) == hit
    kernel.call("port_in", port, size)
    assert hits(kernel) == hit
    assert len(kernel.ports) == 2


# --- instructions
def test_an_instruction_breakpoint_is_a_fault_that_pushes_no_rf(kernel):
    arm(kernel, CODE, Kind.EXECUTE)
    assert kernel.call("debug_before") == 1
    assert kernel["pc"] == HANDLER
    assert kernel.frame(3, 4) == [CODE, CODE0, 2]
    assert kernel.cpu["dr"][6] == DR6_EMPTY | 1
    assert kernel["left"] == 999


def test_rf_silences_instruction_breakpoints_once(kernel):
    arm(kernel, CODE, Kind.EXECUTE)
    kernel["eflags"] = int(Flag.RF)
    assert kernel.call("debug_before") == 0
    assert not kernel.flags() & Flag.RF
    assert kernel.call("debug_after") == 0
    assert kernel["pc"] == CODE
    assert kernel.call("debug_before") == 1


def test_breakpoints_are_at_linear_addresses(backend):
    m = Machine(backend)
    m.set_segment(Seg.CS, 0x100, 0x1000, 0xFFFF, 0x9B00)
    m["pc"] = 0x50
    arm(m, 0x1050, Kind.EXECUTE)
    m.store(DB * 4, 0x0200_0010, 4)
    m.call("debug_before")
    assert (m.selector(Seg.CS), m["pc"]) == (0x200, 0x10)


@pytest.mark.parametrize("bits, loaded", [(32, True), (16, False)])
def test_iret_loads_rf_while_breakpoints_are_armed(kernel, bits, loaded):
    size = bits // 8
    for armed in (False, True):
        if armed:
            arm(kernel, CODE, Kind.EXECUTE)
        for i, value in enumerate((CODE, CODE0, 2 | Flag.RF)):
            kernel.store(0x7000 + i * size, int(value), size)
        kernel.set_reg(Gpr.RSP, 0x7000)
        kernel.call("iret", bits)
        assert kernel.fault() is None
        assert bool(kernel.flags() & Flag.RF) == (loaded and armed)


def test_debug_status_bits_stay(kernel):
    kernel.cpu["dr"][6] = DR6_EMPTY | Dr6.BS | 2
    arm(kernel, CODE, Kind.EXECUTE)
    kernel.call("debug_before")
    assert kernel.cpu["dr"][6] == DR6_EMPTY | Dr6.BS | 3


# --- tasks
def prepare_task(m: Machine, trap: int) -> None:
    values = {0x20: CODE + 0x80, 0x24: 0x202, 0x38: 0x7000, 0x48: DATA0, 0x4C: CODE0, 0x50: DATA0, 0x54: DATA0, 0x64: trap}
    for at, value in values.items():
        m.store(TSS2 + at, value, 4)
    m.store(GDT + TR + 5, 0x8B, 1)


@pytest.mark.parametrize("trap", (0, 1))
def test_the_t_bit_of_a_task_traps_before_its_first_instruction(kernel, trap):
    prepare_task(kernel, trap)
    kernel.call("far_jump", TASK_GATE, 0, 32)
    assert kernel.fault() is None
    assert kernel["pc"] == (HANDLER if trap else CODE + 0x80)
    assert bool(int(kernel.cpu["dr"][6]) & Dr6.BT) == bool(trap)
    if trap:
        assert kernel.frame(2, 4) == [CODE + 0x80, CODE0]


def test_the_t_bit_counts_when_an_event_switches_tasks(kernel):
    prepare_task(kernel, trap=1)
    kernel.idt_gate(0x40, TR2, 0, 5)
    kernel.call("take_interrupt", 0x40)
    assert (kernel["pc"], kernel.frame(1, 4)) == (HANDLER, [CODE + 0x80])


def test_a_fault_through_a_task_gate_saves_rf(kernel):
    prepare_task(kernel, trap=0)
    kernel.idt_gate(Vector.UD, TR2, 0, 5)
    kernel.call("deliver", Vector.UD, NO_PAGE, Event.EXCEPTION)
    assert kernel.load(TSS + 0x24, 4) & Flag.RF
    assert not kernel.flags() & Flag.RF


def test_a_new_task_has_no_local_breakpoints(kernel):
    prepare_task(kernel, trap=0)
    kernel.call("write_dr", 7, control(0, Kind.EXECUTE) | control(1, Kind.EXECUTE))
    kernel.call("far_jump", TASK_GATE, 0, 32)
    assert int(kernel.cpu["dr"][7]) & 0xFF == 0
    assert not kernel["mode"] & Mode.SINGLE


# --- a program on the engine that counts its own traps
LOG = DATA                              # a pointer, then RIP, DR6 and RFLAGS of each trap
TARGET = DATA + 0x1000
TRAP_HANDLER = f"""push rax; push rbx; mov ebx, {LOG}; mov rbx, [rbx]; mov rax, [rsp + 16]; mov [rbx], rax; mov rax, dr6; mov [rbx + 8], rax;
    mov rax, [rsp + 32]; mov [rbx + 16], rax; add rbx, 24; mov eax, {LOG}; mov [rax], rbx; mov eax, {DR6_EMPTY}; mov dr6, rax;
    or dword ptr [rsp + 32], {int(Flag.RF)}; pop rbx; pop rax; iretq"""


class Debugged(Guest):
    """A guest whose #DB handler logs, sets RF and goes on."""

    def __init__(self, backend: str):
        super().__init__(self.port, backend=backend)
        self.outputs: list[int] = []
        self.cpu.state["cr4"] |= int(Cr4.DE)
        self.cpu.state["dr"][6] = DR6_EMPTY
        self.word(LOG, LOG + 8)
        self.code(f"jmp {OTHER_CODE}", HANDLERS + DB * HANDLER_SIZE)
        self.code(TRAP_HANDLER, OTHER_CODE)

    def port(self, vcpu, call, a, b, c):
        assert call == Call.PORT_WRITE
        self.outputs.append(a)
        return 0

    def watch(self, *breakpoints: tuple[int, int]) -> Debugged:
        """(linear address, control bits) of DR0 and up."""
        for number, (address, _) in enumerate(breakpoints):
            self.cpu.call("write_dr", number, address)
        self.cpu.call("write_dr", 7, sum(bits for _, bits in breakpoints))
        return self

    @property
    def traps(self) -> list[tuple[int, int]]:
        """(RIP, new bits of DR6) of every trap."""
        count = (self.read(LOG) - LOG - 8) // 24
        words = [struct.unpack_from("<QQQ", self.engine.ram, LOG + 8 + 24 * i) for i in range(count)]
        return [(rip, dr6 ^ DR6_EMPTY) for rip, dr6, _ in words]


@pytest.fixture(params=("native", "bytecode"))
def guest(request):
    return Debugged(request.param)


def test_a_program_counts_how_often_its_loop_writes(guest):
    """DR0 and DR7 are set by the program itself; before and after that the loop does not trap."""
    loop = "mov ecx, 10; again{0}: inc dword ptr [rdi]; add dword ptr [rdi + 4], ecx; dec ecx; jnz again{0}; "
    at = "mov eax, {0}; mov dr0, rax; mov eax, {1}; mov dr7, rax; "
    guest["rdi"] = TARGET
    guest.code(loop.format("a") + at.format(TARGET, control(0, Kind.WRITE, 4)) + loop.format("b")
               + at.format(0, 0) + loop.format("c") + "hlt")
    guest.halts()
    assert [reasons for _, reasons in guest.traps] == [1] * 10
    assert len({rip for rip, _ in guest.traps}) == 1
    assert (guest.read(TARGET, 4), guest.read(TARGET + 4, 4)) == (30, 3 * 55)


def test_an_instruction_breakpoint_stops_each_iteration_once(guest):
    start = guest.code("mov ecx, 5")
    guest.code("again: dec ecx; jnz again; hlt", start)
    guest.watch((start, control(0, Kind.EXECUTE))).halts()
    assert guest.traps == [(start, 1)] * 5
    assert guest["rcx"] == 0


def test_the_same_loop_runs_chained_again_without_breakpoints(guest):
    start = guest.code("mov ecx, 5")
    guest.code("again: dec ecx; jnz again; hlt", start)
    guest.watch((start, control(0, Kind.EXECUTE))).halts()
    guest.watch().halts(PROGRAM)
    assert len(guest.traps) == 5


def test_single_step_and_a_breakpoint_report_one_trap(guest):
    guest["rdi"] = TARGET
    guest.code("push 0x102; popfq; mov [rdi], eax; nop; push 2; popfq; hlt")
    guest.watch((TARGET, control(0, Kind.WRITE))).halts()
    assert [reasons for _, reasons in guest.traps] == [Dr6.BS | 1, Dr6.BS, Dr6.BS, Dr6.BS]


def test_a_breakpoint_wins_over_the_page_fault_of_its_fetch(guest):
    guest.watch((WINDOW, control(0, Kind.EXECUTE)))
    assert guest.run(WINDOW) == Exit.HALT
    assert guest.exception == Vector.PF
    assert guest.traps == [(WINDOW, 1)]


def test_a_watched_instruction_that_faults_does_not_trap(guest):
    guest.code("movsq; hlt")
    guest["rsi"], guest["rdi"] = TARGET, WINDOW
    guest.watch((TARGET, control(0, Kind.ACCESS, 8)))
    assert guest.run() == Exit.HALT
    assert (guest.exception, guest.traps) == (Vector.PF, [])


def test_breakpoints_are_linear_not_physical(guest):
    for page in (WINDOW, WINDOW + 0x1000):
        guest.map(page, SPARE)
    behind = guest.code("mov [rdi], eax; mov [rdi + 0x1000], eax")
    guest.code("nop; hlt", behind)
    guest["rdi"] = WINDOW
    guest.watch((WINDOW + 0x1000, control(0, Kind.WRITE, 4))).halts()
    assert guest.traps == [(behind, 1)]


def test_wide_accesses_and_port_writes_trap_after_they_are_done(guest):
    guest["rdi"] = TARGET
    after = [guest.code("movups [rdi - 8], xmm0")]
    after.append(guest.code("out 0x80, al", after[0]))
    after.append(guest.code("lock cmpxchg [rdi + 16], ecx", after[1]))
    guest.code("hlt", after[2])
    guest.watch((TARGET + 4, control(0, Kind.WRITE, 4)), (0x80, control(1, Kind.PORT)), (TARGET + 16, control(2, Kind.WRITE)))
    guest.halts()
    assert guest.traps == list(zip(after, (1, 2, 4)))
    assert guest.outputs == [0x80]


@pytest.mark.parametrize("backwards", (False, True))
def test_a_repeated_copy_traps_after_each_iteration_that_hits(guest, backwards):
    guest["rsi"], guest["rdi"], guest["rcx"] = TARGET + 0x100, TARGET, 64
    if backwards:
        guest["rsi"], guest["rdi"] = TARGET + 0x13F, TARGET + 0x3F
    at = guest.code("std" if backwards else "cld")
    guest.code("rep movsb; hlt", at)
    guest.watch((TARGET + 8, control(0, Kind.WRITE, 2)), (at, control(1, Kind.EXECUTE))).halts()
    assert guest.traps == [(at, 2), (at, 1), (at, 1)]
    assert guest["rcx"] == 0


def test_a_handler_with_a_breakpoint_of_its_own_ends_with_the_slice(guest):
    """IST 1 of the gate: the stack never runs out."""
    guest.word(IDT + 16 * DB, guest.read(IDT + 16 * DB) | 1 << 32)
    guest.word(SPARE + 0x24, SPARE + 0x1000)
    guest.cpu.state["seg"][Seg.TR] = 0, SPARE, 0x67, 0x8B00
    guest.watch((HANDLERS + DB * HANDLER_SIZE, control(0, Kind.EXECUTE)))
    assert guest.run(HANDLERS + DB * HANDLER_SIZE, budget=100) == Exit.BUDGET
    assert guest.cpu.executed == 100
