"""From a region's shape to machine code as plain data: LLVM, the object's relocations, and the cache on disk."""
from __future__ import annotations

import io
import marshal
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from functools import cache as remember
from importlib import import_module
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
from elftools.elf.elffile import ELFFile

from jit import cache
from jit.lower import Module
from jit.region_build import RegionFunction, read
from jit.region_flags import Plan, Retry
from jit.region_shape import Shape
from jit.runtime import initialize_llvm
from jit.stencil import ABS64, RELOCATION_KINDS, read_constants
from jit.words import Layout

CONSTANTS = ".constants"                # relocations against the region's read-only data; the addend is an offset there
HOST_EXTRAS = ("bmi", "bmi2", "lzcnt", "popcnt", "movbe")   # no vector extensions: guest vector code uses SSE encodings


@dataclass(frozen=True)
class RegionCode:
    """One region, to be placed anywhere."""

    text: bytes
    constants: bytes
    relocations: tuple[tuple[int, int, str, int], ...]      # offset, kind, symbol, addend
    tables: tuple[tuple[int, int], ...]                     # words of `constants` (offset) that point into `text` (offset)
    exits: tuple[int, ...]                                  # pcs of the symbols X0, X1...


def obtain(shape: Shape, layout: Layout, isa: Any) -> tuple[RegionCode, bool]:
    """A region's code, and whether it had to be compiled.  Raises Rejected."""
    key = cache.key("region 2", _sources(), shape.key)
    image = cache.read("regions", key)
    if image is not None:
        return RegionCode(*marshal.loads(image)), False     # noqa: S302 (our own file; plain data)
    code = compile_region(shape, layout, isa)
    cache.write("regions", key, marshal.dumps(astuple(code)))
    return code, True


def compile_region(shape: Shape, layout: Layout, isa: Any) -> RegionCode:
    program, plan = read(shape, isa), Plan()
    while True:
        module = Module()
        function = RegionFunction(module, program, plan, layout, isa)
        try:
            function.build()
            break
        except Retry as lack:
            getattr(plan, lack.name).add(lack.block)
    return RegionCode(*emit(module.text()), tuple(function.exits))


def emit(text: str) -> tuple[Any, ...]:
    """The first four fields of RegionCode, of the one function in a module."""
    initialize_llvm()
    module = llvm.parse_assembly(text)
    module.verify()
    passes = llvm.create_new_module_pass_manager()
    passes.add_sroa_pass()
    passes.add_simplify_cfg_pass()
    passes.run(module, llvm.create_pass_builder(_machine(), llvm.PipelineTuningOptions()))
    return _read(ELFFile(io.BytesIO(_machine().emit_object(module))))


@remember
def _machine() -> Any:
    target = llvm.Target.from_default_triple()
    host = llvm.get_host_cpu_features()
    features = ",".join(f"+{name}" for name in HOST_EXTRAS if host.get(name))
    return target.create_target_machine(opt=2, reloc="static", codemodel="small", cpu="x86-64-v2", features=features)


def _read(elf: ELFFile) -> tuple[Any, ...]:
    symbols = elf.get_section_by_name(".symtab")
    constants, places = read_constants(elf)
    found = []
    rela = elf.get_section_by_name(".rela.text")
    for relocation in rela.iter_relocations() if rela else ():
        symbol = symbols.get_symbol(relocation["r_info_sym"])
        name, addend = symbol.name, relocation["r_addend"]
        if symbol["st_shndx"] in places:
            name, addend = CONSTANTS, addend + places[symbol["st_shndx"]] + symbol["st_value"]
        found.append((relocation["r_offset"], RELOCATION_KINDS[relocation["r_info_type"]], name, addend))
    return elf.get_section_by_name(".text").data(), constants, tuple(found), tuple(_tables(elf, places))


def _tables(elf: ELFFile, places: dict[int, int]) -> Iterator[tuple[int, int]]:
    """Jump tables: relocations of read-only data against the code."""
    text = next(i for i, section in enumerate(elf.iter_sections()) if section.name == ".text")
    symbols = elf.get_section_by_name(".symtab")
    for section in elf.iter_sections():
        if section["sh_type"] == "SHT_RELA" and section["sh_info"] in places:
            for relocation in section.iter_relocations():
                symbol = symbols.get_symbol(relocation["r_info_sym"])
                if symbol["st_shndx"] != text or RELOCATION_KINDS.get(relocation["r_info_type"]) != ABS64:
                    raise RuntimeError("a region's constants refer to something that is not its code")
                yield places[section["sh_info"]] + relocation["r_offset"], symbol["st_value"] + relocation["r_addend"]


@remember
def _sources() -> str:
    """Text of everything that decides what regions look like."""
    names = ("jit.ir", "jit.lower", "jit.region_build", "jit.region_flags", "jit.region_object", "jit.state", "jit.x86.state", "jit.x86.builder",
             "jit.x86.flags", "jit.x86.insn", "jit.x86.region", "jit.hostcode")
    text = [Path(str(import_module(name).__file__)).read_text() for name in names]
    folder = Path(str(import_module("jit.x86.semantics").__file__)).parent
    return "\n".join([*text, *(p.read_text() for p in sorted(folder.glob("*.py")))])
