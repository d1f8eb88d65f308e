"""The block mode word, and RFLAGS between their lazy and their architectural form (SDM vol. 1 ch. 3.4.3).

Entry points:
    update_mode(cpu)                    recompute cpu.mode and cpu.mmu; after any change of CR0, CR4, EFER, CPL, CS, SS, DS, ES,
                                        EFLAGS.VM/IOPL/AC/TF or MXCSR masks
    update_mxcsr(cpu)                   the same under another name, for LDMXCSR and FXRSTOR
    arithmetic_flags(cpu) -> word       CF PF AF ZF SF OF at their RFLAGS places
    flags_image(cpu) -> RFLAGS          bit 1 set, reserved bits clear
    set_flags(cpu, image, mask)         write the RFLAGS bits in `mask`; does not update the mode
    set_arithmetic(cpu, image)          only CF PF AF ZF SF OF
    set_zf(cpu, zf)                     only ZF
"""
from __future__ import annotations
