"""Pieces of the DSDT that pc and q35 share.

Debug console, PCI host bridge windows, interrupt links, HPET, legacy ISA devices, sleep states, reserved blocks.
ACPI 6.4, sections 6 (device configuration) and 7.4.2 (sleep states).
"""

# laid out like ASL, which formatters do not know
# ruff: noqa: I001
# fmt: off
from __future__ import annotations

from collections.abc import Callable

from .aml import (
    And, Arg0, Body, ByteAcc, Cache, Call, CreateDWordField, DerefOf, Device, DWordAcc, DWordMemory, EisaId,
    Field, If, Increment, Index, Interrupt, InterruptFlag, IO, IRQNoFlags, LEqual, LGreater, LLess, Local0,
    Local1, Local2, Lock, LOr, Memory32Fixed, Method, Name, Node, NoLock, NotSerialized, OperationRegion, Or, Package,
    Preserve, QWordMemory, Ref, ResourceTemplate, Return, Scope, Serialized, ShiftRight, SizeOf, Store,
    Subtract, SystemIO, SystemMemory, ToBuffer, ToHexString, While, WordBusNumber, WordIO,
)
from .platform import Platform, Window

DEBUG_PORT = 0x402
PCI_CONFIG_PORT, PCI_CONFIG_LENGTH = 0xCF8, 8
VGA_MEMORY = Window(0xA0000, 0xBFFFF)
PCI_HOLE_LAST = 0xFEBFFFFF  # the IOAPIC follows
HPET_BASE, HPET_LENGTH = 0xFED00000, 0x400
HPET_MAX_PERIOD_FS = 100_000_000
FW_CFG_PORT, FW_CFG_LENGTH = 0x510, 0x0C
PIRQ_DISABLED = 0x80
PCI_LINK_IRQS = (5, 10, 11)
PCI_SLOTS, PCI_PINS = 32, 4
ALL_FUNCTIONS = 0xFFFF
STA_ALL = 0xF
STA_HIDDEN = 0xB
STA_DISABLED = 0x9
INTERRUPT_LIST_OFFSET = 5  # of the first interrupt in an extended interrupt descriptor
SERIAL_PORTS = ((0x3F8, 4), (0x2F8, 3), (0x3E8, 4), (0x2E8, 3))
PARALLEL_PORTS = ((0x378, 7), (0x278, 7))
LEVEL_SHARED = InterruptFlag.CONSUMER | InterruptFlag.SHARED


def debug_console() -> Node:
    """DBUG(x) prints x in hexadecimal and a newline on the firmware's debug port."""
    text, length, index = Local0, Local1, Local2
    return Scope("\\",
        OperationRegion("DBG", SystemIO, DEBUG_PORT, 1),
        Field("DBG", ByteAcc, NoLock, Preserve, ("DBGB", 8)),
        Method("DBUG", 1, NotSerialized,
            ToHexString(Arg0, text),
            ToBuffer(text, text),
            Subtract(SizeOf(text), 1, length),
            Store(0, index),
            While(LLess(index, length),
                Store(DerefOf(Index(text, index)), Ref("DBGB")),
                Increment(index)),
            Store(ord("\n"), Ref("DBGB"))))


def interrupt_model() -> Body:
    """PICF remembers what the OS chose with _PIC: 0 for the two 8259s, 1 for the IOAPIC."""
    return [
        Name("PICF", 0),
        Method("_PIC", 1, NotSerialized, Store(Arg0, Ref("PICF"))),
    ]


# ---------------------------------------------------------------- interrupt links


def link_status() -> Node:
    """IQST(route register): present, and enabled unless the register's top bit is set."""
    return Method("IQST", 1, NotSerialized,
        If(And(PIRQ_DISABLED, Arg0), Return(STA_DISABLED)),
        Return(STA_HIDDEN))


