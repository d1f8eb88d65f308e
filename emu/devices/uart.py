"""National Semiconductor PC16550D UART with its FIFOs, as behind a PC's COM ports.

PC16550D data sheet, section 8 "Registers"; interrupt priorities from its table IV.
Characters leave the moment they are written, so the transmitter is always empty; only the receive time-out is timed.
Not here: parity and framing errors (the wire has none), DMA modes.
"""

from __future__ import annotations

from emu.chardev import Chardev
from emu.clock import NS_PER_SECOND, Clock
from emu.device import IsaDevice
from emu.irq import Irq

# Offsets; RBR/THR and IER give way to the divisor latch while LCR.DLAB is set.
RBR = THR = DLL = 0
IER = DLM = 1
IIR = FCR = 2
LCR, MCR, LSR, MSR, SCR = 3, 4, 5, 6, 7

IER_RDA, IER_THRE, IER_RLS, IER_MODEM, IER_MASK = 0x01, 0x02, 0x04, 0x08, 0x0F
IIR_NONE, IIR_MODEM, IIR_THRE, IIR_RDA, IIR_RLS, IIR_TIMEOUT = 0x01, 0x00, 0x02, 0x04, 0x06, 0x0C
IIR_FIFOS = 0xC0
FCR_ENABLE, FCR_CLEAR_RX, FCR_CLEAR_TX = 0x01, 0x02, 0x04
LCR_WORD, LCR_STOP, LCR_PARITY, LCR_BREAK, LCR_DLAB = 0x03, 0x04, 0x08, 0x40, 0x80
MCR_DTR, MCR_RTS, MCR_OUT1, MCR_OUT2, MCR_LOOP, MCR_MASK = 0x01, 0x02, 0x04, 0x08, 0x10, 0x1F
LSR_DR, LSR_OE, LSR_BI, LSR_THRE, LSR_TEMT = 0x01, 0x02, 0x10, 0x20, 0x40
LSR_ERRORS = 0x1E
MSR_CTS, MSR_DSR, MSR_RI, MSR_DCD = 0x10, 0x20, 0x40, 0x80
MSR_LINES, MSR_TERI = 0xF0, 0x04

FIFO_SIZE = 16
TRIGGER_LEVELS = (1, 4, 8, 14)  # by FCR bits 7-6
TIMEOUT_CHARACTERS = 4
INPUT_CLOCK = 1_843_200 // 16  # baud at divisor 1
CONNECTED = MSR_DCD | MSR_DSR | MSR_CTS


