"""The opcodes of AML, in the order of ACPI 6.5, section 20.3: what the writer, parser, printer and evaluator agree on.

A row is the opcode, its ASL name, and its operands:

    term      a term: constant, expression, method call
    super     where something is stored, or what is looked at: name, local, argument, Debug, reference
    target    the same, and may be left out
    name      a name string
    byte word dword qword string    constants without a prefix
    {         begins a package: its length counts all that follows, which ends with one of
    terms elements bytes fields     a list that fills the package

Not here: Load's and Unload's effects; the obsolete opcodes of ACPI 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

EXTENDED = 0x5B

TABLE = """
00    Zero
01    One
06    Alias                   name name
08    Name                    name term
0A    ByteConst               byte
0B    WordConst               word
0C    DWordConst              dword
0D    String                  string
0E    QWordConst              qword
10    Scope                   { name terms
11    Buffer                  { term bytes
12    Package                 { byte elements
13    VarPackage              { term elements
14    Method                  { name byte terms
15    External                name byte byte
5B01  Mutex                   name byte
5B02  Event                   name
5B12  CondRefOf               super target
5B13  CreateField             term term term name
5B1F  LoadTable               term term term term term term
5B20  Load                    name super
5B21  Stall                   term
5B22  Sleep                   term
5B23  Acquire                 super word
5B24  Signal                  super
5B25  Wait                    super term
5B26  Reset                   super
5B27  Release                 super
5B28  FromBCD                 term target
5B29  ToBCD                   term target
5B2A  Unload                  super
5B30  Revision
5B31  Debug
5B32  Fatal                   byte dword term
5B33  Timer
5B80  OperationRegion         name byte term term
5B81  Field                   { name byte fields
5B82  Device                  { name terms
5B83  Processor               { name byte dword byte terms
5B84  PowerResource           { name byte word terms
5B85  ThermalZone             { name terms
5B86  IndexField              { name name byte fields
5B87  BankField               { name name term byte fields
5B88  DataTableRegion         name term term term
60    Local0
61    Local1
62    Local2
63    Local3
64    Local4
65    Local5
66    Local6
67    Local7
68    Arg0
69    Arg1
6A    Arg2
6B    Arg3
6C    Arg4
6D    Arg5
6E    Arg6
70    Store                   term super
71    RefOf                   super
72    Add                     term term target
73    Concatenate             term term target
74    Subtract                term term target
75    Increment               super
76    Decrement               super
77    Multiply                term term target
78    Divide                  term term target target
79    ShiftLeft               term term target
7A    ShiftRight              term term target
7B    And                     term term target
7C    Nand                    term term target
7D    Or                      term term target
7E    Nor                     term term target
7F    Xor                     term term target
80    Not                     term target
81    FindSetLeftBit          term target
82    FindSetRightBit         term target
83    DerefOf                 term
84    ConcatenateResTemplate  term term target
85    Mod                     term term target
86    Notify                  super term
87    SizeOf                  super
88    Index                   term term target
89    Match                   term byte term byte term term
8A    CreateDWordField        term term name
8B    CreateWordField         term term name
8C    CreateByteField         term term name
8D    CreateBitField          term term name
8E    ObjectType              super
8F    CreateQWordField        term term name
90    LAnd                    term term
91    LOr                     term term
92    LNot                    term
93    LEqual                  term term
94    LGreater                term term
95    LLess                   term term
96    ToBuffer                term target
97    ToDecimalString         term target
98    ToHexString             term target
99    ToInteger               term target
9C    ToString                term term target
9D    CopyObject              term super
9E    Mid                     term term term target
9F    Continue
A0    If                      { term terms
A1    Else                    { terms
A2    While                   { term terms
A3    Noop
A4    Return                  term
A5    Break
CC    BreakPoint
FF    Ones
"""


@dataclass(frozen=True, slots=True)
class Opcode:
    """One row.  `code` has one byte, or 5Bh and a second one; `operands` are the kinds of the table."""

    code: int
    name: str
    operands: tuple[str, ...]
    package: bool = False

    @property
    def encoded(self) -> bytes:
        return self.code.to_bytes(2 if self.code > 0xFF else 1, "big")


def _rows() -> list[Opcode]:
    split = [line.split() for line in TABLE.strip().splitlines()]
    return [Opcode(int(c, 16), name, tuple(k for k in kinds if k != "{"), "{" in kinds) for c, name, *kinds in split]


class ObjectType(IntEnum):
    """What the ObjectType operator returns, table 19.33."""

    UNINITIALIZED = 0
    INTEGER = 1
    STRING = 2
    BUFFER = 3
    PACKAGE = 4
    FIELD_UNIT = 5
    DEVICE = 6
    EVENT = 7
    METHOD = 8
    MUTEX = 9
    OPERATION_REGION = 10
    POWER_RESOURCE = 11
    PROCESSOR = 12
    THERMAL_ZONE = 13
    BUFFER_FIELD = 14
    DEBUG = 16


BY_NAME = {row.name: row for row in _rows()}
BY_CODE = {row.code: row for row in BY_NAME.values()}
# what a name string stands for where a term may stand: an object's value, or a method with its arguments
NAME = Opcode(-1, "NameString", ("name",))
CALL = Opcode(-2, "MethodCall", ("name",))
