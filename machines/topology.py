"""CPU topology: -smp to sockets, dies, cores, threads, and the ordered list of possible CPUs with their APIC ids.

The one source for QMP, ACPI, fw_cfg and CPUID.  APIC id fields: Intel SDM vol. 3A, 9.9.1 (bit widths rounded up to
powers of two, so ids can be sparse).  -smp follows QEMU 7.2.  NUMA nodes come from numa.py.  Not here: MPIDR of Arm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

SMP_MEMBERS = ("cpus", "sockets", "dies", "clusters", "cores", "threads", "maxcpus")
LEVELS = ("socket", "die", "core", "thread")  # of a place, which has a number at each


class TopologyError(ValueError):
    """An -smp that no machine, or not this machine, can have; the text is for the user."""


@dataclass(frozen=True)
class SmpRules:
    """What a machine type accepts."""

    machine: str = "pc-i440fx-7.2"
    max_cpus: int = 255
    dies_supported: bool = True
    clusters_supported: bool = False
    prefer_sockets: bool = False  # machine types before 6.2


@dataclass(frozen=True)
class SmpConfig:
    """A complete -smp: `cpus` present at start out of `maxcpus` possible ones."""

    cpus: int = 1
    sockets: int = 1
    dies: int = 1
    clusters: int = 1
    cores: int = 1
    threads: int = 1
    maxcpus: int = 1

    @classmethod
    def complete(cls, given: Mapping[str, int], rules: SmpRules = SmpRules(),
                 warn: Callable[[str], None] = lambda message: None) -> SmpConfig:  # fmt: skip
        """Fill in omitted members as QEMU 7.2 does.  Raises TopologyError."""
        if 0 in given.values():
            warn("Deprecated CPU topology (considered invalid): CPU topology parameters must be greater than zero")
        config = {member: given.get(member, 0) for member in SMP_MEMBERS}
        for member, supported in (("dies", rules.dies_supported), ("clusters", rules.clusters_supported)):
            if not supported and config[member] > 1:
                raise TopologyError(f"{member} not supported by this machine's CPU topology")
            config[member] = config[member] or 1
        _fill_omitted(config, rules.prefer_sockets)
        result = cls(**config)
        result._check(rules)
        return result

    @classmethod
    def parse(cls, text: str, rules: SmpRules = SmpRules(),
              warn: Callable[[str], None] = lambda message: None) -> SmpConfig:  # fmt: skip
        """From the argument of -smp: "4" or "2,sockets=2,maxcpus=4".  Raises TopologyError."""
        return cls.complete(parse_smp(text), rules, warn)

    @property
    def topology(self) -> Topology:
        return Topology(self.sockets, self.dies, self.clusters * self.cores, self.threads)

    @property
    def properties(self) -> dict[str, int]:
        """The value of the machine's "smp" property."""
        return {member: getattr(self, member) for member in SMP_MEMBERS}

    def _hierarchy(self, rules: SmpRules) -> str:
        shown = [m for m in SMP_MEMBERS[1:-1]
                 if (m != "dies" or rules.dies_supported) and (m != "clusters" or rules.clusters_supported)]  # fmt: skip
        return " * ".join(f"{member} ({getattr(self, member)})" for member in shown)

    def _check(self, rules: SmpRules) -> None:
        hierarchy = self._hierarchy(rules)
        if prod((self.sockets, self.dies, self.clusters, self.cores, self.threads)) != self.maxcpus:
            raise TopologyError("Invalid CPU topology: product of the hierarchy must match maxcpus: "
                                f"{hierarchy} != maxcpus ({self.maxcpus})")  # fmt: skip
        if self.maxcpus < self.cpus:
            raise TopologyError("Invalid CPU topology: maxcpus must be equal to or greater than smp: "
                                f"{hierarchy} == maxcpus ({self.maxcpus}) < smp_cpus ({self.cpus})")  # fmt: skip
        if not 0 < self.maxcpus <= rules.max_cpus:
            raise TopologyError(f"Invalid SMP CPUs {self.maxcpus}. The max CPUs supported by machine "
                                f"'{rules.machine}' is {rules.max_cpus}")  # fmt: skip


def parse_smp(text: str) -> dict[str, int]:
    """The members that "-smp TEXT" names; a bare number is "cpus".  Raises TopologyError."""
    given: dict[str, int] = {}
    for position, item in enumerate(text.split(",") if text else []):
        name, has_value, value = item.partition("=")
        if not has_value and position == 0:
            name, value = "cpus", item
        elif not has_value:
            raise TopologyError(f"Expected '=' after parameter '{name}'")
        if name not in SMP_MEMBERS:
            raise TopologyError(f"Parameter 'smp.{name}' is unexpected")
        try:
            given[name] = int(value, 0)
        except ValueError:
            raise TopologyError(f"Parameter 'smp.{name}' expects integer") from None
    return given


