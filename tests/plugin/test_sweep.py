"""Points in guest time for the same test many times."""

from __future__ import annotations

import pytest

from machines.testing import points


def test_points_are_even_and_have_both_ends():
    assert points("1e6 insns", "2e6 insns", 3) == [1_000_000, 1_500_000, 2_000_000]


def test_a_single_point_is_the_first():
    assert points(7, 9, 1) == [7]


@pytest.mark.parametrize("first, last, count", [(5, 4, 2), (0, 9, 0)])
def test_a_sweep_that_goes_nowhere_is_refused(first, last, count):
    with pytest.raises(ValueError, match="there are no .* different places"):
        points(first, last, count)
