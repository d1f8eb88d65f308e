"""Byte streams between monitors and their clients: sockets and stdio, with arrivals and departures.

Everything is non-blocking: poll() of the one Poller moves what can be moved and returns, so that no client stalls the
guest.  From a client that does not read its answers nothing more is read; if events go on to come for it, it is dropped
once OUTPUT_LIMIT bytes wait: unlike a serial console's, a monitor's output must not have holes.
Not here: pty, TLS, telnet; serial ports use emu/chardev.py.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
import sys
import termios
from collections.abc import Callable, Iterator
from typing import Any

from emu.qmp.poller import Poller

__all__ = ["Poller", "SocketTransport", "StdioTransport", "Transport", "TransportError", "parse_transport"]

OUTPUT_LIMIT = 16 << 20  # bytes that wait for a peer before it is dropped
HIGH_WATER = 1 << 18  # bytes that wait for a peer before it gets no further answers
CHUNK = 1 << 16  # bytes a read
STEPS_A_TURN = 16  # requests answered between two slices of the guest
SOCKET_MODE = 0o600
IFLAG, LFLAG = 0, 3  # in the list that termios.tcgetattr returns
PIPE_SAFE_WRITE = 512  # bytes that a descriptor takes without blocking once select calls it writable


class TransportError(Exception):
    """A transport that cannot be opened; the text is for the user."""


Work = Iterator[bool]


class Transport:
    """Base: swallows output and never has input.  Users set `receive` and the two callbacks.

    `receive` takes input.  If that makes work, it returns an iterator that does a part of it at each step and says whether
    the next one can follow; the transport reads no further before all is done.
    """

    connected: bool = True

    def __init__(self, label: str = "", filename: str = "null"):
        self.label, self.filename = label, filename
        self.receive: Callable[[bytes], Work | None] = lambda data: None
        self.on_open: Callable[[], None] = lambda: None  # a peer arrived
        self.on_close: Callable[[], None] = lambda: None  # it left
        self._poller = Poller()
        self._work: Work | None = None
        self._output = bytearray()

    @property
    def frontend_open(self) -> bool:
        """For query-chardev, which lists transports."""
        return self.connected

    def open(self, poller: Poller) -> None:
        """Start; `on_open` follows when somebody is there.  Raises TransportError."""
        self._poller = poller
        self.on_open()

    def write(self, data: bytes) -> None:
        """Send or queue `data`; without a peer it is lost."""

    def close(self) -> None:
        """Release everything."""

    # pacing
    def flush(self) -> None:
        """What is queued leaves, and work that waited for that goes on."""
        backed_up = len(self._output) > HIGH_WATER
        self._send()
        if backed_up and len(self._output) <= HIGH_WATER:
            self._go_on()

    def _send(self) -> None:
        """Send what can be sent now of what is queued."""

    def _take(self, data: bytes) -> None:
        self._work = self.receive(data)
        self._go_on()

    def _go_on(self) -> None:
        """Do as much of the work as one turn has, and as the peer reads of the answers."""
        for _ in range(STEPS_A_TURN):
            if self._work is None or len(self._output) > HIGH_WATER:
                break
            step = next(self._work, None)
            if step is None:
                self._work = None
            elif step is False:
                self._poller.later(self._go_on, hurry=False)
                break
        else:
            self._poller.later(self._go_on)
        self._watch()

    def _watch(self) -> None:
        """Tell the poller what this transport waits for now."""


class StdioTransport(Transport):
    """Standard input and output; a terminal is switched to raw input (`signals`: except for Ctrl-C and Ctrl-Z)."""

    in_use = False

    def __init__(self, label: str, signals: bool = True):
        super().__init__(label, "stdio")
        self._signals = signals
        self._saved: list[Any] | None = None
        self._opened = self._ended = False

    def open(self, poller: Poller) -> None:
        if StdioTransport.in_use:
            raise TransportError("cannot use stdio by multiple character devices")
        StdioTransport.in_use = self._opened = True
        if sys.stdin.isatty():
            self._raw()
        super().open(poller)
        self._watch()

    def _raw(self) -> None:
        fd = sys.stdin.fileno()
        self._saved = termios.tcgetattr(fd)
        mode: Any = termios.tcgetattr(fd)
        mode[IFLAG] &= ~(termios.ISTRIP | termios.INLCR | termios.ICRNL | termios.IXON)
        mode[LFLAG] &= ~(termios.ECHO | termios.ICANON | (0 if self._signals else termios.ISIG))
        termios.tcsetattr(fd, termios.TCSANOW, mode)

    def _watch(self) -> None:
        reading = self._opened and not self._ended and self._work is None
        self._poller.watch(sys.stdin.fileno(), self._readable if reading else None)

    def _readable(self) -> None:
        data = os.read(sys.stdin.fileno(), CHUNK)
        if data:
            self._take(data)
            return
        self._ended = True
        self._watch()
        self.on_close()

    def write(self, data: bytes) -> None:
        self._output += data
        self._send()
        del self._output[:-OUTPUT_LIMIT]

    def _send(self) -> None:
        sys.stdout.flush()
        while self._output and select.select([], [sys.stdout.fileno()], [], 0)[1]:
            try:
                sent = os.write(sys.stdout.fileno(), self._output[:PIPE_SAFE_WRITE])
            except OSError:  # the reader is gone
                sent = len(self._output)
            del self._output[:sent]

    def close(self) -> None:
        self._send()
        if self._opened:
            StdioTransport.in_use = self._opened = False
            self._watch()
        if self._saved is not None:
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, self._saved)


class SocketTransport(Transport):
    """A UNIX or TCP stream socket, listening (one peer at a time, the next one waits) or connecting."""

    def __init__(self, label: str, address: str | tuple[str, int], *, server: bool, wait: bool = False):
        where = f"unix:{address}" if isinstance(address, str) else f"tcp:{address[0]}:{address[1]}"
        super().__init__(label, f"disconnected:{where}" + (",server=on" if server else ""))
        self.address, self._server, self._wait, self._where = address, server, wait, where
        self._listener: socket.socket | None = None
        self._peer: socket.socket | None = None
        self.connected = False

    def open(self, poller: Poller) -> None:
        self._poller = poller
        if not self._server:
            self._attach(self._connect())
            return
        self._listener = self._listen()
        if self._wait:
            print(f"waiting for connection on: {self.filename}", file=sys.stderr)
            self._accept()
        self._listener.setblocking(False)
        if self._peer is None:
            self._poller.watch(self._listener, self._accept)

    def _new_socket(self) -> socket.socket:
        family = socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET
        return socket.socket(family, socket.SOCK_STREAM)

    def _connect(self) -> socket.socket:
        peer = self._new_socket()
        try:
            peer.connect(self.address)
        except OSError as error:
            raise TransportError(f"Failed to connect to '{self._where}': {error.strerror}") from None
        return peer

    def _listen(self) -> socket.socket:
        listener = self._new_socket()
        try:
            if isinstance(self.address, str):
                remove_stale_socket(self.address)
                bind_privately(listener, self.address)
            else:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(self.address)
                self.address = listener.getsockname()
            listener.listen(1)
        except OSError as error:
            shown = self.address if isinstance(self.address, str) else ":".join(map(str, self.address))
            raise TransportError(f"Failed to bind socket to {shown}: {error.strerror or error}") from None
        return listener

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            peer, _ = self._listener.accept()
        except OSError:  # it has gone again, or the host has no descriptor to spare
            return
        self._poller.forget(self._listener)  # the next peer's turn comes when this one has left
        self._attach(peer)

    def _attach(self, peer: socket.socket) -> None:
        peer.setblocking(False)
        self._peer, self.connected = peer, True
        self.filename = self.filename.removeprefix("disconnected:")
        self._watch()
        self.on_open()

    def _watch(self) -> None:
        if self._peer is not None:
            self._poller.watch(self._peer, self._readable if self._work is None else None, self.flush if self._output else None)

    def _readable(self) -> None:
        if self._peer is None:
            return
        try:
            data = self._peer.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._take(data)
        else:
            self._drop()

    def write(self, data: bytes) -> None:
        if self._peer is None:
            return
        waiting = bool(self._output)
        self._output += data
        if not waiting:
            self._send()
        if len(self._output) > OUTPUT_LIMIT:
            self._drop()

    def _send(self) -> None:
        while self._output and self._peer is not None:
            try:
                sent = self._peer.send(self._output)
            except BlockingIOError:
                break
            except OSError:
                self._drop()
                return
            del self._output[:sent]
        self._watch()

    def _drop(self) -> None:
        peer, self._peer, self.connected = self._peer, None, False
        self._work = None
        self._output.clear()
        if peer is None:
            return
        self._poller.forget(peer)
        peer.close()
        self.filename = "disconnected:" + self.filename
        self.on_close()
        if self._listener is not None:
            self._poller.watch(self._listener, self._accept)

    def close(self) -> None:
        self._send()
        listener, self._listener = self._listener, None
        self._drop()
        if listener is not None:
            self._poller.forget(listener)
            listener.close()
            if isinstance(self.address, str) and os.path.exists(self.address):
                os.unlink(self.address)


def remove_stale_socket(path: str) -> None:
    """Remove a socket that nobody listens on any more.  Raises OSError (address in use) for anything else."""
    try:
        is_socket = stat.S_ISSOCK(os.stat(path).st_mode)
    except FileNotFoundError:
        return
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    probe.setblocking(False)
    try:
        refused = is_socket and probe.connect_ex(path) == errno.ECONNREFUSED  # its owner is gone
    finally:
        probe.close()
    if refused:
        os.unlink(path)


def bind_privately(listener: socket.socket, path: str) -> None:
    """bind() so that only this user can connect, from the first moment on."""
    old = os.umask(0o777 & ~SOCKET_MODE)
    try:
        listener.bind(path)
    finally:
        os.umask(old)


# -- what users write --------------------------------------------------------------------------------------------


def _flag(options: dict[str, str], name: str, default: bool) -> bool:
    if "no" + name in options:
        return False
    value = options.get(name, "on" if default else "off")
    if value not in ("on", "off", ""):
        raise TransportError(f"Parameter '{name}' expects 'on' or 'off'")
    return value != "off"


def _host_and_port(text: str, address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        raise TransportError(f"'{text}': a TCP address is HOST:PORT")
    return host or "0.0.0.0", int(port)


def parse_transport(label: str, text: str) -> Transport:
    """A transport from QEMU's short syntax: "unix:PATH,server=on,wait=off", "tcp:HOST:PORT,...", "stdio", "null".

    Raises TransportError."""
    head, *rest = text.split(",")
    options = {name: value for name, _, value in (item.partition("=") for item in rest)}
    kind, _, argument = head.partition(":")
    server = _flag(options, "server", False)
    if kind in ("unix", "tcp") and argument:
        address = argument if kind == "unix" else _host_and_port(text, argument)
        return SocketTransport(label, address, server=server, wait=server and _flag(options, "wait", True))
    if head == "stdio":
        return StdioTransport(label, _flag(options, "signal", True))
    if head in ("null", "none", "vc"):
        return Transport(label, "null")
    raise TransportError(f"'{kind}' is not a valid char driver")
