"""What a failed test's report says about a machine: where the guest was, what it printed, what it was told, how to see it again."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from typing import Any

import pytest

SERIAL_LINES, SCREEN_LINES, QMP_LINES, CODE_LINES, LAST_INSTRUCTIONS = 25, 25, 30, 8, 48
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
    """The last instructions, block by block, as the recording has them; without one, the code where each CPU is."""
    if vm.recording is None:
        return "\n".join(f"{cpu!r}\n{_code(vm, index, CODE_LINES)}" for index, cpu in vm.cpus.items())
    end = vm.instructions
    start = max(end - LAST_INSTRUCTIONS, vm.recording.copies[0].insn)
    shown: list[str] = []
    after: tuple[int, int] | None = None  # CPU and address of the instruction that comes next in this block
    vm.goto(insn=start)
    for place in range(start, end):
        before = {index: (cpu.retired, cpu.pc, _code(vm, index, 1)) for index, cpu in vm.cpus.items()}
        vm.run_to(insn=place + 1)
        for index, (retired, pc, line) in before.items():
            if index in vm.cpus and vm.cpus[index].retired != retired:
                shown += [line] if after == (index, pc) else ["", f"cpu {index}", line]
                after = index, pc + _length(line)
    return "\n".join(shown).strip()


def _code(vm: Machine, index: int, count: int) -> str:
    vm.hmp(f"cpu {index}")
    return lines(vm.hmp(f"x/{count}i $pc"))


def _length(line: str) -> int:
    """Of the instruction in a line of x/i: "0x00100e3f:  75 0c    jne ..."."""
    return len(re.findall(r"[0-9a-f]{2} ", line.partition(":  ")[2].partition("  ")[0] + " "))


def qmp(vm: Machine) -> str:
    """Commands, answers and events of the test's own monitor, as on the wire."""
    return "\n".join(json.dumps(message) for message in vm.qmp.log[-QMP_LINES:])


def again(nodeid: str, config: pytest.Config) -> str:
    """A command that repeats the test: the same inputs give the same run, instruction for instruction."""
    settings = [argument for argument in config.invocation_params.args if str(argument).startswith("--numachine")]
    return shlex.join(["python", "-m", "pytest", *settings, str(config.rootpath / nodeid)])
