"""The hot-plug hardware and its guest as a state machine: whatever happens in whatever order, four properties hold.

(a) An event is pending until the guest clears it, which it does only after having told its OS; neither reset nor snapshot loses one.
(b) The SCI is high exactly while an event is both due and enabled; the Generic Event Device pulses once an event.
(c) After complete scans the guest sees the CPUs that are there.
(d) A snapshot between any two AML steps changes nothing of this.

The machine plugs, asks, resets and moves to fresh boards while the guest's AML runs one step at a time, methods side by
side.  The model knows what was done to the board and what the AML wrote, and nothing of how the board works.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from acpi.aml.evaluator import Evaluator, Run
from acpi.aml.objects import RegionSpace
from acpi.aml.steps import Access, Notification, Step, Waiting
from acpi.cpu_hotplug import Command, Slot
from acpi.platform import ICH9, PIIX4
from acpi.pm import SCI_SOURCES
from tests.acpi.boards import CPU_GPE, PM1_ENABLE, PM1_STATUS, Board, GedBoard

SLOTS = 5
DEVICE_CHECK, EJECT_REQUEST = 1, 3
ENABLED_AND_PRESENT = 0xF
MAX_RUNS = 2
BOARDS: dict[str, Callable[[], Any]] = {
    "piix4": lambda: Board(PIIX4, range(SLOTS)),
    "ich9": lambda: Board(ICH9, range(SLOTS)),
    "ged": lambda: GedBoard(range(SLOTS)),
}
some = st.integers(0, 7)


def cpu(slot: int) -> str:
    return f"\\_SB.CPUS.C{slot:03X}"


def through_json(state: Any) -> Any:
    """As if the snapshot had been in a file."""
    text = json.dumps(state, default=lambda data: {"base64": base64.b64encode(data).decode()})
    return json.loads(text, object_hook=lambda d: base64.b64decode(d["base64"]) if d.keys() == {"base64"} else d)


class Model:
    """What must be pending, by what went over the bus."""

    def __init__(self) -> None:
        self.filled = {0}
        self.pending: set[tuple[int, int]] = set()
        self.told: set[tuple[int, int]] = set()
        self.event_due = False
        self.selected = self.command = 0
        self.ost_event = [0] * SLOTS
        self.osts: list[tuple[int, int, int]] = []

    def plugged(self, slot: int, known: bool) -> None:
        """`known`: no insert event, as in legacy mode."""
        self.filled.add(slot)
        self.event_due = True
        if not known:
            self.pending.add((slot, DEVICE_CHECK))

    def asked(self, slot: int) -> None:
        self.pending.add((slot, EJECT_REQUEST))
        self.event_due = True

    def observe(self, step: Step) -> None:
        """What the guest's step means for the model."""
        if isinstance(step, Notification):
            self.told.add((int(str(step.node)[-3:], 16), step.value))
        elif isinstance(step, Access):
            field = f"{'write' if step.write else 'read'}_{step.field}"
            getattr(self, field, lambda value: None)(step.value)

    def write_CSEL(self, value: int) -> None:
        self.selected = value

    def write_CCMD(self, value: int) -> None:
        self.command = value

    def read_CDAT(self, value: int) -> None:
        assert self.command == Command.NEXT_EVENT
        self.selected = value

    def write_CDAT(self, value: int) -> None:
        if self.command == Command.OST_EVENT:
            self.ost_event[self.selected] = value
        else:
            self.osts.append((self.selected, self.ost_event[self.selected], value))

    def write_CINS(self, value: int) -> None:
        self._cleared(DEVICE_CHECK)

    def write_CRMV(self, value: int) -> None:
        self._cleared(EJECT_REQUEST)

    def _cleared(self, kind: int) -> None:
        event = (self.selected, kind)
        assert event in self.told, f"the guest cleared {event}, of which its OS was not told"
        self.told.discard(event)
        self.pending.discard(event)

    def write_CEJ0(self, value: int) -> None:
        if self.selected:
            self.filled.discard(self.selected)

    def read_ESEL(self, value: int) -> None:
        self.event_due = False

    def rebooted(self) -> None:
        """An OS that starts anew was told nothing."""
        self.told.clear()


