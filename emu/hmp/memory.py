"""x, xp, print, i and o: looking at memory, numbers and ports in formats such as /4xw."""

from __future__ import annotations

import re
from collections.abc import Callable

from emu.hmp.expressions import MASK64, evaluate, signed, take
from emu.hmp.monitor import COMMANDS, STRING_EXPECTED, HumanMonitor, UsageError
from emu.qmp.errors import QmpError

command = COMMANDS.add
Reader = Callable[[int, int], bytes]  # address, size; raises QmpError

SIZES = {"b": 1, "h": 2, "w": 4, "g": 8}
PORT_LETTERS = {1: "b", 2: "w", 4: "l"}
FORMAT = re.compile(r"/(\d*)([xduoci]?)([bhwg]?)([xduoci]?)\s+(.+)")
VALUES_PER_LINE = {1: 8, 2: 8, 4: 4, 8: 2}  # by their size in bytes
LONGEST_INSTRUCTION = 15  # bytes
PAGE = 4096


def split_format(monitor: HumanMonitor, text: str) -> tuple[int, str, int, str]:
    """Count, format letter, size in bytes and the rest of "/4xw ADDRESS"; omitted parts are the last ones used."""
    letter, size = monitor.dump_format
    match = FORMAT.fullmatch(text)
    if text.startswith("/") and not match:
        raise UsageError("invalid format: /<count><x|d|u|o|c|i><b|h|w|g> is expected")
    if not match:
        return 1, letter, size, text
    letter, size = match[2] or match[4] or letter, SIZES.get(match[3], size)
    monitor.dump_format = letter, size
    return int(match[1] or 1), letter, size, match[5]


