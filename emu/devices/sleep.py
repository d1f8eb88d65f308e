"""What users may say about the ACPI sleep states, on whichever function does power management."""

from __future__ import annotations

from typing import Any

from emu.qom import ObjectError, Property


def _only_disabled(device: Any, value: int) -> int:
    if not value:
        raise ObjectError("suspend to RAM is not supported: leave disable_s3 out, or set it to 1")
    return value


class SleepSettings:
    """-global PIIX4_PM.disable_s4=1 and its like.  S3 is always off; S4 is the guest's own affair and only advertised."""

    disable_s3 = Property("uint8", 1, name="disable_s3", check=_only_disabled)
    disable_s4 = Property("uint8", 0, name="disable_s4")
