"""Timers, interrupt lines and the diagnostic log."""

from __future__ import annotations

import pytest

from emu import log
from emu.clock import SMALLEST_ROOM, Clock, ManualClock
from emu.irq import Irq, WiredOr, fan_out


def test_timers_run_by_deadline_then_by_creation():
    clock, ran = ManualClock(), []
    clock.call_at(20, lambda: ran.append("late"))
    clock.call_at(10, lambda: ran.append("first"))
    clock.call_at(10, lambda: ran.append("second"))
    clock.advance(30)
    assert ran == ["first", "second", "late"]


def test_creation_order_survives_rearming():
    clock, ran = ManualClock(), []
    older = clock.call_at(5, lambda: ran.append("older"))
    clock.call_at(10, lambda: ran.append("newer"))
    older.rearm(10)
    clock.advance(10)
    assert ran == ["older", "newer"]


def test_a_timer_sees_its_own_deadline_as_the_time_when_advanced_over():
    clock, seen = ManualClock(), []
    clock.call_at(7, lambda: seen.append(clock.now))
    clock.advance(100)
    assert (seen, clock.now) == ([7], 100)


def test_cancelled_and_rearmed_timers_do_not_fire_at_their_old_time():
    clock, ran = ManualClock(), []
    clock.call_at(5, lambda: ran.append("cancelled")).cancel()
    moved = clock.call_at(5, lambda: ran.append(clock.now))
    moved.rearm(9)
    clock.advance(20)
    assert ran == [9]
    assert moved.deadline is None


def test_a_timer_that_is_armed_again_and_again_leaves_nothing_behind():
    clock = ManualClock()
    fired: list[str] = []
    far = clock.call_at(1, lambda: fired.append("far"))
    clock.call_at(50, lambda: fired.append("near"))
    for number in range(10_000):
        far.rearm(1_000_000 - number % 2)
    assert len(clock._queue) <= SMALLEST_ROOM
    clock.advance(2_000_000)
    assert fired == ["near", "far"]


def test_deadline_is_the_earliest_armed_timer():
    clock = ManualClock()
    assert clock.deadline is None
    first = clock.call_at(5, lambda: None)
    clock.call_at(8, lambda: None)
    assert clock.deadline == 5
    first.cancel()
    assert clock.deadline == 8


def test_run_due_runs_what_its_callbacks_arm_for_the_past():
    clock, ran = ManualClock(100), []

    def periodic():
        ran.append(len(ran))
        if len(ran) < 3:
            timer.rearm(10 * len(ran))

    timer = clock.call_at(0, periodic)
    assert clock.run_due() == 3
    assert clock.run_due() == 0


def test_scheduler_hears_of_a_new_earliest_deadline_only():
    clock, heard = Clock(lambda: 0), []
    clock.on_earlier = heard.append
    for when in (50, 60, 40):
        clock.call_at(when, lambda: None)
    assert heard == [50, 40]


def test_line_reports_changes_only():
    levels = []
    line = Irq(levels.append)
    line.set(1)
    line.set(4)
    line.lower()
    line.lower()
    line.pulse()
    assert levels == [1, 0, 1, 0]


def test_connecting_a_high_line_tells_the_receiver():
    line, levels = Irq(), []
    line.raise_()
    line.connect(levels.append)
    assert levels == [1]


def test_wired_or_is_high_while_any_input_is():
    levels = []
    junction = WiredOr(Irq(levels.append))
    a, b = junction.input(), junction.input()
    a.raise_()
    b.raise_()
    a.lower()
    assert levels == [1]
    b.lower()
    assert levels == [1, 0]


def test_fan_out_drives_every_line():
    a, b = Irq(), Irq()
    fan_out(a, b).raise_()
    assert (a.level, b.level) == (1, 1)


def test_messages_are_written_only_while_their_mask_is_on():
    with log.captured("guest_errors") as lines:
        log.guest_error("pic", "wrong word")
        log.unimp("pic", "poll mode")
    log.guest_error("pic", "after")
    assert lines == ["pic: wrong word"]


def test_unknown_mask_names_the_known_ones():
    with pytest.raises(ValueError, match="guest_errors"):
        log.enable("guest_error")
