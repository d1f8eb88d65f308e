"""16550 behaviour as in its data sheet, and what drivers do to recognise one."""

from __future__ import annotations

import pytest

from emu.chardev import BufferChardev
from emu.clock import ManualClock
from emu.devices.uart import Uart16550
from emu.irq import Irq

RBR, IER, IIR, FCR, LCR, MCR, LSR, MSR, SCR = 0, 1, 2, 2, 3, 4, 5, 6, 7


class Port:
    def __init__(self):
        self.clock, self.irq, self.wire = ManualClock(), Irq(), BufferChardev()
        self.uart = Uart16550(self.clock, self.irq, self.wire)

    def get(self, offset):
        return self.uart.read(offset, 1)

    def set(self, offset, value):
        self.uart.write(offset, 1, value)

    def type(self, data):
        self.wire.feed(data)
        self.wire.poll()


@pytest.fixture
def port():
    return Port()


@pytest.fixture
def fifo(port):
    port.set(FCR, 0x81)  # trigger at 8
    port.set(IER, 0x01)
    port.set(LCR, 0x03)
    return port


def test_idle_registers(port):
    assert [port.get(o) for o in (IER, IIR, LCR, MCR, LSR, MSR)] == [0, 0x01, 0, 0, 0x60, 0xB0]


def test_characters_go_out_in_order_and_the_transmitter_stays_empty(port):
    for byte in b"hello":
        port.set(0, byte)
        assert port.get(LSR) & 0x60 == 0x60
    assert port.wire.text == "hello"


def test_divisor_latch_hides_data_and_interrupt_enable(port):
    port.set(IER, 0x05)
    port.set(LCR, 0x83)
    port.set(0, 0x34)
    port.set(1, 0x12)
    assert (port.get(0), port.get(1), port.wire.text) == (0x34, 0x12, "")
    port.set(LCR, 0x03)
    assert port.get(IER) == 0x05


def test_interrupt_enable_keeps_four_bits(port):
    port.set(IER, 0xFF)
    assert port.get(IER) == 0x0F


def test_scratch_survives_reset(port):
    port.set(SCR, 0xA5)
    port.set(IER, 0x0F)
    port.uart.reset()
    assert (port.get(SCR), port.get(IER), port.irq.level) == (0xA5, 0, 0)


def test_recognised_as_16550a(port):
    port.set(FCR, 0x01)
    assert port.get(IIR) >> 6 == 3
    port.set(LCR, 0xBF)
    assert port.get(IIR) != 0  # the register at 2 is no EFR, as a 16650 would have
    port.set(LCR, 0x83)
    port.set(FCR, 0x21)
    assert port.get(IIR) & 0x20 == 0  # nor does it have a 16750's 64-byte FIFO
    port.set(FCR, 0x00)
    assert port.get(IIR) >> 6 == 0


def test_loopback_connects_modem_outputs_to_inputs(port):
    port.set(MCR, 0x1A)
    assert port.get(MSR) & 0xF0 == 0x90
    port.set(MCR, 0x15)
    assert port.get(MSR) & 0xF0 == 0x60


def test_loopback_receives_what_is_sent_and_sends_nothing(port):
    port.set(MCR, 0x10)
    port.set(0, 0x5A)
    assert port.get(LSR) & 0x01
    assert (port.get(RBR), port.wire.text) == (0x5A, "")
    port.wire.feed(b"x")
    port.wire.poll()
    assert port.get(LSR) & 0x01 == 0


def test_modem_deltas_interrupt_and_clear_on_reading(port):
    port.get(MSR)
    port.set(IER, 0x08)
    port.set(MCR, 0x10)
    assert (port.irq.level, port.get(IIR)) == (1, 0x00)
    assert port.get(MSR) == 0x0B
    assert (port.irq.level, port.get(MSR)) == (0, 0x00)


def test_ring_indicator_counts_its_trailing_edge_only(port):
    port.set(MCR, 0x14)
    port.get(MSR)
    port.set(MCR, 0x10)
    assert port.get(MSR) == 0x04


def test_without_fifos_one_character_interrupts_and_a_second_waits(port):
    port.set(IER, 0x01)
    port.type(b"ab")
    assert (port.irq.level, port.get(IIR)) == (1, 0x04)
    assert port.get(RBR) == ord("a")
    assert port.irq.level == 0
    port.wire.poll()
    assert port.get(RBR) == ord("b")


