"""Runs AML on the host, step by step (ACPI 6.5, chapter 19), for tests of tables against device models.

    ev = Evaluator(dsdt, io=board.io)
    ev.run("\\\\_GPE._E02")
    for step in ev.steps("\\\\_SB.CPUS.C001._STA"):
        print(step)                                # anything may happen to the board between two steps

Sleep and Stall pass virtual time only.  Not here: Load, LoadTable, data table regions, and the address spaces whose
fields are message buffers (SMBus, IPMI, GPIO, serial buses).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .conversions import Conversions
from .declarations import OBJECTS
from .dispatch import HANDLERS, Steps, runs
from .errors import AmlError
from .names import Path, shown
from .namespace import Namespace
from .objects import MAX_METHOD_ARGUMENTS, RegionSpace
from .operators import COMPARE  # noqa: F401 (that module fills HANDLERS)
from .opcodes import BY_NAME
from .parser import Declarations, ParsedTable, Term, parse
from .references import MAX_REFERENCES, Unresolved, dereference, resolve
from .regions import read_buffer_field, read_field
from .spaces import ConfigurationPorts, Space
from .statements import Left, Returned, acquire, release
from .steps import DebugOutput, Notification, Slept, Statement, Step, Waiting
from .values import (
    BufferField,
    Container,
    FieldUnit,
    Frame,
    Lazy,
    Method,
    Mutex,
    Node,
    NodeReference,
    Package,
    Reference,
    copied,
)

MAX_DEPTH = 100
STA_PRESENT = 1
STA_FUNCTIONING = 8


class Run:
    """An evaluation in progress: iterate over its steps; `result` is there when they end."""

    def __init__(self, steps: Callable[[Run], Steps]) -> None:
        self.result: Any = None
        self.done = False
        self.quiet = False  # whether nobody looks at statements
        self._steps = steps(self)

    def __iter__(self) -> Iterator[Step]:
        return self

    def __next__(self) -> Step:
        try:
            return next(self._steps)
        except StopIteration as end:
            if not self.done:
                self.result, self.done = end.value, True
            raise StopIteration from None
        except RecursionError:
            raise AmlError("AML nests too deeply to be run") from None

    def finish(self) -> Any:
        """Run the rest; the result.  Raises AmlError if it waits for what nobody can give it now."""
        self.quiet = True
        for step in self:
            if isinstance(step, Waiting):
                raise AmlError(f"{step}, which nobody will free")
        return self.result


class Evaluator:
    """Loaded tables and the address spaces that their fields are in.

    `io`, `memory` and `pci_config` answer accesses.  Addresses of the last are segment << 32 | bus << 20 | device << 15 |
    function << 12 | offset; without it, PCI configuration goes through ports.  `spaces` has them by the numbers of
    RegionSpace and may be changed at any time.  `interfaces` are what _OSI says yes to.
    """

    def __init__(
        self,
        *tables: bytes,
        io: Space | None = None,
        memory: Space | None = None,
        pci_config: Space | None = None,
        interfaces: tuple[str, ...] = (),
        max_depth: int = MAX_DEPTH,
    ) -> None:
        given = {RegionSpace.SystemIO: io, RegionSpace.SystemMemory: memory, RegionSpace.PCI_Config: pci_config}
        self.spaces: dict[int, Space] = {number: space for number, space in given.items() if space is not None}
        if io is not None:
            self.spaces.setdefault(RegionSpace.PCI_Config, ConfigurationPorts(self.spaces))
        self.namespace = Namespace()
        self.interfaces, self.max_depth = interfaces, max_depth
        self.convert = Conversions(64)
        self.notifications: list[Notification] = []
        self.debug: list[Any] = []
        self.time_ns = 0
        # tables that came together may call each other's methods; one alone is parsed once for all evaluators
        self._known = Declarations() if len(tables) > 1 else None
        self._tables: list[ParsedTable] = []
        self._predefine()
        for table in tables:
            self.load(table)

    def _predefine(self) -> None:
        """Objects that the operating system makes, section 5.7."""
        self.namespace.add(("_GL_",), Mutex())
        self.namespace.add(("_OS_",), "Microsoft Windows NT")
        self.namespace.add(("_REV",), 2)
        self.namespace.add(("_OSI",), lambda name: self.convert.mask if name in self.interfaces else 0)

    def load(self, table: bytes) -> None:
        """Add a table, which may call the methods of those before it.  Raises AmlError."""
        parsed = parse(table, self._known)
        self._known = self._known or parsed.declarations.copy()
        if not self._tables:  # the first table says how wide integers are
            self.convert = Conversions(parsed.integer_bits)
        self._tables.append(parsed)
        Run(lambda run: self.body(parsed.terms, Frame(run))).finish()

    # ------------------------------------------------------------ the caller's side

    def run(self, path: str, *args: Any) -> Any:
        """Call a method or read an object; the value, with buffers as bytearray and packages as lists.

        Raises AmlError: no such name, AML that is malformed or breaks a rule, an opcode that is not known.
        """
        return self.steps(path, *args).finish()

    def steps(self, path: str, *args: Any) -> Run:
        """The same, one step after the other."""
        node = self.namespace[path]
        given = [_from_host(value) for value in args]

        def start(run: Run) -> Steps:
            frame = Frame(run)
            if isinstance(node.object, Method) or callable(node.object):
                result = yield from self.call(node, given, frame)
            else:
                result = yield from self.fetch(node, frame)
            if isinstance(result, NodeReference) and not isinstance(result.node.object, (Container, Method)):
                result = yield from self.fetch(result.node, frame)
            return (yield from self.finished(result, frame))

        return Run(start)

    def has(self, path: str) -> bool:
        return path in self.namespace

    def take_notifications(self) -> list[tuple[str, int]]:
        """What Notify told since the last call, as (path, value)."""
        taken, self.notifications = self.notifications, []
        return [(str(each.node), each.value) for each in taken]

    @property
    def held(self) -> list[str]:
        """Paths of the mutexes that somebody holds; one that a method forgot to release stays held."""
        return [str(node) for node in self.namespace if isinstance(node.object, Mutex) and node.object.depth]

    def initialize(self) -> None:
        """What an operating system does with loaded tables: _REG, and _INI of present devices (sections 6.5.1, 6.5.4)."""
        for node in [n for n in self.namespace if n.path[-1:] == ("_REG",)]:
            for space in self.spaces:
                self.run(str(node), space, 1)
        for scope in ((), ("_SB_",)):
            if (*scope, "_INI") in self.namespace.nodes:
                self.run(shown((*scope, "_INI")))
        hidden: list[Path] = []
        for device in self.namespace.devices():
            if any(device.path[: len(path)] == path for path in hidden):
                continue
            status = self.run(f"{device}._STA") if self.namespace.child(device, "_STA") else STA_PRESENT
            if not status & (STA_PRESENT | STA_FUNCTIONING):
                hidden.append(device.path)
            elif status & STA_PRESENT and self.namespace.child(device, "_INI"):
                self.run(f"{device}._INI")

    # ------------------------------------------------------------ running

    def value(self, term: Term, frame: Frame) -> Steps:
        """What a term is worth."""
        return HANDLERS[term.op.name](self, term, frame)

    def block(self, terms: list[Term], frame: Frame) -> Steps:
        """Statements in their order.  Errors get the place of the innermost one."""
        where, run = frame.where, frame.run
        for term in terms:
            if not run.quiet:
                yield Statement(where, term)
            try:
                yield from HANDLERS[term.op.name](self, term, frame)
            except AmlError as error:
                raise error.located(f"{where}, offset {term.at:#x}") from error.__cause__

    def body(self, terms: list[Term], frame: Frame) -> Steps:
        """The statements of a method or a table; what they return, None if nothing."""
        try:
            yield from self.block(terms, frame)
        except Returned as returned:
            return returned.value
        except Left as left:
            raise AmlError(f"{left} outside of a loop, in {frame.where}") from None
        return None

    def call(self, node: Node, args: list[Any], frame: Frame) -> Steps:
        """Run a method for `frame`; what it returns, None if nothing."""
        method = node.object
        if not isinstance(method, Method):
            return method(*args)
        if len(args) != method.arguments:
            raise AmlError(f"{node} takes {method.arguments} arguments, got {len(args)}")
        if frame.depth >= self.max_depth:
            raise AmlError(f"{node} is called {self.max_depth} calls deep")
        inner = Frame(frame.run, node.path, node, frame.depth + 1, args + [None] * (MAX_METHOD_ARGUMENTS - len(args)))
        if method.mutex:
            yield from acquire(self, method.mutex, str(node), inner)
        try:
            return (yield from self.body(method.term.body, inner))
        finally:
            for created in inner.created:
                self.namespace.remove(created)
            if method.mutex:
                release(method.mutex)

    def fetch(self, node: Node, frame: Frame) -> Steps:
        """The value of a name: data, the contents of a field, what a method returns; for anything else the node."""
        obj = node.object
        if isinstance(obj, Lazy):
            obj = yield from self.settled(node, frame)
        if obj is None or isinstance(obj, (int, str, bytearray, Package, Reference)):
            return obj
        if isinstance(obj, FieldUnit):
            return (yield from read_field(self, obj, frame))
        if isinstance(obj, BufferField):
            return read_buffer_field(self, obj)
        if isinstance(obj, Method) or callable(obj):
            return (yield from self.call(node, [], frame))
        return node

    def settled(self, node: Node, frame: Frame) -> Steps:
        """A node's object, after the evaluation that its declaration left for later."""
        if isinstance(node.object, Lazy):
            lazy = node.object
            node.object = None  # a declaration that needs itself finds nothing
            make = OBJECTS.get(lazy.term.op.name)
            inner = Frame(frame.run, lazy.scope, depth=frame.depth)
            node.object = yield from (make(self, lazy.term, inner) if make else self.value(lazy.term, inner))
        return node.object

    def plain(self, value: Any, frame: Frame) -> Steps:
        """An operand as data: references from Index and to locals are looked through."""
        for _ in range(MAX_REFERENCES):
            if not isinstance(value, Reference):
                return value
            value = yield from dereference(self, value, frame)
        raise AmlError("references lead to each other")

    def finished(self, value: Any, frame: Frame) -> Steps:
        """A result for the host: names inside packages become paths."""
        if isinstance(value, Package):
            elements = Package()
            for element in value:
                if isinstance(element, Unresolved):
                    element = yield from resolve(self, element, frame)
                elements.append((yield from self.finished(element, frame)))
            return elements
        if isinstance(value, Reference) and not isinstance(value, NodeReference):
            return (yield from self.finished((yield from self.plain(value, frame)), frame))
        if isinstance(value, (Node, NodeReference)):
            return str(value)
        return copied(value)

    # ------------------------------------------------------------ what happens besides

    def notify(self, node: Node, value: int, frame: Frame) -> Step:
        step = Notification(frame.where, node, value)
        self.notifications.append(step)
        return step

    def sleep(self, nanoseconds: int, frame: Frame) -> Step:
        self.time_ns += nanoseconds
        return Slept(frame.where, nanoseconds)

    def say(self, value: Any, frame: Frame) -> Step:
        self.debug.append(copied(value))
        return DebugOutput(frame.where, value)


@runs(*(BY_NAME.keys() - HANDLERS.keys()))
def _unsupported(ev: Evaluator, term: Term, frame: Frame) -> Steps:
    raise AmlError(f"{term.op.name} (opcode {term.op.code:02X}h) is nothing that this evaluator runs")
    yield


def _from_host(value: Any) -> Any:
    """Arguments of the host: bytes become buffers, lists packages."""
    if isinstance(value, (list, tuple)):
        return Package(map(_from_host, value))
    return bytearray(value) if isinstance(value, bytes) else int(value) if isinstance(value, int) else value
