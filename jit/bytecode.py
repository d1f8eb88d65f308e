"""The reference back end: the micro-ops of a block become the source of one Python function, which is then compile()d.

Slow, exact, and steppable in a debugger.  Every expression comes from `ir.OPS`.  The source knows the CPU record, guest memory
and runtime functions only through calls of primitives and word functions, so another set of those under the same names (numba's
intrinsics) makes it a second back end; that one must spell values wider than 64 bits and the signed operations its own way.

A block function takes the host address of a CPU record.  It refuses to start without budget, charges the whole block at its
start, and gives the rest back when an instruction faults.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jit import memory, primitives
from jit.ir import FOR_WRITE, OPS, Slot, Uop
from jit.state import NO_ERROR_CODE, NO_WHERE, Leave
from jit.words import REGISTRY

MASK64 = (1 << 64) - 1
LEFT, PC, FAULT, WHERE, LEAVE = (memory.Cpu.offset(name) for name in ("left", "pc", "fault", "where", "leave"))
BlockFunction = Callable[[int], int]
_ACCESSES = {"load", "store", "probe", "call", "host", "raise_if"}


@dataclass(frozen=True)
class Step:
    """One guest instruction of a block: its micro-ops, where it is, and how it reads."""

    uops: Sequence[Uop]
    pc: int
    text: str = ""


def compile_block(steps: Sequence[Step], next_pc: int, number: int = 0) -> BlockFunction:
    """The function of a block.  `next_pc` is where control falls through to; `number` goes into cpu.where.
    The source is kept as its `source` attribute."""
    source = block_source(steps, next_pc, number)
    namespace: dict[str, Any] = {**primitives.REFERENCE, **HELPERS}
    for step in steps:
        for name in (u.data[0] for u in step.uops if u.op == "call"):
            namespace[f"nm_{name}"] = REGISTRY[name]
    exec(compile(source, f"<block {steps[0].pc:#x}>", "exec"), namespace)  # noqa: S102 (our own source)
    function: BlockFunction = namespace["block"]
    function.source = source  # type: ignore[attr-defined]
    return function


def block_source(steps: Sequence[Step], next_pc: int, number: int = 0) -> str:
    """Python source of a block: one comment line and a few statements for each instruction."""
    count = len(steps)
    lines = ["def block(cpu):",
             f"    left = load64(cpu + {LEFT})",
             "    if slt(0, left) == 0:",
             f"        store64(cpu + {LEAVE}, {int(Leave.HEAD)})",
             "        return 0",
             f"    store64(cpu + {LEFT}, (left - {count}) & {MASK64})"]
    ended = False
    for index, step in enumerate(steps):
        lines.append(f"    # {step.pc:#x} {step.text}".rstrip())
        body = _Instruction(step, number << 8 | index, count - index)
        lines += ["    " + line for line in body.lines()]
        ended = body.ended
    if not ended:
        lines += ["    " + line for line in _end(next_pc)]
    return "\n".join(lines) + "\n"


def _end(pc: int | str | None) -> list[str]:
    set_pc = [f"store64(cpu + {PC}, {pc})"] if pc is not None else []
    return [*set_pc, f"store64(cpu + {LEAVE}, {int(Leave.NEXT)})", f"store64(cpu + {WHERE}, {NO_WHERE})", "return 0"]


class _Instruction:
    """Source lines of one instruction."""

    def __init__(self, step: Step, where: int, rest: int):
        self.step, self.where, self.rest = step, where, rest
        self.ended = False

    def lines(self) -> Iterator[str]:
        if any(u.op in _ACCESSES for u in self.step.uops):
            yield f"store64(cpu + {WHERE}, {self.where})"
        for uop in self.step.uops:
            method = getattr(self, f"_{uop.op}", None)
            yield from method(uop) if method else self._pure(uop)

    def _pure(self, uop: Uop) -> Iterator[str]:
        a = uop.args[0]
        operand_bits = uop.bits if not OPS[uop.op].compare else a.bits
        names = {letter: str(value) for letter, value in zip("abc", uop.args)}
        text = OPS[uop.op].python.format(
            **names, bits=operand_bits, mask=hex((1 << operand_bits) - 1), sign=hex(1 << (operand_bits - 1)),
            from_sign=hex(1 << (a.bits - 1)))
        yield f"{uop.out} = {text}"

    def _const(self, uop: Uop) -> Iterator[str]:
        yield f"{uop.out} = {uop.data:#x}"

    def _hole(self, uop: Uop) -> Iterator[str]:
        raise ValueError(f"the operand {uop.data!r} is open: decode the instruction with concrete=True")

    # --- the CPU record
    def _get(self, uop: Uop) -> Iterator[str]:
        yield f"{uop.out} = load{uop.bits}({_place(uop.data)})"

    def _put(self, uop: Uop) -> Iterator[str]:
        yield f"store{uop.args[0].bits}({_place(uop.data)}, {uop.args[0]})"

    _put_flags = _put

    def _slot_address(self, uop: Uop) -> Iterator[str]:
        yield f"{uop.out} = {_place(uop.data)}"

    # --- what may fault
    def _load(self, uop: Uop) -> Iterator[str]:
        for_write = "_for_write" if uop.data == FOR_WRITE else ""
        yield f"{uop.out} = load_guest{for_write}(cpu, {uop.args[0]}, {uop.bits // 8})"
        yield self._check()

    def _store(self, uop: Uop) -> Iterator[str]:
        yield f"store_guest(cpu, {uop.args[0]}, {uop.args[1]}, {uop.data // 8})"
        yield self._check()

    def _probe(self, uop: Uop) -> Iterator[str]:
        yield f"probe_slow(cpu, {uop.args[0]}, {uop.data})"
        yield self._check()

    def _call(self, uop: Uop) -> Iterator[str]:
        name, faults = uop.data
        yield f"{uop.out} = nm_{name}({', '.join(['cpu', *map(str, uop.args)])})"
        if faults:
            yield self._check()

    def _host(self, uop: Uop) -> Iterator[str]:
        asm, constraints = uop.data
        values = "".join(f", ({a}, {a.bits})" for a in uop.args)
        target = f"{uop.out} = " if uop.bits else ""
        yield f"{target}run_host({asm!r}, {constraints!r}, {uop.bits}{values})"

    def _raise_if(self, uop: Uop) -> Iterator[str]:
        vector, code = uop.data
        error = NO_ERROR_CODE if code is None else code
        yield f"if {uop.args[0]}: set_fault(cpu, {int(vector)}, {error}, 0)"
        yield self._check()

    def _check(self) -> str:
        return f"if load64(cpu + {FAULT}): return fault_leave(cpu, {self.step.pc}, {self.rest})"

    # --- the end of the block
    def _goto(self, uop: Uop) -> list[str]:
        return self._finish(str(uop.args[0]))

    _indirect = _goto

    def _branch(self, uop: Uop) -> list[str]:
        condition, target, otherwise = uop.args
        return self._finish(f"{target} if {condition} else {otherwise}")

    def _leave(self, uop: Uop) -> list[str]:
        return self._finish(None)

    def _finish(self, pc: str | None) -> list[str]:
        self.ended = True
        return _end(pc)


def _place(slot: Slot) -> str:
    if not isinstance(slot.offset, int):
        raise ValueError(f"the register {slot.offset!r} is open: decode the instruction with concrete=True")
    return f"cpu + {slot.offset + slot.displacement}"


# --- what a block calls beside primitives: guest accesses of any width, wide record fields, faults
def _pieces(size: int) -> Iterator[tuple[int, int]]:
    """(offset, size) of the 8-byte pieces that an access is made of, and its rest."""
    for at in range(0, size, 8):
        yield at, min(8, size - at)


def _load_guest(cpu: int, address: int, size: int) -> int:
    if size <= 8:
        return memory.load_slow(cpu, address, size)
    value = 0
    for at, part in _pieces(size):
        value |= memory.load_slow(cpu, (address + at) & MASK64, part) << (8 * at)
    return value


def _load_guest_for_write(cpu: int, address: int, size: int) -> int:
    return 0 if memory.probe_slow(cpu, address, size) else _load_guest(cpu, address, size)


def _store_guest(cpu: int, address: int, value: int, size: int) -> None:
    if size <= 8:
        memory.store_slow(cpu, address, value, size)
    elif not memory.probe_slow(cpu, address, size):
        for at, part in _pieces(size):
            if memory.store_slow(cpu, (address + at) & MASK64, (value >> (8 * at)) & MASK64, part):
                return


def _load_record(bits: int) -> Callable[[int], int]:
    def load(address: int) -> int:
        return sum(memory.host_load(address + at, part) << (8 * at) for at, part in _pieces(bits // 8))

    return load


def _store_record(bits: int) -> Callable[[int, int], int]:
    def store(address: int, value: int) -> int:
        for at, part in _pieces(bits // 8):
            memory.host_store(address + at, (value >> (8 * at)) & MASK64, part)
        return 0

    return store


def _fault_leave(cpu: int, pc: int, rest: int) -> int:
    """Leave at a fault: the instruction at `pc` and what follows it in the block, `rest` together, have not run."""
    load64, store64 = primitives.REFERENCE["load64"], primitives.REFERENCE["store64"]
    store64(cpu + PC, pc)
    store64(cpu + LEFT, load64(cpu + LEFT) + rest)
    store64(cpu + LEAVE, int(Leave.FAULT))
    return 0


def _run_host(asm: str, constraints: str, bits: int, *values: tuple[int, int]) -> int:
    from jit import hostcode                                        # only vector and x87 code needs LLVM

    return hostcode.run(asm, constraints, bits, *values)


def _sdiv(a: int, b: int) -> int:
    """Towards zero, unlike Python's."""
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _srem(a: int, b: int) -> int:
    return a - b * _sdiv(a, b)


HELPERS: dict[str, Any] = {
    "_sdiv": _sdiv, "_srem": _srem,
    "load_guest": _load_guest, "load_guest_for_write": _load_guest_for_write, "store_guest": _store_guest,
    "set_fault": memory.set_fault, "probe_slow": memory.probe_slow,
    "fault_leave": _fault_leave, "run_host": _run_host,
    **{f"load{bits}": _load_record(bits) for bits in (80, 128)},
    **{f"store{bits}": _store_record(bits) for bits in (80, 128)},
}
