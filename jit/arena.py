"""Host memory for code, and the few pieces of it that are assembled by hand.

The arena lies below 2 GiB, so that 32-bit relocations reach everything in it.
"""
from __future__ import annotations

import ctypes
import errno
import gc
import mmap
import struct
from weakref import WeakSet

import numpy as np

from jit.ram import MAP_NORESERVE, READ_WRITE, as_array, map_memory

MAP_32BIT = 0x40                        # Linux, x86-64
LOW_MEMORY = 1 << 30                    # bytes that it maps
SHARE = 8                               # of what is left, a machine gets one in so many parts at most
SMALLEST = 8 << 20                      # bytes with which a machine still runs

_live: WeakSet[Arena] = WeakSet()


class Arena:
    """`size` bytes that are readable, writable and executable, or fewer where many machines share the 1 GiB of such memory.
    Raises OSError where the host forbids that, or has none left."""

    def __init__(self, size: int):
        self.base, self.size = _map_low(size)
        self.memory: np.ndarray | None = as_array(self.base, self.size)
        self.next = self.base
        _live.add(self)

    def put(self, code: bytes) -> int:
        """Append bytes, 16-byte aligned; their address."""
        at = (self.next + 15) & -16
        ctypes.memmove(at, code, len(code))
        self.next = at + len(code)
        return at

    def reserve(self, size: int) -> int:
        """Zeros, which cost nothing until they are written."""
        at = self.next = (self.next + 15) & -16
        self.next += size
        return at

    def close(self) -> None:
        self.memory = None
        _live.discard(self)


def _map_low(size: int) -> tuple[int, int]:
    """Address and size of what could be had: a share of what is left, so that further machines find some."""
    left = LOW_MEMORY - sum(arena.size for arena in _live)
    size, smallest = min(size, max(left // SHARE & -mmap.PAGESIZE, SMALLEST)), min(size, SMALLEST)
    try:
        return _map_exactly(size), size
    except OSError:
        gc.collect()                    # engines that are garbage still hold theirs
    try:
        return _map_exactly(smallest), smallest
    except OSError as error:
        if error.errno != errno.ENOMEM or not _live:
            raise
        raise OSError(error.errno, f"{len(_live)} machines are alive, and there is no memory below 2 GiB for the code of one more; "
                                   "close() some", "translated code") from None


def _map_exactly(size: int) -> int:
    return map_memory(size, MAP_32BIT | MAP_NORESERVE, protection=READ_WRITE | mmap.PROT_EXEC)


# push rbp; mov rbp, rsp; push rcx, rdx, rsi, rdi, r8-r11; and rsp, -16; mov rax, imm64; call rax
_TRAMPOLINE_HEAD = bytes.fromhex("55 4889e5 51 52 56 57 4150 4151 4152 4153 4883e4f0 48b8")
# lea rsp, [rbp - 64]; pop r11-r8, rdi, rsi, rdx, rcx; pop rbp; ret
_TRAMPOLINE_TAIL = bytes.fromhex("ffd0 488d65c0 415b 415a 4159 4158 5f 5e 5a 59 5d c3")


def trampoline(target: int) -> bytes:
    """Calls a C function from a place whose stack is not aligned, keeping every general register but rax."""
    return _TRAMPOLINE_HEAD + struct.pack("<Q", target) + _TRAMPOLINE_TAIL
