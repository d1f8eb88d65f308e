"""The engine's housekeeping is invisible: the guest ends in the same state, bit for bit."""

from __future__ import annotations

import hashlib
from functools import partial

from jit.engine import Engine

SMALL_ARENA = 6 << 20  # bytes: full some dozens of times during a boot


def state_of(linux):
    vm, shell = linux(smp="2")
    assert shell.run("find /bin | wc -l").isdigit()
    return vm, (vm.clock.now, vm.serial.text, hashlib.sha256(vm.engine.ram).hexdigest())


def test_a_code_cache_that_overflows_changes_nothing_for_the_guest(linux, monkeypatch):
    vm, expected = state_of(linux)
    assert vm.statistics().cache_flushes == 0
    monkeypatch.setattr("machines.machine.Engine", partial(Engine, arena_size=SMALL_ARENA))
    vm, state = state_of(linux)
    assert vm.statistics().cache_flushes > 10
    assert state == expected
