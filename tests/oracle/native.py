"""Runs user-mode instructions on the host CPU, in 64-bit and in 32-bit (compatibility) mode.  Linux on x86-64 only.

A tiny static program, assembled here, is started once per batch.  It maps the layout of state.FLAT and the records (a
memfd on its standard input), and for each record: copies code and memory in, loads FXRSTOR image and registers, and
enters the code with IRETQ.  The code page is filled with INT3, so completion and faults alike arrive as a signal, whose
handler copies the registers out of the signal frame.  Nothing a case does can harm this process.
Not here: real mode, privileged instructions, cases that run on for ever (the batch raises NativeError).
"""
from __future__ import annotations

import os
import platform
import struct
import subprocess
import sys
from collections.abc import Sequence
from functools import cache

from .assembler import assemble
from .state import (
    FLAT,
    FXSAVE_SIZE,
    MAX_CODE,
    PAGE,
    Case,
    Fault,
    Flags,
    Result,
    State,
    Vector,
    Window,
    pack_fxsave,
    unpack_fxsave,
)

BATCH = 2048
TIMEOUT_SECONDS = 60


class NativeError(RuntimeError):
    """The runner itself failed: died, or hung on a case."""


def available() -> bool:
    """Whether this host can run x86-64 code this way."""
    return sys.platform == "linux" and platform.machine() == "x86_64"


# ---- a record: the state of one case, before and after ---------------------------------------------------------------
GPR_AT, RIP_AT, RFLAGS_AT, TRAP_AT, ERROR_AT, CR2_AT, CS_AT = 0, 128, 136, 144, 152, 160, 168
REGISTERS = struct.Struct("<22Q")               # 16 GPRs, rip, rflags, trap number, error code, cr2, cs
FXSAVE_AT = 256
CODE_AT = FXSAVE_AT + FXSAVE_SIZE
DATA_AT = 1024
STACK_AT = DATA_AT + FLAT.data_window.size
RECORD_SIZE = STACK_AT + FLAT.stack_window.size

USER_CS = {64: 0x33, 32: 0x23}                  # Linux's user code segments
USER_DS = 0x2B

# ---- the runner's own memory ------------------------------------------------------------------------------------------
IMAGE = 0x4000_0000                             # the ELF file
CONTROL = 0x4100_0000                           # current record, end of records, then the IRETQ frame
CURRENT, END, FRAME = 0, 8, 64                  # offsets in CONTROL, which RBP points at
RUNNER_STACK = CONTROL + PAGE
SIGNAL_STACK, SIGNAL_STACK_SIZE = 0x4200_0000, 0x20000
RECORDS = 0x5000_0000                           # first page: number of records

SYS_MMAP, SYS_SIGACTION, SYS_SIGALTSTACK, SYS_EXIT = 9, 13, 131, 60
PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4
MAP_SHARED, MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS = 1, 2, 0x10, 0x20
SIGNALS = {"SIGILL": 4, "SIGTRAP": 5, "SIGBUS": 7, "SIGFPE": 8, "SIGSEGV": 11, "SIGSYS": 31}
SA_SIGINFO, SA_RESTORER, SA_ONSTACK, SA_NODEFER = 4, 0x0400_0000, 0x0800_0000, 0x4000_0000
SIGSET_BYTES = 8

# Linux's struct ucontext on x86-64: uc_mcontext.gregs starts at 40.
GREGS = ("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rdi", "rsi", "rbp", "rbx", "rdx", "rax", "rcx", "rsp",
         "rip", "rflags", "csgsfs", "err", "trapno", "oldmask", "cr2", "fpstate")
GREG_AT = {name: 40 + 8 * i for i, name in enumerate(GREGS)}
RECORD_ORDER = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip", "rflags", "trapno", "err", "cr2")


def _mmap(address: int, size: str, protection: int, flags: int, fd: int) -> str:
    return (f"mov eax, {SYS_MMAP}; mov edi, {address}; mov rsi, {size}; mov edx, {protection}; "
            f"mov r10d, {flags | MAP_FIXED}; mov r8, {fd}; xor r9d, r9d; syscall; "
            f"cmp rax, {address}; jne failed;")


