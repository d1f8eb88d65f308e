"""Stopping a whole machine at an exact instruction, and acting there."""

from __future__ import annotations

import pytest

from machines import Pc
from machines.agenda import sweep
from machines.api import GuestStopped, Timeout
from machines.guests import hotplug
from tests.timetravel.conftest import registers_of, state_of

FIRST_INSNS = 50_000_000
ODD_PLACES = [1, 2, 3, 1_000, 99_991, 1_234_567, 1_234_568, 3_000_001, *range(7_000_003, FIRST_INSNS, 3_600_017)]


def test_a_boot_of_two_cpus_does_not_notice_twenty_stops(linux):
    straight, stopped = linux(smp="2"), linux(smp="2")
    straight.run_to(FIRST_INSNS)
    for place in ODD_PLACES:
        stopped.run_to(place)
        assert stopped.instructions == place
    stopped.run_to(FIRST_INSNS)
    assert len(ODD_PLACES) >= 20
    assert state_of(stopped) == state_of(straight)


@pytest.fixture
def hotplug_guest(machines):
    return lambda **options: machines(Pc, **{"smp": "2,maxcpus=4", "memory": "16M", "kernel": hotplug.image(), **options})


def online(vm):
    """The state soon before the plugged CPU is at work, which it then is."""
    vm.run_to(1_000_000)
    state = state_of(vm)
    vm.serial.expect(hotplug.online_line(2).strip(), within="1 s")
    return state


def plug(vm):
    return vm.qmp.device_add(driver="qemu64-x86_64-cpu", id="new", **vm.topology.properties(vm.slots[2].place))


@pytest.mark.parametrize("step", (101, 37_501))
def test_how_often_the_host_looks_does_not_matter(hotplug_guest, step):
    coarse, fine = hotplug_guest(), hotplug_guest()
    coarse.start()
    fine.start()
    coarse.run_for(1_000_000)
    while fine.instructions < coarse.instructions:
        fine.run_for(step)
    for vm in (coarse, fine):
        vm.run_to(500_000)
    assert state_of(fine) == state_of(coarse)


def test_at_acts_after_exactly_so_many_instructions(hotplug_guest):
    vm, seen = hotplug_guest(), []
    for place in (400_001, 17, 300_000, 300_000):
        vm.at(place, lambda: seen.append((vm.instructions, registers_of(vm)[0]["pc"])))
    vm.run_to(500_000)
    assert [place for place, _ in seen] == [17, 300_000, 300_000, 400_001]
    other = hotplug_guest()
    other.run_to(300_000)
    assert registers_of(other)[0]["pc"] == seen[1][1]


def test_a_plug_at_the_same_instruction_gives_the_same_run(hotplug_guest):
    ends = []
    for _ in range(2):
        vm = hotplug_guest()
        vm.at(234_678, lambda vm=vm: plug(vm))
        ends.append(online(vm))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("place, counted", [(100, 3), (234_678, 2)])
def test_the_guest_counts_a_cpu_that_was_plugged_before_it_looked(hotplug_guest, place, counted):
    vm = hotplug_guest()
    vm.at(place, lambda: plug(vm))
    vm.start()
    vm.serial.expect(f"possible 4 present {counted}\n", within="1 s")


def test_stops_before_and_after_a_plug_do_not_matter(hotplug_guest):
    straight, stopped = hotplug_guest(), hotplug_guest()
    for vm in (straight, stopped):
        vm.at(234_678, lambda vm=vm: plug(vm))
    expected = online(straight)
    for place in (234_600, 234_677, 234_678, 234_679, 234_700, 240_000):
        stopped.run_to(place)
    assert online(stopped) == expected


def test_a_reset_from_outside_happens_at_its_instruction(hotplug_guest):
    ends = []
    for stops in ([], [199_990, 199_999]):
        vm = hotplug_guest()
        vm.at(200_000, lambda vm=vm: vm.qmp.system_reset())
        for place in stops:
            vm.run_to(place)
        vm.run_to(600_000)
        ends.append(state_of(vm))
    assert ends[0] == ends[1]
    assert vm.serial.text.count("numachine hotplug guest") == 2


def test_a_place_that_is_past_is_refused(hotplug_guest):
    vm = hotplug_guest()
    vm.run_to(1000)
    for call in (lambda: vm.run_to(999), lambda: vm.at(999, print)):
        with pytest.raises(ValueError, match=r"instruction 999 is past: the machine has executed 1000; .*record"):
            call()
    vm.at(1000, print)


def test_an_exception_of_the_action_reaches_the_caller_and_the_machine_goes_on(hotplug_guest):
    vm = hotplug_guest()
    vm.at(1000, lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        vm.run_to(2000)
    assert vm.instructions == 1000
    vm.run_to(2000)


def test_a_guest_that_sleeps_for_ever_is_reported(hotplug_guest):
    vm = hotplug_guest()
    vm.start()
    vm.serial.expect("ready", within="1 s")
    with pytest.raises(GuestStopped, match="has executed anything for 60 s"):
        vm.run_to(10**15)
    with pytest.raises(Timeout):
        vm.run_to(10**15, within="1 ms")


def test_a_sweep_is_even_and_has_both_ends():
    assert list(sweep(10, 20, 3)) == [10, 15, 20]
    assert list(sweep(10, 20, 1)) == [10]
    assert list(sweep(0, 3, 4)) == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="no 3 different places"):
        list(sweep(1, 2, 3))
