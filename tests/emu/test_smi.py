"""What firmware and chipset agree on about SMIs."""

from __future__ import annotations

import pytest

from emu.devices.fw_cfg import FwCfg
from emu.devices.smi import OK_FILE, REQUESTED_FILE, SUPPORTED_FILE, SmiFeature, SmiNegotiation

BROADCAST, HOTPLUG, HOT_UNPLUG = SmiFeature


class Firmware:
    """Uses the files as firmware does."""

    def __init__(self) -> None:
        self.fw_cfg = FwCfg()
        self.smi = SmiNegotiation(self.fw_cfg)

    def file(self, name: str) -> bytes:
        key = next(key for key, item in self.fw_cfg.items.items() if item is self.fw_cfg.files[name])
        self.fw_cfg.select(key)
        return self.fw_cfg.take(len(self.fw_cfg.files[name].data))

    def request(self, features: int) -> int:
        self.fw_cfg.files[REQUESTED_FILE].data[:] = features.to_bytes(8, "little")
        return self.file(OK_FILE)[0]


@pytest.fixture
def firmware() -> Firmware:
    return Firmware()


def test_all_three_features_are_offered(firmware):
    assert firmware.file(SUPPORTED_FILE) == bytes([7, 0, 0, 0, 0, 0, 0, 0])


@pytest.mark.parametrize("features", [0, BROADCAST, BROADCAST | HOTPLUG, BROADCAST | HOTPLUG | HOT_UNPLUG])
def test_a_choice_that_makes_sense_is_agreed(firmware, features):
    assert firmware.request(features) == 1
    assert firmware.smi.features == features


@pytest.mark.parametrize("features", [HOTPLUG, BROADCAST | HOT_UNPLUG, HOTPLUG | HOT_UNPLUG, 1 << 3, BROADCAST | 1 << 63])
def test_a_choice_that_makes_no_sense_is_refused(firmware, features):
    assert firmware.request(features) == 0
    assert firmware.smi.features == 0


def test_what_is_agreed_stays_until_reset(firmware):
    firmware.request(BROADCAST)
    assert firmware.request(BROADCAST | HOTPLUG) == 1
    assert firmware.smi.features == BROADCAST
    firmware.smi.reset()
    assert firmware.smi.features == 0
    assert firmware.request(BROADCAST | HOTPLUG) == 1
    assert firmware.smi.features == BROADCAST | HOTPLUG


def test_after_a_refusal_firmware_may_ask_again(firmware):
    firmware.request(HOTPLUG)
    assert firmware.request(BROADCAST | HOTPLUG) == 1
