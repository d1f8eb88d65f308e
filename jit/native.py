"""The native back end: stencils (jit/stencil.py) that the compiled translator copies into an arena of executable memory.

The whole run loop is compiled; Python is asked only for forms that were never met and through the callback.
"""
from __future__ import annotations

import ctypes
from functools import cache
from typing import TYPE_CHECKING, Any

import llvmlite.binding as llvm
import numpy as np

from jit import library, runtime
from jit.arena import Arena, trampoline
from jit.codecache import Engine as EngineLayout
from jit.glue import glue_module
from jit.region import Regions
from jit.state import Call, Exit, Trace
from jit.work import UNDEFINED, WORK_SIZE

if TYPE_CHECKING:
    from jit.engine import Engine, Vcpu

FIXED_SIZE = 2 << 20                    # of the arena: glue, trampolines, constants
BUDGET, UNCHAINED = int(Exit.BUDGET), int(Trace.UNCHAINED)
NEW_FORM, NEW_PAIR = int(Call.NEW_FORM), int(Call.NEW_PAIR)


class Native:
    """What an Engine (jit/engine.py) asks of its back end; fills in the fields of the ENGINE record that are its own.  Raises
    OSError where the host forbids executable memory."""

    name = "native"

    def __init__(self, engine: Engine, progress: runtime.Progress | None, arena_size: int):
        self.engine, self.front, self.words = engine, engine.front, engine.words
        self.library = runtime.load(self.front.modules, progress)
        self.arena = Arena(arena_size)
        for name in ("walk", "raise_fault", "before_step", "after_step", "watch", "form_key", "form_fill"):
            self.words[name] = self.library.address(getattr(self.front, name))
        self.words["work"] = engine.array(WORK_SIZE, np.uint8)
        self._bind_decoders()
        self._bind_glue()
        self.stencils = library.shared(self, progress)
        self.helpers = self._bind_helpers()
        self.words["arena_start"] = self.words["arena_next"] = self.arena.base + FIXED_SIZE
        self.words["arena_end"] = self.arena.base + self.arena.size
        self.regions = Regions(self) if engine.regions else None

    def _bind_decoders(self) -> None:
        import capstone

        w = self.words
        for name in ("registers", "traits"):
            w[name] = getattr(self.front, name).ctypes.data
        self.decoders = self.front.decoders()
        handles = [getattr(decoder.csh, "value", decoder.csh) for decoder in self.decoders]
        w["decoders"][:len(handles)] = handles
        allocate = capstone._cs.cs_malloc
        allocate.restype, allocate.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
        w["decoded"] = allocate(handles[0])
        w["decode"] = ctypes.cast(capstone._cs.cs_disasm_iter, ctypes.c_void_p).value

    def _bind_glue(self) -> None:
        glue = _glue(type(self.front))
        word = ctypes.c_uint64
        self._callback = ctypes.CFUNCTYPE(word, word, word, word, word, word)(self._called)
        w = self.words
        w["enter"], w["callback"] = (glue.get_function_address(name) for name in ("enter", "callback_guard"))
        w["python_callback"] = ctypes.cast(self._callback, ctypes.c_void_p).value
        self._guarded = ctypes.CFUNCTYPE(word, word, word, word)(glue.get_function_address("run_guarded"))
        self._run = self.library.address("run")

    def _bind_helpers(self) -> np.ndarray:
        """A trampoline for every runtime function that code may call; their addresses in the order of `stencils.helpers`."""
        names = self.stencils.helpers.index
        return np.array([self.arena.put(trampoline(self.library.address(name))) for name in names], np.uint64)

    # --- running
    def enter(self, vcpu: Vcpu) -> int:
        """Run until an Exit."""
        start = vcpu.now
        reason = self._guarded(vcpu.address, self._run, 0)
        if self.regions and reason == BUDGET and not int(self.words["trace"]) & UNCHAINED:
            self.regions.slice_ended(vcpu, vcpu.now - start)
        return reason

    def call(self, vcpu: Vcpu, name: str, *argument: int) -> int:
        """A runtime function that may call back, with the guest's floating-point environment as in enter()."""
        return self._guarded(vcpu.address, self.library.address(name), *argument or (0,))

    def host_code(self, start: int) -> str:
        """The machine code, disassembled, of the block that has just been translated to `start`."""
        import capstone

        code = ctypes.string_at(start, int(self.words["arena_next"]) - start)
        host = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        return "\n".join(f"{i.address:#x}:  {i.bytes.hex():<24} {i.mnemonic} {i.op_str}" for i in host.disasm(code, start))

    def _called(self, cpu: int, call: int, a: int, b: int, c: int) -> int:
        if call not in (NEW_FORM, NEW_PAIR):
            return self.engine.called(cpu, call, a, b, c)
        try:
            mode = int(self.words["mode"]) | (library.PAIR if call == NEW_PAIR else 0)
            return self.stencils.add(ctypes.string_at(a, b), mode, c)
        except BaseException as error:  # noqa: BLE001 (carried to the caller of run)
            self.engine.fail(cpu, error)
            self.words["broken"] = 1
            return UNDEFINED

    # --- housekeeping
    def statistics(self) -> dict[str, int]:
        """Its part of jit.engine.Statistics."""
        w: Any = self.words
        return {"code_bytes": int(w["arena_next"] - w["arena_start"]), "forms": self.stencils.count,
                "forms_built": self.stencils.built, **(self.regions.statistics() if self.regions else {})}

    def save(self) -> None:
        """Keep what was compiled for the next start."""
        self.stencils.save()

    def close(self) -> None:
        """Let go of host memory."""
        self.stencils.detach(self)
        self.regions = None
        self.arena.close()


@cache
def _glue(front: Any) -> Any:
    """The compiled glue of a front end, for all engines of the process."""
    runtime.initialize_llvm()
    module = llvm.parse_assembly(glue_module(front.layout, EngineLayout, front.mxcsr_field))
    compiled = llvm.create_mcjit_compiler(module, runtime.target_machine())
    compiled.finalize_object()
    return compiled
