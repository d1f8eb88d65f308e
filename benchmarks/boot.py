"""How fast Debian's kernel boots, beside QEMU's TCG: `python -m benchmarks.boot [--json] [--runs N] [--append WORDS]`.

Seconds from the start of the process to the line that init prints on the serial console, in separate processes on both sides,
and the peak of the process's resident memory by then.  Kernel and initramfs are fetched once (tests/guests.py).
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # also as a plain script
from benchmarks import common

MEMORY_MIB = 256
CONSOLE = "console=ttyS0"
ENTRY = "import sys; from emu.cli.main import system_x86_64; sys.exit(system_x86_64())"
PATIENCE_S = 300


class BootFailed(RuntimeError):
    """Init's line did not come; the message has the end of what the machine said."""


@dataclass(frozen=True)
class Boot:
    """Wall-clock seconds to init, and the largest resident size so far, in bytes."""

    seconds: float
    peak_memory: int


def main() -> None:
    parser = common.parser(__doc__.partition("\n")[0])
    parser.add_argument("--kernel", type=Path, help="a bzImage or vmlinux instead of Debian's cloud kernel")
    parser.add_argument("--initrd", type=Path, help="an initramfs that prints --ready instead of ours")
    parser.add_argument("--ready", help="what init prints")
    parser.add_argument("--append", default="", help="more words on the kernel's command line")
    parser.add_argument("--command", help="our command instead of numachine-system-x86_64")
    arguments = parser.parse_args()
    options, ready = guest_options(arguments)
    sides = {"numachine": [*our_command(arguments.command), *options]}
    if shutil.which(common.QEMU):
        sides["qemu"] = [common.QEMU, "-accel", "tcg", *options]
    else:
        common.say("qemu-system-x86_64 is not installed: no comparison")
    common.say("warming up: a boot of ours fills the caches")
    boot(sides["numachine"], ready)
    boots: dict[str, list[Boot]] = {name: [] for name in sides}
    for run in range(arguments.runs):
        for name, command in sides.items():
            boots[name].append(boot(command, ready))
            common.say(f"run {run + 1}: {name} {boots[name][-1].seconds:.2f} s")
    report(arguments, boots)


def guest_options(arguments: Any) -> tuple[list[str], str]:
    """What both machines get, and the line to wait for."""
    from tests import guests

    kernel, initrd = arguments.kernel or guests.kernel(), arguments.initrd or guests.initramfs()
    append = f"{CONSOLE} {arguments.append}".strip()
    options = ["-M", "pc", "-cpu", "qemu64", "-m", str(MEMORY_MIB), "-nodefaults", "-display", "none", "-no-reboot",
               "-serial", "stdio", "-kernel", str(kernel), "-initrd", str(initrd), "-append", append]  # fmt: skip
    return options, arguments.ready or guests.INIT_READY


def our_command(given: str | None) -> list[str]:
    """The installed command; from a source tree, its entry point."""
    if given:
        return shlex.split(given)
    installed = shutil.which("numachine-system-x86_64")
    return [installed] if installed else [sys.executable, "-c", ENTRY]


def boot(command: list[str], ready: str) -> Boot:
    """Run `command` until its output has `ready`.  Raises BootFailed."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            assert process.stdout
            said = wait_for(process.stdout, ready.encode(), started + PATIENCE_S)
            if said is not None:
                raise BootFailed(f"{ready!r} did not appear ({status(process)}); the machine said:\n{said}")
            return Boot(time.perf_counter() - started, peak_memory(process.pid))
        finally:
            process.kill()


def wait_for(output: IO[bytes], ready: bytes, deadline: float) -> str | None:
    """None once a line has `ready`; the end of the output when it ends without or takes too long."""
    said = b""
    for line in output:
        if ready in line:
            return None
        said += line
        if time.perf_counter() > deadline:
            break
    return said[-2000:].decode("utf-8", "replace")


def status(process: subprocess.Popen[bytes]) -> str:
    """What became of a process that closed its output or takes too long."""
    try:
        code = process.wait(1)
    except subprocess.TimeoutExpired:
        return "still running"
    return f"killed by signal {-code}" if code < 0 else f"exit status {code}"


def peak_memory(pid: int) -> int:
    """VmHWM of a process, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) << 10
    raise BootFailed("the process ended while its memory was read")


def report(arguments: Any, boots: dict[str, list[Boot]]) -> None:
    seconds = {name: common.median(b.seconds for b in each) for name, each in boots.items()}
    memory = {name: max(b.peak_memory for b in each) for name, each in boots.items()}
    peer = seconds.get("qemu")
    summary = {
        "seconds": seconds["numachine"], "qemu_seconds": peer, "ratio": peer / seconds["numachine"] if peer else None,
        "peak_mib": memory["numachine"] / common.MIB,
        "qemu_peak_mib": memory["qemu"] / common.MIB if peer else None,
    }  # fmt: skip
    table = Table(title=f"boot to init, {MEMORY_MIB} MiB guest; ratio = qemu / numachine, above 1 we are faster")
    for title in ("machine", "seconds", "peak memory, MiB", "ratio"):
        table.add_column(title, justify="left" if title == "machine" else "right")
    for name in boots:
        own = common.ratio(summary["ratio"]) if name == "numachine" else ""
        table.add_row(name, f"{seconds[name]:.2f}", f"{memory[name] / common.MIB:.0f}", own)
    every = {name: [b.seconds for b in each] for name, each in boots.items()}
    common.finish(arguments, "boot", [table], {"summary": summary, "all_seconds": every, "memory_mib": MEMORY_MIB})


if __name__ == "__main__":
    main()
