"""AML of CPU hot-plug: what the guest runs when GPE.2, or the event of a Generic Event Device, fires.

Modern: the processor container `\\_SB.CPUS`, whose methods drive the selector/flags/command/data registers described
in cpu_hotplug.py.  Legacy: the bitmap walk of machine types up to 2.6 (legacy_bitmap.py).
Method names are the ones guests and firmware debuggers know; ACPI 6.4, sections 6.3 (insertion, removal) and 8.4.
Not here: `_MAT` on event device platforms, whose OS takes a CPU's interrupt controller from the MADT.
"""

# laid out like ASL, which formatters do not know
# ruff: noqa: I001
# fmt: off
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from . import madt
from .aml import (
    Acquire, And, Arg0, Arg1, Arg2, Body, Break, Buffer, ByteAcc, Call, Debug, DerefOf, Device, DWordAcc,
    EisaId, Else, Field, If, Increment, Index, IO, LAnd, LEqual, LLess, LNotEqual, Local0, Local1, Local2, Local3, Local4, Local5,
    Memory32Fixed, Method, Mutex, Name, Node, NoLock, Notify, NotSerialized, Offset, OperationRegion, Package, Preserve,
    Processor, Ref, Release, ResourceTemplate, Return, Scope, Serialized, ShiftRight, SizeOf, Sleep, Store, SystemIO,
    SystemMemory, VarPackage, While, WriteAsZeros,
)
from .ged import GedEvent, event_device
from .platform import Platform, PossibleCpu

MODERN_LENGTH = 0x0C
LEGACY_LENGTH = 0x20
# ACPI 6.4, section 5.6.6
NOTIFY_DEVICE_CHECK = 1
NOTIFY_EJECT_REQUEST = 3
STA_PRESENT_ENABLED_SHOWN_WORKING = 0xF
STA_PRESENT_ENABLED_WORKING = 0xB
STA_PRESENT_SHOWN_WORKING = 0xD
OST_ARGUMENTS = 3
MAX_INSERTS_A_PASS = 255  # the length of a plain package
SMI_CPU_HOTPLUG = 4  # command byte that tells firmware's SMI handler to look for CPU events
SMI_COMMAND = Ref("\\_SB.PCI0.SMI0.SMIC")
COMMAND_NEXT_EVENT, COMMAND_OST_EVENT, COMMAND_OST_STATUS = 0, 1, 2


def cpu_hotplug(platform: Platform) -> Body:
    """All CPU objects and the handler of GPE.2, in the form that the machine type asks for."""
    return legacy(platform) if platform.legacy_cpu_hotplug else modern(platform)


# ---------------------------------------------------------------- modern interface


@dataclass(frozen=True)
class Registers:
    """Where the registers of cpu_hotplug.py are, and the device object at `path` that shows them to AML.

    In memory they are modern from the start and every CPU is present; in ports a legacy bitmap may come first.
    """

    path: str
    base: int
    in_memory: bool = False

    def __call__(self, field: str) -> Ref:
        return Ref(f"{self.path}.{field}")

    def locked(self, *statements: Body) -> Body:
        lock = f"{self.path}.CPLK"
        return [Acquire(lock), statements, Release(lock)]


def modern(platform: Platform) -> Body:
    registers = Registers("\\_SB.PCI0.PRES", platform.chipset.cpu_hotplug_base)
    eject = _eject_by_firmware(registers) if platform.smi_cpu_hotunplug else _eject(registers)
    return [
        Scope("\\_SB",
            register_device(registers),
            container(platform.cpus, registers, eject, platform.smi_cpu_hotplug, processor)),
        Method("\\_GPE._E02", 0, NotSerialized,
            Call("\\_SB.CPUS.CSCN")),
    ]


def generic_event(cpus: Sequence[PossibleCpu], base: int) -> Body:
    """The registers in memory, and an event device whose CPU event runs the scan."""
    registers = Registers("\\_SB.PRES", base, in_memory=True)
    return Scope("\\_SB",
        register_device(registers),
        container(cpus, registers, _eject(registers), by_smi=False, processor=always_present_processor),
        event_device({GedEvent.CPU_HOTPLUG: Call("\\_SB.CPUS.CSCN")}))


