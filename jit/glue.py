"""C-convention code around the compiled world: entering blocks, and the floating-point environment at its borders.

While guest code runs, the host's MXCSR is the guest's with all exceptions masked; `run_guarded` loads it and puts the host's own
back, and so does `callback_guard` around every call of Python.  The host's x87 exception flags are clear when guest code goes on.
"""
from __future__ import annotations

from jit.words import Layout

ALL_MASKED = 0x1F80
STICKY = 0x3F


def glue_module(layout: Layout, engine: Layout, mxcsr_field: str | None) -> str:
    """LLVM text of enter, run_guarded and callback_guard."""
    mxcsr = layout.offset(mxcsr_field) if mxcsr_field else None
    return f"""
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)

define void @enter(i64 %cpu, ptr %code) noredzone {{
  call preserve_nonecc void %code(i64 %cpu)
  ret void
}}
{_switch("to_guest", mxcsr, _TO_GUEST)}
{_switch("to_host", mxcsr, _TO_HOST)}
define i64 @run_guarded(i64 %cpu, ptr %function, i64 %argument) {{
  %cell = alloca i32
  call void @to_guest(i64 %cpu, ptr %cell)
  %result = call i64 %function(i64 %cpu, i64 %argument)
  call void @to_host(i64 %cpu, ptr %cell)
  ret i64 %result
}}
define i64 @callback_guard(i64 %cpu, i64 %call, i64 %a, i64 %b, i64 %c) {{
  %cell = alloca i32
  call void @to_host(i64 %cpu, ptr %cell)
  %place = add i64 %cpu, {layout.offset("engine")}
  %pointer = inttoptr i64 %place to ptr
  %engine = load i64, ptr %pointer
  %place2 = add i64 %engine, {engine.offset("python_callback")}
  %pointer2 = inttoptr i64 %place2 to ptr
  %function = load ptr, ptr %pointer2
  %result = call i64 %function(i64 %cpu, i64 %call, i64 %a, i64 %b, i64 %c)
  call void @to_guest(i64 %cpu, ptr %cell)
  ret i64 %result
}}
"""


_TO_GUEST = f"""
  %guest = load i64, ptr %field
  %masked = or i64 %guest, {ALL_MASKED}
  %word = trunc i64 %masked to i32
  store i32 %word, ptr %cell
  call void @llvm.x86.sse.ldmxcsr(ptr %cell)
  call void asm sideeffect "fnclex", ""()"""

_TO_HOST = f"""
  call void @llvm.x86.sse.stmxcsr(ptr %cell)
  %now = load i32, ptr %cell
  %raised = and i32 %now, {STICKY}
  %wide = zext i32 %raised to i64
  %guest = load i64, ptr %field
  %merged = or i64 %guest, %wide
  store i64 %merged, ptr %field
  store i32 {ALL_MASKED}, ptr %cell
  call void @llvm.x86.sse.ldmxcsr(ptr %cell)"""


def _switch(name: str, mxcsr: int | None, body: str) -> str:
    lines = f"""
  %at = add i64 %cpu, {mxcsr}
  %field = inttoptr i64 %at to ptr{body}""" if mxcsr is not None else ""
    return f"define internal void @{name}(i64 %cpu, ptr %cell) alwaysinline {{{lines}\n  ret void\n}}"
