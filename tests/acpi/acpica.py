"""ACPICA's compiler and its interpreter on the host: `iasl` and `acpiexec` of Debian's acpica-tools."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

IASL, ACPIEXEC = shutil.which("iasl"), shutil.which("acpiexec")
needs_acpica = pytest.mark.skipif(
    IASL is None or ACPIEXEC is None, reason="iasl and acpiexec (acpica-tools) are not installed"
)
RESULT = re.compile(r"^Evaluating (\S+)\n(.*?)(?=^Evaluating |\Z)", re.MULTILINE | re.DOTALL)
FAILED = re.compile(r"failed with status (AE_\w+)|(AE_NOT_FOUND)")
HEX_LINE = re.compile(r"[0-9A-F]{4}: ((?:[0-9A-F]{2}[ :]?)+)")


class Failure(str):
    """The status of an evaluation that was aborted."""


def compile_asl(source: str, directory: Path, name: str = "program") -> bytes:
    """AML of a source, without optimisation; asserts that there are no errors."""
    path = directory / f"{name}.dsl"
    path.write_text(source)
    command = [str(IASL), "-oa", "-of", "-ve", "-p", name, path.name]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return (directory / f"{name}.aml").read_bytes()


def evaluate(tables: Sequence[Path], calls: Sequence[str]) -> dict[str, Any]:
    """Every call (`\\PATH` with arguments) run in one process, one after the other: call -> value or Failure."""
    commands = "".join(f"evaluate {call}\n" for call in calls) + "quit\n"
    command = [str(ACPIEXEC), "-di", *map(str, tables)]
    done = subprocess.run(command, input=commands, capture_output=True, text=True, errors="replace", timeout=60)
    found = [(path, _value(text)) for path, text in RESULT.findall(done.stdout)]
    assert len(found) == len(calls), done.stdout
    return dict(zip(calls, (value for _, value in found)))


def _value(text: str) -> Any:
    failed = FAILED.search(text)
    if failed:
        return Failure(failed[1] or failed[2])
    lines = text.split("\n")
    starts = [n for n, line in enumerate(lines) if re.match(r"\s*\[", line)]
    if not starts:
        return None
    value, _ = _parsed(lines, starts[0])
    return value


def _parsed(lines: list[str], at: int) -> tuple[Any, int]:
    """A value whose text begins in this line, and the number of the line behind it."""
    line = lines[at].strip()
    if line.startswith("[Integer]"):
        return int(line.split("=")[1], 16), at + 1
    if line.startswith("[String]"):
        text = line.split('"', 1)[1].rsplit('"', 1)[0]
        return text.encode("latin-1").decode("unicode_escape"), at + 1
    if line.startswith("[Buffer]"):
        return _buffer(lines, at)
    if line.startswith("[Package]"):
        elements, count = [], int(re.search(r"Contains (\d+)", line)[1])  # type: ignore[index]
        at += 1
        for _ in range(count):
            value, at = _parsed(lines, at)
            elements.append(value)
        return elements, at
    return line, at + 1


def _buffer(lines: list[str], at: int) -> tuple[bytes, int]:
    length = int(re.search(r"Length (\w+)", lines[at])[1], 16)  # type: ignore[index]
    data = b""
    while len(data) < length:
        hexed = HEX_LINE.search(lines[at])
        if hexed:
            data += bytes.fromhex(hexed[1].replace(":", " "))
        at += 1
    return data[:length], max(at, 1)
