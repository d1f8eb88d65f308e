"""Address translation: CR3 to physical page, for all paging modes (SDM vol. 3A ch. 4).

Entry points:
    x86_walk(cpu, address, access, mmu) -> 0, or 1 after set_fault(#PF)      the engine's page walk
    is_canonical(cpu, address) -> 1 or 0
    check_canonical(cpu, address) -> 0, or 1 after #GP(0)

Not here: 5-level paging, PCIDs, protection keys.  PDPTEs are read from memory on every walk.
"""
from __future__ import annotations

from enum import IntFlag

from jit.memory import PAGE_SHIFT_IN_FLAGS, flush_page, physical_load, physical_store, set_fault
from jit.state import PAGE_SIZE, TlbFlag
from jit.words import word_function
from jit.x86.breakpoints import LINEAR_32, watched_page
from jit.x86.mode import refuse
from jit.x86.state import MMU_KERNEL_SMAP, MMU_USER, X86, Cr0, Cr4, Efer, PageFault, Vector

READ, WRITE, EXECUTE = TlbFlag.READ, TlbFlag.WRITE, TlbFlag.EXECUTE
PAGE_1G_BIT = 1 << 26                   # CPUID 8000_0001h EDX
PAGE_MASK = ~(PAGE_SIZE - 1)
BITS_62_TO_52 = 0x7FF << 52             # ignored by 4-level paging, reserved in PAE paging


class Entry(IntFlag):
    """Bits of paging-structure entries."""

    P, W, U = 1, 2, 4
    A, D, PS, G = 1 << 5, 1 << 6, 1 << 7, 1 << 8
    NX = 1 << 63


RIGHTS = Entry.W | Entry.U              # all levels must grant these; any level's NX denies


@word_function
def is_canonical(cpu: X86, address):
    return sext(address, 48) == address


@word_function
def check_canonical(cpu: X86, address):
    return 0 if is_canonical(cpu, address) else refuse(cpu)


@word_function
def x86_walk(cpu: X86, address, access, mmu):
    """Translate for READ, WRITE or EXECUTE; results in cpu.walk_physical and cpu.walk_flags.  Returns 1 after a fault."""
    if cpu.efer & Efer.LMA:
        if is_canonical(cpu, address) == 0:
            return refuse(cpu)
        return walk_levels(cpu, address, access, mmu, cpu.cr3 & physical_mask(cpu), 4, RIGHTS)
    address &= LINEAR_32
    if cpu.cr0 & Cr0.PG == 0:
        cpu.walk_physical = address & PAGE_MASK & cpu.a20_mask
        cpu.walk_flags = READ | WRITE | EXECUTE | watched_page(cpu, address)
        return 0
    if cpu.cr4 & Cr4.PAE:
        return walk_pae(cpu, address, access, mmu)
    return walk_32_bit(cpu, address, access, mmu)


@word_function
def physical_mask(cpu: X86):
    """Page-address bits of 64-bit entries."""
    return ((1 << cpu.physical_bits) - 1) & PAGE_MASK


@word_function
def walk_pae(cpu: X86, address, access, mmu):
    slot = (cpu.cr3 & 0xFFFFFFE0) + (address >> 30) * 8
    entry = physical_load(cpu, slot & cpu.a20_mask, 8)
    if entry & Entry.P == 0:
        return page_fault(cpu, address, access, mmu, 0)
    return walk_levels(cpu, address, access, mmu, entry & physical_mask(cpu), 2, RIGHTS)


@word_function
def walk_levels(cpu: X86, address, access, mmu, table, level, rights):
    """64-bit entries from the table at `level` (4: PML4, 3: PDPT, 2: PD, 1: PT) down."""
    while True:
        shift = level * 9 + 3
        slot = (table + (address >> shift & 511) * 8) & cpu.a20_mask
        entry = physical_load(cpu, slot, 8)
        if entry & Entry.P == 0:
            return page_fault(cpu, address, access, mmu, 0)
        large = level > 1 and entry & Entry.PS
        if entry & reserved_bits(cpu, level, large):
            return page_fault(cpu, address, access, mmu, PageFault.P | PageFault.RSVD)
        rights = rights & entry & RIGHTS | (rights | entry) & Entry.NX
        if large or level == 1:
            return walk_leaf(cpu, address, access, mmu, slot, 8, entry, entry & physical_mask(cpu), shift, rights)
        if entry & Entry.A == 0:
            physical_store(cpu, slot, entry | Entry.A, 8)
        table = entry & physical_mask(cpu)
        level -= 1
    return 0


