"""What the commands answer, with the texts that clients match."""

from __future__ import annotations

import pytest

from emu.qmp import RunState

from .conftest import Client, FakeMachine

TYPE = "qemu64-x86_64-cpu"
PLACE = {"core_id": 0, "thread_id": 0}


def event_names(client):
    return [event["event"] for event in client.events]


# -- argument checking


@pytest.mark.parametrize("name, arguments, desc", [
    ("stop", {"x": 1}, "Parameter 'x' is unexpected"),
    ("qom-list", {}, "Parameter 'path' is missing"),
    ("qom-list", {"path": 5}, "Invalid parameter type for 'path', expected: string"),
    ("qom-list-types", {"abstract": 1}, "Invalid parameter type for 'abstract', expected: boolean"),
    ("cpu-add", {"id": True}, "Invalid parameter type for 'id', expected: integer"),
    ("device_del", {}, "Parameter 'id' is missing"),
    ("device_del", {"id": 3}, "Invalid parameter type for 'id', expected: string"),
    ("device_add", {}, "Parameter 'driver' is missing"),
    ("device_add", {"driver": 5}, "Invalid parameter type for 'driver', expected: string"),
])  # fmt: skip
def test_arguments_are_checked_by_the_signature(client, name, arguments, desc):
    assert client.execute(name, **arguments) == {"class": "GenericError", "desc": desc}


def test_unknown_command(client):
    assert client.execute("foo-bar") == {
        "class": "CommandNotFound", "desc": "The command foo-bar has not been found"}  # fmt: skip


def test_every_command_is_listed(client):
    names = [entry["name"] for entry in client.execute("query-commands")]
    assert {"device_add", "query-cpus-fast", "qom-list", "qmp_capabilities"} <= set(names)
    assert len(names) == len(set(names))


# -- run states


def test_stop_and_cont_emit_events_only_when_something_changes(machine, client):
    machine.run_control.start()
    client.execute("stop")
    assert event_names(client) == ["STOP"]
    assert client.execute("query-status") == {"running": False, "singlestep": False, "status": "paused"}
    client.execute("stop")
    assert event_names(client) == []
    client.execute("cont")
    assert event_names(client) == ["RESUME"]
    client.execute("cont")
    assert event_names(client) == []
    assert client.execute("query-status")["running"] is True


def test_prelaunch_until_cont(client):
    assert client.execute("query-status")["status"] == "prelaunch"
    client.execute("cont")
    assert event_names(client) == ["RESUME"]


def test_reset_event_comes_before_the_answer(machine, client):
    machine.run_control.start()
    answers = client.send(b'{"execute":"system_reset"}')
    assert answers[0]["event"] == "RESET"
    assert answers[0]["data"] == {"guest": False, "reason": "host-qmp-system-reset"}
    assert answers[1] == {"return": {}}
    assert machine.hardware[-1] == "reset"


def test_no_reboot_turns_reset_into_shutdown():
    machine = FakeMachine(no_reboot=True)
    client = Client(machine)
    client.execute("system_reset")
    assert client.events[0]["data"] == {"guest": False, "reason": "host-qmp-system-reset"}
    assert event_names(client) == ["SHUTDOWN"] and machine.run_control.exit_code == 0


def test_guest_shutdown_under_no_shutdown_needs_a_reset_before_cont():
    machine = FakeMachine(no_shutdown=True)
    client = Client(machine)
    machine.run_control.start()
    machine.run_control.guest_shutdown()
    assert [event["event"] for event in client.take()] == ["SHUTDOWN", "STOP"]
    assert client.execute("query-status")["status"] == "shutdown"
    assert client.desc("cont") == "Resetting the Virtual Machine is required"
    client.execute("system_reset")
    assert machine.run_control.state is RunState.PRELAUNCH
    client.execute("cont")
    assert machine.run_control.running


def test_guest_reset_is_marked_as_the_guests(machine, client):
    machine.run_control.guest_reset()
    assert client.take()[0]["data"] == {"guest": True, "reason": "guest-reset"}


def test_debug_exit_sets_the_status_even_under_no_shutdown():
    machine = FakeMachine(no_shutdown=True)
    machine.run_control.debug_exit(0x10)
    assert machine.run_control.exit_code == 0x21


def test_quit_announces_shutdown_then_answers_then_ends(machine, client):
    answers = client.send(b'{"execute":"quit"}')
    assert answers[0]["event"] == "SHUTDOWN" and answers[0]["data"] == {"guest": False, "reason": "host-qmp-quit"}
    assert answers[1] == {"return": {}}
    assert machine.run_control.exit_code == 0 and not machine.run_control.running


