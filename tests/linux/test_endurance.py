"""A thousand CPUs come to Linux on q35 and go again: no event is lost and the host's memory does not grow.

The guest's RAM is counted apart: pages that the guest touches for the first time are its own affair.
Prints its figures: run with -s.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from machines import Q35
from tests.guest.test_hotplug_endurance import CYCLE, GROWTH, resident, sizes

WARM_UP, CYCLES = 100, 1000
MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) ")
KIB = 1024


def resident_ram(vm) -> int:
    """Bytes of the guest's RAM that the host has given."""
    ram, inside, total = vm.engine.ram, False, 0
    start = ram.ctypes.data
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if bounds := MAPPING.match(line):
            first, end = (int(bound, 16) for bound in bounds.groups())
            inside = first < start + ram.nbytes and start < end
        elif inside and line.startswith("Rss:"):
            total += int(line.split()[1]) * KIB
    return total


def host_memory(vm) -> int:
    return resident() - resident_ram(vm)


def kernel_memory(shell) -> int:
    """What the guest's kernel has allocated for itself, in bytes."""
    return int(shell.run("awk '/^Slab|^Percpu|^KernelStack|^PageTables/ { n += $2 } END { print n }' /proc/meminfo")) * KIB


def parts(vm) -> dict[str, int]:
    """All that comes with a CPU, but for timers, of which a running Linux has more or fewer."""
    return {name: count for name, count in sizes(vm).items() if name != "timers"}


def cycle(vm, shell) -> None:
    """A CPU comes, a process runs on it, and it goes, with exactly the events of that."""
    vm.qmp.device_add(driver="qemu64-x86_64-cpu", id="c1", socket_id=1, core_id=0, thread_id=0)
    vm.qmp.wait("ACPI_DEVICE_OST", source=1, status=0)
    shell.use(1)
    vm.qmp.device_del(id="c1")
    vm.qmp.wait("ACPI_DEVICE_OST", source=3, status=0)
    assert [event["event"] for event in vm.qmp.events] == CYCLE
    vm.qmp.events.clear()


@pytest.mark.slow
def test_a_thousand_cycles_lose_no_event_and_no_memory(linux):
    vm, shell = linux(machine=Q35, smp="1,sockets=2,maxcpus=2")
    start = parts(vm)
    for _ in range(WARM_UP):
        cycle(vm, shell)
    warm, guest_warm, began, began_virtual = host_memory(vm), kernel_memory(shell), time.monotonic(), vm.clock.now
    for _ in range(CYCLES):
        cycle(vm, shell)
    seconds, virtual = time.monotonic() - began, (vm.clock.now - began_virtual) / 1e9
    end, guest_end = host_memory(vm), kernel_memory(shell)
    print(f"\n{CYCLES} cycles in {seconds:.0f} s, {virtual:.0f} s of the guest's; host memory {warm >> 20} to {end >> 20} MiB, "
          f"guest RAM {resident_ram(vm) >> 20} MiB, guest's kernel {guest_warm >> 10} to {guest_end >> 10} KiB")  # fmt: skip
    assert parts(vm) == start
    assert end < warm * GROWTH
    assert shell.online == "0"
