"""The event hub: delivery, timestamps, rate limits."""

from __future__ import annotations

import pytest

from emu.qmp import EventHub
from emu.qmp.events import RATE_LIMITED


@pytest.fixture
def clock():
    return [12_500_000_000]


@pytest.fixture
def hub(clock):
    return EventHub(now=lambda: clock[0])


@pytest.fixture
def heard(hub):
    events = []
    hub.subscribe(events.append)
    return events


def test_timestamp_is_in_seconds_and_microseconds(hub, heard):
    hub.emit("STOP")
    assert heard == [{"timestamp": {"seconds": 12, "microseconds": 500_000}, "event": "STOP"}]


def test_unlimited_events_are_all_delivered(hub, heard):
    for number in range(5):
        hub.emit("ACPI_DEVICE_OST", {"info": {"slot": str(number)}})
    assert len(heard) == 5


def test_limited_event_is_sent_at_once_and_its_last_repetition_after_a_second(hub, heard, clock):
    for offset in (1, 2, 3):
        hub.emit("RTC_CHANGE", {"offset": offset, "qom-path": "/rtc"})
    assert [event["data"]["offset"] for event in heard] == [1]
    clock[0] += 900_000_000
    hub.poll()
    assert len(heard) == 1
    clock[0] += 200_000_000
    hub.poll()
    assert [event["data"]["offset"] for event in heard] == [1, 3]


def test_limits_are_per_source(hub, heard):
    hub.emit("RTC_CHANGE", {"offset": 1, "qom-path": "/a"})
    hub.emit("RTC_CHANGE", {"offset": 2, "qom-path": "/b"})
    assert len(heard) == 2


def test_quiet_second_ends_the_limit(hub, heard, clock):
    hub.emit("RTC_CHANGE", {"offset": 1, "qom-path": "/rtc"})
    clock[0] += 1_100_000_000
    hub.poll()
    hub.emit("RTC_CHANGE", {"offset": 2, "qom-path": "/rtc"})
    assert len(heard) == 2


def test_unsubscribed_listener_hears_nothing(hub):
    events = []
    unsubscribe = hub.subscribe(events.append)
    unsubscribe()
    hub.emit("STOP")
    assert events == []


def test_clock_that_is_set_back_holds_no_event_up(hub, heard, clock):
    hub.emit("RTC_CHANGE", {"offset": 1, "qom-path": "/rtc"})
    clock[0] -= 3600_000_000_000
    hub.emit("RTC_CHANGE", {"offset": 2, "qom-path": "/rtc"})
    assert len(heard) == 2


def test_limited_events_are_those_of_qemu():
    assert set(RATE_LIMITED) == {"RTC_CHANGE", "WATCHDOG", "BALLOON_CHANGE", "VSERPORT_CHANGE", "MEMORY_DEVICE_SIZE_CHANGE",
                                 "QUORUM_REPORT_BAD", "QUORUM_FAILURE"}  # fmt: skip