def container(
    cpus: Sequence[PossibleCpu], registers: Registers, eject: Node, by_smi: bool,
    processor: Callable[[PossibleCpu, bool], Node],
) -> Node:
    """`processor(cpu, ejectable)` is the object of one possible CPU; the boot CPU, the first, cannot be ejected."""
    return Device("\\_SB.CPUS",
        Name("_HID", "ACPI0010"),
        Name("_CID", EisaId("PNP0A05")),
        _notify("CTFY", [(cpu.uid, cpu_name(cpu.uid)) for cpu in cpus]),
        _status(registers),
        eject,
        _scan(len(cpus), registers, by_smi),
        _ospm_status(registers),
        [processor(cpu, index > 0) for index, cpu in enumerate(cpus)])


def cpu_name(uid: int) -> str:
    return f"C{uid:03X}"


def register_device(registers: Registers) -> Node:
    """The register window and its two views: single bits in bytes, and whole double words."""
    base, in_memory = registers.base, registers.in_memory
    return Device(registers.path,
        Name("_HID", EisaId("PNP0A06")),
        Name("_UID", "CPU Hotplug resources"),
        Mutex("CPLK"),
        Name("_CRS", ResourceTemplate(
            Memory32Fixed(base, MODERN_LENGTH) if in_memory else IO(base, base, 1, MODERN_LENGTH))),
        OperationRegion("PRST", SystemMemory if in_memory else SystemIO, base, MODERN_LENGTH),
        Field("PRST", ByteAcc, NoLock, WriteAsZeros,
            Offset(4),
            ("CPEN", 1), ("CINS", 1), ("CRMV", 1), ("CEJ0", 1), ("CEJF", 1), *([("CPRS", 1)] if in_memory else []),
            Offset(5),
            ("CCMD", 8)),
        Field("PRST", DWordAcc, NoLock, Preserve,
            ("CSEL", 32),
            Offset(8),
            ("CDAT", 32)),
        # the first dword of zero turns the legacy bitmap into these registers
        None if in_memory else Method("_INI", 0, Serialized,
            Store(0, Ref("CSEL"))))


def _notify(name: str, objects: Sequence[tuple[int, str]]) -> Node:
    """Notify takes a name, not a value: one comparison for each object."""
    return Method(name, 2, NotSerialized,
        [If(LEqual(Arg0, number), Notify(path, Arg1)) for number, path in objects])


def _status(registers: Registers) -> Node:
    """CSTA: present and enabled go together in a slot that may be empty."""
    enabled = If(LEqual(registers("CPEN"), 1), Store(STA_PRESENT_ENABLED_SHOWN_WORKING, Local0))
    disabled = If(LEqual(registers("CPRS"), 1), Store(STA_PRESENT_SHOWN_WORKING, Local0))
    return Method("CSTA", 1, Serialized,
        registers.locked(
            Store(Arg0, registers("CSEL")),
            Store(0, Local0),
            disabled if registers.in_memory else None,
            enabled),
        Return(Local0))


def _eject(registers: Registers) -> Node:
    return Method("CEJ0", 1, Serialized,
        registers.locked(
            Store(Arg0, registers("CSEL")),
            Store(1, registers("CEJ0"))))


def _eject_by_firmware(registers: Registers) -> Node:
    """With unplug negotiated, firmware's SMI handler does the eject after taking the CPU out of SMM."""
    return Method("CEJ0", 1, Serialized,
        registers.locked(
            Store(Arg0, registers("CSEL")),
            Store(1, registers("CEJF")),
            Store(SMI_CPU_HOTPLUG, SMI_COMMAND)))


