"""CPUID of the models beside recordings of QEMU 7.2, and what the topology changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from emu import qom
from emu.cpu_models import CpuConfig, parse_cpu_option
from emu.cpu_models.engine import OFF_BY_DEFAULT
from emu.cpu_models.features import BIT_OF
from machines.topology import SmpConfig, Topology

RECORDED_FILE = Path(__file__).with_name("recorded_cpuid.txt")


def load_recordings() -> dict[str, dict[tuple[int, int], tuple[int, ...]]]:
    recordings: dict[str, dict[tuple[int, int], tuple[int, ...]]] = {}
    for line in RECORDED_FILE.read_text().splitlines():
        if line.startswith("["):
            current = recordings.setdefault(line.strip("[]"), {})
        elif not line.startswith("#"):
            where, values = line.split(": ")
            leaf, subleaf = where.split(".")
            current[int(leaf, 16), int(subleaf)] = tuple(int(value, 16) for value in values.split())
    return recordings


RECORDED = load_recordings()
LEAVES = sorted({where for recording in RECORDED.values() for where in recording})


def features_in(recording) -> set[str]:
    """Names of the feature bits that are set in a recording."""
    names = set()
    for name, (word, bit) in BIT_OF.items():
        if not word.is_cpuid:
            continue
        values = recording.get((word.leaf, word.subleaf or 0), (0, 0, 0, 0))
        if values[("EAX", "EBX", "ECX", "EDX").index(word.register)] >> bit & 1:
            names.add(name)
    return names


TCG_FEATURES = frozenset(features_in(RECORDED["max"]))
RECORDED_HYPERVISOR = ",hypervisor-signature=TCGTCGTCGTCG"


def make_cpu(option: str, topology: Topology | None = None, offered=TCG_FEATURES, **properties):
    config = CpuConfig(parse_cpu_option(option), topology=topology, offered=offered, warn=lambda message: None)
    cpu = config.create({"apic-id": 0, **properties})
    cpu.wanted |= cpu.model_definition.features & OFF_BY_DEFAULT
    qom.realize(cpu)
    return cpu


@pytest.mark.parametrize("model", ["qemu64", "qemu32", "Nehalem", "Haswell"])
def test_model_answers_as_recorded_when_the_engine_offers_what_tcg_does(model):
    cpu = make_cpu(model + RECORDED_HYPERVISOR)
    for leaf, subleaf in LEAVES:
        expected = RECORDED[model].get((leaf, subleaf), (0, 0, 0, 0))
        assert [hex(v) for v in cpu.cpuid(leaf, subleaf)] == [hex(v) for v in expected], f"{leaf:#x}.{subleaf}"


def test_max_is_everything_that_is_offered():
    cpu = make_cpu("max,svm=on,npt=on,vgif=on,svme-addr-chk=on,monitor=on,acpi=on" + RECORDED_HYPERVISOR)
    for leaf, subleaf in LEAVES:
        expected = RECORDED["max"].get((leaf, subleaf), (0, 0, 0, 0))
        assert [hex(v) for v in cpu.cpuid(leaf, subleaf)] == [hex(v) for v in expected], f"{leaf:#x}.{subleaf}"


@pytest.mark.parametrize("model, signature", [
    ("486", 0x480), ("pentium3", 0x673), ("kvm64", 0xF61), ("core2duo", 0x6FB), ("phenom", 0x100F23),
    ("athlon", 0x623), ("Skylake-Client", 0x506E3), ("EPYC", 0x800F12), ("Haswell", 0x306C4)])  # fmt: skip
def test_signature_spells_extended_family_and_model(model, signature):
    assert make_cpu(model).cpuid(1)[0] == signature


def test_two_cores_in_each_of_two_sockets_show_in_every_topology_leaf():
    topology = SmpConfig.parse("4,sockets=2,cores=2").topology
    cpu = make_cpu("qemu64", topology, **{"apic-id": 3})
    assert cpu.cpuid(1)[1] == 0x0302_0800
    assert cpu.cpuid(1)[3] & 0x1000_0000
    assert cpu.cpuid(0xB, 0) == (0, 1, 0x100, 3)
    assert cpu.cpuid(0xB, 1) == (1, 2, 0x201, 3)
    assert cpu.cpuid(0xB, 2) == (0, 0, 2, 3)
    assert cpu.cpuid(0x8000_0001)[2] & 2
    assert cpu.cpuid(0x8000_0008)[2] == 0x1001


def test_dies_add_leaf_1f_and_raise_the_level():
    topology = SmpConfig.parse("24,sockets=2,dies=2,cores=3,threads=2").topology
    cpu = make_cpu("Haswell", topology, **{"apic-id": 29})
    assert cpu.cpuid(0)[0] == 0x1F
    assert cpu.cpuid(0x1F, 0) == (1, 2, 0x100, 29)
    assert cpu.cpuid(0x1F, 1) == (3, 6, 0x201, 29)
    assert cpu.cpuid(0x1F, 2) == (4, 12, 0x502, 29)
    assert cpu.cpuid(0xB, 1) == (4, 6, 0x201, 29)


def test_intel_cache_leaf_counts_cores_and_sharing_ids():
    cpu = make_cpu("Haswell", SmpConfig.parse("8,cores=4,threads=2").topology)
    assert cpu.cpuid(4, 0)[0] == 0x121 | 3 << 26
    assert cpu.cpuid(4, 2)[0] == 0x143 | 3 << 26 | 1 << 14
    assert cpu.cpuid(4, 3)[0] == 0x163 | 3 << 26 | 7 << 14


def test_x2apic_id_is_whole_where_the_initial_id_has_eight_bits():
    cpu = make_cpu("qemu64", Topology(sockets=512), TCG_FEATURES | {"x2apic"}, **{"apic-id": 0x123})
    assert cpu.cpuid(1)[1] >> 24 == 0x23
    assert cpu.cpuid(0xB)[3] == 0x123


def test_osxsave_and_ospke_follow_cr4():
    cpu = make_cpu("max")
    assert not cpu.cpuid(1)[2] & 1 << 27
    assert cpu.cpuid(1, cr4=1 << 18)[2] & 1 << 27
    assert cpu.cpuid(7, cr4=1 << 22)[2] & 1 << 4


def test_xsave_size_follows_xcr0():
    cpu = make_cpu("Haswell")
    assert cpu.cpuid(0xD)[1] == 0x240
    assert cpu.cpuid(0xD, xcr0=7)[1] == 0x340


def test_hypervisor_signature_is_a_property():
    cpu = make_cpu("qemu64,hypervisor-signature=TCGTCGTCGTCG")
    assert cpu.cpuid(0x4000_0000) == (0x4000_0001, 0x54474354, 0x43544743, 0x47435447)
    assert make_cpu("qemu64,tcg-cpuid=off").cpuid(0x4000_0000) == (0, 0, 0, 0)


def test_hypervisor_is_one_that_linux_knows_and_offers_nothing():
    cpu = make_cpu("qemu64")
    assert cpu.cpuid(1)[2] & 1 << 31
    assert cpu.cpuid(0x4000_0000) == (0x4000_0001, 0x4B4D564B, 0x564B4D56, 0x4D)
    assert cpu.cpuid(0x4000_0001) == (0, 0, 0, 0)


def test_cpuid_0xb_can_be_hidden():
    assert make_cpu("qemu64,cpuid-0xb=off").cpuid(0xB) == (0, 0, 0, 0)


@pytest.mark.parametrize("option, leaf, level", [
    ("486,arat=on", 0, 6), ("phenom,fsgsbase=on", 0, 7), ("phenom,xsave=on,xsaveopt=on", 0, 0xD),
    ("486,arat=on,level=2", 0, 2), ("486,3dnow=on", 0x8000_0000, 0x8000_0001),
    ("486,invtsc=on", 0x8000_0000, 0x8000_0007), ("486,svm=on,npt=on", 0x8000_0000, 0x8000_000A),
    ("486,xstore=on", 0xC000_0000, 0xC000_0001)])  # fmt: skip
def test_levels_rise_with_features_unless_set(option, leaf, level):
    assert make_cpu(option).cpuid(leaf)[0] == level