def _fill_omitted(config: dict[str, int], prefer_sockets: bool) -> None:
    """Give each omitted member its value: one, or what is left of maxcpus for the preferred level."""
    if config["cpus"] == 0 and config["maxcpus"] == 0:
        order: tuple[str, ...] = ("sockets", "cores", "threads")
        computed = None
    else:
        config["maxcpus"] = config["maxcpus"] or config["cpus"]
        preference = ("sockets", "cores") if prefer_sockets else ("cores", "sockets")
        computed = next((member for member in (*preference, "threads") if config[member] == 0), None)
        order = tuple(member for member in ("sockets", "cores", "threads") if member != computed)
    for member in order:
        config[member] = config[member] or 1
    levels = ("sockets", "dies", "clusters", "cores", "threads")
    if computed:
        config[computed] = config["maxcpus"] // prod(config[level] for level in levels if level != computed)
    config["maxcpus"] = config["maxcpus"] or prod(config[level] for level in levels)
    config["cpus"] = config["cpus"] or config["maxcpus"]


def field_width(count: int) -> int:
    """Bits that number `count` things from 0: none for a single one."""
    return (count - 1).bit_length()


@dataclass(frozen=True)
class PossibleCpu:
    """A place for a CPU.  `index` is slot number, cpu-index, ACPI UID and hot-plug selector at once."""

    index: int
    socket_id: int
    die_id: int
    core_id: int
    thread_id: int
    apic_id: int
    node_id: int | None = None  # NUMA node, if there are nodes

    @property
    def uid(self) -> int:
        return self.index


@dataclass(frozen=True)
class Topology:
    """Counts per level, and everything that follows from them."""

    sockets: int = 1
    dies: int = 1
    cores: int = 1
    threads: int = 1
    nodes: tuple[int, ...] = ()  # the NUMA node of each possible CPU, by index

    def with_nodes(self, nodes: tuple[int, ...]) -> Topology:
        """The same with its CPUs on NUMA nodes."""
        return replace(self, nodes=nodes)

    # APIC id layout: thread, core, die, package from bit 0 upwards; each shift is where the field starts
    @property
    def core_shift(self) -> int:
        return field_width(self.threads)

    @property
    def die_shift(self) -> int:
        return self.core_shift + field_width(self.cores)

    @property
    def package_shift(self) -> int:
        return self.die_shift + field_width(self.dies)

    @property
    def logical_per_die(self) -> int:
        return self.cores * self.threads

    @property
    def logical_per_package(self) -> int:
        return self.dies * self.cores * self.threads

    def apic_id(self, socket: int, die: int = 0, core: int = 0, thread: int = 0) -> int:
        return socket << self.package_shift | die << self.die_shift | core << self.core_shift | thread

    def ids_of_apic(self, apic_id: int) -> tuple[int, int, int, int]:
        """Socket, die, core and thread numbers that an APIC id spells, possible or not."""

        def field(low: int, high: int) -> int:
            return apic_id >> low & ((1 << (high - low)) - 1)

        return (apic_id >> self.package_shift, field(self.die_shift, self.package_shift),
                field(self.core_shift, self.die_shift), field(0, self.core_shift))  # fmt: skip

    @cached_property
    def possible_cpus(self) -> tuple[PossibleCpu, ...]:
        """Every place, in index order: threads vary fastest, then cores, dies, sockets."""
        places = [(s, d, c, t) for s in range(self.sockets) for d in range(self.dies)
                  for c in range(self.cores) for t in range(self.threads)]  # fmt: skip
        nodes = self.nodes or (None,) * len(places)
        return tuple(PossibleCpu(index, *place, self.apic_id(*place), nodes[index]) for index, place in enumerate(places))

    @cached_property
    def by_apic_id(self) -> dict[int, PossibleCpu]:
        return {cpu.apic_id: cpu for cpu in self.possible_cpus}

    @property
    def apic_id_limit(self) -> int:
        """One more than the highest possible APIC id (fw_cfg's and the firmware's table size)."""
        return self.possible_cpus[-1].apic_id + 1

    def properties(self, cpu: PossibleCpu) -> dict[str, int]:
        """The "props" of query-hotpluggable-cpus; die-id is there only when a socket has several, node-id when there are nodes."""
        die = {"die-id": cpu.die_id} if self.dies > 1 else {}
        node = {} if cpu.node_id is None else {"node-id": cpu.node_id}
        return {**node, "socket-id": cpu.socket_id, **die, "core-id": cpu.core_id, "thread-id": cpu.thread_id}
