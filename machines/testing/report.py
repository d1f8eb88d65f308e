"""What a failed test's report says about a machine: where the guest was, what it printed, what it was told, how to see it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from typing import Any

import pytest

SERIAL_LINES, SCREEN_LINES, QMP_LINES, CODE_LINES = 25, 25, 30, 8
Machine = Any


def sections(name: str, vm: Machine, nodeid: str, config: pytest.Config) -> list[tuple[str, str]]:
    """(title, text) for pytest's report; empty ones are left out."""
    makers: dict[str, Callable[[], str]] = {
        "serial port, its end": lambda: serial(vm),
        "screen": lambda: screen(vm),
        "registers": lambda: lines(vm.hmp("info registers -a")),
        "last blocks": lambda: blocks(vm),
        "QMP": lambda: qmp(vm),
        "to run it again": lambda: again(nodeid, config),
    }
    where = f"{name}, after {vm.instructions:,} instructions"
    made = ((title, _text(make)) for title, make in makers.items())
    return [(f"{where}: {title}", text) for title, text in made if text]


def _text(make: Callable[[], str]) -> str:
    """One broken part must not hide the others, nor the test's own failure."""
    try:
        return make()
    except Exception as error:  # noqa: BLE001
        return f"(not available: {error!r})"


def lines(text: str, last: int | None = None) -> str:
    kept = text.replace("\r", "").rstrip().splitlines()
    return "\n".join(kept[-last:] if last else kept)


def serial(vm: Machine) -> str:
    return lines(vm.serial.text, SERIAL_LINES)


def screen(vm: Machine) -> str:
    """Text mode, if the guest has written anything there."""
    return "\n".join(line.rstrip() for line in vm.screen.lines[:SCREEN_LINES]).rstrip()


def blocks(vm: Machine) -> str:
    """Code where each CPU is."""
    return "\n".join(f"{cpu!r}\n{lines(vm.hmp(f'cpu {index}') + vm.hmp(f'x/{CODE_LINES}i $pc'))}" for index, cpu in vm.cpus.items())


def qmp(vm: Machine) -> str:
    """Commands, answers and events of the test's own monitor, as on the wire."""
    return "\n".join(json.dumps(message) for message in vm.qmp.log[-QMP_LINES:])


def again(nodeid: str, config: pytest.Config) -> str:
    """A command that repeats the test: the same inputs give the same run, instruction for instruction."""
    settings = [argument for argument in config.invocation_params.args if str(argument).startswith("--numachine")]
    return shlex.join(["python", "-m", "pytest", *settings, str(config.rootpath / nodeid)])
