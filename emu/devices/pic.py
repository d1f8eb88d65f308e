"""Intel 8259A interrupt controllers, the cascaded pair of a PC, with the edge/level control registers.

Intel 8259A data sheet (231468), "Programming the 8259A"; ELCR from the 82371AB (PIIX4) data sheet, section 4.2.5.
Not here: MCS-80/85 mode (CALL vectors), buffered mode's pin, more than one slave.
"""

from __future__ import annotations

from emu import log
from emu.bus import AddressSpace
from emu.device import IsaDevice, Window
from emu.irq import Irq
from emu.snapshot import Stateful

# Ports of each chip: A0 = 0 takes ICW1, OCW2, OCW3 and reads IRR or ISR; A0 = 1 takes ICW2-4, OCW1 and reads IMR.
COMMAND, DATA = 0, 1
MASTER_BASE, SLAVE_BASE, ELCR_BASE = 0x20, 0xA0, 0x4D0
CASCADE = 2  # the master's input that the slave drives
SPURIOUS = 7

ICW1_SELECT = 0x10
ICW1_LTIM = 0x08
ICW1_SNGL = 0x02
ICW1_IC4 = 0x01
ICW2_BASE = 0xF8
ICW4_SFNM = 0x10
ICW4_AEOI = 0x02

OCW3_SELECT = 0x08
OCW3_ESMM, OCW3_SMM = 0x40, 0x20
OCW3_POLL = 0x04
OCW3_RR, OCW3_RIS = 0x02, 0x01
POLL_INTERRUPT = 0x80

# OCW2 bits 7-5: rotate, specific level, end of interrupt.
CLEAR_ROTATE_AEOI, EOI, NOP, SPECIFIC_EOI, SET_ROTATE_AEOI, ROTATE_EOI, SET_PRIORITY, ROTATE_SPECIFIC_EOI = range(8)

ELCR_MASTER_MASK = 0xF8  # IRQ 0, 1 and 2 are always edge-triggered,
ELCR_SLAVE_MASK = 0xDE  # and so are 8 and 13


