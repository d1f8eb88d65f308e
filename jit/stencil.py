"""Stencils: instruction forms compiled once to machine code with holes.

A form becomes one or two functions (with and without its flag writes); LLVM emits an object; its relocations say where the
holes are.  The result is plain data, kept on disk, that the translator copies and patches (jit/emit.py).
"""
from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from elftools.elf.elffile import ELFFile

from jit.ir import Uop
from jit.lower import HOLE, Function, Helpers, Module
from jit.state import Leave
from jit.words import Layout

# Every hole has a number: the translator fills an array of values for each instruction, and relocations index it.
HOLES = [f"{kind}{operand}" for kind in "rbxdmaiwt" for operand in range(4)] + ["next", "pc", "where", "tlb", "count", "link"]
HOLE_NUMBER = {name: number for number, name in enumerate(HOLES)}
CONTINUATIONS = ["NEXT", "GOTO0", "GOTO1", "FAULT", "LEAVE"]
FIRST_CONTINUATION = 64                 # relocations against a continuation have this number plus its index
CONSTANT = 96                           # relocation against the constant area: the addend is an offset there

ABS8, ABS16, ABS32, ABS64, REL32, *_NARROW = range(10)
# The low 8, 16 or 32 bits of a hole, zero-extended in a wider field.
LOW8_IN_16, LOW8_IN_32, LOW16_IN_32, LOW8_IN_64, LOW32_IN_64 = _NARROW
_NARROW_KINDS = {(ABS8, 8): ABS8, (ABS16, 16): ABS16, (ABS32, 32): ABS32, (ABS16, 8): LOW8_IN_16, (ABS32, 8): LOW8_IN_32,
                 (ABS32, 16): LOW16_IN_32, (ABS64, 8): LOW8_IN_64, (ABS64, 32): LOW32_IN_64}
RELOCATION_KINDS = {1: ABS64, 2: REL32, 4: REL32, 10: ABS32, 11: ABS32, 12: ABS16, 14: ABS8}    # R_X86_64_*
TAIL_JUMP = 5                           # bytes of a final `jmp NEXT` that falling through makes unnecessary


@dataclass(frozen=True)
class Code:
    """One function's bytes and relocations (offset, kind, number, addend)."""

    text: bytes
    relocations: tuple[tuple[int, int, int, int], ...]
    droppable: bool                     # ends in `jmp NEXT`


def compile_module(module: Module) -> tuple[dict[str, Code], bytes]:
    """Every function of the module, and the constants they refer to.  Raises RuntimeError with LLVM's words."""
    import llvmlite.binding as llvm     # here, so that back ends without stencils need no LLVM

    from jit.runtime import initialize_llvm

    initialize_llvm()
    parsed = llvm.parse_assembly(module.text())
    machine = _machine()
    builder = llvm.create_pass_builder(machine, llvm.PipelineTuningOptions(speed_level=2))
    builder.getModulePassManager().run(parsed, builder)
    return _read_object(ELFFile(io.BytesIO(machine.emit_object(parsed))))


_machines: list[Any] = []


def _machine() -> Any:
    """SSE encodings only: guest vector state passes through the same registers as host snippets in SSE encoding."""
    import llvmlite.binding as llvm

    if not _machines:
        target = llvm.Target.from_default_triple()
        _machines.append(target.create_target_machine(opt=2, reloc="static", codemodel="small", cpu="x86-64-v2"))
    return _machines[0]


def _read_object(elf: ELFFile) -> tuple[dict[str, Code], bytes]:
    symbols = elf.get_section_by_name(".symtab")
    text_section = elf.get_section_by_name(".text")
    text = text_section.data()
    constants, places = read_constants(elf)
    found: list[tuple[int, int, int, int]] = []
    rela = elf.get_section_by_name(".rela.text")
    for relocation in rela.iter_relocations() if rela else ():
        symbol = symbols.get_symbol(relocation["r_info_sym"])
        number, extra = _reference(symbol, places)
        kind = _relocation_kind(symbol.name, RELOCATION_KINDS[relocation["r_info_type"]])
        found.append((relocation["r_offset"], kind, number, relocation["r_addend"] + extra))
    functions = {}
    for symbol in symbols.iter_symbols():
        if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_shndx"] != "SHN_UNDEF":
            start, size = symbol["st_value"], symbol["st_size"]
            inside = tuple((at - start, *rest) for at, *rest in found if start <= at < start + size)
            functions[symbol.name] = Code(text[start:start + size], inside, _droppable(inside, size))  # type: ignore[arg-type]
    return functions, constants


