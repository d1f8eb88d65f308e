"""CPU types: the -cpu string, property order, the engine's filter."""

from __future__ import annotations

import re

import pytest

from emu import qom
from emu.cpu_models import ENGINE_FEATURES, CpuConfig, Global, model_help, model_names, parse_cpu_option
from emu.cpu_models.cpu import MODEL_CLASSES, definition_info
from emu.cpu_models.features import BIT_OF
from emu.qom import ObjectError
from machines.topology import Topology


def make(option, user_globals=(), offered=ENGINE_FEATURES, warn=lambda message: None, **properties):
    config = CpuConfig(parse_cpu_option(option, warn), user_globals, offered=offered, warn=warn)
    cpu = config.create({name.replace("_", "-"): value for name, value in properties.items()})
    qom.realize(cpu)
    return cpu


def test_engine_table_names_only_known_features():
    assert set(BIT_OF) >= ENGINE_FEATURES


def test_every_model_definition_names_only_known_features():
    for cls in MODEL_CLASSES.values():
        assert set(BIT_OF) >= cls.model_definition.features, cls.name


def test_default_models_start_without_warnings():
    warnings = []
    for model in ("qemu64", "qemu32", "kvm64", "max", "base", "Nehalem", "Conroe"):
        make(model, warn=warnings.append)
    assert warnings == []


def test_minus_beats_plus_and_both_beat_assignment():
    cpu = make("qemu64,+popcnt,-popcnt,-pni,sse3=on")
    assert not cpu.get_property("popcnt")
    assert not cpu.get_property("sse3")


def test_names_have_aliases():
    cpu = make("qemu64,sse4_1=on,+sse4-2,xd=off")
    assert cpu.get_property("sse4.1") and cpu.get_property("sse4-1") and cpu.get_property("sse4_2")
    assert not cpu.get_property("nx") and not cpu.get_property("xd")


def test_plain_name_means_on():
    assert make("qemu64,popcnt").get_property("popcnt")


def test_mixing_styles_is_worth_a_warning():
    warnings = []
    make("qemu64,+cx8,cx8=off", warn=warnings.append)
    assert warnings == ['Ambiguous CPU model string. Don\'t mix both "+cx8" and "cx8=off"']


def test_filtered_feature_warns_once_and_shows_as_unavailable():
    warnings = []
    cpu = make("qemu64,+pcid", warn=warnings.append)
    assert warnings == ["TCG doesn't support requested feature: CPUID.01H:ECX.pcid [bit 17]"]
    assert cpu.get_property("unavailable-features") == ["pcid"]
    assert not cpu.get_property("pcid")


def test_enforce_refuses_what_is_filtered():
    with pytest.raises(ObjectError, match="^TCG doesn't support requested features$"):
        make("qemu64,+pcid,enforce")


def test_feature_without_its_requirement_is_dropped_silently():
    warnings = []
    cpu = make("qemu64,+xsaveopt", offered=ENGINE_FEATURES | {"xsaveopt"}, warn=warnings.append)
    assert not cpu.get_property("xsaveopt") and warnings == []


@pytest.mark.parametrize("option, text", [
    ("foo", "unable to find CPU model 'foo'"),
    ("", "-cpu option cannot be empty"),
    ("qemu64,foo=on", "can't apply global qemu64-x86_64-cpu.foo=on: Property 'qemu64-x86_64-cpu.foo' not found"),
    ("qemu64,+foo", "Property 'qemu64-x86_64-cpu.foo' not found"),
    ("qemu64,avx=maybe", "can't apply global qemu64-x86_64-cpu.avx=maybe: Parameter 'avx' expects 'on' or 'off'"),
    ("host", "CPU model 'host' requires KVM or HVF"),
])  # fmt: skip
def test_error_in_cpu_option_names_the_culprit(option, text):
    with pytest.raises(ObjectError) as error:
        make(option)
    assert str(error.value) == text


def test_last_global_wins_and_cpu_option_comes_after_user_globals():
    general_then_specific = [Global("x86_64-cpu", "phys-bits", "41"), Global("cpu", "phys-bits", "42")]
    assert make("qemu64", general_then_specific).phys_bits == 42
    cpu = make("qemu64,phys-bits=39", [Global("qemu64-x86_64-cpu", "phys-bits", "41")])
    assert cpu.phys_bits == 39


def test_global_of_another_type_is_ignored():
    assert make("qemu64", [Global("Haswell-x86_64-cpu", "family", "9")]).family == 15


def test_device_properties_come_after_globals():
    assert make("qemu64,family=6", family=7).family == 7


def test_setting_after_realize_is_refused():
    cpu = make("qemu64")
    with pytest.raises(ObjectError) as error:
        cpu.set_property("apic-id", 3)
    expected = "Attempt to set property 'apic-id' on anonymous device (type 'qemu64-x86_64-cpu') after it was realized"
    assert str(error.value) == expected


def test_tsc_freq_takes_metric_suffixes():
    assert make("qemu64,tsc-freq=2.5G").tsc_frequency == 2_500_000_000


def test_phys_bits_of_a_32_bit_cpu_follow_pse36():
    assert make("qemu32").phys_bits == 32
    assert make("pentium3").phys_bits == 36


def test_every_model_realizes_with_every_requirement_met():
    for name in model_names():
        if name != "host":
            assert make(name, offered=frozenset(BIT_OF)).unavailable_features == []