class HotplugMachine(RuleBasedStateMachine):
    steps = 0
    """How often the invariants have been checked, in all."""

    @initialize(kind=st.sampled_from(sorted(BOARDS)), early=st.sets(st.integers(1, SLOTS - 1), max_size=2))
    def power_on(self, kind: str, early: set[int]) -> None:
        """Some CPUs may be plugged before the OS, and with it the modern registers, come up."""
        self.make, self.ports = BOARDS[kind], kind != "ged"
        self.board, self.model = self.make(), Model()
        self.pulses = 0
        for slot in sorted(early):
            self.plug_into(slot)
        self.boot()

    def boot(self) -> None:
        self.os: Evaluator = self.board.ospm()
        self.runs: list[Run] = []
        if self.ports:
            self.model.selected = 0  # _INI

    @property
    def slots(self) -> list[Slot]:
        return self.board.block.slots

    # ------------------------------------------------------------ the machine's side

    def plug_into(self, slot: int) -> None:
        self.model.plugged(slot, known=self.ports and self.board.window.legacy)
        self.pulses += 1
        self.board.plug(slot)

    @precondition(lambda self: len(self.model.filled) < SLOTS)
    @rule(n=some)
    def plug(self, n: int) -> None:
        free = sorted(set(range(SLOTS)) - self.model.filled)
        self.plug_into(free[n % len(free)])

    @precondition(lambda self: len(self.model.filled) > 1)
    @rule(n=some)
    def request_unplug(self, n: int) -> None:
        slot = sorted(self.model.filled)[1:][n % (len(self.model.filled) - 1)]
        self.model.asked(slot)
        self.pulses += 1
        self.board.request_unplug(slot)

    @rule()
    def reset(self) -> None:
        self.board.reset()
        self.model.rebooted()
        if self.ports:
            self.model.event_due = False
        self.boot()

    @rule()
    def snapshot(self) -> None:
        self.move()

    def move(self) -> None:
        """The guest goes on where it was, on a fresh board."""
        before = self.board.save()
        restored = self.make()
        restored.load(through_json(before))
        assert restored.save() == before
        restored.osts, restored.ejected = self.board.osts, self.board.ejected
        self.pulses = 0
        self.board = restored
        self.os.spaces[RegionSpace.SystemIO if self.ports else RegionSpace.SystemMemory] = restored.io

    # ------------------------------------------------------------ the guest's side

    def start(self, path: str, *args: Any) -> None:
        if len(self.runs) < MAX_RUNS:
            self.runs.append(self.os.steps(path, *args))

    @rule()
    def start_scan(self) -> None:
        self.start(self.board.handler, *self.board.handler_arguments)

    @rule(slot=st.integers(1, SLOTS - 1))
    def start_eject(self, slot: int) -> None:
        self.start(f"{cpu(slot)}._EJ0", 1)

    @rule(slot=st.integers(0, SLOTS - 1), event=st.sampled_from([1, 3, 0x103]), status=st.sampled_from([0, 1, 0x84]))
    def start_report(self, slot: int, event: int, status: int) -> None:
        self.start(f"{cpu(slot)}._OST", event, status, b"")

    @precondition(lambda self: self.runs)
    @rule(n=some, steps=st.sampled_from([3, 2, 1, 5, 7, 60]), moving=st.sampled_from([False, False, False, True]))
    def run_aml(self, n: int, steps: int, moving: bool) -> None:
        """A few steps of one of the methods that are running; `moving` takes a snapshot after each."""
        run = self.runs[n % len(self.runs)]
        for _ in range(steps):
            step = next(run, None)
            if step is None:
                self.runs.remove(run)
            if step is None or isinstance(step, Waiting):
                break
            self.model.observe(step)
            if moving:
                self.move()

    @precondition(lambda self: self.ports)
    @rule(on=st.booleans())
    def enable_event(self, on: bool) -> None:
        self.board.enable_gpe(CPU_GPE if on else 0)

    @precondition(lambda self: self.ports)
    @rule()
    def acknowledge_event(self) -> None:
        self.board.acknowledge_gpe()
        self.model.event_due = False

    @precondition(lambda self: not self.runs)
    @rule()
    def scan_completely(self) -> None:
        """The event handler until it has nothing to say: then everything was told, and the view is right."""
        pending, told = set(self.model.pending), set()
        self.os.take_notifications()
        while not pending <= told:
            news = self.complete("\\_SB.CPUS.CSCN")
            assert news, f"the scan says nothing of {pending - told}"
            told |= news
        assert self.complete("\\_SB.CPUS.CSCN") == set()
        assert self.model.pending == set()
        seen = {slot for slot in range(SLOTS) if self.os.run(f"{cpu(slot)}._STA") == ENABLED_AND_PRESENT}
        self.model.selected = SLOTS - 1
        assert seen == self.model.filled

    def complete(self, path: str) -> set[tuple[int, int]]:
        for step in self.os.steps(path):
            self.model.observe(step)
        return {(int(name[-3:], 16), value) for name, value in self.os.take_notifications()}

    # ------------------------------------------------------------ what always holds

    @invariant()
    def exactly_the_pending_events_are_pending(self) -> None:
        inserts = {(slot.index, DEVICE_CHECK) for slot in self.slots if slot.inserting}
        removes = {(slot.index, EJECT_REQUEST) for slot in self.slots if slot.removing}
        assert inserts | removes == self.model.pending

    @invariant()
    def exactly_the_cpus_that_are_there_are_enabled(self) -> None:
        assert {slot.index for slot in self.slots if slot.enabled} == self.model.filled

    @invariant()
    def the_interrupt_follows_its_rule(self) -> None:
        if not self.ports:
            assert bool(self.board.ged.selector) == self.model.event_due
            assert self.board.interrupts == self.pulses
            return
        read = self.board.io.read
        pm1 = read(PM1_STATUS, 2) & read(PM1_ENABLE, 2) & SCI_SOURCES
        gpe = self.board.gpe_status & self.board.gpe_enable
        assert self.board.sci.level == int(bool(pm1 or gpe))
        assert bool(self.board.gpe_status & CPU_GPE) == self.model.event_due

    @invariant()
    def reports_arrive_once_and_in_order(self) -> None:
        assert self.board.osts == self.model.osts

    @invariant()
    def count(self) -> None:
        HotplugMachine.steps += 1
