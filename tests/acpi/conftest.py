"""Fixtures over both chipsets; what they stand on is in boards.py."""

from __future__ import annotations

import pytest
from tests.acpi.boards import CHIPSETS, Board

from acpi.platform import ChipsetInfo


@pytest.fixture(params=CHIPSETS)
def chipset(request: pytest.FixtureRequest) -> ChipsetInfo:
    return CHIPSETS[request.param]


@pytest.fixture
def board(chipset: ChipsetInfo) -> Board:
    """Four possible CPUs, the first present, in legacy mode as at power-on."""
    return Board(chipset, [0, 1, 2, 3])


@pytest.fixture
def block(chipset: ChipsetInfo) -> Board:
    """The same board in modern mode; CPU 2 has an id wider than 32 bits."""
    return Board(chipset, [0, 1, 0x1122334455667788, 3], legacy=False)
