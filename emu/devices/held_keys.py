"""Keys that somebody holds down for a while, for monitors: pressed at once, released in virtual time.

Not here: names of keys (emu/qmp/keys.py), scan codes (ps2.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from emu.clock import Clock
from emu.devices.ps2 import Keyboard
from emu.snapshot import Stateful


class HeldKeys(Stateful):
    """`codes` are down until the times in `until` (ns), the earliest first."""

    saved = ("codes", "until", "timer")

    def __init__(self, clock: Clock, keyboard: Keyboard) -> None:
        self.clock, self.keyboard = clock, keyboard
        self.codes: list[int] = []
        self.until: list[int] = []
        self.timer = clock.timer(self._release)

    def press(self, codes: Sequence[int], hold_ns: int) -> None:
        """Press keys, by their set 1 codes, in order; they go up together, the last one first."""
        for code in codes:
            self.keyboard.key(code, True)
        end = self.clock.now + hold_ns
        held = sorted([*zip(self.until, self.codes), *((end, code) for code in reversed(codes))], key=lambda each: each[0])
        self.until, self.codes = [when for when, _ in held], [code for _, code in held]
        self._arm()

    def _release(self) -> None:
        while self.until and self.until[0] <= self.clock.now:
            del self.until[0]
            self.keyboard.key(self.codes.pop(0), False)
        self._arm()

    def _arm(self) -> None:
        if self.until:
            self.timer.rearm(self.until[0])
