"""Rewrite jit/x86/forms.txt from the forms that this user's stencil cache holds, beside those already listed.

    python tools/record_forms.py

Run it after booting the guests that the list should cover.  A line is MODE:BYTES, both in hexadecimal.
"""
from __future__ import annotations

from pathlib import Path

from jit.engine import Engine
from jit.x86 import front
from jit.x86.insn import decode


def main() -> None:
    place = Path(front.__file__).parent / "forms.txt"
    engine = Engine(front.X86Front(), 1 << 20, lambda vcpu, call, a, b, c: 0)
    lines = set()
    for mode, example in engine.backend.stencils.examples():
        insn = decode(example, 0, mode & ~front.PAIR, concrete=False)
        if insn is not None:
            size = len(example) if mode & front.PAIR else insn.length
            lines.add(f"{mode & 0xFFFF:04x}:{example[:size].hex()}")
    place.write_text("\n".join(sorted(lines)) + "\n")
    print(f"{len(lines)} forms in {place}")


if __name__ == "__main__":
    main()
