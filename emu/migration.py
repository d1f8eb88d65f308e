"""Migration as management software sees it: `migrate file:PATH` on the source, `-incoming file:PATH` on the target.

The states and events are QEMU 7.2's; `file:` is of its later versions.  The guest runs on until the state is written, in one go: there
are no dirty pages to send again.  Not here: other protocols (exec:, tcp:, unix:, fd:), post-copy, what any other capability does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, get_args

from emu.qmp import shapes
from emu.qmp.errors import QmpError
from emu.qmp.run_state import RunControl, RunState
from emu.snapshot import SnapshotError

FILE = "file:"
DEFER = "defer"
PAGE_SIZE = 4096
EVENTS = "events"
# Those that cost nothing to grant: each is about speed, or about what a file does not have.
GRANTED = (EVENTS, "auto-converge", "zero-blocks", "release-ram", "late-block-activate", "return-path")
CAPABILITIES = get_args(shapes.MIGRATION_CAPABILITY_NAME)


class Status(str, Enum):
    """Names as in query-migrate."""

    NONE = "none"
    SETUP = "setup"
    ACTIVE = "active"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    COMPLETED = "completed"
    FAILED = "failed"


UNDER_WAY = (Status.SETUP, Status.ACTIVE, Status.CANCELLING)


@dataclass(frozen=True)
class Written:
    """What saving a machine came to."""

    size: int  # bytes of the file
    pages: int  # of RAM that were not zero


@dataclass(frozen=True)
class Progress:
    """Of the last migration that was asked for; times in seconds of the host."""

    status: Status = Status.NONE
    path: str = ""
    began: float = 0.0
    setup: float = 0.0
    total: float = 0.0
    downtime: float = 0.0
    written: Written | None = None
    error: str = ""


def path_of(uri: str) -> str:
    """The file that a migration URI names.  Raises QmpError."""
    if not uri.startswith(FILE) or uri == FILE:
        raise QmpError("Parameter 'uri' expects a valid migration protocol: here that is file:PATH")
    return uri.removeprefix(FILE)


@contextmanager
def user_errors() -> Iterator[None]:
    """What goes wrong with a snapshot's file, as a QmpError."""
    try:
        yield
    except OSError as error:
        raise QmpError(f"Could not open '{error.filename}': {error.strerror}" if error.filename else str(error)) from None
    except SnapshotError as error:
        raise QmpError(str(error)) from None