def link_current(store_irq: Body) -> Node:
    """IQCR(route register): a descriptor with the routed interrupt; `store_irq` fills in PRRI."""
    return Method("IQCR", 1, Serialized,
        Name("PRR0", ResourceTemplate(Interrupt(LEVEL_SHARED, 0))),
        CreateDWordField(Ref("PRR0"), INTERRUPT_LIST_OFFSET, "PRRI"),
        store_irq,
        Return(Ref("PRR0")))


def link_device(name: str, uid: int, route: str) -> Node:
    """A PCI interrupt line routed by a chipset register."""
    register = Ref(route)
    return Device(name,
        Name("_HID", EisaId("PNP0C0F")),
        Name("_UID", uid),
        Name("_PRS", ResourceTemplate(Interrupt(LEVEL_SHARED, *PCI_LINK_IRQS))),
        Method("_STA", 0, NotSerialized, Return(Call("IQST", register))),
        Method("_DIS", 0, NotSerialized, Or(register, PIRQ_DISABLED, register)),
        Method("_CRS", 0, NotSerialized, Return(Call("IQCR", register))),
        Method("_SRS", 1, NotSerialized,
            CreateDWordField(Arg0, INTERRUPT_LIST_OFFSET, "PRRI"),
            Store(Ref("PRRI"), register)))


def fixed_link_device(name: str, uid: int, gsi: int, status: int | None = None) -> Node:
    """A line that is wired to one interrupt."""
    resources = ResourceTemplate(Interrupt(LEVEL_SHARED, gsi))
    return Device(name,
        Name("_HID", EisaId("PNP0C0F")),
        Name("_UID", uid),
        Name("_PRS", resources),
        Name("_CRS", resources),
        Name("_STA", status) if status is not None else None,
        Method("_DIS", 0, NotSerialized),
        Method("_SRS", 1, NotSerialized))


def route_package(link: Callable[[int, int], str]) -> list[Package]:
    """_PRT entries of all slots and pins; `link(slot, pin)` names the link device."""
    return [
        Package(slot << 16 | ALL_FUNCTIONS, pin, Ref(link(slot, pin)), 0)
        for slot in range(PCI_SLOTS)
        for pin in range(PCI_PINS)
    ]


# ---------------------------------------------------------------- host bridge


def memory_windows(platform: Platform) -> list[Window]:
    """Where PCI memory may be below 4 GiB: from the end of RAM to the IOAPIC, less the configuration window."""
    if platform.pci_memory32 is not None:
        return list(platform.pci_memory32)
    hole = Window(platform.below_4g_end, PCI_HOLE_LAST)
    config = platform.mmconfig
    if config is None or not hole.first <= config.first <= hole.last:
        return [hole]
    parts = [Window(hole.first, config.first - 1), Window(config.last + 1, hole.last)]
    return [w for w in parts if w.first <= w.last]


def host_bridge_resources(platform: Platform) -> Node:
    windows = [DWordMemory(w.first, w.last) for w in memory_windows(platform)]
    if platform.pci_memory64:
        windows.append(QWordMemory(platform.pci_memory64.first, platform.pci_memory64.last, Cache.CACHEABLE))
    return Name("_CRS", ResourceTemplate(
        WordBusNumber(0, 0xFF),
        IO(PCI_CONFIG_PORT, PCI_CONFIG_PORT, 1, PCI_CONFIG_LENGTH),
        WordIO(0, PCI_CONFIG_PORT - 1),
        WordIO(PCI_CONFIG_PORT + PCI_CONFIG_LENGTH, 0xFFFF),
        DWordMemory(VGA_MEMORY.first, VGA_MEMORY.last, Cache.CACHEABLE),
        *windows))


def reserved_ports(name: str, uid: str, base: int, length: int) -> Node:
    """A container whose only purpose is to claim ports."""
    return Device(name,
        Name("_HID", "PNP0A06"),
        Name("_UID", uid),
        Name("_STA", STA_HIDDEN),
        Name("_CRS", ResourceTemplate(IO(base, base, 1, length))))


