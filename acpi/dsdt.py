"""The DSDT of a platform: differentiated system description table, ACPI 6.4, section 5.2.11.1."""

from __future__ import annotations

from . import pc, q35
from .aml import Table
from .platform import ICH9, PIIX4, Platform
from .tables import with_header

SIGNATURE = b"DSDT"
REVISION = 1  # integers have 32 bits

_DEFINITIONS = {PIIX4.name: pc.definition_block, ICH9.name: q35.definition_block}


def definition_block(platform: Platform) -> Table:
    """The AML tree; KeyError if nobody described the chipset."""
    return _DEFINITIONS[platform.chipset.name](platform)


def dsdt(platform: Platform) -> bytes:
    """The whole table, header and checksum included."""
    return with_header(SIGNATURE, REVISION, definition_block(platform).encode(), platform.oem)
