"""Clients that mean ill, or no good: the guest goes on, instruction by instruction, and memory stays what it was."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading

import pytest

from emu.hmp.server import HmpServer
from emu.qmp.server import QmpServer
from emu.qmp.transport import HIGH_WATER, STEPS_A_TURN, SocketTransport
from machines import Q35
from machines.guests import hotplug

SLICE_NS = 200_000
CODE = 0x3000  # free RAM below the guest
COUNT_FOR_EVER = bytes.fromhex("40" "ebfd")  # inc eax; jmp CODE  (flat 32-bit code)
MIB = 1 << 20
HELLO = b'{"execute": "qmp_capabilities"}'


def resident() -> int:
    """Bytes of host memory that this process has."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


class Besieged:
    """A guest that computes, with a monitor on a socket."""

    def __init__(self, folder, server=QmpServer):
        self.vm = Q35(memory="16M", kernel=hotplug.image())
        self.vm.start()
        self.vm.serial.expect("ready", within="100 ms")
        self.vm.memory.write(CODE, COUNT_FOR_EVER)
        self.vm.cpus[0].registers["rflags"] = 2
        self.vm.cpus[0].rip = CODE
        self.vm.vcpus[0].state["halted"] = 0
        self.path = str(folder / "monitor.sock")
        self.transport = SocketTransport("monitor", self.path, server=True)
        self.server = server(self.vm.context, self.transport, self.vm.poller)
        self.peak = 0

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.connect(self.path)
        client.settimeout(10)
        return client

    def run_while(self, busy, least: int = 20):
        """Slices of the guest while `busy()` and some more, each of which must get all of its instructions."""
        slices = 0
        while busy() or slices < least:
            before = self.vm.cpus[0].retired
            self.vm.run_slice(self.vm.clock.now + SLICE_NS)
            assert self.vm.cpus[0].retired - before >= SLICE_NS * 0.9
            self.peak = max(self.peak, resident())
            slices += 1

    def attack(self, client: socket.socket, *pieces: bytes, read: bool = True) -> bytes:
        """Send in the background while the guest runs; what the client could read meanwhile, or most of it."""
        heard = bytearray()

        def send():
            for piece in pieces:
                client.sendall(piece)

        def listen():
            with contextlib.suppress(OSError):  # the connection ends with the test
                while chunk := client.recv(MIB):
                    heard.extend(chunk[-1000:])

        threads = [threading.Thread(target=send, daemon=True), *([threading.Thread(target=listen, daemon=True)] if read else [])]
        for thread in threads:
            thread.start()
        self.run_while(threads[0].is_alive)
        return bytes(heard)

    def polite_answer(self) -> dict:
        """A new client asks what the state is."""
        client = self.connect()
        client.sendall(HELLO + b'{"execute": "query-status"}')
        self.run_while(lambda: False)
        return json.loads(client.recv(MIB).splitlines()[2])["return"]

    def close(self):
        self.server.close()
        self.vm.close()


@pytest.fixture
def besieged(tmp_path):
    besieged = Besieged(tmp_path)
    besieged.run_while(lambda: False)
    yield besieged
    besieged.close()


def assert_still_well(besieged, client):
    with contextlib.suppress(OSError):  # it may have been dropped
        client.shutdown(socket.SHUT_RDWR)
    client.close()
    besieged.run_while(lambda: False)
    assert besieged.polite_answer()["status"] == "running"


def test_line_of_100_mib_costs_little_memory(besieged):
    before, client = resident(), besieged.connect()
    heard = besieged.attack(client, b'"', *[b"a" * MIB] * 100)
    assert b"JSON token size limit exceeded" in heard
    assert besieged.peak - before < 48 * MIB
    assert_still_well(besieged, client)


def test_a_million_brackets_are_refused_a_thousand_at_a_time(besieged):
    before, client = resident(), besieged.connect()
    heard = besieged.attack(client, b"[" * 1_000_000)
    assert b"JSON nesting depth limit exceeded" in heard
    assert besieged.peak - before < 16 * MIB
    assert_still_well(besieged, client)


@pytest.mark.parametrize("junk", [b"\x00\x80\xfe\xff" * 25_000, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 4000, b'"\xc3\x28"' * 20_000,
                                  b"[1,2,3," * 15_000, b"   \n" * 25_000, b'{"execute":' * 9000], ids=lambda junk: repr(junk[:12]))  # fmt: skip
