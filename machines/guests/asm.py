"""Assembly text to a multiboot image, through keystone.

Multiboot specification 0.6.96: header (3.1.1), a.out-kludge address fields (3.1.3), machine state at entry (3.2);
ELF-32 with one loadable segment.  Source is Intel syntax with GNU directives and `#` comments; it starts in 32-bit
mode, and `.code16`, `.code32`, `.code64` switch.  What keystone 0.9.2 gets wrong is put right in `WORKAROUNDS`.
Not here: sections, symbol tables, relocation; `push label` (load it into a register first).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import keystone

LOAD_ADDRESS = 0x100000

MULTIBOOT_MAGIC = 0x1BADB002
MULTIBOOT_BOOTLOADER_MAGIC = 0x2BADB002  # in EAX at entry
MULTIBOOT_AOUT_KLUDGE = 1 << 16

MODES = {16: keystone.KS_MODE_16, 32: keystone.KS_MODE_32, 64: keystone.KS_MODE_64}


class AssemblyError(ValueError):
    """The source does not assemble; the message names the line."""


# -- work-arounds ---------------------------------------------------------------------------------------------------

Rewrite = Callable[..., str]  # (match, bits: 16, 32 or 64) -> source text


def far_jump(match: re.Match, bits: int) -> str:
    """`ljmp selector, label` with a 32-bit offset; keystone knows no direct far jump."""
    operand_size = ".byte 0x66; " if bits == 16 else ""
    return f"{operand_size}.byte 0xea; .long {match['target']}; .word {match['selector']}"


def descriptor_table_load(match: re.Match, bits: int) -> str:
    """`lgdt [label]` in 32-bit mode, where keystone adds a prefix that cuts the base to 24 bits."""
    modrm = {"lgdt": "0x15", "lidt": "0x1d"}[match["name"]]
    return f".byte 0x0f, 0x01, {modrm}; .long {match['address']}" if bits == 32 else match[0]


def string_move(match: re.Match, bits: int) -> str:
    """`rep movsd`, which keystone takes for the SSE2 instruction."""
    return ".byte 0xf3, 0xa5" if bits != 16 else ".byte 0xf3, 0x66, 0xa5"


def interrupt_return(match: re.Match, bits: int) -> str:
    """A plain `iret` gets the 16-bit operand size in every mode."""
    return {16: "iret", 32: "iretd", 64: "iretq"}[bits]


def far_return(match: re.Match, bits: int) -> str:
    """A plain `retf` pops 32-bit values in 16-bit mode too."""
    return ".byte 0xcb"


WORKAROUNDS: tuple[tuple[re.Pattern, Rewrite], ...] = (
    (re.compile(r"\bljmp\s+(?P<selector>\w+)\s*,\s*(?P<target>\w+)"), far_jump),
    (re.compile(r"\b(?P<name>lgdt|lidt)\s+\[(?P<address>\w+)\]"), descriptor_table_load),
    (re.compile(r"\brep\s+movsd\b"), string_move),
    (re.compile(r"\biret\b"), interrupt_return),
    (re.compile(r"\bretf\b"), far_return),
    (re.compile(r"\bsysretq\b"), lambda match, bits: "sysret"),  # keystone's sysret has REX.W
)

MODE_SWITCH = re.compile(r"\s*\.code(16|32|64)\b")
BLOCK = re.compile(r"\s*\.(macro|endm|rept|endr|if|else|endif)\b")
CONSTANT = re.compile(r"\s*\.set\s+(?P<name>\w+)\s*,\s*(?P<value>.+)")
STRING = re.compile(r"""("(?:\\.|[^"\\])*")""")
CHARACTER = re.compile(r"'(.)'")
WORD = re.compile(r"\b(?<![\\.])[A-Za-z_]\w*\b")
DECIMAL = re.compile(r"(?<![\w.\\])(\d+)\b(?!x)")


def prepare(source: str, bits: int = 32) -> list[str]:
    """The lines of `source` as keystone reads them rightly: no comments, no constants, work-arounds applied.

    keystone at times takes decimal numbers for hexadecimal, and drops all but the last of several constants in an
    address; so it is shown neither decimal numbers nor constants.
    """
    lines = [map_code(plain_numbers, without_comment(line)) for line in source.splitlines()]
    constants = read_constants(lines)
    prepared = []
    for line in lines:
        if switch := MODE_SWITCH.match(line):
            bits = int(switch[1])
        line = "" if CONSTANT.match(line) else map_code(partial(substitute, constants=constants), line)
        prepared.append(map_code(partial(work_around, bits=bits), line).rstrip())
    return prepared


def map_code(change: Callable[[str], str], line: str) -> str:
    """The line with `change` applied to what is outside of its strings."""
    pieces = STRING.split(line)  # every second piece is a string
    return "".join(piece if index % 2 else change(piece) for index, piece in enumerate(pieces))


def without_comment(line: str) -> str:
    kept = ""
    for piece in STRING.split(line):
        if not STRING.fullmatch(piece) and "#" in piece:
            return kept + piece.partition("#")[0]
        kept += piece
    return kept


def plain_numbers(code: str) -> str:
    """Characters and decimal numbers as hexadecimal numbers."""
    code = CHARACTER.sub(lambda match: hex(ord(match[1])), code)
    return DECIMAL.sub(lambda match: hex(int(match[1])), code)


def read_constants(lines: list[str]) -> dict[str, str]:
    """The constants that `.set` lines define, each from those above it."""
    constants: dict[str, str] = {}
    for line in lines:
        if definition := CONSTANT.match(line):
            constants[definition["name"]] = hex(evaluate(substitute(definition["value"], constants)))
    return constants


