"""What all benchmark programs share: command line, host description, medians, tables for people and one JSON object for tools."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

QEMU = "qemu-system-x86_64"
MIB = 1 << 20


def parser(description: str) -> argparse.ArgumentParser:
    """The options that every benchmark takes."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    result.add_argument("--runs", type=positive, default=3, help="runs of everything; medians are reported (default 3)")
    return result


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not a positive number")
    return number


def interleaved(runs: int, contestants: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Every contestant's results, run by run in turn, so that a busy host is unfair to nobody."""
    results: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(runs):
        for name, run in contestants.items():
            results[name].append(run())
    return results


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def geometric_mean(values: Iterable[float]) -> float | None:
    """None of no values."""
    logarithms = [math.log(v) for v in values]
    return math.exp(sum(logarithms) / len(logarithms)) if logarithms else None


def say(text: str) -> None:
    """A line about the progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


def finish(arguments: argparse.Namespace, name: str, tables: list[Table], result: dict[str, Any]) -> None:
    """Print the tables and, if asked for, the JSON object: benchmark, host, runs and what `result` has."""
    console = Console()
    for table in tables:
        console.print(table)
    if arguments.json:
        print(json.dumps({"benchmark": name, "host": host(), "runs": arguments.runs, **rounded(result)}))


def rounded(value: Any) -> Any:
    """Floats with five significant digits, at any depth."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


# -- where it ran ---------------------------------------------------------------------------------------------------


def host() -> dict[str, Any]:
    """What figures depend on: the CPU and the versions of everything that generates code."""
    packages = {name: package_version(name) for name in ("llvmlite", "numba", "capstone", "unicorn")}
    return {"cpu": cpu_model(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 2),
            "python": platform.python_version(), "qemu": qemu_version(), **packages}  # fmt: skip


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def package_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def qemu_version() -> str | None:
    """None when QEMU is not installed."""
    if shutil.which(QEMU) is None:
        return None
    said = subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"version (\S+)", said)
    return found[1] if found else said.strip()
