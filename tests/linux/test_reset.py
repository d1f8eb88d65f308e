"""CPUs that were plugged are there after a reset, whoever asks for it and whenever."""

from __future__ import annotations

import pytest

from machines import Q35, Pc

BOTH = pytest.mark.parametrize("machine", [Pc, Q35])


def plug(vm, shell, *slots):
    """Plug CPUs and online them."""
    for slot in slots:
        before = shell.present
        vm.qmp.cpu_add(id=slot)
        vm.qmp.wait("ACPI_DEVICE_OST", slot=str(slot), source=1, status=0)
        (cpu,) = shell.present - before
        shell.use(cpu)


def unplug(vm, slot):
    vm.qmp.device_del(id=vm.slots[slot].cpu.path)
    vm.qmp.wait("ACPI_DEVICE_OST", slot=str(slot), source=3, status=0)


@BOTH
def test_reboot_by_the_guest_counts_plugged_cpus(linux, machine):
    vm, shell = linux(machine=machine)
    plug(vm, shell, 1, 3)
    vm.serial.send("reboot -f\n")
    shell.booted()
    assert shell.run("nproc") == "3"
    unplug(vm, 3)
    assert shell.online == "0-1"


@BOTH
def test_reset_while_a_plugged_cpu_works(linux, machine):
    vm, shell = linux(machine=machine)
    plug(vm, shell, 2)
    shell.run("(taskset 2 yes > /dev/null &)")
    before = vm.cpus[2].retired
    vm.run_for(10_000_000)
    assert vm.cpus[2].retired - before > 1_000_000
    vm.qmp.system_reset()
    shell.booted()
    assert shell.run("nproc") == "2"
    plug(vm, shell, 1)
    unplug(vm, 2)
    assert shell.run("nproc") == "2"


def test_plug_and_unplug_request_that_a_reset_overtakes(linux):
    """Events that the guest has not seen survive a reset, in which GPE.2 is lost: it sees them with the next one."""
    vm, shell = linux(machine=Q35)
    vm.qmp.cpu_add(id=1)
    vm.qmp.system_reset()
    shell.booted()
    assert shell.run("nproc") == "2"
    path = vm.slots[1].cpu.path
    vm.qmp.device_del(id=path)  # with this one it sees the plug, and nothing else of that CPU
    vm.run_for(100_000_000)
    assert shell.online == "0-1"
    vm.qmp.device_del(id=path)
    vm.qmp.system_reset()
    shell.booted()
    assert shell.online == "0-1"
    unplug(vm, 1)
    assert shell.online == "0"
