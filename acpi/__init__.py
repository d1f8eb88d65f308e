"""ACPI for the emulated machines: AML, the tables, power management and CPU hot-plug registers.

A machine fills in a `Platform` for `fw_cfg_files` or `lay_out`, maps an `AcpiPm` and a `HotplugWindow`, and tells the
window about its CPUs.  `acpi.aml` writes AML, `acpi.aml.evaluator` runs it, `acpi.trace` watches the hot-plug registers.
"""

from __future__ import annotations

from .build import AcpiFiles, fw_cfg_files, lay_out
from .cpu_hotplug import CpuHotplug
from .ged import GedEvent, GenericEventDevice
from .hotplug_window import HotplugWindow, UnplugNotSupported
from .ost import OstInfo, ospm_status
from .platform import ICH9, PIIX4, ChipsetInfo, MemoryRange, Platform, PossibleCpu, Window
from .pm import APM_BASE, ICH9_PM, PIIX4_GPE_BASE, PIIX4_PM, AcpiPm, GpeEvent
from .tables import Oem

__all__ = [
    "APM_BASE",
    "ICH9",
    "ICH9_PM",
    "PIIX4",
    "PIIX4_GPE_BASE",
    "PIIX4_PM",
    "AcpiFiles",
    "AcpiPm",
    "ChipsetInfo",
    "CpuHotplug",
    "GedEvent",
    "GenericEventDevice",
    "GpeEvent",
    "HotplugWindow",
    "MemoryRange",
    "Oem",
    "OstInfo",
    "Platform",
    "PossibleCpu",
    "UnplugNotSupported",
    "Window",
    "fw_cfg_files",
    "lay_out",
    "ospm_status",
]
