"""Intel 8254 programmable interval timer, and port 0x61 of the PC through which channel 2 is gated and read.

Intel 8254 data sheet (231164), "Mode definitions" and "Read operations"; port 0x61 from the 82371AB data sheet, NMISC.
Counting is never simulated tick by tick: each channel knows at which tick its count was loaded, and everything follows.
Not here: sound.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from emu.bus import AddressSpace
from emu.clock import NS_PER_SECOND, Clock, Timer
from emu.device import IsaDevice, Window
from emu.irq import Irq

FREQUENCY = 1_193_182  # Hz

BASE = 0x40
CONTROL = 3  # offset of the control word; 0 to 2 are the counters
SPEAKER_PORT = 0x61

READ_BACK = 3  # channel field of the control word
READ_BACK_NO_COUNT, READ_BACK_NO_STATUS = 0x20, 0x10
LATCH, LSB, MSB, BOTH = range(4)  # access field
STATUS_OUT, STATUS_NULL = 0x80, 0x40

ONE_SHOT, RATE, SQUARE, SOFT_STROBE, HARD_STROBE = 1, 2, 3, 4, 5  # and 0: interrupt on terminal count

GATE2, SPEAKER_DATA, REFRESH, OUT2 = 0x01, 0x02, 0x10, 0x20
SPEAKER_WRITABLE = 0x0F
REFRESH_HALF_PERIOD_NS = 15_085


def ticks_at(ns: int) -> int:
    """How many input clocks have passed by this time."""
    return ns * FREQUENCY // NS_PER_SECOND


def time_of(tick: int) -> int:
    """The first nanosecond at which `ticks_at` has reached this tick."""
    return -(-tick * NS_PER_SECOND // FREQUENCY)


@dataclass
class Channel:
    """One counter.  Times are in ticks of the input clock; `now` is always the current one."""

    gate: int = 1
    mode: int = 0
    access: int = BOTH
    bcd: bool = False
    reload: int = 0x10000  # the count register as the guest wrote it, 1 to 65536
    count: int = 0x10000  # the count that is running
    start: int = 0  # tick at which `count` was loaded
    running: bool = False
    held: int = 0  # ticks already counted while the gate holds mode 0 or 4
    switch: int | None = None  # tick at which modes 2 and 3 take `reload` over
    write_low: int | None = None
    read_high: bool = False
    latched: list[int] = field(default_factory=list)
    status: int | None = None

    # Counting

    def program(self, access: int, mode: int, bcd: bool) -> None:
        """A control word: counting stops until a count is written."""
        self.access, self.mode, self.bcd = access, mode if mode < 6 else mode - 4, bcd
        self.running, self.held, self.switch = False, 0, None
        self.write_low, self.read_high = None, False
        self.latched, self.status = [], None

    def load(self, value: int, now: int) -> None:
        """A complete count has been written; it reaches the counter with the next clock."""
        self.reload = self._decode(value)
        if self.mode in (ONE_SHOT, HARD_STROBE):
            return
        if self.mode in (RATE, SQUARE) and self.running and self.gate:
            self.switch = self.start + self._cycle_end(now - self.start)
            return
        self._start(now + 1)

    def set_gate(self, level: int, now: int) -> None:
        rising, falling = level and not self.gate, self.gate and not level
        self.settle(now)
        if falling and self.running:
            self.held = max(0, now - self.start)
        self.gate = level
        if not rising:
            return
        triggered = self.mode in (ONE_SHOT, HARD_STROBE)
        if triggered or (self.running and self.mode in (RATE, SQUARE)):
            self._start(now + 1)
        elif self.running:
            self.start = now - self.held

    def _start(self, tick: int) -> None:
        self.count, self.start, self.running, self.held, self.switch = self.reload, tick, True, 0, None

    def settle(self, now: int) -> None:
        """Take over a count that was waiting for the end of a cycle."""
        if self.switch is None or now < self.switch:
            return
        middle = self.mode == SQUARE and (self.switch - self.start) % self.count
        self.start, self.count = self.switch, self.reload
        if middle:
            self.start -= (self.count + 1) // 2
        self.switch = None

    def _cycle_end(self, elapsed: int) -> int:
        """Ticks after `start` at which modes 2 and 3 may take a new count: the end of the period or half period."""
        period = max(0, elapsed) // self.count * self.count
        half = (self.count + 1) // 2
        if self.mode == SQUARE and elapsed - period < half and self.count > 1:
            return period + half
        return period + self.count

    def elapsed(self, now: int) -> int:
        """Ticks counted so far; negative before the count is loaded."""
        if not self.gate and self.mode in (0, SOFT_STROBE):
            return self.held
        return now - self.start

    def out(self, now: int) -> int:
        """The level of the OUT pin."""
        self.settle(now)
        if not self.running:
            return 0 if self.mode == 0 else 1
        done, count = self.elapsed(now), self.count
        if self.mode == 0:
            return int(done >= count)
        if self.mode == ONE_SHOT:
            return int(done >= count or done < 0)
        if self.mode in (SOFT_STROBE, HARD_STROBE):
            return int(done != count)
        if not self.gate or done < 0:
            return 1
        phase = done % count
        return int(phase < (count + 1) // 2) if self.mode == SQUARE else int(phase != count - 1 or count == 1)

    def next_edge(self, now: int) -> int | None:
        """The next tick after `now` at which OUT may change, or None."""
        self.settle(now)
        if not self.running or (not self.gate and self.mode not in (ONE_SHOT, HARD_STROBE)):
            return None
        done, count = now - self.start, self.count
        if self.mode in (RATE, SQUARE):
            period = done // count * count
            middle = count - 1 if self.mode == RATE else (count + 1) // 2
            edges = [0, period + middle, period + count, period + count + middle]
        else:
            edges = [0, count, count + 1]
        return next((self.start + edge for edge in edges if edge > done), None)

    def value(self, now: int) -> int:
        """The counter as the guest would read it, 16 bits."""
        self.settle(now)
        if not self.running:
            return self._encode(self.reload)
        done, count = max(0, self.elapsed(now)), self.count
        if self.mode == RATE:
            left = count - (done % count if self.gate else self.held % count)
        elif self.mode == SQUARE:
            phase, half = (done if self.gate else self.held) % count, (count + 1) // 2
            left = (count & ~1) - 2 * (phase if phase < half else phase - half)
        else:
            left = count - done
        return self._encode(left)

    def null_count(self, now: int) -> bool:
        """Whether a written count has not reached the counter yet."""
        return not self.running or self.switch is not None or now < self.start

    # Bytes to and from the guest

    def write(self, byte: int, now: int) -> bool:
        """One byte of the count.  Returns whether the count is complete."""
        if self.access == LSB:
            self.load(byte, now)
        elif self.access == MSB:
            self.load(byte << 8, now)
        elif self.write_low is None:
            self.write_low = byte
            self.running = self.running and self.mode != 0  # mode 0 stops at the first byte
            return False
        else:
            low, self.write_low = self.write_low, None
            self.load(byte << 8 | low, now)
        return True

    def read(self, now: int) -> int:
        if self.status is not None:
            status, self.status = self.status, None
            return status
        if self.latched:
            return self.latched.pop(0)
        value = self.value(now)
        if self.access == BOTH:
            self.read_high = not self.read_high
            return value & 0xFF if self.read_high else value >> 8
        return value >> 8 if self.access == MSB else value & 0xFF

    def latch(self, now: int) -> None:
        """Hold the count until it has been read; further latches meanwhile are ignored."""
        if not self.latched:
            low, high = self.value(now) & 0xFF, self.value(now) >> 8
            self.latched = {LSB: [low], MSB: [high]}.get(self.access, [low, high])

    def latch_status(self, now: int) -> None:
        if self.status is None:
            state = STATUS_OUT * self.out(now) | STATUS_NULL * self.null_count(now)
            self.status = state | self.access << 4 | self.mode << 1 | self.bcd

    def _decode(self, value: int) -> int:
        if self.bcd:
            return sum((value >> 4 * digit & 15) * 10**digit for digit in range(4)) or 10_000
        return value or 0x10000

    def _encode(self, value: int) -> int:
        if not self.bcd:
            return value & 0xFFFF
        return sum(value // 10**digit % 10 << 4 * digit for digit in range(4))


class Pit(IsaDevice):
    """The chip at four ports.  `irq` is channel 0's OUT."""

    name = "isa-pit"
    region_size, max_access = 4, 1

    saved = ("channels", "speaker_bits", "_edge", "_timer")

    def __init__(self, clock: Clock, irq: Irq | None = None) -> None:
        self.clock = clock
        self.irq = irq or Irq()
        self.channels = [Channel(), Channel(), Channel(gate=0)]
        self.speaker = Window("pcspk", 1, self._read_speaker, self._write_speaker)
        self.speaker_bits = 0
        self._edge = 0
        self._timer: Timer = clock.timer(self._out_changed)

    def attach(self, io: AddressSpace) -> None:
        """Map at the PC's ports: 0x40 to 0x43 and 0x61."""
        io.map(BASE, 4, self, "pit")
        io.map(SPEAKER_PORT, 1, self.speaker)

    def reset(self) -> None:
        self.channels = [Channel(), Channel(), Channel(gate=0)]
        self.speaker_bits = 0
        self._follow_out(self.now)

    @property
    def now(self) -> int:
        """The current tick of the input clock."""
        return ticks_at(self.clock.now)

    def read(self, offset: int, size: int) -> int:
        return 0 if offset == CONTROL else self.channels[offset].read(self.now)

    def write(self, offset: int, size: int, value: int) -> None:
        if offset == CONTROL:
            self._control(value)
        else:
            self.channels[offset].write(value, self.now)
        if offset in (0, CONTROL):
            self._follow_out(self.now)

    def _control(self, word: int) -> None:
        channel, access, now = word >> 6, word >> 4 & 3, self.now
        if channel == READ_BACK:
            for n, selected in enumerate(self.channels):
                if word & 2 << n:
                    self._read_back(selected, word, now)
        elif access == LATCH:
            self.channels[channel].latch(now)
        else:
            self.channels[channel].program(access, word >> 1 & 7, bool(word & 1))

    def _read_back(self, channel: Channel, word: int, now: int) -> None:
        if not word & READ_BACK_NO_COUNT:
            channel.latch(now)
        if not word & READ_BACK_NO_STATUS:
            channel.latch_status(now)

    # Channel 0's output

    def _follow_out(self, tick: int) -> None:
        """Put OUT as of `tick` on the line and come back at its next edge."""
        self.irq.set(self.channels[0].out(tick))
        edge = self.channels[0].next_edge(tick)
        if edge is None:
            self._timer.cancel()
        else:
            self._edge = edge
            self._timer.rearm(time_of(edge))

    def _out_changed(self) -> None:
        self._follow_out(self._edge)

    # Port 0x61

    def _read_speaker(self, offset: int, size: int) -> int:
        ns = self.clock.now
        refresh = REFRESH * (ns // REFRESH_HALF_PERIOD_NS & 1)
        return self.speaker_bits | refresh | OUT2 * self.channels[2].out(ticks_at(ns))

    def _write_speaker(self, offset: int, size: int, value: int) -> None:
        self.speaker_bits = value & SPEAKER_WRITABLE
        self.channels[2].set_gate(value & GATE2, self.now)
