"""The embedded guest as a kernel file, and as a machine that has booted it."""

from __future__ import annotations

import pytest

from machines import Pc
from machines.guests import hotplug


@pytest.fixture
def kernel(tmp_path):
    """A file that -kernel takes."""
    path = tmp_path / "guest.elf"
    path.write_bytes(hotplug.image())
    return str(path)


@pytest.fixture
def vm():
    """A machine whose guest has printed `ready`."""
    with Pc(smp="1,maxcpus=4", memory="16M", kernel=hotplug.image()) as machine:
        machine.serial.expect("ready", within="100 ms")
        yield machine
