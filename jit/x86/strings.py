"""String instructions with and without REP (SDM vol. 2 MOVS, CMPS, SCAS, LODS, STOS, INS, OUTS).

Entry points: name(cpu, size, address_bits, segment, repeat) -> 1 when done, 0 when the instruction must run again:
    r = b.call("movs", size, address_bits, segment, repeat, faults=True); b.resume(b.select(r.ne(0), b.next_pc(), b.this_pc()))
    movs, cmps, scas, lods, stos, ins, outs             segment: of the (E/R)SI operand, overrides included (unused by scas, stos, ins)
`size` is in bytes; `repeat` is Repeat: NONE, REP/REPE (F3), REPNE (F2; only CMPS and SCAS tell it from REP).
They change the general registers and the flags themselves.  A fault leaves the registers as the completed iterations made them.
"""
from __future__ import annotations
