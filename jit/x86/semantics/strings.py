"""String instructions (Intel SDM vol. 2): calls of jit/x86/strings.py, which runs iterations until REP is done or a limit of
its own is reached; then the same instruction runs again."""
from __future__ import annotations

from jit.x86.builder import Builder, semantics
from jit.x86.insn import Operand
from jit.x86.state import Gpr, Seg
from jit.x86.strings import Repeat

_SIZES = {"b": 1, "w": 2, "d": 4, "q": 8}
_NAMES = [name + suffix for name in ("movs", "cmps", "scas", "lods", "stos", "ins", "outs") for suffix in _SIZES
          if name + suffix not in ("insq", "outsq")]


@semantics(*_NAMES)
def string(b: Builder, *operands: Operand) -> None:
    name, size = b.insn.mnemonic[:-1], _SIZES[b.insn.mnemonic[-1]]
    segments = [op.memory.segment for op in operands if op.memory and op.memory.base and op.memory.base.number == Gpr.RSI]
    done = b.call(name, size, b.insn.address_bits, int(segments[0] if segments else Seg.DS), int(_repeat(b)), faults=True)
    b.resume(b.select(done.ne(0), b.next_pc(), b.this_pc()))


def _repeat(b: Builder) -> Repeat:
    if "rep" in b.insn.prefixes:
        return Repeat.REP
    return Repeat.REPNE if "repne" in b.insn.prefixes else Repeat.NONE
