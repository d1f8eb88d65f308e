"""Control registers, tables, IF, ports, TSC and MSRs (SDM vol. 2; vol. 3A ch. 2)."""
from __future__ import annotations

import pytest

from jit.state import Call, Exit, Leave
from jit.x86.state import Cr0, Cr4, Efer, Flag, Gpr, Mode, Seg
from jit.x86.system_ops import SystemOp
from tests.jit.x86.system_machine import STACK0, STACK3, TR, TSS, Machine, pack

GP, UD, DB = 13, 6, 1
REFUSED = (GP, 0, 0)
RSP = Gpr.RSP


@pytest.fixture(params=["reference", "compiled"])
def backend(request):
    return request.param


@pytest.fixture
def real(backend):
    return Machine(backend)


@pytest.fixture
def kernel(backend):
    return Machine(backend).protected()


@pytest.fixture
def user(backend):
    return Machine(backend).protected(cpl=3)


@pytest.fixture
def long(backend):
    return Machine(backend).long()


def run(m, name, *args):
    m.call(name, *args)
    return m.fault()


# --- control registers
@pytest.mark.parametrize("value", [Cr0.PG, Cr0.NW | Cr0.PE, 1 << 32])
def test_cr0_combinations_that_are_refused(kernel, value):
    assert run(kernel, "write_cr", 0, value) == REFUSED


def test_paging_with_lme_activates_long_mode(kernel):
    kernel["efer"], kernel["cr4"] = int(Efer.LME), int(Cr4.PAE)
    assert run(kernel, "write_cr", 0, Cr0.PE | Cr0.PG) is None
    assert kernel["efer"] & Efer.LMA
    assert kernel["mode"] & Mode.SIZE == 1
    assert run(kernel, "write_cr", 4, 0) == REFUSED
    assert run(kernel, "write_cr", 0, Cr0.PE) is None
    assert not kernel["efer"] & Efer.LMA


def test_long_mode_needs_pae(kernel):
    kernel["efer"] = int(Efer.LME)
    assert run(kernel, "write_cr", 0, Cr0.PE | Cr0.PG) == REFUSED


def test_paging_cannot_be_left_from_64_bit_code(long):
    assert run(long, "write_cr", 0, Cr0.PE) == REFUSED


def test_writing_cr3_flushes_all_but_global_pages(long):
    long["cr4"] = long["cr4"] | Cr4.PGE
    long.store(0x12008, long.load(0x12008) | 1 << 8)
    for address in (0x1000, 0x20_1000):
        long.call("load_slow", address, 8)
    run(long, "write_cr", 3, long["cr3"])
    pages = {int(p) for p in long.cpu["tlb_info"]["page"]}
    assert 0x20_1000 in pages and 0x1000 not in pages
    run(long, "write_cr", 4, Cr4.PAE)
    assert {int(p) for p in long.cpu["tlb_info"]["page"]} == {(1 << 64) - 1}


@pytest.mark.parametrize("bit", [Cr4.PCIDE, Cr4.SMEP, Cr4.OSXSAVE, 1 << 13, 1 << 40])
def test_cr4_bits_without_their_feature_are_refused(kernel, bit):
    assert run(kernel, "write_cr", 4, bit) == REFUSED


def test_cr4_bits_with_their_feature(kernel):
    kernel["feature_7_ebx"], kernel["feature_1_ecx"] = 1 << 7 | 1 << 20 | 1, 1 << 26
    bits = Cr4.SMEP | Cr4.SMAP | Cr4.FSGSBASE | Cr4.OSXSAVE
    assert run(kernel, "write_cr", 4, bits) is None
    assert kernel.call("read_cr", 4) == bits


def test_control_registers_need_privilege_0(user):
    assert run(user, "read_cr", 0) == REFUSED
    assert run(user, "write_cr", 3, 0) == REFUSED
    assert run(user, "clts") == REFUSED
    assert run(user, "lmsw", 0) == REFUSED
    assert run(user, "invlpg", 0) == REFUSED
    assert run(user, "hlt") == REFUSED
    assert run(user, "write_dr", 0, 0) == REFUSED


