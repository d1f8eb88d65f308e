"""Fields of operation regions and of buffers: bits to accesses of a given width (ACPI 6.5, sections 19.6.46 to 19.6.48).

An access has the width that the field declares (AnyAcc: a byte); a write that does not cover its access unit keeps the
rest, or fills it with ones or zeros, by the field's update rule.  The lock rule has no effect: nobody else is there.
Not here: regions whose fields are message buffers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .dispatch import Steps
from .errors import AmlError
from .names import Path
from .objects import RegionSpace, UpdateRule
from .spaces import PCI_BUS_SHIFT, PCI_DEVICE_SHIFT, PCI_FUNCTION_SHIFT
from .steps import SPACE_NAMES, Access
from .values import BufferField, FieldUnit, Frame, Node, Region

if TYPE_CHECKING:
    from .evaluator import Evaluator

PCI_SEGMENT_SHIFT = 32
PCI_HEADER_TYPE, PCI_HEADER_LAYOUT, PCI_SECONDARY_BUS = 0x0E, 0x7F, 0x19
PCI_IS_BRIDGE = 1


def read_field(ev: Evaluator, unit: FieldUnit, frame: Frame) -> Steps:
    """The field's bits: an integer, or a buffer if they are more than an integer has."""
    raw, width = 0, 8 * unit.access
    first, last = unit.bit // width, (unit.bit + unit.bits - 1) // width
    for n in range(first, last + 1):
        word = yield from _read_unit(ev, unit, n * unit.access, _part(unit, n), frame)
        raw |= word << (n - first) * width
    return _from_bits(raw >> unit.bit - first * width, unit.bits, ev.convert.bits)


def write_field(ev: Evaluator, unit: FieldUnit, value: Any, frame: Frame) -> Steps:
    width = 8 * unit.access
    first, last = unit.bit // width, (unit.bit + unit.bits - 1) // width
    raw = (_to_bits(value) & (1 << unit.bits) - 1) << unit.bit - first * width
    covered = ((1 << unit.bits) - 1) << unit.bit - first * width
    whole = (1 << width) - 1
    for n in range(first, last + 1):
        word, mask = raw >> (n - first) * width & whole, covered >> (n - first) * width & whole
        part = _part(unit, n)
        if mask != whole:
            word |= (yield from _rest(ev, unit, n * unit.access, part, frame)) & ~mask & whole
        yield from _write_unit(ev, unit, n * unit.access, word, part, frame)


def _rest(ev: Evaluator, unit: FieldUnit, offset: int, part: tuple[int, int], frame: Frame) -> Steps:
    """What the bits around the field become."""
    if unit.update == UpdateRule.Preserve:
        return (yield from _read_unit(ev, unit, offset, part, frame))
    return -1 if unit.update == UpdateRule.WriteAsOnes else 0


def _part(unit: FieldUnit, n: int) -> tuple[int, int]:
    """Shift and mask of the field's bits in access unit `n`."""
    width = 8 * unit.access
    low, high = max(unit.bit - n * width, 0), min(unit.bit + unit.bits - n * width, width)
    return low, (1 << high - low) - 1


# ---------------------------------------------------------------- one access unit


def _read_unit(ev: Evaluator, unit: FieldUnit, offset: int, part: tuple[int, int], frame: Frame) -> Steps:
    if unit.index is not None:
        yield from write_field(ev, unit.index.object, offset, frame)
        return (yield from read_field(ev, unit.data.object, frame))  # type: ignore[union-attr]
    yield from _select_bank(ev, unit, frame)
    space, address = yield from _address(ev, unit, offset, frame)
    value = ev.spaces[space].read(address, unit.access)
    yield Access(frame.where, unit.name, space, address, unit.access, False, value, value >> part[0] & part[1])
    return value


def _write_unit(ev: Evaluator, unit: FieldUnit, offset: int, value: int, part: tuple[int, int], frame: Frame) -> Steps:
    if unit.index is not None:
        yield from write_field(ev, unit.index.object, offset, frame)
        yield from write_field(ev, unit.data.object, value, frame)  # type: ignore[union-attr]
        return
    yield from _select_bank(ev, unit, frame)
    space, address = yield from _address(ev, unit, offset, frame)
    ev.spaces[space].write(address, unit.access, value)
    yield Access(frame.where, unit.name, space, address, unit.access, True, value, value >> part[0] & part[1])


