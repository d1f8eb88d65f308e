"""A QMP monitor on a transport: a new session for every client that connects, one after another."""

from __future__ import annotations

from collections.abc import Iterator

from emu.qmp.machine_api import Context
from emu.qmp.session import Session
from emu.qmp.transport import Poller, Transport


class QmpServer:
    """Serves one transport.  The main loop calls poller.poll() between guest slices."""

    def __init__(self, context: Context, transport: Transport, poller: Poller, *, pretty: bool = False):
        self.context, self.transport, self._pretty = context, transport, pretty
        self.session: Session | None = None
        transport.on_open, transport.on_close, transport.receive = self._opened, self._closed, self._received
        transport.open(poller)

    def _opened(self) -> None:
        self._closed()
        self.session = Session(self.context, self.transport.write, pretty=self._pretty)

    def _closed(self) -> None:
        if self.session is not None:
            self.session.close()
        self.session = None

    def _received(self, data: bytes) -> Iterator[bool] | None:
        return self.session.work(data) if self.session is not None else None

    def close(self) -> None:
        """Say goodbye to the client and remove the socket."""
        self._closed()
        self.transport.close()
