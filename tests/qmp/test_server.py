"""Sockets, with real clients: plain ones, QEMU's own qemu.qmp package, and qmp-shell."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from emu.qmp import Context, commands  # noqa: F401
from emu.qmp.server import QmpServer
from emu.qmp.transport import Poller, SocketTransport, StdioTransport, TransportError, parse_transport

from .conftest import FakeMachine


class Served:
    """A machine with a QMP server, polled by a thread as a main loop would."""

    def __init__(self, path: Path):
        self.machine, self.poller, self.path = FakeMachine(), Poller(), str(path)
        transport = parse_transport("compat_monitor0", f"unix:{path},server=on,wait=off")
        self.server = QmpServer(Context(self.machine), transport, self.poller)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop)

    def _loop(self):
        while not self._stopping.is_set():
            self.poller.poll(0.01)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        self._thread.join()
        self.server.close()


@pytest.fixture
def served(tmp_path):
    with Served(tmp_path / "qmp.sock") as served:
        yield served


class PlainClient:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(5)
        self.socket.connect(path)
        self.file = self.socket.makefile("rwb", buffering=0)
        self.greeting = json.loads(self.file.readline())

    def execute(self, name, **arguments):
        self.file.write(json.dumps({"execute": name, "arguments": arguments}).encode())
        return json.loads(self.file.readline())

    def close(self):
        self.file.close()
        self.socket.close()


def test_socket_is_private_and_removed_at_the_end(tmp_path):
    with Served(tmp_path / "s") as served:
        assert stat.S_IMODE(os.stat(served.path).st_mode) == 0o600
    assert not os.path.exists(served.path)


def test_clients_come_one_after_another(served):
    for _ in range(3):
        client = PlainClient(served.path)
        assert client.greeting["QMP"]["capabilities"] == ["oob"]
        assert client.execute("query-status")["error"]["class"] == "CommandNotFound"
        assert client.execute("qmp_capabilities") == {"return": {}}
        client.close()


def test_second_client_waits_for_the_first_to_leave(served):
    first = PlainClient(served.path)
    waiting = socket.socket(socket.AF_UNIX)
    waiting.connect(served.path)
    waiting.settimeout(0.2)
    with pytest.raises(TimeoutError):
        waiting.recv(1)
    first.close()
    waiting.settimeout(5)
    assert b'"QMP"' in waiting.recv(4096)
    waiting.close()


def test_garbage_and_hang_up_harm_nobody(served):
    rude = socket.socket(socket.AF_UNIX)
    rude.connect(served.path)
    rude.send(b"\x00\xff{{{{[[[" * 100)
    rude.close()
    polite = PlainClient(served.path)
    assert polite.execute("qmp_capabilities") == {"return": {}}
    polite.close()


def test_client_that_never_reads_is_dropped_without_stalling(tmp_path, monkeypatch):
    monkeypatch.setattr("emu.qmp.transport.OUTPUT_LIMIT", 1 << 20)
    machine, poller = FakeMachine(), Poller()
    transport = SocketTransport("m", str(tmp_path / "s"), server=True)
    server = QmpServer(Context(machine), transport, poller)
    deaf = socket.socket(socket.AF_UNIX)
    deaf.connect(str(tmp_path / "s"))
    poller.poll(1)
    deaf.send(b'{"execute":"qmp_capabilities"}')
    poller.poll(1)
    for _ in range(20_000):
        machine.events.emit("ACPI_DEVICE_OST", {"info": {"slot": "x" * 80}})
    assert not transport.connected and server.session is None
    deaf.close()
    server.close()


def test_path_in_use_is_refused(served):
    other = parse_transport("other", f"unix:{served.path},server=on,wait=off")
    with pytest.raises(TransportError) as error:
        other.open(Poller())
    assert str(error.value) == f"Failed to bind socket to {served.path}: Address already in use"


def test_stale_socket_is_replaced(tmp_path):
    path = str(tmp_path / "stale")
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(path)
    dead.close()
    transport = parse_transport("m", f"unix:{path},server,nowait")
    transport.open(Poller())
    transport.close()
    assert not os.path.exists(path)


def test_ordinary_file_is_never_removed(tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(TransportError, match="Address already in use"):
        parse_transport("m", f"unix:{path},server=on,wait=off").open(Poller())
    assert path.read_text() == "data"


def test_missing_directory_is_named(tmp_path):
    with pytest.raises(TransportError, match=r"^Failed to bind socket to .*/nope/x: No such file or directory$"):
        parse_transport("m", f"unix:{tmp_path}/nope/x,server=on,wait=off").open(Poller())


@pytest.mark.parametrize("text, message", [
    ("foo", "'foo' is not a valid char driver"), ("foo:bar", "'foo' is not a valid char driver"),
    ("tcp:localhost", "'tcp:localhost': a TCP address is HOST:PORT"),
    ("unix:x,server=maybe", "Parameter 'server' expects 'on' or 'off'")])  # fmt: skip
def test_bad_transport_is_refused(text, message):
    with pytest.raises(TransportError) as error:
        parse_transport("m", text)
    assert str(error.value) == message


def test_tcp_works_too():
    machine, poller = FakeMachine(), Poller()
    transport = parse_transport("m", "tcp:127.0.0.1:0,server=on,wait=off")
    server = QmpServer(Context(machine), transport, poller)
    client = socket.create_connection(transport.address)
    poller.poll(1)
    assert b'"QMP"' in client.recv(4096)
    client.close()
    server.close()


def test_qemus_own_client_library_plugs_a_cpu(served):
    from qemu.qmp import QMPClient
    from qemu.qmp.error import QMPError

    async def conversation():
        client = QMPClient("test")
        await client.connect(served.path)
        await client.execute("cont")
        event = await asyncio.wait_for(client.events.get(), 5)
        assert event["event"] == "RESUME"
        with pytest.raises(QMPError, match="CPU socket-id is not set"):
            await client.execute("device_add", {"driver": "qemu64-x86_64-cpu"})
        place = {"socket-id": 1, "core-id": 0, "thread-id": 0}
        await client.execute("device_add", {"driver": "qemu64-x86_64-cpu", "id": "c1", **place})
        cpus = await client.execute("query-cpus-fast")
        await client.disconnect()
        return cpus

    assert [cpu["cpu-index"] for cpu in asyncio.run(conversation())] == [0, 1]


def test_qmp_shell_talks_to_the_server(served):
    shell = Path(sys.executable).with_name("qmp-shell")
    if not shell.exists() and not shutil.which("qmp-shell"):
        pytest.skip("qmp-shell is not installed")
    script = "query-status\ncpu-add id=1\nquery-cpus-fast\n"
    done = subprocess.run([str(shell), served.path], input=script, capture_output=True, text=True, timeout=30)
    assert "prelaunch" in done.stdout
    assert '"cpu-index": 1' in done.stdout or "'cpu-index': 1" in done.stdout, done.stdout + done.stderr


def test_slow_reader_gets_everything(served):
    client = PlainClient(served.path)
    client.execute("qmp_capabilities")
    client.file.write(b'{"execute":"qom-list-properties","arguments":{"typename":"max-x86_64-cpu"}}' * 40)
    time.sleep(0.2)
    for _ in range(40):
        assert len(json.loads(client.file.readline())["return"]) > 150
    client.close()


def test_stdout_that_nobody_reads_keeps_a_limited_amount(monkeypatch):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    monkeypatch.setattr("emu.qmp.transport.OUTPUT_LIMIT", 1 << 16)
    with os.fdopen(writer, "w") as stdout, os.fdopen(os.dup(0)) as stdin:
        monkeypatch.setattr(sys, "stdout", stdout)
        monkeypatch.setattr(sys, "stdin", stdin)
        transport = StdioTransport("serial0")
        for _ in range(100):
            transport.write(b"x" * 10_000)
        assert len(transport._output) == 1 << 16
        received = 0
        while transport._output:
            received += len(os.read(reader, 1 << 20))
            transport.flush()
        assert received > 1 << 16
    os.close(reader)
