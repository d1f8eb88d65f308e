"""Errors that QMP clients see: a class from a short closed list, and a sentence."""

from __future__ import annotations

from emu.qom import NotFound, ObjectError

GENERIC_ERROR = "GenericError"
COMMAND_NOT_FOUND = "CommandNotFound"
DEVICE_NOT_FOUND = "DeviceNotFound"
DEVICE_NOT_ACTIVE = "DeviceNotActive"
KVM_MISSING_CAP = "KVMMissingCap"


class QmpError(Exception):
    """A command failed; `error_class` is one of the names above, `desc` is for people."""

    def __init__(self, desc: str, error_class: str = GENERIC_ERROR):
        super().__init__(desc)
        self.desc, self.error_class = desc, error_class

    def to_json(self) -> dict[str, str]:
        return {"class": self.error_class, "desc": self.desc}


def of_object(error: ObjectError) -> QmpError:
    """What clients are told when the object model refuses."""
    return QmpError(str(error), DEVICE_NOT_FOUND if isinstance(error, NotFound) else GENERIC_ERROR)
