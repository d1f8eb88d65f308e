"""-smbios type=N,field=text: which fields of the SMBIOS structures a user may choose (machines/smbios.py makes them)."""

from __future__ import annotations

import re
import uuid

from emu.cli.options import OptionError, key_values

FIELDS = {
    0: ("vendor", "version", "date", "release"),
    1: ("manufacturer", "product", "version", "serial", "uuid", "sku", "family"),
    2: ("manufacturer", "product", "version", "serial", "asset", "location"),
    3: ("manufacturer", "version", "serial", "asset", "sku"),
}
UUID_PATTERN = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
RELEASE_PATTERN = re.compile(r"(\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])\.(\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])")  # two bytes


def choice(text: str) -> tuple[int, dict[str, str]]:
    """The structure's type, and text by field.  Raises OptionError."""
    given = key_values(text)
    number = given.pop("type", "")
    if number not in map(str, FIELDS):
        raise OptionError("expected type=0 (BIOS), 1 (system), 2 (board) or 3 (chassis) and fields of it")
    fields = FIELDS[int(number)]
    for name in given:
        if name not in fields:
            raise OptionError(f"Invalid parameter '{name}'; type {number} has {', '.join(fields)}")
    if "uuid" in given:
        given["uuid"] = parse_uuid(given["uuid"])
    if not RELEASE_PATTERN.fullmatch(given.get("release", "0.0")):
        raise OptionError("Invalid release: expected two numbers up to 255, such as 1.16")
    return int(number), given


def parse_uuid(text: str) -> str:
    """In lower case.  Raises OptionError."""
    if not UUID_PATTERN.fullmatch(text):
        raise OptionError("failed to parse UUID string: wrong format")
    return str(uuid.UUID(text))
