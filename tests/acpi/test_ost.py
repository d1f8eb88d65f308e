"""Chapter 8: what the guest reports back with _OST.

Two numbers go through the data register: the event it speaks of (command 1), then what became of it (command 2).  The second
write is the report: management hears it as ACPI_DEVICE_OST, with the CPU's slot.  The numbers are passed on as they are;
ACPI, section 6.3.5, gives them their meanings.
"""

from __future__ import annotations

import pytest

from acpi.cpu_hotplug import Command, Flag
from acpi.ost import OstInfo, ospm_status, source_name, status_name
from tests.acpi.boards import DATA, FLAGS

DEVICE_CHECK, EJECT_REQUEST, EJECTION_IN_PROGRESS = 1, 3, 0x84


def report(block, slot: int, event: int, status: int) -> None:
    block.select(slot)
    block.command(Command.OST_EVENT)
    block.write(DATA, event, 4)
    block.command(Command.OST_STATUS)
    block.write(DATA, status, 4)


@pytest.mark.spec("ost.report", source="specification")
def test_the_status_write_is_the_report(block):
    block.select(1)
    block.command(Command.OST_EVENT)
    block.write(DATA, EJECT_REQUEST, 4)
    block.command(Command.OST_STATUS)
    assert block.osts == []
    block.write(DATA, EJECTION_IN_PROGRESS, 4)
    assert block.osts == [(1, EJECT_REQUEST, EJECTION_IN_PROGRESS)]


@pytest.mark.spec("ost.any-value", source="QEMU")
def test_reports_are_passed_on_unvalidated(block):
    report(block, 3, 0x103, 0x99)
    block.write(DATA, 0x7FFFFFFF, 4)
    assert block.osts == [(3, 0x103, 0x99), (3, 0x103, 0x7FFFFFFF)]


@pytest.mark.spec("ost.event-stays", source="QEMU")
def test_the_event_of_a_slot_stays_for_its_next_reports(block):
    report(block, 1, EJECT_REQUEST, EJECTION_IN_PROGRESS)
    report(block, 2, DEVICE_CHECK, 0)
    block.select(1)
    block.write(DATA, 0, 4)
    assert block.osts[-1] == (1, EJECT_REQUEST, 0)


@pytest.mark.spec("ost.data-reads-zero", source="specification")
@pytest.mark.parametrize("command", [Command.OST_EVENT, Command.OST_STATUS])
def test_what_was_reported_cannot_be_read_back(block, command):
    block.select(1)
    block.command(command)
    block.write(DATA, EJECTION_IN_PROGRESS, 4)
    assert block.data() == 0


@pytest.mark.spec("ost.empty-slot", source="measured")
def test_the_report_about_an_ejected_cpu_names_its_slot(power_on):
    block = power_on(present=(0, 1))
    block.select(1)
    block.write(FLAGS, Flag.EJECT)
    report(block, 1, EJECT_REQUEST, 0)
    assert block.osts == [(1, EJECT_REQUEST, 0)]


@pytest.mark.spec("ost.changes-no-flag", source="specification")
def test_a_report_changes_no_flag(block):
    block.plug(1)
    before = block.all_flags()
    report(block, 1, DEVICE_CHECK, 0)
    assert block.all_flags() == before


# ---------------------------------------------------------------- what management sees


def test_the_event_names_the_device_and_the_slot_as_text():
    assert OstInfo(slot=1, source=3, status=132, device="c1").event_data() == {
        "info": {"device": "c1", "source": 3, "status": 132, "slot": "1", "slot-type": "CPU"}
    }


def test_an_empty_slot_has_no_device_member():
    assert "device" not in OstInfo(slot=1, source=3, status=0).to_qmp()


def test_ospm_status_lists_every_slot(board):
    board.window.slots[2].ost_event, board.window.slots[2].ost_status = 259, 132
    infos = ospm_status(board.window.slots, {2: "c2"}.get)
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
