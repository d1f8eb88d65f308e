"""Guest RAM as a host mapping that can be copied in no time: copies share every page until one of them writes it.

RAM starts as anonymous memory.  The first copy puts its pages into a file in memory (memfd_create(2)), which is never written
again, and maps that file privately in their place; so does every copy.  Further copies take what was written since along one page
at a time, or through a new file when that is a lot.  Which pages were written, /proc/self/pagemap says (pagemap(5)).
"""
from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from collections.abc import Iterator

import numpy as np

from jit.state import PAGE_BITS, PAGE_SIZE

FEW_PAGES = 2048                        # copied one by one rather than with a new file: 8 MiB
READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE
MAP_FIXED, MAP_NORESERVE = 0x10, 0x4000                     # Linux
WRITE_SIZE = 1 << 30                    # bytes in one write
MAP_FAILED = ctypes.c_void_p(-1).value
PRESENT, OF_FILE = np.uint64(3 << 62), np.uint64(1 << 61)   # bits of an entry of pagemap: in memory or swapped; not private
PAGEMAP_ENTRY = 8

_libc = ctypes.CDLL(None, use_errno=True)
_mmap = _libc.mmap
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_munmap = _libc.munmap
_munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


def map_memory(size: int, flags: int = 0, file: int = -1, protection: int = READ_WRITE, at: int | None = None) -> int:
    """Address of a private mapping: of `file`, or of zeros.  Nothing is touched.  Raises OSError."""
    kind = mmap.MAP_PRIVATE | (mmap.MAP_ANONYMOUS if file < 0 else 0) | flags
    address = _mmap(at, size, protection, kind, file, 0)
    if address == MAP_FAILED:
        raise OSError(ctypes.get_errno(), f"the host does not map {size} bytes: {os.strerror(ctypes.get_errno())}")
    return int(address or 0)


def as_array(address: int, size: int) -> np.ndarray:
    """Bytes at `address`, which are unmapped when nobody has them any more."""
    buffer = (ctypes.c_uint8 * size).from_address(address)
    weakref.finalize(buffer, _munmap, address, size).atexit = False
    return np.frombuffer(buffer, np.uint8)


def zeros(count: int, dtype: np.dtype) -> np.ndarray:
    """A zeroed array that costs memory only where it is written."""
    size = max(count * dtype.itemsize, 1)
    return as_array(map_memory(size, MAP_NORESERVE), size)[:count * dtype.itemsize].view(dtype)


class Base:
    """Contents of RAM that no longer change, shared by all that map them."""

    def __init__(self, size: int):
        self.file = os.memfd_create("guest RAM", os.MFD_CLOEXEC)
        weakref.finalize(self, os.close, self.file)
        os.ftruncate(self.file, size)

    def take(self, ram: np.ndarray, pages: np.ndarray) -> None:
        """Fill in the numbered pages."""
        for start, end in _runs(pages):
            self.write(ram, start, end)

    def write(self, ram: np.ndarray, start: int, end: int) -> None:
        for at in range(start, end, WRITE_SIZE):
            os.pwrite(self.file, ram[at:min(at + WRITE_SIZE, end)], at)

    def runs(self, size: int) -> Iterator[tuple[int, int]]:
        """Where it is not a hole."""
        at = 0
        while at < size:
            try:
                start = os.lseek(self.file, at, os.SEEK_DATA)
            except OSError:                                     # only a hole is left
                return
            at = os.lseek(self.file, start, os.SEEK_HOLE)
            yield start, at


class Ram:
    """`size` bytes, a multiple of the page size; `array` shows them."""

    def __init__(self, size: int, base: Base | None = None):
        self.size, self.base = size, base
        self.address = map_memory(size, file=base.file if base else -1)
        self.array = as_array(self.address, size)

    def copy(self) -> Ram:
        """RAM with the same contents.  Neither sees what the other writes from now on."""
        pages = self.own_pages()
        if self.base is None or len(pages) > FEW_PAGES:
            self._freeze(pages)
            pages = pages[:0]
        made = Ram(self.size, self.base)
        for start, end in _runs(pages):
            made.array[start:end] = self.array[start:end]
        return made

    def become(self, other: Ram) -> None:
        """Take over the contents of other RAM, of the same size, without moving."""
        source = other.copy()
        assert source.base
        map_memory(self.size, MAP_FIXED, source.base.file, at=self.address)
        self.base = source.base
        for start, end in _runs(source.own_pages()):
            self.array[start:end] = source.array[start:end]

    def own_pages(self) -> np.ndarray:
        """Numbers of the pages that were written since they were last shared."""
        with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
            pagemap.seek((self.address >> PAGE_BITS) * PAGEMAP_ENTRY)
            entries = np.frombuffer(pagemap.read((self.size >> PAGE_BITS) * PAGEMAP_ENTRY), np.uint64)
        return np.flatnonzero((entries & PRESENT != 0) & (entries & OF_FILE == 0))

    def _freeze(self, pages: np.ndarray) -> None:
        """All contents into a new file, mapped where RAM is."""
        base = Base(self.size)
        for start, end in self.base.runs(self.size) if self.base else ():
            base.write(self.array, start, end)
        base.take(self.array, pages)
        map_memory(self.size, MAP_FIXED, base.file, at=self.address)
        self.base = base


def _runs(pages: np.ndarray) -> Iterator[tuple[int, int]]:
    """Bytes from and to of each run of consecutive page numbers."""
    if len(pages):
        for run in np.split(pages, np.flatnonzero(np.diff(pages) != 1) + 1):
            yield int(run[0]) * PAGE_SIZE, (int(run[-1]) + 1) * PAGE_SIZE
