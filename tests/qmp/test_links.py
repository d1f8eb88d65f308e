"""Sockets, dies, cores and threads as objects; their links plug and unplug."""

from __future__ import annotations

import pytest

from .conftest import Client, FakeMachine

TYPE = "qemu64-x86_64-cpu"
BOOT_CPU = "/machine/unattached/device[0]"
CORE = "/machine/socket[1]/die[0]/core[0]"
THREAD = CORE + "/thread[1]"


@pytest.fixture
def machine():
    return FakeMachine("1,sockets=2,cores=2,threads=2,maxcpus=8")


@pytest.fixture
def new_cpu(client):
    """new_cpu("c1", avx=True): its path."""

    def make(id, qom_type=TYPE, **properties):
        assert client.execute("object-add", qom_type=qom_type, id=id, **properties) == {}
        return f"/objects/{id}"

    return make


@pytest.fixture
def new_package(client, new_cpu):
    """new_package("p", ["a", "b"]): the path of a package of new CPUs."""

    def make(id, cpus):
        members = {f"cpu[{n}]": new_cpu(cpu) for n, cpu in enumerate(cpus)}
        assert client.execute("object-add", qom_type="cpu-package", id=id, **members) == {}
        return f"/objects/{id}"

    return make


def present(client):
    return [cpu["cpu-index"] for cpu in client.execute("query-cpus-fast")]


def everything(machine):
    """What a refused command must leave as it is."""
    return [(obj.path, {name: obj.get_property(name) for name in (*obj.properties, *obj.own_properties)})
            for obj in machine.root.walk()], list(machine.hardware)  # fmt: skip


def plug(client, path, cpu, property="cpu"):
    return client.execute("qom-set", path=path, property=property, value=cpu)


# -- what there is


def test_topology_is_in_the_tree(client):
    names = [entry["name"] for entry in client.execute("qom-list", path="/machine/socket[1]/die[0]")]
    assert names == ["type", "cpus", "vcpus-count", "core[0]", "core[1]"]
    types = [client.execute("qom-get", path=path, property="type")
             for path in ("/machine/socket[1]", "/machine/socket[1]/die[0]", CORE, THREAD)]  # fmt: skip
    assert types == ["cpu-socket", "cpu-die", "cpu-core", "cpu-thread"]
    assert client.execute("qom-get", path="/machine/socket[1]", property="vcpus-count") == 4


def test_thread_knows_its_place(client):
    ids = {name: client.execute("qom-get", path=THREAD, property=name)
           for name in ("socket-id", "die-id", "core-id", "thread-id", "cpu-index", "apic-id")}  # fmt: skip
    assert ids == {"socket-id": 1, "die-id": 0, "core-id": 0, "thread-id": 1, "cpu-index": 5, "apic-id": 5}


def test_bridge_links_to_every_possible_cpu(client):
    links = {entry["name"]: entry["type"] for entry in client.execute("qom-list", path="/machine/icc-bridge")}
    assert links == {"type": "string", **{f"cpu[{n}]": "link<x86_64-cpu>" for n in range(8)}}
    assert client.execute("qom-get", path="/machine/icc-bridge", property="cpu[0]") == BOOT_CPU
    assert client.execute("qom-get", path="/machine/icc-bridge", property="cpu[7]") == ""


def test_links_show_cpus_however_they_were_plugged(client):
    client.execute("device_add", driver=TYPE, id="c1", apic_id=5)
    assert client.execute("qom-get", path=THREAD, property="cpu") == "/machine/peripheral/c1"
    assert client.execute("qom-get", path="/machine/icc-bridge", property="cpu[5]") == "/machine/peripheral/c1"
    assert client.execute("qom-get", path="/machine/icc-bridge/cpu[5]", property="core-id") == 0


# -- threads


@pytest.mark.parametrize("path, property", [(THREAD, "cpu"), ("/machine/icc-bridge", "cpu[5]")])
def test_setting_a_link_plugs(machine, client, new_cpu, path, property):
    cpu = new_cpu("c1", popcnt=True)
    assert present(client) == [0]
    assert plug(client, path, cpu, property) == {}
    assert client.execute("query-cpus-fast")[1] == {
        "thread-id": 77, "props": {"socket-id": 1, "core-id": 0, "thread-id": 1}, "qom-path": cpu, "cpu-index": 5,
        "target": "x86_64"}  # fmt: skip
    assert machine.hardware == [("plug", 0, False), ("plug", 5, True)]
    assert client.execute("qom-get", path=cpu, property="popcnt") is True
    assert client.execute("qom-get", path=path, property=property) == cpu


def test_emptying_a_link_asks_for_unplug(machine, client, new_cpu):
    plug(client, THREAD, new_cpu("c1"))
    assert plug(client, THREAD, "") == {}
    assert machine.hardware[-1] == ("request", 5) and present(client) == [0, 5]
    machine.plug.eject(machine.slots[5])
    assert [event["data"] for event in client.take()] == [{"path": "/objects/c1/lapic"},
                                                          {"device": "c1", "path": "/objects/c1"}]  # fmt: skip
    assert client.execute("qom-get", path=THREAD, property="cpu") == "" and present(client) == [0]
    assert plug(client, THREAD, new_cpu("c1")) == {}


