"""Intel 8042 keyboard controller of a PC at ports 0x60 and 0x64, with a PS/2 keyboard and mouse behind it.

IBM PS/2 Hardware Interface Technical Reference, "Keyboard and auxiliary device controller".
A byte read is replaced by the next waiting one at once, with a fresh edge on its interrupt line.
Not here: the passwords, the keyboard lock, the test inputs; commands take no time, so the input buffer is never full.
"""

from __future__ import annotations

from collections.abc import Callable

from emu import log
from emu.bus import AddressSpace
from emu.device import IsaDevice, Window
from emu.devices.ps2 import Keyboard, Mouse, Ps2Device, translate
from emu.irq import Irq

DATA_PORT, COMMAND_PORT = 0x60, 0x64

# Status register
OUTPUT_FULL, SYSTEM_FLAG, COMMAND_WRITTEN, UNLOCKED, AUX_OUTPUT_FULL = 0x01, 0x04, 0x08, 0x10, 0x20

# Command byte
KEYBOARD_INTERRUPT, AUX_INTERRUPT, CB_SYSTEM_FLAG = 0x01, 0x02, 0x04
KEYBOARD_DISABLE, AUX_DISABLE, TRANSLATE = 0x10, 0x20, 0x40

# Output port
OUT_RESET, OUT_A20, OUT_KEYBOARD_FULL, OUT_AUX_FULL, OUT_ONES = 0x01, 0x02, 0x10, 0x20, 0xCC
INPUT_PORT = 0x80  # keyboard not inhibited

# Controller commands
READ_RAM, WRITE_RAM = 0x20, 0x60  # to 0x3F and 0x7F
AUX_OFF, AUX_ON, AUX_TEST, SELF_TEST, KEYBOARD_TEST = 0xA7, 0xA8, 0xA9, 0xAA, 0xAB
KEYBOARD_OFF, KEYBOARD_ON, READ_INPUT, READ_OUTPUT, WRITE_OUTPUT = 0xAD, 0xAE, 0xC0, 0xD0, 0xD1
WRITE_KEYBOARD_BUFFER, WRITE_AUX_BUFFER, WRITE_AUX = 0xD2, 0xD3, 0xD4
A20_OFF, A20_ON, PULSE = 0xDD, 0xDF, 0xF0
WITH_PARAMETER = (WRITE_OUTPUT, WRITE_KEYBOARD_BUFFER, WRITE_AUX_BUFFER, WRITE_AUX)
SELF_TEST_PASSED, INTERFACE_GOOD = 0x55, 0x00


