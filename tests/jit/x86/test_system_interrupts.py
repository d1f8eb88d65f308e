"""Event delivery and IRET: frames, stacks, flags, error codes, double and triple faults (SDM vol. 3A ch. 6)."""
from __future__ import annotations

import pytest

from jit.state import Exit, Leave
from jit.x86.interrupts import Event
from jit.x86.state import Cr0, Cr4, Flag, Gpr, Mode, Seg
from tests.jit.x86.system_machine import (
    ABSENT,
    CODE,
    CODE0,
    CODE3,
    CODE16,
    CODE64,
    CODE64_3,
    CONFORMING,
    DATA0,
    DATA3,
    GDT,
    IDT,
    STACK0,
    STACK3,
    TASK_GATE,
    TR,
    TR2,
    TSS,
    TSS2,
    Machine,
    pack,
)

DB, BP, UD, DF, TS, NP, SS, GP, PF = 1, 3, 6, 8, 10, 11, 12, 13, 14
NONE = (1 << 64) - 1
HANDLER = 0xC000
TRAP_GATE, INTERRUPT_GATE, INTERRUPT_GATE_16, TASK = 0xF, 0xE, 6, 5


@pytest.fixture(params=["reference", "compiled"])
def backend(request):
    return request.param


@pytest.fixture
def kernel(backend):
    m = Machine(backend).protected()
    m.idt_gate(0x40, CODE0, HANDLER, dpl=3)
    m["eflags"] = int(Flag.IF)
    return m


@pytest.fixture
def user(backend):
    m = Machine(backend).protected(cpl=3)
    m.idt_gate(0x40, CODE0, HANDLER, dpl=3)
    m["eflags"] = int(Flag.IF)
    return m


@pytest.fixture
def long(backend):
    m = Machine(backend).long(cpl=3)
    m.idt_gate(0x40, CODE64, HANDLER, dpl=3)
    m["eflags"] = int(Flag.IF)
    return m


def deliver(m, vector=0x40, code=NONE, kind=Event.EXTERNAL):
    m.call("deliver", vector, code, kind)
    return m.fault()


# --- real mode
def test_real_mode_pushes_flags_cs_ip_and_takes_the_vector(backend):
    m = Machine(backend)
    m.store(0x21 * 4, 0x1234_5678, 4)
    m.set_segment(Seg.SS, 0x900, 0x9000, 0xFFFF, 0x9300)
    m.call("set_real", Seg.CS, 0xB00)
    m["pc"], m["eflags"] = 0x77, int(Flag.IF | Flag.TF | Flag.AC)
    m.set_reg(Gpr.RSP, 0xAAAA_0000)
    m.call("int_n", 0x21)
    assert m.reg(Gpr.RSP) == 0xAAAA_FFFA
    assert [m.load(0x18FFA + i, 2) for i in (0, 2, 4)] == [0x77, 0xB00, 0x302]
    assert (m.selector(Seg.CS), m.base(Seg.CS), m["pc"]) == (0x1234, 0x12340, 0x5678)
    assert not m.flags() & (Flag.IF | Flag.TF | Flag.AC)
    m.call("iret", 16)
    assert (m.selector(Seg.CS), m["pc"], m.reg(Gpr.RSP)) == (0xB00, 0x77, 0xAAAA_0000)
    assert m.flags() & (Flag.IF | Flag.TF | Flag.AC) == Flag.IF | Flag.TF


def test_real_mode_vector_beyond_the_idt_limit_is_general_protection(backend):
    m = Machine(backend)
    m["idtr_limit"] = 0x82
    m.call("int_n", 0x20)
    assert m.fault()[0] == GP


# --- protected mode
def test_interrupt_gate_at_the_same_privilege(kernel):
    assert deliver(kernel) is None
    assert kernel.frame(3, 4) == [CODE, CODE0, 0x202]
    assert (kernel["pc"], kernel.reg(Gpr.RSP)) == (HANDLER, STACK0 - 12)
    assert not kernel.flags() & Flag.IF


