"""AML of ACPI PCI hot-plug: six dword registers and GPE.1.

    0x00 PCIU  slots with an insert event        0x08 B0EJ  write a slot mask to eject
    0x04 PCID  slots with an eject request       0x10 BNUM  bus selector     0x14 PIDX  slot selector, reads its index
Not here: the _DSM that reports ACPI indexes, bridges below the root bus.
"""

# laid out like ASL, which formatters do not know
# ruff: noqa: I001
# fmt: off
from __future__ import annotations

from collections.abc import Iterable

from .aml import (
    Acquire, And, Arg0, Arg1, Body, Call, Device, DWordAcc, Field, If, Method, Mutex, Name, Node, NoLock, Notify,
    NotSerialized, OperationRegion, Ref, Release, Return, Scope, Serialized, ShiftLeft, Store, SystemIO, WriteAsZeros,
)
from .dsdt_parts import reserved_ports
from .platform import Platform

STATUS, EJECT, SELECT, LENGTH = 0x00, 0x08, 0x10, 0x18
ROOT_BUS_SELECTOR = 0
NOTIFY_DEVICE_CHECK, NOTIFY_EJECT_REQUEST = 1, 3


def pci_hotplug(platform: Platform, slots: Iterable[int]) -> Body:
    """Registers, slot objects of the root bus and the event handler; nothing when the machine has no such registers."""
    if not platform.pci_hotplug:
        return None
    slots = tuple(slots)
    base = platform.chipset.pci_hotplug_base
    return [
        Scope("\\_SB.PCI0",
            registers(base),
            reserved_ports("PHPR", "PCI Hotplug resources", base, LENGTH),
            Name("BSEL", ROOT_BUS_SELECTOR) if slots else None,
            [slot_device(slot) for slot in slots],
            _notify(slots),
            _scan(slots)),
        Scope("\\_GPE", Method("_E01", 0, NotSerialized,
            Acquire("\\_SB.PCI0.BLCK"),
            Call("\\_SB.PCI0.PCNT"),
            Release("\\_SB.PCI0.BLCK"))),
    ]


def registers(base: int) -> Body:
    return [
        OperationRegion("PCST", SystemIO, base + STATUS, 8),
        Field("PCST", DWordAcc, NoLock, WriteAsZeros, ("PCIU", 32), ("PCID", 32)),
        OperationRegion("SEJ", SystemIO, base + EJECT, 4),
        Field("SEJ", DWordAcc, NoLock, WriteAsZeros, ("B0EJ", 32)),
        OperationRegion("BNMR", SystemIO, base + SELECT, 8),
        Field("BNMR", DWordAcc, NoLock, WriteAsZeros, ("BNUM", 32), ("PIDX", 32)),
        Mutex("BLCK"),
        Method("PCEJ", 2, NotSerialized,
            Acquire("BLCK"),
            Store(Arg0, Ref("BNUM")),
            ShiftLeft(1, Arg1, Ref("B0EJ")),
            Release("BLCK"),
            Return(0)),
    ]


def slot_name(slot: int) -> str:
    return f"S{slot << 3:02X}"


def slot_device(slot: int) -> Node:
    return Device(slot_name(slot),
        Name("_SUN", slot),
        Name("_ADR", slot << 16),
        Method("_EJ0", 1, NotSerialized, Call("PCEJ", Ref("BSEL"), Ref("_SUN"))))


def _notify(slots: tuple[int, ...]) -> Node:
    return Method("DVNT", 2, NotSerialized,
        [If(And(Arg0, 1 << slot), Notify(slot_name(slot), Arg1)) for slot in slots])


def _scan(slots: tuple[int, ...]) -> Node:
    return Method("PCNT", 0, Serialized,
        Store(ROOT_BUS_SELECTOR, Ref("BNUM")),
        Call("DVNT", Ref("PCIU"), NOTIFY_DEVICE_CHECK),
        Call("DVNT", Ref("PCID"), NOTIFY_EJECT_REQUEST)) if slots else Method("PCNT", 0, NotSerialized)
