"""Freestanding guests for measuring how fast a machine computes.

`build(name, repeat)` gives a multiboot ELF-32 that prints `READY`, works `repeat` times, prints `DONE <checksum>` on
COM1 and writes 0 to the debug-exit port.  Equal name and repeat give an equal checksum on every correct machine.
"""

from __future__ import annotations

from benchmarks.guests import control, floating, integer, memory, system
from benchmarks.guests.runtime import Guest, image

GUESTS: dict[str, Guest] = {
    guest.name: guest for module in (integer, memory, control, floating, system) for guest in module.GUESTS
}


def build(name: str, repeat: int | None = None) -> bytes:
    """The guest `name` as a file; `repeat` defaults to some seconds under QEMU's TCG.  Raises ValueError."""
    if name not in GUESTS:
        raise ValueError(f"no benchmark guest {name!r}; choose one of {', '.join(GUESTS)}")
    guest = GUESTS[name]
    count = guest.repeat if repeat is None else repeat
    if not 1 <= count < 1 << 31:
        raise ValueError(f"repeat is {count}; expected a number from 1 to 2147483647")
    return image(guest, count)
