"""How fast guest code runs, beside QEMU's TCG and unicorn: `python -m benchmarks.compute [names] [--json] [--runs N]`.

The guests are ours (benchmarks/guests): all three run the same file, and their checksums must be equal.  A ratio is the peer's
seconds divided by ours: above 1 we are faster.  Unicorn gets a fraction of the repetitions and its seconds are scaled up.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # also as a plain script
from benchmarks import common
from benchmarks.guests import GUESTS, build, on_numachine, on_qemu
from benchmarks.guests.measure import Result
from benchmarks.guests.runtime import Guest

UNICORN_SHARE = 16  # unicorn runs one in so many repetitions
OURS, QEMU, UNICORN = "numachine", "qemu", "unicorn"


class WrongChecksum(RuntimeError):
    """A machine computed something else: its time says nothing."""


def main() -> None:
    parser = common.parser(__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="name", help=f"any of {', '.join(GUESTS)}; default all")
    parser.add_argument("--without", action="append", default=[], choices=(QEMU, UNICORN), help="leave a peer out")
    parser.add_argument(
        "--scale", type=float, default=1, help="factor on all repetitions (default 1: seconds under TCG)"
    )
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(GUESTS)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; choose from {', '.join(GUESTS)}")
    peers = available_peers(arguments.without)
    rows = {name: measure(GUESTS[name], arguments, peers) for name in arguments.names or GUESTS}
    summary = summarize(rows)
    common.finish(arguments, "compute", [table(rows, summary)], {"summary": summary, "guests": rows})


def available_peers(without: list[str]) -> list[str]:
    """The peers to run; says which are missing."""
    present = {QEMU: shutil.which(common.QEMU) is not None, UNICORN: find_spec("unicorn") is not None}
    for name in present:
        if not present[name] and name not in without:
            common.say(f"{name} is not installed: no comparison with it")
    return [name for name in present if present[name] and name not in without]


def measure(guest: Guest, arguments: argparse.Namespace, peers: list[str]) -> dict[str, Any]:
    """Seconds of every run, and the ratios, of one guest."""
    repeat = max(1, round(guest.repeat * arguments.scale))
    few = max(1, repeat // UNICORN_SHARE)
    whole, part = build(guest.name, repeat), build(guest.name, few)
    known: dict[bytes, str] = {part: on_numachine.run(part).checksum}  # also meets all instruction forms
    runs: dict[str, Callable[[], float]] = {OURS: lambda: seconds(on_numachine.run, whole, known)}
    if QEMU in peers:
        runs[QEMU] = lambda: seconds(on_qemu.run, whole, known)
    if UNICORN in peers and guest.unicorn:
        from benchmarks.guests import on_unicorn

        runs[UNICORN] = lambda: seconds(on_unicorn.run, part, known) * repeat / few
    common.say(f"{guest.name}: {', '.join(runs)}")
    times = common.interleaved(arguments.runs, runs)
    middle = {name: common.median(values) for name, values in times.items()}
    return {"seconds": middle, "all_seconds": times, "checksum": known[whole], "repeat": repeat,
            "vs_qemu": against(middle, QEMU), "vs_unicorn": against(middle, UNICORN)}  # fmt: skip


def seconds(run: Callable[[bytes], Result], image: bytes, known: dict[bytes, str]) -> float:
    """Time one run.  Raises WrongChecksum when machines disagree."""
    result = run(image)
    if known.setdefault(image, result.checksum) != result.checksum:
        raise WrongChecksum(f"{run.__module__} computed {result.checksum}, another machine {known[image]}")
    return result.seconds


def against(middle: dict[str, float], peer: str) -> float | None:
    return middle[peer] / middle[OURS] if peer in middle else None


def summarize(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    qemu = [row["vs_qemu"] for row in rows.values() if row["vs_qemu"] is not None]
    unicorn = [row["vs_unicorn"] for row in rows.values() if row["vs_unicorn"] is not None]
    return {"geomean_vs_qemu": common.geometric_mean(qemu), "min_vs_qemu": min(qemu, default=None),
            "geomean_vs_unicorn": common.geometric_mean(unicorn), "min_vs_unicorn": min(unicorn, default=None)}  # fmt: skip


def table(rows: dict[str, dict[str, Any]], summary: dict[str, Any]) -> Table:
    result = Table(title="compute: medians, seconds; ratio = peer / numachine, above 1 we are faster")
    for title in ("guest", OURS, QEMU, UNICORN, "vs qemu", "vs unicorn"):
        result.add_column(title, justify="left" if title == "guest" else "right")
    for name, row in rows.items():
        times = [f"{row['seconds'][who]:.3f}" if who in row["seconds"] else "-" for who in (OURS, QEMU, UNICORN)]
        result.add_row(name, *times, common.ratio(row["vs_qemu"]), common.ratio(row["vs_unicorn"]))
    result.add_section()
    for title, which in (("geometric mean", "geomean"), ("minimum", "min")):
        ratios = (common.ratio(summary[f"{which}_vs_{peer}"]) for peer in (QEMU, UNICORN))
        result.add_row(title, "", "", "", *ratios)
    return result


if __name__ == "__main__":
    main()
