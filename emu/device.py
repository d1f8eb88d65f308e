"""The base of all devices: an object of the tree with registers, which are declared at the head of a class.

A register is decoded by its exact start offset, whatever the width of the access: that is one dictionary look-up.
A device with lanes, arrays or address-dependent decoding overrides `read` and `write` instead.
Properties that users see, names and places in the tree: emu/qom.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, overload

from emu import log, qom
from emu.bus import ALL_ONES
from emu.snapshot import Stateful

Reader = Callable[[Any], int]
Writer = Callable[[Any, int], None]


class Reg:
    """A register at `offset`, `width` bytes wide; `access` is "r", "w" or "rw".

    Without `@reg.read` or `@reg.write` code it is plain storage, seen by the device as the attribute of the same name.
    `reset` is the value after reset; None means that reset does not touch it (it starts as 0).
    """

    def __init__(self, offset: int, width: int, access: str = "rw", reset: int | None = 0) -> None:
        if access not in ("r", "w", "rw"):
            raise ValueError(f"a register's access is 'r', 'w' or 'rw', not {access!r}")
        self.offset, self.width, self.access, self.reset = offset, width, access, reset
        self.name = ""
        self.reader: Reader | None = None
        self.writer: Writer | None = None

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def read(self, code: Reader) -> Reader:
        """Decorator: `code(self)` is what the guest reads."""
        self.reader = code
        return code

    def write(self, code: Writer) -> Writer:
        """Decorator: `code(self, value)` is what a guest's write does."""
        self.writer = code
        return code

    # The value lives in the instance's dictionary under the same name, which shadows this descriptor once set.

    @overload
    def __get__(self, device: None, owner: type) -> Reg: ...
    @overload
    def __get__(self, device: Device, owner: type) -> int: ...
    def __get__(self, device: Device | None, owner: type) -> Reg | int:
        return self if device is None else self.reset or 0

    if TYPE_CHECKING:

        def __set__(self, device: Device, value: int) -> None: ...

    def bound_reader(self) -> Reader:
        name, code = self.name, self.reader
        return code or (lambda device: getattr(device, name))

    def bound_writer(self) -> Writer:
        name, code, mask = self.name, self.writer, ALL_ONES[self.width]

        def store(device: Device, value: int) -> None:
            setattr(device, name, value & mask)

        def masked(device: Device, value: int) -> None:
            assert code is not None
            code(device, value & mask)

        return masked if code else store


class Device(qom.DeviceObject, Stateful):
    """A part of a machine that can be mapped on a bus.

    `name` is the object model's type name; a device that is only a part of another one is no type there (`in_tree`).
    Sizes are in bytes.  State is kept in plain attributes, which `saved` names for snapshots (emu/snapshot.py); declared
    registers are among them without being named.
    """

    name: ClassVar[str] = ""
    in_tree: ClassVar[bool] = False
    user_creatable: ClassVar[bool] = False
    region_size: int = 1
    min_access: int = 1
    max_access: int = 4
    unaligned: bool = False
    """Whether the device itself takes unaligned accesses; otherwise the bus splits them."""

    registers: ClassVar[tuple[Reg, ...]] = ()
    _readers: ClassVar[dict[int, Reader]] = {}
    _writers: ClassVar[dict[int, Writer]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = tuple(reg for reg in vars(cls).values() if isinstance(reg, Reg))
        if not own:
            return
        cls.registers = tuple(reg for reg in cls.registers if reg.name not in vars(cls)) + own
        cls.saved = tuple(dict.fromkeys((*(reg.name for reg in cls.registers), *cls.saved)))
        cls._readers = {reg.offset: reg.bound_reader() for reg in cls.registers if "r" in reg.access}
        cls._writers = {reg.offset: reg.bound_writer() for reg in cls.registers if "w" in reg.access}
        if "region_size" not in vars(cls):
            cls.region_size = max(reg.offset + reg.width for reg in cls.registers)

    def realize(self) -> None:
        """Called once the properties are set and before the guest runs."""
        self.realized = True

    def unrealize(self) -> None:
        """The reverse of `realize`: let go of lines, timers and host resources."""
        self.realized = False

    def reset(self) -> None:
        """As the reset pin does.  The base sets declared registers to their reset values."""
        for reg in self.registers:
            if reg.reset is not None:
                setattr(self, reg.name, reg.reset)

    def read(self, offset: int, size: int) -> int:
        """What the guest reads at this offset in the device: unsigned, at most `size` bytes."""
        code = self._readers.get(offset)
        if code is None:
            return self.read_undefined(offset, size)
        return code(self) & ALL_ONES[size]

    def write(self, offset: int, size: int, value: int) -> None:
        code = self._writers.get(offset)
        if code is None:
            self.write_undefined(offset, size, value)
        else:
            code(self, value)

    def read_undefined(self, offset: int, size: int) -> int:
        """A read where no readable register starts: zero unless a device knows better."""
        log.guest_error(self.label, f"read of {size} at offset {offset:#x}, where no readable register starts")
        return 0

    def write_undefined(self, offset: int, size: int, value: int) -> None:
        """A write where no writable register starts: ignored."""
        log.guest_error(self.label, f"write of {value:#x} ({size} bytes) at offset {offset:#x}: no register there")

    @property
    def label(self) -> str:
        """What messages call this device."""
        return self.name or type(self).__name__


class SysBusDevice(Device):
    """A device that is there because the machine has it."""

    name = "sys-bus-device"
    abstract = True
    in_tree = True
    bus_type = qom.SystemBus.name


class IsaDevice(Device):
    """A device at fixed ports below an ISA bridge."""

    name = "isa-device"
    abstract = True
    in_tree = True
    bus_type = qom.IsaBus.name


class Window:
    """One more region of a device that answers at several places: two functions with the bus's signatures."""

    def __init__(
        self,
        name: str,
        size: int,
        read: Callable[[int, int], int],
        write: Callable[[int, int, int], None],
        *,
        min_access: int = 1,
        max_access: int = 1,
        unaligned: bool = False,
    ) -> None:
        self.name, self.region_size = name, size
        self.read, self.write = read, write
        self.min_access, self.max_access, self.unaligned = min_access, max_access, unaligned
