"""From -serial, -monitor, -qmp, -chardev and -mon to open streams, serial back ends and monitors.

Serial ports get an emu.chardev.Chardev; streams that have a peer go through a transport, so that one Poller can wait
for all of them while the guest idles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from emu.chardev import KEPT_INPUT, Chardev, FileChardev, NullChardev
from emu.cli.options import MonitorOption, Options
from emu.hmp import MonitorTerminal, Mux
from emu.hmp.mux import Frontend
from emu.hmp.server import HmpServer
from emu.qmp.machine_api import Context
from emu.qmp.server import QmpServer
from emu.qmp.transport import Poller, Transport, TransportError, parse_transport


class Monitor(Protocol):
    """A QmpServer or an HmpServer."""

    def close(self) -> None: ...


class TransportChardev(Chardev):
    """A serial port's back end on a transport; with `send`, on one that it shares through a multiplexer."""

    kind = "transport"

    def __init__(self, label: str, send: Callable[[bytes], None]):
        super().__init__(label)
        self._send = send

    def emit(self, data: bytes) -> None:
        self._send(data)

    def take(self, data: bytes) -> Iterator[bool]:
        """Input from the transport, which reads on when the guest has taken most of it."""
        self.feed(data)
        while len(self.pending) > KEPT_INPUT:
            yield False


def short_form(options: dict[str, str]) -> str:
    """-chardev's members as the short form that -serial and -qmp take.  Raises TransportError."""
    backend = options.get("backend", "")
    flags = "".join(f",{name}={options[name]}" for name in ("server", "wait", "signal") if name in options)
    if backend in ("stdio", "null"):
        return backend + flags
    if backend == "file" and "path" in options:
        return f"file:{options['path']}"
    if backend == "socket" and "path" in options:
        return f"unix:{options['path']}{flags}"
    if backend == "socket" and "port" in options:
        return f"tcp:{options.get('host', '')}:{options['port']}{flags}"
    raise TransportError(f"'{backend}' is not a valid char driver name, or lacks its path or port")


def _spelling(monitor: MonitorOption) -> str:
    """The option as it was given, for error messages."""
    if monitor.where.startswith("chardev:"):
        return f"-mon {monitor.where.removeprefix('chardev:')}"
    return f"{'-qmp' if monitor.control else '-monitor'} {monitor.where}"


class Consoles:
    """Everything that connects a machine with its users.  Made before the machine, attached to it afterwards."""

    def __init__(self, options: Options):
        self.options, self.poller = options, Poller()
        self.serials: list[Chardev] = []
        self.debugcon: Chardev | None = None
        self._transports: list[Transport] = []
        self._monitors: list[Monitor] = []
        self._planned: list[tuple[MonitorOption, Transport]] = []
        self._muxes: list[Mux] = []
        self._stdio_users = 0

    # serial ports, before there is a machine
    def open_serials(self) -> list[Chardev]:
        """A back end for each -serial and for -debugcon; monitors are only checked.  Raises TransportError."""
        for index, spec in enumerate(self.options.serial):
            self.serials.append(self._open("-serial", f"serial{index}", spec))
        if self.options.debugcon is not None:
            self.debugcon = self._open("-debugcon", "debugcon", self.options.debugcon)
        for index, monitor in enumerate(self.options.monitors):
            if monitor.where != "none" and not self._shares_a_mux(monitor):
                self._plan_monitor(f"compat_monitor{index}", monitor)
        return self.serials

    def _open(self, option: str, label: str, spec: str) -> Chardev:
        try:
            return self._open_serial(label, self._resolve(spec))
        except (TransportError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise TransportError(f"{option} {spec}: {reason}") from None

    def _resolve(self, spec: str) -> str:
        """ "chardev:ID" replaced by what the -chardev says."""
        if not spec.startswith("chardev:"):
            return spec
        found = self.options.chardevs.get(spec.removeprefix("chardev:"))
        if found is None:
            raise TransportError(f"chardev '{spec.removeprefix('chardev:')}' not found")
        return ("mon:" if found.get("mux") == "on" else "") + short_form(found)

    def _open_serial(self, label: str, spec: str) -> Chardev:
        if spec in ("null", "vc"):
            return NullChardev(label)
        if spec.startswith("file:"):
            return FileChardev(spec.removeprefix("file:"), label=label)
        if spec.startswith("mon:"):
            return self._open_mux(label, spec.removeprefix("mon:"))
        transport = self._transport(label, spec)
        chardev = TransportChardev(label, transport.write)
        transport.receive = chardev.take
        transport.open(self.poller)
        return chardev

    def _open_mux(self, label: str, spec: str) -> Chardev:
        """A serial port that shares its transport with a human monitor; the monitor joins in attach()."""
        transport = self._transport(label, "stdio,signal=off" if spec == "stdio" else spec)
        mux = Mux(transport.write, lambda: None)
        chardev = TransportChardev(label, mux.send)
        mux.add(Frontend(chardev.take))
        transport.receive = mux.work
        transport.open(self.poller)
        self._muxes.append(mux)
        return chardev

    def _transport(self, label: str, spec: str) -> Transport:
        transport = parse_transport(label, spec)
        if spec.split(",")[0] == "stdio":
            self._stdio_users += 1
            if self._stdio_users > 1:
                raise TransportError("cannot use stdio by multiple character devices")
        self._transports.append(transport)
        return transport

    # monitors
    def attach(self, context: Context) -> None:
        """Start the monitors of a machine.  Raises TransportError."""
        for mux in self._muxes:
            terminal = MonitorTerminal(context, mux.send)
            mux.add(Frontend(terminal.work, focused=terminal.greet))
            mux.quit = lambda: context.machine.run_control.quit("host-ui")
        for monitor, transport in self._planned:
            self._open_monitor(context, monitor, transport)
        context.chardevs += self._transports

    def _shares_a_mux(self, monitor: MonitorOption) -> bool:
        """Whether a serial port's multiplexer already offers this human monitor."""
        chardev = self.options.chardevs.get(monitor.where.removeprefix("chardev:"), {})
        return not monitor.control and monitor.where in self.options.serial and chardev.get("mux") == "on"

    def _plan_monitor(self, label: str, monitor: MonitorOption) -> None:
        try:
            transport = self._transport(label, self._resolve(monitor.where).removeprefix("mon:"))
        except TransportError as error:
            raise TransportError(f"{_spelling(monitor)}: {error}") from None
        self._planned.append((monitor, transport))

    def _open_monitor(self, context: Context, monitor: MonitorOption, transport: Transport) -> None:
        try:
            if monitor.control:
                self._monitors.append(QmpServer(context, transport, self.poller, pretty=monitor.pretty))
            else:
                self._monitors.append(HmpServer(context, transport, self.poller))
        except TransportError as error:
            raise TransportError(f"{_spelling(monitor)}: {error}") from None

    def flush(self) -> None:
        """Send what slow clients left unread; called now and then while the guest runs."""
        for transport in self._transports:
            transport.flush()

    def close(self) -> None:
        """Close all streams; the terminal gets its old mode back."""
        for monitor in self._monitors:
            monitor.close()
        for transport in self._transports:
            transport.close()
        for chardev in [*self.serials, *([self.debugcon] if self.debugcon else [])]:
            chardev.close()
