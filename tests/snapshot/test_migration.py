"""migrate, -incoming, savevm and loadvm, as clients and users see them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from emu.migration import CAPABILITIES
from emu.qmp import QmpError
from machines import Pc
from machines.guests import hotplug
from tests.snapshot.conftest import MS, device, fingerprint, plug

pytestmark = pytest.mark.guest


def events(vm):
    """Names of events so far; a MIGRATION by its status, a MIGRATION_PASS by its number."""
    return [next(iter(event.get("data", {}).values()), event["event"]) if "MIGRATION" in event["event"] else event["event"]
            for event in vm.qmp.events]  # fmt: skip


def migrate(vm, path):
    """Begin and see it through."""
    vm.qmp.migrate(uri=f"file:{path}")
    for _ in range(3):
        vm.run_slice(vm.clock.now + MS)


@pytest.fixture
def waiting(make):
    """waiting(...): a machine under -incoming defer."""

    def start(autostart=True, **options):
        vm = make(**options)
        vm.migration.expect(autostart)
        vm.qmp.migrate_set_capabilities(capabilities=[{"capability": "events", "state": True}])
        return vm

    return start


# --- source
def test_the_source_goes_through_qemus_states(booted, tmp_path):
    vm = booted()
    vm.qmp.migrate_set_capabilities(capabilities=[{"capability": "events", "state": True}])
    assert vm.qmp.query_migrate() == {}
    vm.qmp.migrate(uri=f"file:{tmp_path}/state")
    seen = [vm.qmp.query_migrate()["status"]]
    for _ in range(2):
        vm.run_slice(vm.clock.now + MS)
        seen.append(vm.qmp.query_migrate()["status"])
    assert seen == ["setup", "active", "completed"]
    assert events(vm) == ["setup", 1, "active", "STOP", 2, "completed"]
    assert vm.qmp.query_status() == {"running": False, "singlestep": False, "status": "postmigrate"}
    assert not vm.running


def test_the_report_counts_what_was_written(booted, tmp_path):
    vm = booted()
    migrate(vm, tmp_path / "state")
    report = vm.qmp.query_migrate()
    assert report["ram"]["transferred"] == (tmp_path / "state").stat().st_size
    assert report["ram"]["normal"] + report["ram"]["duplicate"] == report["ram"]["total"] // 4096
    assert "Migration status: completed\n" in vm.hmp("info migrate")


def test_events_come_only_when_asked_for(booted, tmp_path):
    vm = booted()
    migrate(vm, tmp_path / "state")
    assert events(vm) == ["STOP"]


def test_a_source_may_go_on_after_all(booted, tmp_path):
    vm = booted()
    migrate(vm, tmp_path / "state")
    vm.qmp.cont()
    vm.serial.send("s").expect("present 1")


def test_a_second_migration_from_postmigrate_is_refused(booted, tmp_path):
    vm = booted()
    migrate(vm, tmp_path / "state")
    with pytest.raises(QmpError, match="Can't migrate the vm that was paused due to previous migration"):
        vm.qmp.migrate(uri=f"file:{tmp_path}/again")


@pytest.mark.parametrize("uri", ["exec:cat > x", "tcp:localhost:4444", "unix:/x", "fd:3", "file:", "x"])
def test_other_protocols_are_refused(booted, uri):
    with pytest.raises(QmpError, match="Parameter 'uri' expects a valid migration protocol: here that is file:PATH"):
        booted().qmp.migrate(uri=uri)


def test_a_file_that_cannot_be_written_fails_and_the_guest_runs_on(booted, tmp_path):
    vm = booted()
    migrate(vm, tmp_path / "missing" / "state")
    report = vm.qmp.query_migrate()
    assert report["status"] == "failed" and "No such file or directory" in report["error-desc"]
    assert "error: Could not open" in vm.hmp("info migrate")
    vm.serial.send("s").expect("present 1")


def test_a_cancelled_migration_writes_nothing(booted, tmp_path):
    vm = booted()
    vm.qmp.migrate_cancel()  # nothing to cancel: nothing happens
    vm.qmp.migrate(uri=f"file:{tmp_path}/state")
    vm.qmp.migrate_cancel()
    vm.serial.send("s").expect("present 1")
    assert vm.qmp.query_migrate()["status"] == "cancelled" and not (tmp_path / "state").exists()


# --- while it runs
@pytest.fixture
def migrating(booted, tmp_path):
    vm = booted(smp="2,maxcpus=4", devices=[device(2)])
    vm.qmp.migrate(uri=f"file:{tmp_path}/state")
    return vm


@pytest.mark.parametrize("command, arguments", [
    ("device_add", {"driver": "qemu64-x86_64-cpu", "id": "c3", "socket-id": 0, "core-id": 3, "thread-id": 0}),
    ("device_del", {"id": "cpu2"}),
    ("cpu-add", {"id": 3}),
])  # fmt: skip
def test_no_cpu_comes_or_goes_while_migrating(migrating, command, arguments):
    with pytest.raises(QmpError, match=f"^{command} not allowed while migrating$"):
        migrating.qmp.execute(command, **arguments)
    migrating.qmp.migrate_cancel()
    migrating.qmp.execute(command, **arguments)


@pytest.mark.parametrize("line", ["cpu_set 3 online", "cpu_set 2 offline", "cpu-add 3", "device_del cpu2", "savevm x", "loadvm x"])
def test_nor_by_the_human_monitor(migrating, line):
    assert "not allowed while migrating" in migrating.hmp(line)


def test_nor_through_the_links_of_the_topology(migrating):
    vm = migrating
    vm.qmp.object_add(qom_type=vm.cpu_type, id="c3")
    link = next(path for path in links(vm) if path.endswith("core[3]"))
    before = len(vm.cpus)
    with pytest.raises(QmpError, match="qom-set not allowed while migrating"):
        vm.qmp.qom_set(path=f"{link}/thread[0]", property="cpu", value="/objects/c3")
    assert len(vm.cpus) == before


def links(vm):
    return [each.path for each in vm.tree.walk() if "core" in each.path]


def test_a_second_one_waits_for_the_first(migrating):
    with pytest.raises(QmpError, match="There's a migration process in progress"):
        migrating.qmp.migrate(uri="file:/dev/null")
    with pytest.raises(QmpError, match="not allowed while migrating"):
        migrating.qmp.migrate_set_capabilities(capabilities=[])


# --- target
def test_the_target_goes_on_where_the_source_stopped(booted, waiting, tmp_path):
    source, target = booted(), waiting()
    assert target.qmp.query_status()["status"] == "inmigrate"
    migrate(source, tmp_path / "state")
    target.qmp.migrate_incoming(uri=f"file:{tmp_path}/state")
    assert events(target) == ["setup", "active", "completed", "RESUME"]
    assert target.qmp.query_migrate()["status"] == "completed" and target.running
    source.qmp.cont()
    for vm in (source, target):
        vm.run_for(5 * MS)
    assert fingerprint(source) == fingerprint(target)


def test_cpus_may_be_added_before_the_state_comes(booted, waiting, tmp_path):
    source, target = booted(), waiting()
    plug(source, 2)
    source.serial.expect(hotplug.online_line(2).strip())
    migrate(source, tmp_path / "state")
    with pytest.raises(QmpError, match="has CPU 2, this machine has not"):
        target.qmp.migrate_incoming(uri=f"file:{tmp_path}/state")
    assert target.qmp.query_migrate()["status"] == "failed"
    assert target.qmp.query_status()["status"] == "inmigrate"
    plug(target, 2)
    target.qmp.migrate_incoming(uri=f"file:{tmp_path}/state")
    target.serial.send("s").expect("present 2 online 2")


@pytest.mark.parametrize("before, autostart, after", [
    ([], True, "running"), (["stop"], True, "paused"), ([], False, "paused"),
])  # fmt: skip
def test_a_stopped_source_makes_a_stopped_target(booted, waiting, tmp_path, before, autostart, after):
    source, target = booted(), waiting(autostart=autostart)
    for command in before:
        source.qmp.execute(command)
    migrate(source, tmp_path / "state") if source.running else migrate_stopped(source, tmp_path / "state")
    target.qmp.migrate_incoming(uri=f"file:{tmp_path}/state")
    assert target.qmp.query_status()["status"] == after


def migrate_stopped(vm, path):
    vm.qmp.migrate(uri=f"file:{path}")
    for _ in range(2):
        vm.serve()


def test_cont_and_stop_before_the_state_has_come_decide_what_happens_then(booted, waiting, tmp_path):
    source = booted()
    migrate(source, tmp_path / "state")
    for command, after in (("cont", "running"), ("stop", "paused")):
        target = waiting(autostart=after == "paused")
        target.qmp.execute(command)
        assert target.qmp.query_status()["status"] == "inmigrate"
        target.qmp.migrate_incoming(uri=f"file:{tmp_path}/state")
        assert target.qmp.query_status()["status"] == after


def test_without_incoming_nothing_is_expected(booted):
    with pytest.raises(QmpError, match="'-incoming' was not specified on the command line"):
        booted().qmp.migrate_incoming(uri="file:/x")


def test_state_comes_once(booted, waiting, tmp_path):
    source, target = booted(), waiting()
    migrate(source, tmp_path / "state")
    target.qmp.migrate_incoming(uri=f"file:{tmp_path}/state")
    with pytest.raises(QmpError, match="The incoming migration has already been started"):
        target.qmp.migrate_incoming(uri=f"file:{tmp_path}/state")


def test_a_waiting_machine_cannot_migrate(waiting):
    with pytest.raises(QmpError, match="Guest is waiting for an incoming migration"):
        waiting().qmp.migrate(uri="file:/x")


# --- capabilities
def test_capabilities_are_listed_and_only_some_can_be_had(booted):
    vm = booted()
    assert [each["capability"] for each in vm.qmp.query_migrate_capabilities()] == list(CAPABILITIES)
    with pytest.raises(QmpError, match="Capability 'postcopy-ram' is not supported"):
        vm.qmp.migrate_set_capabilities(capabilities=[{"capability": "events", "state": True},
                                                      {"capability": "postcopy-ram", "state": True}])  # fmt: skip
    assert "events: off\n" in vm.hmp("info migrate_capabilities")
    vm.hmp("migrate_set_capability events on")
    assert "events: on\n" in vm.hmp("info migrate_capabilities")


# --- savevm and loadvm
def test_savevm_and_loadvm_stop_and_resume(booted, tmp_path):
    vm = booted()
    assert vm.hmp(f"savevm {tmp_path}/a") == ""
    then = fingerprint(vm)
    vm.serial.send("s").expect("present 1")
    assert vm.hmp(f"loadvm {tmp_path}/a") == ""
    assert fingerprint(vm) == then and vm.running
    assert events(vm) == ["STOP", "RESUME", "STOP", "RESUME"]


def test_loadvm_leaves_a_stopped_machine_stopped(booted, tmp_path):
    vm = booted()
    vm.hmp(f"savevm {tmp_path}/a")
    vm.hmp("stop")
    vm.hmp(f"loadvm {tmp_path}/a")
    assert vm.qmp.query_status()["status"] == "paused"


def test_loadvm_of_the_past_does_not_make_the_guest_run_long(booted, tmp_path):
    """The main loop's deadline was in a future that has gone."""
    vm = booted()
    vm.hmp(f"savevm {tmp_path}/a")
    vm.run_for(3_000 * MS)
    vm.services.append(lambda: vm.services.pop() and vm.hmp(f"loadvm {tmp_path}/a"))
    then = vm.clock.now
    vm.run_slice(vm.clock.now + MS)
    assert vm.clock.now < then - 2_000 * MS


