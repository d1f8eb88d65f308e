"""PCI: functions with their configuration space, a bus, and the two ways to reach configuration space.

PCI Local Bus Specification 3.0, chapter 6 (configuration space) and 3.2.2.3.2 (mechanism #1, ports 0xCF8 and 0xCFC);
PCI Express Base Specification, 7.2.2 (enhanced configuration access, ECAM).
Not here: bridges to further buses, MSI, expansion ROMs, master aborts in the status register.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from emu import qom
from emu.bus import ALL_ONES, AddressSpace, Mapping, Region
from emu.device import Device, SysBusDevice, Window
from emu.irq import Irq, WiredOr
from emu.snapshot import Stateful

# Offsets in the common header
VENDOR_ID, DEVICE_ID, COMMAND, STATUS, REVISION, CLASS_CODE = 0x00, 0x02, 0x04, 0x06, 0x08, 0x09
CACHE_LINE, LATENCY, HEADER_TYPE, BAR0, SUBSYSTEM_VENDOR, SUBSYSTEM_ID = 0x0C, 0x0D, 0x0E, 0x10, 0x2C, 0x2E
CAPABILITIES, INTERRUPT_LINE, INTERRUPT_PIN, HEADER_END = 0x34, 0x3C, 0x3D, 0x40

COMMAND_IO, COMMAND_MEMORY, COMMAND_MASTER, COMMAND_SERR, COMMAND_INTX_OFF = 0x001, 0x002, 0x004, 0x100, 0x400
COMMAND_WRITABLE = COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER | COMMAND_SERR | COMMAND_INTX_OFF
STATUS_INTERRUPT, STATUS_CAPABILITIES, STATUS_ERRORS = 0x08, 0x10, 0xF900
MULTIFUNCTION = 0x80

BAR_COUNT = 6
BAR_IO, BAR_64BIT, BAR_PREFETCHABLE = 0x1, 0x4, 0x8
BAR_IO_FLAGS, BAR_MEMORY_FLAGS = 0x3, 0xF
BAR_PRIORITY = 1
CONFIG_SIZE, EXPRESS_CONFIG_SIZE = 0x100, 0x1000

CONFIG_ADDRESS_PORT, CONFIG_DATA_PORT = 0xCF8, 0xCFC
ADDRESS_ENABLE, ADDRESS_WRITABLE = 0x8000_0000, 0x80FF_FFFC
PINS = 4


@dataclass
class Bar:
    """A base address register: what it maps, and where it is mapped at present."""

    index: int
    size: int
    region: Region
    io: bool
    is_64bit: bool
    mapping: Mapping | None = None

    @property
    def offset(self) -> int:
        return BAR0 + 4 * self.index


class PciFunction(Device):
    """One function.  Identity comes from class attributes; `define` adds registers beyond the header.

    Registers from 0x40 on that nobody defines are plain storage.  `intx` is the function's interrupt pin.
    """

    name = "pci-device"
    abstract = True
    in_tree = True
    bus_type = "PCI"
    vendor_id: ClassVar[int] = 0xFFFF
    device_id: ClassVar[int] = 0xFFFF
    revision: ClassVar[int] = 0
    class_code: ClassVar[int] = 0  # 24 bits: class, subclass, programming interface
    subsystem: ClassVar[tuple[int, int]] = (0x1AF4, 0x1100)  # vendor and device; firmware recognises QEMU's by it
    interrupt_pin: ClassVar[int] = 0  # 1 for INTA#, 0 for none
    config_size: ClassVar[int] = CONFIG_SIZE

    addr = qom.computed("int32")(lambda self: self.devfn)
    multifunction = qom.computed("bool")(lambda self: bool(self.config[HEADER_TYPE] & MULTIFUNCTION))

    saved: ClassVar[tuple[str, ...]] = ("config", "writable", "intx", "pin_line")

    def __init__(self) -> None:
        self.config = bytearray(self.config_size)
        self.reset_config = bytearray(self.config_size)
        self.writable = bytearray(HEADER_END) + b"\xff" * (self.config_size - HEADER_END)
        self.clear_on_one = bytearray(self.config_size)
        self.bars: list[Bar] = []
        self.bus: PciBus | None = None
        self.devfn = 0
        self.intx = Irq(lambda level: self._intx_changed())
        self.pin_line = Irq()  # what the bus connects the pin to
        self.capability_end = HEADER_END
        self._define_header()

    def _define_header(self) -> None:
        self.define(VENDOR_ID, 2, self.vendor_id)
        self.define(DEVICE_ID, 2, self.device_id)
        self.define(COMMAND, 2, 0, writable=COMMAND_WRITABLE)
        self.define(STATUS, 2, 0, clear_on_one=STATUS_ERRORS)
        self.define(REVISION, 4, self.class_code << 8 | self.revision)
        self.define(CACHE_LINE, 1, 0, writable=0xFF)
        self.define(LATENCY, 1, 0, writable=0xFF)
        self.define(SUBSYSTEM_VENDOR, 2, self.subsystem[0])
        self.define(SUBSYSTEM_ID, 2, self.subsystem[1])
        self.define(INTERRUPT_LINE, 1, 0, writable=0xFF)
        self.define(INTERRUPT_PIN, 1, self.interrupt_pin)

    # Describing the function

    def define(self, offset: int, size: int, reset: int, *, writable: int = 0, clear_on_one: int = 0) -> None:
        """A register of `size` bytes: its reset value, which bits a write sets, and which a written 1 clears."""
        span = slice(offset, offset + size)
        self.config[span] = self.reset_config[span] = reset.to_bytes(size, "little")
        self.writable[span] = writable.to_bytes(size, "little")
        self.clear_on_one[span] = clear_on_one.to_bytes(size, "little")

    def add_bar(
        self, index: int, size: int, region: Region, *, io: bool = False, is_64bit: bool = False, prefetch: bool = False
    ) -> Bar:
        """A window of `size` bytes, a power of two, that the guest places.  A 64-bit one takes two registers."""
        minimum = 4 if io else 16
        if size & (size - 1) or size < minimum or not 0 <= index < BAR_COUNT - is_64bit:
            raise ValueError(f"BAR {index} of {size:#x} bytes: sizes are powers of two from {minimum}, indices 0 to 5")
        flags = BAR_IO if io else BAR_64BIT * is_64bit | BAR_PREFETCHABLE * prefetch
        width = 8 if is_64bit else 4
        bar = Bar(index, size, region, io, is_64bit)
        self.define(bar.offset, width, flags, writable=ALL_ONES[width] & ~(size - 1))
        self.bars.append(bar)
        return bar

    def add_capability(self, identity: int, body: bytes, *, offset: int | None = None) -> int:
        """Append to the capability list; `body` follows the two header bytes and is read-only.  Returns its offset."""
        at = self.capability_end if offset is None else offset
        previous = CAPABILITIES
        while self.config[previous]:
            previous = self.config[previous] + 1
        self.define(previous, 1, at)
        self.define(at, 2 + len(body), int.from_bytes(bytes((identity, 0)) + body, "little"))
        self.define(STATUS, 2, self.get(STATUS, 2) | STATUS_CAPABILITIES, clear_on_one=STATUS_ERRORS)
        self.capability_end = max(self.capability_end, at + 2 + len(body) + 3 & ~3)
        return at

    # Configuration space

    def get(self, offset: int, size: int) -> int:
        """Bytes of configuration space as they are stored."""
        return int.from_bytes(self.config[offset : offset + size], "little")

    def put(self, offset: int, size: int, value: int) -> None:
        """Store, whatever the guest may write."""
        self.config[offset : offset + size] = value.to_bytes(size, "little")

    def config_read(self, offset: int, size: int) -> int:
        """What the guest reads: 1, 2 or 4 bytes inside one dword."""
        return int.from_bytes(self.config[offset : offset + size], "little")

    def config_write(self, offset: int, size: int, value: int) -> None:
        """Apply a guest's write, then `config_written` with the same span."""
        for at, byte in enumerate(value.to_bytes(size, "little"), offset):
            mask = self.writable[at]
            kept = self.config[at] & ~mask & ~(byte & self.clear_on_one[at])
            self.config[at] = kept | byte & mask
        if offset < CAPABILITIES:
            self._update_bars()
        if offset < STATUS:
            self._intx_changed()
        self.config_written(offset, size)

    def config_written(self, offset: int, size: int) -> None:
        """For subclasses: the guest has written here."""

    def reset(self) -> None:
        super().reset()
        header_type = self.config[HEADER_TYPE]
        self.config[:] = self.reset_config
        self.config[HEADER_TYPE] = header_type
        self.intx.lower()
        self._update_bars()

    def loaded(self) -> None:
        self._update_bars()

    def unrealize(self) -> None:
        """Leave the bus."""
        self.put(COMMAND, 2, 0)
        self._update_bars()
        self.intx.lower()
        super().unrealize()

    # Windows and the interrupt pin

    def bar_address(self, bar: Bar) -> int | None:
        """Where the guest has put a window, or None while it is disabled or at no usable place."""
        if not self.get(COMMAND, 2) & (COMMAND_IO if bar.io else COMMAND_MEMORY):
            return None
        flags = BAR_IO_FLAGS if bar.io else BAR_MEMORY_FLAGS
        width = 8 if bar.is_64bit else 4
        address = self.get(bar.offset, width) & ~flags
        sizing = address + bar.size > ALL_ONES[width]  # also what a size probe leaves behind
        return None if not address or sizing else address

    def _update_bars(self) -> None:
        if self.bus is None:
            return
        for bar in self.bars:
            address = self.bar_address(bar)
            current = bar.mapping.base if bar.mapping else None
            if address != current:
                self._map_bar(bar, self.bus.io if bar.io else self.bus.memory, address)

    def _map_bar(self, bar: Bar, space: AddressSpace, address: int | None) -> None:
        if bar.mapping:
            bar.mapping.unmap()
            bar.mapping = None
        if address is not None and address + bar.size <= space.size:
            name = getattr(bar.region, "name", "") or self.label
            bar.mapping = space.map(address, bar.size, bar.region, name, priority=BAR_PRIORITY)

    def _intx_changed(self) -> None:
        level = self.intx.level
        status = self.config[STATUS] & ~STATUS_INTERRUPT
        self.config[STATUS] = status | STATUS_INTERRUPT * level
        self.pin_line.set(level and not self.get(COMMAND, 2) & COMMAND_INTX_OFF)


