"""Chapter 12: what a guest does with all this: the AML of the DSDT, run against the registers.

The event runs the scan: from CPU 0 upwards, select, look for the next event, stop when the answer lies below the cursor, for the search
wraps around.  A CPU that is leaving is told (Notify 3) and its event cleared on the way; the inserted ones are remembered, and told (Notify 1)
and cleared behind the scan.  The OS answers by _STA, _OST and, in the end, _EJ0.
The accesses expected here are those recorded from Linux 6.1 on a q35 with four slots.  W is a write, R a read.
"""

from __future__ import annotations

from typing import Any

import pytest

from acpi.aml.evaluator import Run
from acpi.aml.steps import Access, Notification, Step
from acpi.cpu_hotplug import Command, Flag
from acpi.platform import ICH9
from tests.acpi.boards import Board

PRESENT = 0xF
DEVICE_CHECK, EJECT_REQUEST = 1, 3
EJECT_IN_PROGRESS = 0x84
REGISTER = {"CSEL": "sel", "CCMD": "cmd", "CDAT": "dat"}


def cpu(slot: int) -> str:
    return f"\\_SB.CPUS.C{slot:03X}"


def added(*slots: int) -> list[tuple[str, int]]:
    return [(cpu(slot), DEVICE_CHECK) for slot in slots]


class Session:
    """A board, the OS on it, and what the OS did since the last look."""

    def __init__(self, board: Any) -> None:
        self.board, self.os = board, board.ospm()
        self.steps: list[Step] = []

    def call(self, path: str, *args: Any) -> Any:
        run = self.os.steps(path, *args)
        self.steps = list(run)
        return run.result

    def scan(self) -> list[tuple[str, int]]:
        self.call(self.board.handler, *self.board.handler_arguments)
        return self.os.take_notifications()

    def status(self, slot: int) -> int:
        return self.call(f"{cpu(slot)}._STA")

    def ost(self, slot: int, event: int, status: int) -> None:
        self.call(f"{cpu(slot)}._OST", event, status, b"")

    def eject(self, slot: int) -> None:
        self.call(f"{cpu(slot)}._EJ0", 1)

    @property
    def trace(self) -> str:
        """Accesses to the hot-plug registers; the flags without what is always set."""
        words = []
        for step in self.steps:
            if isinstance(step, Access) and step.field != "ESEL":
                name, value = REGISTER.get(step.field, "fl"), step.value
                value &= ~self.board.always if name == "fl" else -1
                words.append(f"{'W' if step.write else 'R'} {name}={value:x}")
        return " ".join(words)


@pytest.fixture
def session(block) -> Session:
    return Session(block)


@pytest.fixture
def three(power_on) -> Session:
    """CPUs 0 to 2 are there from power-on."""
    return Session(power_on(present=(0, 1, 2)))


def run_until(run: Run, kind: type[Step], nth: int = 1) -> None:
    for step in run:
        nth -= isinstance(step, kind)
        if nth == 0:
            return


# ---------------------------------------------------------------- recorded walks


@pytest.mark.spec("aml.status", source="measured")
def test_a_status_is_a_selector_write_and_a_read_of_the_flags(session):
    enabled = [bool(session.status(slot) & 2) for slot in range(4)]
    assert enabled == [True, False, False, False]
    questions = 2 if session.board.always else 1  # present? enabled?
    assert session.trace == "W sel=3" + questions * " R fl=0"


@pytest.mark.spec("aml.add", source="measured")
def test_a_plug_is_found_told_and_cleared(session):
    session.board.plug(1)
    assert session.scan() == added(1)
    assert session.trace == "W sel=0 W cmd=0 R dat=1 R dat=1 R fl=3 W sel=2 W cmd=0 R dat=1 W sel=1 W fl=2"
    assert session.status(1) == PRESENT


@pytest.mark.spec("aml.two-adds", source="measured")
def test_two_plugs_are_found_by_one_scan(session):
    session.board.plug(2)
    session.board.plug(3)
    assert session.scan() == added(2, 3)
    assert session.trace == (
        "W sel=0 W cmd=0 R dat=2 R dat=2 R fl=3 W sel=3 W cmd=0 R dat=3 R dat=3 R fl=3 W sel=2 W fl=2 W sel=3 W fl=2"
    )


