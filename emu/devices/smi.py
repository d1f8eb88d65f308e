"""What a chipset and its firmware agree on about SMIs, through three fw_cfg files (QEMU's published interface for q35).

Firmware reads what is supported (8 bytes, little-endian), writes what it wants, then reads one byte: 1 means agreed until the
next reset, 0 that the choice makes no sense.
"""

from __future__ import annotations

from enum import IntFlag

from emu.devices.fw_cfg import FwCfg
from emu.snapshot import Stateful

SUPPORTED_FILE, REQUESTED_FILE, OK_FILE = "etc/smi/supported-features", "etc/smi/requested-features", "etc/smi/features-ok"
SIZE = 8


class SmiFeature(IntFlag):
    BROADCAST = 1 << 0  # a write to the APM port interrupts every CPU, not only the one that writes
    CPU_HOTPLUG = 1 << 1  # firmware takes part when a CPU comes ...
    CPU_HOT_UNPLUG = 1 << 2  # ... and when it goes


SUPPORTED = SmiFeature.BROADCAST | SmiFeature.CPU_HOTPLUG | SmiFeature.CPU_HOT_UNPLUG
NOTHING_AGREED = SmiFeature(0)


class SmiNegotiation(Stateful):
    """The files, and in `features` what was agreed."""

    saved = ("agreed", "_features")

    def __init__(self, fw_cfg: FwCfg) -> None:
        self.fw_cfg = fw_cfg
        self.agreed, self._features = False, 0
        fw_cfg.add_file(SUPPORTED_FILE, int(SUPPORTED).to_bytes(SIZE, "little"))
        self._requested = fw_cfg.add_file(REQUESTED_FILE, bytes(SIZE), writable=True)
        self._ok = fw_cfg.add_file(OK_FILE, b"\0", on_select=self._decide)

    @property
    def features(self) -> SmiFeature:
        return SmiFeature(self._features)

    def reset(self) -> None:
        self.agreed, self._features = False, 0
        self._requested.data[:] = bytes(SIZE)

    def _decide(self) -> None:
        wanted = int.from_bytes(self._requested.data, "little")
        if not self.agreed and makes_sense(wanted):
            self.agreed, self._features = True, wanted
        self._ok.data[0] = self.agreed


def makes_sense(wanted: int) -> bool:
    """CPUs can go only if they can come, and both need every CPU to hear of it."""
    if wanted & ~int(SUPPORTED):
        return False
    if wanted & SmiFeature.CPU_HOT_UNPLUG and not wanted & SmiFeature.CPU_HOTPLUG:
        return False
    return not wanted & SmiFeature.CPU_HOTPLUG or bool(wanted & SmiFeature.BROADCAST)
