"""Debian's kernel boots to a shell: through PVH and as a bzImage, with one CPU and with four."""

from __future__ import annotations

import hashlib
import re

import pytest

from machines.cpu_view import architectural_state
from tests import guests


def test_vmlinux_boots_through_pvh(linux):
    vm, shell = linux()
    assert "Linux" in shell.run("uname -a")
    assert shell.run("nproc") == "1"


def test_bzimage_boots_and_decompresses_itself(linux):
    vm, shell = linux(kernel=guests.kernel)
    assert shell.run("cat /proc/cmdline") == guests.SMALL_BOOT_APPEND


def test_four_cpus_come_online(linux):
    vm, shell = linux(smp="4")
    assert shell.run("nproc") == "4"
    assert shell.run("cat /sys/devices/system/cpu/online") == "0-3"
    for cpu in range(4):
        assert shell.run(f"taskset {1 << cpu:x} sh -c 'cut -d\" \" -f39 /proc/self/stat'") == str(cpu)


def test_topology_of_the_command_line_is_what_the_guest_sees(linux):
    vm, shell = linux(smp="4,sockets=2,cores=2,threads=1")
    assert shell.run("grep -h . /sys/devices/system/cpu/cpu*/topology/physical_package_id").split() == ["0", "0", "1", "1"]
    assert shell.run("grep -h . /sys/devices/system/cpu/cpu*/topology/core_id").split() == ["0", "1", "0", "1"]


def test_cpu_model_is_what_the_guest_sees(linux):
    vm, shell = linux(cpu="Nehalem,-sse4.2", smp="1")
    assert "Nehalem" in shell.run("grep 'model name' /proc/cpuinfo")
    flags = shell.run("grep flags /proc/cpuinfo").split()
    assert "popcnt" in flags and "sse4_1" in flags and "sse4_2" not in flags


def test_memory_of_the_command_line_is_what_the_guest_sees(linux):
    vm, shell = linux(memory="512M", smp="1")
    kib = int(re.search(r"MemTotal: +(\d+) kB", shell.run("cat /proc/meminfo"))[1])
    assert 400 << 10 < kib < 512 << 10


def test_memory_above_4_gib_is_usable(linux):
    vm, shell = linux(memory="5G", smp="1")
    kib = int(re.search(r"MemTotal: +(\d+) kB", shell.run("cat /proc/meminfo"))[1])
    assert kib > 4 << 20


def test_power_off_and_reboot(linux):
    vm, shell = linux(smp="1")
    vm.serial.send("reboot -f\n")
    vm.serial.expect(guests.INIT_READY)
    vm.serial.send("poweroff -f\n")
    assert vm.run(within="5 s") == 0


def test_boot_without_acpi(linux):
    vm, shell = linux(acpi=False, smp="1")
    assert shell.run("ls /sys/firmware/acpi") == "ls: /sys/firmware/acpi: No such file or directory"


def test_two_boots_are_the_same_to_the_last_instruction(linux):
    ends = []
    for _ in range(2):
        vm, shell = linux(smp="2")
        ends.append((vm.clock.now, vm.serial.text, [architectural_state(vm, cpu) for cpu in vm.cpus],
                     hashlib.sha256(vm.engine.ram).hexdigest()))  # fmt: skip
    assert ends[0] == ends[1]


@pytest.mark.slow
def test_generic_bzimage_boots(linux):
    vm, shell = linux(kernel=lambda: guests.kernel("generic"), smp="1", memory="512M")
    assert shell.run("nproc") == "1"


@pytest.mark.slow
def test_generic_kernel_boots(linux):
    vm, shell = linux(kernel=lambda: guests.vmlinux("generic"), smp="2", memory="512M")
    assert shell.run("nproc") == "2"
