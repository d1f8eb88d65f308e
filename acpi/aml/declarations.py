"""What names do: scopes, devices, data, methods, regions and fields (ACPI 6.5, section 19.6).

Outside of methods, data and regions are evaluated when they are first used, as they may name what is declared later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .dispatch import Compute, Steps, computes, data, does, integer, runs
from .errors import AmlError
from .names import absolute
from .objects import AccessType, Serialize
from .opcodes import ObjectType
from .parser import ARGUMENT_COUNT, FieldEntry, Term
from .references import Unresolved, resolve
from .values import (
    BufferField,
    Container,
    Event,
    FieldUnit,
    Frame,
    Lazy,
    Method,
    Mutex,
    Node,
    Package,
    Region,
)

if TYPE_CHECKING:
    from .evaluator import Evaluator

MOST_ELEMENTS = 1 << 24  # bytes of a buffer, elements of a package
ACCESS_BYTES = {
    AccessType.AnyAcc: 1,
    AccessType.ByteAcc: 1,
    AccessType.WordAcc: 2,
    AccessType.DWordAcc: 4,
    AccessType.QWordAcc: 8,
}
ACCESS_TYPE_BITS, UPDATE_RULE_BITS = 0xF, 0x60
CREATED_BITS = {
    "CreateBitField": (1, 1),  # (bits of the field, bits that the index counts)
    "CreateByteField": (8, 8),
    "CreateWordField": (16, 8),
    "CreateDWordField": (32, 8),
    "CreateQWordField": (64, 8),
}
CONTAINERS = {
    "Device": ObjectType.DEVICE,
    "Processor": ObjectType.PROCESSOR,
    "PowerResource": ObjectType.POWER_RESOURCE,
    "ThermalZone": ObjectType.THERMAL_ZONE,
}
CONSTANTS = ("Zero", "One", "ByteConst", "WordConst", "DWordConst", "QWordConst", "String")


def declare(ev: Evaluator, name: str, obj: Any, frame: Frame) -> Node:
    """A new object; one that a method makes goes with the method."""
    node = ev.namespace.add(absolute(name, frame.scope), obj)
    if frame.method:
        frame.created.append(node)
    return node


# ---------------------------------------------------------------- constants and data


@computes("ByteConst", "WordConst", "DWordConst", "QWordConst")
def _constant(term: Term) -> Compute:
    number = term.args[0]
    return lambda ev, frame: number & ev.convert.mask


@computes("Zero", "One", "Revision")
def _small(term: Term) -> Compute:
    number = 0 if term.op.name == "Zero" else 1
    return lambda ev, frame: number


@computes("Ones")
def _ones(term: Term) -> Compute:
    return lambda ev, frame: ev.convert.mask


@computes("String")
def _string(term: Term) -> Compute:
    return lambda ev, frame: term.args[0]


def _count(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    count = yield from integer(ev, term.args[0], frame)
    if count > MOST_ELEMENTS:
        raise AmlError(f"{term.op.name} of {count:#x} elements: more than {MOST_ELEMENTS:#x} are surely a mistake")
    return count


@runs("Buffer")
def _buffer(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    size = yield from _count(ev, term, frame)
    return bytearray(term.body.ljust(size, b"\0"))


@runs("Package", "VarPackage")
def _package(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    count = term.args[0] if term.op.name == "Package" else (yield from _count(ev, term, frame))
    elements = Package()
    for each in term.body[:count]:
        if each.op.name != "NameString":
            elements.append((yield from ev.value(each, frame)))
            continue
        name = Unresolved(each.args[0], frame.scope)
        elements.append((yield from resolve(ev, name, frame)) if frame.method else name)
    elements += [None] * (count - len(elements))
    return elements


@runs("Name")
def _name(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    name, data = term.args
    if frame.method or data.op.name in CONSTANTS:
        declare(ev, name, (yield from ev.value(data, frame)), frame)
    else:
        declare(ev, name, Lazy(data, frame.scope), frame)


@does("Alias")
def _alias(ev: Evaluator, term: Term, frame: Frame) -> None:
    source, name = term.args
    ev.namespace.alias(absolute(name, frame.scope), ev.namespace.find(source, frame.scope))


@does("External")
def _external(ev: Evaluator, term: Term, frame: Frame) -> None:
    pass


# ---------------------------------------------------------------- containers and methods


@runs("Scope")
def _scope(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    node = ev.namespace.find(term.args[0], frame.scope)
    yield from _inside(ev, term, node, frame)


@runs(*CONTAINERS)
def _container(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    node = declare(ev, term.args[0], Container(CONTAINERS[term.op.name], tuple(term.args[1:])), frame)
    yield from _inside(ev, term, node, frame)


def _inside(ev: Evaluator, term: Term, node: Node, frame: Frame) -> Steps:
    yield from ev.block(
        term.body, Frame(frame.run, node.path, frame.method, frame.depth, frame.args, frame.locals, frame.created)
    )


@does("Method")
def _method(ev: Evaluator, term: Term, frame: Frame) -> None:
    name, flags = term.args
    lock = Mutex() if flags & Serialize.Serialized else None
    declare(ev, name, Method(term, flags & ARGUMENT_COUNT, lock), frame)


@does("Mutex")
def _mutex(ev: Evaluator, term: Term, frame: Frame) -> None:
    declare(ev, term.args[0], Mutex(), frame)


@does("Event")
def _event(ev: Evaluator, term: Term, frame: Frame) -> None:
    declare(ev, term.args[0], Event(), frame)


# ---------------------------------------------------------------- regions and fields


def _make_region(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    _, space, base, length = term.args
    return Region(space, (yield from integer(ev, base, frame)), (yield from integer(ev, length, frame)))


OBJECTS: dict[str, Callable[[Evaluator, Term, Frame], Steps]] = {"OperationRegion": _make_region}


@runs("OperationRegion")
def _operation_region(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    if frame.method:
        declare(ev, term.args[0], (yield from _make_region(ev, term, frame)), frame)
    else:
        declare(ev, term.args[0], Lazy(term, frame.scope), frame)


@does("Field")
def _field(ev: Evaluator, term: Term, frame: Frame) -> None:
    region, flags = term.args
    _declare_fields(ev, term.body, flags, frame, region=ev.namespace.find(region, frame.scope))


@does("IndexField")
def _index_field(ev: Evaluator, term: Term, frame: Frame) -> None:
    index, data, flags = term.args
    registers = {"index": ev.namespace.find(index, frame.scope), "data": ev.namespace.find(data, frame.scope)}
    _declare_fields(ev, term.body, flags, frame, **registers)


@runs("BankField")
def _bank_field(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    region, bank, value, flags = term.args
    nodes = {"region": ev.namespace.find(region, frame.scope), "bank": ev.namespace.find(bank, frame.scope)}
    number = yield from integer(ev, value, frame)
    _declare_fields(ev, term.body, flags, frame, **nodes, bank_value=number)


def _declare_fields(ev: Evaluator, entries: list[FieldEntry], flags: int, frame: Frame, **where: Any) -> None:
    access, bit = flags & ACCESS_TYPE_BITS, 0
    for entry in entries:
        if entry.access:
            access = entry.access[0] & ACCESS_TYPE_BITS
        if entry.name:
            if access not in ACCESS_BYTES:
                raise AmlError(f"field {entry.name} has access type {access}, which this evaluator does not support")
            unit = FieldUnit(
                entry.name.rstrip("_"),
                bit,
                entry.bits,
                ACCESS_BYTES[AccessType(access)],
                flags & UPDATE_RULE_BITS,
                **where,
            )
            declare(ev, entry.name, unit, frame)
        bit += entry.bits


@runs(*CREATED_BITS)
def _create_fixed_field(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    source, index, name = term.args
    bits, scale = CREATED_BITS[term.op.name]
    at = scale * (yield from integer(ev, index, frame))
    yield from _buffer_field(ev, source, at, bits, name, frame)


@runs("CreateField")
def _create_field(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    source, index, count, name = term.args
    at, bits = (yield from integer(ev, index, frame)), (yield from integer(ev, count, frame))
    node = yield from _buffer_field(ev, source, at, bits, name, frame)
    node.object.as_buffer = True


def _buffer_field(ev: Evaluator, source: Term, bit: int, bits: int, name: str, frame: Frame) -> Steps:
    buffer = yield from data(ev, source, frame)
    if not isinstance(buffer, bytearray):
        raise AmlError(f"field {name} of what is no buffer")
    if not 0 < bits <= 8 * len(buffer) - bit:
        raise AmlError(f"field {name}, bits {bit} to {bit + bits - 1}, is not in a buffer of {len(buffer)} bytes")
    return declare(ev, name, BufferField(buffer, bit, bits), frame)
