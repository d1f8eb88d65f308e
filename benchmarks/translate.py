"""How fast guest code is translated, and where the time goes: `python -m benchmarks.translate [--json] [--runs N] [--elf FILE]`.

The text of a real kernel goes through the translator block after block, so nothing is in the code cache but every instruction
form is known (the first pass meets them and is not timed).  A stage's time is what it adds to the stages before it, in CPU
time of this thread.  Regions are made of hot loops only, by another thread and with LLVM: their stage stands beside the others,
per instruction of the loops that some of the kernel's blocks are in.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from elftools.elf.elffile import ELFFile
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # also as a plain script
from benchmarks import common
from jit import backends, runtime
from jit.engine import Engine, Vcpu
from jit.region_object import compile_region
from jit.region_shape import Rejected, Shape, grow
from jit.x86.front import X86Front
from jit.x86.state import CodeSize, Mode

LOAD_AT = 16 * common.MIB
MODE = int(CodeSize.BITS64 | Mode.FLAT | Mode.FPU | Mode.SSE | Mode.PROTECTED)
STAGES_MODULE = "benchmarks.stages"
ALL_ONES = (1 << 64) - 1
REGIONS = 24  # compiled for the region stage
REGION_STEP = 41  # every so many blocks, one is tried as the head of a loop


def main() -> None:
    parser = common.parser(__doc__.partition("\n")[0])
    parser.add_argument("--elf", type=Path, help="take .text of this 64-bit ELF file; default is Debian's cloud kernel")
    parser.add_argument("--mib", type=float, default=4, help="how much of it (default 4 MiB)")
    arguments = parser.parse_args()
    text = text_of(arguments.elf or default_elf())[: int(arguments.mib * common.MIB)]
    result = measure(text, arguments.runs)
    common.finish(arguments, "translate", [stage_table(result), rate_table(result)], result)


def default_elf() -> Path:
    from tests import guests

    return guests.vmlinux()


def text_of(path: Path) -> bytes:
    with path.open("rb") as file:
        section = ELFFile(file).get_section_by_name(".text")
        if section is None:
            raise SystemExit(f"{path} has no .text section; give an ELF file with one")
        return section.data()


class Translator:
    """An engine with `text` in its RAM and no paging, and the stage functions bound to it."""

    def __init__(self, text: bytes):
        size = LOAD_AT + len(text) + common.MIB
        self.engine = Engine(X86Front(), size, refuse_callback, backends.show_progress)
        self.engine.map_ram(0, 0, size)
        self.engine.ram[LOAD_AT : LOAD_AT + len(text)] = np.frombuffer(text, np.uint8)
        self.vcpu = self.engine.add_cpu()
        self.vcpu.state["a20_mask"] = ALL_ONES
        self.vcpu.state["mode"] = MODE
        self.host = int(self.engine.words["ram"]) + LOAD_AT
        self.size = len(text)
        stages = import_module(STAGES_MODULE)
        self.library = runtime.load([*self.engine.front.modules, STAGES_MODULE], backends.show_progress)
        self.stages = list(stages.Stage)

    def call(self, name: str, *more: int) -> int:
        """A function of benchmarks/stages.py over the whole text."""
        return getattr(self.library, name)(self.vcpu.address, LOAD_AT, MODE, self.host, self.size, *more)

    def timed(self, stage: int) -> tuple[float, int]:
        """Thread CPU seconds and instructions of one pass up to `stage`, with an empty code cache."""
        self.library.flush_cache(self.engine.address)
        began = time.thread_time()
        instructions = self.call("walk_code", stage)
        return time.thread_time() - began, instructions


def refuse_callback(vcpu: Vcpu, call: int, a: int, b: int, c: int) -> int:
    raise RuntimeError(f"the translator asked for {call} at {a:#x}")


def measure(text: bytes, runs: int) -> dict[str, Any]:
    translator = Translator(text)
    listed = translator.engine.statistics().forms
    translator.timed(translator.stages[-1])
    met = translator.engine.statistics().forms - listed
    counts: dict[str, int] = {}

    def run(stage: Any) -> Callable[[], float]:
        def timed() -> float:
            seconds, counts[stage.name.lower()] = translator.timed(stage)
            return seconds

        return timed

    times = common.interleaved(runs, {stage.name.lower(): run(stage) for stage in translator.stages})
    translator.engine.save()
    return summarize(translator, {name: common.median(each) for name, each in times.items()}, counts, met)


def summarize(translator: Translator, seconds: dict[str, float], counts: dict[str, int], met: int) -> dict[str, Any]:
    """Nanoseconds an instruction by stage, and the rates."""
    instructions = counts["translate"]
    per = {name: each / counts[name] * 1e9 for name, each in seconds.items()}
    names = list(per)
    added = {name: per[name] - (per[names[i - 1]] if i else 0) for i, name in enumerate(names[:-1])}
    added["cache"] = per["translate"] - per["stencil"]
    writers, dropped = (translator.call("count_flag_writers", flag) for flag in (0, 1))
    stages = {name: {"ns_per_insn": ns, "share": ns / per["translate"]} for name, ns in added.items()}
    summary = {"insn_per_s": 1e9 / per["translate"], **stages}
    rates = {
        "form_hit_rate": 1 - met / instructions, "forms": translator.engine.statistics().forms, "forms_met_new": met,
        "flag_writes_dropped": dropped / writers, "insns_per_block": instructions / translator.call("count_blocks"),
        "host_bytes_per_insn": host_bytes(translator) / instructions,
    }  # fmt: skip
    summary["region"] = regions(translator)
    rates["region_hit_rate"] = summary["region"].pop("hit_rate")
    return {"summary": summary, "rates": rates, "instructions": instructions, "text_bytes": translator.size}


def regions(translator: Translator) -> dict[str, float]:
    """Compile loops that blocks of the last pass are in; the rate of blocks tried that are in one."""
    front, shapes, tried = translator.engine.front, list[Shape](), 0
    blocks = translator.engine.backend.regions.blocks
    for number in range(1, int(translator.engine.words["block_count"]), REGION_STEP):
        if len(shapes) < REGIONS:
            tried += 1
            shapes += loop_through(blocks, number)
    began = time.thread_time()
    for shape in shapes:
        compile_region(shape, front.layout, translator.engine.backend.regions.isa)
    seconds = time.thread_time() - began
    instructions = sum(block.insns for shape in shapes for block in shape.blocks)
    return {"ns_per_insn": seconds / instructions * 1e9, "ms_per_region": seconds / len(shapes) * 1e3,
            "insns_per_region": instructions / len(shapes), "hit_rate": len(shapes) / tried}  # fmt: skip


def loop_through(blocks: Any, number: int) -> list[Shape]:
    try:
        return [grow(blocks, number)]
    except Rejected:
        return []


def host_bytes(translator: Translator) -> int:
    """Size of the code that one pass leaves in the arena."""
    translator.timed(translator.stages[-1])
    return translator.engine.statistics().code_bytes


def stage_table(result: dict[str, Any]) -> Table:
    summary = result["summary"]
    megabytes = result["text_bytes"] / common.MIB
    title = f"translate: {result['instructions']:,} instructions ({megabytes:.1f} MiB), {summary['insn_per_s']:,.0f} a second"
    table = Table(title=title)
    for column in ("stage", "ns / instruction", "share"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for name, row in summary.items():
        if isinstance(row, dict):
            share = f"{row['share']:.0%}" if "share" in row else f"{row['ms_per_region']:.1f} ms each"
            table.add_row(name, f"{row['ns_per_insn']:,.0f}", share)
    return table


def rate_table(result: dict[str, Any]) -> Table:
    table = Table("rate", "value", title="hit rates and sizes")
    for name, value in result["rates"].items():
        table.add_row(name.replace("_", " "), f"{value:,.4f}" if isinstance(value, float) else f"{value:,}")
    return table


if __name__ == "__main__":
    main()
