"""The Generic Event Device of hardware-reduced platforms (ACPI0013; ACPI 6.4, section 5.6.9): events without GPE registers.

One 32-bit register says which events are due; reading it clears it.  Each event pulses one edge-triggered interrupt, whose
`_EVT` method reads the register and dispatches.  The CPU hot-plug registers (cpu_hotplug.py) are in memory here, in modern
form from power-on.  Places are those of AArch64 `virt`.
Not here: the sleep and reset registers that some platforms put beside it.
"""

# laid out like ASL, which formatters do not know
# ruff: noqa: I001
# fmt: off
from __future__ import annotations

from collections.abc import Mapping
from enum import IntFlag

from emu import log
from emu.device import Device, Reg
from emu.irq import Irq

from . import aml
from .aml import (
    And, Body, DWordAcc, Field, If, Interrupt, InterruptFlag, LEqual, Local0, Method, Name, Node, NoLock, OperationRegion,
    Preserve, Ref, ResourceTemplate, Serialized, Store, SystemMemory,
)

VIRT_GED_BASE = 0x0908_0000
VIRT_GED_GSI = 41
VIRT_CPU_HOTPLUG_BASE = 0x090C_0000
SELECTOR_BYTES = 4


class GedEvent(IntFlag):
    """Bits of the event selector."""

    MEMORY_HOTPLUG = 1 << 0
    POWER_DOWN = 1 << 1
    NVDIMM = 1 << 2
    CPU_HOTPLUG = 1 << 3


class GenericEventDevice(Device):
    """`irq` is the line that each event pulses."""

    name = "acpi-ged"

    selector = Reg(0x0, SELECTOR_BYTES, "r", reset=None)

    def __init__(self, irq: Irq) -> None:
        self.irq = irq

    def fire(self, event: GedEvent) -> None:
        """Latch an event and tell the guest, whether or not it has seen the last one."""
        self.selector |= event
        self.irq.pulse()

    @selector.read
    def _(self) -> int:
        due, self.selector = self.selector, 0
        return due

    def read(self, offset: int, size: int) -> int:
        if size != SELECTOR_BYTES:
            log.guest_error(self.name, f"read of {size} bytes: the event selector is read as one double word; reads 0")
            return 0
        return super().read(offset, size)

    def reset(self) -> None:
        """Nothing: events that the guest has not read survive a system reset."""


def event_device(handlers: Mapping[GedEvent, Body], base: int = VIRT_GED_BASE, gsi: int = VIRT_GED_GSI) -> Node:
    """The AML device `GED`, to stand in `\\_SB`: `_EVT` runs the handler of every event that is due."""
    due, selector = Local0, Ref("ESEL")
    return aml.Device("GED",
        Name("_HID", "ACPI0013"),
        Name("_UID", "GED"),
        Name("_CRS", ResourceTemplate(Interrupt(InterruptFlag.CONSUMER | InterruptFlag.EDGE, gsi))),
        OperationRegion("EREG", SystemMemory, base, SELECTOR_BYTES),
        Field("EREG", DWordAcc, NoLock, Preserve, ("ESEL", 32)),
        Method("_EVT", 1, Serialized,
            Store(selector, due),
            [If(LEqual(And(due, event), event), handler) for event, handler in sorted(handlers.items())]))