@pytest.mark.parametrize("line, answer", [
    ("savevm", "there is no disk"), ("loadvm", "there is no disk"), ("savevm /nowhere/a", "Error: Could not open '/nowhere"),
    ("loadvm /nowhere/a", "Error: Could not open '/nowhere/a': No such file or directory"),
    ("loadvm /etc/hostname", "Error: this is no snapshot of numachine"), ("delvm /etc/hostname", "Error: '/etc/hostname' is no"),
])  # fmt: skip
def test_the_human_monitor_says_what_is_wrong(booted, line, answer):
    vm = booted()
    assert answer in vm.hmp(line)
    assert vm.running


def test_snapshots_are_listed_and_deleted(booted, tmp_path, monkeypatch):
    vm = booted()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "else").write_text("no snapshot")
    assert vm.hmp("info snapshots") == "There is no snapshot available.\n"
    vm.hmp("savevm first")
    head, columns, line = vm.hmp("info snapshots").splitlines()
    assert columns.split() == ["ID", "TAG", "VM", "SIZE", "DATE", "VM", "CLOCK", "ICOUNT"]
    assert line.split()[:2] == ["--", "first"] and "00:00:00.0" in line
    vm.hmp("delvm first")
    assert [path.name for path in tmp_path.iterdir()] == ["else"]