@word_function
def reserved_bits(cpu: X86, level, large):
    """Bits of a 64-bit entry that must be clear."""
    reserved = (1 << 52) - (1 << cpu.physical_bits)
    if cpu.efer & Efer.NXE == 0:
        reserved |= Entry.NX
    if cpu.efer & Efer.LMA == 0:
        reserved |= BITS_62_TO_52
    if large:
        if level == 4 or (level == 3 and cpu.feature_ext_edx & PAGE_1G_BIT == 0):
            return reserved | Entry.PS
        reserved |= (1 << (level * 9 + 3)) - (1 << 13)              # bit 12 is PAT
    return reserved


@word_function
def walk_32_bit(cpu: X86, address, access, mmu):
    slot = ((cpu.cr3 & 0xFFFFF000) + (address >> 22) * 4) & cpu.a20_mask
    entry = physical_load(cpu, slot, 4)
    if entry & Entry.P == 0:
        return page_fault(cpu, address, access, mmu, 0)
    if entry & Entry.PS and cpu.cr4 & Cr4.PSE:
        if entry & 1 << 21:
            return page_fault(cpu, address, access, mmu, PageFault.P | PageFault.RSVD)
        base = entry & 0xFFC00000 | (entry >> 13 & 0xFF) << 32      # PSE-36
        return walk_leaf(cpu, address, access, mmu, slot, 4, entry, base, 22, entry & RIGHTS)
    if entry & Entry.A == 0:
        physical_store(cpu, slot, entry | Entry.A, 4)
    rights = entry & RIGHTS
    slot = ((entry & 0xFFFFF000) + (address >> 12 & 1023) * 4) & cpu.a20_mask
    entry = physical_load(cpu, slot, 4)
    if entry & Entry.P == 0:
        return page_fault(cpu, address, access, mmu, 0)
    return walk_leaf(cpu, address, access, mmu, slot, 4, entry, entry & 0xFFFFF000, 12, entry & rights)


@word_function
def walk_leaf(cpu: X86, address, access, mmu, slot, size, entry, base, shift, rights):
    """The entry that maps the page: check rights, set A and D, report the translation."""
    flags = allowed_accesses(cpu, mmu, rights)
    if flags & access == 0:
        return page_fault(cpu, address, access, mmu, PageFault.P)
    used = entry | Entry.A | (Entry.D if access == WRITE else 0)
    if used != entry:
        physical_store(cpu, slot, used, size)
    if used & Entry.D == 0:
        flags &= ~WRITE                                             # the first write walks again and sets D
    if entry & Entry.G and cpu.cr4 & Cr4.PGE:
        flags |= TlbFlag.GLOBAL
    inside = (1 << shift) - 1
    cpu.walk_physical = (base & ~inside | address & inside) & PAGE_MASK & cpu.a20_mask
    cpu.walk_flags = flags | shift << PAGE_SHIFT_IN_FLAGS | watched_page(cpu, address)
    return 0


@word_function
def allowed_accesses(cpu: X86, mmu, rights):
    """TlbFlag READ, WRITE, EXECUTE that combined rights give to an MMU index (SDM vol. 3A ch. 4.6)."""
    user = rights & Entry.U
    flags = READ
    if rights & Entry.NX == 0:
        flags |= EXECUTE
    if mmu == MMU_USER:
        if user == 0:
            return 0
        return flags | WRITE if rights & Entry.W else flags
    if rights & Entry.W or cpu.cr0 & Cr0.WP == 0:
        flags |= WRITE
    if user and cpu.cr4 & Cr4.SMEP:
        flags &= ~EXECUTE
    if user and mmu == MMU_KERNEL_SMAP:
        flags &= EXECUTE
    return flags


@word_function
def page_fault(cpu: X86, address, access, mmu, code):
    if access == WRITE:
        code |= PageFault.W
    if mmu == MMU_USER:
        code |= PageFault.U
    if access == EXECUTE:
        if cpu.cr4 & Cr4.SMEP or (cpu.efer & Efer.NXE and cpu.cr4 & Cr4.PAE):
            code |= PageFault.I
    return set_fault(cpu, Vector.PF, code, address)


@word_function
def invalidate_page(cpu: X86, address):
    """Forget the translation of an address, with all pieces of a large page that the soft TLB holds."""
    return flush_page(cpu, address)
