"""What a test says to a Linux guest: a root shell on its serial port, and words for what CPUs do there."""

from __future__ import annotations

import re
from typing import Any

from tests import guests

PROMPT = "# "
CPU_FOLDERS = "/sys/devices/system/cpu"
STAT_PROCESSOR = 39  # field of /proc/PID/stat: the CPU that the process last ran on
EMERGENCIES = 1  # console log level: messages below it are shown


class Shell:
    """A shell on `console`: the serial port of a machine, or a stream; `patience` is what its expect() takes."""

    def __init__(self, console: Any, patience: str | float = "40 s"):
        self.console, self.patience = console, patience
        self.booted()

    def booted(self) -> None:
        """Wait for the first prompt after a start or a reset."""
        self.console.expect(guests.INIT_READY, within=self.patience)
        self.console.expect(PROMPT, within=self.patience)
        # Long commands are echoed on one line, and the kernel no longer writes in between.
        self.console.send(f"stty cols 400; dmesg -n {EMERGENCIES}\n").expect(PROMPT, within=self.patience)

    def run(self, command: str, within: str | float | None = None) -> str:
        """The output of a command."""
        start = len(self.console.text)
        self.console.send(f'{command}; echo "status" $?\n')
        self.console.expect(re.compile(r"\nstatus \d+\r"), within=within or self.patience)
        self.console.expect(PROMPT, within=self.patience)
        output = self.console.text[start:].partition("$?\r")[2].partition("\nstatus ")[0]
        return output.replace("\r\n", "\n").strip()

    def messages(self, pattern: str) -> list[str]:
        """What the kernel said that matches, without times."""
        return self.run(f"dmesg | grep -E '{pattern}' | sed 's/^[^]]*] //'").splitlines()

    # -- CPUs

    @property
    def present(self) -> set[int]:
        """Numbers of the CPUs that the guest knows to be there, online or not."""
        return {int(number) for number in self.run(f"cd {CPU_FOLDERS}; echo cpu[0-9]*; cd").replace("cpu", "").split()}

    @property
    def online(self) -> str:
        """As the kernel lists them: "0-2,4"."""
        return self.run(f"cat {CPU_FOLDERS}/online")

    def bring_online(self, cpu: int) -> None:
        assert self.run(f"echo 1 > {CPU_FOLDERS}/cpu{cpu}/online") == ""

    def cpu_of_a_process_on(self, cpu: int) -> int:
        """Where a process that may only run on `cpu` runs, as it reads in its own /proc/self/stat."""
        return int(self.run(f"taskset {1 << cpu:x} sh -c 'cut -d\" \" -f{STAT_PROCESSOR} /proc/self/stat'"))

    def use(self, cpu: int) -> None:
        """Online `cpu` and run a process on it."""
        self.bring_online(cpu)
        assert self.cpu_of_a_process_on(cpu) == cpu