def test_what_is_no_json_is_refused(besieged, junk):
    before, client = resident(), besieged.connect()
    besieged.attack(client, junk)
    assert besieged.peak - before < 32 * MIB
    assert_still_well(besieged, client)


def test_client_that_sends_without_reading_gets_its_answers_when_it_reads(besieged):
    before, client = resident(), besieged.connect()
    request, count = b'{"execute": "qom-list-types"}', 1500
    client.sendall(HELLO)
    besieged.attack(client, request * count, read=False)
    besieged.run_while(lambda: False)
    assert len(besieged.transport._output) < HIGH_WATER + MIB
    assert besieged.peak - before < 16 * MIB
    lines = client.makefile("rb")
    reader = threading.Thread(target=lambda: [json.loads(lines.readline()) for _ in range(count + 2)])
    reader.start()
    besieged.run_while(reader.is_alive)
    lines.close()
    assert_still_well(besieged, client)


def test_flood_of_requests_is_answered_a_few_at_a_time(besieged):
    client = besieged.connect()
    client.sendall(HELLO + b'{"execute": "stop"}{"execute": "cont"}' * 500)
    events = len(besieged.vm.qmp.events)
    besieged.vm.run_slice(besieged.vm.clock.now + SLICE_NS)  # accepts
    besieged.vm.run_slice(besieged.vm.clock.now + SLICE_NS)
    assert 0 < len(besieged.vm.qmp.events) - events < 50
    for _ in range(200):
        besieged.vm.run_slice(besieged.vm.clock.now + SLICE_NS)
    assert len(besieged.vm.qmp.events) - events == 1000
    client.close()


def test_stopped_machine_answers_a_flood_without_waiting_between(tmp_path):
    besieged = Besieged(tmp_path)
    client = besieged.connect()
    client.sendall(HELLO + b'{"execute": "query-status"}' * 200)
    besieged.vm.serve()
    for _ in range(201 // STEPS_A_TURN):
        besieged.vm.serve(timeout=60)  # comes back at once while there is work
    besieged.vm.serve()
    lines = client.makefile("rb")
    assert all("error" not in json.loads(lines.readline()) for _ in range(202))
    lines.close()
    client.close()
    besieged.close()


def test_events_for_a_client_that_does_not_read_end_its_connection(besieged, monkeypatch):
    monkeypatch.setattr("emu.qmp.transport.OUTPUT_LIMIT", MIB)
    client = besieged.connect()
    client.sendall(HELLO)
    besieged.run_while(lambda: False)
    for _ in range(20_000):
        besieged.vm.events.emit("ACPI_DEVICE_OST", {"info": {"slot": "x" * 80}})
    assert not besieged.transport.connected
    assert_still_well(besieged, client)


def test_a_thousand_connections_leave_nothing_behind(besieged):
    descriptors = len(os.listdir("/proc/self/fd"))
    for number in range(1000):
        client = besieged.connect()
        if number % 3:
            client.sendall(HELLO[: number % 31])
        client.close()
        besieged.vm.serve()
        besieged.vm.serve()
    besieged.run_while(lambda: False)
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 1
    assert besieged.polite_answer()["status"] == "running"


def test_silent_and_half_closed_clients_hold_nothing_up(besieged):
    silent = besieged.connect()
    besieged.run_while(lambda: False)
    silent.sendall(b'{"execute": ')
    silent.shutdown(socket.SHUT_WR)
    besieged.run_while(lambda: False)
    assert_still_well(besieged, silent)


def test_connections_beyond_the_backlog_do_no_harm(besieged):
    first, waiting = besieged.connect(), []
    for _ in range(300):
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        client.connect_ex(besieged.path)
        waiting.append(client)
    besieged.run_while(lambda: False)
    for client in waiting:
        client.close()
    assert_still_well(besieged, first)


def test_flood_of_lines_at_the_human_monitor(tmp_path):
    besieged = Besieged(tmp_path, HmpServer)
    before, client = resident(), besieged.connect()
    besieged.attack(client, b"info qtree\n" * 2000 + b"x" * 100_000 + b"\n\x1b[" * 1000)
    assert besieged.peak - before < 16 * MIB
    client.close()
    besieged.close()
