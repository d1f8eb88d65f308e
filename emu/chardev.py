"""Character back ends: where a serial port's or console's bytes go to and come from.

Output is handed to the host at once or queued, and never holds the guest up.  Input is queued by the host side and given
to the device only inside `poll`, which the scheduler calls at points that depend on virtual time alone.
Not here: multiplexing a console with a monitor, TCP, pseudo-terminals.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import sys
import termios
from collections.abc import Callable
from typing import BinaryIO, ClassVar, Protocol

from emu.snapshot import Stateful

READ_SIZE = 4096
PIPE_SAFE_WRITE = 512  # POSIX: after select says writable, a pipe takes this much without blocking
KEPT_OUTPUT = 1 << 20  # bytes kept for a host that does not read; older ones are dropped
KEPT_INPUT = 1 << 16  # bytes kept for a guest that does not read; more is not fetched


class Receiver(Protocol):
    """The device's side of a chardev."""

    def can_receive(self) -> int:
        """How many bytes it will take now."""

    def receive(self, data: bytes) -> None: ...


class Chardev(Stateful):
    """The base: input queued by `feed`, output dropped.  `tap`, if set, sees every byte of output first."""

    kind: ClassVar[str] = "null"

    def __init__(self, label: str = "") -> None:
        self.label = label or self.kind
        self.receiver: Receiver | None = None
        self.tap: Callable[[bytes], None] | None = None
        self.pending = bytearray()
        self.journal: Callable[[bytes], None] | None = None
        """Told what the device gets."""
        self.held = False
        """Does input have to wait?  While a recorded run is repeated."""

    def connect(self, receiver: Receiver | None) -> None:
        """Attach the device.  What has been fed meanwhile waits for the next `poll`."""
        self.receiver = receiver

    def feed(self, data: bytes) -> None:
        """The host has input for the guest."""
        self.pending += data

    def poll(self) -> int:
        """Fetch input from the host and give the device what it takes.  Returns how many bytes that was."""
        self.fetch()
        if not self.pending or self.receiver is None or self.held:
            return 0
        count = min(len(self.pending), self.receiver.can_receive())
        if count > 0:
            data = bytes(self.pending[:count])
            del self.pending[:count]
            if self.journal:
                self.journal(data)
            self.receiver.receive(data)
        return max(0, count)

    def write(self, data: bytes) -> None:
        """Output of the guest."""
        if self.tap:
            self.tap(data)
        self.emit(data)

    def emit(self, data: bytes) -> None:
        """Back end: pass output on without blocking."""

    def fetch(self) -> None:
        """Back end: move what the host has sent to `pending`, without blocking."""

    def close(self) -> None:
        """Let go of host resources."""

    def save(self) -> list[int]:
        """Input that is still on its way to the guest."""
        return list(self.pending)

    def load(self, state: list[int]) -> None:
        self.pending[:] = bytes(state)


class NullChardev(Chardev):
    """Output vanishes; there is never input."""


class BufferChardev(Chardev):
    """Keeps all output in `output`, for tests and for use from Python."""

    kind = "buffer"

    def __init__(self, label: str = "") -> None:
        super().__init__(label)
        self.output = bytearray()

    def emit(self, data: bytes) -> None:
        self.output += data

    @property
    def text(self) -> str:
        return self.output.decode("utf-8", "replace")


class FileChardev(Chardev):
    """Output into a file, which is emptied first unless `append`."""

    kind = "file"

    def __init__(self, path: str, *, append: bool = False, label: str = "") -> None:
        super().__init__(label)
        self.path = path
        self.file: BinaryIO = open(path, "ab" if append else "wb", buffering=0)  # noqa: SIM115 closed by close()

    def emit(self, data: bytes) -> None:
        self.file.write(data)

    def close(self) -> None:
        self.file.close()


class _Outgoing:
    """Output on its way to a descriptor: written as far as the host takes it, the rest kept for later."""

    def __init__(self) -> None:
        self.kept = bytearray()

    def send(self, data: bytes, write: Callable[[bytes], int]) -> None:
        self.kept += data
        while self.kept:
            count = write(bytes(self.kept[:PIPE_SAFE_WRITE]))
            if not count:
                break
            del self.kept[:count]
        if len(self.kept) > KEPT_OUTPUT:
            del self.kept[: len(self.kept) - KEPT_OUTPUT]


class StdioChardev(Chardev):
    """The terminal or pipes that the process was started with.

    A terminal is put into raw mode until `close`; `signals` leaves Ctrl-C and Ctrl-Z to the host.
    """

    kind = "stdio"

    def __init__(self, *, signals: bool = True, label: str = "", input_fd: int = 0, output_fd: int = 1) -> None:
        super().__init__(label)
        self.input_fd, self.output_fd = input_fd, output_fd
        self._outgoing = _Outgoing()
        self._at_end = False
        self._saved = self._make_raw(signals) if os.isatty(input_fd) else None

    def _make_raw(self, signals: bool) -> list:
        saved = termios.tcgetattr(self.input_fd)
        raw = termios.tcgetattr(self.input_fd)
        raw[0] &= ~(termios.IGNBRK | termios.BRKINT | termios.ISTRIP | termios.INLCR | termios.IGNCR | termios.ICRNL)
        raw[0] &= ~termios.IXON
        raw[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN | (0 if signals else termios.ISIG))
        raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self.input_fd, termios.TCSANOW, raw)
        return saved

    def fetch(self) -> None:
        self._outgoing.send(b"", self._write_some)
        while not self._at_end and len(self.pending) < KEPT_INPUT and select.select([self.input_fd], [], [], 0)[0]:
            data = os.read(self.input_fd, READ_SIZE)
            self._at_end = not data
            self.feed(data)

    def emit(self, data: bytes) -> None:
        self._outgoing.send(data, self._write_some)

    def _write_some(self, data: bytes) -> int:
        if not select.select([], [self.output_fd], [], 0)[1]:
            return 0
        try:
            return os.write(self.output_fd, data)
        except BrokenPipeError:
            return len(data)

    def close(self) -> None:
        self._outgoing.send(b"", self._write_some)
        if self._saved:
            termios.tcsetattr(self.input_fd, termios.TCSANOW, self._saved)
            self._saved = None


