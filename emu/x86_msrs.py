"""Model-specific registers that say something about the machine but do nothing here: machine check, AMD system configuration.

Intel SDM vol. 4, AMD APM vol. 2 appendix A.  MSRs with effects are the engine's (jit/x86/msr.py) or the local APIC's.
"""

from __future__ import annotations

from emu.snapshot import Stateful

MCG_CAP, MCG_STATUS, MCG_CTL = 0x179, 0x17A, 0x17B
MC0_CTL, MC_BANKS, MC_REGISTERS = 0x400, 10, 4  # CTL, STATUS, ADDR, MISC of each bank
MCG_CTL_P, MCG_SER_P = 1 << 8, 1 << 24
PLATFORM_ID, FEATURE_CONTROL, BIOS_SIGN_ID, PERF_STATUS = 0x17, 0x3A, 0x8B, 0x198
FEATURE_CONTROL_LOCKED = 1
MICROCODE_REVISION = 0x0100_0000 << 32
PERF_STATUS_VALUE = 1000 | 4 << 40
SYSCFG, HWCR, TOP_MEM, TOP_MEM2, NB_CFG, VM_CR, OSVW_ID_LENGTH, OSVW_STATUS, DE_CFG = (
    0xC001_0010, 0xC001_0015, 0xC001_001A, 0xC001_001D, 0xC001_001F, 0xC001_0114, 0xC001_0140, 0xC001_0141, 0xC001_1029)
VM_CR_SVM_DISABLED = 1 << 4
DE_CFG_LFENCE_SERIALIZES = 1 << 1
ALL_ONES = (1 << 64) - 1

READ_ONLY = {
    MCG_CAP: MC_BANKS | MCG_CTL_P | MCG_SER_P,
    PLATFORM_ID: 0,
    PERF_STATUS: PERF_STATUS_VALUE,
    FEATURE_CONTROL: FEATURE_CONTROL_LOCKED,
}
WRITABLE = {
    MCG_STATUS: 0,
    MCG_CTL: ALL_ONES,
    BIOS_SIGN_ID: MICROCODE_REVISION,
    **{MC0_CTL + n: ALL_ONES if n % MC_REGISTERS == 0 else 0 for n in range(MC_BANKS * MC_REGISTERS)},
}
AMD_WRITABLE = dict.fromkeys((SYSCFG, HWCR, TOP_MEM, TOP_MEM2, NB_CFG, OSVW_ID_LENGTH, OSVW_STATUS), 0) | {
    VM_CR: VM_CR_SVM_DISABLED,
    DE_CFG: DE_CFG_LFENCE_SERIALIZES,
}


class StoredMsrs(Stateful):
    """One CPU's.  `amd`: the model's vendor has AMD's registers."""

    saved = ("values",)

    def __init__(self, amd: bool) -> None:
        self.initial = WRITABLE | (AMD_WRITABLE if amd else {})
        self.values = dict(self.initial)

    def reset(self) -> None:
        self.values = dict(self.initial)

    def read(self, number: int) -> int | None:
        """The value, None for an MSR that does not exist."""
        return self.values.get(number, READ_ONLY.get(number))

    def write(self, number: int, value: int) -> bool:
        """False when there is no such writable MSR."""
        if number not in self.values:
            return False
        if number != BIOS_SIGN_ID:  # writing it asks for the microcode revision, which CPUID then puts there
            self.values[number] = value
        return True