def _scan(possible: int, registers: Registers, by_smi: bool) -> Node:
    """Visit all pending events: request ejects on the way, announce inserted CPUs behind firmware's SMI.

    The search for the next event wraps around, and insert events stay pending until they are announced: an answer
    below the cursor (Local3) means that everything above was seen.
    """
    cursor, more, found, inserted, index, uid = Local3, Local4, Local0, Local1, Local2, Local5
    CSEL, CCMD, CDAT, CINS, CRMV = (registers(name) for name in ("CSEL", "CCMD", "CDAT", "CINS", "CRMV"))
    return Method("CSCN", 0, Serialized, registers.locked(
        Name("CNEW", Package(count=MAX_INSERTS_A_PASS)),
        Store(0, cursor),
        Store(1, more),
        While(LEqual(more, 1),
            Store(0, more),
            Store(1, found),
            Store(0, inserted),
            While(LAnd(LEqual(found, 1), LLess(cursor, possible)),
                Store(0, found),
                Store(cursor, CSEL),
                Store(COMMAND_NEXT_EVENT, CCMD),
                If(LLess(CDAT, cursor),
                    Break()),
                If(LEqual(inserted, MAX_INSERTS_A_PASS),
                    Store(1, more),
                    Break()),
                Store(CDAT, cursor),
                If(LEqual(CINS, 1),
                    Store(cursor, Index(Ref("CNEW"), inserted)),
                    Increment(inserted),
                    Store(1, found)),
                Else(
                    If(LEqual(CRMV, 1),
                        Call("CTFY", cursor, NOTIFY_EJECT_REQUEST),
                        Store(1, CRMV),
                        Store(1, found))),
                Increment(cursor)),
            If(LLess(0, inserted), Store(SMI_CPU_HOTPLUG, SMI_COMMAND)) if by_smi else None,
            Store(0, index),
            While(LLess(index, inserted),
                Store(DerefOf(Index(Ref("CNEW"), index)), uid),
                Call("CTFY", uid, NOTIFY_DEVICE_CHECK),
                Store(uid, Debug),
                Store(uid, CSEL),
                Store(1, CINS),
                Increment(index)))))


def _ospm_status(registers: Registers) -> Node:
    """_OST of CPU Arg0: source event Arg1, status Arg2; Arg3's details have no register."""
    return Method("COST", 4, Serialized,
        registers.locked(
            Store(Arg0, registers("CSEL")),
            Store(COMMAND_OST_EVENT, registers("CCMD")),
            Store(Arg1, registers("CDAT")),
            Store(COMMAND_OST_STATUS, registers("CCMD")),
            Store(Arg2, registers("CDAT"))))


def processor(cpu: PossibleCpu, ejectable: bool) -> Node:
    """One possible CPU.  `_MAT` always says enabled: `_STA` is what counts."""
    uid = cpu.uid
    apic = madt.processor_entry(uid, cpu.apic_id, madt.LocalApicFlag.ENABLED)
    contents = _cpu_contents(cpu, ejectable, Name("_MAT", Buffer(apic.to_bytes())))
    if uid <= 0xFF and cpu.apic_id <= madt.MAX_XAPIC_ID:
        return Processor(cpu_name(uid), uid, 0, 0, contents)
    return _processor_device(uid, contents)


def always_present_processor(cpu: PossibleCpu, ejectable: bool) -> Node:
    return _processor_device(cpu.uid, _cpu_contents(cpu, ejectable))


def _processor_device(uid: int, contents: Body) -> Node:
    return Device(cpu_name(uid), Name("_HID", "ACPI0007"), Name("_UID", uid), contents)


def _cpu_contents(cpu: PossibleCpu, ejectable: bool, interrupt_controller: Body = None) -> Body:
    uid = cpu.uid
    return [
        Method("_STA", 0, Serialized, Return(Call("CSTA", uid))),
        interrupt_controller,
        Method("_EJ0", 1, NotSerialized, Call("CEJ0", uid)) if ejectable else None,
        Method("_OST", OST_ARGUMENTS, Serialized, Call("COST", uid, Arg0, Arg1, Arg2)),
        Name("_PXM", cpu.node) if cpu.node is not None else None,
    ]


# ---------------------------------------------------------------- legacy interface

PRES_BITMAP, CPON = Ref("PRS"), Ref("CPON")
EJECT_PAUSE_MS = 200


def legacy_name(apic_id: int) -> str:
    return f"CP{apic_id:02X}"


