"""-d and -D on the command line, with the real machine."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from emu import log
from emu.cli import main
from emu.cli.options import OptionError
from machines.guests import asm

TRIPLE_FAULT = "start: int 0x80\ncli\nhlt\n"


@pytest.fixture
def kernel(tmp_path):
    path = tmp_path / "kernel"
    path.write_bytes(asm.multiboot_elf(TRIPLE_FAULT))
    return str(path)


def emulator(*arguments):
    code = "import sys; from emu.cli.main import system_x86_64; sys.exit(system_x86_64())"
    process = subprocess.Popen([sys.executable, "-c", code, "-nodefaults", "-display", "none", *arguments],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    output, errors = process.communicate(timeout=60)
    return process, output, errors


def test_log_goes_to_stderr(kernel):
    process, _, errors = emulator("-kernel", kernel, "-no-reboot", "-d", "int")
    assert process.returncode == 0 and "v=80 e=none i=1" in errors


def test_log_goes_to_a_fresh_file_named_after_the_process(kernel, tmp_path):
    process, _, errors = emulator("-kernel", kernel, "-no-reboot", "-d", "int,in_asm", "-D", f"{tmp_path}/log-%d")
    text = (tmp_path / f"log-{process.pid}").read_text()
    assert "v=80 e=none i=1" in text and "int 0x80" in text and "v=80" not in errors


def test_a_log_file_that_exists_is_replaced(kernel, tmp_path):
    (tmp_path / "log").write_text("old")
    emulator("-kernel", kernel, "-no-reboot", "-d", "int", "-D", f"{tmp_path}/log")
    assert (tmp_path / "log").read_text().startswith("     0: v=80")


def test_help_lists_every_mask_and_ends():
    process, output, errors = emulator("-d", "help")
    assert (process.returncode, errors) == (0, "")
    assert [line.split()[0] for line in output.splitlines()[1:]] == list(log.MASKS)


def test_an_unknown_mask_is_one_line_and_status_1():
    process, output, errors = emulator("-d", "int,nonsense")
    assert process.returncode == 1 and output == "" and errors.count("\n") == 1
    assert "'nonsense'" in errors and "-d help" in errors


@pytest.mark.parametrize("name", ["log-%s", "log-%d-%d", "%", "%d%"])
def test_other_formats_in_the_file_name_are_refused(name):
    with pytest.raises(OptionError, match="%d once"):
        main.log_file_name(name)


def test_the_process_id_stands_where_the_name_says():
    assert main.log_file_name("a%db") == f"a{os.getpid()}b"
