"""Debian's kernels with a busybox shell (tests/guests.py), as a machine in this process or as the emulator's own process;
skipped where the packages are missing."""

from __future__ import annotations

import pytest

from machines import Pc
from tests import guests
from tests.linux.shell import Shell


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent.name == "linux":
            item.add_marker("linux")


@pytest.fixture
def linux():
    """linux(smp=...) boots to a shell: (machine, Shell)."""
    made = []

    def start(kernel=guests.vmlinux, machine=Pc, append="", **options):
        defaults = {"smp": "1,maxcpus=4", "memory": "256M", "initrd": guests.initramfs()}
        vm = machine(**{**defaults, "kernel": kernel(), "append": f"{guests.SMALL_BOOT_APPEND} {append}".strip(), **options})
        made.append(vm)
        vm.start()
        return vm, Shell(vm.serial)

    yield start
    for vm in made:
        vm.close()
