"""Guest RAM and firmware ROM as machines and devices see them: sizes, the PCI hole, shadowing, DMA with code invalidation.

With firmware, the area from 768 KiB to 1 MiB belongs to the chipset's PAM registers: each segment shows RAM, read-only RAM, or
what is behind it (the last 128 KiB of the ROM, below that nothing).  Without, it is RAM.  The VGA's text memory is RAM in any case.
"""

from __future__ import annotations

import numpy as np

from emu.devices.vga import TEXT_BASE, TEXT_SIZE
from jit.engine import Engine
from jit.state import TlbFlag

FOUR_GIB = 1 << 32
PAGE = 4096
RAM = TlbFlag.READ | TlbFlag.WRITE | TlbFlag.EXECUTE
ROM = TlbFlag.READ | TlbFlag.EXECUTE | TlbFlag.ROM
ROM_ROOM = 1 << 20  # host memory kept for firmware images, in bytes
VGA_HOLE, PAM_AREA, BIOS_SHADOW, MIB = 0xA_0000, 0xC_0000, 0xE_0000, 0x10_0000
PAM_STEP = 0x4000

Range = tuple[int, int, int, TlbFlag]  # guest-physical start, size, offset in the RAM mapping, rights


class GuestMemory:
    """RAM of `size` bytes: up to `hole` (bytes) at 0, the rest from 4 GiB on.  Implements fw_cfg's DmaMemory.

    `rom` ends at 4 GiB; its size is a multiple of 64 KiB, at most ROM_ROOM.
    """

    def __init__(self, engine: Engine, size: int, hole: int, rom: bytes = b""):
        self.engine, self.size, self.rom = engine, size, rom
        self.low = min(size, hole)
        self.high = size - self.low
        self.rom_offset = -(-size // PAGE) * PAGE
        self.smram_enabled = self.smram_open = False
        self._in_smm: set[int] = set()  # numbers of the CPUs
        self.pam = dict.fromkeys(range(PAM_AREA, MIB, PAM_STEP), (False, False))  # segment: reads, writes reach RAM
        engine.ram[self.rom_offset:self.rom_offset + len(rom)] = np.frombuffer(rom, np.uint8)
        self.remap()

    # --- what is where
    @property
    def installed(self) -> list[tuple[int, int]]:
        """(address, bytes) of the RAM below the PCI hole and of that above it, ROM and shadowing aside."""
        return [(0, self.low), *([(FOUR_GIB, self.high)] if self.high else [])]

    def remap(self) -> None:
        """Tell the engine the physical map of RAM and ROM."""
        self.engine.set_ranges(self.ranges())

    def ranges(self) -> list[Range]:
        """Where RAM and ROM are now: address, bytes, offset in the RAM mapping, and which of the two."""
        if self.rom:
            ranges = [(0, VGA_HOLE, 0, RAM), self._vga_range(), *self._shadow_ranges(), (MIB, self.low - MIB, MIB, RAM),
                      (FOUR_GIB - len(self.rom), len(self.rom), self.rom_offset, ROM)]  # fmt: skip
        else:
            ranges = [(0, self.low, 0, RAM)]
        if self.high:
            ranges.append((FOUR_GIB, self.high, self.low, RAM))
        return ranges

    def _vga_range(self) -> Range:
        """SMRAM while a CPU is in system management mode or firmware holds it open, else the text memory, which shares its bytes."""
        if self.smram_enabled and (self.smram_open or self._in_smm):
            return (VGA_HOLE, PAM_AREA - VGA_HOLE, VGA_HOLE, RAM)
        return (TEXT_BASE, TEXT_SIZE, TEXT_BASE, RAM)

    def _shadow_ranges(self) -> list[Range]:
        found: list[Range] = []
        for base, (reads, writes) in self.pam.items():
            if reads:
                found.append((base, PAM_STEP, base, RAM if writes else ROM))
            elif base >= BIOS_SHADOW:
                found.append((base, PAM_STEP, self.rom_offset + len(self.rom) - (MIB - base), ROM))
        return found

    def set_pam(self, base: int, size: int, read_ram: bool, write_ram: bool) -> None:
        """A PAM register changes; writes that would reach RAM behind ROM are not supported and are dropped."""
        for segment in range(base, base + size, PAM_STEP):
            self.pam[segment] = (read_ram, write_ram)
        if self.rom:
            self.remap()

    def set_smram(self, enabled: bool, open_: bool) -> None:
        """The host bridge's SMRAM register: whether there is SMRAM, and whether all code sees it."""
        self.smram_enabled, self.smram_open = enabled, open_
        self.remap()

    def in_smm(self, cpu: int, inside: bool) -> None:
        """CPU number `cpu` enters or leaves system management mode."""
        if inside != (cpu in self._in_smm):
            self._in_smm ^= {cpu}
            self.remap()

    # --- access
    def _offset(self, address: int, size: int) -> int:
        """Where in the RAM mapping a range is.  Raises ValueError when it is not all RAM."""
        first, last = self.engine.host_offset(address), self.engine.host_offset(address + max(size, 1) - 1)
        if first is None or last is None or last - first != max(size, 1) - 1:
            raise ValueError(f"{size:#x} bytes at {address:#x} are not in RAM")
        return first

    def dma_read(self, address: int, size: int) -> bytes:
        """Raises ValueError outside RAM."""
        at = self._offset(address, size)
        return self.engine.ram[at:at + size].tobytes()

    def dma_write(self, address: int, data: bytes) -> None:
        """Raises ValueError outside RAM.  ROM stays as it is; translated code is dropped."""
        at = self._offset(address, len(data))
        if at >= self.rom_offset:
            return
        self.engine.ram_written(at, len(data))
        self.engine.ram[at:at + len(data)] = np.frombuffer(data, np.uint8)

    read, write = dma_read, dma_write

    def clear(self) -> None:
        """All RAM to zero, as at power-up."""
        self.engine.ram_written(0, self.size)
        self.engine.ram[:self.size] = 0
