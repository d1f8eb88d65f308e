"""Every documented user-mode instruction form of the baseline, with operand values: see `cases`.

    for case in forms.cases(group="integer", seed=1, per_form=8):
        expected = native.run(case)

Groups: integer, string, stack, branch, bmi (optional extension), x87, x87-unmasked, mmx, sse, sse-rounding,
sse-unmasked, encodings and x87-encodings (raw bytes), and faults (memory forms of the other groups at bad addresses).  Modes 64, 32 and 16; not every form exists in all.
"""
from __future__ import annotations

from collections.abc import Iterator
from random import Random

from ..state import Case
from . import encodings, integer, sse, x87
from .build import Builder
from .table import Form

ALL_FORMS: tuple[Form, ...] = (*integer.FORMS, *x87.FORMS, *sse.FORMS, *encodings.FORMS)
GROUPS = tuple(dict.fromkeys(form.group for form in ALL_FORMS)) + ("faults",)
BAD_PLACES = ("hole", "into-hole", "read-only")


def forms(group: str | None = None, mode: int = 64) -> list[Form]:
    """The forms of a group (None: of all groups) that exist in a mode.  Raises ValueError for an unknown group."""
    if group is not None and group not in GROUPS:
        raise ValueError(f"no group {group!r} of instruction forms; there are {', '.join(GROUPS)}")
    if group == "faults":
        return [form for form in ALL_FORMS if mode in form.modes and form.has_memory and not form.group.endswith("unmasked")]
    return [form for form in ALL_FORMS if mode in form.modes and group in (None, form.group)]


def cases(group: str | None = None, seed: int = 1, per_form: int = 8, mode: int = 64) -> Iterator[Case]:
    """Cases of each form of a group, the same for the same arguments, whatever other forms exist.

    In real mode no address faults, so group "faults" is empty there.
    """
    if group == "faults" and mode == 16:
        return
    for form in forms(group, mode):
        rng = Random(f"{seed} {mode} {group} {form.text}")
        for index in range(per_form):
            place = BAD_PLACES[index % len(BAD_PLACES)] if group == "faults" else ""
            yield Builder(form, mode, rng, place).case()
