"""Time benchmark guests under numachine: `python -m benchmarks.guests.on_numachine [names] [--repeat N]`.

The machine is our `pc` inside this process; the clock is read when the guest's serial port hands out the end of a line.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.guests.measure import DONE, READY, BenchmarkFailed, Result, main
from benchmarks.guests.runtime import DEBUG_EXIT_PORT, MEMORY_MIB
from emu.chardev import BufferChardev
from machines.pc import PcConfig
from machines.pc_piix import Pc


class TimedConsole(BufferChardev):
    """Notes when each line was complete."""

    def __init__(self) -> None:
        super().__init__("serial0")
        self.times: list[float] = []

    def emit(self, data: bytes) -> None:
        super().emit(data)
        self.times += [time.perf_counter()] * data.count(b"\n")

    def lines(self) -> list[tuple[float, str]]:
        return list(zip(self.times, self.text.splitlines()))


def run(image: bytes) -> Result:
    """Boot `image` and time it by the lines on its serial port.  Raises BenchmarkFailed."""
    console = TimedConsole()
    with tempfile.TemporaryDirectory() as folder:
        kernel = Path(folder) / "guest.elf"
        kernel.write_bytes(image)
        config = PcConfig(memory=MEMORY_MIB << 20, kernel=kernel, serial=[console], debug_exit=(DEBUG_EXIT_PORT, 1))
        with Pc(config) as machine:
            machine.run()
    started = next((when for when, line in console.lines() if line.startswith(READY)), None)
    done = next(((when, line) for when, line in console.lines() if line.startswith(DONE)), None)
    if started is None or done is None:
        raise BenchmarkFailed(f"the guest ended early; it said:\n{console.text}")
    return Result(done[0] - started, done[1].removeprefix(DONE).strip())


if __name__ == "__main__":
    main(run)
