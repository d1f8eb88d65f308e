"""query-qmp-schema: well formed, complete, and true of what the commands answer."""

from __future__ import annotations

import pytest

from emu.qmp.events import EVENT_NAMES
from emu.qmp.registry import COMMANDS

from .conftest import Client, FakeMachine

TYPE = "qemu64-x86_64-cpu"
JSON_TYPES = {"string": str, "int": int, "boolean": bool, "number": float, "value": object}
# without arguments, and without effect
QUERIES = sorted(c.name for c in COMMANDS if c.name.startswith("query-") and all(p.optional for p in c.parameters))
REFUSED = {"query-balloon", "query-sev-capabilities", "query-sgx-capabilities", "query-vm-generation-id"}


@pytest.fixture
def schema(client):
    return {entry["name"]: entry for entry in client.execute("query-qmp-schema")}


def fits(schema, name, value) -> bool:
    """Whether a JSON value is of the described type."""
    kind = schema[name]
    if kind["meta-type"] == "builtin":
        return isinstance(value, JSON_TYPES[kind["json-type"]])
    if kind["meta-type"] == "array":
        return isinstance(value, list) and all(fits(schema, kind["element-type"], each) for each in value)
    if kind["meta-type"] == "enum":
        return value in kind["values"]
    members = {member["name"]: member for member in kind["members"]}
    needed = {name for name, member in members.items() if "default" not in member}
    return needed <= set(value) <= set(members) and all(fits(schema, members[k]["type"], v) for k, v in value.items())


def test_every_name_is_described_once(client):
    names = [entry["name"] for entry in client.execute("query-qmp-schema")]
    assert len(names) == len(set(names))


def test_every_command_and_event_is_described(schema):
    assert {n for n, e in schema.items() if e["meta-type"] == "command"} == {command.name for command in COMMANDS}
    assert {n for n, e in schema.items() if e["meta-type"] == "event"} == set(EVENT_NAMES)


def test_every_reference_leads_to_a_type(schema):
    types = {name for name, entry in schema.items() if entry["meta-type"] not in ("command", "event")}
    for entry in schema.values():
        references = [entry[key] for key in ("arg-type", "ret-type", "element-type") if key in entry]
        references += [member["type"] for member in entry.get("members", ()) if "type" in member]
        assert set(references) <= types, entry


def test_arguments_are_the_ones_that_commands_take(schema):
    members = {member["name"]: member for member in schema[schema["device_add"]["arg-type"]]["members"]}
    assert set(members) == {"driver", "id"} and members["id"] == {"name": "id", "type": "str", "default": None}
    assert schema["device_add"]["features"] == ["json-cli"]
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
    members = {member["name"]: "default" in member for member in schema[listed[1:-1]]["members"]}
    assert members == {"type": False, "vcpus-count": False, "props": False, "qom-path": True}


@pytest.mark.parametrize("name", [name for name in QUERIES if name not in REFUSED | {"query-qmp-schema"}])
def test_answers_are_what_the_schema_says(schema, client, name):
    client.execute("device_add", driver=TYPE, id="c1", socket_id=1, core_id=0, thread_id=0)
    assert fits(schema, schema[name]["ret-type"], client.execute(name))


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
    assert all(fits(schema, schema[event["event"]]["arg-type"], event["data"]) for event in events)


def test_command_line_options_can_be_asked_for_one_by_one(client):
    (smp,) = client.execute("query-command-line-options", option="smp-opts")
    assert {"name": "maxcpus", "type": "number"} in smp["parameters"]
    assert client.desc("query-command-line-options", option="nope") == "invalid option name: nope"
