"""Far jumps, calls and returns, call gates, SYSCALL and SYSENTER (SDM vol. 2; vol. 3A ch. 5.8)."""
from __future__ import annotations

import pytest

from jit.x86.state import Flag, Gpr, Mode, Seg
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
    GATE,
    GDT,
    STACK0,
    STACK3,
    TR,
    TSS,
    Machine,
    descriptor,
    gate,
    pack,
)

UD, NP, GP, SS = 6, 11, 13, 12
TARGET = 0xC000
CALL_GATE, CALL_GATE_16 = 12, 4
KERNEL_STAR = CODE64 << 32 | 0x18 << 48


@pytest.fixture(params=["reference", "compiled"])
def backend(request):
    return request.param


@pytest.fixture
def kernel(backend):
    return Machine(backend).protected()


@pytest.fixture
def user(backend):
    m = Machine(backend).protected(cpl=3)
    m.store(GDT + GATE, gate(CODE0, TARGET, CALL_GATE, 3, count=2))
    return m


def test_real_mode_far_call_and_return(backend):
    m = Machine(backend)
    m.set_segment(Seg.SS, 0x900, 0x9000, 0xFFFF, 0x9300)
    m["pc"] = 0x77
    m.set_reg(Gpr.RSP, 0x100)
    m.call("far_call", 0x1234, 0x5678, 16)
    assert (m.selector(Seg.CS), m.base(Seg.CS), m["pc"], m.reg(Gpr.RSP)) == (0x1234, 0x12340, 0x5678, 0xFC)
    m.call("far_return", 16, 6)
    assert (m.selector(Seg.CS), m["pc"], m.reg(Gpr.RSP)) == (0, 0x77, 0x106)


def test_far_jump_changes_the_code_size(kernel):
    kernel.call("far_jump", CODE16, 0x1_2345, 16)
    assert (kernel["pc"], kernel.base(Seg.CS), kernel["mode"] & Mode.SIZE) == (0x2345, 0x20000, 0)
    assert kernel["mode"] >> 16 == 0x20000


def test_first_protected_jump_after_setting_pe(backend):
    m = Machine(backend)
    m.tables(long=False)
    m.call("write_cr", 0, m["cr0"] | 1)
    m.call("far_jump", CODE0, TARGET, 32)
    assert m.fault() is None
    assert (m["pc"], m["mode"] & Mode.SIZE, m["cpl"]) == (TARGET, 1, 0)


@pytest.mark.parametrize("selector, offset, fault", [
    (0, 0, (GP, 0, 0)), (DATA0, 0, (GP, DATA0, 0)), (CODE3, 0, (GP, CODE3, 0)), (CODE0 | 3, 0, (GP, CODE0, 0)),
    (0xFFF8, 0, (GP, 0xFFF8, 0)), (CODE16, 0x10000, (GP, 0, 0)), (CONFORMING | 3, 0, None),
])
def test_targets_of_direct_jumps_at_privilege_0(kernel, selector, offset, fault):
    kernel.call("far_jump", selector, offset, 32)
    assert kernel.fault() == fault


def test_absent_code_is_not_present(kernel):
    kernel.store(GDT + ABSENT, descriptor(0, 0xFFFFF, 0x1B, 12))
    kernel.call("far_call", ABSENT, 0, 32)
    assert kernel.fault() == (NP, ABSENT, 0)
    assert kernel.reg(Gpr.RSP) == STACK0


def test_far_return_to_user_mode_releases_bytes_on_both_stacks(kernel):
    kernel.write(STACK0 - 24, pack(TARGET, CODE3 | 3, 0xAAAA, 0xBBBB, STACK3, DATA3 | 3, size=4))
    kernel.set_reg(Gpr.RSP, STACK0 - 24)
    kernel.call("far_return", 32, 8)
    assert kernel.fault() is None
    assert (kernel["pc"], kernel["cpl"], kernel.reg(Gpr.RSP), kernel.selector(Seg.SS)) == (TARGET, 3, STACK3 + 8, DATA3 | 3)
    assert kernel.unusable(Seg.DS)


def test_far_return_inwards_is_refused(user):
    user.write(STACK3, pack(TARGET, CODE0, size=4))
    user.call("far_return", 32, 0)
    assert user.fault() == (GP, CODE0, 0)


def test_call_gate_copies_parameters_to_the_inner_stack(user):
    user.write(STACK3, pack(0x11, 0x22, size=4))
    user.call("far_call", GATE | 3, 0xDEAD, 32)
    assert user.fault() is None
    assert user.frame(6, 4) == [CODE, CODE3 | 3, 0x11, 0x22, STACK3, DATA3 | 3]
    assert (user["pc"], user["cpl"], user.reg(Gpr.RSP)) == (TARGET, 0, STACK0 - 24)
    user.call("far_return", 32, 8)
    assert (user["pc"], user["cpl"], user.reg(Gpr.RSP)) == (CODE, 3, STACK3 + 8)


@pytest.mark.parametrize("entry, fault", [
    (gate(CODE0, TARGET, CALL_GATE, 0), (GP, GATE, 0)),
    (gate(CODE0, TARGET, CALL_GATE, 3, present=0), (NP, GATE, 0)),
    (gate(0, TARGET, CALL_GATE, 3), (GP, 0, 0)),
    (gate(DATA0, TARGET, CALL_GATE, 3), (GP, DATA0, 0)),
    (gate(CODE0, TARGET, 14, 3), (GP, GATE, 0)),
])
def test_bad_call_gates(user, entry, fault):
    user.store(GDT + GATE, entry)
    user.call("far_call", GATE | 3, 0, 32)
    assert user.fault() == fault


