"""Debian's memtest86+ on 64 MB: it goes over all memory, draws on the screen, and talks on the serial port."""

from __future__ import annotations

import re
from contextlib import ExitStack

import pytest

from machines import Q35, Pc
from machines.pc import X86Pc
from tests import guests

pytestmark = pytest.mark.linux
TESTS = 3  # how many run, each over all memory: address bits, own addresses in order and in parallel


def current_test(vm: X86Pc) -> int:
    """The number that the screen shows, -1 before the first."""
    shown = re.search(r"Test #(\d+)", vm.screen.text)
    return int(shown[1]) if shown else -1


@pytest.fixture
def memtest():
    """memtest(machine, word, ...): memtest86+ after its first tests.  A key spares the seconds that it waits to be configured."""
    with ExitStack() as running:

        def start(machine: type[X86Pc], word: str, append: str = "", **options) -> X86Pc:
            given = {"memory": "64M", "kernel": guests.memtest(word), "append": f"console=ttyS0,115200 {append}", **options}
            vm = running.enter_context(machine(**given))
            vm.run(lambda: "<Enter> to start" in vm.screen.text, within="5 s")
            vm.serial.send("\r")
            vm.run(lambda: current_test(vm) >= TESTS, within="20 s")
            return vm

        yield start


@pytest.mark.parametrize("machine", [Pc, Q35])
def test_seabios_starts_memtest_and_memory_is_good(memtest, machine: type[X86Pc]) -> None:
    vm = memtest(machine, "x64", "nosmp", bios=guests.seabios())
    assert "Memtest86+ v6" in vm.screen.lines[0]
    assert vm.screen.lines[8].endswith("Errors: 0")
    assert "Status: Testing" in vm.serial.text


@pytest.mark.parametrize("word", ["x64", "ia32"])
def test_memtest_starts_directly_by_the_64_and_the_32_bit_protocol(memtest, word: str) -> None:
    vm = memtest(Pc, word, "nosmp")
    assert vm.screen.lines[8].endswith("Errors: 0")


def test_memtest_uses_every_cpu(memtest) -> None:
    vm = memtest(Q35, "x64", smp="2")
    assert "CPU: 2 Cores 2 Threads    SMP: 2T (PAR)" in vm.screen.lines[7]
    assert vm.screen.lines[8].endswith("Errors: 0")
