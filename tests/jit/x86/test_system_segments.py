"""Segment loads, descriptor queries and limit checks with their exact error codes (SDM vol. 3A ch. 3, 5)."""
from __future__ import annotations

import pytest

from jit.x86.state import Cr0, Cr4, Flag, Gpr, Mode, Seg
from tests.jit.x86.system_machine import (
    ABSENT,
    CODE0,
    CODE3,
    CONFORMING,
    DATA0,
    DATA3,
    GDT,
    LDT,
    LDTR,
    READ_ONLY,
    TASK_GATE,
    TR,
    TR2,
    G,
    Machine,
    descriptor,
)

GP, UD, NP, SS, TS = 13, 6, 11, 12, 10
FOUND = 1 << 32


@pytest.fixture(params=["reference", "compiled"])
def backend(request):
    return request.param


@pytest.fixture
def kernel(backend):
    return Machine(backend).protected()


@pytest.fixture
def user(backend):
    return Machine(backend).protected(cpl=3)


def load(m, seg, selector):
    m.call("mov_to_segment", seg, selector)
    return m.fault()


def test_real_mode_load_shifts_the_selector_and_keeps_the_limit(backend):
    m = Machine(backend)
    m.set_segment(Seg.DS, 0, 0, 0xFFFFFFFF, 0x9300)
    assert load(m, Seg.DS, 0xF123) is None
    assert (m.selector(Seg.DS), m.base(Seg.DS)) == (0xF123, 0xF1230)
    assert m.cpu["seg"][Seg.DS]["limit"] == 0xFFFFFFFF


def test_protected_load_takes_base_limit_and_rights_and_sets_accessed(kernel):
    kernel.store(GDT + DATA0, descriptor(0x12345678, 0x9ABCD, 0x92, G))
    assert load(kernel, Seg.ES, DATA0) is None
    row = kernel.cpu["seg"][Seg.ES]
    assert (row["base"], row["limit"], row["attributes"]) == (0x12345678, 0x9ABCDFFF, 0x809300)
    assert kernel.load(GDT + DATA0 + 5, 1) == 0x93


def test_local_descriptors_come_from_the_ldt(kernel):
    kernel.call("lldt", LDTR)
    assert kernel.base(Seg.LDTR) == LDT
    assert load(kernel, Seg.FS, 0x0C) is None
    assert kernel.base(Seg.FS) == 0x30000
    kernel.call("lldt", 0)
    assert load(kernel, Seg.FS, 0x0C) == (GP, 0x0C, 0)


@pytest.mark.parametrize("seg, selector, fault", [
    (Seg.DS, ABSENT, (NP, ABSENT, 0)),
    (Seg.SS, ABSENT, (SS, ABSENT, 0)),
    (Seg.DS, 0xFFF0, (GP, 0xFFF0, 0)),
    (Seg.DS, TR, (GP, TR, 0)),
    (Seg.SS, 0, (GP, 0, 0)),
    (Seg.SS, DATA3, (GP, DATA3, 0)),
    (Seg.SS, DATA0 | 3, (GP, DATA0, 0)),
    (Seg.SS, READ_ONLY, (GP, READ_ONLY, 0)),
    (Seg.SS, CODE0, (GP, CODE0, 0)),
    (Seg.DS, DATA0 | 3, (GP, DATA0, 0)),
    (Seg.CS, CODE0, (UD, None, 0)),
])
def test_bad_loads_at_privilege_0(kernel, seg, selector, fault):
    before = kernel.cpu["seg"].copy()
    assert load(kernel, seg, selector) == fault
    assert (kernel.cpu["seg"] == before).all()


@pytest.mark.parametrize("seg, selector", [(Seg.DS, CODE0), (Seg.DS, READ_ONLY), (Seg.GS, DATA3 | 3), (Seg.SS, DATA0)])
def test_good_loads_at_privilege_0(kernel, seg, selector):
    assert load(kernel, seg, selector) is None
    assert kernel.selector(seg) == selector


@pytest.mark.parametrize("selector, fault", [(DATA0, (GP, DATA0, 0)), (CONFORMING | 3, None), (CODE3 | 3, None), (DATA3, None)])
def test_privilege_of_data_loads_at_privilege_3(user, selector, fault):
    assert load(user, Seg.DS, selector) == fault


