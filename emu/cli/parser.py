"""From the arguments of the system emulator to Options.

Single and double dashes mean the same.  Errors carry the option they came from, so that one line tells what is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

from emu.cli.machines import UnknownMachine, default_machine
from emu.cli.options import MonitorOption, OptionError, Options
from emu.cli.table import BY_NAME, Option
from emu.qom import ObjectError


def parse(arguments: Sequence[str]) -> Options:
    """Options from the arguments after the program's name.  Raises OptionError, EarlyExit."""
    options = Options()
    remaining = list(arguments)
    while remaining:
        word = remaining.pop(0)
        if not word.startswith("-") or word == "-":
            raise OptionError(f"{word}: not an option; disk images are not supported")
        found = BY_NAME.get(word[2:] if word.startswith("--") else word[1:])
        if found is None:
            raise OptionError(f"{word}: invalid option")
        if found.argument and not remaining:
            raise OptionError(f"{word}: requires an argument")
        value = remaining.pop(0) if found.argument else ""
        _apply(found, options, word, value)
    _complete(options)
    return options


# Errors about these do not repeat the option: that is how QEMU words them, and scripts match it.
WITHOUT_PREFIX = ("M", "machine", "cpu", "rtc")


def _apply(found: Option, options: Options, word: str, value: str) -> None:
    try:
        found.apply(options, value)
    except UnknownMachine as error:
        raise OptionError(str(error)) from None
    except (OptionError, ObjectError) as error:
        if found.names[0] in WITHOUT_PREFIX:
            raise
        raise OptionError(f"{word}{' ' if value else ''}{value}: {error}") from None


def _complete(options: Options) -> None:
    """Defaults that depend on other options, and checks across options."""
    options.machine = options.machine or default_machine().name
    for what in ("initrd", "append"):
        if getattr(options, what) and not options.kernel:
            raise OptionError(f"-{what} only allowed with -kernel option")
    for monitor in options.monitors:
        id = monitor.where.removeprefix("chardev:")
        if monitor.where.startswith("chardev:") and id not in options.chardevs:
            raise OptionError(f'chardev "{id}" not found')
    human = any(not monitor.control for monitor in options.monitors)
    if options.nographic and not options.nodefaults:
        if not options.serial:
            options.serial.append("stdio" if human else "mon:stdio")
        elif not human and not any(serial.startswith("mon:") for serial in options.serial):
            options.monitors.append(MonitorOption("stdio", control=False))
    options.serial = [serial for serial in options.serial if serial != "none"]
