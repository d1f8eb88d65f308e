"""Address spaces: which device answers at which I/O port or physical address.

A read or write costs one dictionary look-up, keyed by the exact address, before the device's own code runs.
Mappings may overlap: the higher priority wins, then the later one.  The address of an access alone decides who gets
it: a dword at 0xCF8 belongs to the PCI host though the reset control register owns the byte at 0xCF9.
Not here: RAM, which the engine reads directly.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Protocol

from emu import log

ALL_ONES = {1: 0xFF, 2: 0xFFFF, 4: 0xFFFF_FFFF, 8: 0xFFFF_FFFF_FFFF_FFFF}
ANY_SIZE = 1 | 2 | 4 | 8
DECODE_CACHE_LIMIT = 1 << 16


class Region(Protocol):
    """Something that can be mapped.  Sizes are in bytes; `min_access` and `max_access` are powers of two up to 8."""

    min_access: int
    max_access: int

    def read(self, offset: int, size: int) -> int: ...

    def write(self, offset: int, size: int, value: int) -> None: ...


class Unassigned:
    """What answers where nothing is mapped: all ones, as a bus that nobody drives."""

    min_access, max_access = 1, 8

    def __init__(self, space: str) -> None:
        self.space = space

    def read(self, offset: int, size: int) -> int:
        log.unimp(self.space, f"read of {size} at {offset:#x}: nothing is mapped there, reads all ones")
        return ALL_ONES[size]

    def write(self, offset: int, size: int, value: int) -> None:
        log.unimp(self.space, f"write of {size} at {offset:#x}, value {value:#x}: nothing is mapped there, ignored")


class Mapping:
    """One region at one place.  `offset` is where in the region the mapping starts."""

    __slots__ = ("base", "mapped", "name", "offset", "order", "priority", "region", "size", "space")

    def __init__(
        self, space: AddressSpace, base: int, size: int, region: Region, name: str, priority: int, offset: int
    ) -> None:
        self.space, self.base, self.size, self.region = space, base, size, region
        self.name, self.priority, self.offset = name, priority, offset
        self.order = 0
        self.mapped = False

    @property
    def end(self) -> int:
        return self.base + self.size

    def unmap(self) -> None:
        """Stop answering.  May be called twice; `move` maps it again."""
        if self.mapped:
            self.space._remove(self)

    def move(self, base: int) -> None:
        """Answer at `base` instead, and on top of its equals."""
        self.unmap()
        self.base = base
        self.space._add(self)

    def direct_sizes(self, addr: int) -> int:
        """The access sizes, or-ed, that reach the region in one call at this address: supported, aligned, inside."""
        at, left, region = self.offset + addr - self.base, self.end - addr, self.region
        unaligned = getattr(region, "unaligned", False)
        fits = (s for s in (1, 2, 4, 8) if region.min_access <= s <= region.max_access and s <= left)
        return sum(s for s in fits if unaligned or not at % s)

    def __repr__(self) -> str:
        return f"<{self.name} {self.base:#x}-{self.end - 1:#x} priority {self.priority}>"


Decoded = tuple[Callable[[int, int], int], Callable[[int, int, int], None], int, int, Mapping | None]


class AddressSpace:
    """A space of `size` bytes.  `listeners` run after each change of the map with the mapping that changed."""

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size = name, size
        self.mappings: list[Mapping] = []
        self.listeners: list[Callable[[Mapping], None]] = []
        self._unassigned = Unassigned(name)
        self._decode: dict[int, Decoded] = {}
        self._starts: list[int] = []
        self._owners: list[Mapping | None] = []
        self._order = 0
        self._stale = True

    def map(
        self, base: int, size: int, region: Region, name: str = "", *, priority: int = 0, offset: int = 0
    ) -> Mapping:
        """Let `region` answer at `base`.  Raises ValueError when that is not inside the space."""
        if size <= 0 or base < 0 or base + size > self.size:
            raise ValueError(
                f"{name or type(region).__name__} at {base:#x} with {size:#x} bytes is not inside the "
                f"{self.name} space of {self.size:#x} bytes"
            )
        name = name or getattr(region, "name", "") or type(region).__name__
        mapping = Mapping(self, base, size, region, name, priority, offset)
        self._add(mapping)
        return mapping

    def find(self, addr: int) -> Mapping | None:
        """The mapping that answers at this address."""
        if self._stale:
            self._flatten()
        return self._owners[bisect_right(self._starts, addr) - 1] if addr >= 0 else None

    def read(self, addr: int, size: int) -> int:
        """Read 1, 2, 4 or 8 bytes, little-endian."""
        read, _, offset, direct, mapping = self._decode.get(addr) or self._resolve(addr)
        if direct & size:
            return read(offset, size)
        return self._read_adapted(addr, size, mapping)

    def write(self, addr: int, size: int, value: int) -> None:
        """Write 1, 2, 4 or 8 bytes, little-endian; `value` is unsigned and fits them."""
        _, write, offset, direct, mapping = self._decode.get(addr) or self._resolve(addr)
        if direct & size:
            write(offset, size, value)
        else:
            self._write_adapted(addr, size, value, mapping)

    # How an access that the region does not take as it is gets split or widened.

    def _read_adapted(self, addr: int, size: int, mapping: Mapping | None) -> int:
        if mapping is None:
            raise ValueError(f"an access is 1, 2, 4 or 8 bytes, not {size}")
        chunk = _chunk(mapping, addr, size)
        if chunk < size:
            low = self.read(addr, chunk)
            return low | self._read_rest(addr + chunk, size - chunk) << 8 * chunk
        word, shift = _containing_word(mapping, addr)
        whole = mapping.region.read(word, mapping.region.min_access)
        return whole >> shift & ALL_ONES[size]

    def _read_rest(self, addr: int, size: int) -> int:
        value = done = 0
        while done < size:
            chunk = self._rest_chunk(addr + done, size - done)
            value |= self.read(addr + done, chunk) << 8 * done
            done += chunk
        return value

    def _write_adapted(self, addr: int, size: int, value: int, mapping: Mapping | None) -> None:
        if mapping is None:
            raise ValueError(f"an access is 1, 2, 4 or 8 bytes, not {size}")
        chunk = _chunk(mapping, addr, size)
        if chunk < size:
            self._write_pieces(addr, size, value, chunk)
            return
        word, shift = _containing_word(mapping, addr)
        width = mapping.region.min_access
        keep = mapping.region.read(word, width) & ~(ALL_ONES[size] << shift)
        mapping.region.write(word, width, keep | value << shift)

    def _write_pieces(self, addr: int, size: int, value: int, chunk: int) -> None:
        while size:
            self.write(addr, chunk, value & ALL_ONES[chunk])
            addr, size, value = addr + chunk, size - chunk, value >> 8 * chunk
            chunk = self._rest_chunk(addr, size) if size else 0

    def _rest_chunk(self, addr: int, size: int) -> int:
        mapping = self.find(addr)
        power = 1 << size.bit_length() - 1
        return _chunk(mapping, addr, power) if mapping else 1

    # Keeping the decoding table.

    def _resolve(self, addr: int) -> Decoded:
        if len(self._decode) >= DECODE_CACHE_LIMIT:
            self._decode.clear()
        mapping = self.find(addr)
        if mapping is None:
            decoded: Decoded = (self._unassigned.read, self._unassigned.write, addr, ANY_SIZE, None)
        else:
            region, offset = mapping.region, mapping.offset + addr - mapping.base
            decoded = (region.read, region.write, offset, mapping.direct_sizes(addr), mapping)
        self._decode[addr] = decoded
        return decoded

    def _add(self, mapping: Mapping) -> None:
        self._order += 1
        mapping.order, mapping.mapped = self._order, True
        self.mappings.append(mapping)
        self._changed(mapping)

    def _remove(self, mapping: Mapping) -> None:
        mapping.mapped = False
        self.mappings.remove(mapping)
        self._changed(mapping)

    def _changed(self, mapping: Mapping) -> None:
        self._decode.clear()
        self._stale = True
        for listener in self.listeners:
            listener(mapping)

    def _flatten(self) -> None:
        """Cut the space at every edge of a mapping and note the winner of each piece."""
        edges = {0}
        for mapping in self.mappings:
            edges.update((mapping.base, mapping.end))
        self._starts = sorted(edges)
        owners: list[Mapping | None] = [None] * len(self._starts)
        index = {start: i for i, start in enumerate(self._starts)}
        for mapping in sorted(self.mappings, key=lambda m: (m.priority, m.order)):
            for i in range(index[mapping.base], index.get(mapping.end, len(owners))):
                owners[i] = mapping
        self._owners = owners
        self._stale = False


def _chunk(mapping: Mapping, addr: int, size: int) -> int:
    """The largest piece of an access that starts at `addr` which the region may be given; at least one byte."""
    at = mapping.offset + addr - mapping.base
    aligned = size if getattr(mapping.region, "unaligned", False) else at & -at or size
    return max(1, min(size, mapping.region.max_access, aligned, 1 << (mapping.end - addr).bit_length() - 1))


def _containing_word(mapping: Mapping, addr: int) -> tuple[int, int]:
    """Offset of the narrowest word the region takes that holds `addr`, and by how many bits to shift to reach it."""
    at = mapping.offset + addr - mapping.base
    lane = at % mapping.region.min_access
    return at - lane, 8 * lane
