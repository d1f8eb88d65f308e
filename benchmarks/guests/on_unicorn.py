"""Time benchmark guests under unicorn: `python -m benchmarks.guests.on_unicorn [names] [--repeat N]`.

The machine is RAM, COM1's transmitter and the debug-exit port.  Not here: guests that change rings, since unicorn
hands SYSCALL and INT to its user instead of to the guest.
"""

from __future__ import annotations

import io
import time

import unicorn
from elftools.elf.elffile import ELFFile
from unicorn import x86_const as x86

from benchmarks.guests.measure import DONE, READY, BenchmarkFailed, Result, main
from benchmarks.guests.runtime import COM1, DEBUG_EXIT_PORT, MEMORY_MIB
from machines.guests.asm import MULTIBOOT_BOOTLOADER_MAGIC

LCR, LSR = COM1 + 3, COM1 + 5
LCR_DLAB = 0x80  # COM1 takes the divisor, not a character
LSR_ALL_EMPTY = 0x60
CR0_PE, CR0_ET = 0x01, 0x10


class Machine:
    """A unicorn CPU with RAM and COM1; notes when each line was complete."""

    def __init__(self, image: bytes):
        self.cpu = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32)
        self.cpu.ctl_set_cpu_model(x86.UC_CPU_X86_QEMU64)
        self.cpu.mem_map(0, MEMORY_MIB << 20)
        self.lines: list[tuple[float, str]] = []
        self.partial = ""
        self.line_control = 0
        self.entry = self.load(ELFFile(io.BytesIO(image)))
        self.cpu.hook_add(unicorn.UC_HOOK_INSN, self.port_in, None, 1, 0, x86.UC_X86_INS_IN)
        self.cpu.hook_add(unicorn.UC_HOOK_INSN, self.port_out, None, 1, 0, x86.UC_X86_INS_OUT)

    def load(self, elf: ELFFile) -> int:
        for segment in elf.iter_segments("PT_LOAD"):
            self.cpu.mem_write(segment["p_paddr"], segment.data())
        return elf["e_entry"]

    def port_in(self, cpu, port: int, size: int, data) -> int:
        return LSR_ALL_EMPTY if port == LSR else (1 << 8 * size) - 1

    def port_out(self, cpu, port: int, size: int, value: int, data) -> None:
        if port == DEBUG_EXIT_PORT:
            cpu.emu_stop()
        if port == LCR:
            self.line_control = value
        if port == COM1 and not self.line_control & LCR_DLAB:
            self.transmit(chr(value & 0xFF))

    def transmit(self, character: str) -> None:
        self.partial += character
        if character == "\n":
            self.lines.append((time.perf_counter(), self.partial))
            self.partial = ""

    def run(self) -> None:
        """Run to the debug exit.  Raises unicorn.UcError."""
        self.cpu.reg_write(x86.UC_X86_REG_CR0, CR0_PE | CR0_ET)
        self.cpu.reg_write(x86.UC_X86_REG_EAX, MULTIBOOT_BOOTLOADER_MAGIC)
        self.cpu.emu_start(self.entry, 0)


def run(image: bytes) -> Result:
    """Run `image` and time it by the lines on its serial port.  Raises BenchmarkFailed."""
    machine = Machine(image)
    try:
        machine.run()
    except unicorn.UcError as error:
        raise BenchmarkFailed(f"unicorn stopped: {error}; the guest said {machine.lines}") from error
    times = {line.split()[0]: (when, line) for when, line in machine.lines}
    if DONE.strip() not in times:
        raise BenchmarkFailed(f"the guest ended early; it said {machine.lines}")
    done, line = times[DONE.strip()]
    return Result(done - times[READY][0], line.removeprefix(DONE).strip())


if __name__ == "__main__":
    main(run, on_unicorn=True)
