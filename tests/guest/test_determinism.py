"""Same inputs, same run: every register and every byte of RAM."""

from __future__ import annotations

import hashlib

import pytest

from machines.cpu_view import architectural_state


def fingerprint(vm):
    """A hash over time, all CPUs and all RAM."""
    digest = hashlib.sha256(repr((vm.clock.now, vm.serial.text)).encode())
    for index in vm.cpus:
        digest.update(repr(architectural_state(vm, index)).encode())
    digest.update(vm.engine.ram)
    return digest.hexdigest()


@pytest.fixture
def scenario(boot, plug, unplug):
    return lambda: run_scenario(boot, plug, unplug)


def run_scenario(boot, plug, unplug):
    vm = boot(smp="2,maxcpus=4", append="ioapic")
    plug(vm, 3)
    vm.serial.send("s").expect("online 3")
    unplug(vm, 3)
    plug(vm, 2)
    vm.run_for(3_000_000)
    return vm


def test_two_runs_with_the_same_inputs_end_in_the_same_state(scenario):
    first, second = scenario(), scenario()
    assert fingerprint(first) == fingerprint(second)


def test_another_input_ends_in_another_state(scenario):
    first, second = scenario(), scenario()
    second.serial.send("s").expect("online 3")
    assert fingerprint(first) != fingerprint(second)


def test_two_machines_in_one_process_do_not_know_of_each_other(boot, plug):
    one, two = boot(smp="1,maxcpus=2"), boot(smp="1,maxcpus=3")
    plug(one, 1)
    two.serial.send("s").expect("possible 3 present 1")
    one.serial.send("s").expect("possible 2 present 2 online 2")
    plug(two, 2)
    assert sorted(one.cpus) == [0, 1] and sorted(two.cpus) == [0, 2]
