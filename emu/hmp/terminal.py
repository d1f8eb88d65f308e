"""The human monitor at a byte stream: prompt, echo, line editing, history.

Not here: cursor movement within the line, completion.
"""

from __future__ import annotations

from collections.abc import Callable

from emu.hmp.monitor import HumanMonitor
from emu.qmp.machine_api import Context
from emu.qmp.version import QEMU_VERSION_TEXT

PROMPT = "(qemu) "
GREETING = f"QEMU {QEMU_VERSION_TEXT} monitor - type 'help' for more information\n"
BACKSPACE, DELETE, ESCAPE, KILL_LINE, INTERRUPT = 0x08, 0x7F, 0x1B, 0x15, 0x03
UP, DOWN = b"[A", b"[B"
HISTORY = 64  # lines
LINE_LIMIT = 4096  # bytes


class MonitorTerminal:
    """feed() it what the user types; `send` gets what the user sees."""

    def __init__(self, context: Context, send: Callable[[bytes], None]):
        self._monitor, self._send = HumanMonitor(context), send
        self._line = bytearray()
        self._escape: bytearray | None = None
        self._history: list[bytes] = []
        self._position = 0

    def greet(self) -> None:
        """Say hello to a user who has just arrived."""
        self._show(GREETING + PROMPT)

    def feed(self, data: bytes) -> None:
        """Handle typed bytes."""
        for byte in data:
            if self._escape is not None:
                self._continue_escape(byte)
            elif byte in b"\r\n":
                self._enter()
            elif byte in (BACKSPACE, DELETE):
                self._erase(1)
            elif byte in (KILL_LINE, INTERRUPT):
                self._erase(len(self._line))
            elif byte == ESCAPE:
                self._escape = bytearray()
            elif byte >= 0x20 and len(self._line) < LINE_LIMIT:
                self._line.append(byte)
                self._send(bytes([byte]))

    def _show(self, text: str) -> None:
        self._send(text.replace("\n", "\r\n").encode())

    def _erase(self, count: int) -> None:
        count = min(count, len(self._line))
        if count:
            del self._line[-count:]
            self._send(b"\b \b" * count)

    def _continue_escape(self, byte: int) -> None:
        assert self._escape is not None
        self._escape.append(byte)
        if byte == ord("[") and len(self._escape) == 1:
            return
        if 0x40 <= byte < 0x7F or len(self._escape) > 8:
            sequence, self._escape = bytes(self._escape), None
            if sequence in (UP, DOWN):
                self._recall(-1 if sequence == UP else 1)

    def _recall(self, step: int) -> None:
        self._position = max(0, min(len(self._history), self._position + step))
        self._erase(len(self._line))
        self._line += self._history[self._position] if self._position < len(self._history) else b""
        self._send(bytes(self._line))

    def _enter(self) -> None:
        line = bytes(self._line)
        self._line.clear()
        if line.strip():
            self._history = (self._history + [line])[-HISTORY:]
        self._position = len(self._history)
        self._show("\n" + self._monitor.execute(line.decode("utf-8", "replace")) + PROMPT)
