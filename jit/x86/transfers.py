"""Far transfers: JMP, CALL and RET through descriptors and gates, SYSCALL, SYSENTER (SDM vol. 2; vol. 3A ch. 5.8).

Entry points (b.system; offsets are zero-extended to 64 bits):
    far_jump(cpu, selector, offset, operand_bits)
    far_call(cpu, selector, offset, operand_bits)
    far_return(cpu, operand_bits, release)              `release`: the immediate of RETF
    syscall(cpu), sysret(cpu, operand_bits)             SYSRETQ has operand_bits 64
    sysenter(cpu), sysexit(cpu, operand_bits)
"""
from __future__ import annotations
