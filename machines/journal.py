"""The log of a run's inputs from outside, from which the run can be repeated: text, one JSON object a line.

    {"format": "numachine replay", "version": 1, "machine": {...}, "insn": 0, "ns": 0, "ram": "...", "rtc": "..."}
    {"insn": 51200341, "ns": 66013377, "serial": 0, "data": "6e70726f630a"}
    {"insn": 90000000, "ns": 99000110, "qmp": "device_add", "arguments": {...}}
    {"insn": 90000000, "ns": 99000110, "hmp": "o /1 0x3f8 65"}
    {"insn": 95000000, "ns": 99812345, "end": "..."}

`insn` counts instructions of all CPUs and `ns` is the virtual time, for idle CPUs execute none.  "ram" is a digest of memory where
the log begins, "end" one of the whole machine where it ends.
Not here: what Python code does to a machine other than through its serial ports and monitors.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from machines import snapshot
from machines.memory import PAGE
from machines.snapshot_file import pages_in_use

if TYPE_CHECKING:
    from machines.pc import X86Pc

FORMAT, VERSION = "numachine replay", 1
SERIAL, QMP, HMP, END = "serial", "qmp", "hmp", "end"
HEADER = {"machine", "insn", "ns", "rtc", "ram"}
KINDS = (SERIAL, QMP, HMP, END)
DIGEST_SIZE = 16
Target = str | os.PathLike[str] | TextIO
HARMLESS_STATE = ("run-state",)


class ReplayError(ValueError):
    """A log that cannot be replayed, or not here; the text, one line, is for people."""


@dataclass(frozen=True)
class Input:
    """One input.  `kind` is one of KINDS; `what` the port, the command, the line or the digest; `more` data or arguments."""

    insn: int
    ns: int
    kind: str
    what: Any
    more: Any = None

    def line(self) -> str:
        fields = {"insn": self.insn, "ns": self.ns, self.kind: self.what}
        if self.more is not None:
            fields["data" if self.kind == SERIAL else "arguments"] = self.more
        return json.dumps(fields)

    @classmethod
    def parse(cls, fields: dict[str, Any]) -> Input:
        """Raises KeyError, TypeError or ValueError."""
        kind = next(kind for kind in KINDS if kind in fields)
        made = cls(int(fields["insn"]), int(fields["ns"]), kind, fields[kind], fields.get("data", fields.get("arguments")))
        if kind == SERIAL:
            bytes.fromhex(made.more)
        return made


# --- what a log is of
def header(vm: X86Pc) -> dict[str, Any]:
    """The first line of a log that begins now."""
    return {"format": FORMAT, "version": VERSION, "machine": snapshot.configuration(vm), "insn": vm.instructions,
            "ns": vm.clock.now, "rtc": vm.config.rtc.isoformat(), "ram": ram_digest(vm.engine.ram)}  # fmt: skip


def ram_digest(ram: np.ndarray) -> str:
    used = pages_in_use(ram)
    digest = blake2b(np.packbits(used).tobytes(), digest_size=DIGEST_SIZE)
    pages = ram.reshape(-1, PAGE)
    for number in np.flatnonzero(used):
        digest.update(pages[number])
    return digest.hexdigest()


def fingerprint(vm: X86Pc) -> str:
    """A digest of everything that a guest could know; not of input that it has not got yet."""
    waiting = [(uart.chardev, bytes(uart.chardev.pending)) for uart in vm.uarts]
    for chardev, _ in waiting:
        chardev.pending.clear()
    state = {name: part for name, part in snapshot.capture(vm).items() if name not in HARMLESS_STATE}
    for chardev, pending in waiting:
        chardev.pending[:] = pending
    text = json.dumps(state, default=bytes.hex, sort_keys=True)
    return blake2b((text + ram_digest(vm.engine.ram)).encode(), digest_size=DIGEST_SIZE).hexdigest()


# --- writing and reading
def begin(target: Target, first: dict[str, Any]) -> None:
    """Write a log's first line.  Raises OSError."""
    _write(target, "w", [json.dumps(first)])


def append(target: Target, inputs: Iterable[Input]) -> None:
    """Write the rest.  Raises OSError."""
    _write(target, "a", [each.line() for each in inputs])


def _write(target: Target, mode: str, lines: list[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    if isinstance(target, (str, os.PathLike)):
        with open(target, mode, encoding="utf-8") as file:
            file.write(text)
    else:
        target.write(text)
        target.flush()


def read(source: Target) -> tuple[dict[str, Any], list[Input]]:
    """Header and inputs of a log.  Raises ReplayError for what is none or is damaged, OSError."""
    if isinstance(source, (str, os.PathLike)):
        with open(source, encoding="utf-8", errors="replace") as file:
            return parse(file, str(source))
    return parse(source, getattr(source, "name", "the log"))


def parse(lines: Iterable[str], name: str) -> tuple[dict[str, Any], list[Input]]:
    rows = [_fields(line, number, name) for number, line in enumerate(lines, 1)]
    if not rows or rows[0].get("format") != FORMAT:
        raise ReplayError(f"{name} is no log of a recorded run: its first line is not that of '{FORMAT}'")
    if rows[0].get("version") != VERSION:
        raise ReplayError(f"{name} has version {rows[0].get('version')} of the format, this numachine reads version {VERSION}")
    if missing := HEADER - rows[0].keys():
        raise ReplayError(f"{name}, line 1: {', '.join(sorted(missing))} is missing; the log is damaged")
    inputs: list[Input] = []
    for number, row in enumerate(rows[1:], 2):
        try:
            inputs.append(Input.parse(row))
        except (KeyError, TypeError, ValueError, StopIteration):
            raise ReplayError(f"{name}, line {number}: this is no input; there are {', '.join(KINDS)}") from None
    places = [(each.insn, each.ns) for each in inputs]
    if places != sorted(places):
        raise ReplayError(f"{name}: its inputs are not in the order in which they happened; somebody has changed it")
    if not inputs or inputs[-1].kind != END:
        raise ReplayError(f"{name} is cut short: it ends without an 'end' line, after {len(inputs)} inputs")
    return rows[0], inputs


def _fields(line: str, number: int, name: str) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        if number == 1:
            raise ReplayError(f"{name} is no log of a recorded run: its first line is not that of '{FORMAT}'")
        raise ReplayError(f"{name}, line {number}: this is no JSON object; the log is damaged or cut short")
    return fields


def check_header(vm: X86Pc, theirs: dict[str, Any]) -> None:
    """Whether `vm` is where the log begins.  Raises ReplayError with what differs."""
    mine = header(vm)
    for name, value in mine["machine"].items():
        if theirs.get("machine", {}).get(name) != value:
            raise ReplayError(f"the log is of a machine with {name} {theirs.get('machine', {}).get(name)}, this one has {value}")
    for name, what in (("insn", "begins after {} instructions, this machine has executed {}"),
                       ("ns", "begins at {} ns of virtual time, this machine is at {}"),
                       ("rtc", "begins with the clock at {}, this machine's is at {}: use the same -rtc base="),
                       ("ram", "begins with other memory (digest {}, here {}): use the same kernel, initrd, command line and firmware")):
        if theirs.get(name) != mine[name]:
            raise ReplayError(f"the log {what.format(theirs.get(name), mine[name])}")
