"""The DSDT that QEMU 7.2 generates, run on our hot-plug registers: it finds there what ours finds, access by access."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

from acpi.aml.asl import asl
from acpi.aml.evaluator import Evaluator
from acpi.aml.steps import Access
from acpi.platform import ICH9, PIIX4, ChipsetInfo
from tests.acpi.acpica import compile_asl, needs_acpica
from tests.acpi.boards import Board
from tests.acpi.qemu_tables import needs_qemu, qemu_dsdt

pytestmark = needs_qemu
MACHINES = {"piix4": "pc", "ich9": "q35"}
SLOTS = 4
HANDLER = "\\_GPE._E02"
CPU = "\\_SB.CPUS.C{:03X}"


def theirs(chipset: ChipsetInfo, board: Board) -> Evaluator:
    ospm = Evaluator(qemu_dsdt(MACHINES[chipset.name], f"1,maxcpus={SLOTS}"), io=board.io)
    ospm.run("\\_SB.PCI0.PRES._INI")
    return ospm


def accesses(ospm: Evaluator, path: str, *arguments: Any) -> list[tuple[str, int, bool, int]]:
    """What a call does on the bus, and what it returns."""
    run = ospm.steps(path, *arguments)
    done: list[Any] = [(s.field, s.address, s.write, s.value) for s in run if isinstance(s, Access)]
    return [*done, run.result]


def nothing(board: Board) -> None:
    pass


def plug_one(board: Board) -> None:
    board.plug(1)


def plug_two(board: Board) -> None:
    board.plug(2)
    board.plug(3)


def plug_all(board: Board) -> None:
    for slot in range(1, SLOTS):
        board.plug(slot)


def unplug(board: Board) -> None:
    board.window.plugged(1, hotplugged=False)
    board.request_unplug(1)


def plug_and_unplug(board: Board) -> None:
    unplug(board)
    board.plug(3)


EVENTS: list[Callable[[Board], None]] = [nothing, plug_one, plug_two, plug_all, unplug, plug_and_unplug]


@pytest.mark.parametrize("event", EVENTS)
def test_its_event_handler_reads_and_writes_what_ours_does(chipset, event):
    seen = []
    for load in (theirs, lambda chipset, board: board.ospm()):
        board = Board(chipset)
        ospm = load(chipset, board)
        event(board)
        seen.append((accesses(ospm, HANDLER), ospm.take_notifications(), board.window.save()))
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("method", "arguments"),
    [("_STA", ()), ("_MAT", ()), ("_OST", (1, 0, b"")), ("_OST", (3, 0x84, b"")), ("_EJ0", (1,))],
)
@pytest.mark.parametrize("slot", [1, SLOTS - 1])
def test_its_cpu_methods_read_and_write_what_ours_do(chipset, slot, method, arguments):
    seen = []
    for load in (theirs, lambda chipset, board: board.ospm()):
        board = Board(chipset)
        ospm = load(chipset, board)
        board.window.plugged(slot, hotplugged=False)
        seen.append((accesses(ospm, f"{CPU.format(slot)}.{method}", *arguments), board.osts, board.ejected))
    assert seen[0] == seen[1]


def test_it_announces_a_plug_between_any_two_of_its_steps(chipset):
    pause, ended = 0, False
    while not ended:
        board = Board(chipset)
        ospm = theirs(chipset, board)
        board.plug(1)
        run = ospm.steps(HANDLER)
        ended = len(list(islice(run, pause))) < pause
        board.plug(2)
        run.finish()
        ospm.run(HANDLER)
        assert sorted(ospm.take_notifications()) == [(CPU.format(1), 1), (CPU.format(2), 1)]
        pause += 1
    assert pause > 50


@needs_acpica
@pytest.mark.parametrize("chip", [PIIX4, ICH9], ids=lambda c: c.name)
def test_it_prints_as_asl_that_compiles_to_the_same(chip, tmp_path):
    table = qemu_dsdt(MACHINES[chip.name], f"1,maxcpus={SLOTS}")
    again = compile_asl(asl(table), tmp_path)
    assert again[36:] == table[36:]
