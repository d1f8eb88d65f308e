"""ACPI CPU hot-plug registers, modern interface: selector, flags, command and data in 12 bytes, little-endian.

Published as QEMU's "ACPI CPU hotplug interface"; the guest's side is cpu_hotplug_aml.py.  Registers are decoded by
their exact start offset, so a wider access reaches one register only.  Everything survives a system reset.
The block knows no machine: it reports through three callbacks and is told about CPUs by three calls.
On pc and q35 it stands behind a window (hotplug_window.py); platforms without ports map it in memory, with the Generic
Event Device in place of the general purpose event (ged.py).
Not here: the legacy bitmap and the switch between the two (legacy_bitmap.py, hotplug_window.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from emu import log
from emu.device import Device, Reg

REGION_SIZE = 12
BOOT_CPU = 0


class Flag(IntFlag):
    """Offset 4: what is read, and what a write asks for."""

    ENABLED = 1 << 0
    INSERT = 1 << 1
    REMOVE = 1 << 2
    EJECT = 1 << 3
    FIRMWARE_EJECT = 1 << 4
    PRESENT = 1 << 5
    """Read only, on platforms whose CPUs are always present: there a plug enables a CPU, an eject disables it."""


class Command(IntEnum):
    """Offset 5."""

    NEXT_EVENT = 0
    OST_EVENT = 1
    OST_STATUS = 2
    ARCH_ID = 3


@dataclass
class Slot:
    """One possible CPU; `arch_id` has 64 bits (APIC id, MPIDR)."""

    index: int
    arch_id: int
    enabled: bool = False
    inserting: bool = False
    removing: bool = False
    fw_remove: bool = False
    ost_event: int = 0
    ost_status: int = 0

    @property
    def has_event(self) -> bool:
        return self.inserting or self.removing or self.fw_remove

    @property
    def flags(self) -> Flag:
        return Flag(
            Flag.ENABLED * self.enabled
            | Flag.INSERT * self.inserting
            | Flag.REMOVE * self.removing
            | Flag.FIRMWARE_EJECT * self.fw_remove
        )


def _no_event() -> None:
    pass


def _no_eject(slot: int) -> None:
    pass


def _no_ost(slot: int, event: int, status: int) -> None:
    pass


class CpuHotplug(Device):
    """The register block of the CPUs with these arch ids, in slot order; `present` are the slots filled at power-on.

    With `always_present` every slot shows PRESENT, filled or not, as on AArch64.
    `event()` raises the general purpose event; `on_eject(slot)` must take the CPU away, and may fill the slot again;
    `on_ost(slot, event, status)` hears every _OST of the guest.
    """

    name = "acpi-cpu-hotplug"
    region_size = REGION_SIZE
    saved = ("slots",)

    selector = Reg(0x0, 4, "w", reset=None)
    data2 = Reg(0x0, 4, "r", reset=None)
    flags = Reg(0x4, 1, reset=None)
    command = Reg(0x5, 1, "w", reset=None)
    data = Reg(0x8, 4, reset=None)

    def __init__(
        self,
        arch_ids: Sequence[int],
        event: Callable[[], None] = _no_event,
        on_eject: Callable[[int], None] = _no_eject,
        on_ost: Callable[[int, int, int], None] = _no_ost,
        present: Iterable[int] = (),
        always_present: bool = False,
    ) -> None:
        self.event, self.on_eject, self.on_ost = event, on_eject, on_ost
        self.presence = Flag.PRESENT if always_present else Flag(0)
        filled = frozenset(present)
        self.slots = [Slot(n, arch_id, enabled=n in filled) for n, arch_id in enumerate(arch_ids)]

    # ------------------------------------------------------------ the guest's side

    @property
    def slot(self) -> Slot | None:
        """The selected slot; None when the selector is out of range."""
        return self.slots[self.selector] if self.selector < len(self.slots) else None

    @data2.read
    def _(self) -> int:
        slot = self.slot
        return slot.arch_id >> 32 if slot and self.command == Command.ARCH_ID else 0

    @flags.read
    def _(self) -> int:
        return self.slot.flags | self.presence if self.slot else 0

    @flags.write
    def _(self, value: int) -> None:
        slot = self.slot
        if slot is None:
            self._ignored("control")
        # QEMU: one action a write, the lowest bit wins; the specification treats bits one by one
        elif value & Flag.INSERT:
            slot.inserting = False
        elif value & Flag.REMOVE:
            slot.removing = False
        elif value & Flag.EJECT:
            self._eject(slot)
        elif value & Flag.FIRMWARE_EJECT:
            self._hand_to_firmware(slot)

    @command.write
    def _(self, value: int) -> None:
        if self.slot is None:
            self._ignored("command")
        elif value > Command.ARCH_ID:
            log.guest_error(self.name, f"command {value:#x} is unknown: 0 to 3 exist; the old one stays in force")
        else:
            self.command = value
            if value == Command.NEXT_EVENT:
                self._select_next_event()

    @data.read
    def _(self) -> int:
        slot = self.slot
        if slot and self.command == Command.NEXT_EVENT:
            return self.selector
        return slot.arch_id & 0xFFFFFFFF if slot and self.command == Command.ARCH_ID else 0

    @data.write
    def _(self, value: int) -> None:
        slot = self.slot
        if slot is None:
            self._ignored("data")
        elif self.command == Command.OST_EVENT:
            slot.ost_event = value
        elif self.command == Command.OST_STATUS:
            slot.ost_status = value
            self.on_ost(slot.index, slot.ost_event, value)

    def read_undefined(self, offset: int, size: int) -> int:
        """Reserved offsets, byte lanes of wider registers among them, read as zero."""
        return 0

    def _ignored(self, register: str) -> None:
        log.guest_error(self.name, f"{register} write ignored: CPU {self.selector} is beyond {len(self.slots)} slots")

    def _select_next_event(self) -> None:
        """One lap from the selected slot, itself included; without any event the selector stays."""
        count = len(self.slots)
        lap = ((self.selector + n) % count for n in range(count))
        self.selector = next((n for n in lap if self.slots[n].has_event), self.selector)

    def _removable(self, slot: Slot, action: str) -> bool:
        removable = slot.enabled and slot.index != BOOT_CPU
        if not removable:
            why = "it is the boot CPU" if slot.enabled else "the slot is empty"
            log.guest_error(self.name, f"{action} of CPU {slot.index} ignored: {why}")
        return removable

    def _eject(self, slot: Slot) -> None:
        if self._removable(slot, "eject"):
            # QEMU: `removing` stays as it is, so a guest that never cleared it meets it again after the next plug
            slot.enabled = slot.fw_remove = False
            self.on_eject(slot.index)

    def _hand_to_firmware(self, slot: Slot) -> None:
        if self._removable(slot, "firmware eject"):
            slot.fw_remove = True

    # ------------------------------------------------------------ the machine's side

    def plugged(self, index: int, hotplugged: bool = True) -> None:
        """A CPU is in the slot.  Only hot-plugged ones are news to the guest."""
        slot = self.slots[index]
        slot.enabled = True
        if hotplugged:
            slot.inserting = True
            self.event()

    def unplug_requested(self, index: int) -> None:
        """Ask the guest to let go of a CPU; asking again notifies it again."""
        self.slots[index].removing = True
        self.event()

    def reset(self) -> None:
        """Nothing: selector, command and pending events survive a system reset."""
