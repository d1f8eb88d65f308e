"""The system emulator as a process: streams, exit status, one-line errors.  Its machine is a fake one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STARTER = """
import sys
sys.argv[0] = "numachine-system-x86_64"
sys.path[:0] = [{root!r}, {here!r}]
from dataclasses import replace
from emu.cli import machines, main
machines.MACHINES = tuple(replace(entry, path="fake_system:Fake") for entry in machines.MACHINES)
sys.exit(main.{entry}())
"""


def start(*arguments, entry="system_x86_64"):
    code = STARTER.format(root=str(ROOT), here=str(Path(__file__).parent), entry=entry)
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)  # fmt: skip


def finish(process, typed="", timeout=20):
    try:
        output, errors = process.communicate(typed, timeout=timeout)
    finally:
        process.kill()
    return process.returncode, output, errors


def connect(path):
    deadline = time.monotonic() + 10
    while not os.path.exists(path):
        assert time.monotonic() < deadline, "no socket appeared"
        time.sleep(0.02)
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    client.connect(path)
    return client, client.makefile("rwb", buffering=0)


def test_serial_on_stdio_and_power_off():
    assert finish(start("-nographic"), "abc\noff\n") == (0, "hello\nABC\nOFF\n", "")


def test_debug_exit_is_the_exit_status():
    status, _, _ = finish(start("-serial", "stdio", "-display", "none"), "exit 8\n")
    assert status == 17


def test_monitor_behind_ctrl_a_c_and_quit_by_ctrl_a_x():
    status, output, _ = finish(start("-nographic"), "\x01cinfo status\r\x01x")
    assert status == 0
    assert "(qemu) info status\nVM status: running\n" in output.replace("\r", "")
    assert output.replace("\r", "").endswith("(qemu) QEMU: Terminated\n\n")


def test_human_monitor_on_stdio():
    status, output, _ = finish(start("-display", "none", "-monitor", "stdio"), "info cpus\nquit\n")
    assert status == 0 and "* CPU #0" in output


def test_serial_output_into_a_file(tmp_path):
    process = start("-display", "none", "-serial", f"file:{tmp_path}/out", "-monitor", "stdio")
    assert finish(process, "quit\n")[0] == 0
    assert (tmp_path / "out").read_text() == "hello\n"


def test_qmp_on_a_socket_drives_the_machine(tmp_path):
    path = str(tmp_path / "q")
    process = start("-S", "-display", "none", "-smp", "1,maxcpus=2", "-qmp", f"unix:{path},server=on,wait=off",
                    "-device", "qemu64-x86_64-cpu,socket-id=0,core-id=1,thread-id=0,id=c1")  # fmt: skip
    _, file = connect(path)
    file.readline()
    file.write(b'{"execute":"qmp_capabilities"}{"execute":"query-status"}{"execute":"qom-list",'
               b'"arguments":{"path":"/machine/peripheral"}}{"execute":"query-chardev"}{"execute":"quit"}')  # fmt: skip
    answers = [json.loads(file.readline()) for _ in range(6)]
    assert answers[1]["return"]["status"] == "prelaunch"
    assert answers[2]["return"][1]["name"] == "c1"
    assert answers[3]["return"][0]["filename"] == f"unix:{path},server=on"
    assert answers[4]["event"] == "SHUTDOWN"
    assert finish(process)[0] == 0
    assert not os.path.exists(path)


def test_chardev_and_mon_give_qmp_on_stdio():
    process = start("-display", "none", "-chardev", "stdio,id=c", "-mon", "chardev=c,mode=control")
    status, output, _ = finish(process, '{"execute":"qmp_capabilities"}{"execute":"quit"}')
    assert status == 0 and '"QMP"' in output and output.count('{"return": {}}') == 2


def test_muxed_chardev_serves_serial_and_monitor():
    process = start("-display", "none", "-chardev", "stdio,id=c,mux=on", "-serial", "chardev:c", "-mon", "c")
    status, output, _ = finish(process, "x\x01cinfo kvm\rquit\r")
    assert status == 0 and "hello" in output and "kvm support: disabled" in output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_cleanly_with_a_message(number):
    process = start("-display", "none", "-serial", "stdio")
    assert process.stdout.readline() == "hello\n"
    process.send_signal(number)
    assert finish(process) == (0, "", f"numachine-system-x86_64: terminating on signal {int(number)}\n")


@pytest.mark.parametrize("arguments, text", [
    (["-foo"], "-foo: invalid option"),
    (["-cpu", "foo"], "unable to find CPU model 'foo'"),
    (["-cpu", "host"], "CPU model 'host' requires KVM or HVF"),
    (["-cpu", "qemu64,foo=on"],
     "can't apply global qemu64-x86_64-cpu.foo=on: Property 'qemu64-x86_64-cpu.foo' not found"),
    (["-smp", "300"], "Invalid SMP CPUs 300. The max CPUs supported by machine 'pc-i440fx-7.2' is 255"),
    (["-smp", "foo=1"], "Parameter 'smp.foo' is unexpected"),
    (["-serial", "foo:bar"], "-serial foo:bar: 'foo' is not a valid char driver"),
    (["-serial", "file:/nope/x"], "-serial file:/nope/x: No such file or directory"),
    (["-qmp", "unix:/nope/x,server=on,wait=off"],
     "-qmp unix:/nope/x,server=on,wait=off: Failed to bind socket to /nope/x: No such file or directory"),
    (["-serial", "stdio", "-monitor", "stdio"],
     "-monitor stdio: cannot use stdio by multiple character devices"),
    (["-device", "qemu64-x86_64-cpu"], "CPU socket-id is not set"),
])  # fmt: skip
def test_error_is_one_line_and_status_one(arguments, text):
    assert finish(start("-display", "none", *arguments)) == (1, "", f"numachine-system-x86_64: {text}\n")


def test_warning_names_the_program():
    status, _, errors = finish(start("-display", "none", "-global", "foo.bar=1", "-monitor", "stdio"), "quit\n")
    assert status == 0
    assert errors == "numachine-system-x86_64: warning: global foo.bar has invalid class name\n"


def test_pidfile_names_the_process(tmp_path):
    process = start("-display", "none", "-pidfile", str(tmp_path / "pid"), "-serial", "stdio")
    process.stdout.readline()
    deadline = time.monotonic() + 10
    while not (tmp_path / "pid").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.terminate()
    finish(process)
    assert (tmp_path / "pid").read_text() == f"{process.pid}\n"


def test_front_door_runs_the_emulator_and_explains_itself():
    assert finish(start("run", "-nographic", entry="numachine"), "off\n")[:2] == (0, "hello\nOFF\n")
    assert "numachine demo" in finish(start("--help", entry="numachine"))[1]
    assert finish(start("nonsense", entry="numachine"))[0] == 1
    assert "QEMU emulator version 7.2.22" in finish(start("--version", entry="numachine"))[1]


def test_help_may_be_cut_short_by_its_reader() -> None:
    shell = f"{sys.executable} -c 'from emu.cli.main import system_x86_64 as run; run([\"-h\"])' | head -n 1"
    done = subprocess.run(shell, shell=True, capture_output=True, text=True, check=True)
    assert done.stderr == ""