def test_trap_gate_keeps_if_and_clears_tf_nt(kernel):
    kernel.idt_gate(0x40, CODE0, HANDLER, TRAP_GATE)
    kernel["eflags"] = int(Flag.IF | Flag.TF | Flag.NT)
    deliver(kernel)
    assert kernel.flags() & (Flag.IF | Flag.TF | Flag.NT) == Flag.IF
    assert not kernel["mode"] & Mode.SINGLE


def test_16_bit_gate_pushes_words(kernel):
    kernel.idt_gate(0x40, CODE0, HANDLER, INTERRUPT_GATE_16)
    kernel.call("deliver", 0x40, 0x55, Event.EXCEPTION)
    assert kernel.frame(4, 2) == [0x55, CODE, CODE0, 0x202]


def test_gate_from_user_mode_takes_the_stack_of_the_tss(user):
    assert deliver(user, code=0x1234, kind=Event.EXCEPTION) is None
    assert user.frame(6, 4) == [0x1234, CODE, CODE3 | 3, 0x202 | Flag.RF, STACK3, DATA3 | 3]
    assert (user.selector(Seg.SS), user.selector(Seg.CS), user["cpl"]) == (DATA0, CODE0, 0)
    assert user["mmu"] == 0


def test_conforming_handler_stays_at_the_users_privilege(user):
    user.idt_gate(0x40, CONFORMING, HANDLER)
    assert deliver(user) is None
    assert (user["cpl"], user.selector(Seg.CS), user.reg(Gpr.RSP)) == (3, CONFORMING | 3, STACK3 - 12)


@pytest.mark.parametrize("gate, kind, fault", [
    (dict(selector=CODE0, offset=0, dpl=0), Event.SOFTWARE, (GP, 0x40 * 8 + 2, 0)),
    (dict(selector=CODE0, offset=0, dpl=0), Event.TRAP, (GP, 0x40 * 8 + 2, 0)),
    (dict(selector=CODE0, offset=0, kind=0xC), Event.EXTERNAL, (GP, 0x40 * 8 + 3, 0)),
    (dict(selector=CODE0, offset=0, present=0), Event.EXTERNAL, (NP, 0x40 * 8 + 3, 0)),
    (dict(selector=CODE0, offset=0, present=0, dpl=3), Event.SOFTWARE, (NP, 0x40 * 8 + 2, 0)),
    (dict(selector=0, offset=0), Event.EXTERNAL, (GP, 1, 0)),
    (dict(selector=DATA0, offset=0), Event.EXTERNAL, (GP, DATA0 | 1, 0)),
    (dict(selector=0xFFF8, offset=0), Event.EXTERNAL, (GP, 0xFFF9, 0)),
    (dict(selector=CODE16, offset=0x10000), Event.EXTERNAL, (GP, 1, 0)),
])
def test_bad_gates_report_the_vector_or_the_selector(user, gate, kind, fault):
    user.idt_gate(0x40, **gate)
    assert deliver(user, kind=kind) == fault
    assert (user["pc"], user["cpl"], user.reg(Gpr.RSP)) == (CODE, 3, STACK3)


@pytest.mark.parametrize("ss, fault", [(0, (TS, 1, 0)), (DATA3, (TS, DATA3 | 1, 0)), (ABSENT, (SS, ABSENT | 1, 0))])
def test_bad_inner_stack_segments(user, ss, fault):
    user.store(TSS + 8, ss, 4)
    assert deliver(user) == fault


def test_short_tss_is_an_invalid_tss(user):
    user.set_segment(Seg.TR, TR, TSS, 7, 0x8B00)
    assert deliver(user) == (TS, TR | 1, 0)


def test_page_fault_error_codes_do_not_get_ext(backend):
    m = Machine(backend).long(cpl=3)
    m.idt_gate(0x40, CODE64, HANDLER)
    m.store(TSS + 4, 0x1000_0000)
    assert deliver(m) == (PF, 2, 0x1000_0000 - 8)


# --- exceptions of exceptions
def test_exception_is_delivered_with_its_code_and_cr2(kernel):
    kernel.idt_gate(PF, CODE0, HANDLER)
    kernel.call("set_fault", PF, 6, 0xDEAD000)
    assert kernel.call("raise_fault") == 0
    assert (kernel["cr2"], kernel["pending_vector"], kernel["fault"]) == (0xDEAD000, 0, 0)
    assert kernel.frame(2, 4) == [6, CODE]