def devfn(slot: int, function: int) -> int:
    return slot << 3 | function


def slot_swizzle(slot: int, pin: int) -> int:
    """The usual wiring of a bus with four interrupt lines: pin 0 is INTA#."""
    return (slot + pin) % PINS


class PciBus(qom.Bus, Stateful):
    """A bus with its functions.  `lines` are the interrupt lines that `route(slot, pin)` chooses among."""

    name = "PCI"
    hotplug = True

    def __init__(
        self,
        io: AddressSpace,
        memory: AddressSpace,
        lines: Sequence[Irq] = (),
        route: Callable[[int, int], int] = slot_swizzle,
        number: int = 0,
    ) -> None:
        self.io, self.memory, self.number, self.route = io, memory, number, route
        self.functions: dict[int, PciFunction] = {}
        self.junctions = [WiredOr(line) for line in lines]

    def add(self, slot: int, number: int, function: PciFunction) -> PciFunction:
        """Put a function into place.  Raises ValueError when that is taken."""
        at = devfn(slot, number)
        if at in self.functions:
            raise ValueError(f"PCI {slot:02x}.{number} already holds {self.functions[at].label}")
        self.functions[at] = function
        function.bus, function.devfn = self, at
        self.attach(function)
        if function.interrupt_pin and self.junctions:
            junction = self.junctions[self.route(slot, function.interrupt_pin - 1)]
            function.pin_line = junction.input()
        self._mark_multifunction(slot)
        return function

    def remove(self, function: PciFunction) -> None:
        """Take a function out, its windows and interrupt with it."""
        function.unrealize()
        del self.functions[function.devfn]
        for junction in self.junctions:
            if function.pin_line in junction.inputs:
                junction.inputs.remove(function.pin_line)
        self.detach(function)
        function.bus, function.pin_line = None, Irq()
        self._mark_multifunction(function.devfn >> 3)

    def _mark_multifunction(self, slot: int) -> None:
        """Function 0 tells whether its device has others."""
        first = self.functions.get(devfn(slot, 0))
        if first:
            several = any(devfn(slot, n) in self.functions for n in range(1, 8))
            kept = first.config[HEADER_TYPE] & ~MULTIFUNCTION
            first.config[HEADER_TYPE] = kept | MULTIFUNCTION * several

    def free_slot(self, first: int = 1) -> int | None:
        """The lowest slot from `first` on without any function."""
        taken = {at >> 3 for at in self.functions}
        return next((slot for slot in range(first, 32) if slot not in taken), None)

    def reset(self) -> None:
        for at in sorted(self.functions):
            self.functions[at].reset()

    def save(self) -> dict[str, Any]:
        """By slot and function number."""
        return {f"{at >> 3:02x}.{at & 7}": function.save() for at, function in sorted(self.functions.items())}

    def load(self, state: dict[str, Any]) -> None:
        for function, saved in zip((self.functions[at] for at in sorted(self.functions)), state.values(), strict=True):
            function.load(saved)

    def config_read(self, bus: int, at: int, offset: int, size: int) -> int:
        """Read configuration space; all ones where no function answers."""
        function = self.functions.get(at) if bus == self.number else None
        if function is None or offset >= function.config_size:
            return ALL_ONES[size]
        return function.config_read(offset, size)

    def config_write(self, bus: int, at: int, offset: int, size: int, value: int) -> None:
        function = self.functions.get(at) if bus == self.number else None
        if function is not None and offset < function.config_size:
            function.config_write(offset, size, value)