# --- command line
def run(*arguments, input=""):
    """A process with a human monitor on stdin: exit status, what the monitor showed, errors."""
    code = "import sys; from emu.cli.main import system_x86_64; sys.exit(system_x86_64())"
    done = subprocess.run([sys.executable, "-c", code, "-m", "16M", "-smp", "1,maxcpus=4", "-nodefaults", "-monitor", "stdio",
                           *arguments], input=input, capture_output=True, text=True, timeout=60)  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def state(booted, tmp_path):
    """The file of a migrated guest, on pc."""
    vm = booted(machine=Pc)
    migrate(vm, tmp_path / "state")
    return tmp_path / "state"


def test_a_process_started_with_incoming_goes_on(state):
    status, shown, errors = run("-incoming", f"file:{state}", input="info status\nquit\n")
    assert (status, errors) == (0, "") and "VM status: running" in shown


def test_a_process_started_paused_waits_for_cont(state):
    _, shown, _ = run("-incoming", f"file:{state}", "-S", input="info status\ncont\ninfo status\nquit\n")
    assert shown.index("VM status: paused") < shown.index("VM status: running")


def test_a_process_that_defers_waits_for_the_state(state):
    _, shown, _ = run("-incoming", "defer", input=f"info status\nmigrate_incoming file:{state}\ninfo status\nquit\n")
    assert "VM status: paused (inmigrate)" in shown and "VM status: running" in shown


