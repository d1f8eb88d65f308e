"""-numa: QEMU's rules and texts, and what the monitors, the CPUs and the ACPI tables show of it."""

from __future__ import annotations

import struct
from contextlib import closing

import pytest

from acpi.platform import MemoryRange
from emu.cli.options import OptionError
from emu.qmp import QmpError
from machines import Pc
from machines.config import PcConfig, from_keywords
from machines.topology import SmpRules
from tests.qmp.peers import QEMU, Ours, Qemu

MIB = 1 << 20
TWO_NODES = ("node,mem=64M", "node,mem=192M")


def config(*numa, smp="2,sockets=2,cores=2,maxcpus=4", **more) -> PcConfig:
    return from_keywords({"memory": "256M", "smp": smp, "numa": numa, **more}, SmpRules())


def nodes_of_cpus(*numa, **more):
    return config(*numa, warn=lambda message: None, **more).nodes.cpu_nodes


def test_without_the_option_there_are_no_nodes():
    assert config().nodes is None
    assert "node-id" not in config().topology.properties(config().topology.possible_cpus[0])


def test_sockets_go_to_the_nodes_in_turn_when_nobody_says_otherwise():
    assert nodes_of_cpus("node", "node") == (0, 0, 1, 1)
    assert nodes_of_cpus("node", "node", smp="1,sockets=3,maxcpus=3") == (0, 1, 0)


def test_cpus_are_named_by_index_or_by_place():
    assert nodes_of_cpus("node,cpus=0,cpus=2", "node,cpus=1,cpus=3") == (0, 1, 0, 1)
    assert nodes_of_cpus("node,cpus=0-2", "node,cpus=3") == (0, 0, 0, 1)
    assert nodes_of_cpus("node", "node", "cpu,node-id=1,socket-id=0", "cpu,node-id=0,socket-id=1,core-id=0",
                         "cpu,node-id=1,socket-id=1,core-id=1") == (1, 1, 0, 1)  # fmt: skip


def test_forgotten_cpus_are_on_node_0_with_a_warning():
    warnings = []
    made = config("node,cpus=0,cpus=2", "node", warn=warnings.append)
    assert made.nodes.cpu_nodes == (0, 0, 0, 0)
    assert warnings[0] == ("CPU(s) not present in any NUMA nodes: CPU 1 [socket-id: 0, core-id: 1, thread-id: 0], "
                           "CPU 3 [socket-id: 1, core-id: 1, thread-id: 0]")  # fmt: skip
    assert warnings[1].startswith("All CPU(s) up to maxcpus should be described in NUMA config")


