"""Interrupt lines: one-bit signals from a device's output pin to whatever samples it.

A handler hears changes only.  Several outputs on one wire meet in `WiredOr`; one output to several inputs is `fan_out`.
"""

from __future__ import annotations

from collections.abc import Callable

from emu.snapshot import Stateful

Handler = Callable[[int], None]


def _unconnected(level: int) -> None:
    pass


class Irq(Stateful):
    """A line at level 0 or 1.  `handler(level)` runs on each change."""

    __slots__ = ("handler", "level")

    def __init__(self, handler: Handler = _unconnected) -> None:
        self.handler = handler
        self.level = 0

    def connect(self, handler: Handler) -> None:
        """Attach the receiving end, which is told at once if the line is already high."""
        self.handler = handler
        if self.level:
            handler(1)

    def set(self, level: int) -> None:
        level = 1 if level else 0
        if level != self.level:
            self.level = level
            self.handler(level)

    def raise_(self) -> None:
        self.set(1)

    def lower(self) -> None:
        self.set(0)

    def pulse(self) -> None:
        """One rising edge, the line ending low."""
        self.set(1)
        self.set(0)

    def save(self) -> int:
        return self.level

    def load(self, state: int) -> None:
        """The handler is not told: whatever it would change is state of its own."""
        self.level = state

    def __repr__(self) -> str:
        return f"<Irq {self.level}>"


class WiredOr:
    """Inputs that share one line, as PCI functions share INTA#: the output is high while any of them is."""

    def __init__(self, output: Irq) -> None:
        self.output = output
        self.inputs: list[Irq] = []

    def input(self) -> Irq:
        """A new line into the junction."""
        line = Irq(self._changed)
        self.inputs.append(line)
        return line

    def _changed(self, level: int) -> None:
        self.output.set(level or any(line.level for line in self.inputs))


def fan_out(*lines: Irq) -> Irq:
    """A line that drives all the given ones, in order."""

    def drive(level: int) -> None:
        for line in lines:
            line.set(level)

    return Irq(drive)
