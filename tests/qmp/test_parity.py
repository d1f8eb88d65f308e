"""The same command line, the same questions: QEMU 7.2 as it is installed, and a machine of ours.

QEMU's own schema judges our answers; what must be equal is compared with QEMU's answer.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from emu.cpu_models.cpu import MODEL_CLASSES
from emu.cpu_models.engine import OFF_BY_DEFAULT
from emu.cpu_models.features import BIT_OF
from emu.qmp.registry import COMMANDS

from .introspection import Schema, differences
from .peers import QEMU, Ours, Qemu

pytestmark = pytest.mark.skipif(QEMU is None, reason="qemu-system-x86_64 is not installed")

MACHINES = {
    "pc": ["-M", "pc", "-smp", "2,maxcpus=4,sockets=4,cores=1,threads=1"],
    "q35": ["-M", "q35", "-smp", "2,maxcpus=4", "-name", "guest", "-uuid", "12345678-1234-1234-1234-123456789abc"],
    "q35-dies": ["-M", "q35", "-smp", "3,maxcpus=24,sockets=2,dies=2,cores=3,threads=2", "-cpu", "Haswell"],
}
COMMON = ["-m", "96", "-accel", "tcg"]

NOT_IN_QEMU = {"cpu-add", "query-cpus", "query-events"}  # gone from it; older clients ask for them
# Where an answer cannot be QEMU's, and why.
EXCEPTIONS = {
    "query-chardev": "each has its own monitor",
    "query-chardev-backends": "fewer back ends",
    "query-command-line-options": "our options and their parameters",
    "query-commands": "QEMU has more",
    "query-cpu-definitions": "the engine has other features than TCG",
    "query-cpus-fast": "thread ids",
    "query-current-machine": "there is no suspend to RAM to wake up from",
    "query-kvm": "this host may have it, the guest never does",
    "query-machines": "only pc and q35",
    "query-migrate-capabilities": "ours are few",
    "query-pci": "QEMU's windows are sized otherwise until firmware has been there",
    "query-qmp-schema": "names are arbitrary; compared below",
    "query-tpm-models": "there is none",
    "query-tpm-types": "there is none",
    "query-version": "the package's name",
    "query-yank": "each has its own monitor",
    "x-query-irq": "the interval timer's line may have another level",
    "x-query-jit": "another engine",
}
# Parts of our schema that differ from QEMU's, and why.
SCHEMA_EXCEPTIONS = {
    "object-add arg.qom-type: builtin, not enum": "the types that there are follow from the classes",
}


class Pair:
    """Both, started alike."""

    def __init__(self, options: list[str], folder):
        self.qemu, self.ours = Qemu([*options, *COMMON], folder), Ours([*options, *COMMON])
        self.qemu_schema = Schema(self.qemu.query("query-qmp-schema"))
        self.our_schema = Schema(self.ours.query("query-qmp-schema"))

    def both(self, command: str, **arguments: Any) -> tuple[Any, Any]:
        """QEMU's answer and ours."""
        return self.qemu.query(command, **arguments), self.ours.query(command, **arguments)

    def close(self):
        self.qemu.close()
        self.ours.close()


@pytest.fixture(scope="module", params=MACHINES)
def pair(request, tmp_path_factory):
    pair = Pair(MACHINES[request.param], tmp_path_factory.mktemp("qemu"))
    yield pair
    pair.close()


@pytest.fixture(scope="module")
def q35(tmp_path_factory):
    pair = Pair(MACHINES["q35"], tmp_path_factory.mktemp("qemu"))
    yield pair
    pair.close()


def plain_queries() -> list[str]:
    """Queries that need no argument."""
    queries = [c.name for c in COMMANDS if c.name.startswith(("query-", "x-query-")) and all(p.optional for p in c.parameters)]
    return sorted(set(queries) - NOT_IN_QEMU)


