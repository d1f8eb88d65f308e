"""One terminal for several users of it: a serial console and a monitor behind mon:stdio.

Ctrl-A is the escape key: c switches, x ends the emulator, b sends a break, h lists these, Ctrl-A sends itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

ESCAPE = 0x01  # Ctrl-A
HELP = ("\n\rC-a h    print this help\n\rC-a x    exit emulator\n\rC-a b    send break\n\r"
        "C-a c    switch between console and monitor\n\rC-a C-a  sends C-a\n\r")  # fmt: skip


@dataclass
class Frontend:
    """A user of the terminal.  `receive` gets input while it has the focus; it may return work, as a transport's does."""

    receive: Callable[[bytes], Iterator[bool] | None]
    focused: Callable[[], None] = lambda: None
    send_break: Callable[[], None] = lambda: None


@dataclass
class Mux:
    """Distributes input by focus and passes all output on to `send`."""

    send: Callable[[bytes], None]
    quit: Callable[[], None]
    frontends: list[Frontend] = field(default_factory=list)
    focus: int = 0
    _escaped: bool = False

    def add(self, frontend: Frontend) -> None:
        """The first one added has the focus."""
        self.frontends.append(frontend)

    def feed(self, data: bytes) -> None:
        """Input from the terminal."""
        for _ in self.work(data):
            pass

    def work(self, data: bytes) -> Iterator[bool]:
        """The same, in steps of its receivers."""
        plain = bytearray()
        for byte in data:
            if self._escaped:
                self._escaped = False
                if byte == ESCAPE:
                    plain.append(byte)
                    continue
                yield from self._deliver(plain)
                self._command(byte)
            elif byte == ESCAPE:
                self._escaped = True
            else:
                plain.append(byte)
        yield from self._deliver(plain)

    def _deliver(self, plain: bytearray) -> Iterator[bool]:
        data = bytes(plain)
        plain.clear()
        if data and self.frontends:
            yield from self.frontends[self.focus].receive(data) or ()

    def _command(self, byte: int) -> None:
        if byte in b"xX":
            self.send(b"QEMU: Terminated\n\r")
            self.quit()
        elif byte in b"cC" and self.frontends:
            self.focus = (self.focus + 1) % len(self.frontends)
            self.frontends[self.focus].focused()
        elif byte in b"bB" and self.frontends:
            self.frontends[self.focus].send_break()
        elif byte in b"hH?":
            self.send(HELP.encode())
