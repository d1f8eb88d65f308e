"""The port window of CPU hot-plug on pc and q35: legacy bitmap at power-on, modern registers after the switch.

One object mapped once (PIIX4 at 0xAF00, ICH9 at 0x0CD8, 32 ports).  The guest switches by writing zero to the first
port, a CPU with an APIC id of 256 or more does by being there; there is no way back, not even reset.  After the
switch the 20 ports behind the registers answer as if nothing were mapped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from emu import log
from emu.bus import ALL_ONES
from emu.device import Device

from .cpu_hotplug import REGION_SIZE, CpuHotplug, Slot
from .legacy_bitmap import BITMAP_BYTES, ID_LIMIT, LegacyBitmap


class UnplugNotSupported(Exception):
    """The guest still uses the legacy interface, which knows no removal."""


class Registers(Protocol):
    """What answers in the window: one of the two blocks, or an observer in front of it."""

    def read(self, offset: int, size: int) -> int: ...

    def write(self, offset: int, size: int, value: int) -> None: ...


class HotplugWindow(Device):
    """Both interfaces and the switch; arguments as for `CpuHotplug`.

    `legacy=False` starts in modern mode, as machine types do whose DSDT no longer writes the switch.
    `tap` may be set to a function that puts an observer in front of the active block; None costs nothing.
    """

    name = "acpi-cpu-hotplug-window"
    region_size = BITMAP_BYTES
    saved = ("legacy", "bitmap", "modern")

    def __init__(
        self,
        arch_ids: Sequence[int],
        event: Callable[[], None],
        on_eject: Callable[[int], None],
        on_ost: Callable[[int, int, int], None],
        present: Iterable[int] = (),
        legacy: bool = True,
    ) -> None:
        self.event = event
        self.modern = CpuHotplug(arch_ids, event, on_eject, on_ost, present)
        self.bitmap = LegacyBitmap(self.switch_to_modern)
        self.legacy = legacy
        self.tap: Callable[[Registers], Registers] | None = None
        self.active: Registers
        for slot in self.slots:
            if slot.enabled:
                self._show_in_bitmap(slot)
        self.select()

    @property
    def slots(self) -> list[Slot]:
        return self.modern.slots

    def select(self) -> None:
        """Put the block of the current mode, and the observer if there is one, behind the ports."""
        block: Registers = self.bitmap if self.legacy else self.modern
        self.active = self.tap(block) if self.tap else block

    def switch_to_modern(self) -> None:
        self.legacy = False
        self.select()

    # ------------------------------------------------------------ the guest's side

    def read(self, offset: int, size: int) -> int:
        if offset >= REGION_SIZE and not self.legacy:
            log.unimp(self.name, f"read at offset {offset:#x}: nothing there in modern mode, reads all ones")
            return ALL_ONES[size]
        return self.active.read(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        if offset >= REGION_SIZE and not self.legacy:
            log.unimp(self.name, f"write at offset {offset:#x}: nothing there in modern mode, ignored")
            return
        self.active.write(offset, size, value)

    # ------------------------------------------------------------ the machine's side

    def plugged(self, index: int, hotplugged: bool = True) -> None:
        """A CPU is in the slot.  In legacy mode every CPU plugged after power-on raises the event, cold or hot."""
        slot = self.slots[index]
        if self.legacy:
            slot.enabled = True
            self._show_in_bitmap(slot)
            # no insert event: after a later switch the CPU is simply there
            self.event()
        else:
            self.modern.plugged(index, hotplugged)

    def unplug_requested(self, index: int) -> None:
        """Ask the guest to let go of a CPU.  Raises UnplugNotSupported in legacy mode."""
        if self.legacy:
            raise UnplugNotSupported(
                "the guest has not switched to the modern CPU hot-plug registers, and the legacy ones cannot ask for "
                "removal: wait until its ACPI code or firmware has started"
            )
        self.modern.unplug_requested(index)

    def reset(self) -> None:
        """Nothing: mode, selector, command and pending events survive a system reset."""

    def _show_in_bitmap(self, slot: Slot) -> None:
        if slot.arch_id < ID_LIMIT:
            self.bitmap.set_present(slot.arch_id)
        else:
            self.switch_to_modern()

    def loaded(self) -> None:
        self.select()
