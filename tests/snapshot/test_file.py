"""What is not a whole snapshot of this machine is refused with the reason, and the machine is as it was."""

from __future__ import annotations

import io
import os
import random
import signal
import struct
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emu.snapshot import SnapshotError
from machines import Q35, Pc, snapshot_file
from tests.snapshot.conftest import GUEST, device, fingerprint, plug

HEAD = len(snapshot_file.MAGIC) + snapshot_file.VERSION_FIELD.size


@pytest.fixture(scope="module")
def source():
    vm = Pc(**GUEST)
    vm.start()
    vm.serial.expect("ready", within="100 ms")
    return vm


@pytest.fixture(scope="module")
def whole(source):
    """The bytes of a snapshot."""
    file = io.BytesIO()
    source.save(file)
    return file.getvalue()


@pytest.fixture(scope="module")
def target():
    vm = Pc(**GUEST)
    vm.start()
    vm.run_for(100_000)
    return vm


def refused(vm, data, match):
    """Loading `data` fails with a text that fits, in one line, and changes nothing."""
    before = fingerprint(vm)
    with pytest.raises(SnapshotError, match=match) as caught:
        vm.load(io.BytesIO(data))
    assert "\n" not in str(caught.value)
    assert fingerprint(vm) == before and vm.running


def sections(data):
    """{name: (first byte, one past the last)} of the sections' contents."""
    at, found = HEAD, {}
    for name in snapshot_file.SECTIONS:
        _, length = snapshot_file.SECTION_HEAD.unpack_from(data, at)
        at += snapshot_file.SECTION_HEAD.size
        found[name] = (at, at + length)
        at += length + snapshot_file.DIGEST_SIZE
    return found


# --- damaged
def test_another_file_is_no_snapshot(target):
    refused(target, b"\x7fELF" * 100, "no snapshot of numachine")


def test_an_empty_file_is_no_snapshot(target):
    refused(target, b"", "no snapshot of numachine")


def test_another_version_is_named(target, whole):
    data = whole[: len(snapshot_file.MAGIC)] + struct.pack("<I", 7) + whole[HEAD:]
    refused(target, data, "format version 7, this program reads version 1")