def smi_command(platform: Platform) -> Node | None:
    """The APM command port, for the AML that lets firmware see CPU events first."""
    if not platform.smi_cpu_hotplug:
        return None
    port, length = platform.chipset.smi_command, 2
    return Device("SMI0",
        Name("_HID", EisaId("PNP0A06")),
        Name("_UID", "SMI resources"),
        Name("_CRS", ResourceTemplate(IO(port, port, 1, length))),
        OperationRegion("SMIR", SystemIO, port, length),
        Field("SMIR", ByteAcc, NoLock, Preserve, ("SMIC", 8)))


# ---------------------------------------------------------------- system devices


def hpet(platform: Platform) -> Node | None:
    """The HPET; present if its identification and period registers look sane."""
    if not platform.hpet:
        return None
    vendor, period = Local0, Local1
    return Device("HPET",
        Name("_HID", EisaId("PNP0103")),
        Name("_UID", 0),
        OperationRegion("HPTM", SystemMemory, HPET_BASE, HPET_LENGTH),
        Field("HPTM", DWordAcc, Lock, Preserve, ("VEND", 32), ("PRD", 32)),
        Method("_STA", 0, NotSerialized,
            Store(Ref("VEND"), vendor),
            Store(Ref("PRD"), period),
            ShiftRight(vendor, 16, vendor),
            If(LOr(LEqual(vendor, 0), LEqual(vendor, 0xFFFF)), Return(0)),
            If(LOr(LEqual(period, 0), LGreater(period, HPET_MAX_PERIOD_FS)), Return(0)),
            Return(STA_ALL)),
        Name("_CRS", ResourceTemplate(Memory32Fixed(HPET_BASE, HPET_LENGTH, access=0))))


def isa_devices(platform: Platform) -> Body:
    return [
        [_keyboard(), _mouse()] if platform.i8042 else None,
        [_parallel(n) for n in range(platform.parallel_ports)],
        [_serial(n) for n in range(platform.serial_ports)],
        Device("RTC",
            Name("_HID", EisaId("PNP0B00")),
            Name("_CRS", ResourceTemplate(IO(0x70, 0x70, 1, 8), IRQNoFlags(8)))),
    ]


def _keyboard() -> Node:
    return Device("KBD",
        Name("_HID", EisaId("PNP0303")),
        Name("_STA", STA_ALL),
        Name("_CRS", ResourceTemplate(IO(0x60, 0x60, 1, 1), IO(0x64, 0x64, 1, 1), IRQNoFlags(1))))


def _mouse() -> Node:
    return Device("MOU",
        Name("_HID", EisaId("PNP0F13")),
        Name("_STA", STA_ALL),
        Name("_CRS", ResourceTemplate(IRQNoFlags(12))))


def _serial(number: int) -> Node:
    port, irq = SERIAL_PORTS[number]
    return Device(f"COM{number + 1}",
        Name("_HID", EisaId("PNP0501")),
        Name("_UID", number + 1),
        Name("_STA", STA_ALL),
        Name("_CRS", ResourceTemplate(IO(port, port, 0, 8), IRQNoFlags(irq))))


def _parallel(number: int) -> Node:
    port, irq = PARALLEL_PORTS[number]
    return Device(f"LPT{number + 1}",
        Name("_HID", EisaId("PNP0400")),
        Name("_UID", number + 1),
        Name("_STA", STA_ALL),
        Name("_CRS", ResourceTemplate(IO(port, port, 8, 8), IRQNoFlags(irq))))


def sleep_states(platform: Platform) -> Node:
    """SLP_TYP values of S3 and S4, if the machine has them, and S5, for PM1a and PM1b."""
    states = [("_S3", 1)] * platform.suspend_to_ram + [("_S4", 2)] * platform.suspend_to_disk + [("_S5", 0)]
    return Scope("\\", [Name(name, Package(slp_typ, slp_typ, 0, 0)) for name, slp_typ in states])


def fw_cfg_device() -> Node:
    return Device("FWCF",
        Name("_HID", "QEMU0002"),
        Name("_STA", STA_HIDDEN),
        Name("_CRS", ResourceTemplate(IO(FW_CFG_PORT, FW_CFG_PORT, 1, FW_CFG_LENGTH))))
