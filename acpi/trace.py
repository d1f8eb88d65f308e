"""An observer of the CPU hot-plug registers: every access as a row with its time, register, value and meaning.

`attach(window, clock, rows.append)` starts it and `detach(window)` ends it.  While it is off nothing is in the way: the
window calls the register block directly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .cpu_hotplug import Command, CpuHotplug, Flag
from .hotplug_window import HotplugWindow, Registers
from .legacy_bitmap import LegacyBitmap
from .ost import source_name, status_name

WRITE_NAMES = {0x0: "selector", 0x4: "control", 0x5: "command", 0x8: "data"}
READ_NAMES = {0x0: "data2", 0x4: "flags", 0x8: "data"}
FLAG_NAMES = {
    Flag.ENABLED: "enabled",
    Flag.INSERT: "insert pending",
    Flag.REMOVE: "remove pending",
    Flag.FIRMWARE_EJECT: "firmware eject",
    Flag.PRESENT: "present",
}


class Clock(Protocol):
    @property
    def now(self) -> int: ...


@dataclass(frozen=True)
class Access:
    """`time` in nanoseconds of virtual time, `value` as the guest wrote or read it."""

    time: int
    write: bool
    register: str
    value: int
    meaning: str

    def __str__(self) -> str:
        return f"{self.time / 1e9:14.9f} s  {'W' if self.write else 'R'} {self.register:8} {self.value:#10x}  {self.meaning}"


Sink = Callable[[Access], None]


def attach(window: HotplugWindow, clock: Clock, sink: Sink) -> None:
    """Send every access from now on to `sink`, in both modes and across the switch."""
    window.tap = lambda block: _Observer(window, block, clock, sink)
    window.select()


def detach(window: HotplugWindow) -> None:
    window.tap = None
    window.select()


class _Observer:
    def __init__(self, window: HotplugWindow, block: Registers, clock: Clock, sink: Sink) -> None:
        self.window, self.block, self.clock, self.sink = window, block, clock, sink

    def read(self, offset: int, size: int) -> int:
        value = self.block.read(offset, size)
        if isinstance(self.block, LegacyBitmap):
            row = ("bitmap", f"presence of APIC ids {8 * offset} to {8 * (offset + size) - 1}")
        else:
            row = (READ_NAMES.get(offset, f"+{offset:#x}"), _read_meaning(self.window.modern, offset, value))
        self.sink(Access(self.clock.now, False, row[0], value, row[1]))
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        legacy, selected = self.window.legacy, self.window.modern.selector
        self.block.write(offset, size, value)
        if legacy:
            row = ("bitmap", "ignored" if self.window.legacy else "switch to the modern registers")
        else:
            name = WRITE_NAMES.get(offset, f"+{offset:#x}")
            row = (name, _write_meaning(self.window.modern, offset, value, selected))
        self.sink(Access(self.clock.now, True, row[0], value, row[1]))


def _read_meaning(block: CpuHotplug, offset: int, value: int) -> str:
    if offset == CpuHotplug.flags.offset:
        return f"CPU {block.selector}: " + (", ".join(t for f, t in FLAG_NAMES.items() if value & f) or "absent")
    if offset == CpuHotplug.data.offset and block.command == Command.NEXT_EVENT:
        return f"CPU {value}"
    if block.command == Command.ARCH_ID:
        return f"architecture id of CPU {block.selector}"
    return ""


def _write_meaning(block: CpuHotplug, offset: int, value: int, selected: int) -> str:
    """What a write did; `selected` is the selector before it."""
    if offset == CpuHotplug.selector.offset:
        return f"select CPU {value}" if block.slot else f"select CPU {value}, which does not exist"
    if block.slot is None:
        return "ignored"
    if offset == CpuHotplug.flags.offset:
        return _control_meaning(value, selected)
    if offset == CpuHotplug.command.offset:
        return _command_meaning(block, value)
    return _data_meaning(block, value) if offset == CpuHotplug.data.offset else "ignored"


def _control_meaning(value: int, cpu: int) -> str:
    actions = (
        (Flag.INSERT, f"CPU {cpu}: insert event done"),
        (Flag.REMOVE, f"CPU {cpu}: remove event done"),
        (Flag.EJECT, f"eject CPU {cpu}"),
        (Flag.FIRMWARE_EJECT, f"let firmware eject CPU {cpu}"),
    )
    return next((text for flag, text in actions if value & flag), "nothing")


def _command_meaning(block: CpuHotplug, value: int) -> str:
    if value == Command.NEXT_EVENT:
        pending = block.slot is not None and block.slot.has_event
        return f"next event: CPU {block.selector}" if pending else "next event: none"
    known = {Command.OST_EVENT: "_OST event follows", Command.OST_STATUS: "_OST status follows"}
    return known.get(value, "architecture id asked" if value == Command.ARCH_ID else "unknown, ignored")  # type: ignore[call-overload]


def _data_meaning(block: CpuHotplug, value: int) -> str:
    slot = block.slot
    if slot is None or block.command not in (Command.OST_EVENT, Command.OST_STATUS):
        return "ignored"
    if block.command == Command.OST_EVENT:
        return f"CPU {slot.index} reports on: {source_name(value)}"
    return f"CPU {slot.index}: {status_name(slot.ost_event, value)}"
