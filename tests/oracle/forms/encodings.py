"""Encodings that no assembler text reaches: aliases, redundant and illegal prefixes, undefined opcodes (SDM vol. 2,
chapter 2 and appendix A).  Each is bytes; RBX, RSI and RDI point into the data window, RCX is small, as setup `pointers`.
"""
from __future__ import annotations

from .table import Form

ALL, LONG, NOT_LONG, FLAT_ONLY = (64, 32, 16), (64,), (32, 16), (64, 32)

# modes, undefined flags, encodings
ROWS: tuple[tuple[tuple[int, ...], str, str], ...] = (
    # the other direction of register forms, long and short immediates, accumulator forms
    (ALL, "", "00 d8; 02 c3; 01 d8; 03 c3; 10 e3; 13 c3; 1b c1; 2a c3; 2b d8; 3a c3; 3b c3; 88 d8; 8a c3; 89 c1; 8b c8"),
    (ALL, "AF", "08 d8; 0a c3; 20 d8; 23 c3; 32 c3; 33 d8; 84 d8; 85 c3; 86 c3; 24 7f; 0c 80; 34 ff; a8 80"),
    (ALL, "", "04 80; 14 7f; 1c 01; 2c ff; 3c 80; 80 c3 7f; 83 c3 80; 83 d8 7f; 83 f9 ff; c6 c3 55; b3 aa"),
    (FLAT_ONLY, "", "05 ff ff ff 7f; 15 00 00 00 80; 2d 01 00 00 00; 3d ff ff ff ff; 81 c3 01 00 00 00; c7 c3 78 56 34 12"),
    (ALL, "AF", "f6 cb 55; f6 c3 aa"),
    (FLAT_ONLY, "AF", "f7 cb 55 aa 55 aa; f7 c3 78 56 34 12"),
    (ALL, "AF OF", "c0 f3 03; c1 f3 03; d0 f3; d1 f3"),                  # /6 is SHL too: OF only of a shift by one
    (NOT_LONG, "", "82 c3 05; 82 fb 80; d6; 40; 4b; 66 43"),
    # operand size and REX
    (LONG, "", "66 88 d8; 66 48 01 d8; 48 66 01 d8; 41 48 01 d8; 40 00 e0; 40 88 f7; 44 88 e7; 4f 8d 0c 9b"),
    (LONG, "", "49 90; 41 90; 48 90; 66 90; f3 90; f3 41 90; 66 49 90; 90"),
    (LONG, "", "63 d8; 66 63 d8; 48 63 03; 48 98; 66 98; 98; 48 99; 66 99; 99; 48 d7"),
    (LONG, "", "66 6a 80; 66 68 34 12; 66 50; 66 58; 48 50; 48 ff 33; 48 8f 03; 41 8f c0"),
    # moffs, with both address sizes; the address lies in the data window
    (LONG, "", "48 a1 80 0f 01 10 00 00 00 00; a1 80 0f 01 10 00 00 00 00; a0 80 0f 01 10 00 00 00 00"),
    (LONG, "", "48 a3 80 0f 01 10 00 00 00 00; 66 a3 80 0f 01 10 00 00 00 00; a2 80 0f 01 10 00 00 00 00; 67 a1 80 0f 01 10"),
    ((32,), "", "a1 80 0f 01 10; a2 80 0f 01 10; 66 a3 80 0f 01 10"),
    (LONG, "", "8b 04 25 80 0f 01 10; 67 8b 04 25 80 0f 01 10; 67 8b 05 70 0b 01 00"),
    # segment prefixes that change nothing here, branch hints, REP and LOCK where they are ignored
    (FLAT_ONLY, "", "2e 8b 03; 3e 8b 03; 26 8b 03; 36 8b 03; 2e 74 40; 3e 75 40; f2 74 40; f3 c3; f2 c3"),
    (LONG, "", "64 8b 03; 65 48 8b 03; 64 67 8b 03"),
    (ALL, "", "f2 a4; f3 a4; f2 aa; f2 ac; f3 ac; 67 a4; f3 67 a4; 67 e3 40; e3 40"),
    (LONG, "", "f3 48 a5; 48 f3 a5; 67 f3 48 ab; f2 48 af; f3 48 a7; 67 48 a7"),
    (ALL, "", "0f 18 c0; 0f 19 c0; 0f 1a 03; 0f 1c 00; 0f 1d c3; 0f 1f c3; 66 0f 1f 04 03"),
    (LONG, "", "66 2e 0f 1f 84 00 00 00 00 00; 66 66 66 66 66 66 2e 0f 1f 84 00 00 00 00 00; f3 0f 1e fa; f3 0f 1e c8"),
    (FLAT_ONLY, "", "66 f3 0f b8 c3; f3 66 0f b8 c3; f2 66 0f 38 f1 c3; 66 f2 0f 38 f1 c3; f2 0f 38 f0 c3"),
    # undefined: opcodes, LOCK where it is not allowed
    (FLAT_ONLY, "all", "0f 0b; 0f ff c0; 0f b9 c0; f0 01 d8; f0 8b 03; f0 39 03; f0 90; f0 0f a3 03; f0 84 03; f0 c1 23 01"),
    (FLAT_ONLY, "all", "c6 cb 00; fe d3; ff fb; 0f c7 cb; 0f ba c3 01; f0 0f c7 c9; 8f c8 00; 0f 04; 0f 0a; 0f 24 c0; 0f 36"),
    (LONG, "all", "06; 07; 0e; 16; 1e; 1f; 27; 2f; 37; 3f; 60; 61; 82 c0 01; 9a 00 00 00 00 00 00; ce; d4 0a; d5 0a; d6"),
    (LONG, "all", "66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 90"),     # 16 bytes: #GP
    # moves in the direction that assemblers do not choose
    (ALL, "", "0f 7f c1; f3 0f 7f c1; 66 0f 7f c1; 0f 11 c1; 0f 29 c1; 66 0f d6 c1; f2 0f 11 c1; f3 0f 11 c1; f3 0f 7e c1"),
)

# Aliases of x87 opcodes and the no-operations left from the 8087 and 80287.
X87 = "dc d1; dc d9; de d2; dd cb; df cb; df d1; df d9; df c1; db e0; db e1; db e4; d9 d0; dd d2; dd da; d9 f6; d9 f7"
X87_UNDEFINED = "d9 d1; d9 e2; d9 e6; d9 ef; da e0; db e6; dd f0; de da; df e1"


def _forms() -> tuple[Form, ...]:
    forms = [Form(f"hex {code.strip()}", "encodings", modes, undefined, setup="pointers")
             for modes, undefined, codes in ROWS for code in codes.split(";")]
    forms += [Form(f"hex {code.strip()}", "x87-encodings", FLAT_ONLY, setup="fpu")
              for code in f"{X87}; {X87_UNDEFINED}".split(";")]
    return tuple(forms)


FORMS = _forms()
