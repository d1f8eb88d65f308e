"""Names of keys, as QMP's QKeyCode and the human monitor's sendkey have them, and the PS/2 set 1 codes behind them.

A code from 80h on is the extended one: E0h before its low seven bits.  Multimedia and Asian keys are left out.
"""

from __future__ import annotations

from typing import Any, Literal

EXTENDED = 0x80

# Rows of the keyboard; a row's codes count up from its first.
ROWS = (
    (0x01, "esc 1 2 3 4 5 6 7 8 9 0 minus equal backspace tab q w e r t y u i o p bracket_left bracket_right ret ctrl"),
    (0x1E, "a s d f g h j k l semicolon apostrophe grave_accent shift backslash z x c v b n m comma dot slash shift_r"),
    (0x37, "kp_multiply alt spc caps_lock f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 num_lock scroll_lock"),
    (0x47, "kp_7 kp_8 kp_9 kp_subtract kp_4 kp_5 kp_6 kp_add kp_1 kp_2 kp_3 kp_0 kp_decimal sysrq"),
    (0x56, "less f11 f12"),
    (EXTENDED | 0x47, "home up pgup"), (EXTENDED | 0x4B, "left"), (EXTENDED | 0x4D, "right"),
    (EXTENDED | 0x4F, "end down pgdn insert delete"), (EXTENDED | 0x5B, "meta_l meta_r compose"),
    (EXTENDED | 0x1C, "kp_enter ctrl_r"), (EXTENDED | 0x35, "kp_divide"), (EXTENDED | 0x37, "print alt_r"),
    (EXTENDED | 0x46, "pause"), (0x37, "asterisk"), (EXTENDED | 0x5D, "menu"),
)  # fmt: skip

CODES = {name: first + offset for first, names in ROWS for offset, name in enumerate(names.split())}
QKEYCODE: Any = Literal[tuple(CODES)]  # type: ignore[misc]
