"""What `-d` prints about running guest code: events, blocks, registers, instructions that are missing.

The engine reports through Call.TRACE what Tracer.refresh asked it for; without a mask it reports nothing and runs as ever.
One line a fact where that is possible, hexadecimal without 0x for what has a fixed width.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from emu import log
from jit.engine import BlockInfo, Vcpu
from jit.ir import show
from jit.state import NO_ERROR_CODE, Trace
from jit.work import MODE_SIZE, linear_pc
from jit.x86.interrupts import Event
from jit.x86.state import Gpr, Seg, Vector
from machines.cpu_view import CpuView

if TYPE_CHECKING:
    from machines.machine import Machine
    from machines.monitor_api import MonitorApi

WANTED = {
    "int": Trace.EVENT,
    "in_asm": Trace.TRANSLATED,
    "op": Trace.TRANSLATED,
    "out_asm": Trace.TRANSLATED,
    "exec": Trace.ENTERED | Trace.UNCHAINED,
    "cpu": Trace.ENTERED | Trace.UNCHAINED,
    "fpu": Trace.ENTERED | Trace.UNCHAINED,
    "nochain": Trace.UNCHAINED,
    "unimp": Trace.MISSING,
}
BYTES_SHOWN = 8  # of an instruction, before columns shift


class Tracer:
    """One machine's `-d`."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.engine = machine, machine.engine
        self.events = 0
        self._masks: set[str] = set()
        self._missing: set[str] = set()

    def refresh(self) -> None:
        """Follow emu.log.enabled.  Not while guest code runs."""
        if self._masks == log.enabled:
            return
        self._masks = set(log.enabled)
        wanted = Trace(0)
        for mask in self._masks & WANTED.keys():
            wanted |= WANTED[mask]
        if "nochain" in self._masks:
            log.log("nochain", "blocks are not chained: the dispatcher enters every one")
        self.engine.set_trace(wanted)

    def traced(self, vcpu: Vcpu, kind: int, b: int, c: int) -> int:
        """The engine's Call.TRACE."""
        if kind == Trace.EVENT:
            self._event(vcpu, b & 0xFF, Event(b >> 8), c)
        elif kind == Trace.ENTERED:
            self._entered(vcpu, self.engine.block(b))
        elif kind == Trace.TRANSLATED:
            self._translated(self.engine.block(b))
        else:
            self._lacking(self.engine.block(b))
        return 0

    def before_reset(self) -> None:
        """All present CPUs are about to be reset."""
        if "cpu_reset" in log.enabled:
            for index in sorted(self.machine.vcpus):
                log.log("cpu_reset", f"CPU Reset (CPU {index})\n{self._dump(index, vectors=True)}\n")

    # --- events
    def _event(self, vcpu: Vcpu, vector: int, kind: Event, code: int) -> None:
        state, number = vcpu.state, self.events
        self.events += 1
        error = "none" if code == NO_ERROR_CODE else f"{code:04x}"
        stack = f"{int(state['seg'][Seg.SS]['selector']):04x}:{int(state['gpr'][Gpr.RSP]):016x}"
        at = f"{int(state['seg'][Seg.CS]['selector']):04x}:{int(state['pc']):016x}"
        last = f"CR2={int(state['cr2']):016x}" if _is_page_fault(vector, kind) else f"RAX={int(state['gpr'][Gpr.RAX]):016x}"
        log.log("int", f"{number:6}: v={vector:02x} e={error} i={int(kind <= Event.TRAP)} cpl={int(state['cpl'])} IP={at} "
                       f"SP={stack} {last} CPU{vcpu.index} {event_name(vector, kind)}")  # fmt: skip

    # --- blocks
    def _entered(self, vcpu: Vcpu, block: BlockInfo) -> None:
        log.log("exec", f"Trace {vcpu.index}: {_linear(block):016x} mode {block.mode:x}, {len(block.instructions)} instructions")
        if self._masks & {"cpu", "fpu"}:
            text = self._registers(vcpu)
            log.log("cpu" if "cpu" in self._masks else "fpu", text)

    def _registers(self, vcpu: Vcpu) -> str:
        for index, each in self.machine.vcpus.items():
            if each.vcpu is vcpu:
                return self._dump(index, "fpu" in self._masks)
        return f"CPU {vcpu.index} has been ejected"

    def _dump(self, index: int, vectors: bool) -> str:
        return CpuView(cast("MonitorApi", self.machine), index).dump(vectors)

    def _translated(self, block: BlockInfo) -> None:
        if "in_asm" in self._masks:
            log.log("in_asm", "\n".join(["----------------", f"IN: {_linear(block):#x}", *map(_columns, self._lines(block)), ""]))
        if "op" in self._masks:
            log.log("op", "\n".join([f"OP: {_linear(block):#x}", *self._micro_ops(block), ""]))
        if "out_asm" in self._masks:
            log.log("out_asm", f"OUT: {_linear(block):#x}\n{self.engine.backend.host_code(block.host)}\n")

    def _lines(self, block: BlockInfo) -> list[tuple[int, bytes, str]]:
        """(linear address, bytes, assembly text) of each instruction."""
        away = _linear(block) - block.pc
        return [(pc + away, code, self._assembly(pc, code, block.mode)) for pc, code in block.instructions]

    @cached_property
    def _decoders(self) -> list[Any]:
        return self.engine.front.decoders()

    def _assembly(self, pc: int, code: bytes, mode: int) -> str:
        for _, _, mnemonic, operands in self._decoders[mode & MODE_SIZE].disasm_lite(code, pc, 1):
            return f"{mnemonic} {operands}".rstrip()
        return "(no instruction)"

    def _micro_ops(self, block: BlockInfo) -> list[str]:
        lines = []
        for pc, code in block.instructions:
            lines.append(f" ---- {pc:#x}: {self._assembly(pc, code, block.mode)}")
            found = self.engine.front.instruction(code, pc, block.mode)
            form = found[0] if found else self.engine.front.undefined()
            lines += [f" {line}" for line in show(form.uops).splitlines()]
        return lines

    # --- instructions without semantics
    def _lacking(self, block: BlockInfo) -> None:
        """Once for each shape: mnemonic and kinds of operands."""
        pc, code = block.instructions[-1]
        insn = next(self._decoders[block.mode & MODE_SIZE].disasm(code, pc, 1))
        shape = " ".join([insn.mnemonic, *(f"{operand.type}.{operand.size}" for operand in insn.operands)])
        if shape not in self._missing:
            self._missing.add(shape)
            log.unimp("cpu", f"no semantics for {insn.mnemonic} {insn.op_str} ({code.hex()}) at {_linear(block, pc):#x}: "
                             "it raises #UD in the guest")  # fmt: skip


def event_name(vector: int, kind: Event) -> str:
    """#PF, NMI, INT 80h, interrupt."""
    if kind == Event.SOFTWARE:
        return f"INT {vector:X}h"
    if kind == Event.EXTERNAL:
        return "NMI" if vector == Vector.NMI else "interrupt"
    return f"#{Vector(vector).name}"


def _is_page_fault(vector: int, kind: Event) -> bool:
    return kind == Event.EXCEPTION and vector == Vector.PF


def _linear(block: BlockInfo, pc: int | None = None) -> int:
    return linear_pc(block.pc if pc is None else pc, block.mode)


def _columns(line: tuple[int, bytes, str]) -> str:
    address, code, text = line
    return f"{address:#010x}:  {code.hex(' '):<{3 * BYTES_SHOWN}} {text}"
