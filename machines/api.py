"""What Python programs use of a running machine: serial port, QMP, human monitor, CPUs, breakpoints, waiting.

Every wait is in virtual time, so a result does not depend on the host's speed: one instruction is one nanosecond.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from emu import qmp
from emu.chardev import BufferChardev
from emu.qmp.errors import of_object
from emu.qmp.machine_api import Context
from emu.qmp.run_state import RunState
from emu.qom import ObjectError
from machines.cpu_view import CpuView

if TYPE_CHECKING:
    from machines.machine import Machine

NS = {"insns": 1, "insn": 1, "instructions": 1, "ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
DEFAULT_WITHIN = 20 * NS["s"]
LOOK_NS = NS["ms"]  # how often a condition is looked at
TAIL_LINES = 12
KEPT_EVENTS = 10_000
FOREVER = 1 << 62  # ns


class GuestError(Exception):
    """The guest did not do what was waited for; the text has its last output and where its CPUs are."""


class Timeout(GuestError):
    """Not within the given virtual time."""


class GuestStopped(GuestError):
    """It stopped, or the machine ended, before."""


def nanoseconds(within: str | int | float | None) -> int:
    """Virtual time from "5e9 insns", "2.5 s", "100 ms" or a number of ns.  Raises ValueError."""
    if within is None:
        return DEFAULT_WITHIN
    if isinstance(within, (int, float)):
        return int(within)
    number, _, unit = within.strip().partition(" ")
    if unit.strip() not in NS:
        raise ValueError(f"'{within}' is no time; write for instance '5e9 insns', '2 s' or '100 ms'")
    return int(float(number) * NS[unit.strip()])


def run_until(machine: Machine, condition: Callable[[], bool], within: str | int | None, what: str, *,
              or_stop: bool = False) -> None:  # fmt: skip
    """Run until `condition()` holds.  `or_stop`: or until the machine stops.  Raises Timeout, GuestStopped."""
    limited = within is not None or not or_stop
    end = machine.clock.now + nanoseconds(within)
    while not condition():
        if not machine.running:
            if or_stop:
                return
            raise GuestStopped(f"the guest {_state(machine)} before {what} came\n{describe(machine)}")
        if limited and machine.clock.now >= end:
            raise Timeout(f"{what} did not come within {nanoseconds(within) / NS['s']:g} s of virtual time\n{describe(machine)}")
        step = machine.clock.now + LOOK_NS
        machine.run_slice(min(step, end) if limited else step)


def _state(machine: Machine) -> str:
    control = machine.run_control
    return "ended" if control.exit_code is not None else f"stopped ({control.state.value})"


def describe(machine: Machine) -> str:
    """The end of the serial output and where every CPU is."""
    serial: Serial | None = getattr(machine, "_serial", None)
    tail = serial.text.splitlines()[-TAIL_LINES:] if serial else []
    shown = [f"  | {line}" for line in tail] or ["  (nothing)"]
    return "\n".join(["serial output ends with:", *shown, *(f"{cpu!r}" for cpu in machine.cpus.values())])


class Serial:
    """A serial port of the guest, as a terminal that a program reads and types on."""

    def __init__(self, machine: Machine, chardev: BufferChardev) -> None:
        self._machine, self._chardev = machine, chardev
        self.seen = 0

    @property
    def text(self) -> str:
        """All output so far."""
        return self._chardev.text

    def send(self, text: str) -> Serial:
        """Type: the guest gets it while it runs.  Returns itself, so that expect() may follow."""
        self._chardev.feed(text.encode())
        return self

    def expect(self, pattern: str | re.Pattern[str], within: str | int | None = None) -> re.Match[str]:
        """Run until `pattern` (plain text, or a compiled regular expression) comes in output that no earlier expect() has
        matched.  Raises Timeout, GuestStopped."""
        compiled = re.compile(re.escape(pattern)) if isinstance(pattern, str) else pattern
        found: list[re.Match[str]] = []

        def look() -> bool:
            text = self._chardev.output[self.seen :].decode("latin-1")
            match = compiled.search(text)
            found.extend([match] if match else [])
            return bool(match)

        run_until(self._machine, look, within, f"{compiled.pattern if compiled is pattern else pattern!r} on the serial port")
        self.seen += found[0].end()
        return found[0]


def _keep(kept: list[dict[str, Any]], message: dict[str, Any]) -> None:
    kept.append(message)
    del kept[:-KEPT_EVENTS]


class Qmp:
    """QMP commands as methods: qmp.query_status(), qmp.device_add(driver=..., core_id=1); errors raise emu.qmp.QmpError."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.events: list[dict[str, Any]] = []  # all so far, or the last KEPT_EVENTS
        self.log: list[dict[str, Any]] = []  # commands, answers and events, as on the wire; as many
        self._waiting: list[dict[str, Any]] = []  # events that no wait() has returned
        machine.events.subscribe(self._note)

    def _note(self, event: dict[str, Any]) -> None:
        for kept in (self.events, self.log, self._waiting):
            _keep(kept, event)

    def execute(self, command: str, **arguments: Any) -> Any:
        """Run a command by its QMP name; underscores in arguments stand for dashes."""
        _keep(self.log, {"execute": command, "arguments": arguments} if arguments else {"execute": command})
        try:
            answer = qmp.call(self._machine.context, command, **arguments)
        except (qmp.QmpError, ObjectError) as error:
            told = error if isinstance(error, qmp.QmpError) else of_object(error)
            _keep(self.log, {"error": told.to_json()})
            raise told from None
        _keep(self.log, {"return": {} if answer is None else answer})
        return answer

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        command = name if name in qmp.COMMANDS else name.rstrip("_").replace("_", "-")
        if command not in qmp.COMMANDS:
            raise AttributeError(f"there is no QMP command '{command}'")
        return lambda **arguments: self.execute(command, **arguments)

    def wait(self, name: str, within: str | int | None = None, **data: Any) -> dict[str, Any]:
        """Run until the event comes, with these members of its data or its info if given; what came before it is skipped.

        Raises Timeout, GuestStopped."""

        def wanted(event: dict[str, Any]) -> bool:
            members = event.get("data", {})
            return event["event"] == name and all({**members.get("info", {}), **members}.get(key) == value for key, value in data.items())

        run_until(self._machine, lambda: any(map(wanted, self._waiting)), within, f"event {name}")
        position = next(number for number, event in enumerate(self._waiting) if wanted(event))
        event = self._waiting[position]
        del self._waiting[: position + 1]
        return event