def _map_all() -> str:
    read_write, private = PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS
    return "".join([
        _mmap(FLAT.code, str(PAGE), read_write | PROT_EXEC, private, -1),
        _mmap(FLAT.data, str(2 * PAGE), read_write, private, -1),
        _mmap(FLAT.read_only, str(PAGE), PROT_READ, private, -1),
        _mmap(FLAT.stack, str(PAGE), read_write, private, -1),
        _mmap(CONTROL, str(PAGE), read_write, private, -1),
        _mmap(SIGNAL_STACK, str(SIGNAL_STACK_SIZE), read_write, private, -1),
        _mmap(RECORDS, str(PAGE), read_write, MAP_SHARED, 0),
        f"mov ebx, {RECORDS}; mov rbx, qword ptr [rbx]; imul rbx, rbx, {RECORD_SIZE}; add rbx, {PAGE};",
        _mmap(RECORDS, "rbx", read_write, MAP_SHARED, 0),
        f"mov ebp, {CONTROL}; add rbx, {RECORDS}; mov qword ptr [rbp + {END}], rbx;",
        f"mov qword ptr [rbp + {CURRENT}], {RECORDS + PAGE};",
        f"mov edi, {FLAT.code}; mov ecx, {PAGE}; mov eax, 0xcc; rep stosb;",
    ])


def _catch_signals() -> str:
    flags = SA_SIGINFO | SA_RESTORER | SA_ONSTACK | SA_NODEFER
    action = [f"mov rsp, {RUNNER_STACK}; push {SIGNAL_STACK_SIZE}; push 0; push {SIGNAL_STACK};",
              f"mov rdi, rsp; xor esi, esi; mov eax, {SYS_SIGALTSTACK}; syscall; test eax, eax; jne failed;",
              f"push 0; push 0; mov eax, {flags}; push rax; lea rax, [rip + handler]; push rax;"]
    for number in SIGNALS.values():
        action.append(f"mov edi, {number}; mov rsi, rsp; xor edx, edx; mov r10d, {SIGSET_BYTES}; "
                      f"mov eax, {SYS_SIGACTION}; syscall; test eax, eax; jne failed;")
    return "".join(action)


def _copy(destination: str | int, source: str | int, size: int) -> str:
    """Copies between an address known now (int) and a register expression (str)."""
    ends = [f"mov {register}, {place};" if isinstance(place, int) else f"lea {register}, [{place}];"
            for register, place in (("rsi", source), ("rdi", destination))]
    return "".join(ends) + f"mov ecx, {size}; rep movsb;"


def _windows(into_record: bool) -> str:
    text = ""
    for window, at in ((FLAT.data_window, DATA_AT), (FLAT.stack_window, STACK_AT)):
        record = f"rbx + {at}"
        text += _copy(record, window.base, window.size) if into_record else _copy(window.base, record, window.size)
    return text


def _enter_case() -> str:
    frame = [f"mov rax, qword ptr [rbx + {at}]; mov qword ptr [rbp + {FRAME + 8 * i}], rax;"
             for i, at in enumerate((RIP_AT, CS_AT, RFLAGS_AT, GPR_AT + 8 * 4))]
    loads = [f"mov {name}, qword ptr [rbx + {GPR_AT + 8 * i}];" for i, name in enumerate(RECORD_ORDER[:16])
             if name not in ("rsp", "rbx")]
    return "".join([
        "next:", f"mov ebp, {CONTROL}; mov rbx, qword ptr [rbp + {CURRENT}];",
        f"cmp rbx, qword ptr [rbp + {END}]; jae finished;",
        f"mov eax, {USER_DS}; mov ds, eax; mov es, eax;",
        _copy(FLAT.entry, f"rbx + {CODE_AT}", MAX_CODE), _windows(into_record=False),
        f"fxrstor64 [rbx + {FXSAVE_AT}];", *frame, f"mov qword ptr [rbp + {FRAME + 32}], {USER_DS};", *loads,
        f"mov rbx, qword ptr [rbx + {GPR_AT + 8 * 3}]; mov esp, {CONTROL + FRAME}; iretq;"])


def _leave_case() -> str:
    saves = [f"mov rax, qword ptr [rdx + {GREG_AT[name]}]; mov qword ptr [rbx + {8 * i}], rax;"
             for i, name in enumerate(RECORD_ORDER)]
    return "".join([
        "handler:", f"push {int(Flags.FIXED)}; popfq; mov ebp, {CONTROL}; mov rbx, qword ptr [rbp + {CURRENT}];",
        *saves,
        f"mov rdx, qword ptr [rdx + {GREG_AT['fpstate']}];", _copy(f"rbx + {FXSAVE_AT}", "rdx", FXSAVE_SIZE),
        _windows(into_record=True), f"add qword ptr [rbp + {CURRENT}], {RECORD_SIZE}; mov rsp, {RUNNER_STACK}; jmp next;"])


