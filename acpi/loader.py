"""The table linker/loader script of fw_cfg (`etc/table-loader`) and an interpreter for it.

Firmware allocates the named files, adds addresses to the pointers in them and fixes checksums.  A script is a list of
128-byte little-endian commands.  A machine that boots a kernel directly runs the same script itself: `link`.
Not here: WRITE_POINTER, which tells the emulator where firmware put a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from .tables import checksum

ENTRY_LENGTH = 128
FILE_NAME_LENGTH = 56


class Command(IntEnum):
    ALLOCATE = 1
    ADD_POINTER = 2
    ADD_CHECKSUM = 3


class Zone(IntEnum):
    HIGH = 1
    F_SEGMENT = 2


def _file(name: str) -> bytes:
    encoded = name.encode("ascii")
    if len(encoded) >= FILE_NAME_LENGTH:
        raise ValueError(f"fw_cfg file name {name!r} is too long: at most {FILE_NAME_LENGTH - 1} characters")
    return encoded.ljust(FILE_NAME_LENGTH, b"\0")


def _entry(command: Command, *parts: bytes) -> bytes:
    return (command.to_bytes(4, "little") + b"".join(parts)).ljust(ENTRY_LENGTH, b"\0")


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


@dataclass(frozen=True)
class Allocate:
    """Put `file` in guest memory, aligned to `alignment` bytes, in `zone`."""

    file: str
    alignment: int
    zone: Zone

    def to_bytes(self) -> bytes:
        return _entry(Command.ALLOCATE, _file(self.file), _u32(self.alignment), bytes([self.zone]))


@dataclass(frozen=True)
class AddPointer:
    """Add the address of file `source` to the `size`-byte integer at `offset` in file `destination`."""

    destination: str
    source: str
    offset: int
    size: int

    def to_bytes(self) -> bytes:
        names = _file(self.destination) + _file(self.source)
        return _entry(Command.ADD_POINTER, names, _u32(self.offset), bytes([self.size]))


@dataclass(frozen=True)
class AddChecksum:
    """Make `length` bytes from `start` in `file` add up to zero by the byte at `offset`."""

    file: str
    offset: int
    start: int
    length: int

    def to_bytes(self) -> bytes:
        return _entry(Command.ADD_CHECKSUM, _file(self.file), _u32(self.offset), _u32(self.start), _u32(self.length))


Script = list["Allocate | AddPointer | AddChecksum"]


def script_bytes(script: Script) -> bytes:
    return b"".join(command.to_bytes() for command in script)


def link(
    script: Script, files: Mapping[str, bytes], allocate: Callable[[Allocate, int], int]
) -> dict[str, tuple[int, bytes]]:
    """Run the script: file name -> (address, contents).  `allocate(command, size)` chooses addresses."""
    memory = {name: bytearray(data) for name, data in files.items()}
    address: dict[str, int] = {}
    for command in script:
        if isinstance(command, Allocate):
            address[command.file] = allocate(command, len(memory[command.file]))
        elif isinstance(command, AddPointer):
            _add_pointer(memory[command.destination], command, address[command.source])
        else:
            _fix_checksum(memory[command.file], command)
    return {name: (base, bytes(memory[name])) for name, base in address.items()}


def _add_pointer(data: bytearray, command: AddPointer, address: int) -> None:
    where = slice(command.offset, command.offset + command.size)
    value = int.from_bytes(data[where], "little") + address
    if value >> 8 * command.size:
        raise ValueError(f"{command.source} at {address:#x} is out of reach of a {command.size}-byte pointer")
    data[where] = value.to_bytes(command.size, "little")


def _fix_checksum(data: bytearray, command: AddChecksum) -> None:
    data[command.offset] = 0
    data[command.offset] = checksum(data[command.start : command.start + command.length])