def substitute(code: str, constants: dict[str, str]) -> str:
    return WORD.sub(lambda match: constants.get(match[0], match[0]), code)


def work_around(code: str, bits: int) -> str:
    for pattern, rewrite in WORKAROUNDS:
        code = pattern.sub(partial(rewrite, bits=bits), code)
    return code


def evaluate(expression: str) -> int:
    """The value of an expression of numbers, as in `.set`.  Raises AssemblyError."""
    if not re.fullmatch(r"[0-9a-fA-Fx\s()+*|&<>~-]+", expression):
        raise AssemblyError(f".set {expression.strip()!r}: expected numbers and constants defined above it")
    return eval(expression, {"__builtins__": {}})


# -- assembling -----------------------------------------------------------------------------------------------------


def assemble(source: str, base: int = LOAD_ADDRESS, bits: int = 32) -> bytes:
    """Machine code of `source` placed at address `base`.  Raises AssemblyError."""
    unresolved: list[str] = []
    assembler = keystone.Ks(keystone.KS_ARCH_X86, MODES[bits])
    assembler.sym_resolver = partial(note_unresolved, unresolved)
    lines = prepare(source, bits)
    try:
        encoding, _ = assembler.asm("\n".join(lines), base)
    except keystone.KsError as error:
        raise AssemblyError(diagnose(lines, bits, unresolved, str(error))) from None
    if not encoding and any(lines):
        raise AssemblyError("keystone refuses it without a word; a label with the name of an instruction or directive does that")
    return bytes(encoding or b"")


def note_unresolved(names: list[str], name: bytes, value: object) -> bool:
    """Keystone's question for a symbol it does not know: remember it and decline."""
    names.append(name.decode())
    return False


def diagnose(lines: list[str], bits: int, unresolved: list[str], message: str) -> str:
    """Name the line that keystone refuses: the first that fails on its own for more than a missing symbol."""
    for number, line in enumerate(lines, start=1):
        if BLOCK.match(line):
            continue
        if switch := MODE_SWITCH.match(line):
            bits = int(switch[1])
        try:
            keystone.Ks(keystone.KS_ARCH_X86, MODES[bits]).asm(line, LOAD_ADDRESS)
        except keystone.KsError as error:
            if error.errno != keystone.KS_ERR_ASM_SYMBOL_MISSING:
                return f"line {number}: {line.strip()!r}: {error}"
    if unresolved:
        return f"symbols not defined: {', '.join(sorted(set(unresolved)))}"
    return f"{message}; each line is accepted alone, so look at labels, macros and pushes of labels"


def definitions(**constants: int) -> str:
    """Source text that defines the given constants."""
    return "".join(f".set {name}, {value:#x}\n" for name, value in constants.items())


# -- multiboot ------------------------------------------------------------------------------------------------------

ELF_HEADER = struct.Struct("<16sHHIIIIIHHHHHH")
ELF_PROGRAM_HEADER = struct.Struct("<8I")
ELF_IDENT = b"\x7fELF" + bytes([1, 1, 1]) + bytes(9)  # 32-bit, little-endian, version 1
ET_EXEC, EM_386, EV_CURRENT, PT_LOAD = 2, 3, 1, 1
PF_X, PF_W, PF_R = 1, 2, 4
SEGMENT_OFFSET = 0x1000


@dataclass(frozen=True)
class Image:
    """A multiboot kernel: `content` at physical `base`, its first byte the header, zeros up to `memory_end`."""

    content: bytes
    base: int
    entry: int
    memory_end: int

    def elf(self) -> bytes:
        """The image as an ELF-32 executable."""
        header = ELF_HEADER.pack(
            ELF_IDENT, ET_EXEC, EM_386, EV_CURRENT, self.entry, ELF_HEADER.size, 0, 0,
            ELF_HEADER.size, ELF_PROGRAM_HEADER.size, 1, 0, 0, 0,
        )  # fmt: skip
        memory_size = max(len(self.content), self.memory_end - self.base)
        segment = ELF_PROGRAM_HEADER.pack(
            PT_LOAD, SEGMENT_OFFSET, self.base, self.base, len(self.content), memory_size, PF_R | PF_W | PF_X, 0x1000
        )
        return (header + segment).ljust(SEGMENT_OFFSET, b"\0") + self.content

    def flat(self) -> bytes:
        """The bytes to be at `base`; a loader finds the addresses in the header when built with `kludge`."""
        return self.content


def multiboot(source: str, memory_end: int = 0, base: int = LOAD_ADDRESS, kludge: bool = False) -> Image:
    """Assemble `source`, whose first instruction is the entry point, behind a multiboot header at `base`."""
    flags = MULTIBOOT_AOUT_KLUDGE if kludge else 0
    header_size = 32 if kludge else 16
    entry = base + header_size
    content = assemble(source, entry)
    fields = [MULTIBOOT_MAGIC, flags, -(MULTIBOOT_MAGIC + flags) & 0xFFFFFFFF]
    if kludge:
        load_end = base + header_size + len(content)
        fields += [base, base, load_end, max(memory_end, load_end), entry]
    header = struct.pack(f"<{len(fields)}I", *fields).ljust(header_size, b"\0")
    return Image(header + content, base, entry, memory_end)


@lru_cache(maxsize=64)
def multiboot_elf(source: str, memory_end: int = 0) -> bytes:
    """multiboot(...).elf(), assembled once a process for the same source."""
    return multiboot(source, memory_end).elf()