@cache
def _runner() -> bytes:
    """The runner as an ELF executable: one header, one loadable segment."""
    text = "".join([_map_all(), _catch_signals(), _enter_case(), _leave_case(),
                    f"finished: xor edi, edi; mov eax, {SYS_EXIT}; syscall;",
                    f"failed: mov edi, 1; mov eax, {SYS_EXIT}; syscall;"])
    header_size, program_header_size = 64, 56
    start = IMAGE + header_size + program_header_size
    code = assemble(text, 64, start)
    size = header_size + program_header_size + len(code)
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = identity + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, start, header_size, 0, 0, header_size,
                                    program_header_size, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, PROT_READ | PROT_EXEC, 0, IMAGE, IMAGE, size, size, PAGE)
    return header + segment + code


# ---- the interface -----------------------------------------------------------------------------------------------------

def run(case: Case) -> Result:
    """What the host CPU makes of one case.  For many cases `run_many` is far quicker."""
    return run_many([case])[0]


def run_many(cases: Sequence[Case]) -> list[Result]:
    """Results in the order of the cases.  Raises NativeError if a case hangs or breaks out."""
    results: list[Result] = []
    for at in range(0, len(cases), BATCH):
        results += _run_batch(cases[at:at + BATCH])
    return results


def _run_batch(cases: Sequence[Case]) -> list[Result]:
    records = _memfd("cases", struct.pack("<Q", len(cases)).ljust(PAGE, b"\0") + b"".join(map(_pack, cases)))
    program = _memfd("runner", _runner())
    try:
        status = _execute(program, records)
        done = os.pread(records, RECORD_SIZE * len(cases), PAGE)
    finally:
        os.close(records)
        os.close(program)
    if status:
        raise NativeError(f"the native runner ended with status {status} on one of {len(cases)} cases, first {cases[0]}")
    return [_unpack(case, memoryview(done)[RECORD_SIZE * i:RECORD_SIZE * (i + 1)]) for i, case in enumerate(cases)]


def _execute(program: int, records: int) -> int:
    path = f"/proc/self/fd/{program}"
    child = subprocess.Popen([path], executable=path, stdin=records, pass_fds=(program,), env={})
    try:
        return child.wait(TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired as error:
        child.kill()
        child.wait()
        raise NativeError(f"a case did not end within {TIMEOUT_SECONDS} s; does one of them loop?") from error


def _memfd(name: str, content: bytes) -> int:
    fd = os.memfd_create(name)
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view):]
    return fd


def _pack(case: Case) -> bytes:
    if case.mode not in USER_CS:
        raise ValueError(f"the host CPU runs 64- and 32-bit cases here, not mode {case.mode}: {case}")
    if len(case.code) > MAX_CODE:
        raise ValueError(f"a case has at most {MAX_CODE} bytes of code, this has {len(case.code)}: {case}")
    state = case.initial
    head = REGISTERS.pack(*state.gpr, case.layout.entry, state.rflags, 0, 0, 0, USER_CS[case.mode])
    record = bytearray(RECORD_SIZE)
    record[:len(head)] = head
    record[FXSAVE_AT:CODE_AT] = pack_fxsave(state)
    record[CODE_AT:CODE_AT + MAX_CODE] = case.code.ljust(MAX_CODE, b"\xcc")
    for window, at in ((FLAT.data_window, DATA_AT), (FLAT.stack_window, STACK_AT)):
        record[at:at + window.size] = state.memory[window.base]
    return bytes(record)


def _unpack(case: Case, record: memoryview) -> Result:
    registers = REGISTERS.unpack_from(record)
    state = State(gpr=list(registers[:16]), rip=registers[16], rflags=registers[17] & ~int(Flags.RF))
    unpack_fxsave(bytes(record[FXSAVE_AT:CODE_AT]), state)
    for window, at in ((FLAT.data_window, DATA_AT), (FLAT.stack_window, STACK_AT)):
        state.memory[window.base] = bytes(record[at:at + window.size])
    return Result(state, _fault(case, state, *registers[18:21]))


def _fault(case: Case, state: State, trap: int, error: int, cr2: int) -> Fault | None:
    if trap != Vector.BP:
        return Fault(trap, error, cr2 if trap == Vector.PF else 0)
    inside = Window(case.layout.entry, len(case.code)).contains(state.rip - 1)
    if inside:                                  # the case's own INT3, not the filler
        return Fault(Vector.BP)
    state.rip -= 1
    return None