@pytest.mark.parametrize("first, absent, arrives", [
    (UD, UD, NP),              # benign, then #NP: one after the other
    (GP, GP, DF),              # contributory twice
    (PF, PF, DF),
    (BP, BP, NP),
])
def test_second_exceptions_become_double_faults(kernel, first, absent, arrives):
    for vector in (UD, DF, NP, GP, PF, BP):
        kernel.idt_gate(vector, CODE0, HANDLER + vector, present=int(vector != absent))
    kernel.call("set_fault", first, 0, 0)
    assert kernel.call("raise_fault") == 0
    assert kernel["pc"] == HANDLER + arrives
    assert kernel.frame(1, 4) == [0 if arrives == DF else absent * 8 + 3]


def test_triple_fault_shuts_down(kernel):
    kernel["idtr_limit"] = 0
    kernel.call("set_fault", UD, NONE, 0)
    assert kernel.call("raise_fault") == 1
    assert (kernel["exit_code"], kernel["leave"]) == (Exit.SHUTDOWN, Leave.EXIT)


# --- long mode
def test_long_mode_frame_from_user_code(long):
    long.set_reg(Gpr.RSP, STACK3 - 5)
    assert deliver(long, code=7, kind=Event.EXCEPTION) is None
    assert long.reg(Gpr.RSP) == STACK0 - 48
    assert long.frame(6, 8) == [7, CODE, CODE64_3 | 3, 0x202 | Flag.RF, STACK3 - 5, DATA3 | 3]
    assert (long.selector(Seg.SS), long["cpl"], long.selector(Seg.CS)) == (0, 0, CODE64)


def test_long_mode_aligns_the_stack_at_the_same_privilege(backend):
    m = Machine(backend).long()
    m.idt_gate(0x40, CODE64, HANDLER)
    m.set_reg(Gpr.RSP, STACK0 - 5)
    assert deliver(m) is None
    assert m.reg(Gpr.RSP) == (STACK0 - 5 & ~15) - 40
    assert m.frame(5, 8)[3:] == [STACK0 - 5, DATA0]
    assert m.selector(Seg.SS) == DATA0


def test_interrupt_stack_table_replaces_the_stack(backend):
    m = Machine(backend).long()
    m.store(TSS + 0x24 + 8 * 2, 0x20_1008)
    m.idt_gate(0x40, CODE64, HANDLER, ist=3)
    assert deliver(m) is None
    assert m.reg(Gpr.RSP) == 0x20_1000 - 40


@pytest.mark.parametrize("selector, fault", [(CODE0, (GP, CODE0 | 1, 0)), (CODE64_3, None)])
def test_long_mode_handlers_are_64_bit_code(long, selector, fault):
    long.idt_gate(0x40, selector, HANDLER)
    assert deliver(long) == fault


def test_non_canonical_stack_is_a_stack_fault(long):
    long.store(TSS + 4, 1 << 47)
    assert deliver(long) == (SS, 1, 0)


# --- IRET
def test_iret_returns_to_user_mode(user):
    user.call("int_n", 0x40)
    assert user["cpl"] == 0
    user.call("iret", 32)
    assert user.fault() is None
    assert (user["pc"], user["cpl"], user.selector(Seg.SS), user.reg(Gpr.RSP)) == (CODE, 3, DATA3 | 3, STACK3)
    assert user.flags() & Flag.IF


def test_iret_to_user_mode_drops_kernel_segments(user):
    user.call("int_n", 0x40)
    for seg, selector in ((Seg.DS, DATA0), (Seg.ES, DATA3), (Seg.FS, CONFORMING), (Seg.GS, CODE0)):
        user.call("mov_to_segment", seg, selector)
    user.call("iret", 32)
    assert [user.unusable(s) for s in (Seg.DS, Seg.ES, Seg.FS, Seg.GS)] == [True, False, False, True]


def test_iretq_always_pops_ss_and_rsp(long):
    long.call("int_n", 0x40)
    long.call("iret", 64)
    assert long.fault() is None
    assert (long["pc"], long["cpl"], long.reg(Gpr.RSP), long.selector(Seg.SS)) == (CODE, 3, STACK3, DATA3 | 3)


