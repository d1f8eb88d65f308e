"""Debian, saved anywhere in its boot, killed, and continued by other processes: the end is the same."""

from __future__ import annotations

import random
import signal
import subprocess
import sys

import pytest

from tests import guests
from tests.snapshot.boot import END, PLUG_AT
from tests.snapshot.conftest import MS

pytestmark = [pytest.mark.linux, pytest.mark.slow]
POINTS = 10


def boot(*arguments):
    return subprocess.run([sys.executable, "-m", "tests.snapshot.boot", *map(str, arguments)], capture_output=True, text=True)


def final_state(*arguments):
    done = boot(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("machine, cpus", [("pc", 1), ("q35", 2)])
def test_ten_points_of_a_boot_with_a_plug_in_the_middle(tmp_path, machine, cpus):
    guests.vmlinux(), guests.initramfs()  # skips where they are not to be had
    points = sorted(random.Random(machine).sample(range(50 * MS, END), POINTS))
    assert points[0] < PLUG_AT < points[-1]
    uninterrupted = final_state(machine, cpus, "run")
    assert boot(machine, cpus, "save", tmp_path, *points).returncode == -signal.SIGKILL
    for point in points:
        assert final_state(machine, cpus, "load", tmp_path, point) == uninterrupted, f"saved at {point} ns"
