"""What Linux makes of NUMA nodes and of APIC ids that only x2APIC has."""

from __future__ import annotations

from machines import Q35

NODES = "/sys/devices/system/node"


def test_nodes_have_their_memory_cpus_and_distances(linux):
    vm, shell = linux(smp="2,sockets=2,cores=2,maxcpus=4",
                      numa=["node,mem=96M", "node,mem=160M", "dist,src=0,dst=1,val=21"])  # fmt: skip
    assert shell.run(f"cat {NODES}/online") == "0-1"
    assert [shell.run(f"cat {NODES}/node{n}/cpulist") for n in (0, 1)] == ["0-1", ""]
    assert [shell.run(f"cat {NODES}/node{n}/distance") for n in (0, 1)] == ["10 21", "21 10"]
    sizes = [int(shell.run(f"grep MemTotal {NODES}/node{n}/meminfo").split()[3]) >> 10 for n in (0, 1)]
    assert sizes[0] < 96 < sizes[1] < 160


def test_a_plugged_cpu_joins_its_node(linux):
    vm, shell = linux(smp="2,sockets=2,cores=2,maxcpus=4", numa=["node", "node"])
    entry = next(each for each in vm.qmp.query_hotpluggable_cpus() if each["props"]["socket-id"] == 1)
    assert entry["props"]["node-id"] == 1
    vm.qmp.device_add(driver=entry["type"], id="c", **entry["props"])
    vm.qmp.wait("ACPI_DEVICE_OST", source=1, status=0)
    shell.bring_online(2)
    assert shell.run(f"cat {NODES}/node1/cpulist") == "2"


def test_a_processor_with_x2apic_plugs_and_unplugs(linux):
    vm, shell = linux(smp="2,maxcpus=4", cpu="qemu64,+x2apic")
    assert any("x2apic" in message for message in shell.messages("x2apic"))
    vm.qmp.cpu_add(id=3)
    vm.qmp.wait("ACPI_DEVICE_OST", source=1, status=0)
    shell.bring_online(2)
    assert shell.run("nproc") == "3"
    vm.qmp.device_del(id=vm.slots[3].cpu.path)
    vm.qmp.wait("DEVICE_DELETED")
    assert shell.run("nproc") == "2"


def test_the_last_of_288_cpus_by_its_x2apic_id(linux):
    vm, shell = linux(machine=Q35, smp="1,maxcpus=288", memory="512M")
    entry = vm.qmp.query_hotpluggable_cpus()[0]
    vm.qmp.device_add(driver=entry["type"], id="last", **entry["props"])
    vm.qmp.wait("ACPI_DEVICE_OST", source=1, status=0)
    shell.bring_online(1)
    assert shell.run("grep ^apicid /proc/cpuinfo").split()[-1] == "287"
    assert shell.cpu_of_a_process_on(1) == 1
    vm.qmp.device_del(id="last")
    vm.qmp.wait("DEVICE_DELETED", device="last")
    assert shell.run("nproc") == "1"
