"""What the guest's _OST reports: OSPM status indication, ACPI 6.4, section 6.3.5.

The record behind QMP's `query-acpi-ospm-status` and the payload of the event `ACPI_DEVICE_OST`.  Values are passed on
as the guest wrote them; the names below are for people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from .cpu_hotplug import Slot

SLOT_TYPE_CPU = "CPU"


class OstSource(IntEnum):
    BUS_CHECK = 0
    DEVICE_CHECK = 1
    EJECT_REQUEST = 3
    GRACEFUL_SHUTDOWN = 0x100
    OSPM_EJECTION = 0x103


SUCCESS = 0
_COMMON = {SUCCESS: "success", 1: "failure", 2: "unrecognised notification"}
_EJECTION = {
    0x80: "ejection not supported by the OS",
    0x81: "in use by an application",
    0x82: "device busy",
    0x83: "a dependency is busy",
    0x84: "ejection in progress",
}
_INSERTION = {0x80: "insertion in progress", 0x81: "driver load failure", 0x82: "insertion not supported by the OS"}
_SHUTDOWN = {0x80: "denied", 0x81: "in progress", 0x82: "done", 0x83: "not supported"}
_STATUS = {
    OstSource.BUS_CHECK: _INSERTION,
    OstSource.DEVICE_CHECK: _INSERTION,
    OstSource.EJECT_REQUEST: _EJECTION,
    OstSource.OSPM_EJECTION: _EJECTION,
    OstSource.GRACEFUL_SHUTDOWN: _SHUTDOWN,
}


@dataclass(frozen=True)
class OstInfo:
    """`ACPIOSTInfo`: `device` is the CPU's id, None if the slot is empty or the device has none."""

    slot: int
    source: int
    status: int
    device: str | None = None

    def to_qmp(self) -> dict[str, Any]:
        named = {} if self.device is None else {"device": self.device}
        return {
            **named,
            "source": self.source,
            "status": self.status,
            "slot": str(self.slot),
            "slot-type": SLOT_TYPE_CPU,
        }

    def event_data(self) -> dict[str, Any]:
        """The `data` of ACPI_DEVICE_OST."""
        return {"info": self.to_qmp()}


def ospm_status(slots: Iterable[Slot], device_id: Callable[[int], str | None]) -> list[OstInfo]:
    """One record for each possible CPU; `device_id(slot)` names the device in it."""
    return [OstInfo(slot.index, slot.ost_event, slot.ost_status, device_id(slot.index)) for slot in slots]


def source_name(source: int) -> str:
    """Words for an _OST source event."""
    return OstSource(source).name.lower().replace("_", " ") if source in _STATUS else f"event {source:#x}"


def status_name(source: int, status: int) -> str:
    """Words for an _OST status, whose upper half depends on the source event."""
    return _COMMON.get(status) or _STATUS.get(source, {}).get(status) or f"status {status:#x}"  # type: ignore[call-overload]
