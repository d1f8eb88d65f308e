"""Host bridges that shadow ROM: PAM registers for the area from 768 KiB to 1 MiB, and the SMRAM control register.

82441FX data sheet (290549), 3.2 "PCI configuration space"; the 82Q35's are the same at other offsets.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

from emu.devices.pci import PciFunction

PAM_COUNT = 7
PAM_READ, PAM_WRITE = 0x1, 0x2
PAM_ATTRIBUTES = 0x33  # two segments of a register, two bits each
SMRAM_OPEN, SMRAM_CLOSED, SMRAM_LOCK, SMRAM_ENABLE = 0x40, 0x20, 0x10, 0x08
SMRAM_BASE_SEGMENT = 0x02  # A0000h, the only choice


def _segments() -> list[tuple[int, int, int, int]]:
    """Number of the register, shift, base and size of each segment; the low half of PAM0 is reserved."""
    segments = [(0, 4, 0xF0000, 0x10000)]
    for n in range(12):
        segments.append((1 + n // 2, 4 * (n % 2), 0xC0000 + 0x4000 * n, 0x4000))
    return segments


PAM_SEGMENTS = _segments()


class MemoryController(Protocol):
    """What the machine's memory map does on the bridge's behalf."""

    def set_pam(self, base: int, size: int, read_ram: bool, write_ram: bool) -> None:
        """Whether reads and writes of the segment reach RAM; otherwise they go to the ROM or PCI behind it."""

    def set_smram(self, enabled: bool, open_: bool, closed: bool) -> None:
        """Whether there is SMRAM at A0000h, whether all code sees it, and whether SMM's data accesses miss it."""


class ShadowingHost(PciFunction):
    """`pam0` and `smram_register` are where a bridge has the registers."""

    pam0: ClassVar[int]
    smram_register: ClassVar[int]

    def __init__(self, memory_controller: MemoryController) -> None:
        super().__init__()
        self.memory_controller = memory_controller
        self.define(self.pam0, 1, 0, writable=PAM_ATTRIBUTES & 0xF0)
        for n in range(1, PAM_COUNT):
            self.define(self.pam0 + n, 1, 0, writable=PAM_ATTRIBUTES)
        self._define_smram()
        self.pam = [0] * len(PAM_SEGMENTS)
        self.smram = SMRAM_BASE_SEGMENT

    def _define_smram(self) -> None:
        self.define(self.smram_register, 1, SMRAM_BASE_SEGMENT, writable=SMRAM_OPEN | SMRAM_CLOSED | SMRAM_LOCK | SMRAM_ENABLE)

    def realize(self) -> None:
        """Tell the memory controller the initial state, all segments to ROM and PCI."""
        super().realize()
        for _, _, base, size in PAM_SEGMENTS:
            self.memory_controller.set_pam(base, size, False, False)
        self._tell_smram()

    def reset(self) -> None:
        super().reset()
        self._define_smram()
        self._update_pam()
        self._update_smram()

    def loaded(self) -> None:
        super().loaded()
        self._update_pam()
        self._update_smram()

    def config_written(self, offset: int, size: int) -> None:
        if offset < self.pam0 + PAM_COUNT and offset + size > self.pam0:
            self._update_pam()
        if offset <= self.smram_register < offset + size:
            self._update_smram()

    def _update_pam(self) -> None:
        for n, (register, shift, base, size) in enumerate(PAM_SEGMENTS):
            attributes = self.config[self.pam0 + register] >> shift & (PAM_READ | PAM_WRITE)
            if attributes != self.pam[n]:
                self.pam[n] = attributes
                self.memory_controller.set_pam(base, size, bool(attributes & PAM_READ), bool(attributes & PAM_WRITE))

    def _update_smram(self) -> None:
        """D_LCK closes D_OPEN and makes itself, D_OPEN and G_SMRAME read-only until reset."""
        if self.config[self.smram_register] & SMRAM_LOCK:
            self.config[self.smram_register] &= ~SMRAM_OPEN
            self.writable[self.smram_register] = SMRAM_CLOSED
        if self.config[self.smram_register] != self.smram:
            self.smram = self.config[self.smram_register]
            self._tell_smram()

    def _tell_smram(self) -> None:
        value = self.config[self.smram_register]
        self.memory_controller.set_smram(
            bool(value & SMRAM_ENABLE), bool(value & SMRAM_OPEN), bool(value & SMRAM_CLOSED)
        )
