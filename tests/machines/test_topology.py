"""-smp, APIC ids and the list of possible CPUs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines.topology import SmpConfig, SmpRules, Topology, TopologyError

Q35 = SmpRules("pc-q35-7.2", 288)
OLD = SmpRules("pc-q35-6.1", 288, prefer_sockets=True)
small = st.integers(1, 6)


def shape(text, rules=Q35):
    smp = SmpConfig.parse(text, rules)
    return smp.cpus, smp.sockets, smp.dies, smp.cores, smp.threads, smp.maxcpus


@pytest.mark.parametrize("text, expected", [
    ("", (1, 1, 1, 1, 1, 1)),
    ("4", (4, 1, 1, 4, 1, 4)),
    ("1,maxcpus=4", (1, 1, 1, 4, 1, 4)),
    ("1,maxcpus=4,sockets=4", (1, 4, 1, 1, 1, 4)),
    ("4,sockets=2", (4, 2, 1, 2, 1, 4)),
    ("8,cores=2", (8, 4, 1, 2, 1, 8)),
    ("8,cores=2,threads=2", (8, 2, 1, 2, 2, 8)),
    ("8,sockets=2,cores=2", (8, 2, 1, 2, 2, 8)),
    ("sockets=2,cores=3", (6, 2, 1, 3, 1, 6)),
    ("cpus=2,sockets=2,dies=2,cores=3,threads=2,maxcpus=24", (2, 2, 2, 3, 2, 24)),
    ("threads=2", (2, 1, 1, 1, 2, 2)),
    ("2,clusters=1", (2, 1, 1, 2, 1, 2)),
    ("0x2", (2, 1, 1, 2, 1, 2)),
])  # fmt: skip
def test_omitted_members_are_filled_in(text, expected):
    assert shape(text) == expected


@pytest.mark.parametrize("text, expected", [("1,maxcpus=4", (1, 4, 1, 1, 1, 4)), ("8,sockets=2", (8, 2, 1, 4, 1, 8))])
def test_machine_types_before_6_2_prefer_sockets(text, expected):
    assert shape(text, OLD) == expected


@pytest.mark.parametrize("text, message", [
    ("4,sockets=1,cores=2,threads=1,maxcpus=2", "Invalid CPU topology: maxcpus must be equal to or greater than smp: "
     "sockets (1) * dies (1) * cores (2) * threads (1) == maxcpus (2) < smp_cpus (4)"),
    ("1,sockets=2,cores=2,threads=1,maxcpus=5", "Invalid CPU topology: product of the hierarchy must match maxcpus: "
     "sockets (2) * dies (1) * cores (2) * threads (1) != maxcpus (5)"),
    ("300", "Invalid SMP CPUs 300. The max CPUs supported by machine 'pc-q35-7.2' is 288"),
    ("4,clusters=2", "clusters not supported by this machine's CPU topology"),
    ("foo=1", "Parameter 'smp.foo' is unexpected"),
    ("2,sockets=a", "Parameter 'smp.sockets' expects integer"),
    ("4,sockets", "Expected '=' after parameter 'sockets'"),
])  # fmt: skip
def test_impossible_topology_is_refused_in_qemus_words(text, message):
    with pytest.raises(TopologyError) as error:
        SmpConfig.parse(text, Q35)
    assert str(error.value) == message


def test_zero_is_deprecated_and_means_omitted():
    warnings = []
    assert SmpConfig.parse("4,sockets=0", Q35, warnings.append).cores == 4
    assert warnings == ["Deprecated CPU topology (considered invalid): "
                        "CPU topology parameters must be greater than zero"]  # fmt: skip


def test_apic_ids_are_sparse_when_counts_are_no_powers_of_two():
    topology = Topology(sockets=2, dies=2, cores=3, threads=2)
    assert topology.possible_cpus[23].apic_id == 29
    assert topology.apic_id_limit == 30
    assert topology.ids_of_apic(29) == (1, 1, 2, 1)


def test_die_id_is_shown_only_with_several_dies():
    flat, layered = Topology(2, 1, 1, 1), Topology(1, 2, 1, 1)
    assert flat.properties(flat.possible_cpus[1]) == {"socket-id": 1, "core-id": 0, "thread-id": 0}
    assert layered.properties(layered.possible_cpus[1]) == {"socket-id": 0, "die-id": 1, "core-id": 0, "thread-id": 0}


@given(small, small, small, small)
def test_index_and_apic_id_name_the_same_place(sockets, dies, cores, threads):
    topology = Topology(sockets, dies, cores, threads)
    cpus = topology.possible_cpus
    assert len(cpus) == sockets * dies * cores * threads
    assert [cpu.index for cpu in cpus] == list(range(len(cpus)))
    assert [cpu.apic_id for cpu in cpus] == sorted(topology.by_apic_id)
    for cpu in cpus:
        assert topology.ids_of_apic(cpu.apic_id) == (cpu.socket_id, cpu.die_id, cpu.core_id, cpu.thread_id)


def plain_apic_id(counts, numbers):
    """Fields side by side, each as wide as its highest number needs; the socket is what is left at the top."""
    value, position = 0, 0
    for count, number in zip(reversed(counts), reversed(numbers), strict=True):
        value += number << position
        width = 0
        while 2**width < count:
            width += 1
        position += width
    return value


@given(st.tuples(small, small, small, small))
def test_apic_ids_are_fields_side_by_side(counts):
    for cpu in Topology(*counts).possible_cpus:
        numbers = (cpu.socket_id, cpu.die_id, cpu.core_id, cpu.thread_id)
        assert cpu.apic_id == plain_apic_id(counts, numbers)


@given(small, small, small, small)
def test_package_of_an_apic_id_is_found_by_the_package_shift(sockets, dies, cores, threads):
    topology = Topology(sockets, dies, cores, threads)
    assert {cpu.apic_id >> topology.package_shift for cpu in topology.possible_cpus} == set(range(sockets))


def test_smp_property_has_all_members():
    assert SmpConfig.parse("2,maxcpus=4").properties == {
        "cpus": 2, "maxcpus": 4, "threads": 1, "cores": 4, "dies": 1, "sockets": 1, "clusters": 1}  # fmt: skip
