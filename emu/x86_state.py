"""An x86 CPU record as plain data: registers by name, and what the soft TLB holds.

The TLB is saved because a guest could tell: entries outlive the page tables they came from until it flushes them, and filling one
sets accessed bits.  Translated code is not saved, nor is the jump cache; code that is looked up anew may fill entries that it had
not needed otherwise, so that two machines in the same state may differ in what is cached, and in nothing else.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jit.engine import Vcpu
from jit.state import NO_PAGE, USED_LIMIT

# Fields of the record that hold host addresses, caches, scratch values, or what follows from other fields.
NOT_STATE = frozenset((
    "left", "reserve", "clock", "mode", "mmu", "fault", "fault_code", "fault_address", "where", "leave", "link", "exit_code",
    "walk_physical", "walk_flags", "contended", "passed", "index", "engine", "helpers", "statistics", "tlb", "tlb_info", "jump",
    "tlb_used_count", "tlb_used", "large_first", "large_last", "jump_used_count", "jump_used", "code_dropped", "host_mxcsr", "scratch", "padding",
))  # fmt: skip
TLB_COLUMNS = ("page", "physical", "flags")
LARGE_PAGES = ("large_first", "large_last")  # the range that holds all entries of large pages


def save_record(vcpu: Vcpu) -> dict[str, Any]:
    """Registers by field name: 64-bit words, or lists of them."""
    state = vcpu.state
    return {name: _words(state[name]) for name in state.dtype.names if name not in NOT_STATE}


def load_record(vcpu: Vcpu, record: dict[str, Any]) -> None:
    """The reverse of `save_record`.  Raises OverflowError for what has not 64 bits."""
    for name, words in record.items():
        field = vcpu.state.dtype.fields[name][0]
        values = np.array(words, np.uint64)
        vcpu.state[name] = values.view(field.base).reshape(field.shape) if field.shape else values
    vcpu.state["passed"] = 0
    vcpu.call("update_mode")


def _words(value: Any) -> Any:
    """A field as an integer or a list of them; the members of structures one after the other."""
    plain = value.tolist()
    return [word for row in plain for word in (row if isinstance(row, tuple) else (row,))] if isinstance(plain, list) else plain


def save_tlb(vcpu: Vcpu) -> dict[str, list[int]]:
    """Entries in use, by columns; "index" is the place in the table."""
    info = vcpu.state["tlb_info"]
    used = np.flatnonzero(info["page"] != NO_PAGE)
    columns = {column: info[column][used].tolist() for column in TLB_COLUMNS}
    return {"index": used.tolist(), **columns, "large": [int(vcpu.state[name]) for name in LARGE_PAGES]}


def load_tlb(vcpu: Vcpu, tlb: dict[str, list[int]]) -> None:
    """The reverse of `save_tlb`, once the engine knows the memory map.  Raises IndexError, ValueError or OverflowError."""
    vcpu.call("flush_tlb", 0)
    state, index = vcpu.state, np.array(tlb["index"], np.int64)
    info = state["tlb_info"]
    for column in TLB_COLUMNS:
        info[column][index] = np.array(tlb[column], np.uint64)
    info["host"][index] = _hosts(vcpu, info["physical"][index])
    state["tlb_used"][: len(index[:USED_LIMIT])] = index[:USED_LIMIT]
    state["tlb_used_count"] = min(len(index), USED_LIMIT + 1)
    state["large_first"], state["large_last"] = tlb["large"]
    for place in index.tolist():
        vcpu.call("set_tags", place)


def _hosts(vcpu: Vcpu, physical: np.ndarray) -> np.ndarray:
    """Host addresses of physical ones; 0 where no memory is."""
    words, hosts = vcpu.engine.words, np.zeros_like(physical)
    for row in words["ranges"][: int(words["range_count"])]:
        inside = (physical >= row["start"]) & (physical < row["end"])
        hosts[inside] = physical[inside] - row["start"] + row["host"]
    return hosts