@pytest.mark.spec("aml.nothing", source="measured")
def test_a_scan_without_events_ends_at_once(session):
    session.call("\\_SB.CPUS.CSCN")
    assert session.os.take_notifications() == []
    assert session.trace == "W sel=0 W cmd=0 R dat=0 R dat=0 R fl=1 R fl=1"


@pytest.mark.spec("aml.remove", source="measured")
def test_a_request_to_unplug_is_told_and_cleared_during_the_scan(three):
    three.board.request_unplug(1)
    assert three.scan() == [(cpu(1), EJECT_REQUEST)]
    assert three.trace == (
        "W sel=0 W cmd=0 R dat=1 R dat=1 R fl=5 R fl=5 W fl=4 W sel=2 W cmd=0 R dat=2 R dat=2 R fl=1 R fl=1"
    )


@pytest.mark.spec("aml.ost", source="measured")
def test_ost_writes_the_event_and_then_the_status(three):
    three.ost(1, EJECT_REQUEST, EJECT_IN_PROGRESS)
    assert three.trace == "W sel=1 W cmd=1 W dat=3 W cmd=2 W dat=84"
    assert three.board.osts == [(1, EJECT_REQUEST, EJECT_IN_PROGRESS)]


@pytest.mark.spec("aml.eject", source="measured")
def test_ej0_ejects_and_the_status_becomes_absent(three):
    three.eject(1)
    assert three.trace == "W sel=1 W fl=8"
    assert three.board.ejected == [1]
    assert three.status(1) & 2 == 0


@pytest.mark.spec("aml.whole-unplug", source="measured")
def test_an_unplug_from_request_to_report(three):
    three.board.request_unplug(1)
    three.scan()
    three.ost(1, EJECT_REQUEST, EJECT_IN_PROGRESS)
    three.eject(1)
    three.ost(1, EJECT_REQUEST, 0)
    assert three.board.osts == [(1, EJECT_REQUEST, EJECT_IN_PROGRESS), (1, EJECT_REQUEST, 0)]
    assert three.board.all_flags() == [Flag.ENABLED, 0, Flag.ENABLED, 0]


# ---------------------------------------------------------------- why the walk is as it is


@pytest.mark.spec("aml.wrap", source="QEMU")
def test_the_scan_stops_when_the_search_has_wrapped_around(session):
    session.board.plug(2)
    session.scan()
    assert session.trace.count("W cmd=0") == 2, "the second search finds CPU 2 again, below the cursor"


@pytest.mark.spec("aml.insert-stays", source="QEMU")
def test_an_insert_event_stays_pending_until_its_cpu_is_told(session):
    session.board.plug(1)
    session.board.plug(2)
    run = session.os.steps("\\_SB.CPUS.CSCN")
    run_until(run, Notification)
    assert session.board.all_flags() == [1, 3, 3, 0]
    run_until(run, Notification)
    assert session.board.all_flags() == [1, 1, 3, 0]
    run.finish()
    assert session.board.all_flags() == [1, 1, 1, 0]


@pytest.mark.spec("aml.insert-first", source="QEMU")
def test_a_cpu_plugged_and_asked_to_leave_is_told_one_after_the_other(session):
    session.board.plug(1)
    session.board.request_unplug(1)
    assert session.scan() == added(1)
    session.call("\\_SB.CPUS.CSCN")
    assert session.os.take_notifications() == [(cpu(1), EJECT_REQUEST)]


@pytest.mark.spec("aml.mixed", source="QEMU")
def test_removals_are_told_during_and_insertions_behind_the_scan(three):
    three.board.plug(3)
    three.board.request_unplug(1)
    assert three.scan() == [(cpu(1), EJECT_REQUEST), *added(3)]


