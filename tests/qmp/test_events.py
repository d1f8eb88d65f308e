"""The event hub: delivery, timestamps, rate limits."""

from __future__ import annotations

import pytest

from emu.qmp import EventHub


@pytest.fixture
def clock():
    return [100.0]


@pytest.fixture
def hub(clock):
    return EventHub(monotonic=lambda: clock[0], wall=lambda: 12.5)


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
    clock[0] += 0.9
    hub.poll()
    assert len(heard) == 1
    clock[0] += 0.2
    hub.poll()
    assert [event["data"]["offset"] for event in heard] == [1, 3]


def test_limits_are_per_source(hub, heard):
    hub.emit("RTC_CHANGE", {"offset": 1, "qom-path": "/a"})
    hub.emit("RTC_CHANGE", {"offset": 2, "qom-path": "/b"})
    assert len(heard) == 2


def test_quiet_second_ends_the_limit(hub, heard, clock):
    hub.emit("RTC_CHANGE", {"offset": 1, "qom-path": "/rtc"})
    clock[0] += 1.1
    hub.poll()
    hub.emit("RTC_CHANGE", {"offset": 2, "qom-path": "/rtc"})
    assert len(heard) == 2


def test_unsubscribed_listener_hears_nothing(hub):
    events = []
    unsubscribe = hub.subscribe(events.append)
    unsubscribe()
    hub.emit("STOP")
    assert events == []
