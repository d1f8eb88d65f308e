"""The same test with its event at each of many points in guest time."""

from __future__ import annotations

from typing import Any


def points(first: str | int, last: str | int, count: int) -> list[int]:
    """`count` instruction numbers, evenly from `first` to `last`, both included.  Raises ValueError."""
    from machines import agenda, api  # here: every pytest run imports this module

    return list(agenda.sweep(api.nanoseconds(first), api.nanoseconds(last), count))


def sweep(argument: str, first: str | int, last: str | int, count: int) -> Any:
    """A decorator: the test runs once for each point, with the instruction number in `argument`."""
    import pytest

    return pytest.mark.parametrize(argument, points(first, last, count))
