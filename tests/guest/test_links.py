"""CPUs plugged and unplugged by setting links in the object tree, with a guest that sees to its side."""

from __future__ import annotations

import pytest

from emu.qmp import QmpError
from machines.guests import hotplug

TYPE = "qemu64-x86_64-cpu"
SMP = "1,sockets=2,cores=2,threads=1,maxcpus=4"
THREAD = "/machine/socket[1]/die[0]/core[0]/thread[0]"


def new_cpu(vm, id):
    vm.qmp.object_add(qom_type=TYPE, id=id)
    return f"/objects/{id}"


@pytest.mark.parametrize("path, property", [(THREAD, "cpu"), ("/machine/icc-bridge", "cpu[2]")])
def test_link_plugs_and_emptied_link_unplugs(boot, path, property):
    vm = boot(smp=SMP)
    for _ in range(2):
        vm.qmp.qom_set(path=path, property=property, value=new_cpu(vm, "c2"))
        vm.serial.expect(hotplug.online_line(2).strip(), within="1 s")
        assert vm.qmp.wait("ACPI_DEVICE_OST", source=1)["data"]["info"]["device"] == "c2"
        vm.serial.send("s").expect("possible 4 present 2 online 2")
        vm.qmp.qom_set(path=path, property=property, value="")
        vm.serial.expect("cpu 2 ejected", within="1 s")
        assert vm.qmp.wait("DEVICE_DELETED", device="c2")["data"]["path"] == "/objects/c2"
        assert vm.qmp.qom_get(path=path, property=property) == "" and sorted(vm.cpus) == [0]


def test_socket_is_plugged_and_unplugged_as_a_whole(boot):
    vm = boot(smp=SMP)
    vm.qmp.execute("object-add", **{"qom-type": "cpu-package", "id": "p", "cpu[0]": new_cpu(vm, "a"), "cpu[1]": new_cpu(vm, "b")})
    vm.qmp.qom_set(path="/machine/socket[1]", property="cpus", value="/objects/p")
    for slot in (2, 3):
        vm.serial.expect(hotplug.online_line(slot).strip(), within="1 s")
    vm.serial.send("s").expect("present 3 online 3")
    vm.qmp.qom_set(path="/machine/socket[1]", property="cpus", value="")
    for device in "ab":
        vm.qmp.wait("DEVICE_DELETED", device=device)
    vm.serial.send("s").expect("present 1 online 1")


def test_refused_link_disturbs_no_guest(boot, plug):
    vm = boot(smp=SMP)
    cpu = new_cpu(vm, "c1")
    with pytest.raises(QmpError, match="CPU.0. with APIC ID 0 exists"):
        vm.qmp.qom_set(path="/machine/icc-bridge", property="cpu[0]", value=cpu)
    vm.run_for(5_000_000)
    vm.serial.send("s").expect("present 1 online 1")
    plug(vm, 1)