@pytest.mark.spec("aml.plug-ahead", source="QEMU")
def test_a_plug_ahead_of_a_running_scan_is_found_by_it(session):
    session.board.plug(1)
    run = session.os.steps("\\_SB.CPUS.CSCN")
    run_until(run, Access, 5)
    session.board.plug(3)
    run.finish()
    assert session.os.take_notifications() == added(1, 3)


@pytest.mark.spec("aml.plug-behind", source="QEMU")
def test_a_plug_behind_a_running_scan_is_found_by_the_next(three):
    three.board.plug(3)
    run = three.os.steps("\\_SB.CPUS.CSCN")
    run_until(run, Notification)
    three.board.request_unplug(1)
    run.finish()
    assert three.os.take_notifications() == added(3)
    assert three.scan() == [(cpu(1), EJECT_REQUEST)]


@pytest.mark.spec("aml.lock", source="QEMU")
@pytest.mark.parametrize("method", ["CSCN", "C001._STA", "C001._EJ0", "C001._OST"])
def test_every_method_holds_the_lock_from_its_first_access_to_its_last(session, method):
    session.board.plug(1)
    arguments = {"C001._EJ0": (1,), "C001._OST": (1, 0, b"")}.get(method, ())
    run = session.os.steps(f"\\_SB.CPUS.{method}", *arguments)
    held = [session.os.held for step in run if isinstance(step, Access)]
    assert held and all(names == [session.board.lock] for names in held)
    assert session.os.held == []


@pytest.mark.spec("aml.lock-waits", source="ACPI")
def test_another_method_waits_for_a_running_scan(session):
    session.board.plug(1)
    scan, eject = session.os.steps("\\_SB.CPUS.CSCN"), session.os.steps(f"{cpu(1)}._EJ0", 1)
    run_until(scan, Access, 3)
    for _ in range(20):
        next(eject)
    assert session.board.all_flags()[1] & Flag.ENABLED
    scan.finish()
    eject.finish()
    assert session.board.ejected == [1]


@pytest.mark.spec("aml.boot-cpu", source="QEMU")
def test_the_boot_cpu_has_no_eject_method(session):
    assert [session.os.has(f"{cpu(slot)}._EJ0") for slot in range(4)] == [False, True, True, True]


@pytest.mark.spec("aml.all-possible", source="specification")
def test_every_possible_cpu_has_an_object_with_status_and_report(session):
    assert all(session.os.has(f"{cpu(slot)}.{method}") for slot in range(4) for method in ("_STA", "_OST"))
    assert not session.os.has(cpu(4))


@pytest.mark.spec("aml.container", source="ACPI")
def test_the_cpus_are_in_a_processor_container(session):
    assert session.os.run("\\_SB.CPUS._HID") == "ACPI0010"


@pytest.mark.spec("aml.mat", source="measured")
def test_mat_is_the_local_apic_as_enabled_even_in_an_empty_slot(chip):
    assert chip.ospm().run(f"{cpu(3)}._MAT") == bytes.fromhex("0008030301000000")


@pytest.mark.spec("aml.reset", source="measured")
def test_a_scan_after_a_reset_finds_what_was_pending_before(session):
    session.board.plug(2)
    session.board.reset()
    rebooted = Session(session.board)
    rebooted.call("\\_SB.CPUS.CSCN")
    assert rebooted.os.take_notifications() == added(2)


@pytest.mark.spec("aml.stray-selector", source="QEMU")
@pytest.mark.parametrize("selector", [3, 4, 0xFFFFFFFF])
def test_the_scan_does_not_depend_on_what_was_selected_before(session, selector):
    session.board.plug(1)
    session.board.command(Command.ARCH_ID)
    session.board.select(selector)
    assert session.scan() == added(1)


# ---------------------------------------------------------------- many CPUs, on our own boards


@pytest.mark.parametrize("possible", [255, 300])
def test_the_scan_of_a_full_machine_tells_every_cpu_once(possible):
    """300 do not fit the AML's list of inserted CPUs, which then takes two passes."""
    session = Session(Board(ICH9, range(possible), legacy=False))
    for slot in range(1, possible):
        session.board.plug(slot)
    assert session.scan() == added(*range(1, possible))
    assert not any(slot.has_event for slot in session.board.window.slots)
