"""Port 0x92, debug console, debug exit, DMA controllers and the CRT controller."""

from __future__ import annotations

import pytest

from emu.bus import AddressSpace
from emu.chardev import BufferChardev
from emu.clock import ManualClock
from emu.devices.debug_exit import DebugExit
from emu.devices.debugcon import DebugConsole
from emu.devices.dma import IsaDma
from emu.devices.port92 import Port92
from emu.devices.vga import VgaCrtc


@pytest.fixture
def io():
    return AddressSpace("io", 1 << 16)


def test_port_92_reports_a20_changes_and_rising_resets(io):
    heard = []
    io.map(0x92, 1, Port92(lambda level: heard.append(("a20", level)), lambda: heard.append("reset")))
    for value in (0x02, 0x02, 0x03, 0x03, 0x00):
        io.write(0x92, 1, value)
    assert heard == [("a20", 1), "reset", ("a20", 0)]
    io.write(0x92, 1, 0xFE)
    assert io.read(0x92, 1) == 0x02


def test_debug_console_writes_bytes_and_identifies_itself(io):
    console = BufferChardev()
    io.map(0x402, 1, DebugConsole(console))
    for byte in b"SeaBIOS":
        io.write(0x402, 1, byte)
    assert (console.text, io.read(0x402, 1)) == ("SeaBIOS", 0xE9)


@pytest.mark.parametrize(("value", "status"), [(0, 1), (0x10, 0x21), (0x31, 0x63)])
def test_debug_exit_status_is_odd(io, value, status):
    exits = []
    device = DebugExit(exits.append, 0xF4, 4)
    io.map(device.iobase, device.region_size, device)
    io.write(0xF4, 4, value)
    assert exits == [status]
    assert io.read(0xF4, 1) == 0


def test_dma_counters_are_reached_byte_by_byte_through_the_pointer(io):
    dma = IsaDma()
    dma.attach(io)
    io.write(0x0C, 1, 0)
    io.write(0x02, 1, 0x34)
    io.write(0x02, 1, 0x12)
    assert dma.low.counters[2] == 0x1234
    io.read(0x02, 1)
    io.write(0x0C, 1, 0)
    assert [io.read(0x02, 1) for _ in range(2)] == [0x34, 0x12]


def test_dma_masks_by_channel_by_register_and_by_master_clear(io):
    dma = IsaDma()
    dma.attach(io)
    io.write(0xD4, 1, 0x00)
    assert dma.high.mask == 0x0E
    io.write(0xD4, 1, 0x04)
    assert dma.high.mask == 0x0F
    io.write(0x0F, 1, 0x05)
    assert io.read(0x0F, 1) == 0xF5
    io.write(0x0D, 1, 0)
    assert dma.low.mask == 0x0F


def test_dma_page_registers_store(io):
    IsaDma().attach(io)
    io.write(0x87, 1, 0xA5)
    assert (io.read(0x87, 1), io.read(0x83, 1)) == (0xA5, 0)


def test_crtc_keeps_start_and_cursor(io):
    vga = VgaCrtc(ManualClock())
    vga.attach(io)
    for index, value in ((12, 2), (13, 0x10), (14, 1), (15, 0x42)):
        io.write(0x3D4, 1, index)
        io.write(0x3D5, 1, value)
    assert (vga.start, vga.cursor) == (0x210, 0x142)
    assert io.read(0x3D5, 1) == 0x42


def test_crtc_retraces_once_a_frame(io):
    clock = ManualClock()
    VgaCrtc(clock).attach(io)
    assert io.read(0x3DA, 1) == 0
    clock.advance(16_500_000)
    assert io.read(0x3DA, 1) == 0x09
