"""DSDT of the pc machine: i440fx host bridge, PIIX ISA bridge with four PCI interrupt registers."""

# laid out like ASL, which formatters do not know
# ruff: noqa: I001
# fmt: off
from __future__ import annotations

from .aml import (
    Arg0, Body, ByteAcc, Device, EisaId, Field, If, LLess, Name, Node,
    NoLock, OperationRegion, PCI_Config, Preserve, Ref, Scope, Store, Table,
)
from . import dsdt_parts as parts
from .cpu_hotplug_aml import cpu_hotplug
from .pci_hotplug_aml import pci_hotplug
from .platform import Platform

PIRQ_REGISTERS, PIRQ_COUNT = 0x60, 4
ISA_BRIDGE_SLOT = 1
# INTA of slot 0 is routed as D, of slot 1 as A, and so on
LINK_ROTATION = ("LNKD", "LNKA", "LNKB", "LNKC")


def definition_block(platform: Platform) -> Table:
    return Table(
        parts.debug_console(),
        Scope("\\_SB", Device("PCI0",
            Name("_HID", EisaId("PNP0A03")),
            Name("_UID", 0),
            parts.smi_command(platform))),
        parts.interrupt_model(),
        Scope("\\_SB",
            Scope("PCI0", isa_bridge(platform), parts.fw_cfg_device(), routing()),
            links(platform),
            parts.hpet(platform)),
        Scope("\\_GPE", Name("_HID", "ACPI0006")),
        cpu_hotplug(platform),
        Scope("\\_SB.PCI0",
            parts.host_bridge_resources(platform),
            parts.reserved_ports("GPE0", "GPE0 resources", platform.chipset.gpe0_block, platform.chipset.gpe0_length)),
        pci_hotplug(platform, range(2, parts.PCI_SLOTS)),
        parts.sleep_states(platform))


def isa_bridge(platform: Platform) -> Node:
    return Device("S08",
        Name("_ADR", ISA_BRIDGE_SLOT << 16),
        OperationRegion("P40C", PCI_Config, PIRQ_REGISTERS, PIRQ_COUNT),
        Scope("\\_SB",
            Field("PCI0.S08.P40C", ByteAcc, NoLock, Preserve, *((f"PRQ{n}", 8) for n in range(PIRQ_COUNT)))),
        parts.isa_devices(platform))


def link(slot: int, pin: int) -> str:
    """The PM function sits at pin A of the ISA bridge's slot and has the SCI's own link."""
    if (slot, pin) == (ISA_BRIDGE_SLOT, 0):
        return "LNKS"
    return LINK_ROTATION[(slot + pin) % len(LINK_ROTATION)]


def routing() -> Node:
    return Name("_PRT", parts.Package(*parts.route_package(link)))


def links(platform: Platform) -> Body:
    below_disabled = If(LLess(Arg0, parts.PIRQ_DISABLED), Store(Arg0, Ref("PRRI")))
    return [
        parts.link_status(),
        parts.link_current(below_disabled),
        [parts.link_device(f"LNK{letter}", n, f"PRQ{n}") for n, letter in enumerate("ABCD")],
        parts.fixed_link_device("LNKS", PIRQ_COUNT, platform.sci_irq, parts.STA_HIDDEN),
    ]