class PcieBus(PciBus):
    """The same, to whose functions ECAM leads as well."""

    name = "PCIE"
    hotplug = False


class PciHostPorts(SysBusDevice):
    """Configuration mechanism #1: the address register takes dwords only, the data register any part of one."""

    name = "pci-host-bridge"
    abstract = True
    bus_name: ClassVar[str] = "pci.0"

    saved = ("address",)

    def __init__(self, bus: PciBus) -> None:
        self.bus = bus
        self.add_child(self.bus_name, bus)
        self.address = 0
        self.address_window = Window(
            "pci-conf-idx", 4, self._read_address, self._write_address, max_access=4, unaligned=True
        )
        self.data_window = Window("pci-conf-data", 4, self._read_data, self._write_data, max_access=4)

    def attach(self, io: AddressSpace) -> None:
        io.map(CONFIG_ADDRESS_PORT, 4, self.address_window)
        io.map(CONFIG_DATA_PORT, 4, self.data_window)

    def reset(self) -> None:
        self.address = 0

    def _read_address(self, offset: int, size: int) -> int:
        return self.address >> 8 * offset & ALL_ONES[size]

    def _write_address(self, offset: int, size: int, value: int) -> None:
        if size == 4 and offset == 0:
            self.address = value & ADDRESS_WRITABLE

    def _read_data(self, offset: int, size: int) -> int:
        address = self.address
        if not address & ADDRESS_ENABLE:
            return ALL_ONES[size]
        return self.bus.config_read(address >> 16 & 0xFF, address >> 8 & 0xFF, address & 0xFC | offset, size)

    def _write_data(self, offset: int, size: int, value: int) -> None:
        address = self.address
        if address & ADDRESS_ENABLE:
            at = address & 0xFC | offset
            self.bus.config_write(address >> 16 & 0xFF, address >> 8 & 0xFF, at, size, value)


class Ecam(Device):
    """Memory-mapped configuration space: 4 KiB for each function, 1 MiB for each of `buses`."""

    name = "pcie-mmcfg-mmio"

    def __init__(self, bus: PciBus, buses: int = 256) -> None:
        self.bus = bus
        self.region_size = buses << 20

    def read(self, offset: int, size: int) -> int:
        return self.bus.config_read(offset >> 20, offset >> 12 & 0xFF, offset & 0xFFF, size)

    def write(self, offset: int, size: int, value: int) -> None:
        self.bus.config_write(offset >> 20, offset >> 12 & 0xFF, offset & 0xFFF, size, value)