class UnixChardev(Chardev):
    """A unix socket at `path`: a server for one client at a time, or a client.

    The server's socket file has mode 0600 and is removed by `close`.  With `wait`, creation blocks for the first client.
    Output without a client is dropped.
    """

    kind = "socket"

    def __init__(self, path: str, *, server: bool = True, wait: bool = False, label: str = "") -> None:
        super().__init__(label)
        self.path = path
        self.listener: socket.socket | None = None
        self.client: socket.socket | None = None
        self._outgoing = _Outgoing()
        if server:
            self.listener = _listen(path)
            if wait:
                self._take_client()
            self.listener.setblocking(False)
        else:
            self._use(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), connect=True)

    def _use(self, client: socket.socket, *, connect: bool = False) -> None:
        if connect:
            client.connect(self.path)
        client.setblocking(False)
        self.client = client

    def _take_client(self) -> None:
        assert self.listener is not None
        try:
            self._use(self.listener.accept()[0])
        except BlockingIOError:
            return

    def fetch(self) -> None:
        if self.client is None and self.listener is not None:
            self._take_client()
        if self.client is None:
            return
        self._outgoing.send(b"", self._write_some)
        while self.client is not None and len(self.pending) < KEPT_INPUT:
            try:
                data = self.client.recv(READ_SIZE)
            except BlockingIOError:
                return
            except ConnectionError:
                data = b""
            if data:
                self.feed(data)
            else:
                self._drop_client()

    def emit(self, data: bytes) -> None:
        if self.client is None and self.listener is not None:
            self._take_client()
        if self.client is not None:
            self._outgoing.send(data, self._write_some)

    def _write_some(self, data: bytes) -> int:
        if self.client is None:
            return len(data)
        try:
            return self.client.send(data)
        except BlockingIOError:
            return 0
        except ConnectionError:
            self._drop_client()
            return len(data)

    def _drop_client(self) -> None:
        if self.client is not None:
            self.client.close()
        self.client = None
        self._outgoing.kept.clear()

    def close(self) -> None:
        self._outgoing.send(b"", self._write_some)
        self._drop_client()
        if self.listener is not None:
            self.listener.close()
            self.listener = None
            os.unlink(self.path)


def _listen(path: str) -> socket.socket:
    """A listening socket that only this user can reach.  A stale socket file is replaced, any other file is not."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if os.path.exists(path):
        _remove_stale(path)
    previous = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(previous)
    listener.listen(1)
    return listener


def _remove_stale(path: str) -> None:
    if not stat.S_ISSOCK(os.stat(path).st_mode):
        raise FileExistsError(f"{path} exists and is no socket; remove it or name another path")
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.connect(path)
    except ConnectionRefusedError:
        os.unlink(path)
    else:
        raise FileExistsError(f"{path} is in use by another process; name another path")
    finally:
        probe.close()


def open_chardev(spec: str, label: str = "") -> Chardev:
    """A back end from its short form: `null`, `stdio`, `buffer`, `file:PATH`, `unix:PATH[,server=on][,wait=off]`.

    Raises ValueError for any other form, OSError when the host refuses.
    """
    kind, colon, rest = spec.partition(":")
    if kind == "file" and rest:
        return FileChardev(rest, label=label)
    if kind == "unix" and rest:
        path, *options = rest.split(",")
        flags = [_flag(option) for option in options]
        server = dict(flags).get("server", False)
        return UnixChardev(path, server=server, wait=server and dict(flags).get("wait", True), label=label)
    if not colon and kind in ("null", "none"):
        return NullChardev(label)
    if not colon and kind == "buffer":
        return BufferChardev(label)
    if not colon and kind == "stdio":
        sys.stdout.flush()
        return StdioChardev(label=label)
    forms = "null, stdio, buffer, file:PATH or unix:PATH,server=on,wait=off"
    raise ValueError(f"unknown character device {spec!r}; use {forms}")


def _flag(option: str) -> tuple[str, bool]:
    """`server`, `nowait`, `wait=off` and so on as a name and whether it is on."""
    name, equals, value = option.partition("=")
    if not equals and name.startswith("no"):
        name, value = name[2:], "off"
    if name not in ("server", "wait") or value not in ("", "on", "off"):
        raise ValueError(f"unknown option {option!r} of a unix socket; it takes server=on|off and wait=on|off")
    return name, value != "off"
