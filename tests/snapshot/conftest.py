"""Machines to save and to load into, and how to tell whether two are in the same state."""

from __future__ import annotations

import hashlib

import pytest

from machines import Q35, Pc
from machines.guests import hotplug
from machines.snapshot import capture

MS = 1_000_000
GUEST = {"smp": "1,maxcpus=4", "memory": "16M", "kernel": hotplug.image()}


def fingerprint(vm):
    """A hash over everything that a guest could know: all of a snapshot but what the TLBs hold (emu/x86_state.py)."""
    state = capture(vm)
    for cpu in state["cpus"].values():
        del cpu["tlb"]
    digest = hashlib.sha256(repr(state).encode())
    digest.update(vm.engine.ram)
    return digest.hexdigest()


def plug(vm, slot, id=None):
    vm.qmp.device_add(driver=vm.cpu_type, id=id or f"cpu{slot}", **vm.topology.properties(vm.slots[slot].place))


def device(slot):
    """The -device option for a CPU of GUEST's topology."""
    return f"qemu64-x86_64-cpu,socket-id=0,core-id={slot},thread-id=0,id=cpu{slot}"


@pytest.fixture(params=[Pc, Q35], ids=["pc", "q35"])
def machine_type(request):
    return request.param


@pytest.fixture
def make(machine_type):
    """make(smp=..., devices=...): a machine with the embedded guest, which has not run yet; closed after the test."""
    made = []

    def create(machine=machine_type, **options):
        made.append(machine(**{**GUEST, **options}))
        return made[-1]

    yield create
    for vm in made:
        vm.close()


@pytest.fixture
def booted(make):
    """booted(smp=...): the same, with the guest waiting for events."""

    def boot(**options):
        vm = make(**options)
        vm.start()
        vm.serial.expect("ready", within="100 ms")
        return vm

    return boot