class I8042(IsaDevice):
    """`keyboard_irq` and `mouse_irq` are lines 1 and 12; `on_a20(level)` and `on_reset()` are the output port's pins."""

    name = "i8042"
    max_access = 1

    saved = ("status", "ram", "output_port", "data", "awaiting", "reply", "buffer_is_reply", "keyboard", "mouse")

    def __init__(
        self,
        keyboard_irq: Irq | None = None,
        mouse_irq: Irq | None = None,
        on_a20: Callable[[int], None] = lambda level: None,
        on_reset: Callable[[], None] = lambda: None,
    ) -> None:
        self.keyboard_irq, self.mouse_irq = keyboard_irq or Irq(), mouse_irq or Irq()
        self.on_a20, self.on_reset = on_a20, on_reset
        self.keyboard = self.add_child("ps2kbd", Keyboard(self._fill))
        self.mouse = self.add_child("ps2mouse", Mouse(self._fill))
        self.command_window = Window("i8042-cmd", 1, self._read_status, self._write_command)
        self._clear()

    def _clear(self) -> None:
        self.status = UNLOCKED | COMMAND_WRITTEN
        self.ram = bytearray(32)
        self.ram[0] = KEYBOARD_INTERRUPT | AUX_INTERRUPT
        self.output_port = OUT_RESET | OUT_A20 | OUT_ONES
        self.data = 0
        self.awaiting = 0  # the controller command whose parameter comes next at the data port
        self.reply: tuple[int, bool] | tuple[()] = ()  # the controller's own byte, and whether it passes as the mouse's
        self.buffer_is_reply = False

    def reset(self) -> None:
        self._clear()
        for device in (self.keyboard, self.mouse):
            device.answers.clear()
            device.restart(enabled=device is self.keyboard)
        self._drive_lines()

    def attach(self, io: AddressSpace) -> None:
        """Map at the PC's ports: 0x60 and 0x64."""
        io.map(DATA_PORT, 1, self, "i8042-data")
        io.map(COMMAND_PORT, 1, self.command_window)

    @property
    def command_byte(self) -> int:
        return self.ram[0]

    # Output buffer

    def read(self, offset: int, size: int) -> int:
        """The data port: takes the byte out of the output buffer."""
        value = self.data
        self.status &= ~(OUTPUT_FULL | AUX_OUTPUT_FULL)
        self.buffer_is_reply = False
        self._drive_lines()
        self._fill()
        return value

    def _fill(self) -> None:
        """Put the next waiting byte into the output buffer if that is empty."""
        if self.status & OUTPUT_FULL:
            return
        if self.reply:
            self._put(*self.reply)
            self.reply, self.buffer_is_reply = (), True
        elif self.keyboard.has_data() and not self.command_byte & KEYBOARD_DISABLE:
            self._put(self._translated(self.keyboard), aux=False)
        elif self.mouse.has_data() and not self.command_byte & AUX_DISABLE:
            self._put(self.mouse.take(), aux=True)

    def _translated(self, keyboard: Keyboard) -> int:
        """The keyboard's next byte; in translation a release prefix becomes the top bit of the code after it."""
        byte = keyboard.take()
        if not self.command_byte & TRANSLATE:
            return byte
        if byte == 0xF0 and keyboard.has_data():
            return translate(keyboard.take()) | 0x80
        return translate(byte)

    def _put(self, value: int, aux: bool) -> None:
        self.data = value
        self.status = self.status & ~AUX_OUTPUT_FULL | OUTPUT_FULL | AUX_OUTPUT_FULL * aux
        self.buffer_is_reply = False
        self._drive_lines()

    def _reply(self, value: int, aux: bool = False) -> None:
        """The controller has a byte of its own: it overwrites one that was not read, and waits for a device's."""
        self.reply = (value, aux)
        if self.buffer_is_reply:
            self.status &= ~OUTPUT_FULL
        self._fill()

    def _drive_lines(self) -> None:
        full, aux = self.status & OUTPUT_FULL, self.status & AUX_OUTPUT_FULL
        self.output_port &= ~(OUT_KEYBOARD_FULL | OUT_AUX_FULL)
        if full:
            self.output_port |= OUT_AUX_FULL if aux else OUT_KEYBOARD_FULL
        self.keyboard_irq.set(bool(full and not aux and self.command_byte & KEYBOARD_INTERRUPT))
        self.mouse_irq.set(bool(full and aux and self.command_byte & AUX_INTERRUPT))

    # Input buffer

    def write(self, offset: int, size: int, value: int) -> None:
        """The data port: the parameter of a controller command, or a byte for the keyboard."""
        self.status &= ~COMMAND_WRITTEN
        command, self.awaiting = self.awaiting, 0
        if command == 0:
            self._send(self.keyboard, value, KEYBOARD_DISABLE)
        elif command == WRITE_OUTPUT:
            self._write_output_port(value)
        elif command in (WRITE_KEYBOARD_BUFFER, WRITE_AUX_BUFFER):
            self._reply(value, aux=command == WRITE_AUX_BUFFER)
        elif command == WRITE_AUX:
            self._send(self.mouse, value, AUX_DISABLE)
        else:
            self.ram[command & 0x1F] = value
            if command == WRITE_RAM:
                self._write_command_byte(value)

    def _send(self, device: Ps2Device, value: int, disable: int) -> None:
        """Sending to a device also opens its interface."""
        self.ram[0] &= ~disable
        device.command(value)

    def _write_command_byte(self, value: int) -> None:
        self.status = self.status & ~SYSTEM_FLAG | value & CB_SYSTEM_FLAG
        self._drive_lines()
        self._fill()

    def _write_output_port(self, value: int) -> None:
        changed = (value ^ self.output_port) & OUT_A20
        self.output_port = value
        if changed:
            self.on_a20(value >> 1 & 1)
        if not value & OUT_RESET:
            self.on_reset()

    # Status and commands

    def _read_status(self, offset: int, size: int) -> int:
        return self.status

    def _write_command(self, offset: int, size: int, command: int) -> None:
        self.status |= COMMAND_WRITTEN
        self.awaiting = 0
        if READ_RAM <= command < READ_RAM + 0x20:
            self._reply(self.ram[command & 0x1F])
        elif WRITE_RAM <= command < WRITE_RAM + 0x20 or command in WITH_PARAMETER:
            self.awaiting = command
        elif command in (AUX_OFF, AUX_ON, KEYBOARD_OFF, KEYBOARD_ON):
            self._switch_interface(command)
        elif command in (A20_OFF, A20_ON):
            a20 = OUT_A20 if command == A20_ON else 0
            self._write_output_port(self.output_port & ~OUT_A20 | a20)
        elif command >= PULSE:
            if not command & OUT_RESET:
                self.on_reset()
        else:
            self._answer(command)

    def _switch_interface(self, command: int) -> None:
        bit = AUX_DISABLE if command in (AUX_OFF, AUX_ON) else KEYBOARD_DISABLE
        if command in (AUX_OFF, KEYBOARD_OFF):
            self.ram[0] |= bit
        else:
            self.ram[0] &= ~bit
            self._fill()

    def _answer(self, command: int) -> None:
        """Commands that only return a byte."""
        if command == SELF_TEST:
            self.status |= SYSTEM_FLAG
        answers = {
            SELF_TEST: SELF_TEST_PASSED,
            AUX_TEST: INTERFACE_GOOD,
            KEYBOARD_TEST: INTERFACE_GOOD,
            READ_INPUT: INPUT_PORT,
            READ_OUTPUT: self.output_port,
        }
        if command in answers:
            self._reply(answers[command])
        else:
            log.guest_error(self.name, f"unknown controller command {command:#04x}; ignored")
