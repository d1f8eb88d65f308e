"""Where the parts of a PC are in the object tree: names, types and order are QEMU's, so that clients find what they know.

Not here: parts that numachine does not have (floppy controller, speaker, vmport, vmmouse, SMBus EEPROMs), so that the numbers
of the devices behind them are lower than in QEMU; memory regions and interrupt lines, which are no objects here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu import qom

if TYPE_CHECKING:
    from machines.pc import X86Pc


def place_parts(pc: X86Pc) -> None:
    """Put everything but the CPUs, which are there already, into the tree of `pc`."""
    unattached, host = pc.tree.container("unattached"), pc.pci_ports
    pc.tree.add_child("fw_cfg", pc.fw_cfg)
    pc.tree.add_child(pc.host_name, host)
    host.add_child("ioapic", pc.ioapic)
    if pc.chipset_in_host:
        host.add_child(pc.host_bridge.type_name, pc.host_bridge)
    else:
        unattached.add_child("device[*]", pc.host_bridge)
    before_hpet = (pc.dma.low, pc.dma.high, pc.pic.master, pc.pic.slave)
    after_hpet = (pc.rtc, pc.pit, *pc.uarts, pc.keyboard, pc.port92, pc.debugcon)
    for device in (pc.isa_bridge, *before_hpet, pc.hpet, *after_hpet, *pc.pci.functions.values()):
        if device.parent is None:
            unattached.add_child("device[*]", device)
    for device in (*before_hpet, *after_hpet):
        pc.isa_bridge.isa_bus.attach(device)
    pc.tree.rtc_state, pc.tree.acpi_device = pc.rtc, pc.acpi_device
    system = unattached.add_child("sysbus", qom.SystemBus())
    devices = [each for each in pc.tree.walk() if isinstance(each, qom.DeviceObject) and not each.realized]
    for each in devices:
        if each.bus_type == system.type_name:
            system.attach(each)
        for setting in pc.config.globals:
            setting.apply(each)
        qom.realize(each)
