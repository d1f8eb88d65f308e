"""Any accesses, on boards and machines of our own and on QEMU's: both answer the same.

Reads and writes of any width anywhere in the hot-plug window and the general purpose event block, with plugs, requests and resets
between them, as hypothesis thinks them up.
Not here: anything after an eject, which leaves QEMU 7.2 without KVM with a damaged heap.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st

from acpi.cpu_hotplug import Command, CpuHotplug, Flag
from acpi.hotplug_window import UnplugNotSupported
from acpi.platform import ChipsetInfo
from tests.acpi.boards import COMMAND, CPU_GPE, DATA, DATA2, FIRST_FOUR, FLAGS, SELECTOR, Board
from tests.acpi.managed_boards import MachineBoard, ManagedBoard, Refused
from tests.acpi.qemu_board import QemuBoard

WINDOW_BYTES, GPE_BYTES = 32, 4
ACTIONS = [
    Flag.INSERT,
    Flag.REMOVE,
    Flag.FIRMWARE_EJECT,
    Flag.INSERT | Flag.REMOVE,
    Flag.REMOVE | Flag.EJECT,
    Flag.EJECT,
]

Operation = tuple[Any, ...]
Maker = Callable[[ChipsetInfo, bool, ExitStack], Any]
anything = st.sampled_from([0, 1, 2, 3, 4, 5, 8, 0x10, 0xFF, 0x100, 0x0304, 0xFF00, 0x04030201, 0xFFFFFFFF])
sizes = st.sampled_from([1, 2, 4])
window = st.integers(0, WINDOW_BYTES - 1)
slots = st.integers(1, 3)
operations = st.one_of(
    st.tuples(st.just("write"), st.just(SELECTOR), st.just(4), st.integers(0, 4)),
    st.tuples(st.just("write"), st.just(COMMAND), st.just(1), st.sampled_from(Command)),
    st.tuples(st.just("write"), st.just(FLAGS), st.just(1), st.sampled_from(ACTIONS)),
    st.tuples(st.just("write"), st.just(DATA), st.just(4), anything),
    st.tuples(st.just("read"), st.sampled_from([SELECTOR, FLAGS, DATA]), sizes),
    st.tuples(st.just("write"), window, sizes, anything),
    st.tuples(st.just("read"), window, sizes),
    st.tuples(st.just("gpe"), st.integers(0, GPE_BYTES - 1), anything),
    st.tuples(st.just("enable"), st.sampled_from([0, CPU_GPE])),
    st.tuples(st.just("plug"), slots),
    st.tuples(st.just("request"), slots),
    st.tuples(st.just("come_and_go"), slots),
    st.tuples(st.just("reset")),
)


class Player:
    """Does operations to a board; the answer to each is what can be seen then without changing anything."""

    def __init__(self, board: Board | ManagedBoard) -> None:
        self.board = board
        self.used = {0}

    def play(self, operation: Operation) -> Any:
        answer = getattr(self, operation[0])(*operation[1:])
        board = self.board
        registers = [board.read(FLAGS), board.data(), board.read(DATA2, 4)]
        return answer, registers, board.gpe_status, board.gpe_enable, board.sci.level

    def read(self, offset: int, size: int) -> int | None:
        return self.board.read(offset, size) if offset + size <= WINDOW_BYTES else None

    def write(self, offset: int, size: int, value: int) -> None:
        if offset + size <= WINDOW_BYTES:
            self.board.write(offset, value & (1 << 8 * size) - 1, size)

    def gpe(self, offset: int, value: int) -> int:
        half, lane = divmod(offset, 2)
        port = (self.board.gpe_enable_port if half else self.board.gpe_status_port) + lane
        self.board.io.write(port, 1, value & 0xFF)
        return self.board.io.read(port, 1)

    def enable(self, bits: int) -> None:
        self.board.enable_gpe(bits)

    def plug(self, slot: int) -> None:
        self.board.select(slot)
        if slot not in self.used:
            self.used.add(slot)
            self.board.plug(slot)

    def request(self, slot: int) -> str | None:
        self.board.select(slot)
        if slot in self.used:
            try:
                self.board.request_unplug(slot)
            except (UnplugNotSupported, Refused):
                return "refused"
        return None

    def come_and_go(self, slot: int) -> str | None:
        self.plug(slot)
        return self.request(slot)

    def reset(self) -> None:
        self.board.reset()

    @property
    def outcome(self) -> Any:
        return sorted(set(self.board.ejected)), self.board.osts


def make_board(chipset: ChipsetInfo, legacy: bool, opened: ExitStack) -> Board:
    return Board(chipset, legacy=legacy)


def make_machine(chipset: ChipsetInfo, legacy: bool, opened: ExitStack) -> MachineBoard:
    machine = MachineBoard(chipset, FIRST_FOUR, cores=1, legacy=legacy, present=(0,))
    opened.callback(machine.close)
    return machine


def compare(make: Maker, chipset: ChipsetInfo, legacy: bool, played: list[Operation]) -> None:
    with ExitStack() as opened:
        directory = opened.enter_context(tempfile.TemporaryDirectory())
        theirs = QemuBoard(chipset, Path(directory), FIRST_FOUR, legacy=legacy)
        opened.callback(theirs.close)
        theirs.reset()
        a, b = Player(make(chipset, legacy, opened)), Player(theirs)
        for operation in played:
            assert a.play(operation) == b.play(operation), operation
            if a.board.ejected:
                break
        assert a.outcome == b.outcome


def compare_many(make: Maker, chipset: ChipsetInfo, sequences: int) -> None:
    @settings(max_examples=sequences, derandomize=True, database=None, deadline=None, phases=[Phase.generate])
    @given(st.sampled_from([False, False, True]), st.lists(operations, min_size=20, max_size=120))
    def run(legacy: bool, played: list[Operation]) -> None:
        note(f"{chipset.name}: {played}")
        compare(make, chipset, legacy, played)

    run()


@pytest.mark.slow
@pytest.mark.parametrize("make", [make_board, make_machine])
def test_ours_answer_as_qemu_does(make, chipset):
    compare_many(make, chipset, 200)


@pytest.mark.slow
def test_a_search_that_begins_behind_the_selected_cpu_is_found_out(chipset, monkeypatch):
    search = CpuHotplug._select_next_event

    def wrong(block: CpuHotplug) -> None:
        block.selector = (block.selector + 1) % len(block.slots)
        search(block)

    monkeypatch.setattr(CpuHotplug, "_select_next_event", wrong)
    with pytest.raises(AssertionError):
        compare_many(make_board, chipset, 300)


@pytest.mark.slow
def test_a_control_write_that_performs_all_its_bits_is_found_out(chipset, monkeypatch):
    write = CpuHotplug.write

    def wrong(block: CpuHotplug, offset: int, size: int, value: int) -> None:
        bits = [value & 1 << n for n in range(8)] if offset == FLAGS else [value]
        for bit in bits:
            write(block, offset, size, bit)

    monkeypatch.setattr(CpuHotplug, "write", wrong)
    with pytest.raises(AssertionError):
        compare_many(make_board, chipset, 300)