@pytest.mark.parametrize("name", snapshot_file.SECTIONS)
def test_a_file_that_is_cut_short_names_the_section(target, whole, name):
    first, last = sections(whole)[name]
    refused(target, whole[: (first + last) // 2], f"cut short in section {name}")


@pytest.mark.parametrize("name", ["state", "ram"])
def test_a_changed_byte_names_the_section(target, whole, name):
    first, last = sections(whole)[name]
    data = bytearray(whole)
    data[(first + last) // 2] ^= 0x20
    refused(target, bytes(data), f"section {name} of the snapshot is damaged: its checksum is wrong")


def test_a_renamed_section_is_named(target, whole):
    refused(target, whole.replace(b"ram\0\0", b"rom\0\0", 1), "section ram of the snapshot is damaged: it is called b'rom")


def test_bytes_after_the_end_are_not_ignored(target, whole):
    refused(target, whole + b"x", "1 bytes follow the snapshot's end")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_flipped_bit_goes_unnoticed(target, whole, data):
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SnapshotError):
        snapshot_file.parse(bytes(changed))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_missing_end_goes_unnoticed(target, whole, data):
    with pytest.raises(SnapshotError):
        snapshot_file.parse(whole[: data.draw(st.integers(0, len(whole) - 1))])


def forged(data, old, new):
    """A snapshot whose state says something else, with a checksum that fits."""
    first, last = sections(data)["state"]
    text = data[first:last]
    assert old in text
    text = text.replace(old, new, 1)
    file = io.BytesIO()
    file.write(data[:HEAD])
    snapshot_file._write_section(file, "state", len(text), [text])
    return file.getvalue() + data[last + snapshot_file.DIGEST_SIZE :]


@pytest.mark.parametrize("old, new, match", [
    (b'"_turn":0', b'"_turn":"x"', r"state\.parts\.scheduler\._turn: str in the snapshot, int in this machine"),
    (b'"_turn":0', b'"_turn":[1]', r"state\.parts\.scheduler\._turn: a list of 1"),
    (b'"_turn":0', b'"turn":0', r"state\.parts\.scheduler\._turn: only in this machine"),
    (b'"_turn":0', b'"_turn":0.5', r"state\.parts\.scheduler\._turn: float"),
    (b'"cr3":', b'"cr3":-1,"cr4":', "a value that no machine can have|only in"),
    (b'"run-state":"running"', b'"run-state":"flying"', "a value that no machine can have"),
    (b'"awake":[]', b'"awake":[77]', "a value that no machine can have"),
    (b'"cpus":{"0":', b'"cpus":{"zero":', "the snapshot has a CPU 'zero'"),
    (b'"cpus":{"0":', b'"cpus":{"9":', "has CPU 9, this machine has not"),
    (b'"cpus":{', b'"gpus":{', "no state of a machine"),
    (b'"base64":"', b'"base64":"!', "not written by this program"),
    (b'{"machine":', b'{"machine"=', "not written by this program"),
])  # fmt: skip
def test_a_state_that_fits_no_machine_changes_nothing(target, whole, old, new, match):
    refused(target, forged(whole, old, new), match)


# --- another machine
@pytest.mark.parametrize("options, match", [
    ({"machine": Q35}, "type pc-i440fx-7.2, this one has pc-q35-7.2: start it with the same -M"),
    ({"memory": "32M"}, "memory 16 MiB, this one has 32 MiB: start it with the same -m"),
    ({"smp": "1,maxcpus=8"}, "topology sockets=1,dies=1,cores=4,threads=1, this one has .*cores=8.* the same -smp"),
    ({"smp": "1,sockets=4,maxcpus=4"}, "start it with the same -smp"),
    ({"cpu": "kvm64"}, "cpu qemu64-x86_64-cpu, this one has kvm64-x86_64-cpu: start it with the same -cpu"),
    ({"cpu": "qemu64,-sse3"}, r"CPU 0 differs in features: \+pni; start this machine with the same -cpu"),
    ({"cpu": "qemu64,family=7"}, "CPU 0 differs in family: 15, not 7; start this machine with the same -cpu"),
    ({"acpi": False}, "acpi on, this one has off"),
    ({"smp": "2,maxcpus=4"}, "this machine has CPU 1, the snapshot has not"),
])  # fmt: skip
def test_another_machine_is_told_what_differs(whole, options, match):
    options = {**GUEST, **options}
    vm = options.pop("machine", Pc)(**options)
    vm.start()
    refused(vm, whole, match)
    vm.close()


def test_a_machine_without_the_plugged_cpu_is_told_how_to_get_it(booted, make, machine_type):
    vm, file = booted(), io.BytesIO()
    plug(vm, 2)
    vm.save(file)
    bare = make()
    bare.start()
    refused(bare, file.getvalue(), "has CPU 2, this machine has not: start it with -device qemu64-x86_64-cpu,"
            "socket-id=0,core-id=2,thread-id=0, or with more CPUs in -smp")  # fmt: skip
    told = make(devices=[device(2)])
    told.load(io.BytesIO(file.getvalue()))


def test_every_cpu_is_of_the_model_that_it_was(booted, make):
    vm, file = booted(devices=[device(2)]), io.BytesIO()
    vm.save(file)
    with pytest.raises(SnapshotError, match=r"CPU 2 differs in features: \+pni"):
        make(devices=[f"{device(2)},sse3=off"]).load(io.BytesIO(file.getvalue()))


def test_a_cpu_that_is_there_now_but_was_not_then_is_named(booted):
    vm, file = booted(), io.BytesIO()
    vm.save(file)
    plug(vm, 3)
    refused(vm, file.getvalue(), "this machine has CPU 3, the snapshot has not")


def test_topology_ids_in_the_hint_are_those_of_the_slot(booted, make):
    smp = "1,sockets=2,dies=2,cores=2,threads=2,maxcpus=16"
    vm, file = booted(smp=smp), io.BytesIO()
    plug(vm, 13)
    vm.save(file)
    with pytest.raises(SnapshotError, match="socket-id=1,die-id=1,core-id=0,thread-id=1,") as caught:
        make(smp=smp).load(io.BytesIO(file.getvalue()))
    option = str(caught.value).partition("-device ")[2].partition(", or")[0]
    make(smp=smp, devices=[option]).load(io.BytesIO(file.getvalue()))


# --- files
def test_a_file_is_private_and_nothing_is_left_beside_it(source, tmp_path):
    source.save(tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").stat().st_mode & 0o077 == 0


def test_saving_twice_gives_the_same_file(source, tmp_path):
    for name in ("a", "b"):
        source.save(str(tmp_path / name))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_pages_of_zeros_take_no_room(source, tmp_path):
    written = source.save(tmp_path / "a")
    assert written.size == (tmp_path / "a").stat().st_size < 300_000
    assert 0 < written.pages * 4096 < written.size


def test_pages_that_were_zero_are_zero_again(booted):
    vm, file = booted(), io.BytesIO()
    vm.save(file)
    vm.memory.write(0xA0_0000, b"left over")
    vm.load(io.BytesIO(file.getvalue()))
    assert vm.memory.read(0xA0_0000, 9) == bytes(9)


def test_an_earlier_snapshot_survives_a_save_that_fails(source, tmp_path, monkeypatch):
    source.save(tmp_path / "a")
    before = (tmp_path / "a").read_bytes()
    monkeypatch.setattr(snapshot_file, "_write_ram", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        source.save(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_full_disk_is_reported(source):
    with pytest.raises(OSError), open("/dev/full", "wb", buffering=0) as full:
        source.save(full)


def test_a_folder_that_does_not_exist_is_reported(source, tmp_path):
    with pytest.raises(FileNotFoundError):
        source.save(tmp_path / "missing" / "a")


SAVES = 200


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_saves_never_damages_the_earlier_snapshot(source, whole, tmp_path):
    """Each child saves over and over and is killed at a random moment; what is there is always one whole snapshot."""
    choose = random.Random(1)
    path = tmp_path / "a"
    source.save(path)
    for _ in range(SAVES):
        child = os.fork()
        if child == 0:
            while True:
                source.save(path)
        time.sleep(choose.uniform(0.0, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert path.read_bytes() == whole
    torn = [each for each in tmp_path.iterdir() if each != path and each.read_bytes() != whole]
    assert len(torn) > SAVES // 10  # it was in the middle of writing
    snapshot_file.parse(path.read_bytes())
