"""-numa: which memory and which CPUs belong to which node, and how far apart nodes are.

    -numa node[,nodeid=N][,cpus=A[-B]]...[,mem=SIZE | ,memdev=ID]
    -numa cpu,node-id=N[,socket-id=S][,die-id=D][,core-id=C][,thread-id=T]
    -numa dist,src=N,dst=N,val=DISTANCE

Order of checks and texts are QEMU's.  Guests learn the nodes from ACPI (SRAT, SLIT, _PXM).
Not here: heterogeneous memory attributes (hmat-lb, hmat-cache), memory-only initiators.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from acpi.platform import MemoryRange
from emu.cli.options import OptionError, split_list
from emu.qom import ObjectError, convert
from machines.topology import LEVELS, PossibleCpu, Topology

MAX_NODES = 128
LOCAL_DISTANCE = 10  # ACPI 6.4, section 5.2.17
MEMORY_SPLIT = 8 << 20  # granule of nodes that have no size of their own, bytes
MEMBERS = {"node": {"nodeid": "uint16", "cpus": "str", "mem": "size", "memdev": "str"},
           "cpu": {"node-id": "int64", **{f"{level}-id": "int64" for level in LEVELS}},
           "dist": {"src": "uint16", "dst": "uint16", "val": "uint8"}}  # fmt: skip


@dataclass
class Node:
    """Bytes of memory, None where the option did not say; the id of its memory backend, if it has one."""

    memory: int | None = None
    backend: str = ""


@dataclass
class Numa:
    """The nodes of a machine: `cpu_nodes` by CPU index, `distances[from][to]`, empty without -numa dist."""

    nodes: list[Node] = field(default_factory=list)
    cpu_nodes: tuple[int, ...] = ()
    distances: list[list[int]] = field(default_factory=list)

    def firmware_item(self, topology: Topology) -> bytes:
        """fw_cfg's NUMA item: number of nodes, the node of each APIC id, bytes of memory of each node."""
        by_apic_id = [0] * topology.apic_id_limit
        for cpu in topology.possible_cpus:
            by_apic_id[cpu.apic_id] = cpu.node_id or 0
        numbers = [len(self.nodes), *by_apic_id, *(node.memory or 0 for node in self.nodes)]
        return struct.pack(f"<{len(numbers)}Q", *numbers)

    def split(self, ranges: Sequence[tuple[int, int]]) -> list[MemoryRange]:
        """RAM ranges (base, size), cut where one node's memory ends and the next one's begins."""
        pieces = []
        left = [node.memory or 0 for node in self.nodes]
        number = 0
        for base, size in ranges:
            while size:
                while not left[number]:
                    number += 1
                length = min(size, left[number])
                pieces.append(MemoryRange(base, length, number))
                base, size, left[number] = base + length, size - length, left[number] - length
        return pieces


def parse(options: Sequence[str], topology: Topology, memory: int, backends: Mapping[str, int],
          warn: Callable[[str], None]) -> Numa | None:  # fmt: skip
    """From the arguments of -numa, `memory` bytes of RAM and memory backends by id.  Raises OptionError."""
    if not options:
        return None
    reader = _Reader(topology, backends)
    for text in options:
        try:
            reader.read(text)
        except (OptionError, ObjectError) as error:
            raise OptionError(f"-numa {text}: {error}") from None
    return reader.complete(memory, warn)


