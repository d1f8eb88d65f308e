"""A Linux program that reserves most of one CPU: with one such task for each CPU, the kernel can spare none.

It asks for the policy SCHED_DEADLINE (sched_setattr(2)) and sleeps.  A CPU's share that is reserved stays reserved while
the task sleeps, and the kernel refuses to take a CPU offline whose share the others cannot carry (EBUSY).
ELF-64 specification: file header, one program header.
"""

from __future__ import annotations

import struct
from functools import cache

from machines.guests.asm import assemble

BASE = 0x40_0000
HEADERS = 64 + 56  # bytes: file header, one program header
EXECUTABLE, X86_64, LOAD, READ_EXECUTE = 2, 62, 1, 5
SCHED_SETATTR, PAUSE, EXIT = 314, 34, 60  # system calls
SCHED_DEADLINE = 6
PERIOD_NS, RUNTIME_NS = 10_000_000, 9_000_000

SOURCE = f"""
    mov eax, {SCHED_SETATTR}
    xor edi, edi                # this task
    mov esi, attributes
    xor edx, edx                # no flags
    syscall
    test eax, eax
    js refused
sleep:
    mov eax, {PAUSE}
    syscall
    jmp sleep
refused:
    mov edi, eax
    neg edi                     # the error is the exit status
    mov eax, {EXIT}
    syscall
attributes:                     # struct sched_attr: size, policy, flags, nice, priority; runtime, deadline, period in ns
    .long 48, {SCHED_DEADLINE}
    .quad 0
    .long 0, 0
    .quad {RUNTIME_NS}, {PERIOD_NS}, {PERIOD_NS}
"""


@cache
def program() -> bytes:
    """The executable."""
    entry = BASE + HEADERS
    code = assemble(SOURCE, entry, 64)
    size = HEADERS + len(code)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)  # 64 bits, little-endian, version 1
    header = ident + struct.pack("<HHIQQQIHHHHHH", EXECUTABLE, X86_64, 1, entry, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", LOAD, READ_EXECUTE, 0, BASE, BASE, size, size, 0x1000)
    return header + segment + code
