"""The keyboard controller and its devices as firmware and drivers probe them."""

from __future__ import annotations

import pytest

from emu import log
from emu.bus import AddressSpace
from emu.devices.i8042 import I8042
from emu.irq import Irq

FULL, AUX = 0x01, 0x20


class Pc:
    def __init__(self):
        self.irq1, self.irq12, self.pins = Irq(), Irq(), []
        self.kbc = I8042(self.irq1, self.irq12, lambda level: self.pins.append(("a20", level)), self.reset_pin)
        self.io = AddressSpace("io", 1 << 16)
        self.kbc.attach(self.io)

    def reset_pin(self):
        self.pins.append("reset")

    def command(self, value, *parameters):
        self.io.write(0x64, 1, value)
        for parameter in parameters:
            self.io.write(0x60, 1, parameter)

    def keyboard(self, *values):
        for value in values:
            self.io.write(0x60, 1, value)

    def mouse(self, *values):
        for value in values:
            self.command(0xD4, value)

    @property
    def status(self):
        return self.io.read(0x64, 1)

    def drain(self):
        """All bytes waiting, aux ones marked by 0x100."""
        got = []
        while (status := self.status) & FULL:
            got.append(self.io.read(0x60, 1) | (0x100 if status & AUX else 0))
        return got


@pytest.fixture
def pc():
    return Pc()


def test_self_tests_pass_and_set_the_system_flag(pc):
    for command, answer in ((0xAA, 0x55), (0xAB, 0x00), (0xA9, 0x00)):
        pc.command(command)
        assert pc.drain() == [answer]
    assert pc.status & 0x04


def test_status_tells_commands_from_data(pc):
    pc.command(0xAE)
    assert pc.status & 0x08
    pc.keyboard(0xF4)
    assert not pc.status & 0x08


def test_command_byte_is_read_back_and_follows_the_interface_commands(pc):
    pc.command(0x60, 0x47)
    pc.command(0xA7)
    pc.command(0xAD)
    pc.command(0x20)
    assert pc.drain() == [0x77]
    pc.command(0xA8)
    pc.command(0xAE)
    pc.command(0x20)
    assert pc.drain() == [0x47]
    assert pc.status & 0x04


def test_controller_ram_stores(pc):
    pc.command(0x65, 0xA5)
    pc.command(0x25)
    assert pc.drain() == [0xA5]


def test_keyboard_reset_and_identify(pc):
    pc.keyboard(0xFF)
    assert pc.drain() == [0xFA, 0xAA]
    pc.keyboard(0xF2)
    assert pc.drain() == [0xFA, 0xAB, 0x83]
    pc.command(0x60, 0x43)
    pc.keyboard(0xF2)
    assert pc.drain() == [0xFA, 0xAB, 0x41]


def test_keyboard_commands_with_parameters(pc):
    pc.keyboard(0xED, 0x07, 0xF3, 0x20)
    assert pc.drain() == [0xFA, 0xFA]  # the first was in the buffer; commands withdraw answers not yet there
    assert (pc.kbc.keyboard.leds, pc.kbc.keyboard.rate) == (7, 0x20)
    pc.keyboard(0xF0)
    pc.drain()
    pc.keyboard(0x00)
    assert pc.drain() == [0xFA, 0x02]


def test_command_in_place_of_a_parameter_is_a_command(pc):
    pc.keyboard(0xED)
    pc.drain()
    pc.keyboard(0xF4)
    assert pc.drain() == [0xFA]
    assert pc.kbc.keyboard.leds == 0


def test_unknown_keyboard_command_asks_to_resend(pc):
    with log.captured("guest_errors") as lines:
        pc.keyboard(0xE1)
    assert pc.drain() == [0xFE]
    assert "0xe1" in lines[0]


def test_echo_and_resend(pc):
    pc.keyboard(0xEE)
    assert pc.drain() == [0xEE]
    pc.keyboard(0xFE)
    assert pc.drain() == [0xEE]


def test_keys_arrive_in_set_2_or_translated_to_set_1(pc):
    pc.kbc.keyboard.key(0x1E, True)
    pc.kbc.keyboard.key(0x1E, False)
    assert pc.drain() == [0x1C, 0xF0, 0x1C]
    pc.command(0x60, 0x43)
    pc.kbc.keyboard.key(0x1E, True)
    pc.kbc.keyboard.key(0x1E, False)
    assert pc.drain() == [0x1E, 0x9E]


def test_extended_keys_keep_their_prefix(pc):
    pc.command(0x60, 0x43)
    pc.kbc.keyboard.key(0x80 | 0x48, True)
    pc.kbc.keyboard.key(0x80 | 0x48, False)
    assert pc.drain() == [0xE0, 0x48, 0xE0, 0xC8]


def test_every_set_1_code_survives_translation(pc):
    pc.command(0x60, 0x43)
    for code in range(1, 0x7F):
        pc.kbc.keyboard.key(code, True)
        assert pc.drain() == [code]


