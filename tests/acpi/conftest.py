"""Fixtures over the boards; what they stand on is in boards.py, managed_boards.py and qemu_board.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from acpi.platform import ICH9, PIIX4, ChipsetInfo
from tests.acpi.boards import CHIPSETS, FIRST_FOUR, Board, GedBoard
from tests.acpi.managed_boards import MachineBoard, ManagedBoard
from tests.acpi.qemu_board import QemuBoard
from tests.acpi.table_report import explain

MACHINES = {"pc": PIIX4, "q35": ICH9}
QEMU_MACHINES = {"qemu-pc": PIIX4, "qemu-q35": ICH9}
PORT_BOARDS = [*CHIPSETS, *(pytest.param(name, marks=pytest.mark.slow) for name in (*MACHINES, *QEMU_MACHINES))]
PowerOn = Callable[..., Any]


def pytest_assertrepr_compare(op: str, left: Any, right: Any) -> list[str] | None:
    """Tables that should be equal and are not are shown as ASL."""
    return explain(op, left, right)


def board_maker(name: str, directory: Path, opened: ExitStack) -> PowerOn:
    """`power_on(arch_ids, cores=, present=, legacy=)`: a new board; arch ids are those of sockets with `cores` cores."""

    def power_on(arch_ids: tuple[int, ...] = FIRST_FOUR, cores: int = 1, legacy: bool = False, **options: Any) -> Any:
        if name == "ged":
            return GedBoard(arch_ids, **options)
        if name in CHIPSETS:
            return Board(CHIPSETS[name], arch_ids, legacy=legacy, **options)
        present = options.get("present", (0,))
        if name in MACHINES:
            board: ManagedBoard = MachineBoard(MACHINES[name], arch_ids, cores, legacy, present)
        else:
            board = QemuBoard(QEMU_MACHINES[name], directory, arch_ids, cores, legacy, present)
        opened.callback(board.close)
        return board

    return power_on


@pytest.fixture(params=CHIPSETS)
def chipset(request: pytest.FixtureRequest) -> ChipsetInfo:
    return CHIPSETS[request.param]


@pytest.fixture
def board(chipset: ChipsetInfo) -> Board:
    """Our own chipsets: four possible CPUs, the first present, in legacy mode as at power-on."""
    return Board(chipset, FIRST_FOUR)


@pytest.fixture(params=PORT_BOARDS)
def power_on_ports(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PowerOn]:
    """Makes boards with the registers in ports, in modern mode unless told otherwise."""
    with ExitStack() as opened:
        yield board_maker(request.param, tmp_path, opened)


@pytest.fixture(params=[*PORT_BOARDS[:2], "ged", *PORT_BOARDS[2:]])
def power_on(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PowerOn]:
    """Makes boards of every kind, in modern mode."""
    with ExitStack() as opened:
        yield board_maker(request.param, tmp_path, opened)


@pytest.fixture(params=["ich9", *(pytest.param(name, marks=pytest.mark.slow) for name in ("q35", "qemu-q35"))])
def power_on_q35(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PowerOn]:
    """Makes boards of the chipset that has system management interrupts, in modern mode."""
    with ExitStack() as opened:
        yield board_maker(request.param, tmp_path, opened)


@pytest.fixture(params=[*CHIPSETS, "ged"])
def own_board(request: pytest.FixtureRequest, tmp_path: Path) -> PowerOn:
    return board_maker(request.param, tmp_path, ExitStack())


@pytest.fixture
def own(own_board: PowerOn) -> Any:
    """A board of our own, of each kind, in modern mode."""
    return own_board()


@pytest.fixture
def wide(own_board: PowerOn) -> Any:
    """A board of our own on which the architecture id of CPU 2 has more than 32 bits."""
    return own_board((0, 1, 0x1122334455667788, 3))


@pytest.fixture(params=["ged"])
def ged_board(request: pytest.FixtureRequest) -> GedBoard:
    return GedBoard()


@pytest.fixture
def legacy(power_on_ports: PowerOn) -> Any:
    """Four possible CPUs, the first present, with the legacy bitmap as at power-on."""
    return power_on_ports(legacy=True)


@pytest.fixture
def chip(power_on_ports: PowerOn) -> Any:
    """The same after the switch: modern registers, general purpose event, SCI."""
    return power_on_ports()


@pytest.fixture
def block(power_on: PowerOn) -> Any:
    """The modern registers of four possible CPUs, the first present, wherever they are."""
    return power_on()
