"""A human monitor on a transport: greeting and prompt for every user who arrives."""

from __future__ import annotations

from collections.abc import Iterator

from emu.hmp.terminal import MonitorTerminal
from emu.qmp.machine_api import Context
from emu.qmp.transport import Poller, Transport


class HmpServer:
    """Serves one transport, as emu.qmp.server.QmpServer does for QMP."""

    def __init__(self, context: Context, transport: Transport, poller: Poller):
        self.context, self.transport = context, transport
        transport.on_open, transport.receive = self._opened, self._received
        transport.open(poller)

    def _opened(self) -> None:
        self._terminal = MonitorTerminal(self.context, self.transport.write)
        self._terminal.greet()

    def _received(self, data: bytes) -> Iterator[bool]:
        return self._terminal.work(data)

    def close(self) -> None:
        self.transport.close()
