"""Snapshots in files: a machine's state and its RAM, written in one step and checked before anything is touched.

A file is a magic number and a version, then sections, each a name of 8 bytes, a length, contents, and a BLAKE2b of all of these:
    state   the tree of machines/snapshot.py as JSON, bytes as {"base64": "..."}
    ram     size of the RAM mapping, a bitmap of the pages that are not zero, those pages
    end     nothing
All numbers are little-endian.  Loading runs no code: there is no pickle in it.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import struct
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from emu.migration import Written
from emu.snapshot import SnapshotError
from machines.memory import PAGE
from machines.snapshot import State, capture, check, restore

if TYPE_CHECKING:
    from machines.pc import X86Pc

MAGIC = b"numachine state\n"
VERSION = 1
VERSION_FIELD = struct.Struct("<I")
SECTION_HEAD = struct.Struct("<8sQ")  # name, length of the contents
RAM_HEAD = struct.Struct("<Q")  # bytes of the mapping
DIGEST_SIZE = 16
STATE, RAM, END = "state", "ram", "end"
SECTIONS = (STATE, RAM, END)
PAGES_AT_A_TIME = 4096
LARGEST_STATE = 64 << 20  # bytes

Target = str | os.PathLike[str] | BinaryIO


# --- writing
def write(vm: X86Pc, target: Target) -> Written:
    """Save the machine to a file, or to a file object.  A file of that name is replaced when the new one is complete.

    Raises OSError."""
    if isinstance(target, (str, os.PathLike)):
        with _replacing(Path(target)) as file:
            return _write(vm, file)
    return _write(vm, target)


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file beside `path` that takes its place in the end, on the disk and not only in memory; on errors it goes."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False) as file:
        try:
            yield file  # type: ignore[misc]
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(file.name)
            raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write(vm: X86Pc, file: BinaryIO) -> Written:
    size = file.write(MAGIC + VERSION_FIELD.pack(VERSION))
    text = json.dumps(capture(vm), default=_bytes_as_json, separators=(",", ":")).encode()
    size += _write_section(file, STATE, len(text), [text])
    used = pages_in_use(vm.engine.ram)
    size += _write_ram(file, vm.engine.ram, used)
    return Written(size + _write_section(file, END, 0, []), int(used.sum()))


def _write_section(file: BinaryIO, name: str, length: int, pieces: Iterable[Any]) -> int:
    """Returns how many bytes it takes in the file."""
    head = SECTION_HEAD.pack(name.encode(), length)
    digest = blake2b(head, digest_size=DIGEST_SIZE)
    file.write(head)
    for piece in pieces:
        digest.update(piece)
        file.write(piece)
    file.write(digest.digest())
    return len(head) + length + DIGEST_SIZE


def _write_ram(file: BinaryIO, ram: np.ndarray, used: np.ndarray) -> int:
    bitmap = np.packbits(used).tobytes()
    pages, numbers = ram.reshape(-1, PAGE), np.flatnonzero(used)

    def pieces() -> Iterator[Any]:
        yield RAM_HEAD.pack(ram.size)
        yield bitmap
        for start in range(0, len(numbers), PAGES_AT_A_TIME):
            yield pages[numbers[start : start + PAGES_AT_A_TIME]].data

    return _write_section(file, RAM, RAM_HEAD.size + len(bitmap) + len(numbers) * PAGE, pieces())


def pages_in_use(ram: np.ndarray) -> np.ndarray:
    """Which pages of the mapping hold anything but zeros, as booleans."""
    return np.asarray(ram.view(np.uint64).reshape(-1, PAGE // 8).any(axis=1))


def _bytes_as_json(value: Any) -> dict[str, str]:
    if not isinstance(value, bytes):
        raise TypeError(f"{type(value).__name__} in a machine's state")
    return {"base64": base64.b64encode(value).decode()}


# --- reading
class Snapshot:
    """A snapshot that has been read and found whole: `state`, and the contents of RAM."""

    def __init__(self, state: State, ram_size: int, used: np.ndarray, pages: np.ndarray) -> None:
        self.state, self.ram_size = state, ram_size
        self._used, self._pages = used, pages

    def apply(self, vm: X86Pc) -> None:
        """Put the machine into this state, or leave it as it is and raise SnapshotError."""
        check(capture(vm), self.state)
        if self.ram_size != vm.engine.ram.size:
            raise SnapshotError(f"section ram: {self.ram_size} bytes of RAM and ROM, this machine has {vm.engine.ram.size}")
        restore(vm, self.state)
        pages = vm.engine.ram.reshape(-1, PAGE)
        pages[pages_in_use(vm.engine.ram) & ~self._used] = 0  # and no page that is zero already: it may not exist yet
        pages[self._used] = self._pages


def read(vm: X86Pc, source: Target) -> None:
    """Load a snapshot into the machine.

    Raises SnapshotError, the machine untouched, when it is damaged or of another machine; OSError when it cannot be read."""
    parse(contents(source)).apply(vm)


def contents(source: Target) -> bytes:
    return Path(source).read_bytes() if isinstance(source, (str, os.PathLike)) else source.read()


def parse(data: bytes) -> Snapshot:
    """A snapshot from the bytes of a file.  Raises SnapshotError for one that is not whole."""
    sections = _sections(data)
    ram = sections[RAM]
    try:
        state = json.loads(bytes(sections[STATE]), object_hook=_json_as_bytes)
        (size,) = RAM_HEAD.unpack_from(ram)
        bitmap = np.frombuffer(ram, np.uint8, -(-size // PAGE // 8), RAM_HEAD.size)
        used = np.unpackbits(bitmap, count=size // PAGE).astype(bool)
        pages = np.frombuffer(ram, np.uint8, offset=RAM_HEAD.size + len(bitmap)).reshape(int(used.sum()), PAGE)
    except (ValueError, struct.error, RecursionError) as error:
        raise SnapshotError(f"the snapshot was not written by this program: {error}") from None
    return Snapshot(state, size, used, pages)


def _sections(data: bytes) -> dict[str, memoryview]:
    """The contents of each section, all checksums compared."""
    view, at = memoryview(data), len(MAGIC) + VERSION_FIELD.size
    if len(data) < at or bytes(view[: len(MAGIC)]) != MAGIC:
        raise SnapshotError("this is no snapshot of numachine")
    (version,) = VERSION_FIELD.unpack_from(data, len(MAGIC))
    if version != VERSION:
        raise SnapshotError(f"the snapshot has format version {version}, this program reads version {VERSION}")
    found = {}
    for name in SECTIONS:
        found[name], at = _section(view, at, name)
    if at != len(data):
        raise SnapshotError(f"{len(data) - at} bytes follow the snapshot's end")
    return found


def _section(view: memoryview, at: int, name: str) -> tuple[memoryview, int]:
    """The section that starts at `at`, and where the next one does."""
    begin = at + SECTION_HEAD.size
    if begin > len(view):
        raise SnapshotError(f"the snapshot is cut short before section {name}")
    found, length = SECTION_HEAD.unpack_from(view, at)
    if found.rstrip(b"\0") != name.encode():
        raise SnapshotError(f"section {name} of the snapshot is damaged: it is called {found!r}")
    end = begin + length
    if end + DIGEST_SIZE > len(view):
        raise SnapshotError(f"the snapshot is cut short in section {name}: {len(view) - begin} bytes of {length + DIGEST_SIZE}")
    if blake2b(view[at:end], digest_size=DIGEST_SIZE).digest() != view[end : end + DIGEST_SIZE]:
        raise SnapshotError(f"section {name} of the snapshot is damaged: its checksum is wrong")
    return view[begin:end], end + DIGEST_SIZE


# --- files in a folder
def delete(path: str) -> None:
    """Remove a snapshot.  Raises SnapshotError when the file is none, OSError."""
    if _summary(Path(path)) is None:
        raise SnapshotError(f"'{path}' is no snapshot")
    os.unlink(path)


def listed(folder: str = ".") -> list[dict[str, Any]]:
    """The snapshots in a folder, by name: name, size (bytes), date, ns (of virtual time), instructions (of all CPUs)."""
    found = (_summary(path) for path in sorted(Path(folder).iterdir()) if path.is_file())
    return [each for each in found if each is not None]


def _summary(path: Path) -> dict[str, Any] | None:
    """What is known of a snapshot without reading its RAM; None for another file."""
    head = len(MAGIC) + VERSION_FIELD.size
    with open(path, "rb") as file:
        start = file.read(head + SECTION_HEAD.size)
        if not start.startswith(MAGIC) or len(start) < head + SECTION_HEAD.size:
            return None
        _, length = SECTION_HEAD.unpack_from(start, head)
        try:
            state = json.loads(file.read(min(length, LARGEST_STATE)))
            ns = int(state["parts"]["scheduler"]["_now"])
            instructions = sum(cpu["retired"] for cpu in state["cpus"].values())
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
    about = path.stat()
    return {"name": path.name, "size": about.st_size, "date": datetime.fromtimestamp(about.st_mtime), "ns": ns,
            "instructions": instructions}  # fmt: skip


def _json_as_bytes(value: dict[str, Any]) -> Any:
    if value.keys() != {"base64"}:
        return value
    try:
        return base64.b64decode(value["base64"], validate=True)
    except (binascii.Error, TypeError) as error:
        raise ValueError(f"bad base64: {error}") from None
