"""The embedded hot-plug guest (machines/guests/hotplug.py) on a machine of ours."""

from __future__ import annotations

import pytest

from machines import Q35, Pc
from machines.guests import hotplug


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent.name == "guest":
            item.add_marker("guest")


@pytest.fixture(params=[Pc, Q35], ids=["pc", "q35"])
def boot(request):
    """boot(smp=..., append=...) starts the guest and waits for `ready`, on every machine; it is closed after the test."""
    made = []

    def start(machine=request.param, **options):
        vm = machine(**{"smp": "1,maxcpus=4", "memory": "16M", "kernel": hotplug.image(), **options})
        made.append(vm)
        vm.start()
        vm.serial.expect("ready", within="100 ms")
        return vm

    yield start
    for vm in made:
        vm.close()


def _plug(vm, slot, id=None):
    entry = next(e for e in vm.qmp.query_hotpluggable_cpus() if e["props"] == vm.topology.properties(vm.slots[slot].place))
    vm.qmp.device_add(driver=entry["type"], id=id or f"cpu{slot}", **entry["props"])
    vm.serial.expect(hotplug.online_line(slot).strip(), within="1 s")


def _unplug(vm, slot, id=None):
    vm.qmp.device_del(id=id or f"cpu{slot}")
    vm.serial.expect(f"cpu {slot} ejected", within="1 s")


@pytest.fixture
def plug():
    """plug(vm, slot): device_add, until the guest has put the CPU to work."""
    return _plug


@pytest.fixture
def unplug():
    """unplug(vm, slot): device_del, until the guest has ejected the CPU."""
    return _unplug
