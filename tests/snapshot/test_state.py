"""The declaration of state: what `saved` names is saved as plain data, and comes back in place."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import IntEnum

import pytest

from emu.clock import ManualClock
from emu.device import Device, Reg
from emu.irq import Irq
from emu.snapshot import SnapshotError, Stateful, check_alike, to_plain


class Colour(IntEnum):
    RED, GREEN = 0, 1


@dataclass
class Channel:
    count: int = 0
    latched: list[int] = field(default_factory=list)


class Part(Stateful):
    saved = ("number", "colour", "pair", "bytes", "queue", "channels", "table", "line", "timer")

    def __init__(self, clock):
        self.number, self.colour, self.pair = None, Colour.RED, ()
        self.bytes, self.queue, self.channels, self.table = bytearray(2), [], [Channel(), Channel()], {}
        self.told, self.fired = [], []
        self.line, self.timer = Irq(self.told.append), clock.timer(lambda: self.fired.append(clock.now))
        self.follow_ups = 0

    def loaded(self):
        self.follow_ups += 1


class Grown(Part):
    saved = ("inner",)

    def __init__(self, clock):
        super().__init__(clock)
        self.inner = Part(clock)


class Chip(Device):
    name = "test-chip"
    control = Reg(0, 1)
    status = Reg(1, 1)
    saved = ("hidden",)

    @status.write
    def _(self, value):
        self.status &= ~value

    def __init__(self):
        self.hidden = 0


@pytest.fixture
def clock():
    return ManualClock(now=100)


@pytest.fixture
def used(clock):
    part = Grown(clock)
    part.number, part.colour, part.pair, part.bytes[1] = 1 << 200, Colour.GREEN, (7, True), 9
    part.queue += [1, 2, 3]
    part.channels[1].count, part.channels[1].latched = 5, [8, 9]
    part.table[4] = 44
    part.inner.number = 6
    part.line.raise_()
    part.timer.rearm(150)
    return part


def test_everything_that_is_named_comes_back(used, clock):
    fresh = Grown(clock)
    fresh.load(used.save())
    assert (fresh.number, fresh.colour, fresh.pair, fresh.bytes) == (1 << 200, Colour.GREEN, (7, True), bytearray(b"\0\x09"))
    assert (fresh.queue, fresh.channels, fresh.table) == ([1, 2, 3], [Channel(), Channel(5, [8, 9])], {4: 44})
    assert isinstance(fresh.colour, Colour) and isinstance(fresh.pair, tuple) and fresh.inner.number == 6


def test_objects_that_others_refer_to_stay_the_same(used, clock):
    fresh = Grown(clock)
    held = fresh.bytes, fresh.queue, fresh.channels[1], fresh.line, fresh.inner
    fresh.load(used.save())
    assert all(a is b for a, b in zip(held, (fresh.bytes, fresh.queue, fresh.channels[1], fresh.line, fresh.inner)))


def test_a_base_classs_state_is_saved_too():
    assert Grown.saved == (*Part.saved, "inner")


def test_what_is_saved_does_not_change_afterwards(used):
    plain = used.save()
    before = repr(plain)
    used.queue.append(4)
    used.channels[1].latched.clear()
    used.bytes[0] = 1
    assert repr(plain) == before


def test_a_line_comes_back_without_telling_anybody(used, clock):
    fresh = Grown(clock)
    fresh.load(used.save())
    assert fresh.line.level == 1 and fresh.told == []


def test_a_timer_fires_at_its_deadline(used):
    later = ManualClock(now=120)
    fresh = Grown(later)
    fresh.load(used.save())
    later.advance(100)
    assert fresh.fired == [150]


def test_timers_that_are_due_together_fire_in_the_order_they_had():
    order = []
    there, here = ManualClock(), ManualClock()
    a, b = there.timer(lambda: None), there.timer(lambda: None)
    y, x = here.timer(lambda: order.append("b")), here.timer(lambda: order.append("a"))
    for timer in (b, a):
        timer.rearm(10)
    here.load(there.save())
    x.load(a.save())
    y.load(b.save())
    here.advance(10)
    assert order == ["a", "b"]


def test_a_disarmed_timer_does_not_fire(clock):
    source, fresh = Part(clock), Part(clock)
    fresh.timer.rearm(110)
    clock.load(clock.save())
    fresh.load(source.save())
    clock.advance(100)
    assert fresh.fired == []


def test_what_follows_from_state_is_brought_about_once_for_each_part(used, clock):
    fresh = Grown(clock)
    fresh.load(used.save())
    assert (fresh.follow_ups, fresh.inner.follow_ups) == (1, 1)


def test_registers_need_no_naming():
    chip, fresh = Chip(), Chip()
    chip.write(0, 1, 0x5A)
    chip.status, chip.hidden = 3, 7
    fresh.load(chip.save())
    assert (fresh.control, fresh.status, fresh.hidden) == (0x5A, 3, 7)


def test_a_callback_is_no_state():
    with pytest.raises(TypeError, match="function is no state"):
        to_plain(lambda: None)


@pytest.mark.parametrize("change, match", [
    (lambda state: state.pop("number"), r"^part\.number: only in this machine"),
    (lambda state: state.update(more=1), r"^part\.more: only in the snapshot"),
    (lambda state: state.update(number="x"), r"^part\.number: str in the snapshot, nothing in this machine"),
    (lambda state: state.update(bytes=b"123"), r"^part\.bytes: 3 bytes in the snapshot, 2 bytes in this machine"),
    (lambda state: state.update(queue=[1, [2]]), r"^part\.queue\[1\]: a list of 1 in the snapshot"),
    (lambda state: state["channels"].pop(), r"^part\.channels: a list of 1 in the snapshot, a list of 2"),
    (lambda state: state["channels"][0].update(count=None, latched=1), r"^part\.channels\[0\]\.latched: int in the snapshot"),
    (lambda state: state.update(inner=None), r"^part\.inner: nothing in the snapshot, a dict of 9"),
])  # fmt: skip
def test_a_check_names_what_differs(used, clock, change, match):
    state = used.save()
    change(state)
    with pytest.raises(SnapshotError, match=match):
        check_alike(Grown(clock).save(), state, "part")


def test_what_fits_passes_the_check(used, clock):
    check_alike(Grown(clock).save(), used.save(), "part")


def test_state_without_bytes_is_json(used):
    plain = used.save()
    del plain["bytes"], plain["inner"]["bytes"]
    assert json.loads(json.dumps(plain)) == plain