def test_powerdown_presses_the_button(machine, client):
    client.execute("system_powerdown")
    assert event_names(client) == ["POWERDOWN"] and machine.hardware[-1] == "powerdown"


# -- CPUs


def test_hotpluggable_cpus_are_listed_from_the_last(client):
    listed = client.execute("query-hotpluggable-cpus")
    assert [entry["props"]["socket-id"] for entry in listed] == [3, 2, 1, 0]
    assert listed[3]["qom-path"] == "/machine/unattached/device[0]"


def test_added_cpu_is_listed_at_once(machine, client):
    assert client.execute("device_add", driver=TYPE, id="c1", socket_id=1, **PLACE) == {}
    assert client.execute("query-cpus-fast")[1] == {
        "thread-id": 77, "props": {"socket-id": 1, "core-id": 0, "thread-id": 0},
        "qom-path": "/machine/peripheral/c1", "cpu-index": 1, "target": "x86_64"}  # fmt: skip
    assert machine.hardware[-1] == ("plug", 1, True)
    assert client.execute("qom-get", path="c1", property="hotplugged") is True


def test_cpus_are_listed_in_order_of_creation(client):
    client.execute("device_add", driver=TYPE, socket_id="3", core_id="0", thread_id="0")
    client.execute("device_add", driver=TYPE, socket_id=1, **PLACE)
    assert [cpu["cpu-index"] for cpu in client.execute("query-cpus-fast")] == [0, 3, 1]
    assert client.execute("query-cpus-fast")[1]["qom-path"] == "/machine/peripheral-anon/device[0]"


@pytest.mark.parametrize("arguments, desc", [
    ({"driver": "foo-x86_64-cpu"}, "'foo-x86_64-cpu' is not a valid device model name"),
    ({"driver": "container"}, "'container' is not a valid device model name"),
    ({"driver": "x86_64-cpu"}, "Parameter 'driver' expects a non-abstract device type"),
    ({"driver": "fake-apic"}, "Parameter 'driver' expects a pluggable device type"),
    ({"driver": TYPE, "bus": "pcie.0"}, f"Device '{TYPE}' can't go on PCIE bus"),
    ({"driver": TYPE, "bus": "nope"}, "Bus 'nope' not found"),
    ({"driver": TYPE, "id": "1a", "foo": 1}, "Parameter 'id' expects an identifier"),
    ({"driver": TYPE, "foo": 1}, f"Property '{TYPE}.foo' not found"),
    ({"driver": TYPE, "socket-id": 1.5}, "Parameter 'socket-id' expects integer"),
    ({"driver": TYPE, "socket-id": None}, "CPU socket-id is not set"),
    ({"driver": TYPE, "apic-id": -1}, "Parameter 'apic-id' expects uint32_t"),
    ({"driver": TYPE, "avx": "zz", "socket-id": 2}, "Parameter 'avx' expects 'on' or 'off'"),
    ({"driver": "Haswell-x86_64-cpu"}, f"Invalid CPU type, expected cpu type: '{TYPE}'"),
    ({"driver": TYPE}, "CPU socket-id is not set"),
    ({"driver": TYPE, "socket-id": 4, **PLACE}, "Invalid CPU socket-id: 4 must be in range 0:3"),
    ({"driver": TYPE, "socket-id": 0, **PLACE}, "CPU[0] with APIC ID 0 exists"),
    ({"driver": TYPE, "apic-id": 77},
     "Invalid CPU [socket: 77, die: 0, core: 0, thread: 0] with APIC ID 77, valid index range 0:3"),
])  # fmt: skip
def test_device_add_refuses_in_qemus_words_and_order(machine, client, arguments, desc):
    assert client.desc("device_add", **arguments) == desc
    assert len(client.execute("query-cpus-fast")) == 1


def test_duplicate_id_is_refused_before_properties_are_read(client):
    client.execute("device_add", driver=TYPE, id="c1", socket_id=1, **PLACE)
    assert client.desc("device_add", driver=TYPE, id="c1", foo=1) == "Duplicate device ID 'c1'"


def test_cpu_refused_at_realize_leaves_no_trace(machine, client):
    desc = client.desc("device_add", driver=TYPE, id="c1", socket_id=1, **PLACE, pcid=True, enforce=True)
    assert desc == "TCG doesn't support requested features"
    assert client.execute("device_add", driver=TYPE, id="c1", socket_id=1, **PLACE) == {}


