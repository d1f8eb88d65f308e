"""Segment registers: descriptors, loads with their checks, limit checks (SDM vol. 3A ch. 3 and 5).

Entry points (b.call with faults=True; in every mode but 64-bit code):
    segment_check(cpu, segment, offset, size)           #GP(0)/#SS(0) unless a read of `size` bytes may happen there
    segment_check_write(cpu, segment, offset, size)     the same for a write
Entry points (b.system; a destination register is written after the call):
    mov_to_segment(cpu, seg, selector)                  MOV/POP/LDS.. to ES SS DS FS GS, all modes; updates the mode
                                                        (CS is #UD; the interrupt shadow of SS is the caller's: b.shadow)
    lldt(cpu, selector), ltr(cpu, selector)             with their CPL and mode checks
    sldt(cpu) -> selector, str_(cpu) -> selector        with the mode and UMIP checks
    lar(cpu, selector) -> rights | 1 << 32 or 0         sets ZF itself; bit 32 tells whether to write the destination
    lsl(cpu, selector) -> limit | 1 << 32 or 0          likewise
    verr(cpu, selector), verw(cpu, selector)            set ZF
    arpl(cpu, destination, source) -> new destination   sets ZF; #UD outside protected mode (in 64-bit code it is MOVSXD)
    read_base(cpu, seg) -> base                         RDFSBASE, RDGSBASE (seg = Seg.FS/GS), #UD unless CR4.FSGSBASE
    write_base(cpu, seg, base)                          WRFSBASE, WRGSBASE, #GP when not canonical
    swapgs(cpu)
"""
from __future__ import annotations
