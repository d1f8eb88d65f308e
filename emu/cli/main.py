"""Entry points: `numachine-system-x86_64`, which is QEMU's command line, and `numachine` with subcommands.

Errors are one line on stderr and exit status 1; a traceback is a defect.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from emu import log
from emu.chardev import Chardev
from emu.cli.consoles import Consoles
from emu.cli.machines import find_machine
from emu.cli.options import EarlyExit, OptionError, Options
from emu.cli.parser import parse
from emu.cpu_models.option import find_model
from emu.migration import DEFER
from emu.qmp.errors import QmpError
from emu.qmp.machine_api import Context, MachineApi
from emu.qmp.transport import Poller, TransportError
from emu.qom import ObjectError, list_types

USER_ERRORS = (OptionError, TransportError, ObjectError, QmpError, ValueError, OSError)
COMMANDS = {"demo": "machines.demo:main", "acpi": "machines.acpi_dump:main"}
PID = "%d"

USAGE = """usage: numachine COMMAND

  numachine demo [OPTIONS]     boot the embedded guest and plug CPUs into it
  numachine run [OPTIONS]      the system emulator; same options as numachine-system-x86_64 (-h lists them)
  numachine acpi dump [TABLE...] [OPTIONS]
                               the ACPI tables of the machine that `run` would make, as source
  numachine --version"""


class SystemMachine(MachineApi, Protocol):
    """What the command line needs of a machine's class beyond the monitors' needs."""

    @classmethod
    def from_options(cls, options: Options, serials: list[Chardev]) -> SystemMachine:
        """Build it; -device CPUs included.  Raises any of USER_ERRORS with the text for the user."""

    context: Context
    poller: Poller  # polled between guest slices, as `services` are called; run_to_end() waits on it while the guest is stopped
    services: list[Callable[[], None]]

    def connect_debugcon(self, chardev: Chardev) -> None:
        """Where the debug console's output goes, if -debugcon is given."""

    def run_to_end(self) -> int:
        """Run until run_control.exit_code is set; returns it."""

    def close(self) -> None: ...


def system_x86_64(arguments: Sequence[str] | None = None) -> int:
    """The system emulator.  Returns the exit status."""
    program = os.path.basename(sys.argv[0]) or "numachine-system-x86_64"

    def parse_and_run() -> int:
        options = parse(sys.argv[1:] if arguments is None else arguments)
        options.program = program
        return run(options)

    return reported(program, parse_and_run)


def reported(program: str, command: Callable[[], int | None]) -> int:
    """The exit status of a command; what the user did wrong becomes a line on stderr."""
    try:
        return command() or 0
    except EarlyExit as text:
        show(str(text))
        return 0
    except USER_ERRORS as error:
        print(f"{program}: {_message(error)}", file=sys.stderr)
        return 1
    except Interrupted as signal_received:
        print(f"{program}: terminating on signal {signal_received}", file=sys.stderr)
        return 0


def show(text: str) -> None:
    """To stdout, whose reader may have seen enough (`-h | head`)."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"could not open '{error.filename}': {error.strerror}"
    return str(error)


def numachine(arguments: Sequence[str] | None = None) -> int:
    """The front door: demo, run, acpi.  Returns the exit status."""
    command, *rest = list(sys.argv[1:] if arguments is None else arguments) or [""]
    if command == "run":
        return system_x86_64(rest)
    if command in COMMANDS:
        module, _, function = COMMANDS[command].partition(":")
        return reported("numachine", lambda: getattr(importlib.import_module(module), function)(rest))
    if command in ("--version", "-version"):
        return system_x86_64(["-version"])
    print(USAGE, file=sys.stdout if command in ("-h", "--help", "help") else sys.stderr)
    return 0 if command in ("-h", "--help", "help") else 1


def run(options: Options) -> int:
    """Make the machine, connect its users, and run it to its end."""
    set_up_log(options)
    if options.cpu is not None:
        find_model(options.cpu.split(",")[0])
    consoles = Consoles(options)
    machine: Any = None
    signals = SignalWatch()
    try:
        machine_class = find_machine(options.machine).load()
        warn_about_globals(options)
        machine = machine_class.from_options(options, consoles.open_serials())
        if consoles.debugcon is not None:
            machine.connect_debugcon(consoles.debugcon)
        machine.events.now = time.time_ns
        consoles.attach(machine.context)
        write_pidfile(options)
        start(machine, options)
        machine.poller = consoles.poller
        machine.services += [consoles.flush, lambda: signals.serve(machine, options.program)]
        signals.note_only()
        return machine.run_to_end()
    finally:
        signals.stop()
        consoles.close()
        if machine is not None:
            machine.close()


def start(machine: Any, options: Options) -> None:
    """Let the guest run: from its beginning, from a snapshot, or from where it was on another machine.  Raises USER_ERRORS."""
    if options.incoming is not None:
        machine.migration.expect(autostart=not options.start_paused)
        if options.incoming != DEFER:
            machine.migration.receive(options.incoming)
        return
    if options.loadvm is not None:
        machine.load(options.loadvm)
        machine.run_control.stop()
    if options.record is not None:
        machine.record(options.record)
    if options.replay is not None:
        machine.replay(options.replay, run=False, then=machine.run_control.quit)
    if not options.start_paused:
        machine.run_control.start()


class Interrupted(BaseException):
    """A signal came before the machine ran."""


class SignalWatch:
    """SIGINT, SIGTERM and SIGHUP end the machine instead of the process; before it runs they raise Interrupted."""

    WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.received = 0
        self._raise = True
        self._saved: dict[int, Any] = {}
        try:
            self._saved = {number: signal.signal(number, self._note) for number in self.WATCHED}
        except ValueError:  # not the main thread: whoever embeds us handles signals
            pass

    def _note(self, number: int, frame: Any) -> None:
        self.received = number
        if self._raise:
            raise Interrupted(number)

    def note_only(self) -> None:
        """From now on serve() looks for signals."""
        self._raise = False

    def serve(self, machine: MachineApi, program: str) -> None:
        """End the machine once a signal has come."""
        if self.received and machine.run_control.exit_code is None:
            print(f"{program}: terminating on signal {int(self.received)}", file=sys.stderr)
            machine.run_control.quit("host-signal")

    def stop(self) -> None:
        """Give the signals back to whom they belonged."""
        for number, handler in self._saved.items():
            signal.signal(number, handler)


def set_up_log(options: Options) -> None:
    """-d and -D."""
    log.enable(options.log_items)
    if options.log_file:
        file = open(log_file_name(options.log_file), "w", buffering=1)  # noqa: SIM115 open until the process ends
        log.sink = lambda line: print(line, file=file)


def log_file_name(template: str) -> str:
    """The file of -D: %d becomes the process id.  Raises OptionError for what else looks like a format."""
    if template.count("%") > 1 or template.count("%") != template.count(PID):
        raise OptionError(f"bad log file name '{template}': it may contain {PID} once, for the process id, and no other %")
    return template.replace(PID, str(os.getpid()))


def warn_about_globals(options: Options) -> None:
    """A -global for a type that does not exist is a slip of the pen, but no error."""
    known = {cls.name for cls in list_types(abstract=True)}
    for each in options.globals:
        if each.type_name not in known:
            options.warn(f"global {each.type_name}.{each.property} has invalid class name")


def write_pidfile(options: Options) -> None:
    if options.pidfile:
        with open(options.pidfile, "w") as file:
            file.write(f"{os.getpid()}\n")
