"""A vCPU stopped after any number of instructions goes on as if it had not stopped: same slices, same time, same results."""

from __future__ import annotations

import pytest

from jit.state import Exit
from tests.jit.guest import CODE, DATA, MMIO, Guest

BUDGET = 100
ENDLESS = f"jmp {CODE:#x}"
PROGRAMS = {
    "straight": "inc eax; add rbx, rax; mov [rsi], rbx; lea rcx, [rbx + rax]; " * 20 + ENDLESS,
    "flags": "inc eax; cmp eax, 7; jne on; xor eax, eax; on: adc rbx, rax; rcl rcx, 3; " + ENDLESS,
    "calls": f"call sub; inc ebx; {ENDLESS}; sub: push rbx; pop rcx; ret",
    "faults": f"inc eax; mov rbx, rax; mov rcx, [rdi + 0x40000000]; inc edx; {ENDLESS}",
    "devices": f"inc eax; mov rbx, [rdi]; mov [rdi], rax; rdtsc; add rcx, rax; nop; {ENDLESS}",
    "strings": f"mov ecx, 700; mov rdi, {DATA:#x}; rep stosb; mov ecx, 10000; mov rdi, {DATA:#x}; rep stosq; {ENDLESS}",
    "device strings": f"mov ecx, 300; mov rdi, {MMIO:#x}; rep stosb; inc ebx; {ENDLESS}",
    "shadow": f"sti; inc eax; mov ss, ebp; inc ebx; {ENDLESS}",
    "own code": f"lea r8, [rip + next]; inc byte ptr [r8 + 2]; nop; next: add eax, 1; inc ebx; {ENDLESS}",
}


def handler(vcpu, call, a, b, c):
    """A device that takes time, and every third time asks for attention."""
    vcpu.spend(13)
    vcpu.accesses = getattr(vcpu, "accesses", 0) + 1
    if vcpu.accesses % 3 == 0:
        vcpu.kick()
    return vcpu.now


def start(text, backend):
    guest = Guest(handler, backend=backend)
    guest.code(text)
    for name, value in (("rax", 1), ("rbx", 2), ("rcx", 3), ("rsi", DATA), ("rdi", MMIO), ("rbp", 0)):
        guest[name] = value
    guest.cpu.state["pc"] = CODE
    guest.cpu.call("update_mode")
    return guest


def look(guest):
    cpu, state = guest.cpu, guest.cpu.state
    return (cpu.now, cpu.retired, int(state["pc"]), state["gpr"].tolist(), cpu.call("flags_image"), int(state["single"]),
            guest.engine.ram[DATA:DATA + 0x14000].tobytes())  # fmt: skip


def slices(guest, count, stop_every=None):
    """Where `count` slices end, and what ended them.  `stop_every`: interrupted after every so many instructions."""
    found, now = [], 0
    for _ in range(count):
        end, reason = now + BUDGET, Exit.BUDGET
        guest.cpu.over = False
        guest.cpu.run(0, now)
        first = True
        while first or not guest.cpu.over:
            before = guest.cpu.retired
            reason = guest.cpu.run(end - now, now, False, None, stop_every)
            assert stop_every is None or guest.cpu.over or guest.cpu.retired == before + stop_every
            now, first = guest.cpu.now, False
        found.append((reason, look(guest)))
        if reason == Exit.HALT:
            guest.cpu.state["pc"] = CODE
    return found


@pytest.mark.parametrize("backend", ("native", "bytecode", pytest.param("numba", marks=pytest.mark.slow)))
@pytest.mark.parametrize("text", PROGRAMS.values(), ids=PROGRAMS)
@pytest.mark.parametrize("stop_every", (1, 2, 3, 7, 33, 64))
def test_stops_are_invisible(text, backend, stop_every):
    expected = slices(start(text, backend), 20)
    assert slices(start(text, backend), 20, stop_every) == expected


def test_registers_at_a_stop_are_those_of_that_instruction():
    guest = start("inc eax; inc eax; inc eax; inc eax; inc eax; hlt", "native")
    guest.cpu.run(1000, 0, False, None, 3)
    assert (guest["rax"], int(guest.cpu.state["pc"]), guest.cpu.retired) == (4, CODE + 6, 3)


def test_devices_see_the_same_time_in_a_block_that_is_stopped_in():
    text = "nop; rdtsc; mov rbx, rax; nop; nop; hlt"
    whole, parts = start(text, "native"), start(text, "native")
    whole.cpu.run(1000, 0)
    for _ in range(6):
        parts.cpu.run(1000 - parts.cpu.now if parts.cpu.retired else 1000, parts.cpu.now if parts.cpu.retired else 0, False, None, 1)
    assert parts["rbx"] == whole["rbx"]


def test_an_exception_in_a_callback_reaches_the_caller_from_within_a_part():
    guest = start("nop; nop; mov rax, [rdi]; nop; hlt", "native")
    guest.handler = lambda *_: 1 // 0
    guest.cpu.run(1000, 0, False, None, 1)
    with pytest.raises(ZeroDivisionError):
        guest.cpu.run(1000, guest.cpu.now, False, None, 3)