class Uart16550(IsaDevice):
    """`irq` is the INTR pin.  QEMU: MCR.OUT2 does not gate it, which some guests rely on."""

    name = "isa-serial"
    region_size, max_access = 8, 1

    saved = ("fifo", "scratch", "last_received", "ier", "fcr", "lcr", "mcr",
             "msr", "lsr", "divisor", "thre_pending", "timeout", "_timer", "chardev")  # fmt: skip

    def __init__(self, clock: Clock, irq: Irq | None = None, chardev: Chardev | None = None) -> None:
        self.irq = irq or Irq()
        self.clock = clock
        self.fifo: list[int] = []
        self.scratch = 0
        self.last_received = 0  # what RBR shows again when it is read while empty, without FIFOs
        self._timer = clock.timer(self._timed_out)
        self._clear()
        self.chardev = chardev or Chardev()
        self.chardev.connect(self)

    def _clear(self) -> None:
        self.ier = self.fcr = self.lcr = 0
        self.mcr = 0
        self.msr = CONNECTED
        self.lsr = LSR_THRE | LSR_TEMT
        self.divisor = 12  # 9600 baud
        self.fifo.clear()
        self.thre_pending = self.timeout = False
        self._timer.cancel()

    def reset(self) -> None:
        """Master reset; the scratch register survives."""
        self._clear()
        self._update()

    def unrealize(self) -> None:
        self.chardev.connect(None)
        super().unrealize()

    # Registers

    def read(self, offset: int, size: int) -> int:
        if offset == LSR:
            return self._read_lsr()
        if offset == RBR:
            return self.divisor & 0xFF if self.lcr & LCR_DLAB else self._read_rbr()
        if offset == IER:
            return self.divisor >> 8 if self.lcr & LCR_DLAB else self.ier
        if offset == IIR:
            return self._read_iir()
        if offset == MSR:
            return self._read_msr()
        return self.lcr if offset == LCR else self.mcr if offset == MCR else self.scratch

    def write(self, offset: int, size: int, value: int) -> None:
        if offset == THR:
            if self.lcr & LCR_DLAB:
                self.divisor = self.divisor & 0xFF00 | value
            else:
                self._transmit(value)
        elif offset == IER:
            if self.lcr & LCR_DLAB:
                self.divisor = self.divisor & 0x00FF | value << 8
            else:
                self._write_ier(value & IER_MASK)
        elif offset == FCR:
            self._write_fcr(value)
        elif offset == LCR:
            self.lcr = value
        elif offset == MCR:
            self._write_mcr(value & MCR_MASK)
        elif offset == SCR:
            self.scratch = value
        # LSR and MSR are for factory test only.

    def _transmit(self, byte: int) -> None:
        self.thre_pending = False
        self._update()
        if self.mcr & MCR_LOOP:
            self._accept(byte)
        else:
            self.chardev.write(bytes((byte,)))
        self.thre_pending = True
        self._update()

    def _write_ier(self, value: int) -> None:
        newly, self.ier = value & ~self.ier, value
        if newly & IER_THRE:
            self.thre_pending = True  # enabling it while THR is empty interrupts at once
        self._update()

    def _write_fcr(self, value: int) -> None:
        if (value ^ self.fcr) & FCR_ENABLE:
            value |= FCR_CLEAR_RX | FCR_CLEAR_TX
        if value & FCR_CLEAR_RX:
            self.fifo.clear()
            self.lsr &= ~LSR_DR
            self._stop_timeout()
        if value & FCR_CLEAR_TX:
            self.thre_pending = True
        self.fcr = value & ~(FCR_CLEAR_RX | FCR_CLEAR_TX) if value & FCR_ENABLE else 0
        self._update()

    def _write_mcr(self, value: int) -> None:
        self.mcr = value
        self._set_modem_lines(self._looped_lines() if value & MCR_LOOP else CONNECTED)
        self._update()

    def _looped_lines(self) -> int:
        mcr = self.mcr
        return (
            MSR_CTS * bool(mcr & MCR_RTS)
            | MSR_DSR * bool(mcr & MCR_DTR)
            | MSR_RI * bool(mcr & MCR_OUT1)
            | MSR_DCD * bool(mcr & MCR_OUT2)
        )

    def _set_modem_lines(self, lines: int) -> None:
        changed = (lines ^ self.msr) & MSR_LINES
        deltas = changed >> 4 & ~MSR_TERI
        if changed & MSR_RI and not lines & MSR_RI:
            deltas |= MSR_TERI  # only the trailing edge of RI counts
        self.msr = lines | self.msr & ~MSR_LINES | deltas

    def _read_rbr(self) -> int:
        if self.fifo:
            self.last_received = self.fifo.pop(0)
            byte = self.last_received
        else:
            byte = 0 if self.fcr & FCR_ENABLE else self.last_received
        if not self.fifo:
            self.lsr &= ~LSR_DR
        self._stop_timeout()
        self._arm_timeout()
        self._update()
        return byte

    def _read_lsr(self) -> int:
        value = self.lsr
        if value & LSR_ERRORS:
            self.lsr &= ~LSR_ERRORS
            self._update()
        return value

    def _read_msr(self) -> int:
        value = self.msr
        self.msr &= MSR_LINES
        self._update()
        return value

    def _read_iir(self) -> int:
        cause = self._cause()
        if cause == IIR_THRE:
            self.thre_pending = False
            self._update()
        return cause | IIR_FIFOS * (self.fcr & FCR_ENABLE)

    # Interrupts

    def _cause(self) -> int:
        """The interrupt of highest priority."""
        ier = self.ier
        if ier & IER_RLS and self.lsr & LSR_ERRORS:
            return IIR_RLS
        if ier & IER_RDA and self.fifo:
            if len(self.fifo) >= self._trigger:
                return IIR_RDA
            if self.timeout:
                return IIR_TIMEOUT
        if ier & IER_THRE and self.thre_pending:
            return IIR_THRE
        if ier & IER_MODEM and self.msr & ~MSR_LINES:
            return IIR_MODEM
        return IIR_NONE

    def _update(self) -> None:
        self.irq.set(self._cause() != IIR_NONE)

    # Receiver

    @property
    def _trigger(self) -> int:
        return TRIGGER_LEVELS[self.fcr >> 6] if self.fcr & FCR_ENABLE else 1

    @property
    def character_ns(self) -> int:
        """How long a character takes on the wire with the present divisor and format."""
        halves = 2 + 2 * (5 + (self.lcr & LCR_WORD)) + 2 * bool(self.lcr & LCR_PARITY)
        halves += (3 if not self.lcr & LCR_WORD else 4) if self.lcr & LCR_STOP else 2
        return halves * NS_PER_SECOND * (self.divisor or 1) // (2 * INPUT_CLOCK)

    def can_receive(self) -> int:
        """Chardev: how many characters fit.  Nothing arrives from the wire in loop-back."""
        if self.mcr & MCR_LOOP:
            return 0
        return (FIFO_SIZE if self.fcr & FCR_ENABLE else 1) - len(self.fifo)

    def receive(self, data: bytes) -> None:
        """Chardev: characters from the wire; what does not fit is lost and reported as an overrun."""
        for byte in data:
            self._accept(byte)
        self._update()

    def receive_break(self) -> None:
        """The wire is held low: a null character with the break indicator."""
        self._accept(0)
        self.lsr |= LSR_BI
        self._update()

    def _accept(self, byte: int) -> None:
        if self.fcr & FCR_ENABLE and len(self.fifo) >= FIFO_SIZE:
            self.lsr |= LSR_OE
            return
        if not self.fcr & FCR_ENABLE and self.fifo:
            self.lsr |= LSR_OE  # without FIFOs the new character replaces the old one
            self.fifo.clear()
        self.fifo.append(byte)
        self.lsr |= LSR_DR
        self._stop_timeout()
        self._arm_timeout()

    def _stop_timeout(self) -> None:
        self.timeout = False
        self._timer.cancel()

    def _arm_timeout(self) -> None:
        if self.fcr & FCR_ENABLE and self.fifo:
            self._timer.rearm(self.clock.now + TIMEOUT_CHARACTERS * self.character_ns)

    def _timed_out(self) -> None:
        self.timeout = True
        self._update()
