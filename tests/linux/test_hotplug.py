"""Linux takes CPUs that arrive and lets them go, through its ACPI code alone.  Every interface: test_matrix.py."""

from __future__ import annotations

import pytest

from tests import guests


def free_slot(vm):
    return next(entry for entry in vm.qmp.query_hotpluggable_cpus() if "qom-path" not in entry)


def test_cpu_add_until_a_process_runs_there(linux):
    vm, shell = linux()
    assert shell.run("nproc") == "1"
    vm.qmp.cpu_add(id=1)
    assert vm.qmp.wait("ACPI_DEVICE_OST")["data"]["info"]["status"] == 0
    shell.use(1)
    assert shell.run("nproc") == "2"
    before = vm.cpus[1].retired
    shell.run("taskset 2 sh -c 'i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done'")
    assert vm.cpus[1].retired - before > 1_000_000


def test_device_add_with_the_listed_properties_and_device_del(linux):
    vm, shell = linux()
    entry = free_slot(vm)
    vm.qmp.device_add(driver=entry["type"], id="c2", **entry["props"])
    slot = str(vm.slots.slot_of(vm.slots[3].cpu).index)
    assert vm.qmp.wait("ACPI_DEVICE_OST")["data"]["info"] == {
        "device": "c2", "slot": slot, "slot-type": "CPU", "source": 1, "status": 0}  # fmt: skip
    shell.bring_online(1)
    assert shell.run("nproc") == "2"
    vm.qmp.device_del(id="c2")
    assert vm.qmp.wait("DEVICE_DELETED", device="c2")["data"]["path"] == "/machine/peripheral/c2"
    assert shell.run("nproc") == "1"
    assert vm.qmp.query_acpi_ospm_status()[3] == {"slot": "3", "slot-type": "CPU", "source": 3, "status": 0}
    assert len(vm.cpus) == 1


def test_slot_can_be_used_again(linux):
    vm, shell = linux()
    for _ in range(3):
        vm.qmp.cpu_add(id=2)
        vm.qmp.wait("ACPI_DEVICE_OST", source=1, status=0)
        shell.use(1)
        vm.qmp.device_del(id=vm.slots[2].cpu.path)
        vm.qmp.wait("DEVICE_DELETED")
        assert shell.online == "0"


def test_all_cpus_of_a_second_socket(linux):
    vm, shell = linux(smp="2,sockets=2,cores=2,maxcpus=4")
    for slot in (2, 3):
        vm.qmp.cpu_add(id=slot)
        vm.qmp.wait("ACPI_DEVICE_OST", source=1, status=0)
        shell.bring_online(slot)
    assert shell.run("cat /sys/devices/system/cpu/cpu3/topology/physical_package_id") == "1"
    assert shell.run("nproc") == "4"


def test_last_of_255_cpus(linux):
    vm, shell = linux(smp="1,maxcpus=255", memory="512M")
    vm.qmp.cpu_add(id=254)
    vm.qmp.wait("ACPI_DEVICE_OST", slot="254", source=1, status=0)
    shell.use(1)


@pytest.mark.parametrize("flavour", ["cloud", pytest.param("cloud-6.12", marks=pytest.mark.slow)])
def test_second_thread_of_the_boot_cpus_core(linux, flavour):
    vm, shell = linux(kernel=lambda: guests.vmlinux(flavour), cpu="Nehalem", append="lpj=4000000",
                      smp="1,sockets=2,cores=1,threads=2,maxcpus=4")  # fmt: skip
    for slot in (1, 3):
        vm.qmp.cpu_add(id=slot)
        vm.qmp.wait("ACPI_DEVICE_OST", slot=str(slot), source=1, status=0)
    for cpu in sorted(shell.present - {0}):
        shell.use(cpu)
    siblings = shell.run("cat /sys/devices/system/cpu/cpu*/topology/thread_siblings_list").split()
    assert siblings[:2] == ["0-1", "0-1"] and len(siblings) == 3
    vm.qmp.device_del(id=vm.slots[1].cpu.path)
    vm.qmp.wait("DEVICE_DELETED", path=vm.slots[1].cpu.path)
    assert 1 not in shell.present