def test_unplug_is_a_request_that_may_be_repeated(machine, client):
    client.execute("device_add", driver=TYPE, id="c1", socket_id=1, **PLACE)
    assert client.execute("device_del", id="c1") == {}
    assert client.execute("device_del", id="/machine/peripheral/c1") == {}
    assert machine.hardware[-2:] == [("request", 1), ("request", 1)]
    assert len(client.execute("query-cpus-fast")) == 2


def test_eject_deletes_the_cpu_and_announces_its_parts(machine, client):
    client.execute("device_add", driver=TYPE, id="c1", socket_id=1, **PLACE)
    machine.plug.eject(machine.slots[1])
    events = client.take()
    assert [event["data"] for event in events] == [
        {"path": "/machine/peripheral/c1/lapic"}, {"device": "c1", "path": "/machine/peripheral/c1"}]  # fmt: skip
    assert {event["event"] for event in events} == {"DEVICE_DELETED"}
    assert len(client.execute("query-cpus-fast")) == 1
    assert client.execute("device_add", driver=TYPE, id="c1", socket_id=1, **PLACE) == {}


@pytest.mark.parametrize("id, error", [
    ("zz", {"class": "DeviceNotFound", "desc": "Device 'zz' not found"}),
    ("/machine", {"class": "GenericError", "desc": "/machine is not a hotpluggable device"}),
    ("/machine/unattached/device[0]", {"class": "GenericError", "desc": "Boot CPU is unpluggable"}),
])  # fmt: skip
def test_device_del_refuses(client, id, error):
    assert client.execute("device_del", id=id) == error


def test_legacy_register_mode_cannot_unplug(machine, client):
    client.execute("device_add", driver=TYPE, id="c1", socket_id=1, **PLACE)
    machine.legacy = True
    assert client.desc("device_del", id="c1") == (
        f"acpi: device unplug request for not supported device type: {TYPE}")  # fmt: skip


def test_cpu_add_plugs_by_index(client):
    assert client.execute("cpu-add", id=2) == {}
    assert client.execute("query-cpus-fast")[1]["cpu-index"] == 2
    assert client.desc("cpu-add", id=2) == "Unable to add CPU: 2, it already exists"
    assert client.desc("cpu-add", id=4) == "Unable to add CPU: 4, max allowed: 3"


def test_sparse_topology_shows_die_ids():
    client = Client(FakeMachine("1,sockets=2,dies=2,cores=3,threads=2,maxcpus=24"))
    first = client.execute("query-hotpluggable-cpus")[0]
    assert first["props"] == {"socket-id": 1, "die-id": 1, "core-id": 2, "thread-id": 1}
    client.execute("device_add", driver=TYPE, id="last", **first["props"])
    assert client.execute("qom-get", path="last", property="apic-id") == 29


def test_cpu_definitions_name_types(client):
    definitions = client.execute("query-cpu-definitions")
    assert [entry["name"] for entry in definitions[:5]] == ["max", "host", "base", "qemu64-v1", "qemu64"]
    assert all(entry["typename"] == entry["name"] + "-x86_64-cpu" for entry in definitions)


def test_cpus_in_their_old_shape(client):
    assert client.execute("query-cpus") == [{
        "CPU": 0, "current": True, "halted": False, "qom_path": "/machine/unattached/device[0]", "thread_id": 77,
        "props": {"socket-id": 0, "core-id": 0, "thread-id": 0}, "arch": "x86", "pc": 0}]  # fmt: skip


def test_model_is_expanded(client):
    answer = client.execute("query-cpu-model-expansion", type="static", model={"name": "qemu64", "props": {"nx": False}})
    assert answer["model"]["name"] == "base" and answer["model"]["props"]["nx"] is False


@pytest.mark.parametrize("arguments, desc", [
    ({"type": "static"}, "Parameter 'model' is missing"),
    ({"type": "bad", "model": 3}, "Parameter 'type' does not accept value 'bad'"),
    ({"type": "full", "model": 3}, "Invalid parameter type for 'model', expected: object"),
    ({"type": "full", "model": {}}, "Parameter 'model.name' is missing"),
    ({"type": "full", "model": {"name": 3}}, "Invalid parameter type for 'model.name', expected: string"),
    ({"type": "full", "model": {"name": "qemu64", "x": 1}}, "Parameter 'model.x' is unexpected"),
    ({"type": "full", "model": {"name": "nope"}}, "CPU model 'nope' not found"),
])  # fmt: skip
def test_model_expansion_refuses_in_qemus_words(client, arguments, desc):
    assert client.desc("query-cpu-model-expansion", **arguments) == desc


