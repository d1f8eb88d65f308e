"""Back ends are interchangeable: same blocks, same instruction counts at the same points, same final state, bit for bit."""
from __future__ import annotations

import hashlib
import subprocess
import sys
from functools import cache
from random import Random
from typing import Any

import pytest

from emu.cli.parser import parse
from jit.backends import BACKENDS, find
from jit.engine import Engine
from jit.state import Exit, common_fields
from jit.x86.front import X86Front
from machines import Pc
from machines.cpu_view import architectural_state
from machines.guests import asm, hotplug
from tests.isa.test_x86_programs import instruction
from tests.jit.guest import CODE, DATA, OTHER_CODE, STACK_TOP, WINDOW, Guest

OTHERS = tuple(name for name in BACKENDS if name != "native")
PROGRAMS = {"bytecode": 60, "numba": 3}
LENGTH, LOOPS, MOST_SLICES = 24, 5, 400
COMMON = {name for name, *_ in common_fields(3)}
NOT_COMPARED = {"scratch", "padding", "host_mxcsr", "result", "aux"}        # of no meaning after an instruction, or compared as flags
UNMAPPED = WINDOW + 0x1000
SPECIAL = (
    "movq xmm0, rax", "movq xmm1, [rdi]", "paddd xmm0, xmm1", "mulpd xmm1, xmm0", "cvtsi2sd xmm2, rcx", "divsd xmm2, xmm1",
    "sqrtps xmm3, xmm2", "movdqu [rdi + 0x20], xmm0", "movups xmm3, [rdi + 7]", "pshufd xmm1, xmm0, 0x1b", "stmxcsr [rdi]",
    "fild qword ptr [rdi]", "fstp tbyte ptr [rdi + 8]", "fld tbyte ptr [rdi + 8]", "mul rbx", "imul rcx, rdx, 77", "imul r8",
    "mov ecx, 5; mov rsi, rsp; sub rsi, 64; cld; rep movsb", "bt rax, rcx", "bsf rdx, rbx", "bswap r9", "shld rax, rcx, cl",
    "popcnt rcx, rcx", "cmpxchg [rsp - 16], rbx", "lock add dword ptr [rdi + 4], eax", "pushfq; pop rdx", "push rbx; popfq",
    "call over; over: pop rax", "mov rdi, 0x30ff9", "mov rdi, 0x30100", "lea rdx, [rip]; jmp rdx", "adc [rdi + 1], rax", "cpuid",
)


def text_of(seed: int) -> str:
    """A loop of random instructions; some programs end in a fault."""
    rng = Random(f"back ends {seed}")
    lines = [rng.choice(SPECIAL) if rng.random() < 0.4 else instruction(rng) for _ in range(LENGTH)]
    lines = [line.replace("over", f"over{i}").replace("jmp rdx", f"add rdx, 3; jmp rdx; next{i}: nop") for i, line in enumerate(lines)]
    for i in sorted(rng.sample(range(LENGTH - 3), 3), reverse=True):
        lines.insert(i + 3, f"skip{i}: nop")
        lines.insert(i, f"j{rng.choice(('e', 'ne', 'b', 'ae', 's', 'ns', 'o', 'p', 'l', 'g'))} skip{i}")
    last = rng.choice(("hlt", "hlt", "div r14", f"mov rax, {UNMAPPED:#x}; add [rax], rbx", "ud2"))
    return "; ".join([f"mov r15d, {LOOPS}; top: nop", *lines, "dec r15d; jne top", "xor r14d, r14d", last])


def start(backend: str, seed: int) -> Guest:
    rng = Random(f"start {seed}")
    guest = Guest(lambda vcpu, call, a, b, c: 0, backend=backend)
    guest.code(text_of(seed))
    guest.write(DATA, rng.randbytes(0x2000))
    for register in ("rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10"):
        guest[register] = rng.choice((rng.getrandbits(64), rng.getrandbits(8), 1 << 63))
    guest["rsp"], guest["rdi"] = STACK_TOP - 0x100, DATA + 0x100
    return guest


def run(guest: Guest, seed: int) -> list[tuple[Exit, int, int]]:
    """In slices of random length, to a HLT or a triple fault; after each slice why it ended, pc, instructions so far."""
    rng, vcpu, trace = Random(f"slices {seed}"), guest.cpu, []
    vcpu.state["pc"] = CODE
    while not trace or trace[-1][0] not in (Exit.HALT, Exit.SHUTDOWN):
        reason = vcpu.run(rng.choice((1, 2, 3, 7, 20, 100)), 0)
        trace.append((reason, int(vcpu.state["pc"]), vcpu.retired))
        assert len(trace) < MOST_SLICES
    return trace


def final_state(guest: Guest) -> dict[str, Any]:
    """What a guest could know: registers, flags, all of RAM."""
    state = guest.cpu.state
    names = [name for name in state.dtype.names if name not in COMMON | NOT_COMPARED]
    return {**{name: state[name].tolist() for name in names}, "flags": guest.cpu.call("flags_image"),
            "ram": hashlib.sha256(guest.engine.ram).hexdigest()}


