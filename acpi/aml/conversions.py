"""Implicit and explicit conversion between integers, strings and buffers (ACPI 6.5, section 19.3.5.7).

Where the specification leaves room, this is what ACPICA does, since firmware is tested against that.
"""

from __future__ import annotations

import re
from typing import Any

from .errors import AmlError
from .values import Package, Reference, described, type_of

_HEX = re.compile(r"\s*(?:0[xX])?0*([0-9a-fA-F]*)")
_NUMBER = re.compile(r"\s*(?:0[xX]0*([0-9a-fA-F]*)|0*([0-9]*))")


class IsReference(Exception):
    """A value has to be looked up first."""


def _wrong(value: Any, wanted: str) -> Exception:
    if isinstance(value, Reference):
        return IsReference()
    kind = type_of(value).name.replace("_", " ").lower()
    return AmlError(f"{described(value)} ({kind}) where {wanted} is needed")


class Conversions:
    """For integers of 32 or 64 bits."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.bytes = bits // 8
        self.mask = (1 << bits) - 1

    # ------------------------------------------------------------ implicit

    def to_integer(self, value: Any) -> int:
        """Strings are hexadecimal and end at the first other character, buffers little-endian."""
        if isinstance(value, int):
            return value & self.mask
        if isinstance(value, str):
            digits = _HEX.match(value)[1]  # type: ignore[index]
            return int(digits[: self.bytes * 2] or "0", 16)
        if isinstance(value, bytearray):
            if not value:
                raise AmlError("an empty buffer is no integer")
            return int.from_bytes(value[: self.bytes], "little")
        raise _wrong(value, "an integer")

    def to_string(self, value: Any) -> str:
        """Integers get all their hexadecimal digits, buffers 0x and two for each byte."""
        if isinstance(value, str):
            return value
        if isinstance(value, int):
            return f"{value & self.mask:0{self.bytes * 2}X}"
        if isinstance(value, bytearray):
            return " ".join(f"0x{byte:02X}" for byte in value)
        raise _wrong(value, "a string")

    def to_buffer(self, value: Any) -> bytearray:
        """Integers have 4 or 8 bytes, strings end with a NUL."""
        if isinstance(value, bytearray):
            return value
        if isinstance(value, int):
            return bytearray((value & self.mask).to_bytes(self.bytes, "little"))
        if isinstance(value, str):
            return bytearray(value.encode("latin-1") + b"\0")
        raise _wrong(value, "a buffer")

    def to_package(self, value: Any) -> Package:
        if isinstance(value, Package):
            return value
        raise _wrong(value, "a package")

    def to_data(self, value: Any) -> int | str | bytearray:
        """What logic and Concatenate take."""
        if isinstance(value, (int, str, bytearray)):
            return value
        raise _wrong(value, "an integer, string or buffer")

    def like(self, model: Any, value: Any) -> Any:
        """`value` as the type that `model` has."""
        for kind, convert in ((int, self.to_integer), (str, self.to_string), (bytearray, self.to_buffer)):
            if isinstance(model, kind):
                return convert(value)
        raise _wrong(model, "an integer, string or buffer")

    # ------------------------------------------------------------ explicit

    def parsed_integer(self, value: Any) -> int:
        """ToInteger: strings are decimal unless they begin with 0x."""
        if not isinstance(value, str):
            return self.to_integer(value)
        hexadecimal, decimal = _NUMBER.match(value).groups()  # type: ignore[union-attr]
        digits, base = (decimal, 10) if hexadecimal is None else (hexadecimal, 16)
        number = 0
        for digit in digits:
            more = number * base + int(digit, 16)
            if more > self.mask:
                break
            number = more
        return number

    def hex_string(self, value: Any) -> str:
        if isinstance(value, bytearray):
            return ",".join(f"0x{byte:02X}" for byte in value)
        return self.to_string(value)

    def decimal_string(self, value: Any) -> str:
        if isinstance(value, bytearray):
            return ",".join(map(str, value))
        return value if isinstance(value, str) else str(self.to_integer(value))
