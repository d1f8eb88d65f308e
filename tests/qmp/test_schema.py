"""query-qmp-schema: well formed, complete, and true of what the commands answer."""

from __future__ import annotations

import pytest

from emu.qmp.events import EVENT_NAMES
from emu.qmp.registry import COMMANDS

from .conftest import Client, FakeMachine
from .introspection import Schema

TYPE = "qemu64-x86_64-cpu"
# without arguments, and without effect
QUERIES = sorted(c.name for c in COMMANDS if c.name.startswith("query-") and all(p.optional for p in c.parameters))
REFUSED = {"query-balloon", "query-sev-capabilities", "query-sev-launch-measure", "query-sgx", "query-sgx-capabilities",
           "query-vm-generation-id"}  # fmt: skip


@pytest.fixture
def schema(client):
    return Schema(client.execute("query-qmp-schema"))


def test_every_name_is_described_once(client):
    names = [entry["name"] for entry in client.execute("query-qmp-schema")]
    assert len(names) == len(set(names))


def test_every_command_and_event_is_described(schema):
    assert schema.names("command") == {command.name for command in COMMANDS}
    assert schema.names("event") == set(EVENT_NAMES)


def test_every_reference_leads_to_a_type(schema):
    types = set(schema.entries) - schema.names("command") - schema.names("event")
    for entry in schema.entries.values():
        references = [entry[key] for key in ("arg-type", "ret-type", "element-type") if key in entry]
        references += [each["type"] for each in (*entry.get("members", ()), *entry.get("variants", ())) if "type" in each]
        assert set(references) <= types, entry


def test_arguments_are_the_ones_that_commands_take(schema):
    members = schema.members(schema["device_add"]["arg-type"])
    assert set(members) == {"driver", "bus", "id"} and members["id"] == {"name": "id", "type": "str", "default": None}
    assert schema["device_add"]["features"] == ["json-cli", "json-cli-hotplug"]
    kind = schema[schema["query-cpu-model-expansion"]["arg-type"]]["members"][0]
    assert schema[kind["type"]]["values"] == ["static", "full"]


def test_command_without_arguments_takes_the_empty_object(schema):
    assert schema["stop"]["arg-type"] == schema["stop"]["ret-type"] == "0"
    assert schema["0"] == {"name": "0", "meta-type": "object", "members": []}


def test_types_have_qemus_structure(schema):
    assert schema["str"] == {"name": "str", "meta-type": "builtin", "json-type": "string"}
    assert schema["qom-get"]["ret-type"] == "any"
    listed = schema["query-hotpluggable-cpus"]["ret-type"]
    assert listed[0] == "[" and schema[listed]["element-type"] == listed[1:-1]
    members = {name: "default" in member for name, member in schema.members(listed[1:-1]).items()}
    assert members == {"type": False, "vcpus-count": False, "props": False, "qom-path": True}


def test_variants_say_what_goes_with_which_tag(schema):
    (keys, _) = schema.members(schema["send-key"]["arg-type"]).values()
    key = keys["type"].strip("[]")
    assert schema[key]["tag"] == "type" and set(schema.members(key)) == {"type"}
    assert schema.fits(key, {"type": "number", "data": 30}) and schema.fits(key, {"type": "qcode", "data": "a"})
    assert not schema.fits(key, {"type": "number", "data": "a"})


def test_alternates_are_one_of_several_types(schema):
    stats = schema.members(schema["query-stats"]["ret-type"].strip("[]"))["stats"]["type"].strip("[]")
    value = schema.members(stats)["value"]["type"]
    assert schema[value]["meta-type"] == "alternate"
    assert all(schema.fits(value, each) for each in (3, True, [1, 2])) and not schema.fits(value, "3")


@pytest.mark.parametrize("name", [name for name in QUERIES if name not in REFUSED | {"query-qmp-schema"}])
def test_answers_are_what_the_schema_says(schema, client, name):
    client.execute("device_add", driver=TYPE, id="c1", socket_id=1, core_id=0, thread_id=0)
    assert list(schema.problems(schema[name]["ret-type"], client.execute(name))) == []


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_not_there_is_refused(client, name):
    assert set(client.execute(name)) == {"class", "desc"}


def test_events_are_what_the_schema_says(schema):
    client = Client(machine := FakeMachine())
    client.execute("device_add", driver=TYPE, id="c1", socket_id=1, core_id=0, thread_id=0)
    machine.plug.eject(machine.slots[1])
    machine.run_control.guest_reset()
    events = client.take()
    assert [event["event"] for event in events] == ["DEVICE_DELETED", "DEVICE_DELETED", "RESET"]
    assert all(schema.fits(schema[event["event"]]["arg-type"], event["data"]) for event in events)


def test_command_line_options_can_be_asked_for_one_by_one(client):
    (smp,) = client.execute("query-command-line-options", option="smp-opts")
    assert {"name": "maxcpus", "type": "number"} in smp["parameters"]
    assert client.desc("query-command-line-options", option="nope") == "invalid option name: nope"