def test_setting_what_is_there_changes_nothing(machine, client, new_cpu):
    cpu = new_cpu("c1")
    plug(client, THREAD, cpu)
    before = everything(machine)
    assert plug(client, THREAD, cpu) == {} and everything(machine) == before
    assert plug(client, CORE + "/thread[0]", "") == {} and everything(machine) == before


@pytest.mark.parametrize("path, cpu, error_class, desc", [
    (THREAD, "/objects/none", "DeviceNotFound", "Device '/objects/none' not found"),
    (THREAD, 5, "GenericError", "Invalid parameter type for 'cpu', expected: string"),
    (THREAD, "/objects", "GenericError", "Invalid parameter type for 'cpu', expected: x86_64-cpu"),
    (THREAD, BOOT_CPU, "GenericError", f"CPU '{BOOT_CPU}' is already plugged"),
    (THREAD, "/objects/haswell", "GenericError", f"Invalid CPU type, expected cpu type: '{TYPE}'"),
    (THREAD, "/objects/elsewhere", "GenericError", "property socket-id: 0 doesn't match set apic-id: 0x5 (socket-id: 1)"),
    (THREAD, "/objects/other", "GenericError", "property apic-id: 3 doesn't match CPU[5] (apic-id: 5)"),
    (THREAD, "/objects/strict", "GenericError", "TCG doesn't support requested features"),
    ("/machine/icc-bridge/cpu[0]", "/objects/plain", "GenericError", f"Property '{TYPE}.cpu' not found"),
    ("/machine/socket[0]/die[0]/core[0]/thread[0]", "/objects/plain", "GenericError", "CPU[0] with APIC ID 0 exists"),
    ("/machine/socket[0]/die[0]/core[0]/thread[0]", "", "GenericError", "Boot CPU is unpluggable"),
])  # fmt: skip
def test_refused_link_changes_nothing(machine, client, new_cpu, path, cpu, error_class, desc):
    new_cpu("plain")
    new_cpu("haswell", "Haswell-x86_64-cpu")
    new_cpu("elsewhere", socket_id=0)
    new_cpu("other", apic_id=3)
    new_cpu("strict", pcid=True, enforce=True)
    before = everything(machine)
    assert plug(client, path, cpu) == {"class": error_class, "desc": desc}
    assert everything(machine) == before


def test_cpu_that_was_refused_can_be_plugged_where_it_fits(client, new_cpu):
    cpu = new_cpu("c1", socket_id=0)
    assert "class" in plug(client, THREAD, cpu)
    assert plug(client, "/machine/socket[0]/die[0]/core[1]/thread[0]", cpu) == {}


def test_legacy_register_mode_cannot_unplug_by_link(machine, client, new_cpu):
    plug(client, THREAD, new_cpu("c1"))
    machine.legacy = True
    assert plug(client, THREAD, "")["desc"] == f"acpi: device unplug request for not supported device type: {TYPE}"


# -- cores, dies and sockets


@pytest.mark.parametrize("path, slots", [(CORE, [4, 5]), ("/machine/socket[1]/die[0]", [4, 5, 6, 7]),
                                         ("/machine/socket[1]", [4, 5, 6, 7])])  # fmt: skip
def test_package_fills_a_level_in_ascending_order(machine, client, new_package, path, slots):
    package = new_package("p", [f"c{slot}" for slot in slots])
    assert plug(client, path, package, "cpus") == {}
    assert machine.hardware[1:] == [("plug", slot, True) for slot in slots]
    assert client.execute("qom-get", path=path, property="cpus") == package
    assert client.execute("qom-get", path=THREAD, property="cpu") == "/objects/c5"


def test_emptying_a_level_asks_all_its_cpus_to_go(machine, client, new_package):
    plug(client, CORE, new_package("p", ["a", "b"]), "cpus")
    assert plug(client, CORE, "", "cpus") == {}
    assert machine.hardware[-2:] == [("request", 4), ("request", 5)]
    machine.plug.eject(machine.slots[4])
    assert client.execute("qom-get", path=CORE, property="cpus") == "/objects/p"
    machine.plug.eject(machine.slots[5])
    assert client.execute("qom-get", path=CORE, property="cpus") == ""
    assert client.execute("qom-get", path="/objects/p", property="cpu[0]") == ""


def test_level_with_the_boot_cpu_stays_whole(machine, client):
    client.execute("cpu-add", id=1)
    before = everything(machine)
    assert plug(client, "/machine/socket[0]", "", "cpus")["desc"] == "Boot CPU is unpluggable"
    assert everything(machine) == before


@pytest.mark.parametrize("path, names, desc", [
    (CORE, ["a"], "'/objects/p' has 1 CPUs, '/machine/socket[1]/die[0]/core[0]' takes 2"),
    ("/machine/socket[0]/die[0]/core[0]", ["a", "b"], "CPU[0] with APIC ID 0 exists"),
])  # fmt: skip
def test_package_that_does_not_fit_is_refused_whole(machine, client, new_package, path, names, desc):
    package = new_package("p", names)
    before = everything(machine)
    assert plug(client, path, package, "cpus")["desc"] == desc
    assert everything(machine) == before


