"""Copies of running machines: fast, small, independent, and exact."""

from __future__ import annotations

import gc
from itertools import count
from pathlib import Path
from time import perf_counter

import pytest

from emu.chardev import NullChardev
from jit.ram import FEW_PAGES, Ram
from jit.state import PAGE_SIZE
from machines import Q35, Pc
from machines.guests import hotplug
from tests.timetravel.conftest import state_of

PLACE, END = 234_567, 500_000


@pytest.fixture(params=[Pc, Q35], ids=["pc", "q35"])
def guest(machines, request):
    return lambda **options: machines(request.param, **{"smp": "2,maxcpus=4", "memory": "16M", "kernel": hotplug.image(), **options})


def resident(kind="Rss"):
    """Memory of this process in bytes."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{kind}:"))


def plug(vm, slot=2):
    vm.qmp.device_add(driver="qemu64-x86_64-cpu", id=f"cpu{slot}", **vm.topology.properties(vm.slots[slot].place))
    vm.serial.expect(hotplug.online_line(slot).strip(), within="1 s")


# --- the same run
@pytest.mark.parametrize("place", (0, 1, PLACE, PLACE + 1, PLACE + 2))
def test_a_copy_and_its_original_run_on_alike(guest, machines, place):
    vm = guest()
    vm.run_to(place)
    copy = vm.fork()
    for each in (vm, copy):
        each.run_to(END)
    assert state_of(copy) == state_of(vm)
    copy.close()


def test_a_fork_is_not_noticed_by_the_original(guest):
    forked, alone = guest(), guest()
    for place in (1, 99_999, PLACE):
        forked.run_to(place)
        forked.fork().close()
    for vm in (forked, alone):
        vm.run_to(END)
    assert state_of(forked) == state_of(alone)


def test_what_one_does_the_other_does_not_see(guest):
    vm = guest()
    vm.start()
    vm.serial.expect("ready", within="1 s")
    copy = vm.fork()
    before = state_of(vm)
    plug(copy)
    assert state_of(vm) == before
    assert len(vm.vcpus) == 2 and len(copy.vcpus) == 3
    plug(vm, 3)
    assert sorted(vm.vcpus) == [0, 1, 3]
    assert copy.qmp.events != vm.qmp.events
    copy.close()


def test_copies_of_copies(guest):
    vm = guest()
    vm.run_to(PLACE)
    child = vm.fork()
    child.run_to(PLACE + 50_000)
    grandchild = child.fork()
    vm.close()
    child.run_to(END)
    grandchild.run_to(END)
    assert state_of(grandchild) == state_of(child)
    for each in (child, grandchild):
        each.close()


# --- what a copy is made of
def test_hot_plugged_cpus_are_in_the_copy_with_their_names(guest):
    vm = guest()
    vm.start()
    vm.serial.expect("ready", within="1 s")
    plug(vm)
    vm.qmp.device_del(id="cpu2")
    copy = vm.fork()
    assert copy.qmp.query_cpus_fast() == vm.qmp.query_cpus_fast()
    assert copy.qmp.query_hotpluggable_cpus() == vm.qmp.query_hotpluggable_cpus()
    copy.qmp.wait("DEVICE_DELETED", within="1 s", device="cpu2")
    assert sorted(copy.vcpus) == [0, 1] and sorted(vm.vcpus) == [0, 1, 2]
    plug(copy)
    copy.close()


def test_cpu_objects_that_wait_to_be_plugged_are_copied(guest):
    vm = guest(smp="1,maxcpus=4")
    vm.start()
    vm.serial.expect("ready", within="1 s")
    vm.qmp.object_add(qom_type="qemu64-x86_64-cpu", id="spare")
    copy = vm.fork()
    copy.qmp.qom_set(path="/machine/icc-bridge", property="cpu[1]", value="/objects/spare")
    copy.serial.expect(hotplug.online_line(1).strip(), within="1 s")
    assert len(vm.vcpus) == 1
    copy.fork().close()
    copy.close()


def test_a_copy_has_the_transcript_and_goes_on_with_it(guest):
    vm = guest()
    vm.start()
    vm.serial.expect("ready", within="1 s")
    vm.serial.send("s")
    copy = vm.fork()
    assert copy.serial.text == vm.serial.text
    copy.serial.expect("possible 4 present 2 online 2", within="1 s")
    assert "online 2" not in vm.serial.text
    copy.close()


def test_a_copy_has_a_serial_port_of_its_own_whatever_the_original_has(guest):
    vm = guest(serial=[NullChardev()])
    vm.start()
    vm.run_for(50_000_000)
    copy = vm.fork()
    copy.serial.send("s").expect("online 2", within="1 s")
    copy.close()


class Named(Pc):
    """A machine whose constructor wants more."""

    def __init__(self, label, *, colour="red", **options):
        self.label, self.colour = label, colour
        super().__init__(**options)


def test_a_subclass_is_made_with_its_own_arguments(machines):
    vm = machines(lambda **options: Named("first", colour="blue", **options), memory="16M", kernel=hotplug.image())
    copy = vm.fork()
    assert (type(copy), copy.label, copy.colour) == (Named, "first", "blue")
    copy.close()


def test_a_copy_resets_into_the_kernel_again(guest):
    vm = guest()
    vm.start()
    vm.serial.expect("ready", within="1 s")
    copy = vm.fork()
    copy.qmp.system_reset()
    copy.serial.expect("ready", within="1 s")
    copy.close()


def test_the_bytecode_back_end_forks_too(machines):
    vm = machines(Pc, memory="16M", kernel=hotplug.image(), backend="bytecode")
    vm.run_to(1_000)
    copy = vm.fork()
    for each in (vm, copy):
        each.run_to(1_800)
    assert state_of(copy) == state_of(vm)
    copy.close()


# --- what it costs
@pytest.mark.slow
def test_a_booted_machine_forks_in_milliseconds_and_fifty_fit_in_4_gb(linux):
    vm = linux(smp="2")
    vm.start()
    vm.serial.expect("# ", within="40 s")
    copies, times = [], []
    for _ in range(50):
        start = perf_counter()
        copies.append(vm.fork())
        times.append(perf_counter() - start)
    place = vm.instructions + 1_000_000
    for each in copies:
        each.run_to(place)
    print(f"first {times[0] * 1e3:.0f} ms, median {sorted(times)[25] * 1e3:.0f} ms; {resident() >> 20} MB resident, "
          f"{resident('Pss') >> 20} MB in all")  # fmt: skip
    assert sorted(times)[25] < 0.1
    assert resident() < 4 << 30
    for each in copies:
        each.close()


@pytest.mark.slow
def test_nothing_is_left_of_two_hundred_copies(machines):
    vm = machines(Pc, smp="2", memory="64M", kernel=hotplug.image())
    vm.run_to(PLACE)
    for n in count():
        copy = vm.fork()
        copy.run_to(PLACE + 10_000)
        copy.close()
        if n == 20:
            gc.collect()
            before = resident()
        if n == 200:
            break
    gc.collect()
    assert resident() < before + (20 << 20)


def test_a_closed_machine_says_so(guest):
    copy = guest().fork()
    copy.close()
    copy.close()
    with pytest.raises(RuntimeError, match="closed"):
        copy.fork()


# --- RAM
def test_ram_copies_are_independent_at_any_depth():
    ram = Ram(64 * PAGE_SIZE)
    ram.array[5 * PAGE_SIZE] = 1
    first = ram.copy()
    ram.array[5 * PAGE_SIZE], first.array[6 * PAGE_SIZE] = 2, 3
    second, third = ram.copy(), first.copy()
    second.array[7 * PAGE_SIZE] = 4
    assert [int(ram.array[n * PAGE_SIZE]) for n in (5, 6, 7)] == [2, 0, 0]
    assert [int(first.array[n * PAGE_SIZE]) for n in (5, 6, 7)] == [1, 3, 0]
    assert [int(second.array[n * PAGE_SIZE]) for n in (5, 6, 7)] == [2, 0, 4]
    assert [int(third.array[n * PAGE_SIZE]) for n in (5, 6, 7)] == [1, 3, 0]


def test_much_that_was_written_goes_into_a_new_base():
    ram = Ram((FEW_PAGES + 64) * PAGE_SIZE)
    ram.array[::PAGE_SIZE] = 1
    first = ram.copy()
    base = ram.base
    ram.array[::PAGE_SIZE] = 2
    ram.array[-1] = 9
    second = ram.copy()
    assert ram.base is not base and second.base is ram.base and first.base is base
    assert not len(ram.own_pages())
    assert (first.array[::PAGE_SIZE] == 1).all() and first.array[-1] == 0
    assert (second.array[::PAGE_SIZE] == 2).all() and second.array[-1] == 9


def test_only_written_pages_are_a_copys_own():
    ram = Ram(64 * PAGE_SIZE)
    ram.array[::PAGE_SIZE] = 1
    copy = ram.copy()
    assert copy.array.sum() == 64
    copy.array[3 * PAGE_SIZE] = 7
    assert copy.own_pages().tolist() == [3]