def test_cr1_does_not_exist(kernel):
    assert run(kernel, "read_cr", 1) == (UD, None, 0)
    assert run(kernel, "write_cr", 5, 0) == (UD, None, 0)


def test_cr8_is_the_apics_task_priority(long):
    long.system[(SystemOp.READ_TPR, 0)] = 9
    long.system[(SystemOp.WRITE_TPR, 5)] = 0
    assert long.call("read_cr", 8) == 9
    assert run(long, "write_cr", 8, 5) is None
    assert run(long, "write_cr", 8, 16) == REFUSED


def test_lmsw_sets_pe_but_cannot_clear_it(real):
    run(real, "lmsw", 1)
    assert real["mode"] & Mode.PROTECTED
    run(real, "lmsw", 0xFFF8)
    assert real["cr0"] == Cr0.PE | Cr0.TS | Cr0.ET
    run(real, "clts")
    assert real.call("smsw") == Cr0.PE | Cr0.ET


# --- debug registers
def test_dr4_and_dr5_are_aliases_unless_de(kernel):
    run(kernel, "write_dr", 5, 0x401)
    assert kernel.call("read_dr", 7) == 0x401
    run(kernel, "write_dr", 6, 0)
    assert kernel.call("read_dr", 4) == 0xFFFF0FF0
    kernel["cr4"] = int(Cr4.DE)
    assert run(kernel, "read_dr", 4) == (UD, None, 0)


def test_general_detect_traps_accesses_to_debug_registers(kernel):
    kernel.cpu["dr"][7] = 1 << 13
    assert run(kernel, "read_dr", 0) == (DB, None, 0)
    assert kernel.cpu["dr"][6] & 1 << 13
    assert run(kernel, "read_dr", 0) is None


# --- descriptor tables
def test_lgdt_takes_24_bits_of_base_with_16_bit_operands(real):
    real.write(0x500, pack(0x1234, size=2) + pack(0xAB123456, size=4))
    run(real, "lgdt", 0x500, 16)
    assert (real["gdtr_limit"], real["gdtr_base"]) == (0x1234, 0x123456)
    run(real, "lidt", 0x500, 32)
    assert (real["idtr_limit"], real["idtr_base"]) == (0x1234, 0xAB123456)


def test_sgdt_writes_ten_bytes_in_64_bit_code(long):
    long["gdtr_base"] = 0xFFFF888000001000
    run(long, "sgdt", 0x600)
    assert long.load(0x600, 2) == 0xAF and long.load(0x602) == 0xFFFF888000001000
    long.write(0x600, pack(0xFFF, size=2) + pack(1 << 47, size=8))
    assert run(long, "lidt", 0x600, 64) == REFUSED


# --- flags
def test_cli_and_sti_at_privilege_0(kernel):
    run(kernel, "sti")
    assert kernel.flags() & Flag.IF and kernel["single"] == 1
    run(kernel, "cli")
    assert not kernel.flags() & Flag.IF


def test_enabling_interrupts_ends_the_slice_only_when_one_waits(kernel):
    run(kernel, "sti")
    assert kernel["left"] == 1000
    run(kernel, "cli")
    kernel["request"] = 1
    before = kernel["clock"] - kernel["left"]
    run(kernel, "sti")
    assert kernel["left"] >> 63
    assert (kernel["clock"] - kernel["left"] - before) % (1 << 64) == 0


def test_cli_at_privilege_3_needs_iopl_or_pvi(user):
    assert run(user, "cli") == REFUSED
    user["eflags"] = 3 << 12 | int(Flag.IF)
    assert run(user, "cli") is None
    assert not user.flags() & Flag.IF
    user["eflags"], user["cr4"] = int(Flag.IF), int(Cr4.PVI)
    assert run(user, "sti") is None
    assert user.flags() & (Flag.IF | Flag.VIF) == Flag.IF | Flag.VIF
    user["eflags"] = int(Flag.VIP)
    assert run(user, "sti") == REFUSED