def test_last_cpu_of_a_package_that_cannot_be_realized_undoes_the_first(machine, client, new_cpu):
    members = {"cpu[0]": new_cpu("a"), "cpu[1]": new_cpu("b", pcid=True, enforce=True)}
    client.execute("object-add", qom_type="cpu-package", id="p", **members)
    before = everything(machine)
    assert plug(client, CORE, "/objects/p", "cpus")["desc"] == "TCG doesn't support requested features"
    assert everything(machine) == before
    assert plug(client, CORE + "/thread[0]", "/objects/a") == {}


def test_same_cpu_twice_in_a_package_is_refused(machine, client, new_cpu):
    cpu = new_cpu("a")
    client.execute("object-add", qom_type="cpu-package", id="p", **{"cpu[0]": cpu, "cpu[1]": cpu})
    before = everything(machine)
    assert plug(client, CORE, "/objects/p", "cpus")["desc"] == "CPU '/objects/a' is already plugged"
    assert everything(machine) == before


def test_package_can_be_filled_link_by_link_until_it_is_plugged(client, new_cpu):
    client.execute("object-add", qom_type="cpu-package", id="p")
    for n, name in ((1, "b"), (0, "a")):
        assert plug(client, "/objects/p", new_cpu(name), f"cpu[{n}]") == {}
    assert plug(client, CORE, "/objects/p", "cpus") == {}
    assert client.execute("qom-get", path=THREAD, property="cpu") == "/objects/b"
    assert plug(client, "/objects/p", "", "cpu[0]")["desc"] == (
        "Attempt to set property 'cpu[0]' of '/objects/p' while its CPUs are plugged")


# -- objects that users make


@pytest.mark.parametrize("arguments, desc", [
    ({"qom_type": "nope", "id": "1x"}, "Parameter 'qom-type' does not accept value 'nope'"),
    ({"qom_type": "x86_64-cpu", "id": "x"}, "Parameter 'qom-type' does not accept value 'x86_64-cpu'"),
    ({"qom_type": "cpu-socket", "id": "x"}, "Parameter 'qom-type' does not accept value 'cpu-socket'"),
    ({"qom_type": TYPE, "id": "1x"}, "Parameter 'id' expects an identifier"),
    ({"qom_type": TYPE}, "Parameter 'id' is missing"),
    ({"qom_type": TYPE, "id": "c1"}, "attempt to add duplicate property 'c1' to object (type 'container')"),
    ({"qom_type": TYPE, "id": "x", "foo": 1}, f"Property '{TYPE}.foo' not found"),
    ({"qom_type": "cpu-package", "id": "x", "cpu[0]": "/objects/none"}, "Device '/objects/none' not found"),
])  # fmt: skip
def test_object_add_refuses(machine, client, new_cpu, arguments, desc):
    new_cpu("c1")
    before = everything(machine)
    assert client.desc("object-add", **arguments) == desc
    assert everything(machine) == before


def test_object_del_spares_what_is_in_use(client, new_cpu, new_package):
    plug(client, CORE, new_package("p", ["a", "b"]), "cpus")
    new_cpu("spare")
    assert client.desc("object-del", id="a") == "object 'a' is in use, can not be deleted"
    assert client.desc("object-del", id="p") == "object 'p' is in use, can not be deleted"
    assert client.desc("object-del", id="nope") == "object 'nope' not found"
    assert client.execute("object-del", id="spare") == {}
    assert client.execute("object-add", qom_type=TYPE, id="spare") == {}


@pytest.mark.parametrize("path, property, value, desc", [
    (THREAD, "thread-id", 3, "Property 'cpu-thread.thread-id' is not writable"),
    (CORE, "thread[1]", "", "Property 'cpu-core.thread[1]' is not writable"),
    ("/machine", "socket[0]", "", "Property 'fake-machine.socket[0]' is not writable"),
    ("/machine/icc-bridge", "cpu[8]", "", "Property 'icc-bridge.cpu[8]' not found"),
    ("/objects/c1", "level", 4, f"Attempt to set property 'level' on device 'c1' (type '{TYPE}') after it was realized"),
])  # fmt: skip
def test_internals_cannot_be_set(machine, client, new_cpu, path, property, value, desc):
    plug(client, THREAD, new_cpu("c1"))
    before = everything(machine)
    assert plug(client, path, value, property)["desc"] == desc
    assert everything(machine) == before


def test_sockets_with_dies_have_them_in_between():
    client = Client(FakeMachine("1,sockets=2,dies=2,cores=3,threads=2,maxcpus=24"))
    path = "/machine/socket[1]/die[1]/core[2]/thread[1]"
    assert client.execute("qom-get", path=path, property="apic-id") == 29
    assert client.execute("qom-get", path="/machine/socket[1]/die[1]", property="vcpus-count") == 6
