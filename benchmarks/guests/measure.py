"""What the runners of benchmark guests share: the result, and a command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.guests import GUESTS, build

READY, DONE = "READY", "DONE "


class BenchmarkFailed(RuntimeError):
    """The guest did not finish; the message has what it said."""


@dataclass(frozen=True)
class Result:
    """Host seconds between the lines READY and DONE, and the checksum in hexadecimal."""

    seconds: float
    checksum: str


def main(run: Callable[[bytes], Result], on_unicorn: bool = False) -> None:
    """Run the guests named on the command line, or all, and print a line for each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", help=f"any of {', '.join(GUESTS)}; default all")
    parser.add_argument("--repeat", type=int, help="repetitions of the timed part; default is the guest's own")
    arguments = parser.parse_args()
    for name in arguments.names or GUESTS:
        if name in GUESTS and on_unicorn and not GUESTS[name].unicorn:
            print(f"{name:12} -        not for unicorn")
            continue
        result = run(build(name, arguments.repeat))
        print(f"{name:12} {result.seconds:7.3f}s {result.checksum}", flush=True)