class Migration:
    """One machine's.  `save(path)` and `load(path)` move its state; poll() is called between the guest's slices."""

    def __init__(self, run_control: RunControl, ram_size: int, save: Callable[[str], Written], load: Callable[[str], None]):
        self.run_control, self.ram_size, self._save, self._load = run_control, ram_size, save, load
        self.capabilities = dict.fromkeys(CAPABILITIES, False)
        self.progress = Progress()
        self._expected = False  # -incoming was given
        self.clock = time.monotonic

    # --- for those who would change the machine meanwhile
    @property
    def under_way(self) -> bool:
        return self.progress.status in UNDER_WAY

    def refuse(self, command: str) -> None:
        """Raises QmpError while a migration is under way: the set of devices must not change then."""
        if self.under_way:
            raise QmpError(f"{command} not allowed while migrating")

    # --- source
    def start(self, uri: str) -> None:
        """Begin; poll() carries it out.  Raises QmpError."""
        if self.under_way:
            raise QmpError("There's a migration process in progress")
        if self.run_control.state is RunState.INMIGRATE:
            raise QmpError("Guest is waiting for an incoming migration")
        if self.run_control.state is RunState.POSTMIGRATE:
            raise QmpError("Can't migrate the vm that was paused due to previous migration")
        self.progress = Progress(path=path_of(uri), began=self.clock())
        self._tell(Status.SETUP)

    def cancel(self) -> None:
        """The guest stays here; nothing happens when no migration is under way."""
        if self.under_way:
            self._tell(Status.CANCELLING)
            self._tell(Status.CANCELLED)

    def poll(self) -> None:
        """The next step of an outgoing migration."""
        if self.progress.status is Status.SETUP:
            self._note(setup=self.clock() - self.progress.began)
            self._pass(1)
            self._tell(Status.ACTIVE)
        elif self.progress.status is Status.ACTIVE:
            self._complete()

    def _complete(self) -> None:
        stopped = self.clock()
        try:
            with user_errors():
                written = self._save(self.progress.path)
        except QmpError as error:
            self._note(error=str(error))
            self._tell(Status.FAILED)
            return
        self.run_control.stop(RunState.POSTMIGRATE)
        self.run_control.state = RunState.POSTMIGRATE
        self._pass(2)
        now = self.clock()
        self._note(written=written, downtime=now - stopped, total=now - self.progress.began)
        self._tell(Status.COMPLETED)

    # --- target
    def expect(self, autostart: bool) -> None:
        """-incoming: the machine does not run before its state has come.  `autostart`: it may run then."""
        self._expected = True
        self.run_control.state, self.run_control.autostart = RunState.INMIGRATE, autostart

    def receive(self, uri: str) -> None:
        """-incoming URI or migrate-incoming.  Raises QmpError; the machine can go on waiting then."""
        if not self._expected:
            raise QmpError("'-incoming' was not specified on the command line")
        if self.run_control.state is not RunState.INMIGRATE:
            raise QmpError("The incoming migration has already been started")
        self.progress = Progress(path=path_of(uri), began=self.clock())
        self._tell(Status.SETUP)
        self._tell(Status.ACTIVE)
        try:
            with user_errors():
                self._load(self.progress.path)
        except QmpError as error:
            self._note(error=str(error))
            self._tell(Status.FAILED)
            raise
        self._note(total=self.clock() - self.progress.began)
        self._tell(Status.COMPLETED)
        self.run_control.arrived()

    # --- telling
    def _note(self, **members: Any) -> None:
        self.progress = replace(self.progress, **members)

    def _tell(self, status: Status) -> None:
        self._note(status=status)
        self._emit("MIGRATION", {"status": status.value})

    def _pass(self, number: int) -> None:
        self._emit("MIGRATION_PASS", {"pass": number})

    def _emit(self, name: str, data: dict[str, Any]) -> None:
        if self.capabilities[EVENTS]:
            self.run_control.events.emit(name, data)

    def set_capabilities(self, wanted: dict[str, bool]) -> None:
        """All of them, or none.  Raises QmpError."""
        self.refuse("migrate-set-capabilities")
        for name, state in wanted.items():
            if state and name not in GRANTED:
                raise QmpError(f"Capability '{name}' is not supported; there are {', '.join(GRANTED)}")
        self.capabilities |= wanted

    def info(self) -> dict[str, Any]:
        """query-migrate."""
        at = self.progress
        if at.status is Status.NONE:
            return {}
        shown: dict[str, Any] = {"status": at.status.value}
        if at.error:
            shown["error-desc"] = at.error
        if at.written is not None:
            shown |= {"total-time": _ms(at.total), "downtime": _ms(at.downtime), "setup-time": _ms(at.setup),
                      "ram": self._ram(at.written, at.total)}  # fmt: skip
        return shown

    def _ram(self, written: Written, seconds: float) -> dict[str, Any]:
        return {
            "total": self.ram_size, "remaining": 0, "transferred": written.size, "page-size": PAGE_SIZE,
            "normal": written.pages, "normal-bytes": written.pages * PAGE_SIZE, "skipped": 0,
            "duplicate": self.ram_size // PAGE_SIZE - written.pages, "mbps": round(written.size * 8e-6 / max(seconds, 1e-3), 3),
            "dirty-pages-rate": 0, "dirty-sync-count": 2, "dirty-sync-missed-zero-copy": 0, "pages-per-second": 0,
            "precopy-bytes": 0, "downtime-bytes": written.size, "postcopy-bytes": 0, "postcopy-requests": 0, "multifd-bytes": 0,
        }  # fmt: skip


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