def test_null_selector_makes_data_segments_unusable(kernel):
    assert load(kernel, Seg.DS, 3) is None
    assert kernel.unusable(Seg.DS)
    assert not kernel["mode"] & Mode.FLAT
    kernel.call("segment_check", Seg.DS, 0, 1)
    assert kernel.fault() == (GP, 0, 0)


def test_null_ss_is_allowed_in_64_bit_kernels_only(backend):
    m = Machine(backend).long()
    assert load(m, Seg.SS, 0) is None
    m = Machine(backend).long(cpl=3)
    assert load(m, Seg.SS, 3) == (GP, 0, 0)


@pytest.mark.parametrize("base, limit, access, flags, offset, size, good", [
    (0, 0xFFF, 0x93, 0, 0xFFF, 1, True),
    (0, 0xFFF, 0x93, 0, 0xFFF, 2, False),
    (0, 0xFFF, 0x93, 0, 0xFFC, 4, True),
    (0, 0xFFF, 0x93, 0, 0xFFFFFFFF, 4, False),
    (0, 0xFFF, 0x97, 0, 0xFFF, 1, False),           # expand-down, 16-bit
    (0, 0xFFF, 0x97, 0, 0x1000, 1, True),
    (0, 0xFFF, 0x97, 0, 0xFFFF, 1, True),
    (0, 0xFFF, 0x97, 0, 0xFFFF, 2, False),
    (0, 0xFFF, 0x97, 4, 0xFFFF, 2, True),           # expand-down, 32-bit
    (0, 0xFFF, 0x99, 4, 0, 1, False),               # execute-only code
    (0, 0xFFF, 0x9B, 4, 0, 1, True),
])
def test_limits_of_reads(kernel, base, limit, access, flags, offset, size, good):
    kernel.call("set_segment", Seg.FS, 0x10, descriptor(base, limit, access, flags))
    kernel.call("segment_check", Seg.FS, offset, size)
    assert kernel.fault() == (None if good else (GP, 0, 0))


def test_writes_need_writable_data(kernel):
    for access, good in ((0x93, True), (0x91, False), (0x9B, False)):
        kernel.call("set_segment", Seg.SS, 0x10, descriptor(0, 0xFFF, access, 0))
        kernel.call("segment_check_write", Seg.SS, 0, 1)
        assert kernel.fault() == (None if good else (SS, 0, 0))


def test_ltr_marks_the_tss_busy_and_refuses_a_busy_one(kernel):
    kernel.call("ltr", TR)
    assert kernel.fault() is None
    assert kernel.load(GDT + TR + 5, 1) == 0x8B
    kernel.call("ltr", TR)
    assert kernel.fault() == (GP, TR, 0)


def test_long_mode_ltr_takes_a_64_bit_base(backend):
    m = Machine(backend).long()
    m.store(GDT + TR + 8, 0xFFFF8000)
    m.call("ltr", TR)
    assert m.fault() is None
    assert m.base(Seg.TR) >> 32 == 0xFFFF8000
    m.store(GDT + LDTR + 8, 0x1000)
    m.call("lldt", LDTR)
    assert m.fault() is None
    assert m.base(Seg.LDTR) == 0x1000_0000_3000
    m.store(GDT + LDTR + 8, 0x12340000)
    m.call("lldt", LDTR)
    assert m.fault() == (GP, LDTR, 0)


@pytest.mark.parametrize("name, selector, fault", [
    ("ltr", 0, (GP, 0, 0)), ("ltr", DATA0, (GP, DATA0, 0)), ("ltr", TR | 4, (GP, TR | 4, 0)),
    ("lldt", TR, (GP, TR, 0)), ("lldt", LDTR, None),
])
def test_system_segment_loads(kernel, name, selector, fault):
    kernel.call(name, selector)
    assert kernel.fault() == fault


def test_system_segment_loads_need_privilege_0_and_protected_mode(backend, user):
    user.call("lldt", LDTR)
    assert user.fault() == (GP, 0, 0)
    real = Machine(backend)
    real.call("ltr", TR)
    assert real.fault() == (UD, None, 0)


