"""Run states of a virtual machine and the transitions that users and guests cause, with their events.

A machine owns a RunControl, calls its guest_* methods, and looks at `running` and `exit_code` in its main loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum

from emu.qmp.errors import QmpError
from emu.qmp.events import EventHub


class RunState(str, Enum):
    """Names as in query-status."""

    PRELAUNCH = "prelaunch"
    RUNNING = "running"
    PAUSED = "paused"
    SHUTDOWN = "shutdown"
    SUSPENDED = "suspended"
    INMIGRATE = "inmigrate"
    POSTMIGRATE = "postmigrate"
    GUEST_PANICKED = "guest-panicked"
    INTERNAL_ERROR = "internal-error"
    IO_ERROR = "io-error"
    DEBUG = "debug"


NEEDS_RESET = (RunState.SHUTDOWN, RunState.INTERNAL_ERROR)


class RunControl:
    """The state machine behind stop, cont, system_reset, system_powerdown, quit and the guest's own wishes.

    `reset` and `powerdown` do the hardware's part.  `exit_code` is None until the process should end."""

    def __init__(self, events: EventHub, reset: Callable[[], None], powerdown: Callable[[], None] = lambda: None, *,
                 no_reboot: bool = False, no_shutdown: bool = False):  # fmt: skip
        self.events, self._reset, self._powerdown = events, reset, powerdown
        self.no_reboot, self.no_shutdown = no_reboot, no_shutdown
        self.state = RunState.PRELAUNCH
        self.autostart = True  # whether the guest runs as soon as its state has come (-incoming)
        self.exit_code: int | None = None

    @property
    def running(self) -> bool:
        return self.state is RunState.RUNNING and self.exit_code is None

    def start(self) -> None:
        """Leave prelaunch at start-up; unlike cont() without an event."""
        self.state = RunState.RUNNING

    def stop(self, state: RunState = RunState.PAUSED) -> None:
        """Pause in `state`; STOP is emitted only if the machine ran."""
        if self.state is RunState.INMIGRATE:
            self.autostart = False
        if self.state is RunState.RUNNING:
            self.state = state
            self.events.emit("STOP")

    def cont(self) -> None:
        """Resume.  Raises QmpError when only a reset helps."""
        if self.state in NEEDS_RESET:
            raise QmpError("Resetting the Virtual Machine is required")
        if self.state is RunState.INMIGRATE:
            self.autostart = True
        elif self.state is not RunState.RUNNING:
            self.state = RunState.RUNNING
            self.events.emit("RESUME")

    def arrived(self) -> None:
        """The machine's state has come from elsewhere: run on if it ran there."""
        if not self.autostart:
            self.state = RunState.PAUSED
        elif self.state is RunState.RUNNING:
            self.events.emit("RESUME")

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Something happens between two slices for which clients expect to see the machine stop and go on; tells whether it ran."""
        running = self.running
        if running:
            self.events.emit("STOP")
        try:
            yield running
        finally:
            if running:
                self.events.emit("RESUME")

    def reset(self, reason: str = "host-qmp-system-reset", guest: bool = False) -> None:
        """Reset now, or end when reboots are not wanted."""
        if self.no_reboot:
            self.shutdown(reason, guest)
            return
        self.events.emit("RESET", {"guest": guest, "reason": reason})
        self._reset()
        if self.state is not RunState.RUNNING and self.state is not RunState.INMIGRATE:
            self.state = RunState.PRELAUNCH

    def guest_reset(self) -> None:
        """The guest reset itself (port 0x92, 0xCF9, keyboard controller, triple fault)."""
        self.reset("guest-reset", guest=True)

    def shutdown(self, reason: str, guest: bool, exit_code: int = 0) -> None:
        """Power off: end the process, or stay stopped under -no-shutdown."""
        self.events.emit("SHUTDOWN", {"guest": guest, "reason": reason})
        if self.no_shutdown and reason not in ("host-qmp-quit", "host-signal"):
            self.stop(RunState.SHUTDOWN)
        else:
            self.exit_code = exit_code

    def guest_shutdown(self) -> None:
        """The guest powered off (ACPI S5)."""
        self.shutdown("guest-shutdown", guest=True)

    def debug_exit(self, value: int) -> None:
        """isa-debug-exit: the process ends with status (value << 1) | 1."""
        status = value << 1 | 1
        self.shutdown("guest-shutdown", guest=True, exit_code=status)
        self.exit_code = status  # -no-shutdown or not

    def powerdown(self) -> None:
        """Press the power button."""
        self.events.emit("POWERDOWN")
        self._powerdown()

    def quit(self, reason: str = "host-qmp-quit") -> None:
        """End now."""
        self.shutdown(reason, guest=False)
