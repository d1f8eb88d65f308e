"""The hot-plug guest: a small kernel that brings hot-plugged CPUs up and lets them go, and says so on COM1.

It boots by multiboot on `pc` or `q35`, needs no firmware, and serves 1 to 288 possible CPUs.  Its source is beside
this file: hotplug.s (boot, console, chipset), hotplug_interrupts.s, hotplug_cpus.s.  Lines it prints, in order:

    numachine hotplug guest
    machine pc | machine q35
    local apic x2apic                              if CPUID has it
    interrupts 8259 | interrupts ioapic            the latter when the command line has the word `ioapic`
    interface legacy modern | interface modern     without `legacy` when already switched, as after a reset
    possible 4 present 1
    cpu 1 online: work 0x00025e56c1e610e0          for each further CPU present at boot
    ready
    plug: cpu 1 apic 1                             then, per event, ...
    cpu 1 online: work 0x00025e56c1e610e0          ... or `cpu 1 failed: <reason>`; _OST event 1, status 0 or 1
    unplug: cpu 1 apic 1
    cpu 1 ejected                                  ... or `cpu 1 failed: <reason>`; _OST event 3, status 0x84, 0 or 1

Bytes it takes on COM1: `s` prints `possible 4 present 2 online 2`; `q` prints `power off` and enters S5, as the
power button does; `r` prints `reset` and resets through port 0xCF9.
Not here: eject through firmware.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from machines.guests import asm

SOURCES = ("hotplug.s", "hotplug_interrupts.s", "hotplug_cpus.s")
MEMORY_END = 0x258000
WORK_TERMS = 100_000
WORK_SUM = WORK_TERMS * (WORK_TERMS + 1) * (2 * WORK_TERMS + 1) // 6
IOAPIC_WORD = b"ioapic"


def work(cpu: int) -> int:
    """What CPU number `cpu` computes: (cpu + 1) times the sum of the first WORK_TERMS squares, 64 bits."""
    return (cpu + 1) * WORK_SUM


def online_line(cpu: int) -> str:
    """The line that reports CPU number `cpu` at work."""
    return f"cpu {cpu} online: work {work(cpu):#018x}\n"


@lru_cache(maxsize=1)
def source() -> str:
    """The whole assembly source, constants first."""
    constants = asm.definitions(
        WORK_TERMS=WORK_TERMS,
        WORK_SUM_LOW=WORK_SUM & 0xFFFFFFFF,
        WORK_SUM_HIGH=WORK_SUM >> 32,
        IOAPIC_WORD_START=int.from_bytes(IOAPIC_WORD[:4], "little"),
        IOAPIC_WORD_END=int.from_bytes(IOAPIC_WORD[4:], "little"),
    )
    return constants + "\n".join((Path(__file__).parent / name).read_text() for name in SOURCES)


def image() -> bytes:
    """The guest as a multiboot ELF-32 file."""
    return asm.multiboot_elf(source(), MEMORY_END)
