"""Page walks: every paging mode, rights, accessed and dirty bits, error codes (SDM vol. 3A ch. 4)."""
from __future__ import annotations

import pytest

from jit.state import TlbFlag
from jit.x86.state import MMU_KERNEL, MMU_KERNEL_SMAP, MMU_USER, Cr0, Cr4, Efer
from tests.jit.x86.system_machine import PML4, Machine

READ, WRITE, EXECUTE = 1, 2, 4
P, W, U, A, D, PS, GLOBAL, NX = 1, 2, 4, 0x20, 0x40, 0x80, 0x100, 1 << 63
PDPT, PD, PT = PML4 + 0x1000, PML4 + 0x2000, PML4 + 0x3000
PF, GP = 14, 13


@pytest.fixture(params=["reference", "compiled"])
def backend(request):
    return request.param


@pytest.fixture
def long(backend):
    """4-level paging; virtual 0x7F_C0001000 region: PML4[0] PDPT[0] PD[0] PT[1] maps 0x1000 -> 0x5000."""
    m = Machine(backend).long()
    m.store(PD, PT | P | W | U)
    m.store(PT + 8, 0x5000 | P | W | U)
    return m


def walk(m, address, access=READ, mmu=MMU_KERNEL):
    """(physical page, TlbFlag) or the fault."""
    if m.call("x86_walk", address, access, mmu):
        return m.fault()
    return m["walk_physical"], TlbFlag(m["walk_flags"] & 0xFF)


def test_without_paging_addresses_are_physical_and_32_bits_wide(backend):
    m = Machine(backend).protected()
    assert walk(m, 0x1_0012_3456) == (0x12_3000, TlbFlag(7))


def test_a20_mask_clears_bit_20(backend):
    m = Machine(backend)
    m["a20_mask"] = ~(1 << 20) & (1 << 64) - 1
    assert walk(m, 0x10_0000)[0] == 0


def test_a_clean_page_gives_no_write_flag_until_the_first_write(long):
    assert walk(long, 0x1234) == (0x5000, TlbFlag(READ | EXECUTE))
    assert long.load(PT + 8) & (A | D) == A
    assert walk(long, 0x1234, WRITE) == (0x5000, TlbFlag(READ | WRITE | EXECUTE))
    assert long.load(PT + 8) & (A | D) == A | D
    assert walk(long, 0x1234) == (0x5000, TlbFlag(READ | WRITE | EXECUTE))


def test_every_level_gets_its_accessed_bit_and_only_the_leaf_a_dirty_bit(long):
    walk(long, 0x1000, WRITE)
    assert [long.load(at) & (A | D) for at in (PML4, PDPT, PD, PT + 8)] == [A, A, A, A | D]


def test_not_present_reports_access_and_privilege_but_not_p(long):
    assert walk(long, 0x2000) == (PF, 0, 0x2000)
    assert walk(long, 0x2008, WRITE) == (PF, W, 0x2008)
    assert walk(long, 0x2010, WRITE, MMU_USER) == (PF, W | U, 0x2010)
    assert walk(long, 0x2018, EXECUTE, MMU_USER) == (PF, U | 16, 0x2018)


def test_instruction_fetch_bit_needs_nx_or_smep(long):
    long["efer"] = int(Efer.LME | Efer.LMA)
    assert walk(long, 0x2000, EXECUTE) == (PF, 0, 0x2000)
    long["cr4"] = long["cr4"] | Cr4.SMEP
    assert walk(long, 0x2000, EXECUTE) == (PF, 16, 0x2000)


@pytest.mark.parametrize("level", [PML4, PDPT, PD, PT + 8])
def test_user_bit_must_be_set_at_every_level(long, level):
    long.store(level, long.load(level) & ~U)
    assert walk(long, 0x1000, READ, MMU_USER) == (PF, P | U, 0x1000)
    assert walk(long, 0x1000, READ)[0] == 0x5000


@pytest.mark.parametrize("level", [PML4, PDPT, PD, PT + 8])
def test_write_bit_must_be_set_at_every_level(long, level):
    long.store(level, long.load(level) & ~W)
    assert walk(long, 0x1000, WRITE, MMU_USER) == (PF, P | W | U, 0x1000)
    assert walk(long, 0x1000, WRITE) == (PF, P | W, 0x1000)
    long["cr0"] = long["cr0"] & ~Cr0.WP
    assert walk(long, 0x1000, WRITE)[0] == 0x5000
    assert walk(long, 0x1000, WRITE, MMU_USER) == (PF, P | W | U, 0x1000)


@pytest.mark.parametrize("level", [PML4, PDPT, PD, PT + 8])
def test_nx_at_any_level_denies_execution(long, level):
    long.store(level, long.load(level) | NX)
    assert walk(long, 0x1000) == (0x5000, TlbFlag(READ))
    assert walk(long, 0x1000, EXECUTE) == (PF, P | 16, 0x1000)
    long["efer"] = int(Efer.LME | Efer.LMA)
    assert walk(long, 0x1000) == (PF, P | 8, 0x1000)


