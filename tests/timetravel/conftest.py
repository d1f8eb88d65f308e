"""Machines to stop, copy and replay: Debian's kernel on two CPUs, and the embedded guest."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from machines import Pc
from machines.cpu_view import architectural_state
from tests import guests


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent.name == "timetravel" and "linux" in getattr(item, "fixturenames", ()):
            item.add_marker("linux")


def state_of(vm: Any) -> tuple:
    """All that a guest could know, in short: time, RAM, registers, output."""
    cpus = [architectural_state(vm, index) for index in sorted(vm.vcpus)]
    return (vm.instructions, vm.clock.now, hashlib.sha256(vm.engine.ram).hexdigest(), hashlib.sha256(repr(cpus).encode()).hexdigest(),
            vm.serial.text)  # fmt: skip


def registers_of(vm: Any) -> list[dict[str, Any]]:
    return [architectural_state(vm, index) for index in sorted(vm.vcpus)]


@pytest.fixture
def machines():
    """machines(cls, **options): a machine that is closed after the test."""
    made = []

    def make(cls=Pc, **options):
        made.append(cls(**options))
        return made[-1]

    yield make
    for vm in made:
        vm.close()


@pytest.fixture
def linux(machines):
    """linux(**options): a machine about to boot Debian's kernel on two CPUs."""

    def make(cls=Pc, **options):
        defaults = {"smp": "2,maxcpus=4", "memory": "256M", "kernel": guests.vmlinux(), "initrd": guests.initramfs(),
                    "append": guests.SMALL_BOOT_APPEND}  # fmt: skip
        return machines(cls, **{**defaults, **options})

    return make
