"""Tests of a small kernel, tick.s, on emulated machines: `pip install numachine pytest`, then `pytest` here.

Time is guest time, so nothing is flaky, and a test takes milliseconds.
"""

import re
from pathlib import Path

import pytest

from machines.guests import asm
from machines.testing import sweep

KERNEL = asm.multiboot_elf((Path(__file__).parent / "tick.s").read_text())
MS = 1_000_000  # nanoseconds


OPTIONS = {"kernel": KERNEL, "memory": "16M", "smp": "1,maxcpus=8"}


@pytest.fixture(params=["pc", "q35"])
def vm(request):
    """The kernel, booted."""
    vm = request.getfixturevalue(request.param)(**OPTIONS)
    vm.serial.expect("tick kernel", within="50 ms")
    return vm


def ask(vm, command, answer):
    """The number in the answer to a command."""
    return int(vm.serial.send(command).expect(re.compile(answer + r" (\d+)\n"), within="20 ms")[1])


def plug(vm, core):
    vm.qmp.device_add(driver="qemu64-x86_64-cpu", id=f"cpu{core}", socket_id=0, core_id=core, thread_id=0)


def test_it_echoes_what_is_typed(vm):
    vm.serial.send("z").expect("z", within="20 ms")


def test_the_timer_ticks_a_thousand_times_a_second(vm):
    before = ask(vm, "t", "ticks")
    vm.run_for(100 * MS)
    assert ask(vm, "t", "ticks") - before in (100, 101, 102)


def test_a_division_by_zero_is_survived(vm):
    vm.serial.send("d").expect("divide error", within="20 ms")
    vm.serial.expect("survived", within="20 ms")


def test_plugged_cpus_are_in_the_hot_plug_registers(vm):
    assert ask(vm, "c", "cpus") == 1
    for core in (1, 2, 3):
        plug(vm, core)
    assert ask(vm, "c", "cpus") == 4


@sweep("when", first=1, last=200, count=10)
def test_a_plug_at_any_moment_of_the_boot_is_counted(q35, when):
    vm = q35(**OPTIONS)
    vm.at(insn=when, do=lambda: plug(vm, 1))
    vm.serial.expect("tick kernel", within="50 ms")
    assert ask(vm, "c", "cpus") == 2
