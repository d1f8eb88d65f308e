"""Where unicorn is known to be wrong, each with the reason; the host CPU is the reference.

Names of forms; a trailing '*' stands for any ending.  Groups other than the integer ones are left to the host CPU:
unicorn has no MXCSR flags, no x87 exception flags, no C1, no stack faults, rounds some constants and functions of the
x87 to 53 bits, picks other NaNs, and does not apply DAZ to MIN and MAX.
"""
from __future__ import annotations

from fnmatch import fnmatchcase

from .state import Case

UNICORN_IS_WRONG = {
    "lock neg *": "flags come from the wrong value",
    "cmpxchg {?32}, {r32}": "a successful 32-bit exchange clears the upper half of RAX",
    "lock cmpxchg {m32}, {r32}": "a successful 32-bit exchange clears the upper half of RAX",
    "sh?d {m*}, {r*}, {c}": "RIP-relative operands ignore the immediate byte that follows",
    "ph*addw {q}, {q}": "overwrites a source that is also the destination",
    "ph*addd {q}, {q}": "overwrites a source that is also the destination",
    "ph*addsw {q}, {q}": "overwrites a source that is also the destination",
    "phsub* {q}, {q}": "overwrites a source that is also the destination",
}


def unicorn_is_wrong(case: Case) -> bool:
    """Whether a disagreement about this case is expected."""
    return any(fnmatchcase(case.form, pattern) for pattern in UNICORN_IS_WRONG)
