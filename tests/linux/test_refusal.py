"""A guest that cannot spare a CPU says so; nothing is lost, and the CPU goes when the guest can do without."""

from __future__ import annotations

import pytest

from machines import Q35, Pc
from tests import guests
from tests.linux.deadline_task import program

# ACPI 6.4, 6.3.5: _OST source events and status codes of an eject
EJECT_REQUEST, BUSY, IN_PROGRESS = 3, 0x82, 0x84
CPUS = 2


@pytest.fixture
def initrd(tmp_path):
    """The initramfs with one program more."""
    path = tmp_path / "initramfs"
    more = guests.cpio_newc([guests.Entry("bin/reserve", 0o100755, program())])
    path.write_bytes(guests.initramfs(compressed=False).read_bytes() + more)
    return path


@pytest.fixture(params=[(Pc, "cloud"), (Q35, "cloud"), pytest.param((Q35, "cloud-6.12"), marks=pytest.mark.slow)],
                ids=["pc-6.1", "q35-6.1", "q35-6.12"])  # fmt: skip
def held(request, linux, initrd):
    """A guest with two CPUs, each of which is promised to a task: (machine, Shell)."""
    machine, flavour = request.param
    vm, shell = linux(machine=machine, kernel=lambda: guests.vmlinux(flavour), initrd=initrd)
    vm.qmp.device_add(driver="qemu64-x86_64-cpu", id="c1", socket_id=0, core_id=1, thread_id=0)
    vm.qmp.wait("ACPI_DEVICE_OST", source=1, status=0)
    shell.use(1)
    for _ in range(CPUS):
        assert shell.run("reserve & usleep 100000; kill -0 $!") == ""
    return vm, shell


def ask(vm) -> list[int]:
    """The guest's answers to a request to let the CPU go."""
    vm.qmp.device_del(id="c1")
    return [vm.qmp.wait("ACPI_DEVICE_OST", device="c1", source=EJECT_REQUEST)["data"]["info"]["status"] for _ in range(2)]


def test_cpu_that_the_guest_needs_stays_and_the_refusal_is_reported(held):
    vm, shell = held
    assert ask(vm) == [IN_PROGRESS, BUSY]
    assert shell.messages("Offline failed") == ["processor cpu1: Offline failed."]
    assert vm.qmp.query_acpi_ospm_status()[1] == {
        "device": "c1", "slot": "1", "slot-type": "CPU", "source": EJECT_REQUEST, "status": BUSY}  # fmt: skip
    assert shell.online == "0-1" and shell.cpu_of_a_process_on(1) == 1
    assert vm.slots[1].cpu.path == "/machine/peripheral/c1"
    # QEMU: DEVICE_UNPLUG_GUEST_ERROR is for memory; a CPU's refusal is in ACPI_DEVICE_OST alone
    assert not [event for event in vm.qmp.events if event["event"].startswith("DEVICE_")]


def test_refused_request_may_be_repeated_until_the_guest_agrees(held):
    vm, shell = held
    assert ask(vm) == ask(vm) == [IN_PROGRESS, BUSY]
    assert shell.run("kill $!") == ""
    vm.qmp.device_del(id="c1")
    vm.qmp.wait("DEVICE_DELETED", device="c1")
    assert shell.online == "0"
    vm.qmp.cpu_add(id=1)
    vm.qmp.wait("ACPI_DEVICE_OST", slot="1", source=1, status=0)
    shell.use(1)
