"""Rows of text that become instruction forms.

A row is `mnemonics | operand lists | undefined | options`; W in an operand list stands for each width of the row.

operand kinds   {r8} {r16} {r32} {r64} registers; {m8} .. {m512} memory; {rm32} both in turn; {p28} memory of 28 bytes
                without a size word; {i8} {i16} {i32} {i64} immediates of that size, {s8} a signed one; {c} shift count; {rel} branch target;
                {x} XMM, {xm64} XMM or memory; {q} MMX, {qm64} MMX or memory; {st} x87 register
undefined       flags the manual leaves undefined ("AF SF"), or the name of a rule in rules.py
options         w=8,16  widths (default all four)      mode=32  modes (default all that have the operands)
                uses=rax,rdx  implicit registers       setup=name  from setups.py      lanes=f32  kind of vector contents
                lock  also with a LOCK prefix (memory forms only)        unaligned  16-byte operands need no alignment
                approx=rcp  see compare.py             mask=0xFF  significant bits of {i8}
"""
from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

OPERAND = re.compile(r"\{(\w+)\}")
ALTERNATIVES = {"rm": ("r", "m"), "xm": ("x", "m"), "qm": ("q", "m")}
ALL_MODES = (64, 32, 16)


@dataclass(frozen=True)
class Form:
    """One instruction with its kinds of operands."""
    text: str
    group: str
    modes: tuple[int, ...] = ALL_MODES
    undefined: str = ""
    uses: tuple[str, ...] = ()
    setup: str = ""
    lanes: str = "int"
    aligned: bool = True
    approximate: str = ""
    imm_mask: int = 0xFF
    operands: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "operands", tuple(OPERAND.findall(self.text)))

    @property
    def mnemonic(self) -> str:
        return self.text.split(" {")[0]

    @property
    def has_memory(self) -> bool:
        return any(kind[0] in "mp" for kind in self.operands)


def parse(group: str, table: str) -> tuple[Form, ...]:
    """All forms of a table; '#' starts a comment.  Raises ValueError for a malformed row."""
    forms: list[Form] = []
    for line in table.splitlines():
        line = line.split("#")[0].strip()
        if line:
            forms += _row(group, line)
    return tuple(forms)


def _row(group: str, line: str) -> Iterator[Form]:
    columns = [column.strip() for column in line.split("|")]
    if len(columns) > 4:
        raise ValueError(f"a row has at most 4 columns (mnemonics | operands | undefined | options): {line!r}")
    mnemonics, operand_lists, undefined, option_text = columns + [""] * (4 - len(columns))
    options = dict((item + "=").split("=")[:2] for item in option_text.split())
    common = _form_fields(group, undefined, options)
    widths = [int(w) for w in options["w"].split(",")] if "w" in options else [8, 16, 32, 64]
    for mnemonic in mnemonics.split(","):
        for operand_list in operand_lists.split(";"):
            yield from _expand(mnemonic.strip(), operand_list.strip(), widths, options, common)


def _form_fields(group: str, undefined: str, options: dict[str, str]) -> dict[str, object]:
    unknown = set(options) - {"w", "mode", "uses", "setup", "lanes", "lock", "unaligned", "approx", "mask"}
    if unknown:
        raise ValueError(f"unknown options {sorted(unknown)} in a row of group {group!r}")
    modes = tuple(int(mode) for mode in options["mode"].split(",")) if "mode" in options else ALL_MODES
    return dict(group=group, undefined=undefined, modes=modes, setup=options.get("setup", ""),
                uses=tuple(filter(None, options.get("uses", "").split(","))), lanes=options.get("lanes", "int"),
                aligned="unaligned" not in options, approximate=options.get("approx", ""),
                imm_mask=int(options.get("mask", "0xFF"), 16))


def _expand(mnemonic: str, operands: str, widths: list[int], options: dict[str, str],
            common: dict[str, object]) -> Iterator[Form]:
    for width in widths if "W" in operands or "W" in mnemonic else [0]:
        # An immediate has at most 32 bits, also at width 64.
        text = operands.replace("{iW}", f"{{i{min(width, 32)}}}").replace("W", str(width))
        head = mnemonic.replace("W", str(width))
        for concrete in _alternatives(text):
            needs_64 = re.search(r"\{(r64|i64)\}", concrete) or (width == 64 and "W" in operands)
            fields = dict(common)
            if needs_64:
                fields["modes"] = tuple(mode for mode in common["modes"] if mode == 64)
            if fields["modes"]:
                yield Form(f"{head} {concrete}".strip(), **fields)
                if "lock" in options and concrete.startswith("{m"):
                    yield Form(f"lock {head} {concrete}", **fields)


def _alternatives(operands: str) -> Iterator[str]:
    found = re.search(r"\{(rm|xm|qm)(\d+)\}", operands)
    if not found:
        yield operands
        return
    register, memory = ALTERNATIVES[found[1]]
    name = f"{{{register}{found[2]}}}" if register == "r" else f"{{{register}}}"
    yield from _alternatives(operands.replace(found[0], name, 1))
    yield from _alternatives(operands.replace(found[0], f"{{{memory}{found[2]}}}", 1))
