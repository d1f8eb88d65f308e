"""Host vector and x87 instructions for the bytecode back end: `run` compiles a snippet of inline assembly once and calls it.

A snippet is the `host` micro-op of jit/ir.py: AT&T text with LLVM's operands, its constraint string, the width of its one
result, and argument values.  Arguments of 128 bits travel in vector registers, all others in general registers.

Floating-point environment.  While a snippet runs, the host's MXCSR is the guest's with every exception masked, and the
x87 unit is empty with control word 37Fh and no exception flags.  Between snippets Python runs under its own MXCSR; the
guest's waits in a cell.  A back end calls `enter(cpu.mxcsr)` when guest code starts and `leave()` when it stops: the
sticky flags that were raised meanwhile are in the word that `leave` returns.  For native code jit/glue.py keeps the same
rules, once per run and not per snippet.  Hosts: x86-64 only.
"""
from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from functools import cache
from typing import Any

MXCSR_MASKS = 0x1F80                    # all six exceptions masked; also the value after reset (SDM vol. 1 10.2.3)
MXCSR_FLAGS = 0x3F                      # sticky exception flags
X87_CONTROL = 0x37F                     # the process's own control word: all masked, 64-bit precision, to nearest
SLOT = 16                              # bytes per argument and for the result in the exchange area
_MAX_ARGS = 8
_area = (ctypes.c_uint8 * (SLOT * (_MAX_ARGS + 1) + SLOT))()
_base = (ctypes.addressof(_area) + SLOT - 1) & -SLOT
_mxcsr = ctypes.c_uint32(MXCSR_MASKS)
_saved = ctypes.c_uint32()
_engines: list[Any] = []                # keep the compiled code alive


class HostCodeError(RuntimeError):
    """This host, or this module, cannot run the snippet."""


def enter(mxcsr: int) -> int:
    """Guest code starts: its MXCSR (control bits and flags; exceptions are masked here).  Returns what was there before,
    for a caller that runs a guest inside another one's callback."""
    before = _mxcsr.value
    _mxcsr.value = mxcsr | MXCSR_MASKS
    return before


def leave() -> int:
    """Guest code stops: the sticky flags raised since `enter` (or there already) as MXCSR bits."""
    return _mxcsr.value & MXCSR_FLAGS


def run(asm: str, constraints: str, bits: int, *args: tuple[int, int]) -> int:
    """Execute a snippet.  Each argument is (value, width); the result has `bits` bits, 0 when there is none.

    Raises HostCodeError on a host that is not x86-64.  Text that LLVM's assembler refuses ends the process: LLVM does that.
    """
    function = _function(asm, constraints, bits, tuple(width for _value, width in args))
    for i, (value, _width) in enumerate(args):
        ctypes.memmove(_base + SLOT * (i + 1), value.to_bytes(SLOT, "little"), SLOT)
    function(_base, ctypes.addressof(_mxcsr), ctypes.addressof(_saved))
    return int.from_bytes(ctypes.string_at(_base, (bits + 7) // 8), "little") & ((1 << bits) - 1) if bits else 0


@cache
def _function(asm: str, constraints: str, bits: int, widths: tuple[int, ...]) -> Callable[[int, int, int], None]:
    """The compiled snippet: function(exchange area, guest's MXCSR, room for the host's)."""
    if platform.machine() not in ("x86_64", "AMD64"):
        raise HostCodeError("host floating point and vector instructions need an x86-64 host")
    if len(widths) > _MAX_ARGS:
        raise HostCodeError(f"a snippet takes at most {_MAX_ARGS} arguments, this one has {len(widths)}: {asm!r}")
    import llvmlite.binding as llvm     # here, so that guests without such code need no LLVM

    machine = _machine()
    try:
        module = llvm.parse_assembly(_source(asm, constraints, bits, widths))
    except RuntimeError as error:
        raise HostCodeError(f"the constraints {constraints!r} do not fit the snippet {asm!r}: {error}") from error
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    _engines.append(engine)
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    return prototype(engine.get_function_address("snippet"))


def snippet(asm: str, constraints: str, bits: int, widths: tuple[int, ...]) -> tuple[int, int, int, int]:
    """For callers that are compiled themselves: the address of the compiled snippet, and its three arguments.  Argument i goes
    to SLOT * (i + 1) of the first, the exchange area, 16 bytes wide; the result is at its start."""
    function = ctypes.cast(_function(asm, constraints, bits, widths), ctypes.c_void_p).value  # type: ignore[arg-type]
    return function or 0, _base, ctypes.addressof(_mxcsr), ctypes.addressof(_saved)


def llvm_type(bits: int) -> str:
    """The LLVM type in which a snippet sees a value: vectors for 128 bits, whole bytes otherwise."""
    return "<2 x i64>" if bits == 128 else f"i{max(bits, 8)}"


def _source(asm: str, constraints: str, bits: int, widths: tuple[int, ...]) -> str:
    loads, operands = [], []
    for i, width in enumerate(widths):
        kind = llvm_type(width)
        loads.append(f"%p{i} = getelementptr i8, ptr %area, i64 {SLOT * (i + 1)}\n  %a{i} = load {kind}, ptr %p{i}")
        operands.append(f"{kind} %a{i}")
    call = f'asm sideeffect "{llvm_text(asm)}", "{constraints}"({", ".join(operands)})'
    body = [f"%r = call {llvm_type(bits)} {call}", f"store {llvm_type(bits)} %r, ptr %area"] if bits else [f"call void {call}"]
    return "\n  ".join([
        "define void @snippet(ptr %area, ptr %guest, ptr %host) {", *loads,
        'call void asm sideeffect "stmxcsr ($0); ldmxcsr ($1); fnclex", "r,r,~{memory}"(ptr %host, ptr %guest)', *body,
        'call void asm sideeffect "stmxcsr ($1); ldmxcsr ($0)", "r,r,~{memory}"(ptr %host, ptr %guest)', "ret void\n}"])


def llvm_text(asm: str) -> str:
    """Assembly text as it stands between quotes in LLVM IR."""
    return asm.replace("\\", "\\5C").replace('"', "\\22").replace("\n", "\\0A").replace("\t", "\\09")


@cache
def _target() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    return llvm.Target.from_default_triple()


def _machine() -> Any:
    import llvmlite.binding as llvm

    return _target().create_target_machine(opt=1, cpu=llvm.get_host_cpu_name(), jit=True)
