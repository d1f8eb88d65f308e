"""Time benchmark guests under QEMU's TCG: `python -m benchmarks.guests.on_qemu [names] [--repeat N]`."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterable

from benchmarks.guests.measure import DONE, READY, BenchmarkFailed, Result, main
from benchmarks.guests.runtime import DEBUG_EXIT_PORT, MEMORY_MIB

QEMU = "qemu-system-x86_64"
COMMAND = [
    *(QEMU, "-accel", "tcg", "-M", "pc", "-cpu", "qemu64", "-m", str(MEMORY_MIB)),
    *("-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"),
    *("-device", f"isa-debug-exit,iobase={DEBUG_EXIT_PORT:#x},iosize=1"),
]  # fmt: skip


def run(image: bytes) -> Result:
    """Boot `image` and time it by the lines on its serial port.  Raises BenchmarkFailed."""
    with tempfile.NamedTemporaryFile(suffix=".elf") as kernel:
        kernel.write(image)
        kernel.flush()
        command = [*COMMAND, "-kernel", kernel.name]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
            return read_result(process.stdout or ())


def read_result(lines: Iterable[str]) -> Result:
    started, said = None, ""
    for line in lines:
        said += line
        if line.startswith(READY):
            started = time.perf_counter()
        if line.startswith(DONE) and started is not None:
            return Result(time.perf_counter() - started, line.removeprefix(DONE).strip())
    raise BenchmarkFailed(f"{QEMU} ended before the guest was done; it said:\n{said}")


if __name__ == "__main__":
    main(run)
