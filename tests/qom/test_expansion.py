"""query-cpu-model-expansion beside recordings of QEMU 7.2."""

from __future__ import annotations

from pathlib import Path

import pytest

from emu.cpu_models.cpu import MODEL_CLASSES, X86Cpu
from emu.cpu_models.engine import ENGINE_FEATURES, OFF_BY_DEFAULT
from emu.cpu_models.expansion import expand
from emu.cpu_models.features import BIT_OF, PUBLISHED
from emu.cpu_models.versions import ALIASES
from emu.qom import ObjectError

RECORDED_FILE = Path(__file__).with_name("recorded_expansion.txt")
LINES = [line.split(" | ") for line in RECORDED_FILE.read_text().splitlines() if not line.startswith("#")]


def true_bits(props) -> set[str]:
    return {name for name in BIT_OF if props[name]}


def test_every_model_is_recorded():
    assert {model for model, *_ in LINES} == set(MODEL_CLASSES) - {"max", "host", *ALIASES}


@pytest.mark.parametrize("alias, version", [("Haswell", "Haswell-v1"), ("Haswell-noTSX", "Haswell-v2"), ("EPYC-IBPB", "EPYC-v2"),
                                            ("Skylake-Server-noTSX-IBRS", "Skylake-Server-v3")])  # fmt: skip
def test_a_name_without_a_number_stands_for_a_version(alias, version):
    assert ALIASES[alias] == version
    assert expand("static", alias) == expand("static", version)


@pytest.mark.parametrize("model, identity, model_id, bits", LINES, ids=[line[0] for line in LINES])
@pytest.mark.parametrize("kind", ["static", "full"])
def test_bits_and_identity_are_qemus(kind, model, identity, model_id, bits):
    vendor, *numbers = identity.split()
    props = expand(kind, model)["props"]
    assert true_bits(props) == set(bits.split()) - OFF_BY_DEFAULT
    assert (props["vendor"] or "-", props["model-id"]) == (vendor, model_id)
    names = ("family", "model", "stepping", "min-level", "min-xlevel")
    assert [props[name] for name in names] == [int(number, 0) for number in numbers]


def test_static_is_named_base_and_holds_only_what_makes_the_model():
    expanded = expand("static", "Haswell")
    assert expanded["name"] == "base"
    assert set(expanded["props"]) == {"vendor", "family", "model", "stepping", "model-id", "min-level", "min-xlevel", *BIT_OF}


def test_full_keeps_the_name_and_lists_what_a_user_can_set():
    expanded = expand("full", "Haswell")
    assert expanded["name"] == "Haswell"
    assert expanded["props"]["level"] == 0xD and expanded["props"]["apic-id"] == 0xFFFF_FFFF
    assert expanded["props"]["realized"] is False and expanded["props"]["socket-id"] == -1
    assert PUBLISHED <= set(expanded["props"])
    assert expanded["props"]["sse4_1"] is expanded["props"]["sse4.1"] is True
    assert not {"unavailable-features", "feature-words", "hotplugged", "type", "avx512_bf16"} & set(expanded["props"])


def test_static_expansion_given_back_to_base_is_the_model_again():
    props = expand("static", "Westmere")["props"]
    assert expand("static", "base", props)["props"] == props


def test_asked_for_properties_change_the_answer_and_raise_levels():
    props = expand("full", "486", {"arat": True, "vme": True})["props"]
    assert props["arat"] and props["vme"] and props["level"] == props["min-level"] == 6


def test_bits_that_the_engine_lacks_are_shown_as_asked_for():
    assert "avx2" not in ENGINE_FEATURES and expand("static", "Haswell")["props"]["avx2"]


def test_max_and_host_are_what_the_engine_has():
    bits = true_bits(expand("static", "max")["props"])
    assert bits == ENGINE_FEATURES - {"ht", "cmp-legacy"} and true_bits(expand("static", "host")["props"]) == bits


@pytest.mark.parametrize("model, properties, text", [
    ("nope", {}, "CPU model 'nope' not found"),
    ("qemu64", {"foo": True}, "Property 'qemu64-x86_64-cpu.foo' not found"),
    ("qemu64", {"sse": "junk"}, "Invalid parameter type for 'sse', expected: boolean"),
    ("qemu64", {"realized": True}, "Property 'qemu64-x86_64-cpu.realized' is not writable"),
])  # fmt: skip
def test_wrong_model_or_property_is_refused(model, properties, text):
    with pytest.raises(ObjectError) as caught:
        expand("static", model, properties)
    assert str(caught.value) == text


def test_expansion_leaves_the_models_alone():
    before = expand("static", "qemu64")
    expand("static", "qemu64", {"sse": False})
    assert expand("static", "qemu64") == before
    assert isinstance(MODEL_CLASSES["qemu64"](), X86Cpu)
