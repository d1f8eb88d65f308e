"""The reference back end's code: the micro-ops of a block become the source of one Python function, which is then compile()d.

Slow, exact, and steppable in a debugger.  Every expression comes from `ir.OPS`.  The source knows the CPU record, guest memory
and runtime functions only through names that a frame (jit/frame.py) gives it, so another set under the same names makes the
same text a second back end (jit/numba_blocks.py).  What goes on in the text:

    r8[n] r16[n] r32[n] r64[n]          the record as an array of such words; put80(cpu, offset, v) and the like beyond that
    read32(cpu, a), write32(cpu, a, v)  guest memory; update32 is the load of a read-modify-write, probe only checks
    add128(v1, v2)                      micro-ops on values wider than 64 bits; narrower ones are written out
    nm_name(cpu, ...), host_0(...)      runtime functions, host instructions

A block function takes the host address of a CPU record and what goes into cpu.where for its first instruction.  It refuses to
start without budget, charges the whole block at its start, and returns an End; when an instruction faults, cpu.where tells which,
and the dispatcher gives the rest of the budget back.  Not here: flag writes that nobody reads are not dropped, so this also checks the native back end's choice of those.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from types import CodeType

from jit.codecache import Cpu
from jit.ir import FOR_WRITE, Slot, Uop, Value, expression
from jit.state import NO_ERROR_CODE

MASK64 = (1 << 64) - 1
SIGN64 = 1 << 63
WORD = 8
LEFT, PC, FAULT, WHERE = (Cpu.offset(name) // WORD for name in ("left", "pc", "fault", "where"))
_ACCESSES = {"load", "store", "probe", "call", "host", "raise_if"}


class End(IntEnum):
    """What a block function returns."""

    GOTO0 = 0                           # its first direct jump, or it fell through; cpu.pc is the target
    GOTO1 = 1                           # its second
    INDIRECT = 2                        # a computed jump to cpu.pc
    LEAVE = 3                           # ask the dispatcher; a runtime function may have set cpu.leave
    FAULT = 4                           # exception cpu.fault of the instruction cpu.where
    HEAD = 5                            # no budget: it did not start


@dataclass(frozen=True)
class Step:
    """One guest instruction of a block: its micro-ops, where it is, and how it reads."""

    uops: Sequence[Uop]
    pc: int
    text: str = ""


@dataclass(frozen=True)
class Host:
    """A `host` micro-op: assembly text, constraints, width of the result, widths of the arguments."""

    asm: str
    constraints: str
    bits: int
    widths: tuple[int, ...]


@dataclass
class BlockSource:
    """Text of a block function, and the names in it that are not every block's."""

    text: str = ""
    calls: set[str] = field(default_factory=set)            # runtime functions, without prefix
    wide: set[tuple[str, int, int]] = field(default_factory=set)    # micro-ops by function: op, result bits, operand bits
    hosts: dict[str, Host] = field(default_factory=dict)
    targets: tuple[int | None, ...] = ()                    # of its direct jumps


def wide_name(op: str, bits: int, operand_bits: int) -> str:
    """The function of a micro-op on wide values: add128, zext64_128, eq128."""
    if op in ("zext", "sext", "trunc"):
        return f"{op}{operand_bits}_{bits}"
    return f"{op}{max(bits, operand_bits)}"


def block_source(steps: Sequence[Step], next_pc: int, checked: bool = True) -> BlockSource:
    """Python source of a block: one comment line and a few statements for each instruction.  `next_pc` is where control falls
    through to; `checked` is off for blocks that run whatever the budget says."""
    source, count = BlockSource(), len(steps)
    lines = ["def block(cpu, where):", f"    left = r64[{LEFT}]"]
    if checked:
        lines += [f"    if not 0 < left < {SIGN64:#x}:", f"        return {int(End.HEAD)}"]
    lines.append(f"    r64[{LEFT}] = (left - {count}) & {MASK64:#x}")
    for index, step in enumerate(steps):
        lines.append(f"    # {step.pc:#x} {step.text}".rstrip())
        body = _Instruction(source, step, index)
        lines += ["    " + line for line in body.lines()]
    if not body.ended:
        source.targets = (next_pc,)
        lines += ["    " + line for line in _end(End.GOTO0, f"{next_pc:#x}")]
    source.text = "\n".join(lines) + "\n"
    return source


def _end(end: End, pc: str) -> list[str]:
    return [f"r64[{PC}] = {pc}", f"return {int(end)}"]


