"""Chapter 9: when an event arises, how long it lasts, and when the guest is told.

A plug into a running machine is an insert event, a request to unplug is a remove event; each tells the guest through a
general purpose event or the Generic Event Device (chapters 10 and 11).  The guest clears them, nothing else does: they survive a system
reset, while the notification does not always.
"""

from __future__ import annotations

import pytest

from acpi.cpu_hotplug import Command, CpuHotplug, Flag
from tests.acpi.boards import FLAGS


@pytest.mark.spec("ev.plug", source="specification")
def test_a_hot_plug_is_an_insert_event_and_tells_the_guest(block):
    block.plug(1)
    assert block.all_flags()[1] == Flag.ENABLED | Flag.INSERT
    assert block.take_event()


@pytest.mark.spec("ev.cold", source="QEMU")
def test_a_cpu_that_was_there_at_power_on_is_no_event(power_on):
    block = power_on(present=(0, 1))
    assert block.all_flags()[1] == Flag.ENABLED


@pytest.mark.spec("ev.request", source="specification")
def test_a_request_to_unplug_is_a_remove_event_and_tells_the_guest(power_on):
    block = power_on(present=(0, 1))
    block.take_event()
    block.request_unplug(1)
    assert block.all_flags()[1] == Flag.ENABLED | Flag.REMOVE
    assert block.take_event()


@pytest.mark.spec("ev.request-asks", source="specification")
def test_a_request_to_unplug_leaves_the_cpu_where_it_is(power_on):
    block = power_on(present=(0, 1))
    block.request_unplug(1)
    assert block.flags(1) & Flag.ENABLED
    assert block.ejected == []


@pytest.mark.spec("ev.request-again", source="measured")
def test_a_repeated_request_tells_the_guest_again(power_on):
    block = power_on(present=(0, 1))
    for _ in range(2):
        block.request_unplug(1)
        assert block.take_event()
    assert block.all_flags()[1] == Flag.ENABLED | Flag.REMOVE


@pytest.mark.spec("ev.request-after-clear", source="measured")
def test_a_request_after_the_guest_cleared_the_last_is_pending_again(power_on):
    block = power_on(present=(0, 1))
    for _ in range(2):
        block.request_unplug(1)
        block.select(1)
        block.write(FLAGS, Flag.REMOVE)
        assert block.all_flags()[1] == Flag.ENABLED
    block.request_unplug(1)
    assert block.all_flags()[1] == Flag.ENABLED | Flag.REMOVE


@pytest.mark.spec("ev.eject-silent", source="QEMU")
def test_an_eject_tells_the_guest_nothing(power_on):
    block = power_on(present=(0, 1))
    block.take_event()
    block.select(1)
    block.write(FLAGS, Flag.EJECT)
    assert not block.take_event()


@pytest.mark.spec("ev.clear-silent", source="QEMU")
def test_acknowledging_the_notification_clears_no_event(block):
    block.plug(1)
    assert block.take_event()
    assert block.all_flags()[1] == Flag.ENABLED | Flag.INSERT


@pytest.mark.spec("ev.reset", source="measured")
def test_pending_events_survive_a_reset(block):
    block.plug(1)
    block.plug(2)
    block.request_unplug(2)
    block.reset()
    assert block.all_flags() == [1, 3, 7, 0]


@pytest.mark.spec("ev.reset-found", source="measured")
def test_events_from_before_a_reset_are_found_after_it(block):
    block.plug(2)
    block.reset()
    block.select(0)
    block.command(Command.NEXT_EVENT)
    assert block.data() == 2


@pytest.mark.spec("ev.plug-after-eject", source="specification")
def test_an_emptied_slot_can_be_filled_again(block):
    block.plug(1)
    block.select(1)
    block.write(FLAGS, Flag.INSERT)
    block.write(FLAGS, Flag.EJECT)
    block.plug(1)
    assert block.all_flags()[1] == Flag.ENABLED | Flag.INSERT


def test_a_cold_plug_into_the_modern_registers_is_no_event(board):
    board.write(0, 0)
    board.window.plugged(1, hotplugged=False)
    assert board.flags(1) == Flag.ENABLED
    assert board.gpe_status == 0


def test_the_block_works_with_no_machine_around():
    block = CpuHotplug([0, 4], present=[0])
    block.plugged(1)
    block.write(0x5, 1, Command.NEXT_EVENT)
    assert block.read(0x8, 4) == 1
    assert block.read(0x4, 1) == Flag.ENABLED | Flag.INSERT
