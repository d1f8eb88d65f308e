"""The DSDT that QEMU generates, out of the memory of a guest whose firmware has put it there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import pytest

QEMU = shutil.which("qemu-system-x86_64")
needs_qemu = pytest.mark.skipif(QEMU is None, reason="qemu-system-x86_64 is not installed")
MEMORY_MIB = 64
TOP_BYTES = 1 << 20  # firmware allocates tables from the top of memory
POLL_SECONDS, ATTEMPTS = 0.25, 120
HEADER_LENGTH, LONGEST_TABLE = 36, 1 << 20


@cache
def qemu_dsdt(machine: str, smp: str) -> bytes:
    """Boot firmware without a disk, and look for the table until it is there."""
    options = ["-M", machine, "-smp", smp, "-m", f"{MEMORY_MIB}M", "-accel", "tcg", "-nodefaults"]
    command = [str(QEMU), *options, "-display", "none", "-qmp", "stdio"]
    with (
        TemporaryDirectory() as directory,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdin and process.stdout
        try:
            process.stdout.readline()
            ask(process.stdin, process.stdout, "qmp_capabilities")
            for _ in range(ATTEMPTS):
                time.sleep(POLL_SECONDS)
                dump = Path(directory) / "memory"
                where = {"val": (MEMORY_MIB << 20) - TOP_BYTES, "size": TOP_BYTES, "filename": str(dump)}
                ask(process.stdin, process.stdout, "pmemsave", where)
                if table := find_dsdt(dump.read_bytes()):
                    return table
        finally:
            process.kill()
    pytest.fail(f"no DSDT in the memory of QEMU's {machine}")


def ask(to: IO[str], answers: IO[str], command: str, arguments: dict[str, Any] | None = None) -> None:
    to.write(json.dumps({"execute": command, "arguments": arguments or {}}) + "\n")
    to.flush()
    while "return" not in (answer := json.loads(answers.readline())):
        assert "event" in answer, answer


def find_dsdt(memory: bytes) -> bytes | None:
    for found in re.finditer(b"DSDT", memory):
        start = found.start()
        length = int.from_bytes(memory[start + 4 : start + 8], "little")
        table = memory[start : start + length]
        if HEADER_LENGTH < length < LONGEST_TABLE and len(table) == length and sum(table) & 0xFF == 0:
            return table
    return None