def _select_bank(ev: Evaluator, unit: FieldUnit, frame: Frame) -> Steps:
    if unit.bank is not None:
        yield from write_field(ev, unit.bank.object, unit.bank_value, frame)


def _address(ev: Evaluator, unit: FieldUnit, offset: int, frame: Frame) -> Steps:
    """Space and address of an access, inside the region."""
    node: Node = unit.region  # type: ignore[assignment]
    region: Region = yield from ev.settled(node, frame)
    if offset + unit.access > region.length:
        raise AmlError(f"{unit.name} at offset {offset:#x} is outside of {node}, which has {region.length:#x} bytes")
    if region.space not in ev.spaces:
        name = SPACE_NAMES.get(region.space, hex(region.space))
        raise AmlError(f"nobody answers in address space {name}, where {node} is: give the evaluator one")
    address = region.base + offset
    if region.space == RegionSpace.PCI_Config:
        address += yield from _pci_function(ev, node, frame)
    return region.space, address


def _pci_function(ev: Evaluator, node: Node, frame: Frame) -> Steps:
    """The configuration space of the PCI device that a region is in; bridges on the way say their bus number."""
    segment = bus = base = None
    config = ev.spaces[RegionSpace.PCI_Config]
    for depth in range(1, len(node.path)):
        around = node.path[:depth]
        segment = yield from _integer_at(ev, (*around, "_SEG"), segment, frame)
        bus = yield from _integer_at(ev, (*around, "_BBN"), bus, frame)
        adr = yield from _integer_at(ev, (*around, "_ADR"), None, frame)
        if adr is None:
            continue
        if base is not None and config.read(base + PCI_HEADER_TYPE, 1) & PCI_HEADER_LAYOUT == PCI_IS_BRIDGE:
            bus = config.read(base + PCI_SECONDARY_BUS, 1)
        base = (segment or 0) << PCI_SEGMENT_SHIFT | (bus or 0) << PCI_BUS_SHIFT
        base |= (adr >> 16) << PCI_DEVICE_SHIFT | (adr & 0xFFFF) << PCI_FUNCTION_SHIFT
    if base is None:
        raise AmlError(f"{node} is in no PCI device: no _ADR around it")
    return base


def _integer_at(ev: Evaluator, path: Path, default: int | None, frame: Frame) -> Steps:
    """The value of an object if there is one at this path."""
    node = ev.namespace.nodes.get(path)
    if node is None:
        return default
    return ev.convert.to_integer((yield from ev.plain((yield from ev.fetch(node, frame)), frame)))


# ---------------------------------------------------------------- buffers and bits


def read_buffer_field(ev: Evaluator, unit: BufferField) -> int | bytearray:
    raw = int.from_bytes(unit.buffer, "little") >> unit.bit
    return _from_bits(raw, unit.bits, 0 if unit.as_buffer else ev.convert.bits)


def write_buffer_field(ev: Evaluator, unit: BufferField, value: Any) -> None:
    mask = (1 << unit.bits) - 1
    raw = int.from_bytes(unit.buffer, "little") & ~(mask << unit.bit) | (_to_bits(value) & mask) << unit.bit
    unit.buffer[:] = raw.to_bytes(len(unit.buffer), "little")


def _from_bits(raw: int, bits: int, integer_bits: int) -> int | bytearray:
    raw &= (1 << bits) - 1
    return raw if bits <= integer_bits else bytearray(raw.to_bytes((bits + 7) // 8, "little"))


def _to_bits(value: Any) -> int:
    if isinstance(value, str):
        value = value.encode("latin-1")
    if isinstance(value, (bytes, bytearray)):
        return int.from_bytes(value, "little")
    if not isinstance(value, int):
        raise AmlError("only integers, strings and buffers can be stored in a field")
    return value