def test_popf_writes_what_the_privilege_allows(kernel, user):
    everything = 0x3F7FD7
    kernel.write(STACK0, pack(everything, size=4))
    run(kernel, "popf", 32)
    assert kernel.flags() == Flag(0x247FD7)                         # not VM, RF, VIF, VIP
    assert kernel.reg(RSP) == STACK0 + 4
    user.write(STACK3, pack(everything, size=4))
    run(user, "popf", 32)
    assert user.flags() == Flag(0x244DD7)                           # nor IOPL, IF
    run(user, "popf", 16)
    assert user.flags() & Flag.ID


# --- waiting
def test_hlt_leaves_with_halted_set(kernel):
    run(kernel, "hlt")
    assert (kernel["halted"], kernel["leave"], kernel["exit_code"]) == (1, Leave.EXIT, Exit.HALT)


def test_pause_yields_only_when_another_vcpu_waits(kernel):
    run(kernel, "pause")
    assert kernel["leave"] == Leave.NEXT
    kernel["contended"] = 1
    run(kernel, "pause")
    assert (kernel["leave"], kernel["exit_code"]) == (Leave.EXIT, Exit.PAUSE)


# --- ports
def test_ports_reach_the_callback(kernel):
    kernel.port_value = 0x5A
    assert kernel.call("port_in", 0x60, 1) == 0x5A
    kernel.call("port_out", 0x80, 0x1234, 2)
    assert kernel.ports == [(Call.PORT_READ, 0x60, 1, 0), (Call.PORT_WRITE, 0x80, 2, 0x1234)]


@pytest.mark.parametrize("port, size, bitmap, allowed", [
    (0x60, 1, {}, True), (0x60, 1, {12: 0x01}, False), (0x61, 1, {12: 0x01}, True), (0x5F, 2, {12: 0x01}, False),
    (0x67, 2, {13: 0x01}, False), (0x67, 1, {13: 0x01}, True), (0x64, 4, {12: 0x80}, False),
])
def test_the_tss_bitmap_decides_at_privilege_3(user, port, size, bitmap, allowed):
    for index, bits in bitmap.items():
        user.store(TSS + 0x100 + index, bits, 1)
    user.call("port_in", port, size)
    assert user.fault() == (None if allowed else REFUSED)
    assert len(user.ports) == allowed


def test_ports_beyond_the_bitmap_are_refused(user):
    user.set_segment(Seg.TR, TR, TSS, 0x10C, 0x8B00)
    assert run(user, "check_port", 0x60, 1) == REFUSED
    user["eflags"] = 3 << 12
    assert run(user, "check_port", 0x60, 1) is None


# --- time
def test_tsc_counts_virtual_nanoseconds(kernel):
    kernel["clock"], kernel["left"], kernel["reserve"], kernel["tsc_offset"] = 0x5_0000_0000, 0x100, 0x10, 0x1000
    run(kernel, "rdtscp")
    assert (kernel.reg(Gpr.RDX), kernel.reg(Gpr.RAX)) == (5, 0xEF0)
    run(kernel, "write_msr", 0x10, 7)
    assert kernel.call("read_msr", 0x10) == 7


def test_tsd_forbids_rdtsc_to_programs(user):
    user["cr4"] = int(Cr4.TSD)
    assert run(user, "rdtsc") == REFUSED


