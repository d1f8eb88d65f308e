"""The human monitor at a byte stream: greeting, prompt, and the line editor between the user and the interpreter."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from emu.hmp.completion import complete
from emu.hmp.monitor import HumanMonitor
from emu.hmp.readline import LineEditor
from emu.qmp.machine_api import Context
from emu.qmp.version import QEMU_VERSION_TEXT

PROMPT = "(qemu) "
GREETING = f"QEMU {QEMU_VERSION_TEXT} monitor - type 'help' for more information\n"


class MonitorTerminal:
    """feed() it what the user types; `send` gets what the user sees."""

    def __init__(self, context: Context, send: Callable[[bytes], None]):
        self._monitor, self._send = HumanMonitor(context), send
        self._editor = LineEditor(send, PROMPT, lambda text: complete(self._monitor, text), self._monitor.history)

    def greet(self) -> None:
        """Say hello to a user who has just arrived."""
        self._show(GREETING)
        self._editor.show_prompt()

    def feed(self, data: bytes) -> None:
        """Handle typed bytes."""
        for _ in self.work(data):
            pass

    def work(self, data: bytes) -> Iterator[bool]:
        """The same, a line at each step."""
        for line in self._editor.feed(data):
            self._show(self._monitor.execute(line))
            self._editor.show_prompt()
            yield True

    def _show(self, text: str) -> None:
        self._send(text.replace("\n", "\r\n").encode())
