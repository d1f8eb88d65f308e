"""Back ends of character devices."""

from __future__ import annotations

import os
import socket
import stat

import pytest

from emu.chardev import BufferChardev, FileChardev, NullChardev, StdioChardev, UnixChardev, open_chardev


class Sink:
    def __init__(self, room=100):
        self.room, self.got = room, b""

    def can_receive(self):
        return self.room

    def receive(self, data):
        self.got += data


def test_input_waits_for_poll_and_for_room():
    chardev, sink = BufferChardev(), Sink(room=3)
    chardev.feed(b"hello")
    chardev.connect(sink)
    assert sink.got == b""
    assert (chardev.poll(), sink.got) == (3, b"hel")
    sink.room = 0
    assert chardev.poll() == 0
    sink.room = 9
    assert (chardev.poll(), sink.got) == (2, b"hello")


def test_tap_sees_output_of_any_back_end():
    chardev, seen = NullChardev(), []
    chardev.tap = seen.append
    chardev.write(b"x")
    assert seen == [b"x"]


def test_file_gets_the_output(tmp_path):
    path = tmp_path / "serial.log"
    chardev = open_chardev(f"file:{path}")
    chardev.write(b"boot")
    chardev.close()
    assert path.read_bytes() == b"boot"
    appended = FileChardev(str(path), append=True)
    appended.write(b"ed")
    appended.close()
    assert path.read_bytes() == b"booted"


def test_unix_server_is_private_and_carries_both_ways(tmp_path):
    path = str(tmp_path / "s")
    chardev, sink = open_chardev(f"unix:{path},server=on,wait=off"), Sink()
    chardev.connect(sink)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    chardev.write(b"nobody listens")
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    client.sendall(b"in")
    chardev.poll()
    chardev.write(b"out")
    assert (sink.got, client.recv(10)) == (b"in", b"out")
    chardev.close()
    client.close()
    assert not os.path.exists(path)


def test_unix_server_takes_the_next_client_after_one_leaves(tmp_path):
    path = str(tmp_path / "s")
    chardev, sink = UnixChardev(path), Sink()
    chardev.connect(sink)
    for word in (b"one", b"two"):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            client.sendall(word)
            chardev.poll()
        chardev.poll()
    assert sink.got == b"onetwo"
    chardev.close()


def test_a_client_that_does_not_read_does_not_block_the_guest(tmp_path):
    path = str(tmp_path / "s")
    chardev = UnixChardev(path)
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    for _ in range(64):
        chardev.write(b"x" * 65536)
    assert len(chardev._outgoing.kept) <= 1 << 20
    client.close()
    chardev.close()


def test_stale_socket_is_replaced_but_another_file_is_not(tmp_path):
    stale, other = str(tmp_path / "s"), tmp_path / "f"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(stale)
    dead.close()
    UnixChardev(stale).close()
    other.write_text("precious")
    with pytest.raises(FileExistsError, match="no socket"):
        UnixChardev(str(other))
    assert other.read_text() == "precious"


def test_stdio_reads_and_writes_its_descriptors():
    input_read, input_write = os.pipe()
    output_read, output_write = os.pipe()
    chardev, sink = StdioChardev(input_fd=input_read, output_fd=output_write), Sink()
    chardev.connect(sink)
    os.write(input_write, b"typed")
    chardev.poll()
    chardev.write(b"shown")
    assert (sink.got, os.read(output_read, 10)) == (b"typed", b"shown")
    os.close(input_write)
    assert chardev.poll() == 0
    chardev.close()


def test_stdio_puts_a_terminal_into_raw_mode_and_back():
    import pty
    import termios

    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    chardev = StdioChardev(input_fd=slave, output_fd=slave)
    during = termios.tcgetattr(slave)
    chardev.close()
    assert not during[3] & (termios.ECHO | termios.ICANON)
    assert during[3] & termios.ISIG
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize("spec", ["nul", "file:", "tcp:1234", "unix:/x,sever=on", "stdio:1"])
def test_unknown_forms_are_refused_with_the_known_ones(spec):
    with pytest.raises(ValueError, match=r"use null|takes server"):
        open_chardev(spec)
