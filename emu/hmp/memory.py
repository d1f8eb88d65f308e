"""x, xp, print, i and o: looking at memory, numbers and ports in formats such as /4xw."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from typing import Any

from emu.hmp.monitor import COMMANDS, HumanMonitor, UsageError

command = COMMANDS.add

SIZES = {"b": 1, "h": 2, "w": 4, "g": 8}
FORMAT = re.compile(r"/(\d*)([xduoci]?)([bhwg]?)([xduoci]?)\s+(.+)")
BYTES_PER_LINE = 16
CHARACTERS_PER_LINE = 8
LONGEST_INSTRUCTION = 15  # bytes
OPERATORS: dict[type[ast.AST], Callable[..., int]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_, ast.BitXor: operator.xor, ast.Invert: operator.invert, ast.USub: operator.neg,
    ast.Div: operator.floordiv, ast.Mod: operator.mod}  # fmt: skip


def evaluate(text: str) -> int:
    """A monitor expression: C-style numbers, + - * / % & | ^ ~ and parentheses.  Raises UsageError."""
    if not text.strip():
        raise UsageError("unexpected end of expression")
    try:
        return _evaluate(ast.parse(text.strip(), mode="eval").body) & 0xFFFF_FFFF_FFFF_FFFF
    except (SyntaxError, ValueError, KeyError, RecursionError):
        raise UsageError(f"invalid expression '{text.strip()}'") from None
    except ZeroDivisionError:
        raise UsageError("division by zero") from None


def _evaluate(node: Any) -> int:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.BinOp):
        return OPERATORS[type(node.op)](_evaluate(node.left), _evaluate(node.right))
    if isinstance(node, ast.UnaryOp):
        return OPERATORS[type(node.op)](_evaluate(node.operand))
    raise ValueError(node)


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
    """One value, as wide as the widest of its size."""
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


def dump(monitor: HumanMonitor, text: str, read: Callable[[int, int], bytes]) -> str:
    """The output of x and xp."""
    count, letter, size, expression = split_format(monitor, text)
    address = evaluate(expression)
    if letter == "i":
        return disassemble(monitor, address, count, read)
    size = 1 if letter == "c" else size
    data = read(address, count * size)
    values = [int.from_bytes(data[i : i + size], "little") for i in range(0, len(data), size)]
    per_line = (CHARACTERS_PER_LINE if letter == "c" else BYTES_PER_LINE) // size
    lines = []
    for start in range(0, count, per_line):
        shown = " ".join(format_number(value, letter, size) for value in values[start : start + per_line])
        lines.append(f"{address + start * size:016x}: {shown}\n")
    return "".join(lines)


def disassemble(monitor: HumanMonitor, address: int, count: int, read: Callable[[int, int], bytes]) -> str:
    """`count` instructions in AT&T syntax."""
    import capstone

    bits = getattr(monitor.context.machine, "code_bits", lambda index: 64)(monitor.context.current_cpu)
    mode = {16: capstone.CS_MODE_16, 32: capstone.CS_MODE_32, 64: capstone.CS_MODE_64}[bits]
    engine = capstone.Cs(capstone.CS_ARCH_X86, mode)
    engine.syntax = capstone.CS_OPT_SYNTAX_ATT
    code = read(address, count * LONGEST_INSTRUCTION)
    return "".join(f"0x{each.address:08x}:  {each.bytes.hex(' '):<24} {each.mnemonic:<8} {each.op_str}".rstrip() + "\n"
                   for each in engine.disasm(code, address, count))  # fmt: skip


@command("x", "/fmt addr", "virtual memory dump starting at 'addr'")
def x(monitor: HumanMonitor, arguments: str) -> str:
    vm = monitor.context
    return dump(monitor, arguments, lambda address, size: vm.machine.read_virtual(vm.current_cpu, address, size))


@command("xp", "/fmt addr", "physical memory dump starting at 'addr'")
def xp(monitor: HumanMonitor, arguments: str) -> str:
    return dump(monitor, arguments, monitor.context.machine.read_physical)


@command("print|p", "/fmt expr", "print expression value")
def print_(monitor: HumanMonitor, arguments: str) -> str:
    _, letter, _, expression = split_format(monitor, arguments) if arguments[:1] == "/" else (1, "x", 8, arguments)
    value = evaluate(expression)
    return {"x": f"{value:#x}", "o": f"0{value:o}", "c": format_character(value & 0xFF)}.get(letter, str(value)) + "\n"


@command("i", "/fmt addr", "I/O port read")
def i(monitor: HumanMonitor, arguments: str) -> str:
    _, _, size, expression = split_format(monitor, arguments)
    port = evaluate(expression) & 0xFFFF
    letter = {1: "b", 2: "w", 4: "l"}.get(size, "l")
    value = monitor.context.machine.read_port(port, min(size, 4))
    return f"port{letter}[0x{port:04x}] = 0x{value:0{min(size, 4) * 2}x}\n"


@command("o", "/fmt addr value", "I/O port write")
def o(monitor: HumanMonitor, arguments: str) -> None:
    _, _, size, rest = split_format(monitor, arguments)
    words = rest.split()
    if len(words) != 2:
        raise UsageError("o: a port and a value are expected")
    monitor.context.machine.write_port(evaluate(words[0]) & 0xFFFF, min(size, 4), evaluate(words[1]))
