"""Address spaces that an evaluator reaches registers through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from .errors import AmlError
from .objects import RegionSpace

PCI_ADDRESS_PORT, PCI_DATA_PORT = 0xCF8, 0xCFC
PCI_ENABLE = 1 << 31
LAST_BUS = LAST_REGISTER = 0xFF
PCI_BUS_SHIFT, PCI_DEVICE_SHIFT, PCI_FUNCTION_SHIFT = 20, 15, 12
PCI_REGISTERS = 1 << PCI_FUNCTION_SHIFT


class Space(Protocol):
    """An address space: emu.bus.AddressSpace, or anything that reads and writes little-endian numbers."""

    def read(self, addr: int, size: int) -> int: ...

    def write(self, addr: int, size: int, value: int) -> None: ...


class ConfigurationPorts:
    """PCI configuration space through ports CF8h and CFCh, as an operating system without anything better does it.

    Addresses are bus << 20 | device << 15 | function << 12 | offset; offsets end at FFh.
    """

    def __init__(self, spaces: Mapping[int, Space]) -> None:
        self.spaces = spaces

    def _select(self, addr: int) -> tuple[Space, int]:
        io, offset = self.spaces[RegionSpace.SystemIO], addr % PCI_REGISTERS
        if addr >> PCI_BUS_SHIFT > LAST_BUS or offset > LAST_REGISTER:
            raise AmlError(
                f"PCI configuration address {addr:#x} is out of reach of the ports: give the evaluator a pci_config"
            )
        io.write(PCI_ADDRESS_PORT, 4, PCI_ENABLE | addr // PCI_REGISTERS << 8 | offset & 0xFC)
        return io, PCI_DATA_PORT + offset % 4

    def read(self, addr: int, size: int) -> int:
        io, port = self._select(addr)
        return io.read(port, size)

    def write(self, addr: int, size: int, value: int) -> None:
        io, port = self._select(addr)
        io.write(port, size, value)
