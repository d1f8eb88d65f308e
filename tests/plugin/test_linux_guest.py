"""`linux_guest`: booted once, forked for every test."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests import guests

pytestmark = pytest.mark.linux

TESTS = '''
"""Each leaves its guest changed; none sees what another did."""
import pytest

COUNTS = []

@pytest.mark.parametrize("name", ["first", "second", "third"])
def test_files_of_other_tests_are_not_there(linux_guest, name):
    COUNTS.append(linux_guest.instructions)
    linux_guest.serial.send(f"ls /tmp; touch /tmp/{name}; ls /tmp | wc -l; echo ok\\n").expect("\\nok", within="5e9 insns")
    assert "\\n1\\r" in linux_guest.serial.text

def test_all_of_them_began_at_the_same_instruction():
    assert len(COUNTS) == 6 and len(set(COUNTS)) == 2

@pytest.mark.numachine(smp="2,maxcpus=4")
def test_options_of_a_test_make_another_machine(linux_guest):
    linux_guest.serial.send("nproc\\n").expect("\\n2", within="5e9 insns")
'''


def run(tmp_path, text, *options):
    (tmp_path / "test_linux.py").write_text(text)
    done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options], check=False, cwd=tmp_path,
                          capture_output=True, text=True, timeout=600)  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_every_test_gets_a_fork_of_the_guest_that_booted_once(tmp_path):
    status, output = run(tmp_path, TESTS, f"--numachine-kernel={guests.vmlinux()}", f"--numachine-initrd={guests.initramfs()}",
                         f"--numachine-append={guests.SMALL_BOOT_APPEND}", "--numachine-ready=# ",
                         "--numachine-machine=pc,q35")  # fmt: skip
    assert status == 0, output
    assert "9 passed" in output


def test_without_a_kernel_such_tests_are_skipped_and_told_why(tmp_path):
    status, output = run(tmp_path, "def test_it(linux_guest): pass\n", "-rs")
    assert status == 0
    assert "linux_guest needs a kernel: --numachine-kernel FILE, or numachine_kernel in the configuration file" in output


def test_a_kernel_that_cannot_be_read_fails_with_its_name(tmp_path):
    status, output = run(tmp_path, "def test_it(linux_guest): pass\n", "--numachine-kernel=/nowhere/vmlinuz")
    assert status == 1
    assert "linux_guest: cannot read /nowhere/vmlinuz" in output and "Traceback" not in output


def test_a_limit_in_guest_instructions_says_where_the_guest_was(tmp_path):
    endless = '''
import pytest
@pytest.mark.numachine(within="30e6 insns")
def test_it(embedded_guest):
    embedded_guest.memory.write(0x3000, bytes.fromhex("ebfe"))
    embedded_guest.cpus[0].rip = 0x3000
    embedded_guest.vcpus[0].state["halted"] = 0
    embedded_guest.run_for(10**9)
'''
    status, output = run(tmp_path, endless)
    assert status == 1
    assert "the test's limit of 30,000,000 guest instructions is over" in output
    assert "cpu 0 at 0x3000" in output