# --- MSRs and CPUID
@pytest.mark.parametrize("number, field", [
    (0xC0000081, "star"), (0xC0000082, "lstar"), (0xC0000084, "fmask"), (0xC0000102, "kernel_gs_base"), (0x174, "sysenter_cs"),
    (0x176, "sysenter_eip"), (0x2FF, "mtrr_def_type"), (0x1A0, "misc_enable"), (0xC0000103, "tsc_aux"),
])
def test_msrs_that_are_words_of_the_record(long, number, field):
    long.set_reg(Gpr.RCX, 0xFFFFFFFF00000000 | number)
    long.set_reg(Gpr.RAX, 0x12345678)
    long.set_reg(Gpr.RDX, 0x9)
    assert run(long, "wrmsr") is None
    assert long[field] == 0x9_12345678
    long.set_reg(Gpr.RAX, 0)
    assert run(long, "rdmsr") is None
    assert (long.reg(Gpr.RAX), long.reg(Gpr.RDX)) == (0x12345678, 9)


def test_fs_and_gs_base_are_the_segments_bases(long):
    run(long, "write_msr", 0xC0000100, 0x1111)
    run(long, "write_msr", 0xC0000101, 0xFFFF888000000000)
    assert (long.base(Seg.FS), long.base(Seg.GS)) == (0x1111, 0xFFFF888000000000)
    assert run(long, "write_msr", 0xC0000100, 1 << 47) == REFUSED


def test_every_mtrr_has_a_word_of_its_own(long):
    numbers = [*range(0x200, 0x210), 0x250, 0x258, 0x259, *range(0x268, 0x270)]
    for value, number in enumerate(numbers):
        run(long, "write_msr", number, value)
    assert [long.call("read_msr", n) for n in numbers] == list(range(len(numbers)))


def test_pat_accepts_memory_types_only(long):
    assert run(long, "write_msr", 0x277, 0x0007040600070406) is None
    assert run(long, "write_msr", 0x277, 0x0007040600070402) == REFUSED
    assert run(long, "write_msr", 0x277, 8) == REFUSED


def test_efer_keeps_lma_and_refuses_unknown_bits(long):
    long["efer"] = int(Efer.LMA | Efer.LME)
    assert run(long, "write_msr", 0xC0000080, Efer.LME | Efer.NXE) is None
    assert long["efer"] == Efer.LMA | Efer.LME | Efer.NXE
    assert run(long, "write_msr", 0xC0000080, Efer.NXE) == REFUSED
    assert run(long, "write_msr", 0xC0000080, Efer.LME | 1 << 12) == REFUSED


def test_other_msrs_are_the_machines_business(long):
    long.system[(SystemOp.READ_MSR, 0x1B)] = 0xFEE00900
    assert long.call("read_msr", 0x1B) == 0xFEE00900
    assert run(long, "write_msr", 0x1B, 5) == REFUSED
    assert long.ports[-1] == (Call.SYSTEM, SystemOp.WRITE_MSR, 0x1B, 5)


def test_msrs_need_privilege_0(user):
    assert run(user, "rdmsr") == REFUSED
    assert run(user, "wrmsr") == REFUSED


def test_cpuid_takes_its_answer_from_scratch(user):
    user.set_reg(Gpr.RAX, 0xFFFFFFFF_00000001)
    user.set_reg(Gpr.RCX, 2)
    user.system[(SystemOp.CPUID, 1)] = 0
    user.cpu["scratch"][:4] = [1, 2, 3, 4]
    run(user, "cpuid")
    assert [user.reg(r) for r in (Gpr.RAX, Gpr.RBX, Gpr.RCX, Gpr.RDX)] == [1, 2, 3, 4]
    assert user.ports == [(Call.SYSTEM, SystemOp.CPUID, 1, 2)]


def test_extended_control_register(kernel):
    assert run(kernel, "xgetbv") == (UD, None, 0)
    kernel["cr4"], kernel["xcr0"] = int(Cr4.OSXSAVE), 1
    kernel.set_reg(Gpr.RAX, 3)
    assert run(kernel, "xsetbv") is None
    assert kernel["xcr0"] == 3
    kernel.set_reg(Gpr.RAX, 2)
    assert run(kernel, "xsetbv") == REFUSED