def format_number(value: int, letter: str, size: int) -> str:
    """One value, as wide as the widest of its size: an octal digit has 3 bits, a decimal one 3.3."""
    if letter == "x":
        return f"0x{value:0{size * 2}x}"
    if letter == "o":
        return f"{'0' if value else ''}{value:o}".rjust((size * 8 + 2) // 3)
    if letter == "c":
        return format_character(value & 0xFF)
    return str(value).rjust((size * 80 + 32) // 33)


def format_character(value: int) -> str:
    """A byte as a C character literal."""
    escapes = {0x27: "\\'", 0x5C: "\\\\", 0x0A: "\\n", 0x0D: "\\r"}
    text = escapes.get(value) or (chr(value) if 0x20 <= value < 0x7F else f"\\x{value:02x}")
    return f"'{text}'"


def hexadecimal(value: int) -> str:
    """As C's %#x has it."""
    return f"{value:#x}" if value else "0"


def dump(monitor: HumanMonitor, text: str, read: Reader) -> str:
    """The output of x and xp."""
    count, letter, size, expression = split_format(monitor, text)
    address = evaluate(expression, monitor.register)
    if letter == "i":
        return disassemble(address, count, monitor.code_bits, read)
    size = 1 if letter == "c" else size
    per_line = VALUES_PER_LINE[size]
    lines: list[str] = []
    for start in range(0, count, per_line):
        at, length = address + start * size & MASK64, min(per_line, count - start) * size
        try:
            data = read(at, length)
        except QmpError:
            lines.append(f"{at:016x}: Cannot access memory\n")
            break
        values = (int.from_bytes(data[i : i + size], "little") for i in range(0, length, size))
        lines.append(f"{at:016x}: {' '.join(format_number(value, letter, size) for value in values)}\n")
    return "".join(lines)


def disassemble(address: int, count: int, bits: int, read: Reader) -> str:
    """`count` instructions in AT&T syntax."""
    import capstone

    mode = {16: capstone.CS_MODE_16, 32: capstone.CS_MODE_32, 64: capstone.CS_MODE_64}[bits]
    engine = capstone.Cs(capstone.CS_ARCH_X86, mode)
    engine.syntax = capstone.CS_OPT_SYNTAX_ATT
    lines: list[str] = []
    for _ in range(count):
        code = _code_at(address, read)
        if not code:
            lines.append(f"0x{address:08x}: unable to read memory\n")
            break
        found = next(engine.disasm(code, address, 1), None)
        length, shown = (found.size, f"{found.mnemonic:<8} {found.op_str}") if found else (1, f".byte    {code[0]:#04x}")
        lines.append(f"0x{address:08x}:  {code[:length].hex(' '):<24} {shown}".rstrip() + "\n")
        address += length
    return "".join(lines)


def _code_at(address: int, read: Reader) -> bytes:
    """As much of an instruction as can be read: up to the end of the page when the next one is not there."""
    for length in (LONGEST_INSTRUCTION, PAGE - address % PAGE):
        try:
            return read(address, min(length, LONGEST_INSTRUCTION))
        except QmpError:
            continue
    return b""


@command("x", "/fmt addr", "virtual memory dump starting at 'addr'")
def x(monitor: HumanMonitor, arguments: str) -> str:
    vm = monitor.context
    return dump(monitor, arguments, lambda address, size: vm.machine.read_virtual(vm.current_cpu, address, size))


@command("xp", "/fmt addr", "physical memory dump starting at 'addr'")
def xp(monitor: HumanMonitor, arguments: str) -> str:
    return dump(monitor, arguments, monitor.context.machine.read_physical)


@command("print|p", "/fmt expr", "print expression value (use $reg for CPU register access)")
def print_(monitor: HumanMonitor, arguments: str) -> str:
    _, letter, _, expression = split_format(monitor, arguments)
    value = evaluate(expression, monitor.register)
    shown = {"x": hexadecimal(value), "o": f"0{value:o}", "u": str(value), "c": format_character(value & 0xFF)}
    return shown.get(letter, str(signed(value))) + "\n"


@command("i", "/fmt addr", "I/O port read")
def i(monitor: HumanMonitor, arguments: str) -> str:
    _, _, size, expression = split_format(monitor, arguments)
    port, size = evaluate(expression, monitor.register) & 0xFFFF, min(size, 4)
    value = monitor.context.machine.read_port(port, size)
    return f"port{PORT_LETTERS[size]}[0x{port:04x}] = 0x{value:0{size * 2}x}\n"


@command("o", "/fmt addr value", "I/O port write")
def o(monitor: HumanMonitor, arguments: str) -> None:
    _, _, size, rest = split_format(monitor, arguments)
    port, rest = take(rest, monitor.register)
    monitor.context.machine.write_port(port & 0xFFFF, min(size, 4), evaluate(rest, monitor.register))


@command("sum", "addr size", "compute the checksum of a memory region")
def sum_(monitor: HumanMonitor, arguments: str) -> str:
    """BSD's 16-bit checksum of physical memory."""
    address, rest = take(arguments, monitor.register)
    checksum = 0
    for byte in monitor.context.machine.read_physical(address, evaluate(rest, monitor.register)):
        checksum = (checksum >> 1 | checksum << 15) + byte & 0xFFFF
    return f"{checksum:05}\n"


@command("memsave", "addr size file", "save to disk virtual memory dump starting at 'addr' of size 'size'")
def memsave(monitor: HumanMonitor, arguments: str) -> None:
    monitor.qmp("memsave", cpu_index=monitor.context.current_cpu, **_region_and_file(monitor, arguments))


@command("pmemsave", "addr size file", "save to disk physical memory dump starting at 'addr' of size 'size'")
def pmemsave(monitor: HumanMonitor, arguments: str) -> None:
    monitor.qmp("pmemsave", **_region_and_file(monitor, arguments))


def _region_and_file(monitor: HumanMonitor, arguments: str) -> dict[str, int | str]:
    """The file's name is in quotation marks, for a slash divides."""
    address, rest = take(arguments, monitor.register)
    size, file = take(rest, monitor.register)
    if not file:
        raise UsageError(STRING_EXPECTED)
    return {"val": address, "size": size, "filename": file.strip('"')}


@command("gva2gpa", "addr", "print the guest physical address corresponding to a guest virtual address")
def gva2gpa(monitor: HumanMonitor, arguments: str) -> str:
    vm = monitor.context
    try:
        return f"gpa: {hexadecimal(vm.machine.translate(vm.current_cpu, evaluate(arguments, monitor.register)))}\n"
    except QmpError:
        return "Unmapped\n"
