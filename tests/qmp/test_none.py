"""A machine without hot-plug, and without anything else: it says so, as QEMU's does."""

from __future__ import annotations

import pytest

from .test_libvirt import PROBES, errors

OPTIONS = ["-M", "none", "-accel", "tcg"]
CPU = "qemu64-x86_64-cpu"
QUESTIONS = [
    ("query-hotpluggable-cpus", {}), ("query-cpus-fast", {}), ("query-acpi-ospm-status", {}), ("query-memory-size-summary", {}),
    ("query-pci", {}), ("device_add", {"driver": CPU}), ("device_add", {"driver": CPU, "socket_id": 0, "core_id": 0, "thread_id": 0}),
    ("device_del", {"id": "x"}), ("inject-nmi", {}), ("send-key", {"keys": [{"type": "qcode", "data": "a"}]}),
    ("memsave", {"val": 0, "size": 1, "filename": "/nope"}), ("query-status", {}), ("query-uuid", {}), ("query-block", {}),
    ("qom-get", {"path": "/machine", "property": "type"}), ("qom-get", {"path": "/machine", "property": "smp"}),
    ("system_reset", {}), ("system_powerdown", {}), ("cont", {}), ("query-status", {}), ("stop", {}), ("query-status", {}),
]  # fmt: skip
LINES = ["info cpus", "info hotpluggable-cpus", "xp 0", "info numa", "info qtree", "cpu 0", "p $pc", "info status"]


def test_cpus_cannot_be_plugged_and_the_machine_says_so(ours):
    assert ours.execute("query-hotpluggable-cpus")["error"]["desc"] == "The feature 'query-hotpluggable-cpus' is not enabled"
    assert ours.execute("device_add", driver=CPU)["error"]["desc"] == f"Device '{CPU}' can not be hotplugged on this machine"
    assert ours.execute("cpu-add", id=0)["error"]["desc"] == "Not supported"


def test_answers_are_qemus(ours, qemu):
    for command, arguments in QUESTIONS:
        assert ours.execute(command, **arguments) == qemu.execute(command, **arguments), command


@pytest.mark.parametrize("line", LINES)
def test_human_monitor_says_what_qemus_says(ours, qemu, line):
    assert ours.hmp(line).rstrip("\n") == qemu.hmp(line).rstrip("\n")


def test_libvirts_probes_are_answered_as_by_qemu(ours, qemu):
    assert errors(ours, PROBES) == errors(qemu, PROBES)


def test_it_can_run_though_nothing_happens(ours):
    ours.query("cont")
    ours.machine.run_slice(ours.machine.clock.now + 1_000_000)
    assert ours.query("query-status")["running"]
    ours.query("stop")
