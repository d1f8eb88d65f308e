"""No part has state that it keeps for itself: every plain attribute of every object is the same after a restore."""

from __future__ import annotations

import io
from enum import Enum

import pytest

from emu.bus import AddressSpace
from emu.chardev import Chardev
from emu.clock import Clock
from emu.device import Device
from jit.engine import Engine, Vcpu
from machines.guests import hotplug
from tests import guests
from tests.snapshot.conftest import MS, device, plug

PLAIN = (type(None), bool, int, str, bytes, bytearray)
# Objects that are not the guest's, and attributes that follow from others or are about the host.
NOT_LOOKED_INTO = (AddressSpace, Chardev, Clock, Engine, Vcpu)
HOST_SIDE = {"parent", "parent_bus", "_children", "_own_properties", "user_id", "owner", "model", "hotplugged", "tap", "order"}


def attributes(value, path="", seen=None):
    """{path: value} of all plain attributes below a part."""
    seen = {} if seen is None else seen
    if isinstance(value, PLAIN) or isinstance(value, Enum):
        return {path: value}
    if isinstance(value, (list, tuple)):
        return merged(attributes(each, f"{path}[{n}]", seen) for n, each in enumerate(value))
    if isinstance(value, dict):
        return merged(attributes(each, f"{path}[{key!r}]", seen) for key, each in value.items() if isinstance(key, (int, str)))
    if id(value) in seen or isinstance(value, NOT_LOOKED_INTO) or not type(value).__module__.startswith(("emu.", "acpi.")):
        return {}
    seen[id(value)] = value
    registers = [register.name for register in value.registers] if isinstance(value, Device) else []
    names = [*vars(value), *registers] if hasattr(value, "__dict__") else type(value).__slots__
    return merged(attributes(getattr(value, name), f"{path}.{name}", seen) for name in names if name not in HOST_SIDE)


def merged(parts):
    return {path: value for part in parts for path, value in part.items()}


def everything(vm):
    seen = {}
    return merged([*(attributes(getattr(vm, name), name, seen) for name in vm.stateful),
                   *(attributes(vm.vcpus[index], f"cpu{index}", seen) for index in sorted(vm.vcpus))])  # fmt: skip


def assert_nothing_forgotten(source, target):
    file = io.BytesIO()
    source.save(file)
    fresh = everything(target)
    file.seek(0)
    target.load(file)
    there, here = everything(source), everything(target)
    changed = [path for path in there if fresh.get(path) != there[path]]
    assert len(changed) > 30  # the guest has used its machine
    assert {path: (there.get(path), here.get(path)) for path in there | here if there.get(path) != here.get(path)} == {}


@pytest.mark.parametrize("append", ["", "ioapic"])
def test_after_the_embedded_guest_has_booted_and_plugged(booted, make, append):
    source = booted(append=append)
    plug(source, 2)
    source.serial.expect(hotplug.online_line(2).strip())
    source.serial.send("s")
    source.run_for(MS)
    assert_nothing_forgotten(source, make(append=append, devices=[device(2)]))


def test_after_firmware(make):
    options = {"kernel": None, "bios": guests.seabios(), "memory": "32M"}
    source = make(**options)
    source.start()
    source.run_for(700 * MS)
    assert_nothing_forgotten(source, make(**options))


@pytest.mark.linux
@pytest.mark.slow
def test_after_linux(machine_type):
    options = {"smp": "2,maxcpus=4", "memory": "256M", "kernel": guests.vmlinux(), "initrd": guests.initramfs(),
               "append": guests.SMALL_BOOT_APPEND}  # fmt: skip
    source = machine_type(**options)
    source.start()
    source.serial.expect(guests.INIT_READY, within="40 s")
    plug(source, 3)
    source.serial.expect("has been hot-added")
    assert_nothing_forgotten(source, machine_type(**options, devices=[device(3)]))