def test_a_process_started_with_loadvm_goes_on(booted, tmp_path):
    vm = booted(machine=Pc)
    vm.hmp(f"savevm {tmp_path}/a")
    status, shown, errors = run("-loadvm", str(tmp_path / "a"), input="info status\nquit\n")
    assert (status, errors) == (0, "") and "VM status: running" in shown


@pytest.mark.parametrize("option", [["-incoming", "file:{}"], ["-loadvm", "{}"]])
def test_a_state_that_does_not_fit_ends_the_process_with_one_line(state, option):
    status, _, errors = run(*(word.format(state) for word in option), "-smp", "2")
    assert status == 1 and errors.count("\n") == 1 and "start it with the same -smp" in errors


@pytest.mark.parametrize("option", [["-incoming", "file:/nowhere"], ["-loadvm", "/nowhere"], ["-incoming", "tcp:x:1"]])
def test_a_state_that_is_not_there_ends_the_process_with_one_line(option):
    status, _, errors = run(*option)
    assert status == 1 and errors.count("\n") == 1


def test_a_state_of_another_process_is_the_same_state(state, tmp_path):
    """Loaded elsewhere and saved again without running, it is the same file but for who may run."""
    run("-incoming", f"file:{state}", "-S", input=f"savevm {tmp_path}/again\nquit\n")
    there, here = state.read_bytes(), (tmp_path / "again").read_bytes()
    assert json.dumps("running").encode() in there
    assert here.replace(b'"run-state":"paused"', b'"run-state":"running"').count(b"running") == there.count(b"running")
