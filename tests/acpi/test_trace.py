"""The trace of register accesses: what each of them means, in words."""

from __future__ import annotations

from acpi import trace
from acpi.cpu_hotplug import Flag


def test_the_trace_says_what_each_access_means(board):
    rows: list[trace.Access] = []
    board.clock.advance(1500)
    trace.attach(board.window, board.clock, rows.append)
    board.read(0)
    board.write(0, 0, 4)
    board.window.plugged(1)
    board.write(5, 0)
    board.read(8, 4)
    board.read(4)
    board.write(4, 2)
    board.write(4, 4)
    board.write(5, 1)
    board.write(8, 1, 4)
    board.write(5, 2)
    board.write(8, 0, 4)
    board.write(4, 8)
    board.select(9)
    board.write(4, 8)
    assert [(row.register, row.meaning) for row in rows] == [
        ("bitmap", "presence of APIC ids 0 to 7"),
        ("bitmap", "switch to the modern registers"),
        ("command", "next event: CPU 1"),
        ("data", "CPU 1"),
        ("flags", "CPU 1: enabled, insert pending"),
        ("control", "CPU 1: insert event done"),
        ("control", "CPU 1: remove event done"),
        ("command", "_OST event follows"),
        ("data", "CPU 1 reports on: device check"),
        ("command", "_OST status follows"),
        ("data", "CPU 1: success"),
        ("control", "eject CPU 1"),
        ("selector", "select CPU 9, which does not exist"),
        ("control", "ignored"),
    ]
    assert {row.time for row in rows} == {1500}
    assert str(rows[4]) == "   0.000001500 s  R flags           0x3  CPU 1: enabled, insert pending"


def test_a_detached_trace_leaves_the_block_alone(board):
    rows: list[trace.Access] = []
    direct = board.window.active
    trace.attach(board.window, board.clock, rows.append)
    assert board.window.active is not direct
    trace.detach(board.window)
    board.read(4)
    assert board.window.active is direct
    assert rows == []


def test_the_trace_has_words_for_every_flag():
    assert set(trace.FLAG_NAMES) == set(Flag) - {Flag.EJECT}
