"""A restored machine runs on as the uninterrupted one does, instruction for instruction."""

from __future__ import annotations

import io
import random

import pytest

from machines.guests import hotplug
from machines.snapshot import capture, restore
from tests.snapshot.conftest import MS, device, fingerprint, plug

STEP = 700_001  # ns: slices are cut anywhere


def saved(vm):
    file = io.BytesIO()
    vm.save(file)
    file.seek(0)
    return file


def test_capture_does_not_change_the_machine(booted):
    looked_at, left_alone = booted(), booted()
    for vm in (looked_at, left_alone):
        for _ in range(5):
            vm.run_for(STEP)
            if vm is looked_at:
                capture(vm)
    assert fingerprint(looked_at) == fingerprint(left_alone)


@pytest.mark.parametrize("smp", ["1,maxcpus=4", "2,maxcpus=4", "3,maxcpus=4", "4"])
def test_a_loaded_machine_is_in_the_state_that_was_saved(booted, make, smp):
    source, target = booted(smp=smp), make(smp=smp)
    target.load(saved(source))
    assert fingerprint(target) == fingerprint(source)


@pytest.mark.parametrize("smp", ["1,maxcpus=4", "2,maxcpus=4", "4"])
def test_restored_and_uninterrupted_runs_end_alike_wherever_they_were_cut(make, smp):
    uninterrupted, resumed = make(smp=smp), make(smp=smp)
    uninterrupted.start()
    for _ in range(6):
        uninterrupted.run_for(STEP)
        file = saved(uninterrupted)
        uninterrupted.run_for(STEP)
        resumed.load(file)
        resumed.run_for(STEP)
        assert fingerprint(resumed) == fingerprint(uninterrupted)


@pytest.mark.parametrize("back_end", ["native", "bytecode"])
def test_the_back_end_may_change(make, back_end):
    uninterrupted, resumed = make(), make(backend=back_end)
    uninterrupted.start()
    uninterrupted.run_for(300_000)
    resumed.load(saved(uninterrupted))
    for vm in (uninterrupted, resumed):
        vm.run_for(200_000)
    assert fingerprint(resumed) == fingerprint(uninterrupted)


def test_any_instruction_is_a_place_to_save(booted, make):
    boot = booted(smp="2,maxcpus=4").instructions
    choose, source, target = random.Random(1), make(smp="2,maxcpus=4"), make(smp="2,maxcpus=4")
    for insn in sorted(choose.sample(range(1, boot), 10)):
        source.run_to(insn=insn)
        target.load(saved(source))
        for vm in (source, target):
            vm.run_to(insn=insn + 1)
        assert fingerprint(target) == fingerprint(source)
    for vm in (source, target):
        vm.run_for(MS)
    assert fingerprint(target) == fingerprint(source)


def test_a_plugged_cpu_goes_on_in_a_machine_that_was_started_with_it(booted, make):
    source = booted()
    plug(source, 2)
    source.run_for(20_000)  # the guest has not seen it yet
    target = make(devices=[device(2)])
    target.load(saved(source))
    for vm in (source, target):
        vm.serial.expect(hotplug.online_line(2).strip())
    assert fingerprint(target) == fingerprint(source)


def test_a_cpu_from_smp_takes_a_plugged_ones_place(booted, make):
    source = booted()
    plug(source, 1)
    source.serial.expect(hotplug.online_line(1).strip())
    target = make(smp="2,maxcpus=4")
    target.load(saved(source))
    target.serial.send("s").expect("present 2 online 2")


def test_a_loaded_cpu_can_be_unplugged_and_plugged_again(booted, make):
    source = booted()
    plug(source, 3)
    source.serial.expect(hotplug.online_line(3).strip())
    target = make(devices=[device(3)])
    target.load(saved(source))
    target.qmp.device_del(id="cpu3")
    target.serial.expect("cpu 3 ejected")
    plug(target, 3)
    target.serial.expect(hotplug.online_line(3).strip())


def test_an_unplug_request_is_on_its_way_when_it_is_saved(booted, make):
    source = booted()
    plug(source, 2)
    source.serial.expect(hotplug.online_line(2).strip())
    source.qmp.device_del(id="cpu2")
    target = make(devices=[device(2)])
    target.load(saved(source))
    target.qmp.wait("DEVICE_DELETED", device="cpu2")


def test_timers_of_cpus_that_were_plugged_in_another_order_fire_in_the_order_they_had(booted, make):
    source = booted()
    for slot in (3, 1):
        plug(source, slot)
        source.serial.expect(hotplug.online_line(slot).strip())
    target = make(devices=[device(1), device(3)])
    target.load(saved(source))
    for vm in (source, target):
        vm.run_for(5 * MS)
    assert fingerprint(target) == fingerprint(source)


def test_input_that_the_guest_has_not_read_is_not_lost(booted, make):
    source, target = booted(), make()
    source.serial.send("s")
    target.load(saved(source))
    target.serial.expect("present 1 online 1")


def test_a_machine_goes_back_to_its_own_past(booted):
    vm = booted()
    file, then = saved(vm), fingerprint(vm)
    vm.serial.send("s").expect("present 1")
    vm.load(file)
    assert fingerprint(vm) == then
    vm.serial.send("s").expect("present 1")


def test_code_that_was_translated_does_not_outlive_the_ram_it_was_in(booted, make):
    """The same addresses hold other code in the snapshot."""
    other = hotplug.image().replace(b"ready", b"READY")
    source, target = booted(), make(kernel=other)
    target.start()
    target.serial.expect("READY", within="100 ms")
    target.load(saved(source))
    target.serial.send("s").expect("present 1")
    assert fingerprint(target) != fingerprint(source)
    source.serial.send("s").expect("present 1")
    assert target.engine.ram.tobytes() == source.engine.ram.tobytes()


@pytest.mark.parametrize("running", [True, False])
def test_stopped_and_running_machines_stay_so(booted, make, running):
    source, target = booted(), make()
    if not running:
        source.qmp.stop()
    target.load(saved(source))
    assert target.running == running


def test_a_reset_that_was_asked_for_happens_after_loading(booted, make):
    source, target = booted(), make()
    source.qmp.system_reset()
    target.load(saved(source))
    target.serial.expect("ready", within="100 ms")


def test_state_moves_without_a_file_when_ram_is_copied(booted, make):
    source, target = booted(), make()
    target.engine.ram[:] = source.engine.ram
    restore(target, capture(source))
    for vm in (source, target):
        vm.run_for(3 * MS)
    assert fingerprint(target) == fingerprint(source)


def test_a_key_that_is_held_down_is_released_after_loading(booted, make):
    source, target = booted(), make()
    source.qmp.send_key(keys=[{"type": "qcode", "data": "shift"}, {"type": "qcode", "data": "a"}], hold_time=20)
    target.load(saved(source))
    events = target.keyboard.keyboard.events
    down = list(events)
    assert down
    target.run_for(19 * MS)
    assert events == down
    target.run_for(2 * MS)
    assert len(events) > len(down)