class _Instruction:
    """Source lines of one instruction.  Constants and zero-extensions are no statements: `names` holds what stands for them."""

    def __init__(self, source: BlockSource, step: Step, index: int):
        self.source, self.step, self.index = source, step, index
        self.names: dict[int, str] = {}
        self.constants: dict[int, int] = {}
        self.ended = False

    def lines(self) -> Iterator[str]:
        if any(u.op in _ACCESSES for u in self.step.uops):
            yield f"r64[{WHERE}] = where + {self.index}"
        for uop in self.step.uops:
            method = getattr(self, f"_{uop.op}", None)
            yield from method(uop) if method else self._pure(uop)

    def _name(self, value: Value) -> str:
        return self.names.get(value.number, str(value))

    def _pure(self, uop: Uop) -> Iterator[str]:
        assert uop.out
        names, operand_bits = [self._name(a) for a in uop.args], uop.args[-1].bits
        if max(uop.bits, operand_bits) > 64:
            self.source.wide.add((uop.op, uop.bits, operand_bits))
            yield f"{uop.out} = {wide_name(uop.op, uop.bits, operand_bits)}({', '.join(names)})"
        elif uop.op == "zext":
            self.names[uop.out.number] = names[0]
        else:
            yield f"{uop.out} = {expression(uop.op, uop.bits, operand_bits, *names)}"

    def _const(self, uop: Uop) -> Iterator[str]:
        assert uop.out
        self.names[uop.out.number] = hex(uop.data)
        self.constants[uop.out.number] = uop.data
        return iter(())

    def _hole(self, uop: Uop) -> Iterator[str]:
        raise ValueError(f"the operand {uop.data!r} is open: decode the instruction with concrete=True")

    # --- the CPU record
    def _get(self, uop: Uop) -> Iterator[str]:
        offset, size = _offset(uop.data), uop.bits // 8
        yield f"{uop.out} = " + (f"get{uop.bits}(cpu, {offset})" if _odd(offset, size) else f"r{uop.bits}[{offset // size}]")

    def _put(self, uop: Uop) -> Iterator[str]:
        value, offset = uop.args[0], _offset(uop.data)
        size = value.bits // 8
        yield f"put{value.bits}(cpu, {offset}, {self._name(value)})" if _odd(offset, size) else \
            f"r{value.bits}[{offset // size}] = {self._name(value)}"

    _put_flags = _put

    def _slot_address(self, uop: Uop) -> Iterator[str]:
        yield f"{uop.out} = cpu + {_offset(uop.data)}"

    # --- what may fault
    def _load(self, uop: Uop) -> Iterator[str]:
        yield f"{uop.out} = {'update' if uop.data == FOR_WRITE else 'read'}{uop.bits}(cpu, {self._name(uop.args[0])})"
        yield self._check()

    def _store(self, uop: Uop) -> Iterator[str]:
        address, value = uop.args
        yield f"write{value.bits}(cpu, {self._name(address)}, {self._name(value)})"
        yield self._check()

    def _probe(self, uop: Uop) -> Iterator[str]:
        yield f"probe(cpu, {self._name(uop.args[0])}, {uop.data})"
        yield self._check()

    def _call(self, uop: Uop) -> Iterator[str]:
        name, faults = uop.data
        self.source.calls.add(name)
        yield f"{uop.out} = nm_{name}({', '.join(['cpu', *map(self._name, uop.args)])})"
        if faults:
            yield self._check()

    def _host(self, uop: Uop) -> Iterator[str]:
        host = Host(*uop.data, uop.bits, tuple(a.bits for a in uop.args))
        name = next((n for n, h in self.source.hosts.items() if h == host), f"host_{len(self.source.hosts)}")
        self.source.hosts[name] = host
        target = f"{uop.out} = " if uop.bits else ""
        yield f"{target}{name}({', '.join(map(self._name, uop.args))})    # {host.asm!r} {host.constraints!r}"

    def _raise_if(self, uop: Uop) -> Iterator[str]:
        vector, code = uop.data
        error = NO_ERROR_CODE if code is None else code
        yield f"if {self._name(uop.args[0])}: set_fault(cpu, {int(vector)}, {error:#x}, 0)"
        yield self._check()

    def _check(self) -> str:
        return f"if r64[{FAULT}]: return {int(End.FAULT)}"

    # --- the end of the block
    def _goto(self, uop: Uop) -> list[str]:
        return self._finish(End.GOTO0, uop.args[0])

    def _indirect(self, uop: Uop) -> list[str]:
        self.ended = True
        return _end(End.INDIRECT, self._name(uop.args[0]))

    def _branch(self, uop: Uop) -> list[str]:
        condition, target, otherwise = uop.args
        return [f"if {self._name(condition)}:", *("    " + line for line in self._finish(End.GOTO0, target)),
                *self._finish(End.GOTO1, otherwise)]

    def _leave(self, uop: Uop) -> list[str]:
        self.ended = True
        return [f"return {int(End.LEAVE)}"]

    def _finish(self, end: End, target: Value) -> list[str]:
        self.ended = True
        self.source.targets += (self.constants.get(target.number),)
        return _end(end, self._name(target))


def _odd(offset: int, size: int) -> bool:
    """Is this no element of the record as an array?"""
    return size > WORD or offset % size != 0


def _offset(slot: Slot) -> int:
    if not isinstance(slot.offset, int):
        raise ValueError(f"the register {slot.offset!r} is open: decode the instruction with concrete=True")
    return slot.offset + slot.displacement


@lru_cache(maxsize=20_000)
def code_of(text: str) -> CodeType:
    """The code object of a block function."""
    name = text.partition("# ")[2].partition("\n")[0]
    module = compile(text, f"<block {name}>", "exec")
    return next(constant for constant in module.co_consts if isinstance(constant, CodeType))
