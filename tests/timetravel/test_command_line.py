"""-icount rr=record and rr=replay, as QEMU spells them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from machines.guests import hotplug

ROOT = Path(__file__).parents[2]
PLUG = "device_add qemu64-x86_64-cpu,id=c2,socket-id=0,core-id=2,thread-id=0\n"


@pytest.fixture
def run(tmp_path):
    """run(icount, input="", serial=...): exit status, output of the monitor, errors."""
    kernel = tmp_path / "kernel"
    kernel.write_bytes(hotplug.image())

    def start(icount, input="", serial="out", memory="16M"):
        program = "import sys; from emu.cli.main import system_x86_64; sys.exit(system_x86_64(sys.argv[1:]))"
        options = ["-m", memory, "-smp", "2,maxcpus=4", "-kernel", kernel, "-display", "none", "-monitor", "stdio",
                   "-serial", f"file:{tmp_path / serial}", "-icount", icount]  # fmt: skip
        done = subprocess.run([sys.executable, "-c", program, *map(str, options)], cwd=ROOT, input=input, capture_output=True,
                              text=True, timeout=100)  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    return start


def test_a_run_is_recorded_and_repeated(run, tmp_path):
    log = tmp_path / "replay.bin"
    assert run(f"shift=auto,rr=record,rrfile={log}", PLUG + "info cpus\nquit\n")[::2] == (0, "")
    assert '"device_add"' in log.read_text() and '"end"' in log.read_text()
    assert run(f"shift=auto,rr=replay,rrfile={log}", serial="again")[::2] == (0, "")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "out").read_bytes()


@pytest.mark.parametrize("icount, message", [
    ("rr=record", "needs the name of a file: rrfile=FILE"), ("rr=backwards,rrfile=x", "write rr=record or rr=replay"),
    ("rr=replay,rrfile=/nonexistent", "/nonexistent"), (f"rr=replay,rrfile={__file__}", "no log of a recorded run")])  # fmt: skip
def test_bad_options_give_one_line(run, icount, message):
    status, _, errors = run(icount)
    assert status == 1 and message in errors and errors.count("\n") == 1


def test_a_log_of_another_machine_gives_one_line(run, tmp_path):
    log = tmp_path / "log"
    run(f"rr=record,rrfile={log}", "quit\n")
    status, _, errors = run(f"rr=replay,rrfile={log}", memory="32M")
    assert status == 1 and "memory" in errors and errors.count("\n") == 1
