"""Chapter 6: control, offset 4, written.

Bit 1 says that the guest knows of the insertion and bit 2 that it knows of the removal: each clears its event.  Bit 3 ejects the CPU,
at once.  Bit 4 leaves the eject to firmware, which finds the mark in the flags.  One action a write: the lowest bit wins.
The boot CPU cannot be ejected, nor can an empty slot.
"""

from __future__ import annotations

import pytest

from acpi.cpu_hotplug import Flag
from emu import log
from tests.acpi.boards import FLAGS, Board


@pytest.fixture
def leaving(power_on):
    """CPU 1 with an insertion and a removal pending, selected."""
    block = power_on()
    block.plug(1)
    block.request_unplug(1)
    block.select(1)
    return block


@pytest.mark.spec("ctl.clear-insert", source="specification")
def test_writing_bit_1_clears_the_insert_event(leaving):
    leaving.write(FLAGS, Flag.INSERT)
    assert leaving.all_flags()[1] == Flag.ENABLED | Flag.REMOVE


@pytest.mark.spec("ctl.clear-remove", source="specification")
def test_writing_bit_2_clears_the_remove_event(leaving):
    leaving.write(FLAGS, Flag.REMOVE)
    assert leaving.all_flags()[1] == Flag.ENABLED | Flag.INSERT


@pytest.mark.spec("ctl.one-action", source="QEMU")
@pytest.mark.parametrize("value", [0x06, 0x0A, 0x12, 0x1E, 0xFF])
def test_of_several_bits_only_the_lowest_acts(leaving, value):
    leaving.write(FLAGS, value)
    assert leaving.all_flags()[1] == Flag.ENABLED | Flag.REMOVE
    assert leaving.ejected == []


@pytest.mark.spec("ctl.remove-before-eject", source="QEMU")
def test_clearing_the_remove_event_comes_before_an_eject_in_the_same_write(leaving):
    leaving.write(FLAGS, Flag.REMOVE | Flag.EJECT)
    assert leaving.all_flags()[1] == Flag.ENABLED | Flag.INSERT
    assert leaving.ejected == []


@pytest.mark.spec("ctl.eject-before-firmware", source="QEMU")
def test_eject_wins_over_leaving_it_to_firmware(leaving):
    leaving.write(FLAGS, Flag.EJECT | Flag.FIRMWARE_EJECT)
    assert leaving.ejected == [1]
    assert not leaving.read(FLAGS) & Flag.FIRMWARE_EJECT


@pytest.mark.spec("ctl.no-action", source="QEMU")
@pytest.mark.parametrize("value", [0x00, 0x01, 0x20, 0x40, 0x80, 0xE1])
def test_other_bits_do_nothing(leaving, value):
    leaving.write(FLAGS, value)
    assert leaving.all_flags()[1] == Flag.ENABLED | Flag.INSERT | Flag.REMOVE


@pytest.mark.spec("ctl.eject", source="specification")
def test_an_eject_takes_the_cpu_away_at_once(power_on):
    block = power_on(present=(0, 1))
    block.select(1)
    block.write(FLAGS, Flag.EJECT)
    assert block.all_flags() == [Flag.ENABLED, 0, 0, 0]
    assert block.ejected == [1]


@pytest.mark.spec("ctl.eject-needs-no-request", source="QEMU")
def test_a_guest_may_eject_a_cpu_that_nobody_asked_for(power_on):
    block = power_on(present=(0, 1, 2))
    block.select(2)
    block.write(FLAGS, Flag.EJECT)
    assert block.ejected == [2]


@pytest.mark.spec("ctl.protected", source="QEMU")
@pytest.mark.parametrize("action", [Flag.EJECT, Flag.FIRMWARE_EJECT], ids=["eject", "firmware"])
@pytest.mark.parametrize("slot", [0, 1], ids=["boot CPU", "empty slot"])
def test_neither_the_boot_cpu_nor_an_empty_slot_can_be_ejected(block, slot, action):
    block.select(slot)
    block.write(FLAGS, action)
    assert block.all_flags() == [Flag.ENABLED, 0, 0, 0]
    assert block.ejected == []


@pytest.mark.spec("ctl.eject-ends-firmware", source="QEMU")
def test_an_eject_ends_what_was_left_to_firmware(power_on):
    block = power_on(present=(0, 1))
    block.select(1)
    block.write(FLAGS, Flag.FIRMWARE_EJECT)
    block.write(FLAGS, Flag.EJECT)
    assert block.all_flags()[1] == 0


@pytest.mark.spec("ctl.eject-keeps-events", source="measured")
def test_an_eject_leaves_uncleared_events_for_the_next_cpu(leaving):
    leaving.write(FLAGS, Flag.INSERT)
    leaving.write(FLAGS, Flag.EJECT)
    assert leaving.all_flags()[1] == Flag.REMOVE
    leaving.plug(1)
    assert leaving.all_flags()[1] == Flag.ENABLED | Flag.INSERT | Flag.REMOVE


def test_a_refused_eject_is_logged(board: Board):
    board.write(0, 0)
    with log.captured("guest_errors") as lines:
        board.write(FLAGS, Flag.EJECT)
    assert len(lines) == 1 and "CPU 0" in lines[0]


@pytest.mark.spec("ctl.eject-order", source="QEMU")
def test_the_slot_is_empty_before_management_hears_of_the_eject(own):
    own.plug(1)
    own.select(1)
    seen = []
    own.block.on_eject = lambda slot: seen.append(own.flags(slot) & Flag.ENABLED)
    own.write(FLAGS, Flag.EJECT)
    assert seen == [0]


def test_management_may_fill_the_slot_again_as_soon_as_it_hears_of_the_eject(own):
    own.plug(1)
    own.select(1)
    own.write(FLAGS, Flag.INSERT)
    own.block.on_eject = own.plug
    own.write(FLAGS, Flag.EJECT)
    assert own.all_flags()[1] == Flag.ENABLED | Flag.INSERT