@pytest.mark.parametrize("command", plain_queries())
def test_answers_fit_qemus_schema(pair, command):
    answer = pair.ours.execute(command)
    if "error" in answer:
        assert answer == pair.qemu.execute(command)
    else:
        assert list(pair.qemu_schema.problems(pair.qemu_schema[command]["ret-type"], answer["return"], command)) == []


@pytest.mark.parametrize("command", [each for each in plain_queries() if each not in EXCEPTIONS])
def test_answers_are_qemus(pair, command):
    assert pair.ours.execute(command) == pair.qemu.execute(command)


def optional_members(answer: Any) -> set[str]:
    """Names of the members of an object, or of the elements of a list."""
    return set().union(*map(optional_members, answer)) if isinstance(answer, list) else set(answer) if isinstance(answer, dict) else set()


@pytest.mark.parametrize("command", ["query-cpus-fast", "query-cpu-definitions", "query-machines", "query-version", "query-pci",
                                     "query-current-machine", "query-kvm", "query-command-line-options"])  # fmt: skip
def test_members_that_qemu_answers_are_there(pair, command):
    theirs, ours = pair.both(command)
    assert optional_members(theirs) - {"help", "default"} == optional_members(ours)


# -- CPUs


def present_cpus(peer) -> list[dict[str, Any]]:
    """Without the numbers of host threads."""
    return [{**cpu, "thread-id": 0} for cpu in peer.query("query-cpus-fast")]


def test_present_cpus_are_qemus(pair):
    assert present_cpus(pair.ours) == present_cpus(pair.qemu)


def test_plugged_cpus_are_listed_as_qemu_lists_them(pair):
    free = [slot for slot in pair.qemu.query("query-hotpluggable-cpus") if "qom-path" not in slot]
    for number, slot in enumerate((free[-1], free[0])):
        names = {"id": "c1"} if number else {}
        place = {name.replace("-", "_"): value for name, value in slot["props"].items()}
        for peer in (pair.qemu, pair.ours):
            peer.query("device_add", driver=slot["type"], **names, **place)
    theirs, ours = pair.both("query-hotpluggable-cpus")
    assert ours == theirs
    assert present_cpus(pair.ours) == present_cpus(pair.qemu)
    assert pair.ours.query("qom-get", path="c1", property="apic-id") == pair.qemu.query("qom-get", path="c1", property="apic-id")


def test_unplug_before_the_guest_runs_is_refused_as_by_qemu(pair):
    for peer in (pair.qemu, pair.ours):
        peer.events.clear()
    assert pair.ours.execute("device_del", id="c1") == pair.qemu.execute("device_del", id="c1")
    assert pair.ours.events == pair.qemu.events == []


def test_machines_are_described_as_qemu_describes_them(pair):
    theirs, ours = ({each["name"]: each for each in answer} for answer in pair.both("query-machines"))
    assert ours == {name: theirs[name] for name in ours}


def known_models(pair) -> dict[str, Any]:
    return {each["name"]: each for each in pair.qemu.query("query-cpu-definitions")}


def test_cpu_models_are_described_as_qemu_describes_them(q35):
    theirs, ours = known_models(q35), {each["name"]: each for each in q35.ours.query("query-cpu-definitions")}
    same = ("name", "typename", "static", "migration-safe", "deprecated")
    assert [[model[key] for key in same] for model in ours.values()] == [[theirs[name][key] for key in same] for name in ours]


@pytest.mark.parametrize("model", sorted(set(MODEL_CLASSES) - {"max", "host"}))
def test_feature_words_of_a_model_are_qemus(q35, model):
    theirs, ours = q35.both("query-cpu-model-expansion", type="static", model={"name": model})
    names = (set(BIT_OF) | {"vendor", "family", "model", "stepping", "model-id", "min-level", "min-xlevel"}) - OFF_BY_DEFAULT
    shared = sorted(names & set(theirs["model"]["props"]))
    assert len(shared) > 200
    assert {name: ours["model"]["props"][name] for name in shared} == {name: theirs["model"]["props"][name] for name in shared}