@pytest.mark.parametrize("selector, rights", [
    (DATA3, 0xCFF300 & 0xF0FF00), (CONFORMING, 0xC09F00), (CODE3, 0xC0FB00), (TASK_GATE, 0xE500), (0, None), (DATA0, None),
    (TR, None), (0xFFF8, None),
])
def test_lar_at_privilege_3(user, selector, rights):
    found = user.call("lar", selector)
    assert found == (0 if rights is None else rights | FOUND)
    assert bool(user.flags() & Flag.ZF) == (rights is not None)


def test_lsl_gives_limits_of_sized_descriptors_only(kernel):
    assert kernel.call("lsl", DATA0) == 0xFFFFFFFF | FOUND
    assert kernel.call("lsl", TR2) == 0x67 | FOUND
    assert kernel.call("lsl", TASK_GATE) == 0


def test_verr_and_verw_ask_whether_code_and_data_may_be_touched(user):
    def verified(name, selector):
        user.call(name, selector)
        return bool(user.flags() & Flag.ZF)

    assert [verified("verr", s) for s in (DATA3, CODE3, DATA0, TR, 0)] == [True, True, False, False, False]
    assert [verified("verw", s) for s in (DATA3, CODE3, DATA0, TR, 0)] == [True, False, False, False, False]


def test_arpl_raises_the_requested_privilege(kernel):
    assert kernel.call("arpl", 0x10, 0x0B) == 0x13
    assert kernel.flags() & Flag.ZF
    assert kernel.call("arpl", 0x13, 0x08) == 0x13
    assert not kernel.flags() & Flag.ZF


def test_swapgs_and_fsgsbase(backend):
    m = Machine(backend).long()
    m["kernel_gs_base"] = 0xFFFF888000000000
    m.call("swapgs")
    assert (m.base(Seg.GS), m["kernel_gs_base"]) == (0xFFFF888000000000, 0)
    m.call("write_base", Seg.FS, 0x1000)
    assert m.fault() == (UD, None, 0)
    m["cr4"] = m["cr4"] | Cr4.FSGSBASE
    m.call("write_base", Seg.FS, 0x1000)
    assert m.call("read_base", Seg.FS) == 0x1000
    m.call("write_base", Seg.FS, 1 << 47)
    assert m.fault() == (GP, 0, 0)


def test_mode_word_follows_segments_privilege_and_units(backend):
    assert Machine(backend)["mode"] & (Mode.SIZE | Mode.FLAT | Mode.PROTECTED | Mode.STACK32) == 0
    kernel = Machine(backend).protected()
    assert kernel["mode"] == 1 | Mode.FLAT | Mode.PROTECTED | Mode.STACK32 | Mode.FPU
    kernel.call("set_segment", Seg.CS, 8, descriptor(0x20000, 0xFFFF, 0x9B, 0))
    kernel["cr0"] = kernel["cr0"] | Cr0.TS
    kernel.call("update_mode")
    assert kernel["mode"] == Mode.PROTECTED | Mode.STACK32 | 0x20000 << 16
    long = Machine(backend).long(cpl=3)
    assert long["mode"] == 2 | Mode.FLAT | Mode.PROTECTED | Mode.CPL3 | Mode.FPU | 1 << 4
    long["eflags"] = long["eflags"] | Flag.TF
    long.call("update_mode")
    assert long["mode"] & Mode.SINGLE


def test_mmu_index_follows_smap_and_ac(backend):
    m = Machine(backend).long()
    m["feature_7_ebx"], m["cr4"] = 1 << 20, m["cr4"] | Cr4.SMAP
    m.call("clac")
    assert m["mmu"] == 2
    m.call("stac")
    assert m["mmu"] == 0


@pytest.mark.parametrize("image", [0, 0x8D5, 0x801, 0x41, 0x44, 0x80, 0xD5, 0x10, 0x854])
def test_flags_survive_a_round_trip_through_their_lazy_form(backend, image):
    m = Machine(backend)
    m.call("set_flags", image, 0xFFFF)
    assert m.call("flags_image") == image | 2


def test_stack_pointer_register_is_not_touched_by_loads(kernel):
    before = kernel.reg(Gpr.RSP)
    load(kernel, Seg.SS, DATA0)
    assert kernel.reg(Gpr.RSP) == before
