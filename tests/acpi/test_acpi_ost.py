"""_OST records for QMP, and the trace of register accesses."""

from __future__ import annotations

import pytest

from acpi import trace
from acpi.ost import OstInfo, ospm_status, source_name, status_name


def test_the_event_names_the_device_and_the_slot_as_text():
    assert OstInfo(slot=1, source=3, status=132, device="c1").event_data() == {
        "info": {"device": "c1", "source": 3, "status": 132, "slot": "1", "slot-type": "CPU"}
    }


def test_an_empty_slot_has_no_device_member():
    assert "device" not in OstInfo(slot=1, source=3, status=0).to_qmp()


def test_ospm_status_lists_every_slot(block):
    block.window.slots[2].ost_event, block.window.slots[2].ost_status = 259, 132
    infos = ospm_status(block.window.slots, {2: "c2"}.get)
    assert [info.to_qmp() for info in infos][1:3] == [
        {"source": 0, "status": 0, "slot": "1", "slot-type": "CPU"},
        {"device": "c2", "source": 259, "status": 132, "slot": "2", "slot-type": "CPU"},
    ]
    assert len(infos) == 4


@pytest.mark.parametrize(
    ("source", "status", "words"),
    [
        (1, 0, ("device check", "success")),
        (3, 0x84, ("eject request", "ejection in progress")),
        (0x103, 0x82, ("ospm ejection", "device busy")),
        (0x100, 0x82, ("graceful shutdown", "done")),
        (0x42, 0x99, ("event 0x42", "status 0x99")),
    ],
)
def test_ost_codes_have_words(source, status, words):
    assert (source_name(source), status_name(source, status)) == words


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


def test_a_detached_trace_leaves_the_block_alone(block):
    rows: list[trace.Access] = []
    direct = block.window.active
    trace.attach(block.window, block.clock, rows.append)
    assert block.window.active is not direct
    trace.detach(block.window)
    block.read(4)
    assert block.window.active is direct
    assert rows == []
