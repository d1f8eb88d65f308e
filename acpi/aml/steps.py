"""What a run of AML does, one object a step; `str(step)` is a line of its trace.

[\\_SB.CPUS.CSCN] CSEL = Local0
[\\_SB.CPUS.CSCN] CSEL <- 3   (io 0xaf00 dword write 3)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .asl import headline
from .parser import Term
from .values import Node, described

SPACE_NAMES = {0: "memory", 1: "io", 2: "pci"}
SIZE_NAMES = {1: "byte", 2: "word", 4: "dword", 8: "qword"}


@dataclass(frozen=True, slots=True)
class Step:
    """`method` is the path of the method that runs, or of the scope that is loaded."""

    method: str

    @property
    def text(self) -> str:
        raise NotImplementedError

    def __str__(self) -> str:
        return f"[{self.method}] {self.text}"


@dataclass(frozen=True, slots=True)
class Statement(Step):
    """A statement is about to run."""

    term: Term

    @property
    def text(self) -> str:
        return headline(self.term)


@dataclass(frozen=True, slots=True)
class Access(Step):
    """A register has been read or written: `size` bytes at `address`; `value` is what the bus carried, `part` the field's."""

    field: str
    space: int
    address: int
    size: int
    write: bool
    value: int
    part: int

    @property
    def text(self) -> str:
        arrow, verb = ("<-", "write") if self.write else ("->", "read")
        space = SPACE_NAMES.get(self.space, f"space {self.space:#x}")
        bus = f"{space} {self.address:#x} {SIZE_NAMES[self.size]} {verb} {described(self.value)}"
        return f"{self.field} {arrow} {described(self.part)}   ({bus})"


@dataclass(frozen=True, slots=True)
class Notification(Step):
    """Notify ran: the operating system is told `value` about `node`."""

    node: Node
    value: int

    @property
    def text(self) -> str:
        return f"Notify {self.node}, {described(self.value)}"


@dataclass(frozen=True, slots=True)
class Slept(Step):
    """Virtual time has passed."""

    nanoseconds: int

    @property
    def text(self) -> str:
        return f"{self.nanoseconds / 1e6:g} ms pass"


@dataclass(frozen=True, slots=True)
class Waiting(Step):
    """A mutex or event is not free, and another run has to move."""

    what: str

    @property
    def text(self) -> str:
        return f"waits for {self.what}"


@dataclass(frozen=True, slots=True)
class DebugOutput(Step):
    """Something was stored to the Debug object."""

    value: Any

    @property
    def text(self) -> str:
        return f"Debug: {described(self.value)}"
