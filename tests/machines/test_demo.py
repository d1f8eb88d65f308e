"""numachine demo: what it prints, and that its exit status is the guest's word."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from emu.cli.main import numachine
from machines import demo
from machines.guests import hotplug

pytestmark = pytest.mark.guest


def run(*arguments):
    output = io.StringIO()
    status = demo.main(arguments, lambda: Console(file=output, width=120))
    return status, output.getvalue()


def test_demo_shows_the_handshake_of_a_plug_and_an_unplug():
    status, text = run()
    assert status == 0
    order = ["ready", "device_add", "CPU 1: enabled, insert pending", "CPU 1: insert event done", hotplug.online_line(1).strip(),
             "slot 1: device check, success", "device_del", "CPU 1: remove event done", "eject CPU 1", "DEVICE_DELETED",
             "cpu 1 ejected", "The guest confirmed"]  # fmt: skip
    places = [text.find(words) for words in order]
    assert -1 not in places and places == sorted(places)


def test_demo_plugs_as_many_as_asked():
    status, text = run("--cpus", "3")
    assert status == 0 and hotplug.online_line(3).strip() in text and "3 plugged and 3 unplugged CPUs" in text


def test_demo_fails_when_the_guest_does_not_confirm(monkeypatch, capsys):
    monkeypatch.setattr(demo.hotplug, "online_line", lambda cpu: "another result")
    status, _ = run()
    assert status == 1
    assert "numachine demo: the guest failed: 'another result' on the serial port did not come" in capsys.readouterr().err


def test_front_door_starts_the_demo(capsys):
    assert numachine(["demo"]) == 0
    assert "The guest confirmed 1 plugged" in capsys.readouterr().out