class Pic8259(IsaDevice):
    """One chip.  `inputs` are its eight IR lines, `output` its INT pin."""

    name = "isa-i8259"
    region_size, max_access = 2, 1

    saved = ("inputs", "output", "irr", "isr", "imr", "elcr", "lines", "base", "raised",
             "lowest", "awaiting", "ltim", "auto_eoi", "rotate_aeoi", "special_mask", "special_nested", "poll", "read_isr")  # fmt: skip

    def __init__(self, elcr_mask: int, slave: Pic8259 | None = None) -> None:
        self.elcr_mask, self.slave = elcr_mask, slave
        self.output = Irq()
        self.inputs = [Irq(lambda level, n=n: self._input(1 << n, level)) for n in range(8)]  # type: ignore[misc]
        self.irr = self.isr = self.imr = 0
        self.elcr = 0
        self.lines = 0  # levels of the inputs as last seen, for edge detection
        self.base = 0
        self.lowest = 7  # the level of lowest priority; the one after it has the highest
        self.awaiting: list[int] = []  # which ICWs are still to come
        self.ltim = self.auto_eoi = self.rotate_aeoi = False
        self.special_mask = self.special_nested = False
        self.poll = self.read_isr = False
        self.raised = [0] * 8  # how often each input rose, for people

    def reset(self) -> None:
        self.elcr = self.base = 0
        self._initialize(0)
        self.awaiting = []

    # Registers

    def read(self, offset: int, size: int) -> int:
        if self.poll:
            return self._poll()
        if offset == DATA:
            return self.imr
        return self.isr if self.read_isr else self.irr

    def write(self, offset: int, size: int, value: int) -> None:
        if offset == DATA:
            self._write_data(value)
        elif value & ICW1_SELECT:
            self._initialize(value)
        elif value & OCW3_SELECT:
            self._ocw3(value)
        else:
            self._ocw2(value >> 5, value & 7)
        self._update()

    def _initialize(self, icw1: int) -> None:
        """ICW1: forgets latched edges, the mask, priorities and special modes."""
        self.ltim = bool(icw1 & ICW1_LTIM)
        self.irr = self.lines & self._level_inputs
        self.isr = self.imr = 0
        self.lowest = 7
        self.auto_eoi = self.rotate_aeoi = self.special_mask = self.special_nested = False
        self.poll = self.read_isr = False
        self.awaiting = [2, *([] if icw1 & ICW1_SNGL else [3]), *([4] if icw1 & ICW1_IC4 else [])]
        self._update()

    def _write_data(self, value: int) -> None:
        word = self.awaiting.pop(0) if self.awaiting else 1
        if word == 1:
            self.imr = value
        elif word == 2:
            self.base = value & ICW2_BASE
        elif word == 4:
            self.special_nested = bool(value & ICW4_SFNM)
            self.auto_eoi = bool(value & ICW4_AEOI)
        # ICW3 describes the cascade, which is wired.

    def _ocw2(self, command: int, level: int) -> None:
        if command in (EOI, ROTATE_EOI):
            level = self._highest(self.isr & ~(self.imr if self.special_mask else 0))
            if level < 0:
                return
        if command in (EOI, SPECIFIC_EOI, ROTATE_EOI, ROTATE_SPECIFIC_EOI):
            self.isr &= ~(1 << level)
        if command in (ROTATE_EOI, ROTATE_SPECIFIC_EOI, SET_PRIORITY):
            self.lowest = level
        if command in (CLEAR_ROTATE_AEOI, SET_ROTATE_AEOI):
            self.rotate_aeoi = command == SET_ROTATE_AEOI

    def _ocw3(self, value: int) -> None:
        self.poll = bool(value & OCW3_POLL)
        if value & OCW3_RR:
            self.read_isr = bool(value & OCW3_RIS)
        if value & OCW3_ESMM:
            self.special_mask = bool(value & OCW3_SMM)

    def _poll(self) -> int:
        self.poll = False
        level = self.pending()
        if level < 0:
            return 0
        self._in_service(level)
        return POLL_INTERRUPT | level

    # Inputs and priority

    @property
    def _level_inputs(self) -> int:
        return 0xFF if self.ltim else self.elcr

    def _input(self, bit: int, level: int) -> None:
        self.raised[bit.bit_length() - 1] += level
        if self._level_inputs & bit:
            self.irr = self.irr | bit if level else self.irr & ~bit
        elif level and not self.lines & bit:
            self.irr |= bit  # QEMU: a request stays latched though the input falls before the acknowledge
        self.lines = self.lines | bit if level else self.lines & ~bit
        self._update()

    def _rank(self, level: int) -> int:
        return (level - self.lowest - 1) & 7

    def _highest(self, levels: int) -> int:
        """The level of highest priority among these bits, or -1."""
        return min((n for n in range(8) if levels >> n & 1), key=self._rank, default=-1)

    def pending(self) -> int:
        """The level that would be acknowledged now, or -1: unmasked, and above everything in service."""
        level = self._highest(self.irr & ~self.imr)
        if level < 0:
            return -1
        blocking = self.isr
        if self.special_mask:
            blocking &= ~self.imr
        if self.special_nested and self.slave:
            blocking &= ~(1 << CASCADE)
        current = self._highest(blocking)
        return level if current < 0 or self._rank(level) < self._rank(current) else -1

    def _update(self) -> None:
        self.output.set(self.pending() >= 0)

    # Acknowledge

    def _in_service(self, level: int) -> None:
        bit = 1 << level
        if not self._level_inputs & bit:
            self.irr &= ~bit
        if not self.auto_eoi:
            self.isr |= bit
        elif self.rotate_aeoi:
            self.lowest = level
        self._update()

    def acknowledge(self) -> int:
        """The vector that the INTA cycle puts on the bus; level 7 without service when the request has gone."""
        level = self.pending()
        if level < 0:
            return self.base + SPURIOUS
        if level == CASCADE and self.slave:
            vector = self.slave.acknowledge()
            self._in_service(level)
            return vector
        self._in_service(level)
        return self.base + level

    def write_elcr(self, value: int) -> None:
        if value & ~self.elcr_mask:
            log.guest_error(self.name, f"ELCR write {value:#04x} makes a fixed edge input level-triggered; ignored")
        self.elcr = value & self.elcr_mask
        level = self._level_inputs
        self.irr = self.irr & ~level | self.lines & level
        self._update()


class PicPair(Stateful):
    """Master and slave.  `irq[n]` are the ISA lines (2 goes nowhere), `intr` the request to the CPU."""

    saved = ("slave", "master", "unconnected")

    def __init__(self) -> None:
        self.slave = Pic8259(ELCR_SLAVE_MASK)
        self.master = Pic8259(ELCR_MASTER_MASK, self.slave)
        self.slave.output.connect(self.master.inputs[CASCADE].set)
        self.intr = self.master.output
        self.irq = [*self.master.inputs, *self.slave.inputs]
        self.irq[CASCADE] = self.unconnected = Irq()
        self.elcr = Window("elcr", 2, self._read_elcr, self._write_elcr)

    def attach(self, io: AddressSpace) -> None:
        """Map at the PC's ports: 0x20, 0xA0 and 0x4D0."""
        io.map(MASTER_BASE, 2, self.master, "pic")
        io.map(SLAVE_BASE, 2, self.slave, "pic")
        io.map(ELCR_BASE, 2, self.elcr)

    def reset(self) -> None:
        self.slave.reset()
        self.master.reset()

    def acknowledge(self) -> int:
        """Answer the CPU's INTA cycle: the vector, 0 to 255."""
        return self.master.acknowledge()

    def _read_elcr(self, offset: int, size: int) -> int:
        return (self.slave if offset else self.master).elcr

    def _write_elcr(self, offset: int, size: int, value: int) -> None:
        (self.slave if offset else self.master).write_elcr(value)
