"""PS/2 keyboard and mouse: the devices behind the keyboard controller, as byte queues that answer commands.

IBM PS/2 Hardware Interface Technical Reference, "Keyboard" and "Mouse"; translation table from the 8042 of the PC AT.
Not here: scan code set 3's per-key modes, typematic repeat, wheel and five-button mice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from emu import log
from emu.device import SysBusDevice

ACK, RESEND, SELF_TEST_PASSED, ECHO = 0xFA, 0xFE, 0xAA, 0xEE
RELEASE, EXTENDED = 0xF0, 0xE0
QUEUE_SIZE = 16

# Commands both devices know
SET_RATE, GET_ID, ENABLE, DISABLE, DEFAULTS, RESEND_COMMAND, RESET = 0xF3, 0xF2, 0xF4, 0xF5, 0xF6, 0xFE, 0xFF

# Keyboard commands
SET_LEDS, ECHO_COMMAND, SCAN_CODE_SET = 0xED, 0xEE, 0xF0
KEYBOARD_ID = (0xAB, 0x83)

# Mouse commands
SCALING_1, SCALING_2, RESOLUTION, STATUS_REQUEST, STREAM, READ_DATA = 0xE6, 0xE7, 0xE8, 0xE9, 0xEA, 0xEB
WRAP_OFF, WRAP_ON, REMOTE = 0xEC, 0xEE, 0xF0
MOUSE_ID = 0x00
STATUS_REMOTE, STATUS_ENABLED, STATUS_SCALING = 0x40, 0x20, 0x10
PACKET_ALWAYS_1, PACKET_X_SIGN, PACKET_Y_SIGN = 0x08, 0x10, 0x20

# What the controller makes of each byte of scan code set 2 up to 0x7F; 0x83 and 0x84 also change, the rest passes.
SET2_TO_SET1 = bytes.fromhex(
    "ff 43 41 3f 3d 3b 3c 58 64 44 42 40 3e 0f 29 59 65 38 2a 70 1d 10 02 5a 66 71 2c 1f 1e 11 03 5b"
    "67 2e 2d 20 12 05 04 5c 68 39 2f 21 14 13 06 5d 69 31 30 23 22 15 07 5e 6a 72 32 24 16 08 09 5f"
    "6b 33 25 17 18 0b 0a 60 6c 34 35 26 27 19 0c 61 6d 73 28 74 1a 0d 62 6e 3a 36 1c 1b 75 2b 63 76"
    "55 56 77 78 79 7a 0e 7b 7c 4f 7d 4b 47 7e 7f 6f 52 53 50 4c 4d 48 01 45 57 4e 51 4a 37 49 46 54"
)
SPECIAL_TRANSLATION = {0x83: 0x41, 0x84: 0x54}
SET1_TO_SET2 = {one: two for two, one in (*SPECIAL_TRANSLATION.items(), *enumerate(SET2_TO_SET1)) if two}


def translate(byte: int) -> int:
    """Scan code set 2 to set 1, without the release prefix."""
    return SET2_TO_SET1[byte] if byte < 0x80 else SPECIAL_TRANSLATION.get(byte, byte)


class Ps2Device(SysBusDevice):
    """A queue of bytes for the controller.  `on_data()` tells it that there is a first one.

    `answers` are responses, which go before `events`, the keys and movements; a full event queue drops newcomers.
    """

    name = "ps2-device"
    abstract = True

    saved: ClassVar[tuple[str, ...]] = ("answers", "events", "awaiting", "last", "enabled")

    def __init__(self, on_data: Callable[[], None] = lambda: None) -> None:
        self.on_data = on_data
        self.answers: list[int] = []
        self.events: list[int] = []
        self.awaiting = 0  # the command whose parameter comes next
        self.last = 0
        self.enabled = False

    def has_data(self) -> bool:
        return bool(self.answers or self.events)

    def take(self) -> int:
        """The next byte for the host."""
        self.last = (self.answers or self.events).pop(0)
        return self.last

    def answer(self, *values: int) -> None:
        self.answers += values
        self.on_data()

    def queue(self, values: list[int]) -> None:
        """A whole event, or none of it when the queue is full."""
        if len(self.events) + len(values) <= QUEUE_SIZE:
            self.events += values
            self.on_data()

    def restart(self, enabled: bool) -> None:
        """Power-on defaults."""
        self.events.clear()
        self.awaiting, self.enabled = 0, enabled

    def command(self, byte: int) -> None:
        """A byte from the host: a command or the parameter of the last one."""
        self.answers.clear()
        awaiting, self.awaiting = self.awaiting, 0
        if awaiting and byte < SCALING_1:
            self.parameter(awaiting, byte)
        else:
            self.execute(byte)

    def execute(self, command: int) -> None:
        raise NotImplementedError

    def parameter(self, command: int, value: int) -> None:
        raise NotImplementedError


class Keyboard(Ps2Device):
    """Speaks scan code set 2 unless told otherwise."""

    name = "ps2-kbd"

    saved = ("leds", "rate", "scan_set")

    def __init__(self, on_data: Callable[[], None] = lambda: None) -> None:
        super().__init__(on_data)
        self.leds = self.rate = 0
        self.scan_set = 2
        self.enabled = True

    def key(self, code: int, down: bool) -> None:
        """Press or release a key by its set 1 code, as QMP numbers keys; 0x80 and up are the extended (0xE0) ones."""
        if not self.enabled:
            return
        base, prefix = code & 0x7F, [EXTENDED] if code & 0x80 else []
        if self.scan_set == 1:
            self.queue([*prefix, base if down else base | 0x80])
        else:
            self.queue([*prefix, *([] if down else [RELEASE]), SET1_TO_SET2.get(base, base)])

    def restart(self, enabled: bool) -> None:
        super().restart(enabled)
        self.leds, self.rate, self.scan_set = 0, 0, 2

    def execute(self, command: int) -> None:
        if command == RESET:
            self.restart(enabled=True)
            self.answer(ACK, SELF_TEST_PASSED)
        elif command == GET_ID:
            self.answer(ACK, *KEYBOARD_ID)
        elif command in (SET_LEDS, SET_RATE, SCAN_CODE_SET):
            self.awaiting = command
            self.answer(ACK)
        elif command in (ENABLE, DISABLE, DEFAULTS):
            self.restart(enabled=command != DISABLE)
            self.answer(ACK)
        elif command == ECHO_COMMAND:
            self.answer(ECHO)
        elif command == RESEND_COMMAND:
            self.answer(self.last)
        else:
            log.guest_error(self.name, f"unknown keyboard command {command:#04x}")
            self.answer(RESEND)

    def parameter(self, command: int, value: int) -> None:
        if command == SCAN_CODE_SET and value == 0:
            self.answer(ACK, self.scan_set)
            return
        if command == SCAN_CODE_SET:
            if value > 3:
                self.answer(RESEND)
                return
            self.scan_set = value
        elif command == SET_LEDS:
            self.leds = value
        else:
            self.rate = value
        self.answer(ACK)


class Mouse(Ps2Device):
    """A three-button mouse with identity 0."""

    name = "ps2-mouse"

    saved = ("rate", "resolution", "scaling", "remote", "wrap", "buttons", "dx", "dy")

    def __init__(self, on_data: Callable[[], None] = lambda: None) -> None:
        super().__init__(on_data)
        self._defaults()

    def _defaults(self) -> None:
        self.rate, self.resolution = 100, 2
        self.scaling = self.remote = self.wrap = False
        self.buttons = 0  # bit 0 left, 1 right, 2 middle
        self.dx = self.dy = 0

    def restart(self, enabled: bool) -> None:
        super().restart(enabled)
        self._defaults()

    def move(self, dx: int, dy: int, buttons: int) -> None:
        """Counts moved to the right and up since the last time, and which buttons are down."""
        self.dx, self.dy, self.buttons = self.dx + dx, self.dy + dy, buttons & 7
        if self.enabled and not self.remote:
            self.queue(self._packet())

    def _packet(self) -> list[int]:
        dx, dy = (max(-256, min(255, delta)) for delta in (self.dx, self.dy))
        self.dx, self.dy = self.dx - dx, self.dy - dy
        signs = PACKET_X_SIGN * (dx < 0) | PACKET_Y_SIGN * (dy < 0)
        return [PACKET_ALWAYS_1 | signs | self.buttons, dx & 0xFF, dy & 0xFF]

    def command(self, byte: int) -> None:
        if self.wrap and byte not in (RESET, WRAP_OFF):
            self.answer(byte)
        else:
            super().command(byte)

    def execute(self, command: int) -> None:
        if command == RESET:
            self.restart(enabled=False)
            self.answer(ACK, SELF_TEST_PASSED, MOUSE_ID)
        elif command == GET_ID:
            self.answer(ACK, MOUSE_ID)
        elif command == STATUS_REQUEST:
            self.answer(ACK, self._status(), self.resolution, self.rate)
        elif command == READ_DATA:
            self.answer(ACK, *self._packet())
        elif command == RESEND_COMMAND:
            self.answer(self.last)
        elif command in (RESOLUTION, SET_RATE):
            self.awaiting = command
            self.answer(ACK)
        elif self._mode(command):
            self.answer(ACK)
        else:
            log.guest_error(self.name, f"unknown mouse command {command:#04x}")
            self.answer(RESEND)

    def _mode(self, command: int) -> bool:
        """Commands that only switch something.  Returns whether this was one."""
        if command == DEFAULTS:
            self.restart(enabled=False)
        elif command in (ENABLE, DISABLE):
            self.enabled = command == ENABLE
        elif command in (SCALING_1, SCALING_2):
            self.scaling = command == SCALING_2
        elif command in (STREAM, REMOTE):
            self.remote = command == REMOTE
        elif command in (WRAP_ON, WRAP_OFF):
            self.wrap = command == WRAP_ON
        else:
            return False
        return True

    def _status(self) -> int:
        flags = STATUS_REMOTE * self.remote | STATUS_ENABLED * self.enabled | STATUS_SCALING * self.scaling
        left, right, middle = (self.buttons >> n & 1 for n in range(3))
        return flags | left << 2 | middle << 1 | right

    def parameter(self, command: int, value: int) -> None:
        if command == RESOLUTION:
            self.resolution = value
        else:
            self.rate = value
        self.answer(ACK)