def test_iretq_to_the_kernel_may_load_a_null_ss(backend):
    m = Machine(backend).long()
    m.write(STACK0 - 40, pack(0x1111, CODE64, 0x10246, 0x1234560, 0, size=8))
    m.set_reg(Gpr.RSP, STACK0 - 40)
    m.call("iret", 64)
    assert m.fault() is None
    assert (m["pc"], m.reg(Gpr.RSP), m.selector(Seg.SS)) == (0x1111, 0x1234560, 0)
    assert m.flags() == Flag(0x246)                                  # RF is never loaded


@pytest.mark.parametrize("cs, ss, fault", [
    (0, DATA3 | 3, (GP, 0, 0)),
    (DATA0, DATA0, (GP, DATA0, 0)),
    (CODE3, DATA3, (GP, CODE3, 0)),
    (CODE64_3 | 3, 3, (GP, 0, 0)),
    (CODE64_3 | 3, DATA0, (GP, DATA0, 0)),
    (CODE3 | 3, DATA3 | 3, None),
])
def test_iretq_checks_both_selectors(backend, cs, ss, fault):
    m = Machine(backend).long()
    m.write(STACK0 - 40, pack(0x1111, cs, 0x202, STACK3, ss, size=8))
    m.set_reg(Gpr.RSP, STACK0 - 40)
    m.call("iret", 64)
    assert m.fault() == fault
    assert m["cpl"] == (3 if fault is None else 0)


def test_iret_at_privilege_3_cannot_change_iopl_or_if(user):
    user["eflags"] = 0
    user.write(STACK3 - 12, pack(0x1111, CODE3 | 3, 0x3202, size=4))
    user.set_reg(Gpr.RSP, STACK3 - 12)
    user.call("iret", 32)
    assert user.fault() is None
    assert user.flags() == Flag(2)


def test_iret_unblocks_nmi(kernel):
    kernel.idt_gate(2, CODE0, HANDLER)
    kernel.call("take_nmi")
    assert (kernel["pc"], kernel["nmi_blocked"]) == (HANDLER, 1)
    kernel.call("iret", 32)
    assert kernel["nmi_blocked"] == 0


# --- virtual-8086 mode
def v86(m, iopl=0):
    frame = pack(0x100, 0xB00, int(Flag.VM | Flag.IF) | iopl << 12 | 2, 0xFFF0, 0x900, 0x111, 0x222, 0x333, 0x444, size=4)
    m.write(STACK0 - len(frame), frame)
    m.set_reg(Gpr.RSP, STACK0 - len(frame))
    m.call("iret", 32)
    assert m.fault() is None


def test_iret_enters_virtual_8086_mode_and_an_interrupt_leaves_it(kernel):
    v86(kernel)
    assert (kernel["cpl"], kernel["pc"], kernel.base(Seg.CS), kernel.reg(Gpr.RSP)) == (3, 0x100, 0xB000, 0xFFF0)
    assert [kernel.selector(s) for s in (Seg.ES, Seg.DS, Seg.FS, Seg.GS)] == [0x111, 0x222, 0x333, 0x444]
    assert kernel["mode"] & Mode.V86_IOPL and not kernel["mode"] & Mode.PROTECTED
    assert deliver(kernel) is None
    assert kernel.frame(9, 4) == [0x100, 0xB00, 0x20202, 0xFFF0, 0x900, 0x111, 0x222, 0x333, 0x444]
    assert (kernel["cpl"], kernel.unusable(Seg.DS), bool(kernel.flags() & Flag.VM)) == (0, True, False)


def test_software_interrupt_in_virtual_8086_mode_needs_iopl_3(kernel):
    v86(kernel)
    kernel.call("int_n", 0x40)
    assert kernel.fault() == (GP, 0, 0)
    kernel.call("iret", 16)
    assert kernel.fault() == (GP, 0, 0)


