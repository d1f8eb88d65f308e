"""Facts about instructions as rows of text: `instruction | state before => state after`.

    [64]                                                                    mode of the rows that follow: 16, 32 or 64
    add eax, ebx | rax=7fffffff rbx=1 => rax=80000000 of=1 sf=1             # comment
    bytes 82 c0 01 | al=1 => al=2                                           machine code
    div ecx | rcx=0 => #DE                                                  an exception; nothing else changes unless named

State words: a register of any width (ah, r9d, rax), a flag (cf pf af zf sf of df), or bytes in memory, `[data+8]:4=1234`.
Values are hexadecimal, with `_` for readers, or a place (`data`, `stack`, `hole`, `code`, `entry`, `next`) plus or minus a
distance.  `next` is the address behind the instruction.  After the arrow, pc is where control is (default: next; with an
exception: entry).  General registers and memory that are not named there must not change; flags that are not named may.
"""
from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.oracle.assembler import assemble
from tests.oracle.state import GPR_NAMES, Case, Flags, Result, State, Vector, layout

HERE = Path(__file__).parent
FLAG_NAMES = {flag.name.lower(): flag for flag in Flags if flag.name in ("CF", "PF", "AF", "ZF", "SF", "OF", "DF")}
MEMORY = re.compile(r"\[(.+)\]:(\d+)$")
PLACE = re.compile(r"([a-z]+)?(?:([+-])?([0-9a-f_]+))?$")


def _register_parts() -> dict[str, tuple[int, int, int]]:
    """Name -> (number, shift, bits)."""
    parts = {}
    for number, name in enumerate(GPR_NAMES):
        parts[name] = (number, 0, 64)
        if number < 8:
            word = name[1:]
            low = word[0] + "l" if word.endswith("x") else word + "l"
            parts |= {"e" + word: (number, 0, 32), word: (number, 0, 16), low: (number, 0, 8)}
            if number < 4:
                parts[word[0] + "h"] = (number, 8, 8)
        else:
            parts |= {name + "d": (number, 0, 32), name + "w": (number, 0, 16), name + "b": (number, 0, 8)}
    return parts


REGISTERS = _register_parts()


@dataclass
class Row:
    """One fact: a case for an engine, and what must be true afterwards."""

    file: str
    line: int
    text: str
    case: Case
    after: list[tuple[str, str]]
    fault: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    def problems(self, result: Result) -> list[str]:
        """What is wrong with an engine's result, in sentences; empty when all is as the row says."""
        found = [] if (got := _fault_name(result)) == self.fault else [f"ended with {got or 'no fault'}, not {self.fault or 'none'}"]
        expected = self.case.initial.copy()
        expected.rip = self._value("entry" if self.fault else "next")
        free: dict[int, int] = {}
        for name, text in self.after:
            if name == "pc":
                expected.rip = self._value(text)
            elif name in FLAG_NAMES:
                if (got := int(bool(result.state.rflags & FLAG_NAMES[name]))) != self._value(text):
                    found.append(f"{name} is {got}, not {text}")
            else:
                _apply(expected, name, self._value(text), self._value)
                if name in REGISTERS:
                    number, shift, bits = REGISTERS[name]
                    free[number] = free.get(number, 0) | ((1 << bits) - 1) << shift
        return found + list(self._differences(expected, result.state, free))

    def _differences(self, expected: State, actual: State, named: dict[int, int]) -> Iterator[str]:
        if actual.rip != expected.rip:
            yield f"pc is {actual.rip:#x}, not {expected.rip:#x}"
        for number, name in enumerate(GPR_NAMES if self.case.mode == 64 else GPR_NAMES[:8]):
            mask = named.get(number, (1 << 64) - 1 if self.case.mode == 64 else 0xFFFFFFFF)
            if (actual.gpr[number] ^ expected.gpr[number]) & mask:
                yield f"{name} is {actual.gpr[number]:#x}, not {expected.gpr[number]:#x} (of which {mask:#x} count)"
        for base, content in expected.memory.items():
            for i, (want, got) in enumerate(zip(content, actual.memory[base])):
                if want != got:
                    yield f"[{base + i:#x}] is {got:#x}, not {want:#x}"

    def _value(self, text: str) -> int:
        return _value(text, self.case)


def _fault_name(result: Result) -> str:
    return f"#{Vector(result.fault.vector).name}" if result.fault else ""


def _value(text: str, case: Case) -> int:
    places = layout(case.mode)
    known = {"data": places.data_window.base, "stack": places.stack_window.base + 0x100, "hole": places.hole,
             "readonly": places.read_only, "code": places.code, "entry": places.entry, "next": places.entry + len(case.code)}
    match = PLACE.fullmatch(text)
    if match and match[1] in known:
        distance = int(match[3] or "0", 16)
        return known[match[1]] + (-distance if match[2] == "-" else distance)
    return int(text, 16) & ((1 << 64) - 1)


def _apply(state: State, name: str, value: int, evaluate: object) -> None:
    if name in REGISTERS:
        number, shift, bits = REGISTERS[name]
        mask = ((1 << bits) - 1) << shift
        state.gpr[number] = state.gpr[number] & ~mask | value << shift & mask
    elif name in FLAG_NAMES:
        state.rflags = state.rflags & ~int(FLAG_NAMES[name]) | (int(FLAG_NAMES[name]) if value else 0)
    elif found := MEMORY.fullmatch(name):
        state.store(evaluate(found[1]), int(found[2]), value)
    else:
        raise ValueError(f"{name!r} is no register, flag or [address]:bytes")


def _fresh(mode: int) -> State:
    places = layout(mode)
    state = State(rip=places.entry, memory={window.base: bytes(window.size) for window in places.windows})
    state.gpr[4] = places.stack_window.base + 0x100
    return state


def _words(text: str) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (word.partition("=") for word in text.split()) if value]


def _parse(text: str, mode: int, file: str, line: int) -> Row:
    try:
        instruction, _, states = text.partition("|")
        before, arrow, after = states.partition("=>")
        if not arrow:
            raise ValueError("there is no =>")
        instruction = instruction.strip()
        code = bytes.fromhex(instruction[5:]) if instruction.startswith("bytes") else assemble(instruction, mode, layout(mode).entry)
        case = Case(instruction, code, mode, _fresh(mode), form=f"{file}:{line}")
        for name, value in _words(before):
            _apply(case.initial, name, _value(value, case), lambda place: _value(place, case))
        faults = [word for word in after.split() if word.startswith("#")]
        return Row(file, line, text, case, _words(after), faults[0] if faults else "")
    except ValueError as error:
        raise ValueError(f"{file}:{line}: {error}: {text!r}") from error


def rows(file: str) -> Iterator[Row]:
    """The rows of one file in this folder.  Raises ValueError, with file and line, for a malformed row."""
    mode = 64
    for line, text in enumerate((HERE / file).read_text().splitlines(), 1):
        text = re.sub(r"\s# .*|^# .*|^#$", "", text).strip()
        if text in ("[16]", "[32]", "[64]"):
            mode = int(text[1:-1])
        elif text:
            yield _parse(text, mode, file, line)


def all_rows() -> list[Row]:
    return [row for path in sorted(HERE.glob("x86_*.txt")) for row in rows(path.name)]
