"""Properties of CPU hot-plug under any interleaving of the machine, the guest's AML, resets and snapshots."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from acpi.aml import SystemIO
from acpi.platform import ICH9, PIIX4
from acpi.pm import SCI_SOURCES
from tests.acpi.boards import Board

SLOTS = 5
DEVICE_CHECK, EJECT_REQUEST = 1, 3
CPU_GPE = 1 << 2
CPU = "\\_SB.CPUS.C{:03X}"


class SnapshotPorts:
    """The guest's ports; every access may be preceded by a move of all state to a fresh board."""

    def __init__(self, machine: HotplugMachine) -> None:
        self.machine = machine

    def read(self, addr: int, size: int) -> int:
        self.machine.maybe_snapshot()
        return self.machine.board.io.read(addr, size)

    def write(self, addr: int, size: int, value: int) -> None:
        self.machine.maybe_snapshot()
        self.machine.board.io.write(addr, size, value)


class HotplugMachine(RuleBasedStateMachine):
    """The model: which slots are filled, and what the guest was told and has not been told yet."""

    @initialize(chipset=st.sampled_from([PIIX4, ICH9]), snapshots=st.lists(st.booleans(), max_size=40))
    def power_on(self, chipset, snapshots):
        self.chipset = chipset
        self.snapshots = snapshots
        self.board = self.fresh_board()
        self.guest = self.board.ospm()
        self.guest.spaces[SystemIO] = SnapshotPorts(self)
        self.filled = {0}
        self.inserts: set[int] = set()
        self.removes: set[int] = set()

    def fresh_board(self) -> Board:
        return Board(self.chipset, list(range(SLOTS)))

    def maybe_snapshot(self) -> None:
        if self.snapshots and self.snapshots.pop():
            self.snapshot()

    # ------------------------------------------------------------ machine

    @precondition(lambda self: len(self.filled) < SLOTS)
    @rule(data=st.data(), hotplugged=st.booleans())
    def plug(self, data, hotplugged):
        slot = data.draw(st.sampled_from(sorted(set(range(SLOTS)) - self.filled)))
        self.board.window.plugged(slot, hotplugged)
        self.filled.add(slot)
        if hotplugged:
            self.inserts.add(slot)

    @precondition(lambda self: len(self.filled) > 1)
    @rule(data=st.data())
    def request_unplug(self, data):
        slot = data.draw(st.sampled_from(sorted(self.filled - {0})))
        self.board.window.unplug_requested(slot)
        self.removes.add(slot)

    @rule()
    def reset(self):
        self.board.pm.reset()
        self.board.window.reset()

    @rule()
    def snapshot(self):
        before = self.board.save()
        restored = self.fresh_board()
        restored.load(before)
        assert restored.save() == before
        assert restored.sci.level == self.board.sci.level
        self.board = restored

    # ------------------------------------------------------------ guest

    @rule(on=st.booleans())
    def enable_event(self, on):
        self.board.io.write(self.board.gpe_enable_port, 1, CPU_GPE if on else 0)

    @rule()
    def acknowledge_event(self):
        self.board.io.write(self.board.gpe_status_port, 1, CPU_GPE)

    @rule()
    def scan(self):
        """One complete run of the event handler tells exactly what was not told before.

        A CPU that was plugged and asked to leave between two scans is announced first; the request follows with the
        next scan, which is why the handler runs until it has nothing to say.
        """
        told = []
        while True:
            self.guest.run("\\_GPE._E02")
            news = self.guest.take_notifications()
            if not news:
                break
            told += news
        assert sorted(told) == sorted(
            [(CPU.format(n), DEVICE_CHECK) for n in self.inserts] + [(CPU.format(n), EJECT_REQUEST) for n in self.removes]
        )
        self.inserts.clear()
        self.removes.clear()
        self.guest_sees_what_is_there()

    def guest_sees_what_is_there(self):
        seen = {n for n in range(SLOTS) if self.guest.run(CPU.format(n) + "._STA") == 0xF}
        assert seen == self.filled

    @precondition(lambda self: len(self.filled) > 1)
    @rule(data=st.data())
    def eject(self, data):
        slot = data.draw(st.sampled_from(sorted(self.filled - {0})))
        self.guest.run(CPU.format(slot) + "._EJ0", 1)
        assert not self.board.window.slots[slot].enabled
        self.filled.discard(slot)

    # ------------------------------------------------------------ what always holds

    @invariant()
    def no_unacknowledged_event_is_lost(self):
        slots = self.board.window.slots
        assert {s.index for s in slots if s.inserting} == self.inserts
        assert {s.index for s in slots if s.removing} == self.removes

    @invariant()
    def sci_follows_its_formula(self):
        pm = self.board.pm
        pm1 = pm.sts & pm.en & SCI_SOURCES
        gpe = self.board.io.read(self.board.gpe_status_port, 1) & self.board.io.read(self.board.gpe_enable_port, 1)
        assert self.board.sci.level == (1 if pm1 or gpe else 0)

    @invariant()
    def the_lock_is_free_between_methods(self):
        assert self.guest.held == []


HotplugMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestHotplug = HotplugMachine.TestCase
