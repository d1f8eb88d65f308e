"""/machine as users see it: the machine type and what was chosen for it, all of it read-only once the machine is there.

Names and types of the properties are QEMU 7.2's; those of parts that numachine does not have hold what says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emu import qom
from emu.qom import Property, computed
from machines.config import PcConfig


def fixed(type: str, value: Any) -> Property:
    """A property that is the same on every machine."""
    return computed(type)(lambda machine: value)


def file_name(given: Path | bytes | None) -> str:
    return str(given) if isinstance(given, Path) else ""


class MachineObject(qom.Container):
    """What all machine types have."""

    name = "machine"
    abstract = True

    kernel = computed("string")(lambda self: file_name(self.config.kernel))
    initrd = computed("string")(lambda self: file_name(self.config.initrd))
    append = computed("string")(lambda self: self.config.append)
    firmware = computed("string")(lambda self: file_name(self.config.bios))
    smp = computed("SMPConfiguration")(lambda self: self.config.smp.properties)
    memory = computed("MemorySizeConfiguration")(lambda self: {"size": self.config.memory})
    boot = fixed("BootConfiguration", {"order": "cad"})
    graphics = fixed("bool", False)
    usb = fixed("bool", False)
    dump_guest_core = fixed("bool", True)
    mem_merge = fixed("bool", False)
    suppress_vmdesc = fixed("bool", False)
    memory_backend: qom.Link[qom.Object] = qom.Link("memory-backend", writable=False)
    memory_encryption = fixed("string", "")
    confidential_guest_support = fixed("link<confidential-guest-support>", "")
    dtb = fixed("string", "")
    dumpdtb = fixed("string", "")
    dt_compatible = fixed("string", "")
    phandle_start = fixed("int", 0)

    def __init__(self, config: PcConfig):
        self.config = config


class X86MachineObject(MachineObject):
    """What the PCs have."""

    name = "x86-machine"
    abstract = True

    acpi = computed("OnOffAuto")(lambda self: "auto" if self.config.acpi else "off")
    smm = computed("OnOffAuto")(lambda self: "on" if self.config.smm else "off")
    pit = fixed("OnOffAuto", "auto")
    pic = fixed("OnOffAuto", "auto")
    x_oem_id = fixed("string", "BOCHS ")
    x_oem_table_id = fixed("string", "BXPC    ")
    bus_lock_ratelimit = fixed("uint64_t", 0)


class PcMachineObject(X86MachineObject):
    """What pc and q35 have in common."""

    name = "generic-pc-machine"
    abstract = True

    hpet = fixed("bool", True)
    i8042 = fixed("bool", True)
    sata = fixed("bool", True)
    smbus = fixed("bool", True)
    nvdimm = fixed("bool", False)
    hmat = fixed("bool", False)
    vmport = fixed("OnOffAuto", "off")
    max_ram_below_4g = computed("size")(lambda self: self.pci_hole)
    default_bus_bypass_iommu = fixed("bool", False)
    device_memory_region_size = fixed("int", 0)
    rtc_state: qom.Link[qom.DeviceObject] = qom.Link("isa-device", name="rtc_state", writable=False)
    acpi_device: qom.Link[qom.DeviceObject] = qom.Link("hotplug-handler", writable=False)

    def __init__(self, config: PcConfig, pci_hole: int):
        super().__init__(config)
        self.pci_hole = pci_hole


class I440fxMachineObject(PcMachineObject):
    name = "pc-i440fx-7.2-machine"


class Q35MachineObject(PcMachineObject):
    name = "pc-q35-7.2-machine"
