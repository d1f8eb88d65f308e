"""What all machines share: engine, scheduler, buses, monitors, run states, and the main loop.

A machine is a context manager; inside it the guest runs whenever something waits for it in virtual time:

    with Pc(memory="256M", kernel="vmlinuz", append="console=ttyS0") as vm:
        vm.serial.expect("login:", within="5e9 insns")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

from emu import qom
from emu.bus import ALL_ONES, AddressSpace
from emu.cli.options import OptionError
from emu.migration import Migration, Written
from emu.qmp.events import EventHub
from emu.qmp.machine_api import ChardevInfo, Context, Identity, MachineApi
from emu.qmp.run_state import RunControl, RunState
from emu.qmp.transport import Poller
from emu.scheduler import Scheduler
from jit import backends
from jit.engine import Engine, Statistics, Vcpu
from jit.state import Call
from machines import api, journal, snapshot_file, timetravel
from machines.agenda import Agenda
from machines.cpu_view import CpuView
from machines.tracing import Tracer

IO_SPACE = 1 << 16
MEMORY_SPACE = 1 << 52
PORT_READ, PORT_WRITE, MMIO_READ, MMIO_WRITE = (
    int(c) for c in (Call.PORT_READ, Call.PORT_WRITE, Call.MMIO_READ, Call.MMIO_WRITE))
# Virtual time of a device access, about as long as on real boards: polling loops are no faster here than there.
PORT_NS, MMIO_NS = 1000, 250
SLICE_NS = 10_000_000  # how much virtual time passes between two looks at monitors, terminals and signals
TRACE = int(Call.TRACE)
STOPPED_WAIT = 0.05  # seconds that a stopped machine waits for its monitors at a time


class Machine:
    """Base of all machines.  Subclasses create their parts and reset them in `reset_parts`."""

    target = "x86_64"
    front: Callable[[], Any]
    vcpus: Mapping[int, Any]
    stateful: ClassVar[tuple[str, ...]] = ()
    """Parts with state, CPUs and RAM aside, in the order in which a snapshot is loaded (machines/snapshot.py)."""

    made_with: tuple[tuple[Any, ...], dict[str, Any]]
    origin: Any = None  # while it is made as a copy of another machine: that one

    def __new__(cls, *arguments: Any, **keywords: Any) -> Any:
        made = super().__new__(cls)
        made.made_with = arguments, keywords
        return made

    def __init__(self, ram_size: int, *, realtime: bool = False, identity: Identity | None = None,
                 no_reboot: bool = False, no_shutdown: bool = False, backend: str = backends.DEFAULT) -> None:  # fmt: skip
        self.ram_size, self.identity = ram_size, identity or Identity()
        self.io, self.bus = AddressSpace("io", IO_SPACE), AddressSpace("memory", MEMORY_SPACE)
        self.engine = self._make_engine(backend)
        self.tracer = Tracer(self)
        self.scheduler = Scheduler(realtime)
        self.clock = self.scheduler.clock
        self.events = EventHub(lambda: self.clock.now)
        self.run_control = RunControl(self.events, self._reset_requested, self.press_power_button,
                                      no_reboot=no_reboot, no_shutdown=no_shutdown)  # fmt: skip
        self.root = qom.Container()
        self.tree = self.root.add_child("machine", self.make_tree())
        self.poller = Poller()
        self.chardevs: list[ChardevInfo] = []
        self.context = Context(cast(MachineApi, self), self.chardevs)
        self.inputs: list[Callable[[], Any]] = []
        self.migration = Migration(self.run_control, ram_size, self.save, self.load)
        self.services: list[Callable[[], None]] = [self.migration.poll, self.events.poll]
        self.qmp, self.hmp = api.Qmp(self), api.Hmp(self.context)
        self.break_points = api.BreakPoints(self)
        self.agenda = Agenda(self)
        self.recording: timetravel.Recording | None = None
        self.replaying: timetravel.Replay | None = None
        self._reset_wanted = False

    def _make_engine(self, backend: str) -> Engine:
        try:
            if self.origin:
                return self.origin.engine.copy(self._called)
            return Engine(self.front(), self.mapping_size(self.ram_size), self._called, backends.show_progress, backend=backend)
        except (OSError, MemoryError) as error:
            if isinstance(error, OSError) and error.filename is not None:
                raise
            raise OptionError(f"cannot set up {self.ram_size >> 20} MiB of guest memory: the host has not that much; "
                              "give the machine less with -m") from None  # fmt: skip

    # --- for subclasses
    def make_tree(self) -> qom.Container:
        """The object /machine."""
        return qom.Container()

    def mapping_size(self, ram_size: int) -> int:
        """Host memory behind all RAM and ROM, in bytes."""
        return ram_size

    def reset_parts(self) -> None:
        raise NotImplementedError("a machine resets its parts")

    def press_power_button(self) -> None:
        raise NotImplementedError("a machine has a power button")

    def system_call(self, vcpu: Vcpu, operation: int, b: int, c: int) -> int:
        raise NotImplementedError("a machine answers its CPUs' system calls")

    def after_slice(self) -> None:
        """Work that had to wait until no vCPU runs."""
        if self._reset_wanted:
            self.reset()

    # --- guest accesses that are not RAM
    def _called(self, vcpu: Vcpu, call: int, a: int, b: int, c: int) -> int:
        if call == PORT_READ:
            vcpu.spend(PORT_NS)
            return self.io.read(a, b)
        if call == PORT_WRITE:
            vcpu.spend(PORT_NS)
            self.io.write(a, b, c & ALL_ONES[b])
            return 0
        if call == MMIO_READ:
            vcpu.spend(MMIO_NS)
            return self.bus.read(a, b)
        if call == MMIO_WRITE:
            vcpu.spend(MMIO_NS)
            self.bus.write(a, b, c & ALL_ONES[b])
            return 0
        if call == TRACE:
            return self.tracer.traced(vcpu, a, b, c)
        return self.system_call(vcpu, a, b, c)

    # --- reset and power
    def _reset_requested(self) -> None:
        """Reset at the next slice boundary: devices ask for it from within their registers."""
        self._reset_wanted = True
        if not self.scheduler.executing:
            self.scheduler.abandon()
        self.scheduler.stop()

    def reset(self) -> None:
        """The reset line: all parts to power-up state, kernels loaded again."""
        self._reset_wanted = False
        self.scheduler.abandon()
        self.tracer.before_reset()
        self.reset_parts()

    def power_off(self) -> None:
        """Pull the plug.  The power button, to which the guest answers, is press_power_button()."""
        self.run_control.quit()

    # --- main loop
    @property
    def running(self) -> bool:
        return self.run_control.running

    def start(self) -> None:
        """Let the guest run from now on."""
        self.run_control.start()

    def run_slice(self, deadline: int) -> None:
        """Serve the host side once, then run up to virtual time `deadline`."""
        self.serve()
        self.tracer.refresh()
        self._settle()
        if self.running:
            due, latest = self.agenda.deadline, min(deadline, self.clock.now + SLICE_NS)  # time may have gone back
            self.scheduler.run_until(latest if due is None else min(latest, due), self.agenda.next)
        self._settle()
        self.agenda.act()

    def _settle(self) -> None:
        """What had to wait for the end of a slice; nothing while one is interrupted."""
        if self.scheduler.slice is None:
            self.after_slice()

    def serve(self, timeout: float = 0) -> None:
        """Monitors, terminals, sockets: whatever the host has for us.  Waits up to `timeout` seconds for something."""
        self.poller.poll(timeout)
        for service in self.services:
            service()
        for fetch in self.inputs:
            fetch()

    def run_to_end(self) -> int:
        """Run until the machine ends, whatever its monitors do meanwhile; its exit status."""
        while self.run_control.exit_code is None:
            if self.running:
                self.run_slice(self.clock.now + SLICE_NS)
            else:
                self.serve(STOPPED_WAIT)
                self._settle()
        return self.run_control.exit_code

    def run_for(self, ns: int) -> None:
        """Run `ns` of virtual time, or until the machine stops or is to end."""
        end = self.clock.now + ns
        while self.running and self.clock.now < end:
            self.run_slice(min(end, self.clock.now + SLICE_NS))

    def run(self, until: Callable[[], bool] | None = None, within: str | int | None = None) -> int | None:
        """Run until `until()` holds, a breakpoint is met, or the machine stops; its exit status if it ended.

        `within` limits the virtual time ("5e9 insns", "2 s", or ns).  Raises api.Timeout when that is over."""
        if not self.running and self.run_control.exit_code is None:
            self.run_control.cont()
        api.run_until(self, until or (lambda: False), within, "a stop", or_stop=True)
        return self.run_control.exit_code

    def save(self, target: snapshot_file.Target) -> Written:
        """Save a snapshot to a file, or to a file object.  Raises OSError."""
        return snapshot_file.write(cast(Any, self), target)

    def load(self, source: snapshot_file.Target) -> None:
        """Go on from a snapshot that an equal machine saved.

        Raises emu.snapshot.SnapshotError, the machine untouched, when it is damaged or of another machine; OSError."""
        snapshot_file.read(cast(Any, self), source)

    delete_snapshot = staticmethod(snapshot_file.delete)
    list_snapshots = staticmethod(snapshot_file.listed)

    def close(self) -> None:
        """Let go of sockets, terminals and host memory: nothing runs any more.  Keep compiled stencils for next time."""
        if self.recording:
            self.recording.close()
        self.scheduler.cpus = []
        self.scheduler.abandon()
        self.engine.close()

    def __enter__(self) -> Any:
        if not self.running:
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- copies
    def fork(self) -> Any:
        """A copy of this machine in its present state, which runs on independently (machines/fork.py)."""
        from machines.fork import fork

        return fork(cast(Any, self))

    # --- record, replay, back
    def record(self, target: journal.Target | None = None, *, every: str | int | None = None,
               kept: int = timetravel.KEPT_COPIES) -> timetravel.Recording:  # fmt: skip
        """Note every input from here on: to `target`, for replay(), and with a copy of the machine `every` so many instructions
        ("50e6 insns"; at most `kept` of them), for goto().  Raises ValueError, OSError."""
        interval = api.nanoseconds(every) if every is not None else 0 if target is not None else timetravel.EVERY
        self.recording = timetravel.Recording(cast(Any, self), target, interval, kept)
        return self.recording

    def replay(self, source: journal.Target, *, run: bool = True, then: Callable[[], None] | None = None) -> None:
        """Repeat a recorded run to its end, where the machine pauses, or `then` is called; without `run`, as the machine runs.

        Raises machines.journal.ReplayError for a damaged log, one of another machine, and a run that becomes another; OSError."""
        self.replaying = replaying = timetravel.Replay(cast(Any, self), source, then or self.run_control.stop)
        if run:
            self.start()
            replaying.run()

    def goto(self, insn: int) -> None:
        """Go to where exactly `insn` instructions have been executed, back or forth.  Raises ValueError for what was not recorded."""
        if self.recording is None:
            raise ValueError("nothing is recorded: call vm.record(every='50e6 insns') where you want to come back to, or earlier")
        self.recording.goto(insn)

    def step_back(self, count: int = 1) -> None:
        """Undo the last `count` instructions, of whichever CPUs.  Raises ValueError."""
        self.goto(self.instructions - count)

    # --- places in time
    @property
    def instructions(self) -> int:
        """Instructions executed since power-on, by all CPUs together."""
        return self.scheduler.instructions

    def at(self, insn: int, do: Callable[[], Any]) -> None:
        """Call `do` when exactly `insn` instructions have been executed; the guest cannot tell that it stopped for that.

        Raises ValueError when that is past."""
        self.agenda.add(insn, do)

    def run_to(self, insn: int, within: str | int | None = None) -> None:
        """Run until exactly `insn` instructions have been executed.

        Raises ValueError when that is past, api.GuestStopped when the guest stops before or waits for ever, and api.Timeout
        when `within` (virtual time) is over."""
        if self.run_control.state is RunState.PRELAUNCH:
            self.start()
        self.agenda.run_to(insn, within)

    # --- looking inside
    @property
    def cpus(self) -> api.Cpus:
        """Present CPUs by slot: vm.cpus[0].rip, vm.cpus[0].registers["rax"]."""
        return api.Cpus(self)

    def break_at(self, address: int) -> api.BreakPoint:
        """Stop whenever a CPU is about to execute the instruction at this linear address; .remove() ends that."""
        return self.break_points.add(address)

    @property
    def stopped_at(self) -> CpuView | None:
        """The CPU that met the breakpoint at which the machine stopped."""
        return self.break_points.met

    def statistics(self) -> Statistics:
        """Counters of the engine."""
        return self.engine.statistics()
