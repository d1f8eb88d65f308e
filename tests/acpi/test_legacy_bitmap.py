"""Chapter 1: the legacy bitmap, which pc and q35 show at power-on.

32 read-only bytes in ports, AF00h on pc and 0CD8h on q35, with one bit for each APIC id: byte id / 8, bit id mod 8, set
while a CPU with that id has been there since power-on.  A plug sets a bit and raises the general purpose event; nothing
clears a bit, so there is no unplug, and there is no way for the guest to report back.
"""

from __future__ import annotations

import pytest

from acpi.hotplug_window import UnplugNotSupported
from acpi.platform import ICH9
from tests.acpi.boards import CPU_GPE
from tests.acpi.managed_boards import Refused

BITMAP_BYTES = 32
PCI_CONFIG_ADDRESS = 0xCF8


def bitmap(board) -> list[int]:
    return [board.read(offset) for offset in range(BITMAP_BYTES)]


@pytest.mark.spec("legacy.bit-per-apic-id", source="specification")
def test_power_on_shows_one_bit_for_each_present_cpu(power_on_ports):
    board = power_on_ports(legacy=True, present=(0, 2))
    assert bitmap(board) == [0b101] + [0] * 31


@pytest.mark.spec("legacy.apic-id-not-index", source="measured")
def test_bits_are_numbered_by_apic_id_not_by_slot(power_on_ports):
    board = power_on_ports((0, 1, 2, 4, 5, 6), cores=3, legacy=True)
    board.plug(3)
    assert bitmap(board) == [1 << 4 | 1] + [0] * 31


@pytest.mark.spec("legacy.bytes", source="specification")
@pytest.mark.parametrize("size", [1, 2, 4])
def test_wide_reads_of_the_bitmap_combine_bytes(legacy, size):
    legacy.plug(1)
    assert legacy.read(0, size) == 0b11
    assert legacy.read(BITMAP_BYTES - size, size) == 0


def test_the_last_bit_belongs_to_apic_id_255(board):
    board.window.bitmap.set_present(255)
    assert board.read(31) == 0x80


@pytest.mark.spec("legacy.read-only", source="specification")
@pytest.mark.parametrize("offset", [0, 1, 4, 31])
def test_the_bitmap_ignores_writes_other_than_the_switch(legacy, offset):
    legacy.write(offset, 0xFF)
    assert bitmap(legacy) == [1] + [0] * 31


@pytest.mark.spec("legacy.plug", source="QEMU")
def test_a_plug_in_legacy_mode_sets_the_bit_and_the_event(legacy):
    legacy.plug(1)
    assert legacy.read(0) == 0b11
    assert legacy.gpe_status == CPU_GPE


@pytest.mark.spec("legacy.cold-plug", source="QEMU")
def test_a_cold_plug_in_legacy_mode_raises_the_event_too(board):
    board.window.plugged(1, hotplugged=False)
    assert board.read(0) == 0b11
    assert board.gpe_status == CPU_GPE


@pytest.mark.spec("legacy.no-eject", source="measured")
def test_nothing_a_guest_writes_clears_a_bit(legacy):
    legacy.plug(1)
    for offset in range(1, BITMAP_BYTES):
        for value in (0, 8, 0xFF):
            legacy.write(offset, value)
    assert legacy.read(0) == 0b11
    assert legacy.ejected == []


@pytest.mark.spec("legacy.reset", source="measured")
def test_the_bitmap_survives_a_reset(legacy):
    legacy.plug(1)
    legacy.reset()
    assert legacy.read(0) == 0b11


@pytest.mark.spec("legacy.no-unplug", source="measured")
def test_an_unplug_request_in_legacy_mode_is_refused(legacy):
    legacy.plug(1)
    legacy.acknowledge_gpe()
    with pytest.raises((UnplugNotSupported, Refused), match="legacy|not supported"):
        legacy.request_unplug(1)
    assert legacy.gpe_status == 0
    legacy.write(0, 0, 4)
    assert legacy.flags(1) == 1


def test_the_window_of_q35_ends_below_the_pci_configuration_ports():
    assert ICH9.cpu_hotplug_base + BITMAP_BYTES == PCI_CONFIG_ADDRESS