def test_vme_redirects_interrupts_to_the_programs_own_table(kernel):
    v86(kernel)
    kernel["cr4"] = int(Cr4.VME)
    kernel["eflags"] = kernel["eflags"] | Flag.VIF
    kernel.store(TSS + 0x100 - 32, 0, 8)
    kernel.store(0x21 * 4, 0x1234_5678, 4)
    kernel.call("int_n", 0x21)
    assert kernel.fault() is None
    assert (kernel.selector(Seg.CS), kernel["pc"], kernel["cpl"]) == (0x1234, 0x5678, 3)
    assert kernel.load(0x9000 + 0xFFF0 - 2, 2) == 0x3202
    assert not kernel.flags() & Flag.VIF
    kernel.store(TSS + 0x100 - 32 + 4, 2, 1)
    kernel.call("int_n", 0x21)
    assert kernel.fault() == (GP, 0, 0)


# --- tasks
def task(m):
    values = {0x20: HANDLER, 0x24: 0x202, 0x28: 1, 0x2C: 2, 0x38: 0x7000, 0x48: DATA0, 0x4C: CODE0, 0x50: DATA0, 0x54: DATA0}
    for at, value in values.items():
        m.store(TSS2 + at, value, 4)


def test_task_gate_switches_and_iret_comes_back(kernel):
    task(kernel)
    kernel.store(GDT + TR + 5, 0x8B, 1)
    kernel.idt_gate(DF, TR2, 0, TASK)
    kernel.call("deliver", DF, 0, Event.EXCEPTION)
    assert kernel.fault() is None
    assert (kernel["pc"], kernel.reg(Gpr.RAX), kernel.reg(Gpr.RCX)) == (HANDLER, 1, 2)
    assert kernel.frame(1, 4) == [0]
    assert (kernel.load(TSS2, 2), kernel.load(GDT + TR2 + 5, 1), kernel.load(GDT + TR + 5, 1)) == (TR, 0x8B, 0x8B)
    assert kernel.flags() & Flag.NT and kernel["cr0"] & Cr0.TS
    assert kernel.load(TSS + 0x20, 4) == CODE
    kernel.set_reg(Gpr.RSP, 0x7000)
    kernel.call("iret", 32)
    assert kernel.fault() is None
    assert (kernel["pc"], kernel.selector(Seg.TR), kernel.reg(Gpr.RSP)) == (CODE, TR, STACK0)
    assert kernel.load(GDT + TR2 + 5, 1) == 0x89


def test_jump_to_a_task_gate_makes_the_old_task_available(user):
    task(user)
    user.store(GDT + TR + 5, 0x8B, 1)
    user.call("far_jump", TASK_GATE | 3, 0, 32)
    assert user.fault() is None
    assert (user["pc"], user["cpl"], user.load(GDT + TR + 5, 1)) == (HANDLER, 0, 0x89)
    assert not user.flags() & Flag.NT


def test_bad_segment_of_a_new_task_faults_in_that_task(user):
    task(user)
    user.store(TSS2 + 0x48, TR, 4)
    user.idt_gate(TS, CODE0, HANDLER + 0x100)
    user.store(GDT + TR + 5, 0x8B, 1)
    user.call("far_jump", TASK_GATE | 3, 0, 32)
    assert user["pc"] == HANDLER + 0x100
    assert user.frame(2, 4) == [TR, HANDLER]


# --- single step
def test_trap_flag_traps_after_one_instruction(kernel):
    kernel.idt_gate(DB, CODE0, HANDLER)
    kernel["eflags"] = int(Flag.TF)
    kernel.call("debug_before")
    kernel["pc"] = CODE + 3
    assert kernel.call("debug_after") == 0
    assert (kernel["pc"], kernel.frame(1, 4)) == (HANDLER, [CODE + 3])
    assert kernel.cpu["dr"][6] & 1 << 14


def test_software_interrupt_swallows_the_single_step_trap(kernel):
    kernel["eflags"] = int(Flag.TF)
    kernel.call("debug_before")
    kernel.call("int_n", 0x40)
    kernel.call("debug_after")
    assert kernel["pc"] == HANDLER


def test_descriptor_tables_are_read_as_the_supervisor(backend):
    m = Machine(backend).long(cpl=3)
    m.idt_gate(0x40, CODE64, HANDLER)
    m.store(0x12000, m.load(0x12000) & ~4)
    assert deliver(m) is None
    assert m.load(IDT) == 0
