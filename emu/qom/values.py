"""Values as users write them, and the errors that tell users what was wrong.

The words and messages are those that QEMU's clients match.
"""

from __future__ import annotations

import re
from typing import Any


class ObjectError(Exception):
    """A request on the object tree that cannot be carried out; the text is for the user."""


class NotFound(ObjectError):
    """A path, device or class that does not exist (QMP error class DeviceNotFound)."""


INTEGER_RANGES = {
    "uint8": (0, 0xFF), "uint16": (0, 0xFFFF), "uint32": (0, 0xFFFF_FFFF), "uint64": (0, (1 << 64) - 1),
    "int8": (-0x80, 0x7F), "int16": (-0x8000, 0x7FFF), "int32": (-0x8000_0000, 0x7FFF_FFFF),
    "int64": (-(1 << 63), (1 << 63) - 1), "int": (-(1 << 63), (1 << 63) - 1), "size": (0, (1 << 64) - 1),
}  # fmt: skip
SIZE_SUFFIXES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50, "e": 1 << 60}
TRUE_WORDS = ("on", "yes", "true", "y")
FALSE_WORDS = ("off", "no", "false", "n")


def parse_size(text: str, default_unit: str = "b") -> int:
    """Bytes of "512", "64k", "1.5G"; a bare number counts in `default_unit`.  Raises ValueError."""
    match = re.fullmatch(r"(0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?)([bkmgtpeBKMGTPE]?)", text.strip())
    if not match:
        raise ValueError(f"'{text}' is not a size")
    number, unit = match[1], SIZE_SUFFIXES[(match[2] or default_unit).lower()]
    return int(float(number) * unit) if "." in number else int(number, 0 if number[:2] in ("0x", "0X") else 10) * unit


def convert_bool(name: str, value: Any) -> bool:
    """True or False from a boolean or from QEMU's words for it."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in TRUE_WORDS + FALSE_WORDS:
        return value in TRUE_WORDS
    raise ObjectError(f"Parameter '{name}' expects 'on' or 'off'")


def convert_int(name: str, value: Any, kind: str) -> int:
    """An integer of type `kind` from a number or a numeric string."""
    try:
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise ValueError(value)
        number = value if isinstance(value, int) else parse_size(value) if kind == "size" else int(value, 0)
    except ValueError:
        raise ObjectError(f"Parameter '{name}' expects {'a size' if kind == 'size' else 'integer'}") from None
    low, high = INTEGER_RANGES[kind]
    if not low <= number <= high:
        raise ObjectError(f"Parameter '{name}' expects {kind}_t")
    return number


def convert(name: str, value: Any, kind: str) -> Any:
    """`value`, as a user wrote it, as a Python value of property type `kind`."""
    if kind == "bool":
        return convert_bool(name, value)
    if kind in INTEGER_RANGES:
        return convert_int(name, value, kind)
    if kind == "OnOffAuto" and value != "auto":
        return "on" if convert_bool(name, value) else "off"
    if kind in ("str", "string") and not isinstance(value, str):
        raise ObjectError(f"Invalid parameter type for '{name}', expected: string")
    return value


JSON_KINDS = {"bool": (bool, "boolean"), "str": (str, "string"), "string": (str, "string")}


def check_json_type(name: str, value: Any, kind: str) -> None:
    """qom-set is stricter than the command line: a JSON value must have the property's own JSON type."""
    python_type, json_name = (int, "integer") if kind in INTEGER_RANGES else JSON_KINDS.get(kind, (object, ""))
    if kind.startswith("link<"):
        python_type, json_name = str, "string"
    if not isinstance(value, python_type) or (python_type is int and isinstance(value, bool)):
        raise ObjectError(f"Invalid parameter type for '{name}', expected: {json_name}")
