"""Address translation: CR3 to physical page, for all paging modes (SDM vol. 3A ch. 4).

Entry points:
    x86_walk(cpu, address, access, mmu) -> 0, or 1 after set_fault(#PF)      the engine's page walk
    is_canonical(cpu, address) -> 1 or 0
    check_canonical(cpu, address) -> 0, or 1 after #GP(0)

Not here: 5-level paging, PCIDs, protection keys.  PDPTEs are read from memory on every walk.
"""
from __future__ import annotations