# -- the schema


def shared_commands() -> list[str]:
    return sorted(command.name for command in COMMANDS if command.name not in NOT_IN_QEMU)


@pytest.mark.parametrize("command", shared_commands())
def test_arguments_and_results_are_described_as_in_qemu(q35, command):
    ours, theirs = q35.our_schema, q35.qemu_schema
    mine, other = ours[command], theirs[command]
    found = set(differences(ours, theirs, mine["arg-type"], other["arg-type"], f"{command} arg"))
    if not never_answers(q35.ours, command):
        found |= set(differences(ours, theirs, mine["ret-type"], other["ret-type"], f"{command} ret"))
    assert found <= set(SCHEMA_EXCEPTIONS)
    assert mine.get("features") == other.get("features")


def never_answers(ours: Ours, command: str) -> bool:
    """Whether a query is about something that is not there: no answer, or an empty list, whose type does not matter."""
    return command in plain_queries() and ours.execute(command).get("return", []) == []


def test_events_are_described_as_in_qemu(q35):
    ours, theirs = q35.our_schema, q35.qemu_schema
    events = sorted(ours.names("event"))
    assert [found for name in events for found in differences(ours, theirs, ours[name]["arg-type"], theirs[name]["arg-type"], name)] == []


# -- the guest's part, played by port writes from the human monitors


BLOCKS = {"pc-i440fx-7.2": 0xAF00, "pc-q35-7.2": 0xCD8}
SELECTOR, FLAGS, COMMAND, DATA = 0, 4, 5, 8
OST_EVENT, OST_STATUS = 1, 2


@pytest.mark.parametrize("machine, base", BLOCKS.items())
def test_guests_reports_are_told_as_by_qemu(tmp_path, machine, base):
    with closing(Pair(["-M", machine, "-smp", "1,maxcpus=3,sockets=3,cores=1,threads=1"], tmp_path)) as pair:
        for peer in (pair.qemu, pair.ours):
            peer.query("device_add", driver="qemu64-x86_64-cpu", id="c1", socket_id=1, core_id=0, thread_id=0)
            peer.hmp(f"o/w {base} 0")  # from the bitmap to the registers
            peer.query("device_del", id="c1")
            for slot, source, status in ((1, 3, 0x84), (2, 0x103, 0x99)):
                for register, size, value in ((SELECTOR, "w", slot), (COMMAND, "b", OST_EVENT), (DATA, "w", source),
                                              (COMMAND, "b", OST_STATUS), (DATA, "w", status)):  # fmt: skip
                    peer.hmp(f"o/{size} {base + register} {value}")
        theirs, ours = ([event["data"] for event in peer.events if event["event"] == "ACPI_DEVICE_OST"]
                        for peer in (pair.qemu, pair.ours))  # fmt: skip
        assert ours == theirs and len(ours) == 2
        assert pair.ours.query("query-acpi-ospm-status") == pair.qemu.query("query-acpi-ospm-status")
        assert pair.ours.hmp(f"i/b {base + FLAGS}") == pair.qemu.hmp(f"i/b {base + FLAGS}")


def test_numa_nodes_are_in_every_answer_as_in_qemu(tmp_path):
    options = ["-M", "q35", "-smp", "2,maxcpus=4", "-object", "memory-backend-ram,id=m0,size=48M",
               "-object", "memory-backend-ram,id=m1,size=48M", "-numa", "node,memdev=m0", "-numa", "node,memdev=m1"]  # fmt: skip
    with closing(Pair(options, tmp_path)) as pair:
        for command in ("query-hotpluggable-cpus", "query-memory-size-summary"):
            theirs, ours = pair.both(command)
            assert ours == theirs
        assert pair.ours.hmp("info numa") == pair.qemu.hmp("info numa")
        assert present_cpus(pair.ours) == present_cpus(pair.qemu)