class _Reader:
    """Options one after the other, then what they leave open."""

    def __init__(self, topology: Topology, backends: Mapping[str, int]):
        self.topology, self.backends = topology, backends
        self.nodes: dict[int, Node] = {}
        self.cpu_nodes: dict[int, int] = {}
        self.given: dict[tuple[int, int], int] = {}  # distances by source and destination

    def read(self, text: str) -> None:
        kind, *items = split_list(text)
        kind = kind.removeprefix("type=")
        if kind not in MEMBERS:
            raise OptionError(f"Parameter 'type' does not accept value '{kind}'")
        members: dict[str, Any] = {}
        ranges = []
        for item in items:
            name, _, value = item.partition("=")
            if name not in MEMBERS[kind]:
                raise OptionError(f"Invalid parameter '{name}'")
            members[name] = convert(name, value, MEMBERS[kind][name])
            if name == "cpus":
                ranges.append(value)
        if kind == "node":
            self._node(members, ranges)
        elif kind == "cpu":
            self._cpu(members)
        else:
            self._distance(members)

    # -- node
    def _node(self, members: dict[str, Any], ranges: list[str]) -> None:
        number = members.get("nodeid", len(self.nodes))
        if number >= MAX_NODES:
            raise OptionError(f"Max number of NUMA nodes reached: {number}")
        if number in self.nodes:
            raise OptionError(f"Duplicate NUMA nodeid: {number}")
        for index in (index for text in ranges for index in _cpu_range(text)):
            if index >= len(self.topology.possible_cpus):
                raise OptionError(f"CPU index ({index}) should be smaller than maxcpus ({len(self.topology.possible_cpus)})")
            self._assign(index, number)
        self.nodes[number] = Node(self._memory(members), members.get("memdev", ""))

    def _memory(self, members: dict[str, Any]) -> int | None:
        if "memdev" not in members:
            return members.get("mem")
        if "mem" in members:
            raise OptionError("numa configuration should use either mem= or memdev=,mixing both is not allowed")
        if members["memdev"] not in self.backends:
            raise OptionError(f"memdev={members['memdev']} is not the id of a memory-backend-ram object")
        return self.backends[members["memdev"]]

    # -- cpu
    def _cpu(self, members: dict[str, Any]) -> None:
        node = members.pop("node-id", None)
        if node is None:
            raise OptionError("Missing mandatory node-id property")
        if node not in self.nodes:
            raise OptionError(f"Invalid node-id={node}, NUMA node must be defined with -numa node,nodeid=ID before it's used with "
                              "-numa cpu,node-id=ID")  # fmt: skip
        if "die-id" in members and self.topology.dies == 1:
            raise OptionError("die-id is not supported")
        chosen = [cpu for cpu in self.topology.possible_cpus
                  if all(getattr(cpu, name.replace("-", "_")) == number for name, number in members.items())]  # fmt: skip
        if not chosen:
            raise OptionError("no match found")
        for cpu in chosen:
            self._assign(cpu.index, node)

    def _assign(self, index: int, node: int) -> None:
        if self.cpu_nodes.setdefault(index, node) != node:
            raise OptionError(f"CPU is already assigned to node-id: {self.cpu_nodes[index]}")

    # -- dist
    def _distance(self, members: dict[str, Any]) -> None:
        for name in ("src", "dst", "val"):
            if name not in members:
                raise OptionError(f"Parameter '{name}' is missing")
        source, destination, value = members["src"], members["dst"], members["val"]
        if source not in self.nodes or destination not in self.nodes:
            raise OptionError("Source/Destination NUMA node is missing. Please use '-numa node' option to declare it first.")
        if value < LOCAL_DISTANCE:
            raise OptionError(f"NUMA distance ({value}) is invalid, it shouldn't be less than {LOCAL_DISTANCE}.")
        if source == destination and value != LOCAL_DISTANCE:
            raise OptionError(f"Local distance of node {source} should be {LOCAL_DISTANCE}.")
        self.given[source, destination] = value

    # -- the whole
    def complete(self, memory: int, warn: Callable[[str], None]) -> Numa:
        for number in range(max(self.nodes, default=0)):
            if number not in self.nodes:
                raise OptionError(f"numa: Node ID missing: {number}")
        nodes = [self.nodes[number] for number in sorted(self.nodes)]
        _share_memory(nodes, memory)
        return Numa(nodes, tuple(self._nodes_of_cpus(warn)), self._distances())

    def _nodes_of_cpus(self, warn: Callable[[str], None]) -> Iterator[int]:
        """As the options say; whole sockets in turn when they say nothing, node 0 for those that they forget."""
        cpus = self.topology.possible_cpus
        if not self.cpu_nodes:
            yield from (cpu.socket_id % len(self.nodes) for cpu in cpus)
            return
        missing = [cpu for cpu in cpus if cpu.index not in self.cpu_nodes]
        if missing:
            warn(f"CPU(s) not present in any NUMA nodes: {', '.join(self._describe(cpu) for cpu in missing)}")
            warn("All CPU(s) up to maxcpus should be described in NUMA config, ability to start up with partial NUMA mappings is "
                 "obsoleted and will be removed in future")  # fmt: skip
        yield from (self.cpu_nodes.get(cpu.index, 0) for cpu in cpus)

    def _describe(self, cpu: PossibleCpu) -> str:
        ids = ", ".join(f"{name}: {number}" for name, number in self.topology.properties(cpu).items())
        return f"CPU {cpu.index} [{ids}]"

    def _distances(self) -> list[list[int]]:
        """The matrix, completed by symmetry.  QEMU: one asymmetrical pair, and all have to be given."""
        if not self.given:
            return []
        numbers = range(len(self.nodes))
        pairs = [(a, b) for a in numbers for b in numbers if a < b]
        for a, b in pairs:
            if (a, b) not in self.given and (b, a) not in self.given:
                raise OptionError(f"The distance between node {a} and {b} is missing, at least one distance value between each "
                                  "nodes should be provided.")  # fmt: skip
        both_ways = [(a, b) for a, b in pairs if {(a, b), (b, a)} <= self.given.keys()]
        asymmetrical = any(self.given[a, b] != self.given[b, a] for a, b in both_ways)
        if asymmetrical and both_ways != pairs:
            raise OptionError("At least one asymmetrical pair of distances is given, please provide distances for both directions "
                              "of all node pairs.")  # fmt: skip
        return [[LOCAL_DISTANCE if a == b else self.given.get((a, b)) or self.given[b, a] for b in numbers] for a in numbers]


def _cpu_range(text: str) -> range:
    """The CPU indices of "3" or "0-2"."""
    first, _, last = text.partition("-")
    if not first.isdecimal() or not (last or first).isdecimal() or int(last or first) < int(first):
        raise OptionError("Parameter 'cpus' expects a uint64 value or range")
    return range(int(first), int(last or first) + 1)


def _share_memory(nodes: list[Node], memory: int) -> None:
    """Nodes without any size share RAM evenly, as on QEMU's machine types before 5.1; otherwise sizes must add up."""
    if all(node.memory is None for node in nodes):
        share = memory // len(nodes) // MEMORY_SPLIT * MEMORY_SPLIT
        for node in nodes[:-1]:
            node.memory = share
        nodes[-1].memory = memory - share * (len(nodes) - 1)
    total = sum(node.memory or 0 for node in nodes)
    if total != memory:
        raise OptionError(f"total memory for NUMA nodes ({total:#x}) should equal RAM size ({memory:#x})")
