"""The machines of a test session: those that tests start, and guests that are booted once and forked for every test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from emu.cli.machines import find_machine
from machines.api import Timeout, describe, nanoseconds

Machine = Any
BOOT_WITHIN = "60e9 insns"
COPY_EVERY, COPIES = "100e6 insns", 4  # of each machine under test


def limit(vm: Machine, within: str | int) -> None:
    """Raise Timeout in whatever runs `vm` when it has executed this many more instructions."""
    end = vm.instructions + nanoseconds(within)

    def over() -> None:
        raise Timeout(f"the test's limit of {nanoseconds(within):,} guest instructions is over\n{describe(vm)}")

    vm.at(insn=end, do=over)


@dataclass
class Crew:
    """The machines of one test, by name; closed when it is over."""

    backend: str
    within: str | int
    record: bool = True
    machines: dict[str, Machine] = field(default_factory=dict)

    def take(self, name: str, vm: Machine) -> Machine:
        """Put `vm` under the test's limit, into its report and on its list of what to close; record it, so that vm.goto() can go
        back in it."""
        number = sum(known.startswith(name) for known in self.machines)
        self.machines[name if not number else f"{name} {number + 1}"] = vm
        limit(vm, self.within)
        if self.record:
            vm.record(every=COPY_EVERY, kept=COPIES)
        return vm

    def starter(self, name: str) -> Callable[..., Machine]:
        """A function that makes and starts a machine of this kind, with the keywords of its class."""
        make = find_machine(name).load()

        def start(**options: Any) -> Machine:
            vm = self.take(name, make(**{"backend": self.backend, **options}))
            vm.start()
            return vm

        return start

    def close(self) -> None:
        for vm in self.machines.values():
            vm.close()
        self.machines.clear()


class Nursery:
    """Guests that have booted, one of each kind, waiting to be forked."""

    def __init__(self) -> None:
        self._booted: dict[str, Machine] = {}

    def fork(self, name: str, ready: str, **options: Any) -> Machine:
        """A machine of its own, at the moment when a guest with these options had printed `ready`.  Raises GuestError when it
        does not come to that."""
        key = repr((name, ready, sorted(options.items())))
        if key not in self._booted:
            self._booted[key] = _boot(name, ready, options)
        return self._booted[key].fork()

    def close(self) -> None:
        for vm in self._booted.values():
            vm.close()


def _boot(name: str, ready: str, options: dict[str, Any]) -> Machine:
    vm = find_machine(name).load()(**options)
    try:
        vm.start()
        vm.serial.expect(ready, within=BOOT_WITHIN)
    except BaseException:
        vm.close()
        raise
    return vm
