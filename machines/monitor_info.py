"""Subjects of the human monitor's `info` that look into a PC: interrupt controllers, PCI, the memory map, the engine.

The layout is QEMU's, which scripts parse.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from emu.bus import Mapping
from emu.devices import pci
from emu.devices.apic_bus import DeliveryMode
from emu.devices.apic_registers import Entry, Icr, Lvt, Svr
from emu.devices.ioapic import PINS, IoApic, Redirection
from emu.devices.lapic import LocalApic
from emu.devices.lapic_timer import TimerMode, divisor
from emu.devices.pic import Pic8259
from emu.hmp.expressions import evaluate
from emu.hmp.monitor import CommandTable, HumanMonitor
from jit.state import TlbFlag

if TYPE_CHECKING:
    from machines.monitor_api import MonitorApi

PC_INFO = CommandTable()
info = PC_INFO.add

DELIVERY_NAMES = {DeliveryMode.FIXED: "Fixed", DeliveryMode.LOWEST_PRIORITY: "LowPri", DeliveryMode.SMI: "SMI",
                  DeliveryMode.NMI: "NMI", DeliveryMode.INIT: "INIT", DeliveryMode.STARTUP: "SIPI",
                  DeliveryMode.EXTINT: "ExtINT", DeliveryMode.RESERVED: "..."}  # fmt: skip
TIMER_NAMES = {TimerMode.ONE_SHOT: "one-shot", TimerMode.PERIODIC: "periodic", TimerMode.TSC_DEADLINE: "tsc-deadline",
               TimerMode.RESERVED: "???"}  # fmt: skip
SHORTHANDS = ("no-shorthand", "self", "all-self", "all")
LVT_ORDER = (("LVT0", Entry.LINT0), ("LVT1", Entry.LINT1), ("LVTPC", Entry.PERFORMANCE), ("LVTERR", Entry.ERROR),
             ("LVTTHMR", Entry.THERMAL), ("LVTT", Entry.TIMER))  # fmt: skip
PCI_CLASSES = {0x0106: "SATA controller", 0x0101: "IDE controller", 0x0600: "Host bridge", 0x0601: "ISA bridge",
               0x0680: "Bridge", 0x0C05: "SMBus"}  # fmt: skip
UNPLACED = (1 << 64) - 1  # the address of a window that the guest has not placed


def _machine(monitor: HumanMonitor) -> Any:
    return monitor.context.machine


# -- interrupt controllers


def _delivery(value: int) -> DeliveryMode:
    return DeliveryMode(value >> 8 & 7)


def _polarity(low: int) -> str:
    return "active-lo" if low else "active-hi"


def _vectors(bitmap: int, level: int = 0) -> str:
    """The numbers of the bits that are set; those of `level` are marked."""
    numbers = [n for n in range(256) if bitmap >> n & 1]
    return " ".join(f"{n}{'(level)' if level >> n & 1 else ''}" for n in numbers) or "(none)"


@info("pic", "", "show PIC state")
def pic(monitor: HumanMonitor, arguments: str) -> str:
    machine = _machine(monitor)
    return _ioapic(machine.ioapic) + _pic(1, machine.pic.slave) + _pic(0, machine.pic.master)


def _ioapic(chip: IoApic) -> str:
    lines = [f"ioapic0: ver={chip.version:#x} id={chip.apic_id:#04x} sel={chip.ioregsel:#04x}"]
    lines += [_redirection(pin, chip.table[pin]) for pin in range(PINS)]
    waiting = sum(1 << pin for pin in range(PINS) if chip.irq[pin].level)
    remote = sum(1 << pin for pin, entry in enumerate(chip.table) if entry & Redirection.REMOTE_IRR)
    return "\n".join([*lines, f"  IRR      {_vectors(waiting)}", f"  Remote IRR {_vectors(remote)}"]) + "\n"


def _redirection(pin: int, entry: int) -> str:
    return (f"  pin {pin:<2} 0x{entry:016x} dest={entry >> 56:<1} vec={entry & Redirection.VECTOR:<3} "
            f"{_polarity(entry & Redirection.ACTIVE_LOW)} {'level' if entry & Redirection.LEVEL else 'edge':<5} "
            f"{'masked' if entry & Redirection.MASK else '':<6} {DELIVERY_NAMES[_delivery(entry)].lower():<6} "
            f"{'logical' if entry & Redirection.LOGICAL else 'physical'}")  # fmt: skip


def _pic(number: int, chip: Pic8259) -> str:
    return (f"pic{number}: irr={chip.irr:02x} imr={chip.imr:02x} isr={chip.isr:02x} hprio={(chip.lowest + 1) & 7} "
            f"irq_base={chip.base:02x} rr_sel={int(chip.read_isr)} elcr={chip.elcr:02x} fnm={int(chip.special_nested)}\n")


@info("lapic", "[apic-id]", "show local apic state (apic-id: local apic to read, default is which of current CPU)")
def lapic(monitor: HumanMonitor, arguments: str) -> str:
    vcpus = _machine(monitor).vcpus
    if not arguments:
        vcpu = vcpus.get(monitor.context.current_cpu)
    else:
        wanted = evaluate(arguments, monitor.register)
        vcpu = next((each for each in vcpus.values() if each.apic.apic_id == wanted), None)
    if vcpu is None:
        return "No CPU available\n"
    return f"dumping local APIC state for CPU {vcpu.model.index} \n\n" + "\n".join(_lapic_lines(vcpu.apic)) + "\n"


def _lapic_lines(apic: LocalApic) -> Iterator[str]:
    yield from (_lvt(name, entry, apic) for name, entry in LVT_ORDER)
    timer = apic.timer
    yield (f"Timer\t DCR={timer.configuration:#x} (divide by {divisor(timer.configuration)}) "
           f"initial_count = {timer.initial_count} current_count = {timer.current_count()}")  # fmt: skip
    yield (f"SPIV\t 0x{apic.svr:08x} APIC {'enabled' if apic.svr & Svr.ENABLE else 'disabled'}, "
           f"focus={'on' if apic.svr & Svr.FOCUS_DISABLE else 'off'}, spurious vec {apic.svr & Svr.VECTOR}")  # fmt: skip
    yield from _icr(apic)
    yield f"ESR\t 0x{apic.esr:08x}"
    yield f"ISR\t {_vectors(apic.isr, apic.tmr)}"
    yield f"IRR\t {_vectors(apic.irr, apic.tmr)}"
    yield ""
    yield (f"APR 0x00 TPR 0x{apic.tpr:02x} DFR 0x{apic.dfr >> 28:02x} LDR 0x{apic.ldr >> 24:02x} "
           f"PPR 0x{apic.priority():02x}")  # fmt: skip


def _lvt(name: str, index: Entry, apic: LocalApic) -> str:
    entry = apic.lvt[index]
    mode = TIMER_NAMES[TimerMode(entry >> 17 & 3)] if index == Entry.TIMER else ""
    delivery = _delivery(entry)
    vector = f" (vec {entry & Lvt.VECTOR})" if delivery == DeliveryMode.FIXED else ""
    return (f"{name}\t 0x{entry:08x} {_polarity(entry & Lvt.POLARITY)} {'level' if entry & Lvt.LEVEL else 'edge':<5} "
            f"{'masked' if entry & Lvt.MASK else '':<6} {'pending' if entry & Lvt.DELIVERY_STATUS else '':<7} "
            f"{mode:<12} {DELIVERY_NAMES[delivery]:<6}{vector}")  # fmt: skip


def _icr(apic: LocalApic) -> Iterator[str]:
    low, high = apic.icr_low, apic.icr_high
    vector = f" vec {low & Icr.VECTOR}" if low & Icr.VECTOR and _delivery(low) == DeliveryMode.FIXED else ""
    yield (f"ICR\t 0x{low:08x} {'logical' if low & Icr.LOGICAL else 'physical'} {'level' if low & Icr.LEVEL else 'edge'} "
           f"{'assert' if low & Icr.ASSERT else 'de-assert'} {SHORTHANDS[low >> 18 & 3]}{vector}")  # fmt: skip
    destination = high if apic.x2apic_mode else high >> 24
    shown = f"mask {destination:08b}" if low & Icr.LOGICAL else f"cpu {destination}"
    yield f"ICR2\t 0x{high:08x} {shown} (APIC ID)"


@info("irq", "", "show the interrupts statistics (if available)")
def irq(monitor: HumanMonitor, arguments: str) -> str:
    machine = _machine(monitor)
    counts = {"ioapic": machine.ioapic.raised, "isa-i8259": [*machine.pic.master.raised, *machine.pic.slave.raised]}
    return "".join(f"IRQ statistics for {name}:\n" + "".join(f"{pin:2}: {count}\n" for pin, count in enumerate(raised) if count)
                   for name, raised in counts.items())  # fmt: skip


# -- PCI


def pci_buses(machine: MonitorApi) -> list[dict[str, Any]]:
    """The answer to query-pci."""
    functions = [_pci_device(machine.pci.functions[at]) for at in sorted(machine.pci.functions)]
    return [{"bus": machine.pci.number, "devices": functions}]


def _pci_device(function: pci.PciFunction) -> dict[str, Any]:
    kind = function.class_code >> 8
    described = {"class": kind, **({"desc": PCI_CLASSES[kind]} if kind in PCI_CLASSES else {})}
    device = {"bus": 0, "slot": function.devfn >> 3, "function": function.devfn & 7, "class_info": described,
              "id": {"vendor": function.vendor_id, "device": function.device_id, "subsystem-vendor": function.subsystem[0],
                     "subsystem": function.subsystem[1]},
              "irq_pin": function.interrupt_pin, "qdev_id": "", "regions": [_region(function, bar) for bar in function.bars]}  # fmt: skip
    return {**device, "irq": function.get(pci.INTERRUPT_LINE, 1)} if function.interrupt_pin else device


def _region(function: pci.PciFunction, bar: pci.Bar) -> dict[str, Any]:
    address = function.bar_address(bar)
    region = {"bar": bar.index, "type": "io" if bar.io else "memory", "size": bar.size,
              "address": -1 if address is None else address}  # fmt: skip
    if not bar.io:
        region |= {"prefetch": bool(function.get(bar.offset, 4) & pci.BAR_PREFETCHABLE), "mem_type_64": bar.is_64bit}
    return region


@info("pci", "", "show PCI info")
def pci_(monitor: HumanMonitor, arguments: str) -> str:
    lines = []
    for device in (each for bus in monitor.qmp("query-pci") for each in bus["devices"]):
        identity, kind = device["id"], device["class_info"]
        lines += [f"  Bus {device['bus']:2}, device {device['slot']:3}, function {device['function']}:",
                  f"    {kind.get('desc') or 'Class %04x' % kind['class']}: PCI device {identity['vendor']:04x}:{identity['device']:04x}",
                  f"      PCI subsystem {identity['subsystem-vendor']:04x}:{identity['subsystem']:04x}"]  # fmt: skip
        if "irq" in device:
            lines.append(f"      IRQ {device['irq']}, pin {'?ABCD'[device['irq_pin']]}")
        lines += [_region_line(region) for region in device["regions"]]
        lines.append(f'      id "{device["qdev_id"]}"')
    return "\n".join(lines) + "\n"


def _region_line(region: dict[str, Any]) -> str:
    first = region["address"] & UNPLACED
    last = first + region["size"] - 1 & UNPLACED
    if region["type"] == "io":
        return f"      BAR{region['bar']}: I/O at 0x{first:04x} [0x{last:04x}]."
    width = 64 if region["mem_type_64"] else 32
    return f"      BAR{region['bar']}: {width} bit{' prefetchable' * region['prefetch']} memory at 0x{first:08x} [0x{last:08x}]."


# -- memory and engine


@info("mtree", "", "show memory tree")
def mtree(monitor: HumanMonitor, arguments: str) -> str:
    machine = _machine(monitor)
    ram = [_range_line(start, start + size - 1, 0, "rom" if kind == TlbFlag.ROM else "ram", name)
           for start, size, name, kind in _memory_ranges(machine)]  # fmt: skip
    memory = [_range_line(0, UNPLACED, 0, "i/o", "system", depth=1), *ram, *_mapping_lines(machine.bus.mappings)]
    ports = [_range_line(0, machine.io.size - 1, 0, "i/o", "io", depth=1), *_mapping_lines(machine.io.mappings)]
    return "\n".join(["address-space: memory", *memory, "", "address-space: I/O", *ports, ""]) + "\n"


def _memory_ranges(machine: MonitorApi) -> Iterator[tuple[int, int, str, int]]:
    for start, size, offset, kind in machine.memory.ranges():
        yield start, size, "pc.bios" if offset >= machine.memory.rom_offset and kind == TlbFlag.ROM else "pc.ram", kind


def _mapping_lines(mappings: list[Mapping]) -> list[str]:
    present = sorted((each for each in mappings if each.mapped), key=lambda each: (each.base, -each.priority))
    return [_range_line(each.base, each.end - 1, each.priority, "i/o", each.name) for each in present]


def _range_line(first: int, last: int, priority: int, kind: str, name: str, depth: int = 2) -> str:
    return f"{'  ' * depth}{first:016x}-{last:016x} (prio {priority}, {kind}): {name}"


@info("jit", "", "show dynamic compiler info")
def jit(monitor: HumanMonitor, arguments: str) -> str:
    return "".join(f"{name:<16} {value}\n" for name, value in vars(_machine(monitor).statistics()).items())
