"""The protocol: greeting, negotiation, malformed input, ids, events."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emu.qmp import commands  # noqa: F401  (registers the commands)
from emu.qmp.json_stream import MAX_NESTING, JsonStream, SyntaxProblem

from .conftest import Client, FakeMachine

RECORDED_FILE = Path(__file__).with_name("recorded_input.txt")


def load_recordings():
    recordings: list[tuple[bytes, list[dict]]] = []
    for line in RECORDED_FILE.read_text().splitlines():
        if line.startswith("> "):
            recordings.append((codecs.decode(line[2:], "unicode_escape").encode("latin-1"), []))
        elif line.startswith("< "):
            recordings[-1][1].append(json.loads(line[2:]))
    return recordings


def test_greeting_has_the_shape_and_version_of_qemu_7_2(machine):
    greeting = Client(machine).greeting["QMP"]
    assert greeting["version"]["qemu"] == {"major": 7, "minor": 2, "micro": 22}
    assert isinstance(greeting["version"]["package"], str)
    assert greeting["capabilities"] == ["oob"]


@pytest.mark.parametrize("data, answers", load_recordings())
def test_odd_input_is_answered_as_recorded(client, data, answers):
    assert client.send(data) == answers
    assert client.send(b'\xff{"execute": "query-name"}')[-1] == {"return": {}}


def test_input_may_arrive_byte_by_byte(client):
    answers = []
    for byte in b'{"execute":"query-name","id":"x"}{"execute":"nope"}':
        answers += client.send(bytes([byte]))
    assert answers[0] == {"return": {}, "id": "x"}
    assert answers[1]["error"]["class"] == "CommandNotFound"


def test_lines_end_in_crlf(client):
    client.session.feed(b'{"execute":"query-name"}')
    assert bytes(client.raw) == b'{"return": {}}\r\n'


def test_commands_before_negotiation_are_refused(machine):
    client = Client(machine, negotiate=False)
    assert client.send(b'{"execute":"query-status"}') == [{"error": {
        "class": "CommandNotFound", "desc": "Expecting capabilities negotiation with 'qmp_capabilities'"}}]  # fmt: skip


def test_events_wait_for_negotiation(machine):
    client = Client(machine, negotiate=False)
    machine.events.emit("POWERDOWN")
    assert client.take() == []
    client.send(b'{"execute":"qmp_capabilities"}')
    machine.events.emit("POWERDOWN")
    (event,) = client.take()
    assert event["event"] == "POWERDOWN"
    assert set(event["timestamp"]) == {"seconds", "microseconds"}
    assert 0 <= event["timestamp"]["microseconds"] < 1_000_000


def test_closed_session_hears_nothing(machine, client):
    client.session.close()
    machine.events.emit("POWERDOWN")
    assert client.take() == []


def test_out_of_band_must_be_negotiated_and_is_offered_by_no_command(machine):
    client = Client(machine, negotiate=False)
    assert client.send(b'{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}') == [{"return": {}}]
    answer = client.send(b'{"exec-oob":"query-status","id":1}')[0]
    assert answer["error"]["desc"] == "The command query-status does not support OOB"


def test_unknown_capability_is_refused_and_negotiation_stays_open(machine):
    client = Client(machine, negotiate=False)
    client.send(b'{"execute":"qmp_capabilities","arguments":{"enable":["foo"]}}')
    assert client.send(b'{"execute":"qmp_capabilities"}') == [{"return": {}}]


def test_pretty_output_is_indented(machine):
    client = Client.__new__(Client)
    client.raw = bytearray()
    from emu.qmp import Context, Session

    Session(Context(machine), client.raw.extend, pretty=True)
    assert b'{\n    "QMP"' in client.raw


def test_a_defect_in_a_command_is_an_error_answer(machine, client, capsys):
    machine.ospm_status = lambda: 1 // 0
    assert client.desc("query-acpi-ospm-status").startswith("internal error")
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert client.execute("query-name") == {}


def test_nesting_is_bounded():
    stream = JsonStream()
    results = list(stream.feed(b"[" * (MAX_NESTING + 1)))
    assert results == [SyntaxProblem("JSON nesting depth limit exceeded")]


def test_deep_but_legal_nesting_needs_no_stack():
    data = b"[" * MAX_NESTING + b"]" * MAX_NESTING
    assert len(list(JsonStream().feed(data))) == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.text() |
    st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(json_values.map(lambda value: {"v": value}), max_size=3), st.booleans(), st.integers(1, 7))
def test_every_json_value_survives_any_splitting(values, ascii_only, step):
    data = b" ".join(json.dumps(value, ensure_ascii=ascii_only).encode() for value in values)
    stream = JsonStream()
    received = []
    for start in range(0, len(data), step):
        received += list(stream.feed(data[start : start + step]))
    assert received == values


@given(st.binary(max_size=200))
def test_no_input_breaks_the_stream(data):
    stream = JsonStream()
    list(stream.feed(data))
    assert list(stream.feed(b'\xff{"a": 1}'))[-1] == {"a": 1}


def test_two_machines_do_not_share_events():
    one, other = FakeMachine(), FakeMachine()
    listener = Client(one)
    other.events.emit("POWERDOWN")
    assert listener.take() == []
