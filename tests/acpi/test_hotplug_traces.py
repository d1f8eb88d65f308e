"""Recorded guest sessions, replayed by running the project's own AML against the registers.

The expected accesses are those of a Linux 6.1 guest on a q35 with four slots.  W is a write, R a read.
"""

from __future__ import annotations

import pytest

from acpi import trace
from tests.acpi.boards import Board

PRESENT = 0xF
DEVICE_CHECK, EJECT_REQUEST = 1, 3
EJECT_IN_PROGRESS = 0x84
CPU = "\\_SB.CPUS.C{:03X}"


class Session:
    """A board, the OS on it, and the accesses since the last look."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.guest = board.ospm()
        self.rows: list[trace.Access] = []
        trace.attach(board.window, board.clock, self.rows.append)

    def accesses(self) -> str:
        short = {"selector": "sel", "flags": "fl", "control": "fl", "command": "cmd", "data": "dat"}
        text = " ".join(f"{'W' if r.write else 'R'} {short[r.register]}={r.value:x}" for r in self.rows)
        self.rows.clear()
        return text

    def scan(self) -> list[tuple[str, int]]:
        self.guest.run("\\_GPE._E02")
        return self.guest.take_notifications()

    def ost(self, slot: int, event: int, status: int) -> None:
        self.guest.run(CPU.format(slot) + "._OST", event, status, bytearray())


@pytest.fixture
def session(board: Board) -> Session:
    return Session(board)


def test_boot_switches_and_asks_every_status(board):
    rows: list[trace.Access] = []
    trace.attach(board.window, board.clock, rows.append)
    guest = board.ospm()
    assert [(r.write, r.register, r.value) for r in rows] == [(True, "bitmap", 0)]
    session = Session(board)
    session.accesses()
    assert [guest.run(CPU.format(n) + "._STA") for n in range(4)] == [PRESENT, 0, 0, 0]
    assert session.accesses() == "W sel=0 R fl=1 W sel=1 R fl=0 W sel=2 R fl=0 W sel=3 R fl=0"


def test_device_add_of_slot_1(session):
    session.board.window.plugged(1)
    assert session.scan() == [("\\_SB.CPUS.C001", DEVICE_CHECK)]
    assert session.accesses() == ("W sel=0 W cmd=0 R dat=1 R dat=1 R fl=3 W sel=2 W cmd=0 R dat=1 W sel=1 W fl=2")
    assert session.guest.run(CPU.format(1) + "._STA") == PRESENT
    assert session.accesses() == "W sel=1 R fl=1"
    session.ost(1, DEVICE_CHECK, 0)
    assert session.accesses() == "W sel=1 W cmd=1 W dat=1 W cmd=2 W dat=0"
    assert session.board.osts == [(1, DEVICE_CHECK, 0)]


def test_two_adds_back_to_back_take_one_scan_and_an_empty_one(session):
    session.board.window.plugged(2)
    session.board.window.plugged(3)
    assert session.scan() == [("\\_SB.CPUS.C002", DEVICE_CHECK), ("\\_SB.CPUS.C003", DEVICE_CHECK)]
    assert session.accesses() == (
        "W sel=0 W cmd=0 R dat=2 R dat=2 R fl=3 W sel=3 W cmd=0 R dat=3 R dat=3 R fl=3 W sel=2 W fl=2 W sel=3 W fl=2"
    )
    assert session.scan() == []
    assert session.accesses() == "W sel=0 W cmd=0 R dat=0 R dat=0 R fl=1 R fl=1"


def test_device_del_of_slot_1(session):
    for slot in (1, 2):
        session.board.window.plugged(slot, hotplugged=False)
    session.board.window.unplug_requested(1)
    assert session.scan() == [("\\_SB.CPUS.C001", EJECT_REQUEST)]
    assert session.accesses() == (
        "W sel=0 W cmd=0 R dat=1 R dat=1 R fl=5 R fl=5 W fl=4 W sel=2 W cmd=0 R dat=2 R dat=2 R fl=1 R fl=1"
    )
    session.ost(1, EJECT_REQUEST, EJECT_IN_PROGRESS)
    assert session.accesses() == "W sel=1 W cmd=1 W dat=3 W cmd=2 W dat=84"
    session.guest.run(CPU.format(1) + "._EJ0", 1)
    assert session.accesses() == "W sel=1 W fl=8"
    assert session.board.ejected == [1]
    assert session.guest.run(CPU.format(1) + "._STA") == 0
    session.ost(1, EJECT_REQUEST, 0)
    assert session.board.osts == [(1, EJECT_REQUEST, EJECT_IN_PROGRESS), (1, EJECT_REQUEST, 0)]


def test_the_scan_of_a_full_machine_leaves_no_event(chipset):
    board = Board(chipset, list(range(255)))
    session = Session(board)
    for slot in range(1, 255):
        board.window.plugged(slot)
    assert session.scan() == [(CPU.format(n), DEVICE_CHECK) for n in range(1, 255)]
    assert not any(slot.has_event for slot in board.window.slots)


def test_the_scan_takes_more_than_255_inserts_in_two_passes(chipset):
    board = Board(chipset, list(range(300)), legacy=False)
    session = Session(board)
    for slot in range(1, 300):
        board.window.plugged(slot)
    assert session.scan() == [(CPU.format(n), DEVICE_CHECK) for n in range(1, 300)]
    assert not any(slot.has_event for slot in board.window.slots)


def test_methods_release_the_lock(session):
    session.board.window.plugged(1)
    session.scan()
    session.ost(1, DEVICE_CHECK, 0)
    session.guest.run(CPU.format(1) + "._EJ0", 1)
    assert session.guest.held == []


def test_the_boot_cpu_has_no_eject_method(session):
    assert not session.guest.has(CPU.format(0) + "._EJ0")
    assert session.guest.has(CPU.format(1) + "._EJ0")
