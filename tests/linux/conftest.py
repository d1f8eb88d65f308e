"""Debian's kernel with a busybox shell, booted the small way (tests/guests.py); skipped where the packages are missing."""

from __future__ import annotations

import re

import pytest

from machines import Pc
from tests import guests

PROMPT = "# "


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent.name == "linux":
            item.add_marker("linux")


class Shell:
    """A root shell on the serial console."""

    def __init__(self, vm):
        self.vm = vm
        vm.serial.expect(guests.INIT_READY, within="40 s")
        vm.serial.expect(PROMPT)
        vm.serial.send("stty cols 400\n").expect(PROMPT)  # long commands are echoed on one line

    def run(self, command, within="20 s"):
        """The output of a command, without kernel messages."""
        start = len(self.vm.serial.text)
        self.vm.serial.send(f"{command}; echo \"status\" $?\n")
        self.vm.serial.expect(re.compile(r"\nstatus \d+\r"), within=within)
        self.vm.serial.expect(PROMPT)
        output = self.vm.serial.text[start:].partition('$?\r')[2].partition("\nstatus ")[0]
        return "\n".join(line for line in output.splitlines() if line and not re.match(r"\[ *\d+\.\d+\]", line)).strip()


@pytest.fixture
def linux():
    """linux(smp=...) boots to a shell: (machine, Shell)."""
    made = []

    def start(kernel=guests.vmlinux, **options):
        defaults = {"smp": "1,maxcpus=4", "memory": "256M", "initrd": guests.initramfs(), "append": guests.SMALL_BOOT_APPEND}
        vm = Pc(**{**defaults, "kernel": kernel(), **options})
        made.append(vm)
        vm.start()
        return vm, Shell(vm)

    yield start
    for vm in made:
        vm.close()