def test_overrun_sets_oe_until_lsr_is_read(port):
    port.set(IER, 0x04)
    port.uart.receive(b"ab")
    assert (port.get(IIR), port.irq.level) == (0x06, 1)
    assert port.get(LSR) & 0x02
    assert port.get(LSR) & 0x02 == 0
    assert (port.get(RBR), port.irq.level) == (ord("b"), 0)


def test_full_fifo_drops_the_newcomer(fifo):
    fifo.uart.receive(bytes(range(17)))
    assert fifo.get(LSR) & 0x03 == 0x03
    assert [fifo.get(RBR) for _ in range(16)] == list(range(16))
    assert fifo.get(LSR) & 0x01 == 0


def test_chardev_gives_no_more_than_the_fifo_holds(fifo):
    fifo.type(bytes(range(40)))
    assert len(fifo.wire.pending) == 24


def test_trigger_level_interrupts_and_clears_below_it(fifo):
    fifo.type(b"1234567")
    assert fifo.irq.level == 0
    fifo.type(b"8")
    assert (fifo.irq.level, fifo.get(IIR)) == (1, 0xC4)
    fifo.get(RBR)
    assert fifo.irq.level == 0


def test_characters_below_the_trigger_time_out_after_four_character_times(fifo):
    fifo.type(b"12")
    wait = 4 * 10 * 1_000_000_000 // 9600
    fifo.clock.advance(wait - 10)
    assert fifo.irq.level == 0
    fifo.clock.advance(20)
    assert (fifo.irq.level, fifo.get(IIR)) == (1, 0xCC)


def test_reading_or_receiving_restarts_the_time_out(fifo):
    fifo.type(b"12")
    wait = 4 * 10 * 1_000_000_000 // 9600 + 10
    fifo.clock.advance(wait)
    fifo.get(RBR)
    assert fifo.irq.level == 0
    fifo.clock.advance(wait)
    assert fifo.irq.level == 1
    fifo.get(RBR)
    fifo.clock.advance(wait)
    assert (fifo.irq.level, fifo.get(IIR)) == (0, 0xC1)


def test_enabling_thre_interrupt_with_empty_transmitter_interrupts_at_once(port):
    port.set(IER, 0x02)
    assert port.irq.level == 1
    assert port.get(IIR) == 0x02
    assert (port.get(IIR), port.irq.level) == (0x01, 0)


def test_every_written_character_gives_a_new_edge_of_thre(port):
    port.set(IER, 0x02)
    edges = []
    port.irq.handler = edges.append
    port.set(0, 0x41)
    assert edges == [0, 1]


def test_reading_iir_with_a_higher_cause_leaves_thre_pending(port):
    port.set(IER, 0x03)
    port.type(b"a")
    assert port.get(IIR) == 0x04
    port.get(RBR)
    assert port.get(IIR) == 0x02


def test_priorities_from_line_status_down_to_modem_status(port):
    port.set(MCR, 0x00)
    port.set(MCR, 0x10)
    port.set(MCR, 0x00)
    port.uart.receive(b"ab")
    port.set(IER, 0x0F)
    assert port.get(IIR) == 0x06
    port.get(LSR)
    assert port.get(IIR) == 0x04
    port.get(RBR)
    assert port.get(IIR) == 0x02
    assert port.get(IIR) == 0x00
    port.get(MSR)
    assert port.get(IIR) == 0x01


def test_switching_fifos_empties_them(fifo):
    fifo.type(b"abc")
    fifo.set(FCR, 0x00)
    assert fifo.get(LSR) & 0x01 == 0


def test_clear_receiver_bit_empties_the_fifo_and_keeps_the_mode(fifo):
    fifo.type(b"abc")
    fifo.set(FCR, 0x83)
    assert (fifo.get(LSR) & 0x01, fifo.get(IIR)) == (0, 0xC1)


def test_break_is_a_null_with_the_indicator(port):
    port.uart.receive_break()
    assert port.get(LSR) & 0x11 == 0x11
    assert port.get(RBR) == 0


@pytest.mark.parametrize(("lcr", "bits"), [(0x03, 10), (0x00, 7), (0x07, 11), (0x04, 7.5), (0x1B, 11)])
def test_character_time_follows_the_format(port, lcr, bits):
    port.set(LCR, lcr)
    assert port.uart.character_ns == int(bits * 1_000_000_000 * 12 / 115200)


def test_empty_receive_buffer_shows_the_last_character_without_fifos_and_zero_with(port):
    port.type(b"a")
    assert [port.get(RBR), port.get(RBR)] == [0x61, 0x61]
    port.set(FCR, 0x01)
    assert port.get(RBR) == 0