def test_definitions_list_what_the_engine_lacks():
    info = definition_info("Haswell")
    assert "avx2" in info["unavailable-features"] and info["typename"] == "Haswell-x86_64-cpu"
    assert definition_info("host")["unavailable-features"] == ["kvm"]
    assert definition_info("base") == {"name": "base", "typename": "base-x86_64-cpu", "unavailable-features": [],
                                       "static": True, "migration-safe": True, "deprecated": False}  # fmt: skip


def test_an_apic_id_beyond_xapics_needs_x2apic():
    with pytest.raises(ObjectError, match="^APIC ID 255 requires x2APIC feature in CPU$"):
        make("qemu64", apic_id=255)
    assert make("qemu64,+x2apic", apic_id=255).apic_id == 255 and make("qemu64", apic_id=254).apic_id == 254


def test_machines_with_such_ids_have_x2apic_in_all_models_unless_told_otherwise():
    for option, expected in (("qemu64", True), ("Nehalem", True), ("qemu64,-x2apic", False)):
        config = CpuConfig(parse_cpu_option(option), topology=Topology(sockets=256))
        cpu = config.create()
        cpu.expand()
        assert cpu.get_property("x2apic") is expected


def test_an_alias_says_what_it_stands_for():
    assert definition_info("Haswell")["alias-of"] == "Haswell-v1"
    assert definition_info("Haswell-noTSX")["alias-of"] == "Haswell-v2"
    assert "alias-of" not in definition_info("Haswell-v2")


def test_a_later_version_differs_from_the_one_before_it():
    first, second = (make(f"Haswell-v{number}", offered=frozenset(BIT_OF)) for number in (1, 2))
    assert first.features - second.features == {"hle", "rtm"}
    assert (first.stepping, second.stepping) == (4, 1)
    assert second.type_name == "Haswell-v2-x86_64-cpu"


def test_a_version_that_does_not_exist_is_refused():
    with pytest.raises(ObjectError, match="unable to find CPU model 'Haswell-v9'"):
        parse_cpu_option("Haswell-v9")


# Warnings of QEMU 7.2 for what its TCG lacks, in its order.
ICELAKE_ON_TCG = """
CPUID.01H:ECX.pcid [bit 17]            CPUID.01H:ECX.x2apic [bit 21]           CPUID.01H:ECX.tsc-deadline [bit 24]
CPUID.07H:EBX.invpcid [bit 10]         CPUID.07H:EBX.avx512f [bit 16]          CPUID.07H:EBX.avx512dq [bit 17]
CPUID.07H:EBX.rdseed [bit 18]          CPUID.07H:EBX.avx512cd [bit 28]         CPUID.07H:EBX.avx512bw [bit 30]
CPUID.07H:EBX.avx512vl [bit 31]        CPUID.07H:ECX.avx512vbmi [bit 1]        CPUID.07H:ECX.avx512vbmi2 [bit 6]
CPUID.07H:ECX.gfni [bit 8]             CPUID.07H:ECX.vpclmulqdq [bit 10]       CPUID.07H:ECX.avx512vnni [bit 11]
CPUID.07H:ECX.avx512bitalg [bit 12]    CPUID.07H:ECX.avx512-vpopcntdq [bit 14] CPUID.07H:EDX.spec-ctrl [bit 26]
CPUID.07H:EDX.arch-capabilities [bit 29] CPUID.07H:EDX.ssbd [bit 31]           CPUID.80000001H:ECX.3dnowprefetch [bit 8]
CPUID.80000008H:EBX.wbnoinvd [bit 9]   CPUID.0DH:EAX.xsavec [bit 1]            MSR(10AH).rdctl-no [bit 0]
MSR(10AH).ibrs-all [bit 1]             MSR(10AH).skip-l1dfl-vmentry [bit 3]    MSR(10AH).mds-no [bit 5]
MSR(10AH).pschange-mc-no [bit 6]       MSR(10AH).taa-no [bit 8]"""


def test_each_missing_feature_is_a_warning_in_qemus_order():
    expected = re.findall(r"\S+ \[bit \d+\]", ICELAKE_ON_TCG)
    missing = {where.rpartition(".")[2].split()[0] for where in expected}
    warnings = []
    make("Icelake-Server-v3", offered=frozenset(BIT_OF) - missing, warn=warnings.append)
    assert warnings == [f"TCG doesn't support requested feature: {where}" for where in expected]


def test_enforce_warns_and_refuses():
    warnings = []
    with pytest.raises(ObjectError, match="^TCG doesn't support requested features$"):
        make("Haswell,enforce", warn=warnings.append)
    assert "TCG doesn't support requested feature: CPUID.01H:ECX.pcid [bit 17]" in warnings


def test_help_lists_aliases_versions_and_flags():
    lines = model_help().splitlines()
    assert lines[:2] == ["Available CPUs:", "x86 486                   (alias configured by machine type)"]
    assert "x86 Broadwell-IBRS        (alias of Broadwell-v3)" in lines
    assert "x86 Broadwell-v2          Intel Core Processor (Broadwell, no TSX)" in lines
    assert "Recognized CPUID flags:" in lines and any(" x2apic " in line for line in lines)


def test_cpu_types_descend_from_device():
    assert qom.lineage(MODEL_CLASSES["Haswell"])[1:] == ["x86_64-cpu", "cpu", "device", "object"]
