"""A small AML interpreter: the guest of these tests, running the project's own DSDT byte by byte.

It knows the opcodes that hot-plug, link and status methods use, SystemIO regions (through `ports`) and Notify (a list).
Names follow ACPI 6.4, section 5.3; integers have 32 bits, as in a revision 1 table.
Not here: PCI_Config and SystemMemory regions, method locals by reference, everything dynamic about tables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from acpi.tables import HEADER_LENGTH

INT_MASK = 0xFFFFFFFF
Path = tuple[str, ...]
BINARY: dict[int, Callable[[int, int], int]] = {
    0x72: lambda a, b: a + b,
    0x74: lambda a, b: a - b,
    0x79: lambda a, b: a << b,
    0x7A: lambda a, b: a >> b,
    0x7B: lambda a, b: a & b,
    0x7D: lambda a, b: a | b,
}
COMPARE: dict[int, Callable[[Any, Any], bool]] = {
    0x90: lambda a, b: bool(a and b),
    0x91: lambda a, b: bool(a or b),
    0x93: lambda a, b: a == b,
    0x94: lambda a, b: a > b,
    0x95: lambda a, b: a < b,
}
CREATE_FIELD_WIDTH = {0x8A: 4, 0x8B: 2, 0x8C: 1}


class Ports(Protocol):
    def read(self, addr: int, size: int) -> int: ...

    def write(self, addr: int, size: int, value: int) -> None: ...


@dataclass
class Code:
    """Bytes being executed and the position in them."""

    data: bytes
    at: int
    end: int

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def number(self, width: int) -> int:
        self.at += width
        return int.from_bytes(self.data[self.at - width : self.at], "little")

    def package(self) -> Code:
        """What a PkgLength at the position encloses; the position moves behind it."""
        start = self.at
        length = self.pkg_length()
        self.at = start + length
        return Code(self.data, start + self._pkg_size(start), self.at)

    def _pkg_size(self, at: int) -> int:
        return 1 + (self.data[at] >> 6)

    def pkg_length(self) -> int:
        size = self._pkg_size(self.at)
        first = self.byte()
        return first if size == 1 else first & 0xF | self.number(size - 1) << 4

    def name(self) -> str:
        prefix = ""
        while self.data[self.at] in b"\\^":
            prefix += chr(self.byte())
        lead = self.data[self.at]
        if lead == 0:
            self.at += 1
            return prefix
        count = 1
        if lead in (0x2E, 0x2F):
            self.at += 1
            count = 2 if lead == 0x2E else self.byte()
        segments = [self.data[self.at + 4 * n : self.at + 4 * n + 4].decode() for n in range(count)]
        self.at += 4 * count
        return prefix + ".".join(segments)

    @property
    def done(self) -> bool:
        return self.at >= self.end


@dataclass
class Region:
    space: int
    base: int
    length: int


@dataclass
class FieldUnit:
    region: Region
    bit: int
    bits: int
    access: int
    update: int


@dataclass
class BufferField:
    buffer: bytearray
    offset: int
    width: int


@dataclass
class Element:
    """What Index returns."""

    container: Any
    index: int


@dataclass
class MethodCode:
    code: Code
    arguments: int
    path: Path


@dataclass
class Frame:
    scope: Path
    args: list[Any] = field(default_factory=list)
    locals: list[Any] = field(default_factory=lambda: [0] * 8)


class Returned(Exception):
    pass


class LeftLoop(Exception):
    pass


class AmlGuest:
    """A namespace loaded from a DSDT; `call` evaluates a method or a name."""

    def __init__(self, dsdt: bytes, ports: Ports) -> None:
        self.ports = ports
        self.names: dict[Path, Any] = {(): None, ("_SB_",): "scope", ("_GPE",): "scope"}
        self.notifications: list[tuple[str, int]] = []
        self.held: list[Path] = []
        self.run(Code(dsdt, HEADER_LENGTH, len(dsdt)), Frame(()))

    # ------------------------------------------------------------ the tests' side

    def call(self, path: str, *arguments: Any) -> Any:
        return self.evaluate(self.find(path, ()), list(arguments))

    def has(self, path: str) -> bool:
        return self.absolute(path, ()) in self.names

    def take_notifications(self) -> list[tuple[str, int]]:
        taken, self.notifications = self.notifications, []
        return taken

    # ------------------------------------------------------------ names

    def absolute(self, name: str, scope: Path) -> Path:
        if name.startswith("\\"):
            scope, name = (), name[1:]
        while name.startswith("^"):
            scope, name = scope[:-1], name[1:]
        return scope + tuple(s.ljust(4, "_") for s in name.split(".") if s)

    def find(self, name: str, scope: Path) -> Path:
        path = self.absolute(name, scope)
        searching = len(name) == 4 and name[0] not in "\\^"
        while searching and path not in self.names and len(path) > 1:
            path = path[:-2] + path[-1:]
        if path not in self.names:
            raise KeyError(f"{name} is not in the namespace, seen from \\{'.'.join(scope)}")
        return path

    def evaluate(self, path: Path, arguments: list[Any]) -> Any:
        obj = self.names[path]
        if isinstance(obj, MethodCode):
            return self.invoke(obj, arguments)
        if isinstance(obj, FieldUnit):
            return self.read_field(obj)
        if isinstance(obj, BufferField):
            return int.from_bytes(obj.buffer[obj.offset : obj.offset + obj.width], "little")
        return obj

    def invoke(self, method: MethodCode, arguments: list[Any]) -> Any:
        assert len(arguments) == method.arguments, f"{method.path} takes {method.arguments} arguments"
        before = set(self.names)
        try:
            self.run(Code(method.code.data, method.code.at, method.code.end), Frame(method.path, arguments))
        except Returned as result:
            return result.args[0]
        finally:
            for path in set(self.names) - before:
                del self.names[path]
        return 0

    # ------------------------------------------------------------ regions

    def read_field(self, unit: FieldUnit) -> int | bytearray:
        first, last = unit.bit // 8 // unit.access, (unit.bit + unit.bits - 1) // 8 // unit.access
        value = 0
        for n in range(first, last + 1):
            value |= self.ports.read(unit.region.base + n * unit.access, unit.access) << 8 * unit.access * (n - first)
        value = value >> (unit.bit - 8 * unit.access * first) & (1 << unit.bits) - 1
        return value if unit.bits <= 32 else bytearray(value.to_bytes(unit.bits // 8, "little"))

    def write_field(self, unit: FieldUnit, value: int) -> None:
        n, width = unit.bit // 8 // unit.access, unit.access
        shift, mask = unit.bit - 8 * width * n, (1 << unit.bits) - 1
        assert shift + unit.bits <= 8 * width, "a field over several access units is not written in these tests"
        port, whole = unit.region.base + n * width, (1 << 8 * width) - 1
        rest = 0
        if unit.update == 0 and unit.bits < 8 * width:
            rest = self.ports.read(port, width) & ~(mask << shift)
        self.ports.write(port, width, (rest | (value & mask) << shift) & whole)

    def store(self, target: Any, value: Any, frame: Frame) -> None:
        if target is None:
            return
        kind, where = target
        if isinstance(value, int):
            value &= INT_MASK
        if kind == "local":
            frame.locals[where] = bytearray(value) if isinstance(value, bytearray) else value
        elif kind == "arg":
            frame.args[where] = value
        elif kind == "element":
            where.container[where.index] = value
        elif kind == "name":
            self.store_name(where, value)

    def store_name(self, path: Path, value: Any) -> None:
        obj = self.names[path]
        if isinstance(obj, FieldUnit):
            self.write_field(obj, value)
        elif isinstance(obj, BufferField):
            obj.buffer[obj.offset : obj.offset + obj.width] = value.to_bytes(obj.width, "little")
        else:
            self.names[path] = value

    # ------------------------------------------------------------ execution

    def run(self, code: Code, frame: Frame) -> None:
        while not code.done:
            self.term(code, frame)

    def term(self, code: Code, frame: Frame) -> Any:
        op = code.data[code.at]
        if op in b"\\^._/" or chr(op).isupper():
            path = self.find(code.name(), frame.scope)
            obj = self.names[path]
            count = obj.arguments if isinstance(obj, MethodCode) else 0
            return self.evaluate(path, [self.term(code, frame) for _ in range(count)])
        code.at += 1
        if op == 0x5B:
            return self.extended(code.byte(), code, frame)
        return self.simple(op, code, frame)

    def simple(self, op: int, code: Code, frame: Frame) -> Any:
        if op in (0, 1, 0xFF):
            return op if op < 2 else INT_MASK
        if op in (0x0A, 0x0B, 0x0C, 0x0E):
            return code.number({0x0A: 1, 0x0B: 2, 0x0C: 4, 0x0E: 8}[op])
        if op == 0x0D:
            end = code.data.index(0, code.at)
            text, code.at = code.data[code.at : end].decode(), end + 1
            return text
        if 0x60 <= op <= 0x67:
            return frame.locals[op - 0x60]
        if 0x68 <= op <= 0x6E:
            return frame.args[op - 0x68]
        if op in BINARY:
            value = BINARY[op](self.term(code, frame), self.term(code, frame)) & INT_MASK
            self.store(self.target(code, frame), value, frame)
            return value
        if op in COMPARE:
            return INT_MASK if COMPARE[op](self.term(code, frame), self.term(code, frame)) else 0
        return self.OPERATIONS[op](self, op, code, frame)

    def target(self, code: Code, frame: Frame) -> Any:
        """Where a result goes, without evaluating what is there."""
        op = code.data[code.at]
        if op == 0:
            code.at += 1
            return None
        if 0x60 <= op <= 0x67:
            code.at += 1
            return "local", op - 0x60
        if 0x68 <= op <= 0x6E:
            code.at += 1
            return "arg", op - 0x68
        if op == 0x88:
            return "element", self.term(code, frame)
        if code.data[code.at : code.at + 2] == b"\x5b\x31":
            code.at += 2
            return "debug", None
        return "name", self.find(code.name(), frame.scope)

    def op_name(self, op: int, code: Code, frame: Frame) -> None:
        path = self.absolute(code.name(), frame.scope)
        self.names[path] = self.term(code, frame)

    def op_scope(self, op: int, code: Code, frame: Frame) -> None:
        inside = code.package()
        name = inside.name()
        self.run(inside, Frame(self.find(name, frame.scope)))

    def op_buffer(self, op: int, code: Code, frame: Frame) -> bytearray:
        inside = code.package()
        size = self.term(inside, frame)
        return bytearray(inside.data[inside.at : inside.end].ljust(size, b"\0"))

    def op_package(self, op: int, code: Code, frame: Frame) -> list[Any]:
        inside = code.package()
        count = inside.byte() if op == 0x12 else self.term(inside, frame)
        elements: list[Any] = []
        while not inside.done:
            lead = inside.data[inside.at]
            elements.append(inside.name() if chr(lead).isupper() or lead in b"\\_." else self.term(inside, frame))
        return elements + [None] * (count - len(elements))

    def op_method(self, op: int, code: Code, frame: Frame) -> None:
        inside = code.package()
        path = self.absolute(inside.name(), frame.scope)
        self.names[path] = MethodCode(inside, inside.byte() & 7, path)

    def op_store(self, op: int, code: Code, frame: Frame) -> Any:
        value = self.term(code, frame)
        self.store(self.target(code, frame), value, frame)
        return value

    def op_step(self, op: int, code: Code, frame: Frame) -> int:
        start = code.at
        value = self.term(code, frame)
        code.at = start
        value += 1 if op == 0x75 else -1
        self.store(self.target(code, frame), value, frame)
        return value

    def op_deref(self, op: int, code: Code, frame: Frame) -> Any:
        element = self.term(code, frame)
        return element.container[element.index]

    def op_index(self, op: int, code: Code, frame: Frame) -> Element:
        element = Element(self.term(code, frame), self.term(code, frame))
        self.store(self.target(code, frame), element, frame)
        return element

    def op_notify(self, op: int, code: Code, frame: Frame) -> None:
        _, path = self.target(code, frame)
        self.notifications.append((path[-1], self.term(code, frame)))

    def op_sizeof(self, op: int, code: Code, frame: Frame) -> int:
        return len(self.term(code, frame))

    def op_create_field(self, op: int, code: Code, frame: Frame) -> None:
        buffer, offset = self.term(code, frame), self.term(code, frame)
        self.names[self.absolute(code.name(), frame.scope)] = BufferField(buffer, offset, CREATE_FIELD_WIDTH[op])

    def op_not(self, op: int, code: Code, frame: Frame) -> int:
        if code.data[code.at] in (0x93, 0x94, 0x95):
            return 0 if self.term(code, frame) else INT_MASK
        return 0 if self.term(code, frame) else INT_MASK

    def op_if(self, op: int, code: Code, frame: Frame) -> None:
        inside = code.package()
        taken = self.term(inside, frame)
        otherwise = None
        if not code.done and code.data[code.at] == 0xA1:
            code.at += 1
            otherwise = code.package()
        if taken:
            self.run(inside, frame)
        elif otherwise:
            self.run(otherwise, frame)

    def op_while(self, op: int, code: Code, frame: Frame) -> None:
        inside = code.package()
        start = inside.at
        try:
            while self.term(inside, frame):
                self.run(inside, frame)
                inside.at = start
        except LeftLoop:
            pass

    def op_return(self, op: int, code: Code, frame: Frame) -> None:
        raise Returned(self.term(code, frame))

    def op_break(self, op: int, code: Code, frame: Frame) -> None:
        raise LeftLoop

    OPERATIONS = {
        0x08: op_name, 0x10: op_scope, 0x11: op_buffer, 0x12: op_package, 0x13: op_package, 0x14: op_method,
        0x70: op_store, 0x75: op_step, 0x76: op_step, 0x83: op_deref, 0x86: op_notify, 0x87: op_sizeof,
        0x88: op_index, 0x8A: op_create_field, 0x8B: op_create_field, 0x8C: op_create_field, 0x92: op_not,
        0xA0: op_if, 0xA2: op_while, 0xA4: op_return, 0xA5: op_break,
    }  # fmt: skip

    def extended(self, op: int, code: Code, frame: Frame) -> None:
        self.EXTENDED[op](self, code, frame)

    def ext_mutex(self, code: Code, frame: Frame) -> None:
        self.names[self.absolute(code.name(), frame.scope)] = "mutex"
        code.byte()

    def ext_acquire(self, code: Code, frame: Frame) -> None:
        path = self.find(code.name(), frame.scope)
        assert path not in self.held, f"{path} is taken twice"
        self.held.append(path)
        code.number(2)

    def ext_release(self, code: Code, frame: Frame) -> None:
        self.held.remove(self.find(code.name(), frame.scope))

    def ext_sleep(self, code: Code, frame: Frame) -> None:
        self.term(code, frame)

    def ext_region(self, code: Code, frame: Frame) -> None:
        path = self.absolute(code.name(), frame.scope)
        self.names[path] = Region(code.byte(), self.term(code, frame), self.term(code, frame))

    def ext_field(self, code: Code, frame: Frame) -> None:
        inside = code.package()
        region = self.names[self.find(inside.name(), frame.scope)]
        flags, bit = inside.byte(), 0
        access = {0: 1, 1: 1, 2: 2, 3: 4}[flags & 0xF]
        while not inside.done:
            reserved = inside.data[inside.at] == 0
            name = "" if reserved else inside.data[inside.at : inside.at + 4].decode()
            inside.at += 1 if reserved else 4
            bits = inside.pkg_length()
            if name:
                unit = FieldUnit(region, bit, bits, access, flags >> 5 & 3)
                self.names[self.absolute(name, frame.scope)] = unit
            bit += bits

    def ext_device(self, code: Code, frame: Frame) -> None:
        self.object(code.package(), frame, 0)

    def ext_processor(self, code: Code, frame: Frame) -> None:
        self.object(code.package(), frame, 6)

    def object(self, inside: Code, frame: Frame, skip: int) -> None:
        path = self.absolute(inside.name(), frame.scope)
        inside.at += skip
        self.names[path] = "device"
        self.run(inside, Frame(path))

    EXTENDED = {
        0x01: ext_mutex, 0x22: ext_sleep, 0x23: ext_acquire, 0x27: ext_release, 0x80: ext_region, 0x81: ext_field,
        0x82: ext_device, 0x83: ext_processor,
    }  # fmt: skip
