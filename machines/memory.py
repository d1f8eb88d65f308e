"""Guest RAM as machines and devices see it: sizes, the PCI hole, DMA with code invalidation."""

from __future__ import annotations

import numpy as np

from jit.engine import Engine
from jit.state import TlbFlag

FOUR_GIB = 1 << 32
RAM = TlbFlag.READ | TlbFlag.WRITE | TlbFlag.EXECUTE
ROM = TlbFlag.READ | TlbFlag.EXECUTE | TlbFlag.ROM


class GuestMemory:
    """RAM of `size` bytes: up to `hole` (bytes) at 0, the rest from 4 GiB on.  Implements fw_cfg's DmaMemory."""

    def __init__(self, engine: Engine, size: int, hole: int):
        self.engine, self.size = engine, size
        self.low = min(size, hole)
        self.high = size - self.low
        engine.map_ram(0, 0, self.low)
        if self.high:
            engine.map_ram(FOUR_GIB, self.low, self.high)

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
        """Raises ValueError outside RAM.  Translated code there is dropped."""
        at = self._offset(address, len(data))
        self.engine.ram_written(at, len(data))
        self.engine.ram[at:at + len(data)] = np.frombuffer(data, np.uint8)

    read, write = dma_read, dma_write

    def clear(self) -> None:
        """All RAM to zero, as at power-up."""
        self.engine.ram_written(0, self.size)
        self.engine.ram[:self.size] = 0
