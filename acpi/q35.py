"""DSDT of the q35 machine: PCI Express host bridge, ICH9 LPC bridge with eight PCI interrupt registers."""

# laid out like ASL, which formatters do not know
# ruff: noqa: I001
# fmt: off
from __future__ import annotations

from .aml import (
    And, Arg0, Arg1, Arg3, Body, ByteAcc, CreateDWordField, Device, DWordMemory, EisaId, Else, Field, If, LEqual,
    LNotEqual, Local0, Method, Name, Node, NoLock, NotSerialized, Offset, OperationRegion, Or, Package, PCI_Config,
    Preserve, Ref, ResourceTemplate, Return, Scope, Store, Table, ToUuid,
)
from . import dsdt_parts as parts
from .cpu_hotplug_aml import cpu_hotplug
from .pci_hotplug_aml import pci_hotplug
from .platform import Platform

LETTERS = "ABCDEFGH"
FIRST_PIRQ_GSI = 16
GSI_LINK_UID = 0x10
PIRQ_REGISTERS, PIRQ_LENGTH, PIRQ_E_OFFSET = 0x60, 0x0C, 8
LPC_ADDRESS, SMBUS_ADDRESS = 0x1F0000, 0x1F0003
# _OSC, PCI Firmware 3.2, section 4.5.1
OSC_PCI_HOST_BRIDGE = "33DB4D5B-1FF7-401C-9657-7441C03DD766"
OSC_UNRECOGNIZED_UUID, OSC_UNRECOGNIZED_REVISION, OSC_CAPABILITIES_MASKED = 1 << 2, 1 << 3, 1 << 4
OSC_NATIVE_HOTPLUG = 1 << 0
OSC_GRANTED = 0x1E  # SHPC, PME, AER, capability structure


def definition_block(platform: Platform) -> Table:
    return Table(
        parts.debug_console(),
        Scope("\\_SB",
            Device("PCI0",
                Name("_HID", EisaId("PNP0A08")),
                Name("_CID", EisaId("PNP0A03")),
                Name("_UID", 0),
                osc(native_hotplug=not platform.pci_hotplug),
                parts.smi_command(platform)),
            configuration_window(platform)),
        parts.interrupt_model(),
        Scope("\\_SB",
            Scope("PCI0", Device("SF8", lpc_bridge(platform)), Device("SFB", Name("_ADR", SMBUS_ADDRESS)),
                parts.fw_cfg_device(), routing()),
            links(),
            parts.hpet(platform)),
        Scope("\\_GPE", Name("_HID", "ACPI0006")),
        cpu_hotplug(platform),
        Scope("\\_SB.PCI0",
            parts.host_bridge_resources(platform),
            parts.reserved_ports("GPE0", "GPE0 resources", platform.chipset.gpe0_block, platform.chipset.gpe0_length)),
        pci_hotplug(platform, ()),
        parts.sleep_states(platform))


def osc(native_hotplug: bool) -> Node:
    """The OS asks for control of PCIe features; native hot-plug is kept back while ACPI does it."""
    granted = OSC_GRANTED | (OSC_NATIVE_HOTPLUG if native_hotplug else 0)
    status, control = Ref("CDW1"), Ref("CDW3")
    return Method("_OSC", 4, NotSerialized,
        CreateDWordField(Arg3, 0, "CDW1"),
        If(LEqual(Arg0, ToUuid(OSC_PCI_HOST_BRIDGE)),
            CreateDWordField(Arg3, 4, "CDW2"),
            CreateDWordField(Arg3, 8, "CDW3"),
            And(control, granted, Local0),
            If(LNotEqual(Arg1, 1), Or(status, OSC_UNRECOGNIZED_REVISION, status)),
            If(LNotEqual(control, Local0), Or(status, OSC_CAPABILITIES_MASKED, status)),
            Store(Local0, control)),
        Else(
            Or(status, OSC_UNRECOGNIZED_UUID, status)),
        parts.Return(Arg3))


def configuration_window(platform: Platform) -> Node | None:
    """Keeps the OS from placing anything over the PCIe configuration space."""
    if platform.mmconfig is None:
        return None
    window = platform.mmconfig
    return Device("DRAC",
        Name("_HID", "PNP0C01"),
        Name("_CRS", ResourceTemplate(DWordMemory(window.first, window.last))))


def lpc_bridge(platform: Platform) -> Body:
    return [
        Name("_ADR", LPC_ADDRESS),
        OperationRegion("PIRQ", PCI_Config, PIRQ_REGISTERS, PIRQ_LENGTH),
        Scope("\\_SB",
            Field("PCI0.SF8.PIRQ", ByteAcc, NoLock, Preserve,
                *((f"PRQ{letter}", 8) for letter in "ABCD"),
                Offset(PIRQ_E_OFFSET),
                *((f"PRQ{letter}", 8) for letter in "EFGH"))),
        parts.isa_devices(platform),
    ]


def link_letter(slot: int, pin: int) -> str:
    """Slots on the bus proper rotate over E to H; chipset functions (25 to 29, 31) use A to D; slot 30 has E to H."""
    if slot < 25:
        return LETTERS[4 + (slot + pin) % 4]
    return LETTERS[4 + pin] if slot == 30 else LETTERS[pin]


def routing() -> Body:
    return [
        Name("PRTP", Package(*parts.route_package(lambda slot, pin: f"LNK{link_letter(slot, pin)}"))),
        Name("PRTA", Package(*parts.route_package(lambda slot, pin: f"GSI{link_letter(slot, pin)}"))),
        Method("_PRT", 0, NotSerialized,
            If(LEqual(Ref("PICF"), 0), Return(Ref("PRTP"))),
            Else(Return(Ref("PRTA")))),
    ]


def links() -> Body:
    return [
        parts.link_status(),
        parts.link_current(And(Arg0, 0xF, Ref("PRRI"))),
        [parts.link_device(f"LNK{letter}", n, f"PRQ{letter}") for n, letter in enumerate(LETTERS)],
        [parts.fixed_link_device(f"GSI{letter}", GSI_LINK_UID + n, FIRST_PIRQ_GSI + n)
            for n, letter in enumerate(LETTERS)],
    ]
