"""Names, locals, arguments and references: what is read, and where a store goes (ACPI 6.5, sections 19.3.5.8 and 19.6)."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from .dispatch import Compute, Steps, computes, data, raw, runs
from .errors import AmlError
from .names import Path, short
from .opcodes import ObjectType
from .parser import Term
from .regions import write_buffer_field, write_field
from .values import (
    BufferField,
    ElementReference,
    FieldUnit,
    Frame,
    Node,
    NodeReference,
    Package,
    Reference,
    SlotReference,
    copied,
    type_of,
)

if TYPE_CHECKING:
    from .evaluator import Evaluator

MAX_REFERENCES = 16  # from one to the next; more are a circle
SLOTS = {f"Local{n}": ("locals", n) for n in range(8)} | {f"Arg{n}": ("args", n) for n in range(7)}


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A name in a package, looked up when somebody wants the element."""

    name: str
    scope: Path

    def __str__(self) -> str:
        return short(self.name)


# ---------------------------------------------------------------- reading


@runs("NameString")
def _name(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    return (yield from ev.fetch(ev.namespace.find(term.args[0], frame.scope), frame))


@runs("MethodCall")
def _call(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    node = ev.namespace.find(term.args[0], frame.scope)
    args = []
    for each in term.args[1:]:
        value = yield from ev.value(each, frame)
        if isinstance(value, Node):
            value = NodeReference(value)
        args.append(value)
    return (yield from ev.call(node, args, frame))


@computes(*SLOTS)
def _slot(term: Term) -> Compute:
    kind, number = SLOTS[term.op.name]
    slots = attrgetter(kind)

    def read(ev: Evaluator, frame: Frame) -> Any:
        value = slots(frame)[number]
        if value is None:
            raise AmlError(f"{term.op.name} has no value")
        return value

    return read


def slot_reference(term: Term, frame: Frame) -> SlotReference:
    kind, number = SLOTS[term.op.name]
    return SlotReference(frame.locals if kind == "locals" else frame.args, number)


def dereference(ev: Evaluator, reference: Reference, frame: Frame) -> Steps:
    """What a reference refers to."""
    if isinstance(reference, NodeReference):
        return (yield from ev.fetch(reference.node, frame))
    if isinstance(reference, SlotReference):
        return reference.slots[reference.number]
    assert isinstance(reference, ElementReference)
    element = reference.container[reference.number]
    if isinstance(element, Unresolved):
        element = yield from resolve(ev, element, frame)
    if element is None:
        raise AmlError(f"element {reference.number} of a package has no value")
    return ord(element) if isinstance(element, str) and isinstance(reference.container, str) else element


def resolve(ev: Evaluator, name: Unresolved, frame: Frame) -> Steps:
    """A name in a package: the value of data, a reference to anything else; its own text if there is no such object."""
    node = ev.namespace.lookup(name.name, name.scope)
    if node is None:
        return str(name)
    obj = yield from ev.settled(node, frame)
    if isinstance(obj, (FieldUnit, BufferField)):
        return (yield from ev.fetch(node, frame))
    return obj if isinstance(obj, (int, str, bytearray, Package)) else NodeReference(node)


@runs("RefOf")
def _ref_of(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    return (yield from place(ev, term.args[0], frame))


@runs("CondRefOf")
def _cond_ref_of(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    source, destination = term.args
    if source.op.name == "NameString" and ev.namespace.lookup(source.args[0], frame.scope) is None:
        return 0
    reference = yield from place(ev, source, frame)
    yield from store(ev, destination, reference, frame)
    return ev.convert.mask


@runs("DerefOf")
def _deref_of(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    value = yield from ev.value(term.args[0], frame)
    if isinstance(value, str):
        value = NodeReference(ev.namespace.find(value, frame.scope))
    if not isinstance(value, Reference):
        raise AmlError("DerefOf of what is no reference")
    return (yield from dereference(ev, value, frame))


@runs("Index")
def _index(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    source, number, destination = term.args
    home = None
    if source.op.name == "NameString" or source.op.name in SLOTS:
        home = yield from place(ev, source, frame)
    container = yield from data(ev, source, frame)
    at = ev.convert.to_integer((yield from data(ev, number, frame)))
    if not isinstance(container, (Package, bytearray, str)):
        raise AmlError("Index of what is no package, buffer or string")
    if at >= len(container):
        raise AmlError(f"index {at} is outside of {len(container)} elements")
    reference = ElementReference(container, at, home if isinstance(container, str) else None)
    yield from store(ev, destination, reference, frame)
    return reference


def place(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    """A reference to where a term is: a name, a local or argument, an element.  An argument that is a reference is its place."""
    if term.op.name == "NameString":
        return NodeReference(ev.namespace.find(term.args[0], frame.scope))
    if term.op.name in SLOTS:
        slot = slot_reference(term, frame)
        held = slot.slots[slot.number]
        return held if slot.slots is frame.args and isinstance(held, Reference) else slot
    value = yield from ev.value(term, frame)
    if isinstance(value, Node):
        value = NodeReference(value)
    if not isinstance(value, Reference):
        raise AmlError(f"{term.op.name} is no place in memory")
    return value


def node_of(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    """The named object that a term means, itself or by reference."""
    reference = yield from place(ev, term, frame)
    for _ in range(MAX_REFERENCES):
        if not isinstance(reference, (SlotReference, ElementReference)):
            break
        reference = yield from dereference(ev, reference, frame)
    if isinstance(reference, Node):
        return reference
    if isinstance(reference, str):
        return ev.namespace.find(reference, frame.scope)
    if not isinstance(reference, NodeReference):
        raise AmlError(f"{term.op.name} names no object")
    held = reference.node.object
    return held.node if isinstance(held, NodeReference) else reference.node


def object_of(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    """The object that SizeOf and ObjectType look at: references are looked through, methods are not called."""
    found = yield from place(ev, term, frame)
    for _ in range(MAX_REFERENCES):
        if not isinstance(found, Reference):
            return found.object if isinstance(found, Node) else found
        if isinstance(found, NodeReference):
            found = yield from ev.settled(found.node, frame)
        else:
            found = yield from dereference(ev, found, frame)
    raise AmlError("references lead to each other")


@runs("ObjectType")
def _object_type(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    if term.args[0].op.name == "Debug":
        return int(ObjectType.DEBUG)
    return int(type_of((yield from object_of(ev, term.args[0], frame))))


@runs("SizeOf")
def _size_of(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    found = yield from object_of(ev, term.args[0], frame)
    if not isinstance(found, (str, bytearray, Package)):
        raise AmlError("SizeOf of what is no string, buffer or package")
    return len(found)


# ---------------------------------------------------------------- writing


@runs("Store")
def _store(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    source, target = term.args
    value = yield from raw(ev, source, frame)
    yield from store(ev, target, value, frame)
    return value


@runs("CopyObject")
def _copy_object(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    value = yield from data(ev, term.args[0], frame)
    target = term.args[1]
    if target.op.name != "NameString":
        yield from store(ev, target, value, frame)
        return value
    node = ev.namespace.find(target.args[0], frame.scope)
    if isinstance(node.object, (FieldUnit, BufferField)):
        yield from store(ev, target, value, frame)
    else:
        node.object = copied(value)
    return value


def store(ev: Evaluator, target: Term | None, value: Any, frame: Frame) -> Steps:
    """Put a value where a target term says; a target that was left out takes nothing."""
    if target is None:
        return
    name = target.op.name
    if name in SLOTS:
        slot = slot_reference(target, frame)
        held = slot.slots[slot.number]
        if slot.slots is frame.args and isinstance(held, (NodeReference, SlotReference)):
            yield from store_through(ev, held, value, frame)
        else:
            slot.slots[slot.number] = NodeReference(value) if isinstance(value, Node) else copied(value)
    elif name == "Debug":
        yield ev.say(value, frame)
    else:
        yield from store_through(ev, (yield from place(ev, target, frame)), value, frame)


def store_through(ev: Evaluator, reference: Reference, value: Any, frame: Frame) -> Steps:
    if isinstance(reference, NodeReference):
        yield from store_named(ev, reference.node, value, frame)
    elif isinstance(reference, SlotReference):
        reference.slots[reference.number] = copied(value)
    elif isinstance(reference, ElementReference):
        yield from store_element(ev, reference, value, frame)


def store_element(ev: Evaluator, reference: ElementReference, value: Any, frame: Frame) -> Steps:
    container, number = reference.container, reference.number
    if isinstance(container, Package):
        container[number] = NodeReference(value) if isinstance(value, Node) else copied(value)
        return
    first = ev.convert.to_buffer((yield from ev.plain(value, frame)))[:1]
    if not first:
        raise AmlError("an empty buffer has no byte to store")
    byte = first[0]
    if isinstance(container, bytearray):
        container[number] = byte
    elif reference.home is not None:
        changed = container[:number] + chr(byte) + container[number + 1 :]
        if isinstance(reference.home, NodeReference):
            reference.home.node.object = changed
        else:
            yield from store_through(ev, reference.home, changed, frame)


def store_named(ev: Evaluator, node: Node, value: Any, frame: Frame) -> Steps:
    """Store into a named object: data keeps its type, and a buffer its length."""
    old = yield from ev.settled(node, frame)
    if isinstance(old, FieldUnit):
        yield from write_field(ev, old, (yield from ev.plain(value, frame)), frame)
    elif isinstance(old, BufferField):
        write_buffer_field(ev, old, (yield from ev.plain(value, frame)))
    elif isinstance(old, (int, str, bytearray)):
        new = ev.convert.like(old, (yield from ev.plain(value, frame)))
        if isinstance(old, bytearray) and old:
            old[:] = new[: len(old)].ljust(len(old), b"\0")
        else:
            node.object = copied(new)
    elif isinstance(old, Package):
        node.object = copied(ev.convert.to_package((yield from ev.plain(value, frame))))
    elif old is None or isinstance(old, Reference):
        node.object = NodeReference(value) if isinstance(value, Node) else copied(value)
    else:
        raise AmlError(f"{node} cannot be stored to")