def legacy(platform: Platform) -> Body:
    """Objects are named and indexed by APIC id; there is no _OST, and an eject does nothing but wait."""
    base = platform.chipset.cpu_hotplug_base
    ids = [cpu.apic_id for cpu in platform.cpus]
    return [
        Scope("\\_SB",
            OperationRegion("PRST", SystemIO, base, LEGACY_LENGTH),
            Field("PRST", ByteAcc, NoLock, Preserve, ("PRS", 8 * LEGACY_LENGTH)),
            Device("\\_SB.PCI0.PRES",
                Name("_HID", EisaId("PNP0A06")),
                Name("_UID", "CPU Hotplug resources"),
                Name("_CRS", ResourceTemplate(IO(base, base, 1, LEGACY_LENGTH))),
                Name("_STA", STA_PRESENT_ENABLED_WORKING)),
            _legacy_mat(),
            Method("CPST", 1, NotSerialized,
                Store(DerefOf(Index(CPON, Arg0)), Local0),
                If(Local0, Return(STA_PRESENT_ENABLED_SHOWN_WORKING)),
                Else(Return(0))),
            Method("CPEJ", 2, NotSerialized, Sleep(EJECT_PAUSE_MS)),
            [_legacy_processor(cpu) for cpu in platform.cpus],
            _notify("NTFY", [(apic_id, legacy_name(apic_id)) for apic_id in ids]),
            Name("CPON", _presence(platform.cpus)),
            _legacy_scan()),
        Method("\\_GPE._E02", 0, NotSerialized,
            Call("\\_SB.PRSC")),
    ]


def _presence(cpus: Sequence[PossibleCpu]) -> Node:
    """1 or 0 for every APIC id up to the highest possible one."""
    present = {cpu.apic_id for cpu in cpus if cpu.present}
    flags = [int(apic_id in present) for apic_id in range(max(cpu.apic_id for cpu in cpus) + 1)]
    return Package(*flags) if len(flags) <= 0xFF else VarPackage(len(flags), *flags)


def _legacy_mat() -> Node:
    """CPMA(apic id, uid): a local APIC structure, enabled as CPON says."""
    template = madt.LocalApic(acpi_processor_uid=0, apic_id=0, flags=0)
    uid_at, id_at, flags_at = (2 + template.offset_of(f) for f in ("acpi_processor_uid", "apic_id", "flags"))
    return Method("CPMA", 2, NotSerialized,
        Store(DerefOf(Index(CPON, Arg0)), Local0),
        Store(Buffer(template.to_bytes()), Local1),
        Store(Arg1, Index(Local1, uid_at)),
        Store(Arg0, Index(Local1, id_at)),
        Store(Local0, Index(Local1, flags_at)),
        Return(Local1))


def _legacy_processor(cpu: PossibleCpu) -> Node:
    return Processor(legacy_name(cpu.apic_id), cpu.uid, 0, 0,
        Method("_MAT", 0, NotSerialized, Return(Call("CPMA", cpu.apic_id, cpu.uid))),
        Method("_STA", 0, NotSerialized, Return(Call("CPST", cpu.apic_id))),
        Method("_EJ0", 1, NotSerialized, Call("CPEJ", cpu.apic_id, Arg0)))


def _legacy_scan() -> Node:
    """Compare the bitmap with CPON and announce every difference."""
    apic_id, byte, bitmap, now = Local0, Local1, Local5, Local2
    return Method("PRSC", 0, Serialized,
        Store(PRES_BITMAP, bitmap),
        Store(0, byte),
        Store(0, apic_id),
        While(LLess(apic_id, SizeOf(CPON)),
            Store(DerefOf(Index(CPON, apic_id)), Local3),
            If(And(apic_id, 0x07),
                ShiftRight(byte, 1, byte)),
            Else(
                Store(DerefOf(Index(bitmap, ShiftRight(apic_id, 3))), byte)),
            And(byte, 1, now),
            If(LNotEqual(Local3, now),
                Store(now, Index(CPON, apic_id)),
                If(LEqual(now, 1), Call("NTFY", apic_id, NOTIFY_DEVICE_CHECK)),
                Else(Call("NTFY", apic_id, NOTIFY_EJECT_REQUEST))),
            Increment(apic_id)))