def read_constants(elf: ELFFile) -> tuple[bytes, dict[int, int]]:
    """Read-only data sections joined, and where each section (by index) begins."""
    data, places = b"", {}
    for index, section in enumerate(elf.iter_sections()):
        if section.name.startswith(".rodata"):
            data += bytes(-len(data) % 16)
            places[index] = len(data)
            data += section.data()
    return data, places


def _reference(symbol: Any, places: dict[int, int]) -> tuple[int, int]:
    name = symbol.name
    if name.startswith(HOLE):
        return HOLE_NUMBER[name[len(HOLE):].partition(".")[0]], 0
    if name in CONTINUATIONS:
        return FIRST_CONTINUATION + CONTINUATIONS.index(name), 0
    if symbol["st_shndx"] in places:
        return CONSTANT, places[symbol["st_shndx"]] + symbol["st_value"]
    raise RuntimeError(f"a stencil refers to {name!r}, which the loader does not know")


def _relocation_kind(symbol: str, kind: int) -> int:
    """The kind for a hole of which only so many bits count as its symbol's name ends in."""
    bits = symbol.partition(".")[2] if symbol.startswith(HOLE) else ""
    return _NARROW_KINDS[kind, int(bits)] if bits else kind


def _droppable(relocations: Iterable[tuple[int, ...]], size: int) -> bool:
    return any(at == size - 4 and kind == REL32 and number == FIRST_CONTINUATION for at, kind, number, _ in relocations)


class Stub(Function):
    """Fixed pieces of code around instructions: block entries, ways out, constant jumps."""

    def cold(self) -> None:
        """Where a block's entry leads without budget, or once the block is dead."""
        self.store_field("link", self.hole("where"))
        self.go_out("pc", Leave.HEAD)
        self.close()

    def link(self) -> None:
        """A direct jump whose target has no block yet: the dispatcher finds it and patches the jump."""
        self.store_field("link", self.hole("link"))
        self.go_out("next", Leave.LINK)
        self.close()

    def out(self) -> None:
        """Leave with pc set."""
        self.go_out("next")
        self.close()

    def jump(self) -> None:
        """A direct jump to another page: through the jump cache, because that page's mapping may have changed."""
        target = self.hole("next")
        entry = self.emit(f"add i64 %cpu, {self.hole('link')}")
        pc, mode, code = (
            self.emit(f"load i64, ptr {self.pointer(self.emit(f'add i64 {entry}, {self._jump_offset(n)}'))}")
            for n in ("pc", "mode", "code"))
        self.branch_to(self.emit(f"icmp eq i64 {pc}, {target}"), "same", "miss", "!prof !8")
        self.label("same")
        self.branch_to(self.emit(f"icmp eq i64 {mode}, {self.load_field('mode')}"), "hit", "miss", "!prof !8")
        self.label("hit")
        self.lines += [f"musttail call preserve_nonecc void {self.pointer(code)}(i64 %cpu) #0", "ret void"]
        self.label("miss")
        self.go_out("next")
        self.close()

    def fault(self) -> None:
        self.store_field("leave", int(Leave.FAULT))
        self.lines.append("ret void")
        self.close()

    def leave(self) -> None:
        """Back to the dispatcher; `leave` says Leave.NEXT unless a runtime function put something else there."""
        self.lines.append("ret void")
        self.close()

    def go_out(self, pc_hole: str, reason: Leave | None = None) -> None:
        self.store_field("pc", self.hole(pc_hole))
        if reason is not None:
            self.store_field("leave", int(reason))
        self.lines.append("ret void")


STUBS = ["head", "head_unchecked", "cold", "link", "out", "jump", "fault", "leave"]
GOTO0 = FIRST_CONTINUATION + CONTINUATIONS.index("GOTO0")
# Block entries are assembled by hand: three instructions, of which LLVM makes eight.  cpu is in r12, `left` its first field.
ENTRIES = {
    # cmpq $0, (%r12); jle GOTO0 (the cold way out: the budget is used up); subq $count, (%r12)
    "head": Code(bytes.fromhex("49833c2400 0f8e00000000 49812c2400000000"),
                 ((7, REL32, GOTO0, -4), (15, ABS32, HOLE_NUMBER["count"], 0)), droppable=False),
    # a single-instruction block runs whatever the budget says
    "head_unchecked": Code(bytes.fromhex("49812c2400000000"), ((4, ABS32, HOLE_NUMBER["count"], 0),), droppable=False),
}


def stub_module(layout: Layout) -> Module:
    assert layout.offset("left") == 0
    module = Module()
    for name in STUBS:
        if name not in ENTRIES:
            getattr(Stub(module, f"stub_{name}", layout, Helpers()), name)()
    return module


def without_flags(uops: list[Uop]) -> list[Uop]:
    return [uop for uop in uops if uop.op != "put_flags"]