@cache
def native(seed: int) -> tuple[list[tuple[Exit, int, int]], dict[str, Any]]:
    guest = start("native", seed)
    return run(guest, seed), final_state(guest)


@pytest.mark.parametrize("backend, seed", [(name, seed) for name in OTHERS for seed in range(PROGRAMS[name])])
def test_a_random_program_takes_the_same_steps_to_the_same_state(backend: str, seed: int) -> None:
    guest = start(backend, seed)
    trace, (expected_trace, expected) = run(guest, seed), native(seed)
    assert trace == expected_trace, text_of(seed)
    assert final_state(guest) == expected, text_of(seed)


def test_random_programs_end_in_faults_and_without() -> None:
    ends = {native(seed)[0][-1][1] >= CODE for seed in range(PROGRAMS["bytecode"])}
    assert ends == {True, False}


# --- the embedded guest
@cache
def handshake(backend: str) -> tuple[str, list[int], dict[str, Any], str]:
    """Boot, plug a CPU, unplug it: serial text, virtual times of the steps, CPU 0, all of RAM."""
    times = []
    with Pc(memory="16M", smp="1,sockets=4,maxcpus=4", kernel=hotplug.image(), backend=backend) as vm:
        vm.serial.expect("ready", within="100 ms")
        times.append(vm.clock.now)
        socket = next(each for each in vm.qmp.query_hotpluggable_cpus() if each["props"]["socket-id"] == 1)
        vm.qmp.device_add(driver=socket["type"], id="cpu1", **socket["props"])
        vm.serial.expect(hotplug.online_line(1).strip(), within="1 s")
        times.append(vm.clock.now)
        vm.qmp.device_del(id="cpu1")
        vm.serial.expect("cpu 1 ejected", within="1 s")
        times += [vm.clock.now, vm.statistics().instructions, vm.statistics().blocks]
        return vm.serial.text, times, architectural_state(vm, 0), hashlib.sha256(vm.engine.ram).hexdigest()


def test_the_hot_plug_guest_does_on_bytecode_what_it_does_on_native_code() -> None:
    assert handshake("bytecode") == handshake("native")


GREETING = """
start:
    cli
    mov esp, 0x200000
    mov esi, offset text
    mov edx, 0x3f8
again:
    mov al, [esi]
    test al, al
    jz done
    out dx, al
    inc esi
    jmp again
done:
    hlt
    jmp done
text: .asciz "hello from a small guest\\n"
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_small_multiboot_guest_runs_everywhere(backend: str) -> None:
    with Pc(memory="16M", kernel=asm.multiboot_elf(GREETING.replace("offset ", "")), backend=backend) as vm:
        vm.serial.expect("hello from a small guest\n", within="10 ms")


# --- choosing one
def test_an_unknown_back_end_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ValueError, match="no back end 'magic'; choose one of native, bytecode, numba"):
        find("magic")


@pytest.mark.parametrize("arguments, expected", (([], "bytecode"), (["-accel", "numachine,backend=native"], "native")))
def test_the_command_line_chooses_and_else_the_environment(arguments: list[str], expected: str,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMACHINE_BACKEND", "bytecode")
    machine = Pc.from_options(parse(["-S", "-m", "16M", *arguments]), [])
    assert machine.config.backend == expected
    machine.close()


def test_a_code_cache_that_overflows_changes_nothing_on_bytecode() -> None:
    """A function that is changed before every call needs a new block every time."""
    guest = Guest(backend="bytecode", arena_size=1 << 20)
    guest.code("mov eax, 5; ret", OTHER_CODE)
    guest.code(f"mov ecx, 3000; mov rbx, {OTHER_CODE}; top: inc dword ptr [rbx + 1]; call rbx; dec ecx; jne top; hlt")
    assert guest.halts()["rax"] == 3005
    assert guest.engine.statistics().cache_flushes > 0


IMPORTED = """
import sys
from tests.jit.guest import Guest
guest = Guest(backend={backend!r})
guest.code("mov eax, 1; hlt")
guest.halts()
print(*sorted({{name.partition(".")[0] for name in sys.modules}} & {{"numba", "llvmlite"}}))
"""


def imported(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("backend, modules", (("native", "llvmlite"), ("bytecode", "")))
def test_a_warm_start_imports_no_numba_and_bytecode_not_even_llvm(backend: str, modules: str) -> None:
    Engine(X86Front(), 1 << 20, lambda *_: 0)                           # now the caches are warm
    assert imported(IMPORTED.format(backend=backend)) == modules


def test_importing_the_package_of_devices_loads_no_engine() -> None:
    assert imported("import sys, emu; print('jit' in sys.modules, 'numpy' in sys.modules)") == "False False"