def test_memory_is_named_by_size_or_by_backend_or_shared_evenly():
    def sizes(*numa, **more):
        return [node.memory // MIB for node in config(*numa, **more).nodes.nodes]

    assert sizes(*TWO_NODES) == [64, 192]
    assert sizes("node,memdev=a", "node,memdev=b", objects=["memory-backend-ram,id=a,size=100M",
                                                            "memory-backend-ram,id=b,size=156M"]) == [100, 156]  # fmt: skip
    assert sizes("node", "node", "node") == [80, 80, 96]
    assert sizes("node,mem=256M", "node,mem=0") == [256, 0]


def test_memory_of_a_node_may_straddle_the_pci_hole():
    split = config("node,mem=100M", "node,mem=156M").nodes.split([(0, 128 * MIB), (1 << 32, 128 * MIB)])
    assert split == [MemoryRange(0, 100 * MIB, 0), MemoryRange(100 * MIB, 28 * MIB, 1), MemoryRange(1 << 32, 128 * MIB, 1)]


def test_distances_are_completed_by_symmetry():
    assert config("node", "node").nodes.distances == []
    assert config("node", "node", "dist,src=0,dst=1,val=21").nodes.distances == [[10, 21], [21, 10]]
    both = ("dist,src=0,dst=1,val=21", "dist,src=1,dst=0,val=31")
    assert config("node", "node", *both).nodes.distances == [[10, 21], [31, 10]]


@pytest.mark.parametrize("numa, text", [
    ([*TWO_NODES[:1]], "total memory for NUMA nodes (0x4000000) should equal RAM size (0x10000000)"),
    (["node,nodeid=0", "node,nodeid=0"], "-numa node,nodeid=0: Duplicate NUMA nodeid: 0"),
    (["node,nodeid=200"], "-numa node,nodeid=200: Max number of NUMA nodes reached: 200"),
    (["node,nodeid=1"], "numa: Node ID missing: 0"),
    (["node,cpus=7"], "-numa node,cpus=7: CPU index (7) should be smaller than maxcpus (4)"),
    (["node,cpus=0-9"], "-numa node,cpus=0-9: CPU index (4) should be smaller than maxcpus (4)"),
    (["node,cpus=x"], "-numa node,cpus=x: Parameter 'cpus' expects a uint64 value or range"),
    (["node,cpus=3-1"], "-numa node,cpus=3-1: Parameter 'cpus' expects a uint64 value or range"),
    (["node,foo=1"], "-numa node,foo=1: Invalid parameter 'foo'"),
    (["foo"], "-numa foo: Parameter 'type' does not accept value 'foo'"),
    (["node,mem=128M,memdev=x"],
     "-numa node,mem=128M,memdev=x: numa configuration should use either mem= or memdev=,mixing both is not allowed"),
    (["cpu,node-id=0,socket-id=0"], "-numa cpu,node-id=0,socket-id=0: Invalid node-id=0, NUMA node must be defined with "
                                    "-numa node,nodeid=ID before it's used with -numa cpu,node-id=ID"),
    (["node", "cpu,socket-id=0"], "-numa cpu,socket-id=0: Missing mandatory node-id property"),
    (["node", "cpu,node-id=0,socket-id=9"], "-numa cpu,node-id=0,socket-id=9: no match found"),
    (["node", "cpu,node-id=0,die-id=0"], "-numa cpu,node-id=0,die-id=0: die-id is not supported"),
    (["node", "node", "cpu,node-id=0,core-id=0", "cpu,node-id=1,core-id=0"],
     "-numa cpu,node-id=1,core-id=0: CPU is already assigned to node-id: 0"),
    (["node", "dist,src=0,dst=1,val=20"], "-numa dist,src=0,dst=1,val=20: Source/Destination NUMA node is missing. "
                                          "Please use '-numa node' option to declare it first."),
    (["node", "node", "dist,src=0,dst=1,val=9"],
     "-numa dist,src=0,dst=1,val=9: NUMA distance (9) is invalid, it shouldn't be less than 10."),
    (["node", "dist,src=0,dst=0,val=20"], "-numa dist,src=0,dst=0,val=20: Local distance of node 0 should be 10."),
    (["node", "node", "dist,src=0,dst=1,val=300"], "-numa dist,src=0,dst=1,val=300: Parameter 'val' expects uint8_t"),
    (["node", "node", "dist,src=0,dst=1"], "-numa dist,src=0,dst=1: Parameter 'val' is missing"),
    (["node", "node", "node", "dist,src=0,dst=1,val=20"],
     "The distance between node 0 and 2 is missing, at least one distance value between each nodes should be provided."),
    (["node", "node", "node", "dist,src=0,dst=1,val=20", "dist,src=0,dst=2,val=20", "dist,src=1,dst=2,val=20",
      "dist,src=1,dst=0,val=30"], "At least one asymmetrical pair of distances is given, please provide distances for both "
                                  "directions of all node pairs."),
])  # fmt: skip
def test_what_cannot_be_is_refused_in_qemus_words(numa, text):
    with pytest.raises(OptionError) as error:
        config(*numa)
    assert str(error.value) == text


BACKENDS = ["-m", "256M", "-object", "memory-backend-ram,id=a,size=64M", "-object", "memory-backend-ram,id=b,size=192M"]


@pytest.mark.parametrize("options", [
    "-smp 2,sockets=2,cores=2,maxcpus=4 -numa node,memdev=a -numa node,memdev=b",
    "-smp 2,sockets=1,cores=4,maxcpus=4 -numa node,memdev=a,cpus=0,cpus=2 -numa node,memdev=b,cpus=1,cpus=3",
    "-smp 1,sockets=3,maxcpus=3 -numa node,memdev=a -numa node,memdev=b -numa cpu,node-id=1,socket-id=2",
    "-smp 4,sockets=2,dies=2,cores=1,maxcpus=4 -numa node,memdev=a -numa node,memdev=b,nodeid=1 "
    "-numa cpu,node-id=1,die-id=0 -numa cpu,node-id=0,die-id=1 -numa dist,src=0,dst=1,val=30",
    "-smp 3,sockets=3,maxcpus=3 -numa node,memdev=a -numa node -numa node,memdev=b",
])  # fmt: skip
def test_monitors_show_what_qemus_show(options, tmp_path):
    if QEMU is None:
        pytest.skip("needs qemu-system-x86_64")
    given = [*BACKENDS, *options.split()]
    with closing(Ours(given)) as mine, closing(Qemu(given, tmp_path)) as theirs:
        for show in (lambda peer: peer.query("query-hotpluggable-cpus"), lambda peer: peer.hmp("info numa"),
                     lambda peer: [cpu["props"] for cpu in peer.query("query-cpus-fast")]):  # fmt: skip
            assert show(mine) == show(theirs)


@pytest.fixture
def board():
    """Two sockets, each a node; CPUs 0 and 1 are there."""
    with Pc(config(*TWO_NODES, "dist,src=0,dst=1,val=21")) as vm:
        yield vm


def test_node_ids_are_in_props_and_in_the_cpu(board):
    assert [entry["props"]["node-id"] for entry in board.qmp.query_hotpluggable_cpus()] == [1, 1, 0, 0]
    assert board.qmp.query_cpus_fast()[0]["props"]["node-id"] == 0
    assert board.qmp.qom_get(path="/machine/unattached/device[0]", property="node-id") == 0


def test_info_numa_lists_cpus_as_they_come(board):
    board.qmp.device_add(driver="qemu64-x86_64-cpu", socket_id=1, core_id=1, thread_id=0)
    board.qmp.device_add(driver="qemu64-x86_64-cpu", socket_id=1, core_id=0, thread_id=0, node_id=1)
    assert board.hmp("info numa") == ("2 nodes\nnode 0 cpus: 0 1\nnode 0 size: 64 MB\nnode 0 plugged: 0 MB\n"
                                      "node 1 cpus: 3 2\nnode 1 size: 192 MB\nnode 1 plugged: 0 MB\n")  # fmt: skip


def test_a_wrong_node_id_is_refused(board):
    with pytest.raises(QmpError, match="^invalid node-id, must be 1$"):
        board.qmp.device_add(driver="qemu64-x86_64-cpu", socket_id=1, core_id=0, thread_id=0, node_id=0)


def test_tables_describe_the_nodes(board):
    platform = board.platform()
    assert (platform.numa_nodes, platform.numa_distances) == (2, [[10, 21], [21, 10]])
    assert [cpu.node for cpu in platform.cpus] == [0, 0, 1, 1]
    assert platform.memory == [MemoryRange(0, 64 * MIB, 0), MemoryRange(64 * MIB, 192 * MIB, 1)]


def test_firmware_gets_the_nodes_by_apic_id(board):
    item = board.config.nodes.firmware_item(board.topology)
    assert struct.unpack("<7Q", item) == (2, 0, 0, 1, 1, 64 * MIB, 192 * MIB)
