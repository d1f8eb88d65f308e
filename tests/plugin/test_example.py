"""The example project of docs/examples, as a user of the plugin runs it: in a folder of its own, by pytest alone."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "kernel_tests"
pytestmark = pytest.mark.guest


@pytest.fixture
def run(tmp_path):
    """run(*arguments) calls pytest in a copy of the project: (exit status, output)."""
    project = tmp_path / "project"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))

    def pytest_there(*arguments):
        done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments], check=False, cwd=project,
                              capture_output=True, text=True, timeout=300)  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    return pytest_there


def test_the_example_is_green(run):
    status, output = run()
    assert status == 0, output
    assert re.search(r"18 passed", output)


def test_a_failed_test_tells_what_the_machine_did_and_how_to_see_it_again(run):
    status, output = run("made_to_fail.py")
    assert status == 1
    assert "2 failed" in output and "passed" not in output
    for title in ("serial port, its end", "screen", "registers", "last blocks", "QMP", "to run it again"):
        assert re.search(rf"q35, after [\d,]+ instructions: {title}", output), title
    assert "divide error" in output and "RIP=" in output or "EIP=" in output
    assert '{"execute": "device_add", "arguments": {"driver": "qemu64-x86_64-cpu", "id": "cpu1"' in output
    assert "not available" not in output


def test_the_command_that_a_report_gives_repeats_the_run(run):
    _, output = run("made_to_fail.py")
    command = re.search(r"^python -m pytest (.*)$", output, re.MULTILINE)
    assert command
    _, again = run(*shlex.split(command[1]))
    instructions = re.compile(r"after ([\d,]+) instructions")
    assert set(instructions.findall(again)) <= set(instructions.findall(output)) != set()
