"""The command interpreter of the human monitor: one line in, text out.

Commands are functions in a table; errors of QMP commands become lines that start with "Error: ".
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from emu import qmp
from emu.qmp.errors import QmpError
from emu.qmp.machine_api import Context
from emu.qom import ObjectError


PAST_QMP = ("i", "o", "qom-set")  # commands that change the machine, and are none of QMP's
EXTRANEOUS, STRING_EXPECTED = "extraneous characters at the end of line", "string expected"


class UsageError(Exception):
    """Arguments that a command does not understand; shown with a hint to `help`."""


@dataclass(frozen=True)
class HmpCommand:
    """`arguments` is the help's synopsis; a command without one takes none."""

    names: tuple[str, ...]
    arguments: str
    help: str
    function: Callable[[HumanMonitor, str], str | None]

    @property
    def shown(self) -> str:
        return "|".join(self.names)

    @property
    def help_line(self) -> str:
        return f"{self.shown} {self.arguments} -- {self.help}"


class CommandTable:
    """Commands by name, to begin with those of other tables."""

    def __init__(self, *others: CommandTable) -> None:
        self.by_name: dict[str, HmpCommand] = {name: found for table in others for name, found in table.by_name.items()}

    def add(self, names: str, arguments: str, help: str) -> Callable[[Any], Any]:
        """Decorator: `function(monitor, text_of_arguments)` returns what to print."""

        def register(function: Any) -> Any:
            command = HmpCommand(tuple(names.split("|")), arguments, help, function)
            self.by_name.update(dict.fromkeys(command.names, command))
            return function

        return register

    def help(self, prefix: str = "") -> str:
        commands = sorted(set(self.by_name.values()), key=lambda command: command.shown)
        return "".join(f"{prefix}{command.help_line}\n" for command in commands)


COMMANDS = CommandTable()
INFO = CommandTable()


class HumanMonitor:
    """Interprets lines for one user."""

    def __init__(self, context: Context):
        self.context = context
        self.dump_format = ("x", 4)  # last used by x, xp and print
        self.history: list[str] = []  # what the user typed, for a terminal

    @property
    def info(self) -> CommandTable:
        """Subjects of `info`: those of all machines, and this machine's own."""
        return CommandTable(INFO, getattr(self.context.machine, "hmp_info", CommandTable()))

    def qmp(self, name: str, **arguments: Any) -> Any:
        """Run a QMP command."""
        return qmp.call(self.context, name, **arguments)

    def register(self, name: str) -> int:
        """A register of the current CPU.  Raises UsageError."""
        try:
            return self.context.machine.register(self.context.current_cpu, name)
        except KeyError:
            raise UsageError("unknown register") from None

    @property
    def code_bits(self) -> int:
        """Width of the code that the current CPU runs."""
        return self.context.machine.code_bits(self.context.current_cpu)

    def execute(self, line: str) -> str:
        """The output of one line, newlines included."""
        name, _, arguments = line.strip().partition(" ")
        if not name:
            return ""
        if "/" in name[1:]:  # x/4i: the format may stick to the name
            name, _, format = name.partition("/")
            arguments = f"/{format} {arguments}"
        table, shown = COMMANDS, name
        if name == "info" and arguments.strip():
            name, _, arguments = arguments.strip().partition(" ")
            table, shown = self.info, f"info {name}"
        if name not in table.by_name:
            return f"unknown command: '{shown}'\n"
        return self._run(table.by_name[name], shown, arguments.strip())

    def _run(self, command: HmpCommand, shown: str, arguments: str) -> str:
        try:
            if arguments and not command.arguments:
                raise UsageError(EXTRANEOUS)
            shown_to_user = command.function(self, arguments) or ""
            if command.shown in PAST_QMP and self.context.journal:
                self.context.journal("hmp", f"{shown} {arguments}")
            return shown_to_user
        except UsageError as error:
            named = f"{command.shown}: " if str(error) in (EXTRANEOUS, STRING_EXPECTED) else ""
            return f'{named}{error}\nTry "help {shown}" for more information\n'
        except (QmpError, ObjectError) as error:
            return f"Error: {error}\n"
        except Exception as error:  # a defect of ours: the guest and its user survive it
            traceback.print_exc()
            return f"Error: internal error: {error!r}\n"
