"""String instructions: all forms against a model of one iteration, bulk paths, restarts after faults (SDM vol. 2)."""
from __future__ import annotations

import itertools

import pytest

from jit.state import Call
from jit.x86.state import Cr0, Flag, Gpr, Seg
from jit.x86.strings import LIMIT, Repeat
from tests.jit.x86.system_machine import PML4, Machine

SOURCE, TARGET = 0x20_0000, 0x30_0000
DATA = 0x10_0000                        # page tables and descriptors are below
PF, GP = 14, 13
COUNTS = (0, 1, 2, 5, 700)


@pytest.fixture(params=["reference", "compiled"])
def backend(request):
    return request.param


@pytest.fixture
def long(backend):
    m = Machine(backend).long()
    m.write(SOURCE - 0x2000, bytes((i * 7 + i // 256) & 0xFF for i in range(0x4000)))
    m.write(TARGET - 0x2000, bytes(0x4000))
    m.set_reg(Gpr.RSI, SOURCE)
    m.set_reg(Gpr.RDI, TARGET)
    return m


def run(m, name, size=1, address_bits=64, segment=Seg.DS, repeat=Repeat.NONE):
    """Run until done or faulted; returns the fault."""
    for _ in range(100):
        done = m.call(name, size, address_bits, segment, repeat)
        if m["fault"] or done:
            return m.fault()
    raise AssertionError("a string instruction does not end")


def copied(m, source, target, size, count, step):
    """What `count` iterations of MOVS leave in data memory, one element at a time."""
    ram = bytearray(m.ram.tobytes())
    for i in range(count):
        at, to = source + i * step, target + i * step
        ram[to:to + size] = ram[at:at + size]
    return bytes(ram[DATA:])


@pytest.mark.parametrize("size, down, count", list(itertools.product((1, 2, 4, 8), (False, True), COUNTS)))
def test_rep_movs(long, size, down, count):
    long["eflags"] = int(Flag.DF) if down else 0
    long.set_reg(Gpr.RCX, count)
    step = -size if down else size
    expected = copied(long, SOURCE, TARGET, size, count, step)
    assert run(long, "movs", size, repeat=Repeat.REP) is None
    assert long.ram[DATA:].tobytes() == expected
    assert (long.reg(Gpr.RSI), long.reg(Gpr.RDI), long.reg(Gpr.RCX)) == (SOURCE + count * step, TARGET + count * step, 0)


@pytest.mark.parametrize("distance, size", list(itertools.product((1, 2, 3, 8, 40, -1, -8), (1, 4))))
def test_overlapping_moves_repeat_their_pattern(long, distance, size):
    long.set_reg(Gpr.RDI, SOURCE + distance)
    long.set_reg(Gpr.RCX, 300)
    expected = copied(long, SOURCE, SOURCE + distance, size, 300, size)
    run(long, "movs", size, repeat=Repeat.REP)
    assert long.ram[DATA:].tobytes() == expected


@pytest.mark.parametrize("size, down, value", list(itertools.product((1, 2, 4, 8), (False, True), (0, 0x1122334455667788, 0x7777))))
def test_rep_stos(long, size, down, value):
    long["eflags"] = int(Flag.DF) if down else 0
    long.set_reg(Gpr.RCX, 600)
    long.set_reg(Gpr.RAX, value)
    low = TARGET - 599 * size if down else TARGET
    assert run(long, "stos", size, repeat=Repeat.REP) is None
    element = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
    assert long.ram[low:low + 600 * size].tobytes() == element * 600
    assert not long.ram[low - 8:low].any() and not long.ram[low + 600 * size:low + 600 * size + 8].any()


def test_one_call_is_bounded_and_continues(long):
    long.set_reg(Gpr.RCX, LIMIT + 10)
    assert long.call("stos", 1, 64, Seg.DS, Repeat.REP) == 0
    assert long.reg(Gpr.RCX) == 10
    assert long.call("stos", 1, 64, Seg.DS, Repeat.REP) == 1
    assert long.reg(Gpr.RDI) == TARGET + LIMIT + 10


def test_a_fault_leaves_the_completed_iterations(long):
    long.store(PML4 + 0x2000 + 8, 0)                            # 0x20_0000 to 0x3F_FFFF is absent
    long.set_reg(Gpr.RSI, 0x1000)
    long.set_reg(Gpr.RDI, 0x20_0000 - 24)
    long.set_reg(Gpr.RCX, 10)
    assert run(long, "movs", 8, repeat=Repeat.REP) == (PF, 2, 0x20_0000)
    assert (long.reg(Gpr.RSI), long.reg(Gpr.RDI), long.reg(Gpr.RCX)) == (0x1018, 0x20_0000, 7)


def test_an_element_across_a_page_boundary(long):
    long.set_reg(Gpr.RSI, SOURCE + 0xFFD)
    long.set_reg(Gpr.RCX, 3)
    expected = copied(long, SOURCE + 0xFFD, TARGET, 4, 3, 4)
    run(long, "movs", 4, repeat=Repeat.REP)
    assert long.ram[DATA:].tobytes() == expected


def test_32_bit_addresses_wrap_and_zero_extend(long):
    long.set_reg(Gpr.RSI, 0xFFFFFFFF_00001000)
    long.set_reg(Gpr.RDI, 0xFFFFFFFF_00002000)
    long.set_reg(Gpr.RCX, 0xFFFFFFFF_00000002)
    assert run(long, "movs", 8, 32, repeat=Repeat.REP) is None
    assert (long.reg(Gpr.RSI), long.reg(Gpr.RDI), long.reg(Gpr.RCX)) == (0x1010, 0x2010, 0)


def test_16_bit_registers_wrap_inside_their_low_word(backend):
    m = Machine(backend)
    m.set_reg(Gpr.RDI, 0xABCD_FFFE)
    m.set_reg(Gpr.RCX, 0x1234_0003)
    m.set_reg(Gpr.RAX, 0x5566)
    m.set_segment(Seg.ES, 0x2000, 0x20000, 0xFFFF, 0x9300)
    assert run(m, "stos", 2, 16, repeat=Repeat.REP) is None
    assert (m.reg(Gpr.RDI), m.reg(Gpr.RCX)) == (0xABCD_0004, 0x1234_0000)
    assert m.load(0x2FFFE, 2) == m.load(0x20000, 2) == m.load(0x20002, 2) == 0x5566


def test_segment_overrides_and_limits(backend):
    m = Machine(backend).protected()
    m.set_segment(Seg.FS, 0x10, 0x5000, 0xF, 0x9300)
    m.store(0x5000, 0x1122334455667788)
    m.set_reg(Gpr.RSI, 0)
    m.set_reg(Gpr.RDI, 0x6000)
    m.set_reg(Gpr.RCX, 5)
    assert run(m, "movs", 4, 32, Seg.FS, Repeat.REP) == (GP, 0, 0)
    assert (m.reg(Gpr.RCX), m.load(0x6000)) == (1, 0x1122334455667788)


def test_fs_base_counts_in_64_bit_code_and_other_bases_do_not(long):
    long.cpu["seg"][Seg.FS]["base"] = 0x100
    long.cpu["seg"][Seg.DS]["base"] = 0x100
    for segment, source in ((Seg.FS, SOURCE + 0x100), (Seg.DS, SOURCE)):
        long.set_reg(Gpr.RSI, SOURCE)
        run(long, "lods", 8, segment=segment)
        assert long.reg(Gpr.RAX) == long.load(source)


@pytest.mark.parametrize("size, kept", [(1, 0xFFFFFFFF_FFFFFF00), (2, 0xFFFFFFFF_FFFF0000), (4, 0), (8, 0)])
def test_lods_merges_small_elements(long, size, kept):
    long.set_reg(Gpr.RAX, (1 << 64) - 1)
    run(long, "lods", size)
    assert long.reg(Gpr.RAX) == kept | long.load(SOURCE, size)
    assert long.reg(Gpr.RSI) == SOURCE + size


@pytest.mark.parametrize("repeat, text, needle, at", [
    (Repeat.REPNE, b"abcdef", b"d", 4), (Repeat.REP, b"aaab", b"a", 4), (Repeat.REPNE, b"abc", b"z", 3),
    (Repeat.NONE, b"abc", b"a", 1),
])
def test_scas_stops_where_the_comparison_says(long, repeat, text, needle, at):
    long.write(TARGET, text)
    long.set_reg(Gpr.RAX, 0xFF00 | needle[0])
    long.set_reg(Gpr.RCX, len(text))
    run(long, "scas", 1, repeat=repeat)
    assert long.reg(Gpr.RDI) == TARGET + at
    assert bool(long.flags() & Flag.ZF) == (text[at - 1:at] == needle)
    assert long.reg(Gpr.RCX) == len(text) - (at if repeat else 0)


def test_zero_count_changes_nothing_not_even_flags(long):
    before = long.flags()
    for name in ("movs", "cmps", "scas", "stos", "lods", "ins", "outs"):
        assert run(long, name, 4, repeat=Repeat.REP) is None
    assert long.flags() == before
    assert (long.reg(Gpr.RSI), long.reg(Gpr.RDI)) == (SOURCE, TARGET)


@pytest.mark.parametrize("x, y", [(0, 0), (1, 2), (0x80, 1), (0x7F, 0xFF), (0xFF, 0x7F), (0x10, 1), (0, 0x80)])
def test_cmps_flags_are_those_of_a_subtraction(long, x, y):
    long.store(SOURCE, x, 1)
    long.store(TARGET, y, 1)
    run(long, "cmps", 1)
    r = x - y & 0xFF
    expected = Flag.ONE
    expected |= Flag.CF if x < y else 0
    expected |= Flag.ZF if r == 0 else 0
    expected |= Flag.SF if r & 0x80 else 0
    expected |= Flag.OF if (x ^ y) & (x ^ r) & 0x80 else 0
    expected |= Flag.AF if (x & 15) < (y & 15) else 0
    expected |= Flag.PF if r.bit_count() % 2 == 0 else 0
    assert long.flags() == expected


def test_repe_cmps_finds_the_first_difference(long):
    data = long.ram[SOURCE:SOURCE + 64].tobytes()
    long.write(TARGET, data)
    long.store(TARGET + 40, 0, 1)
    long.set_reg(Gpr.RCX, 64)
    run(long, "cmps", 1, repeat=Repeat.REP)
    assert (long.reg(Gpr.RSI), long.reg(Gpr.RCX)) == (SOURCE + 41, 23)


def test_rep_ins_and_outs_use_the_port_in_dx(long):
    long.port_value = 0xBEEF
    long.set_reg(Gpr.RDX, 0xFFFF_01F0)
    long.set_reg(Gpr.RCX, 3)
    run(long, "ins", 2, repeat=Repeat.REP)
    assert long.ram[TARGET:TARGET + 8].tobytes() == b"\xEF\xBE" * 3 + b"\0\0"
    long.set_reg(Gpr.RCX, 2)
    run(long, "outs", 2, repeat=Repeat.REP)
    assert long.ports[3:] == [(Call.PORT_WRITE, 0x1F0, 2, long.load(SOURCE + i, 2)) for i in (0, 2)]


def test_ins_does_not_read_the_port_when_the_page_is_read_only(long):
    long.store(PML4 + 0x2000 + 8, 0x20_0085)
    long["cr0"] = long["cr0"] | Cr0.WP
    assert run(long, "ins", 1) == (PF, 3, TARGET)
    assert long.ports == []


def test_string_ports_are_checked_against_the_io_map(backend):
    m = Machine(backend).protected(cpl=3)
    m.store(0x4100, 1, 1)
    assert run(m, "outs", 1, 32) == (GP, 0, 0)


def test_a_stop_request_is_seen_between_iterations(long):
    long["left"] = (1 << 64) - 5
    long.set_reg(Gpr.RCX, 4000)
    assert long.call("stos", 8, 64, Seg.DS, Repeat.REP) == 0
    assert 0 < long.reg(Gpr.RCX) < 4000
