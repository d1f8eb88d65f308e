"""Recorded runs: repeated to the same state, and gone back in."""

from __future__ import annotations

import io
import json

import pytest

from machines import Q35, Pc
from machines.guests import hotplug
from machines.journal import ReplayError
from tests.timetravel.conftest import registers_of, state_of

EVERY = "100e3 insns"


@pytest.fixture(params=[Pc, Q35], ids=["pc", "q35"])
def guest(machines, request):
    return lambda **options: machines(request.param, **{"smp": "2,maxcpus=4", "memory": "16M", "kernel": hotplug.image(), **options})


def plug(vm, slot=2):
    vm.qmp.device_add(driver="qemu64-x86_64-cpu", id=f"cpu{slot}", **vm.topology.properties(vm.slots[slot].place))
    vm.serial.expect(hotplug.online_line(slot).strip(), within="1 s")


def play(vm):
    """A run with all kinds of input."""
    vm.start()
    vm.serial.expect("ready", within="1 s")
    plug(vm)
    vm.serial.send("s").expect("online 3", within="1 s")
    vm.hmp("o/1 0x3ff 65")
    vm.qmp.device_del(id="cpu2")
    vm.qmp.wait("DEVICE_DELETED", within="1 s", device="cpu2")
    vm.run_for(3_456_789)
    vm.serial.send("s").expect("online 2", within="1 s")
    vm.serial.send("r").expect("ready", within="1 s")


def recorded(vm):
    log = io.StringIO()
    with vm.record(log):
        play(vm)
    return log


# --- replay
def test_a_replay_ends_in_the_same_state(guest):
    first, second = guest(), guest()
    log = recorded(first)
    log.seek(0)
    second.replay(log)
    assert state_of(second) == state_of(first)
    assert second.run_control.state.value == "paused"


def test_a_log_is_text_a_line_an_input(guest, tmp_path):
    vm = guest()
    with vm.record(tmp_path / "log"):
        play(vm)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert (lines[0]["format"], lines[0]["version"], lines[0]["insn"]) == ("numachine replay", 1, 0)
    assert [line.get("qmp") or line.get("hmp") or line.get("data") for line in lines[1:-1]] == [
        "device_add", "73", "o /1 0x3ff 65", "device_del", "73", "72"]
    assert "end" in lines[-1]
    other = guest()
    other.replay(tmp_path / "log")
    assert other.serial.text == vm.serial.text


def test_live_input_waits_during_a_replay(guest):
    first, second = guest(), guest()
    log = recorded(first)
    log.seek(0)
    second.serial.send("s")
    second.replay(log)
    assert state_of(second) == state_of(first)
    second.run_control.cont()
    second.serial.expect("online 2", within="1 s")


def test_a_recording_may_begin_anywhere_and_is_replayed_by_a_copy(guest):
    vm, log = guest(), io.StringIO()
    vm.run_to(345_678)
    copy = vm.fork()
    with vm.record(log):
        vm.serial.send("s").expect("online 2", within="1 s")
    log.seek(0)
    copy.replay(log)
    assert state_of(copy) == state_of(vm)
    copy.close()


@pytest.mark.parametrize("spoil, message", [
    (lambda lines: ["hello\n"], "no log of a recorded run"),
    (lambda lines: [], "no log of a recorded run"),
    (lambda lines: [lines[0].replace('"version": 1', '"version": 7'), *lines[1:]], "version 7 of the format, .* reads version 1"),
    (lambda lines: lines[:-1], "cut short: it ends without an 'end' line"),
    (lambda lines: [*lines[:-1], lines[-1][:20]], "line 8: this is no JSON object"),
    (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "not in the order"),
    (lambda lines: [lines[0], '{"insn": 1, "ns": 1, "tea": 1}\n', *lines[1:]], "line 2: this is no input"),
    (lambda lines: [*lines[:-1], lines[-1].replace('"end": "', '"end": "x')], "at its end, .* the state differs"),
    (lambda lines: [lines[0], *lines[2:]], "was recorded|is not the recorded one"),
    (lambda lines: [lines[0].replace('"insn": 0', '"insn": 5'), *lines[1:]], "begins after 5 instructions"),
])  # fmt: skip
def test_a_bad_log_is_refused(machines, spoil, message):
    first, second = (machines(Pc, smp="2,maxcpus=4", memory="16M", kernel=hotplug.image()) for _ in range(2))
    lines = recorded(first).getvalue().splitlines(keepends=True)
    with pytest.raises(ReplayError, match=message):
        second.replay(io.StringIO("".join(spoil(lines))))


@pytest.mark.parametrize("options, message", [
    ({"memory": "32M"}, "memory"), ({"smp": "1,maxcpus=2"}, "topology"), ({"append": "ioapic"}, "other memory"),
    ({"cpu": "Haswell"}, "cpu")])  # fmt: skip
