"""`numachine demo`: boot the embedded guest, plug a CPU, unplug it again, and print the handshake as a timeline.

Every row is an access to the hot-plug registers, a line the guest printed or an event of the monitor, with its virtual
time.  The exit status is 0 only when the guest confirmed that the plugged CPU computed what it should.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from acpi import trace
from acpi.ost import source_name, status_name
from emu.clock import NS_PER_MS
from machines.api import GuestError
from machines.guests import hotplug
from machines.pc_piix import Pc

WITHIN = "2 s"  # virtual time for each answer of the guest


@dataclass(frozen=True)
class Row:
    """`time` in nanoseconds of virtual time."""

    time: int
    who: str
    what: str
    value: str
    meaning: str


COLUMNS = {"ms": 7, "": 9, " ": 15, "value": 6, "meaning": 30}  # least widths
STYLES = {"user": "bold green", "guest": "cyan", "event": "magenta", "registers": ""}


class Timeline:
    """Collects rows from everything that can be watched."""

    def __init__(self, vm: Pc) -> None:
        self.vm = vm
        self.rows: list[Row] = []
        self._line = bytearray()
        vm.events.subscribe(self._event)
        vm.config.serial[0].tap = self._printed
        trace.attach(vm.hotplug, vm.clock, self._access)

    def add(self, who: str, what: str, value: str = "", meaning: str = "") -> None:
        self.rows.append(Row(self.vm.clock.now, who, what, value, meaning))

    def _access(self, access: trace.Access) -> None:
        direction = "write" if access.write else "read"
        self.add("registers", f"{direction} {access.register}", f"{access.value:#x}", access.meaning)

    def _event(self, event: dict[str, Any]) -> None:
        self.add("event", event["event"], "", _event_meaning(event.get("data", {})))

    def _printed(self, data: bytes) -> None:
        self._line += data
        while b"\n" in self._line:
            line, _, rest = bytes(self._line).partition(b"\n")
            self._line[:] = rest
            self.add("guest", "prints", "", line.decode("latin-1").strip())

    def since(self, start: int) -> list[Row]:
        return self.rows[start:]


def _event_meaning(data: dict[str, Any]) -> str:
    if "info" in data:
        info = data["info"]
        return f"slot {info['slot']}: {source_name(info['source'])}, {status_name(info['source'], info['status'])}"
    return ", ".join(str(value) for value in data.values())


def table(title: str, rows: Sequence[Row]) -> Table:
    """Rows for people: time in milliseconds of virtual time."""
    shown = Table(title=title, title_justify="left", title_style="bold", box=None, header_style="dim", pad_edge=False)
    for name, width in COLUMNS.items():
        shown.add_column(name.strip(), justify="right" if name in ("ms", "value") else "left", min_width=width)
    for row in rows:
        shown.add_row(f"{row.time / NS_PER_MS:.3f}", row.who, row.what, row.value, row.meaning, style=STYLES[row.who])
    return shown


def plug(vm: Pc, timeline: Timeline, slot: int) -> None:
    """device_add, and the guest's word that the CPU works.  Raises GuestError."""
    entry = next(each for each in vm.qmp.query_hotpluggable_cpus() if each["props"]["core-id"] == slot)
    timeline.add("user", "device_add", f"cpu{slot}", ", ".join(f"{k}={v}" for k, v in entry["props"].items()))
    vm.qmp.device_add(driver=entry["type"], id=f"cpu{slot}", **entry["props"])
    vm.serial.expect(hotplug.online_line(slot).strip(), within=WITHIN)
    vm.qmp.wait("ACPI_DEVICE_OST", within=WITHIN, slot=str(slot), source=1, status=0)


def unplug(vm: Pc, timeline: Timeline, slot: int) -> None:
    """device_del, and the guest's eject.  Raises GuestError."""
    timeline.add("user", "device_del", f"cpu{slot}", "asks the guest to let the CPU go")
    vm.qmp.device_del(id=f"cpu{slot}")
    vm.qmp.wait("DEVICE_DELETED", within=WITHIN, device=f"cpu{slot}")
    vm.serial.expect(f"cpu {slot} ejected", within=WITHIN)


@contextmanager
def step(console: Console, timeline: Timeline, title: str) -> Iterator[None]:
    """Print what the timeline got meanwhile, also when the step fails."""
    start = len(timeline.rows)
    try:
        yield
    finally:
        console.print(table(title, timeline.since(start)))
        console.print()


def run(console: Console, cpus: int) -> None:
    """The whole demonstration.  Raises GuestError when the guest does not play its part."""
    started = time.monotonic()
    with Pc(smp=f"1,maxcpus={cpus + 1}", memory="64M", kernel=hotplug.image()) as vm:
        timeline = Timeline(vm)
        with step(console, timeline, "Boot"):
            vm.serial.expect("ready", within=WITHIN)
        for action, name in ((plug, "Plug"), (unplug, "Unplug")):
            for slot in range(1, cpus + 1):
                with step(console, timeline, f"{name} CPU {slot}"):
                    action(vm, timeline, slot)
        end = vm.clock.now
    console.print(f"The guest confirmed {cpus} plugged and {cpus} unplugged CPU{'s' * (cpus > 1)}.  "
                  f"{end / NS_PER_MS:.1f} ms of virtual time, {time.monotonic() - started:.1f} s of yours.",
                  style="bold", highlight=False)  # fmt: skip


def main(arguments: Sequence[str], make_console: Callable[[], Console] = Console) -> int:
    """Returns the exit status: 0 when the guest confirmed every step."""
    parser = argparse.ArgumentParser(prog="numachine demo", description="Plug CPUs into a running guest and take them out again.")
    parser.add_argument("--cpus", type=int, default=1, metavar="N", help="how many CPUs to plug, 1 to 254 (default: 1)")
    options = parser.parse_args(list(arguments))
    if not 1 <= options.cpus <= 254:
        parser.error("--cpus takes 1 to 254")
    try:
        run(make_console(), options.cpus)
    except GuestError as error:
        print(f"numachine demo: the guest failed: {error}", file=sys.stderr)
        return 1
    return 0