def test_smep_denies_the_kernel_execution_of_user_pages(long):
    long["cr4"] = long["cr4"] | Cr4.SMEP
    assert walk(long, 0x1000) == (0x5000, TlbFlag(READ))
    assert walk(long, 0x1000, EXECUTE) == (PF, P | 16, 0x1000)
    assert walk(long, 0x1000, EXECUTE, MMU_USER)[0] == 0x5000


def test_smap_index_denies_user_data_and_allows_kernel_data(long):
    assert walk(long, 0x1000, READ, MMU_KERNEL_SMAP) == (PF, P, 0x1000)
    assert walk(long, 0x1000, EXECUTE, MMU_KERNEL_SMAP) == (0x5000, TlbFlag(EXECUTE))
    long.store(PT + 8, 0x5000 | P | W)
    assert walk(long, 0x1000, WRITE, MMU_KERNEL_SMAP)[0] == 0x5000


def test_reserved_bits_fault(long):
    long.store(PT + 8, 0x5000 | P | W | 1 << 45)
    assert walk(long, 0x1000) == (PF, P | 8, 0x1000)
    long.store(PT + 8, 0x5000 | P | W | 1 << 55)
    assert walk(long, 0x1000)[0] == 0x5000
    long.store(PML4, long.load(PML4) | PS)
    assert walk(long, 0x1000) == (PF, P | 8, 0x1000)


def test_large_pages_are_translated_in_4_kib_pieces(long):
    long.store(PD + 8, 0x40_0000 | P | W | U | PS)
    assert walk(long, 0x2A_BCDE)[0] == 0x4A_B000
    assert long["walk_flags"] >> 8 == 21
    long.store(PDPT + 8, 0x4000_0000 | P | PS)
    assert walk(long, 0x4765_4321)[0] == 0x4765_4000
    long.store(PD + 8, 0x40_2000 | P | PS)
    assert walk(long, 0x20_0000) == (PF, P | 8, 0x20_0000)


def test_gigabyte_pages_need_the_feature(long):
    long.store(PDPT + 8, 0x4000_0000 | P | PS)
    long["feature_ext_edx"] = long["feature_ext_edx"] & ~(1 << 26)
    assert walk(long, 0x4000_0000) == (PF, P | 8, 0x4000_0000)


def test_global_pages_need_pge(long):
    long.store(PT + 8, 0x5000 | P | GLOBAL)
    assert not walk(long, 0x1000)[1] & TlbFlag.GLOBAL
    long["cr4"] = long["cr4"] | Cr4.PGE
    assert walk(long, 0x1000)[1] & TlbFlag.GLOBAL


def test_non_canonical_addresses_are_general_protection(long):
    assert walk(long, 0x8000_0000_0000) == (GP, 0, 0)


def test_32_bit_paging_with_small_and_large_pages(backend):
    m = Machine(backend).protected()
    m["cr0"], m["cr3"], m["cr4"] = m["cr0"] | Cr0.PG, PML4, int(Cr4.PSE)
    m.store(PML4 + 4, PDPT | P | W | U, 4)
    m.store(PDPT + 12, 0x7000 | P | W, 4)
    m.store(PML4 + 8, 0x40_0000 | P | W | PS, 4)
    assert walk(m, 0x40_3123, WRITE)[0] == 0x7000
    assert m.load(PDPT + 12, 4) & (A | D) == A | D
    assert walk(m, 0x40_3123, READ, MMU_USER) == (PF, P | U, 0x40_3123)
    assert walk(m, 0x81_2345)[0] == 0x41_2000
    assert walk(m, 0xC0_0000) == (PF, 0, 0xC0_0000)
    m.store(PML4 + 8, 0x40_0000 | 1 << 13 | P | PS, 4)
    assert walk(m, 0x80_0000)[0] == 0x1_0040_0000
    m.store(PML4 + 8, 0x40_0000 | 1 << 21 | P | PS, 4)
    assert walk(m, 0x80_0000) == (PF, P | 8, 0x80_0000)


def test_pae_paging_reads_four_directory_pointers(backend):
    m = Machine(backend).protected()
    m["cr0"], m["cr3"], m["cr4"] = m["cr0"] | Cr0.PG, PML4 + 0x20, int(Cr4.PAE)
    m["efer"] = int(Efer.NXE)
    m.store(PML4 + 0x38, PD | P)
    m.store(PD, 0x20_0000 | P | PS | NX | U)
    assert walk(m, 0xC012_3456) == (0x32_3000, TlbFlag(READ))
    assert walk(m, 0xC000_0000, EXECUTE, MMU_USER) == (PF, P | U | 16, 0xC000_0000)
    assert walk(m, 0x4000_0000) == (PF, 0, 0x4000_0000)


def test_invlpg_forgets_all_pieces_of_a_large_page(long):
    long.store(PD + 8, 0x40_0000 | P | W | PS)
    for address in (0x20_0000, 0x21_0000, 0x1000):
        long.call("load_slow", address, 4)
    long.call("invalidate_page", 0x3F_F000)
    pages = {int(p) for p in long.cpu["tlb_info"]["page"]}
    assert 0x1000 in pages
    assert not pages & {0x20_0000, 0x21_0000}
