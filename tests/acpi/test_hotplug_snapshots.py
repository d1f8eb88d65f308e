"""Chapter 13: snapshots of the hot-plug hardware: everything a guest could tell the difference by moves to a fresh board.

That the possible CPUs are the same on both sides is seen to by the machine (machines/snapshot.py).
"""

from __future__ import annotations

import pytest

from acpi.cpu_hotplug import Command, Flag
from tests.acpi.boards import DATA, FLAGS, Board, GedBoard


def moved(board: Board | GedBoard) -> Board | GedBoard:
    other = Board(board.chipset, board.arch_ids) if isinstance(board, Board) else GedBoard(board.arch_ids)
    other.load(board.save())
    return other


@pytest.mark.spec("snap.events", source="QEMU")
def test_pending_events_and_presence_move_with_a_snapshot(own):
    own.plug(1)
    own.request_unplug(1)
    own.plug(3)
    assert moved(own).all_flags() == [1, 7, 0, 3]


@pytest.mark.spec("snap.firmware", source="specification")
def test_an_eject_left_to_firmware_moves_with_a_snapshot(own):
    own.plug(1)
    own.select(1)
    own.write(FLAGS, Flag.FIRMWARE_EJECT)
    assert moved(own).flags(1) & Flag.FIRMWARE_EJECT


@pytest.mark.spec("snap.selector", source="QEMU")
def test_selector_and_command_move_with_a_snapshot(own):
    own.select(2)
    own.command(Command.ARCH_ID)
    assert moved(own).data() == own.arch_ids[2]


@pytest.mark.spec("snap.ost", source="QEMU")
def test_half_a_report_moves_with_a_snapshot(own):
    own.select(1)
    own.command(Command.OST_EVENT)
    own.write(DATA, 3, 4)
    other = moved(own)
    other.command(Command.OST_STATUS)
    other.write(DATA, 0x84, 4)
    assert other.osts == [(1, 3, 0x84)]


@pytest.mark.spec("snap.notification", source="QEMU")
def test_a_notification_moves_with_a_snapshot(own):
    own.plug(1)
    assert moved(own).take_event()


@pytest.mark.spec("snap.sci", source="QEMU")
def test_the_sci_is_as_high_after_a_snapshot_as_before(board):
    board.enable_gpe()
    board.plug(1)
    other = moved(board)
    assert other.sci.level == 1
    other.acknowledge_gpe()
    assert other.sci.level == 0


@pytest.mark.spec("snap.mode", source="QEMU")
def test_the_mode_moves_with_a_snapshot(board):
    board.plug(1)
    assert moved(board).read(0) == 0b11
    board.write(0, 0)
    assert moved(board).read(31) == 0xFF


@pytest.mark.spec("snap.walk", source="QEMU")
def test_a_scan_goes_on_when_a_snapshot_is_taken_between_any_two_of_its_steps(own):
    own.plug(1)
    own.plug(3)
    own.request_unplug(1)
    ospm = own.ospm()
    for _ in ospm.steps("\\_SB.CPUS.CSCN"):
        own = moved(own)
        ospm.spaces = {space: own.io for space in ospm.spaces}
    assert ospm.take_notifications() == [("\\_SB.CPUS.C001", 1), ("\\_SB.CPUS.C003", 1)]
    assert own.all_flags() == [1, 5, 0, 1]


def test_no_callback_runs_while_a_snapshot_is_loaded(own):
    own.plug(1)
    own.command(Command.OST_STATUS)
    other = moved(own)
    assert (other.ejected, other.osts) == ([], [])