class Hmp:
    """The human monitor: hmp("info cpus") returns its text."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._monitor: Any = None

    def __call__(self, line: str) -> str:
        from emu.hmp import HumanMonitor

        self._monitor = self._monitor or HumanMonitor(self._context)
        return self._monitor.execute(line)


class Cpus(Mapping[int, CpuView]):
    """Present CPUs by slot number."""

    def __init__(self, machine: Any) -> None:
        self._machine = machine

    def __getitem__(self, index: int) -> CpuView:
        return CpuView(self._machine, index)

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._machine.vcpus))

    def __len__(self) -> int:
        return len(self._machine.vcpus)


class BreakPoint:
    """One address at which the machine stops."""

    def __init__(self, owner: BreakPoints, address: int) -> None:
        self._owner, self.address = owner, address

    def remove(self) -> None:
        """No longer stop here."""
        self._owner.remove(self)


class BreakPoints:
    """All breakpoints of a machine.  While there are any, every instruction is a block of its own: exact, and some ten times
    slower."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._points: list[BreakPoint] = []
        self.met: CpuView | None = None

    def add(self, address: int) -> BreakPoint:
        point = BreakPoint(self, address)
        self._points.append(point)
        self._changed()
        return point

    def remove(self, point: BreakPoint) -> None:
        self._points.remove(point)
        self._changed()

    def _changed(self) -> None:
        self._machine.engine.set_breakpoints([point.address for point in self._points])

    def reached(self, index: int) -> None:
        """CPU `index` is about to execute an instruction at a breakpoint."""
        self.met = CpuView(self._machine, index)  # type: ignore[arg-type]
        self._machine.run_control.stop(RunState.DEBUG)
        self._machine.scheduler.stop()