def test_disabled_keyboard_interface_holds_keys_back(pc):
    pc.command(0xAD)
    pc.kbc.keyboard.key(0x1E, True)
    assert pc.drain() == []
    pc.command(0xAE)
    assert pc.drain() == [0x1C]


def test_sending_to_the_keyboard_opens_its_interface(pc):
    pc.command(0xAD)
    pc.keyboard(0xF4)
    assert pc.drain() == [0xFA]


def test_full_key_queue_drops_whole_keys(pc):
    for _ in range(20):
        pc.kbc.keyboard.key(0x80 | 0x48, False)
    got = pc.drain()
    assert len(got) % 3 == 0 and got == [0xE0, 0xF0, 0x75] * (len(got) // 3)


def test_keyboard_interrupt_is_high_until_each_byte_is_read(pc):
    edges = []
    pc.irq1.handler = edges.append
    pc.keyboard(0xFF)
    assert edges == [1]
    pc.io.read(0x60, 1)
    assert edges == [1, 0, 1]
    pc.io.read(0x60, 1)
    assert edges == [1, 0, 1, 0]


def test_no_interrupt_when_the_command_byte_forbids_it(pc):
    pc.command(0x60, 0x00)
    pc.keyboard(0xF4)
    assert (pc.irq1.level, pc.status & FULL) == (0, FULL)
    pc.command(0x60, 0x01)
    assert pc.irq1.level == 1


def test_aux_loop_returns_the_byte_as_the_mouses_with_interrupt_12(pc):
    pc.command(0xD3, 0x5A)
    assert (pc.irq1.level, pc.irq12.level) == (0, 1)
    assert pc.drain() == [0x15A]


def test_keyboard_buffer_write_passes_as_a_key(pc):
    pc.command(0xD2, 0x1C)
    assert pc.irq1.level == 1
    assert pc.drain() == [0x1C]


def test_mouse_reset_identify_and_status(pc):
    pc.mouse(0xFF)
    assert pc.drain() == [0x1FA, 0x1AA, 0x100]
    pc.mouse(0xF2)
    assert pc.drain() == [0x1FA, 0x100]
    pc.mouse(0xE8, 0x03, 0xF3, 0x50, 0xE9)
    assert pc.drain()[-4:] == [0x1FA, 0x100, 0x103, 0x150]


def test_mouse_reports_movement_once_enabled(pc):
    pc.kbc.mouse.move(5, -3, 1)
    assert pc.drain() == []
    pc.mouse(0xF4)
    pc.drain()
    pc.kbc.mouse.move(0, 0, 0)
    assert pc.drain() == [0x108 | 0x20, 0x105, 0x1FD]


def test_mouse_in_remote_mode_answers_only_when_read(pc):
    pc.mouse(0xF0, 0xF4)
    pc.drain()
    pc.kbc.mouse.move(300, 0, 4)
    assert pc.drain() == []
    pc.mouse(0xEB)
    assert pc.drain() == [0x1FA, 0x10C, 0x1FF, 0x100]


def test_mouse_wrap_mode_echoes_until_left(pc):
    pc.mouse(0xEE)
    pc.drain()
    pc.mouse(0xF2)
    assert pc.drain() == [0x1F2]
    pc.mouse(0xEC)
    assert pc.drain() == [0x1FA]
    assert not pc.kbc.mouse.wrap


def test_disabled_aux_interface_holds_the_mouse_back(pc):
    pc.mouse(0xF4)
    pc.drain()
    pc.command(0xA7)
    pc.kbc.mouse.move(1, 1, 0)
    assert pc.drain() == []
    pc.command(0xA8)
    assert len(pc.drain()) == 3


def test_output_port_drives_a20_and_reset(pc):
    pc.command(0xD0)
    assert pc.drain() == [0xCF]
    pc.command(0xD1, 0xCD)
    pc.command(0xD1, 0xCF)
    pc.command(0xDD)
    pc.command(0xDF)
    pc.command(0xD1, 0xCE)
    assert pc.pins == [("a20", 0), ("a20", 1), ("a20", 0), ("a20", 1), "reset"]


@pytest.mark.parametrize(("command", "pins"), [(0xFE, ["reset"]), (0xF0, ["reset"]), (0xFF, []), (0xFD, [])])
def test_pulse_commands_reset_when_bit_0_is_low(pc, command, pins):
    pc.command(command)
    assert pc.pins == pins


def test_reset_returns_to_power_on(pc):
    pc.keyboard(0xFF)
    pc.kbc.reset()
    assert (pc.status, pc.irq1.level, pc.drain()) == (0x18, 0, [])


def test_controller_reply_overwrites_an_unread_reply_but_waits_for_a_key(pc):
    pc.command(0xAA)
    pc.command(0xAB)
    assert pc.drain() == [0x00]
    pc.kbc.keyboard.key(0x1E, True)
    pc.command(0xAA)
    assert pc.drain() == [0x1C, 0x55]