# -- objects


def test_qom_walks_the_tree(client):
    assert client.execute("qom-list", path="/") == [
        {"name": "type", "type": "string"}, {"name": "machine", "type": "child<fake-machine>"},
        {"name": "chardevs", "type": "child<container>"}, {"name": "objects", "type": "child<container>"}]  # fmt: skip
    assert client.execute("qom-get", path="/machine", property="type") == "fake-machine"
    assert client.execute("qom-get", path="device[0]", property="family") == 15
    assert client.execute("qom-get", path="/machine/unattached/device[0]", property="parent_bus") == ""


@pytest.mark.parametrize("name, arguments, error_class, desc", [
    ("qom-list", {"path": "nope"}, "DeviceNotFound", "Device 'nope' not found"),
    ("qom-list", {"path": ""}, "GenericError", "Path '' is ambiguous"),
    ("qom-get", {"path": "/machine", "property": "nope"}, "GenericError", "Property 'fake-machine.nope' not found"),
    ("qom-set", {"path": "/machine", "property": "graphics", "value": "on"}, "GenericError",
     "Invalid parameter type for 'graphics', expected: boolean"),
    ("qom-set", {"path": "/machine", "property": "type", "value": "x"}, "GenericError",
     "Property 'fake-machine.type' is not writable"),
    ("qom-set", {"path": "/machine", "property": "peripheral", "value": "x"}, "GenericError",
     "Property 'fake-machine.peripheral' is not writable"),
    ("qom-set", {"path": "device[0]", "property": "apic-id", "value": 3}, "GenericError",
     f"Attempt to set property 'apic-id' on anonymous device (type '{TYPE}') after it was realized"),
    ("qom-set", {"path": "device[0]", "property": "realized", "value": False}, "GenericError",
     f"Property '{TYPE}.realized' is not writable"),
    ("qom-list-properties", {"typename": "nope"}, "DeviceNotFound", "Class 'nope' not found"),
    ("device-list-properties", {"typename": "nope"}, "DeviceNotFound", "Device 'nope' not found"),
    ("device-list-properties", {"typename": "container"}, "GenericError",
     "Parameter 'typename' expects a non-abstract device type"),
])  # fmt: skip
def test_qom_errors(client, name, arguments, error_class, desc):
    assert client.execute(name, **arguments) == {"class": error_class, "desc": desc}


def test_qom_set_changes_what_may_change(client):
    assert client.execute("qom-set", path="/machine", property="graphics", value=False) == {}
    assert client.execute("qom-get", path="/machine", property="graphics") is False


def test_types_are_listed_by_ancestor(client):
    types = client.execute("qom-list-types", implements="x86_64-cpu")
    assert {"name": "Haswell-x86_64-cpu", "parent": "x86_64-cpu"} in types
    assert client.execute("qom-list-types", implements="nope") == []


def test_properties_of_a_cpu_type_include_its_features(client):
    names = {entry["name"] for entry in client.execute("device-list-properties", typename=TYPE)}
    assert {"socket-id", "apic-id", "avx2", "sse4.1", "sse4_1", "enforce"} <= names
    assert "realized" not in names


# -- information


def test_identity_and_size(machine, client):
    assert client.execute("query-name") == {}
    assert client.execute("query-uuid") == {"UUID": "00000000-0000-0000-0000-000000000000"}
    assert client.execute("query-target") == {"arch": "x86_64"}
    assert client.execute("query-memory-size-summary") == {"base-memory": 128 << 20, "plugged-memory": 0}
    assert client.execute("query-kvm") == {"enabled": False, "present": False}
    assert client.execute("query-block") == [] and client.execute("query-migrate") == {}


def test_machines_have_what_libvirt_reads(client):
    pc = next(entry for entry in client.execute("query-machines") if entry["name"] == "pc-i440fx-7.2")
    assert pc == {"name": "pc-i440fx-7.2", "alias": "pc", "is-default": True, "hotpluggable-cpus": True, "cpu-max": 255,
                  "numa-mem-supported": False, "deprecated": False, "default-ram-id": "pc.ram",
                  "default-cpu-type": "qemu64-x86_64-cpu"}  # fmt: skip
