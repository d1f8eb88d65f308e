"""QMP commands as typed Python functions.

    @command("cpu-add")
    def cpu_add(vm: Context, id: int) -> None: ...

The signature is the schema: annotations give JSON types, defaults make arguments optional, Literal is an enumeration,
Annotated[dict, SHAPE] an object (emu/qmp/shapes.py), `properties` takes whatever else there is.  An argument command_line is
"command-line" on the wire.  What an answer is made of is said by returns=, a shape or a list of one.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from emu.qmp.errors import COMMAND_NOT_FOUND, QmpError
from emu.qmp.shapes import Shape

CHANGES_THE_MACHINE = frozenset((  # as a guest sees it: what the log of a recorded run has to hold
    "system_reset", "system_powerdown", "system_wakeup", "cpu-add", "device_add", "device_del", "inject-nmi", "send-key", "qom-set",
    "object-add", "object-del"))  # fmt: skip
JSON_TYPE_NAMES = {str: "string", int: "integer", bool: "boolean", float: "number", dict: "object", list: "array"}


@dataclass(frozen=True)
class Parameter:
    """One argument of a command."""

    name: str  # on the wire
    attribute: str
    type: Any
    optional: bool

    def check(self, value: Any) -> Any:
        """The value, if its JSON type fits.  Raises QmpError."""
        return check_type(self.name, value, self.type)


@dataclass(frozen=True)
class Command:
    """A command: its function and what its signature says."""

    name: str
    function: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    open_ended: bool  # takes members of any name
    negotiation: bool  # allowed before qmp_capabilities
    result: Any
    features: tuple[str, ...] = ()  # what query-qmp-schema says about it beyond its types

    def arguments(self, given: dict[str, Any]) -> dict[str, Any]:
        """Keyword arguments from the wire's "arguments".  Raises QmpError."""
        checked = {}
        rest = dict(given)
        for parameter in self.parameters:
            if parameter.name in rest:
                checked[parameter.attribute] = parameter.check(rest.pop(parameter.name))
            elif not parameter.optional:
                raise QmpError(f"Parameter '{parameter.name}' is missing")
        if rest and not self.open_ended:
            raise QmpError(f"Parameter '{next(iter(rest))}' is unexpected")
        return {**checked, **({"properties": rest} if self.open_ended else {})}

    def __call__(self, context: Any, given: dict[str, Any]) -> Any:
        arguments = self.arguments(given)
        result = self.function(context, **arguments)
        if self.name in CHANGES_THE_MACHINE and context.journal:
            context.journal("qmp", self.name, given)
        return {} if result is None else result


class Registry:
    """Commands by name, in order of registration."""

    def __init__(self) -> None:
        self._commands: dict[str, Command] = {}

    def command(self, name: str, *, negotiation: bool = False, returns: Any = None,
                features: tuple[str, ...] = ()) -> Callable[[Callable[..., Any]], Callable[..., Any]]:  # fmt: skip
        """Decorator: register a function; it stays callable from Python."""

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            self._commands[name] = _describe(name, function, negotiation, returns, features)
            return function

        return register

    def find(self, name: str) -> Command:
        """Raises QmpError CommandNotFound."""
        if name not in self._commands:
            raise QmpError(f"The command {name} has not been found", COMMAND_NOT_FOUND)
        return self._commands[name]

    def __contains__(self, name: str) -> bool:
        return name in self._commands

    def __iter__(self) -> Iterator[Command]:
        return iter(self._commands.values())


COMMANDS = Registry()
command = COMMANDS.command


def _describe(name: str, function: Callable[..., Any], negotiation: bool, returns: Any, features: tuple[str, ...]) -> Command:
    hints = typing.get_type_hints(function, include_extras=True)
    signature = list(inspect.signature(function).parameters.values())[1:]  # the first one is the context
    parameters = tuple(Parameter(p.name.replace("_", "-"), p.name, hints.get(p.name, Any), p.default is not p.empty)
                       for p in signature if p.name != "properties")  # fmt: skip
    open_ended = any(p.name == "properties" for p in signature)
    return Command(name, function, parameters, open_ended, negotiation, returns or hints.get("return"), features)


def check_type(name: str, value: Any, annotation: Any) -> Any:
    """`value` if its JSON type is the annotation's.  Raises QmpError in QEMU's words."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return check_shape(name, value, get_args(annotation)[1])
    if origin in (typing.Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        return check_type(name, value, members[0])
    if origin is Literal:
        if check_type(name, value, str) not in get_args(annotation):
            member = name.rpartition(".")[2]  # QEMU: only here without the way to it
            raise QmpError(f"Parameter '{member}' does not accept value '{value}'")
        return value
    expected = origin or annotation
    if expected not in JSON_TYPE_NAMES:
        return value
    fits = isinstance(value, (int, float) if expected is float else expected)
    if not fits or (expected in (int, float) and isinstance(value, bool)):
        raise QmpError(f"Invalid parameter type for '{name}', expected: {JSON_TYPE_NAMES[expected]}")
    if expected is list and get_args(annotation):
        return [check_type(f"{name}[{index}]", item, get_args(annotation)[0]) for index, item in enumerate(value)]
    return value


def check_shape(name: str, value: Any, shape: Shape) -> dict[str, Any]:
    """`value` if it is an object of that shape; its members are called name.member in messages."""
    rest = dict(check_type(name, value, dict))
    for label, kind in shape.members_of(value).items():
        member = label.removesuffix("?")
        if member in rest:
            check_type(f"{name}.{member}", rest.pop(member), kind)
        elif member == label:
            raise QmpError(f"Parameter '{name}.{member}' is missing")
    if rest:
        raise QmpError(f"Parameter '{name}.{next(iter(rest))}' is unexpected")
    return value
