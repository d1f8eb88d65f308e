"""System resource affinity table (ACPI 6.4, section 5.2.16): which CPU and which memory is in which proximity domain.

Every possible CPU is listed as enabled, present or not, so that a hot-added one finds its node.
Not here: clock domains, generic initiators, GICC affinity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag

from .madt import MAX_XAPIC_ID, Entry
from .packed import Bytes3, u8, u16, u32, u64
from .tables import Table


class AffinityFlag(IntFlag):
    ENABLED = 1 << 0
    HOT_PLUGGABLE = 1 << 1


@dataclass(kw_only=True)
class ProcessorAffinity(Entry):
    entry_type = 0
    proximity_domain_low: u8
    apic_id: u8
    flags: u32 = AffinityFlag.ENABLED
    local_sapic_eid: u8 = 0
    proximity_domain_high: Bytes3 = bytes(3)
    clock_domain: u32 = 0


@dataclass(kw_only=True)
class MemoryAffinity(Entry):
    entry_type = 1
    proximity_domain: u32 = 0
    reserved: u16 = 0
    base_address: u64 = 0
    length_in_bytes: u64 = 0
    reserved2: u32 = 0
    flags: u32 = 0
    reserved3: u64 = 0


@dataclass(kw_only=True)
class X2ApicAffinity(Entry):
    entry_type = 2
    reserved: u16 = 0
    proximity_domain: u32
    x2apic_id: u32
    flags: u32 = AffinityFlag.ENABLED
    clock_domain: u32 = 0
    reserved2: u32 = 0


@dataclass(kw_only=True)
class Srat(Table):
    signature = b"SRAT"
    reserved: u32 = 1  # must be 1, for compatibility
    reserved2: u64 = 0
    entries: Sequence[Entry] = ()

    def tail(self) -> bytes:
        return b"".join(entry.to_bytes() for entry in self.entries)


def processor_affinity(apic_id: int, node: int) -> Entry:
    """Affinity of one CPU, in the form that its APIC id needs."""
    if apic_id > MAX_XAPIC_ID:
        return X2ApicAffinity(proximity_domain=node, x2apic_id=apic_id)
    return ProcessorAffinity(
        proximity_domain_low=node & 0xFF, apic_id=apic_id, proximity_domain_high=(node >> 8).to_bytes(3, "little")
    )