def test_jump_through_a_gate_cannot_raise_privilege(user):
    user.call("far_jump", GATE | 3, 0, 32)
    assert user.fault() == (GP, CODE0, 0)
    user.store(GDT + GATE, gate(CONFORMING, TARGET, CALL_GATE_16, 3))
    user.call("far_jump", GATE | 3, 0, 32)
    assert (user.fault(), user["pc"], user["cpl"]) == (None, TARGET, 3)


def test_long_mode_call_gate_has_a_64_bit_target(backend):
    m = Machine(backend).long(cpl=3)
    m.store(GDT + GATE, gate(CODE64, TARGET, CALL_GATE, 3))
    m.store(GDT + GATE + 8, 0x1)
    m.call("far_call", GATE | 3, 0, 32)
    assert m.fault() is None
    assert (m["pc"], m["cpl"], m.selector(Seg.SS)) == (0x1_0000_0000 + TARGET, 0, 0)
    assert m.frame(4, 8) == [CODE, CODE64_3 | 3, STACK3, DATA3 | 3]


def test_long_mode_switches_to_compatibility_code_and_back(backend):
    m = Machine(backend).long()
    m.write(STACK0 - 16, pack(TARGET, CODE0, size=8))
    m.set_reg(Gpr.RSP, STACK0 - 16)
    m.call("far_return", 64, 0)
    assert (m.fault(), m["pc"], m["mode"] & Mode.SIZE) == (None, TARGET, 1)
    m.call("far_jump", CODE64, TARGET, 32)
    assert (m.fault(), m["mode"] & Mode.SIZE) == (None, 2)


def test_code_with_both_l_and_d_is_refused_in_long_mode(backend):
    m = Machine(backend).long()
    m.store(GDT + CODE64, m.load(GDT + CODE64) | 1 << 54)
    m.call("far_jump", CODE64, 0, 32)
    assert m.fault() == (GP, CODE64, 0)


def test_task_state_segments_are_no_targets_in_long_mode(backend):
    m = Machine(backend).long()
    m.call("far_jump", TR, 0, 32)
    assert m.fault() == (GP, TR, 0)


# --- fast system calls
@pytest.fixture
def linux(backend):
    m = Machine(backend).long(cpl=3)
    m["star"], m["lstar"], m["cstar"] = KERNEL_STAR, 0xFFFFFFFF_81000000, 0xFFFFFFFF_82000000
    m["fmask"] = int(Flag.IF | Flag.TF | Flag.DF)
    m["eflags"] = int(Flag.IF | Flag.DF)
    return m


def test_syscall_saves_rip_and_flags_and_masks_them(linux):
    linux.call("syscall")
    assert (linux.reg(Gpr.RCX), linux.reg(Gpr.R11), linux["pc"]) == (CODE, 0x602, 0xFFFFFFFF_81000000)
    assert (linux.selector(Seg.CS), linux.selector(Seg.SS), linux["cpl"]) == (CODE64, CODE64 + 8, 0)
    assert linux.flags() == Flag(2)
    assert linux.reg(Gpr.RSP) == STACK3


def test_sysret_undoes_syscall(linux):
    linux.call("syscall")
    linux.call("sysret", 64)
    assert (linux["pc"], linux["cpl"], linux.selector(Seg.CS), linux.selector(Seg.SS)) == (CODE, 3, 0x2B, 0x23)
    assert linux.flags() == Flag.IF | Flag.DF | Flag.ONE
    assert linux["mode"] == 2 | Mode.FLAT | Mode.PROTECTED | Mode.CPL3 | Mode.FPU | 1 << 4


def test_sysret_to_compatibility_mode(linux):
    linux.call("syscall")
    linux.set_reg(Gpr.RCX, 0xFFFFFFFF_00001000)
    linux.call("sysret", 32)
    assert (linux["pc"], linux.selector(Seg.CS), linux["mode"] & Mode.SIZE) == (0x1000, 0x1B, 1)


def test_sysret_checks_privilege_and_target(linux):
    linux.call("sysret", 64)
    assert linux.fault() == (GP, 0, 0)
    linux.call("syscall")
    linux.set_reg(Gpr.RCX, 1 << 47)
    linux.call("sysret", 64)
    assert linux.fault() == (GP, 0, 0)


def test_system_calls_need_efer_sce(linux):
    linux["efer"] = linux["efer"] & ~1
    linux.call("syscall")
    assert linux.fault() == (UD, None, 0)


def test_sysenter_and_sysexit(user):
    user.call("sysenter")
    assert user.fault() == (GP, 0, 0)
    user["sysenter_cs"], user["sysenter_esp"], user["sysenter_eip"] = CODE0, 0x8000, TARGET
    user.call("sysexit", 32)
    assert user.fault() == (GP, 0, 0)
    user.call("sysenter")
    assert (user["pc"], user.reg(Gpr.RSP), user["cpl"], user.selector(Seg.SS)) == (TARGET, 0x8000, 0, CODE0 + 8)
    user.set_reg(Gpr.RDX, 0x1111)
    user.set_reg(Gpr.RCX, 0x2222)
    user.call("sysexit", 32)
    assert (user["pc"], user.reg(Gpr.RSP), user["cpl"], user.selector(Seg.CS)) == (0x1111, 0x2222, 3, CODE0 + 16 | 3)


def test_inner_stack_that_is_too_small_is_a_stack_fault(user):
    user.store(GDT + DATA0, descriptor(0, 0x10, 0x93, 4))
    user.store(TSS + 4, 8, 4)
    user.call("far_call", GATE | 3, 0, 32)
    assert user.fault() == (SS, DATA0, 0)
