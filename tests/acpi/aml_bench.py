"""Small tables to run: `value_of` an expression, `run` some statements, `load` declarations."""

from __future__ import annotations

from typing import Any

from acpi.aml import Body, Method, Serialized, Table
from acpi.aml.evaluator import Evaluator
from acpi.tables import Oem, with_header


class Memory:
    """An address space of bytes that are zero until they are written; `log` are the accesses."""

    def __init__(self) -> None:
        self.bytes: dict[int, int] = {}
        self.log: list[str] = []

    def read(self, addr: int, size: int) -> int:
        value = int.from_bytes(bytes(self.bytes.get(addr + n, 0) for n in range(size)), "little")
        self.log.append(f"R{8 * size} {addr:x}={value:x}")
        return value

    def write(self, addr: int, size: int, value: int) -> None:
        self.log.append(f"W{8 * size} {addr:x}={value:x}")
        self.bytes |= {addr + n: byte for n, byte in enumerate(value.to_bytes(size, "little"))}


def table(*contents: Body, revision: int = 2, signature: bytes = b"DSDT") -> bytes:
    return with_header(signature, revision, Table(*contents).encode(), Oem())


def load(*contents: Body, revision: int = 2, **spaces: Any) -> Evaluator:
    return Evaluator(table(*contents, revision=revision), **spaces)


def run(*statements: Body, revision: int = 2) -> Any:
    """What a method of these statements returns."""
    return load(Method("MAIN", 0, Serialized, *statements), revision=revision).run("\\MAIN")
