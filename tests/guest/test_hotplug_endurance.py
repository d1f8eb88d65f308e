"""Hot-plug many times, and of many CPUs: nothing is lost, nothing piles up, and the last costs what the first did."""

from __future__ import annotations

import gc
import resource
import time
from pathlib import Path

import pytest

from machines import Q35, api
from machines.guests import hotplug

WARM_UP, SHORT, LONG = 100, 50, 900  # cycles
GROWTH = 1.05
SLOTS = (1, 2, 3)
PLUG_RATIO = 2.0
CYCLE = ["ACPI_DEVICE_OST", "ACPI_DEVICE_OST", "DEVICE_DELETED", "DEVICE_DELETED", "ACPI_DEVICE_OST"]


def plug(vm, slot):
    vm.qmp.device_add(driver="qemu64-x86_64-cpu", id=f"cpu{slot}", **vm.topology.properties(vm.slots[slot].place))
    vm.serial.expect(hotplug.online_line(slot).strip(), within="1 s")


def cycle(vm, slot):
    """Plug and unplug; the names of the events of that."""
    plug(vm, slot)
    vm.qmp.device_del(id=f"cpu{slot}")
    names = []
    while len(names) < len(CYCLE):
        api.run_until(vm, lambda: bool(vm.qmp._waiting), "1 s", "an event")
        names.append(vm.qmp._waiting.pop(0)["event"])
    return names


def sizes(vm):
    """How much there is of all that comes with a CPU."""
    return {"records": len(vm.engine.cpus), "apics": len(vm.apic_bus.lapics), "timers": len(vm.clock._queue),
            "scheduled": len(vm.scheduler.cpus), "removed": len(vm._removed), "vcpus": len(vm.vcpus),
            "objects": sum(1 for _ in vm.root.walk())}  # fmt: skip


def resident():
    """Host memory of this process in bytes."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize("cycles", [SHORT, pytest.param(LONG, marks=pytest.mark.slow)])
def test_cycles_leave_nothing_behind(boot, cycles):
    vm = boot()
    start = sizes(vm)
    for number in range(WARM_UP):
        assert cycle(vm, SLOTS[number % len(SLOTS)]) == CYCLE
    warm = resident()
    for number in range(cycles):
        assert cycle(vm, SLOTS[number % len(SLOTS)]) == CYCLE
    assert sizes(vm) == start
    assert resident() < warm * GROWTH


def test_last_of_255_cpus_is_plugged_as_fast_as_the_first():
    with Q35(smp="1,maxcpus=255", memory="16M", kernel=hotplug.image()) as vm:
        vm.serial.expect("ready", within="100 ms")
        plug(vm, 1)  # translates the guest's code
        taken, passed = [], []
        for slot in range(2, 255):
            began, then = time.process_time(), vm.clock.now
            plug(vm, slot)
            taken.append(time.process_time() - began)
            passed.append(vm.clock.now - then)
        vm.serial.send("s").expect("possible 255 present 255 online 255")
    assert sorted(taken[-10:])[5] < PLUG_RATIO * sorted(taken[:10])[5]
    assert max(passed[-10:]) < PLUG_RATIO * min(passed[:10])


def test_events_that_nobody_fetches_are_kept_up_to_a_limit(boot):
    vm = boot()
    for number in range(api.KEPT_EVENTS + 5):
        vm.events.emit("WAKEUP", {"number": number})
    assert len(vm.qmp.events) == api.KEPT_EVENTS
    assert vm.qmp.wait("WAKEUP")["data"] == {"number": 5}