def test_a_log_of_another_machine_is_refused(guest, options, message):
    log = recorded(guest())
    log.seek(0)
    with pytest.raises(ReplayError, match=message):
        guest(**options).replay(log)


# --- back
def test_registers_are_the_same_forwards_and_backwards(guest):
    vm = guest()
    places = [1, 99_999, 123_456, 123_457, 234_000, 400_001, 517_000, 600_007, 900_000, 1_020_000, 1_100_000]
    forwards = []
    with vm.record(every=EVERY):
        for place in places[:6]:
            vm.run_to(place)
            forwards.append(registers_of(vm))
        play_at(vm, places[6:], forwards)
        for place, registers in reversed(list(zip(places, forwards))):
            vm.goto(place)
            assert vm.instructions == place
            assert registers_of(vm) == registers
        vm.goto(places[8])
        assert registers_of(vm) == forwards[8]


def play_at(vm, places, forwards):
    """Plug a CPU, unplug it, and note registers at `places`."""
    for place in places:
        vm.at(place, lambda: forwards.append(registers_of(vm)))
    vm.serial.expect("ready", within="1 s")
    plug(vm)
    vm.qmp.device_del(id="cpu2")
    vm.qmp.wait("DEVICE_DELETED", within="1 s", device="cpu2")
    vm.serial.send("r").expect("ready", within="1 s")


def test_the_present_is_as_it_was_after_a_journey(guest):
    vm = guest()
    with vm.record(every=EVERY):
        play(vm)
        present = state_of(vm)
        vm.goto(300_000)
        assert len(vm.vcpus) == 2 and "ready" not in vm.serial.text
        vm.goto(present[0] - 10)
        vm.goto(present[0])
        vm.run_for(max(0, present[1] - vm.clock.now))
        assert state_of(vm) == present


def test_steps_back(guest):
    vm = guest()
    with vm.record(every=EVERY):
        vm.run_to(250_000)
        pcs = []
        for _ in range(5):
            pcs.append([cpu["pc"] for cpu in registers_of(vm)])
            vm.step_back()
        assert vm.instructions == 250_000 - 5
        for pc in reversed(pcs):
            vm.run_to(vm.instructions + 1)
            assert [cpu["pc"] for cpu in registers_of(vm)] == pc


def test_back_from_the_end(guest):
    vm = guest()
    with vm.record(every=EVERY):
        vm.start()
        vm.serial.expect("ready", within="1 s")
        vm.serial.send("q")
        assert vm.run() == 0
        end = vm.instructions
        vm.goto(end - 1)
        assert vm.running and vm.instructions == end - 1
        assert vm.run() == 0
        assert vm.instructions == end


def test_a_command_in_the_past_begins_another_future(guest):
    vm = guest()
    with vm.record(every=EVERY):
        vm.start()
        vm.serial.expect("ready", within="1 s")
        plug(vm)
        vm.goto(300_000)
        plug(vm, 3)
        assert sorted(vm.vcpus) == [0, 1, 3]
        place, registers = vm.instructions, registers_of(vm)
        vm.run_for(1_000_000)
        vm.goto(200_000)
        assert sorted(vm.vcpus) == [0, 1]
        vm.goto(place)
        assert registers_of(vm) == registers


def test_copies_are_bounded_in_number(guest):
    vm = guest()
    with vm.record(every="10e3 insns", kept=4) as recording:
        vm.run_to(400_000)
        assert 2 <= len(recording.copies) <= 4
        assert recording.copies[0].insn == 0
        vm.goto(17)
        assert vm.instructions == 17


def test_a_recorded_run_is_the_run_that_is_not_recorded(guest):
    recorded, plain = guest(), guest()
    with recorded.record(every="33e3 insns"):
        for vm in (recorded, plain):
            vm.run_to(480_000)
    assert state_of(recorded) == state_of(plain)


def test_going_where_nothing_is_recorded_says_what_to_do(guest):
    vm = guest()
    vm.run_to(1000)
    with pytest.raises(ValueError, match=r"nothing is recorded: call vm.record\("):
        vm.goto(500)
    with vm.record(every=EVERY):
        with pytest.raises(ValueError, match="before the recording, which begins at 1000"):
            vm.goto(999)
        with pytest.raises(ValueError, match="already"):
            vm.record()


# --- Linux
@pytest.mark.slow
def test_a_boot_of_linux_with_a_plug_in_the_middle_replays(linux, tmp_path):
    first, second = linux(smp="1,maxcpus=4"), linux(smp="1,maxcpus=4")
    with first.record(tmp_path / "log"):
        first.start()
        first.at(250_000_000, lambda: first.qmp.cpu_add(id=1))
        first.serial.expect("# ", within="40 s")
        first.serial.send("nproc\n").expect("# ", within="10 s")
    second.replay(tmp_path / "log")
    assert state_of(second) == state_of(first)
