"""What libvirt 9 asks a QEMU: once to learn what it can do, at every start of a guest, and for setvcpus.

Each conversation is replayed; where QEMU 7.2 answers without an error, so do we.  libvirt probes with -machine none:
test_none.py asks the same there.
"""

from __future__ import annotations

from typing import Any

from .peers import Peer

OPTIONS = ["-M", "q35,usb=off,dump-guest-core=off", "-smp", "1,maxcpus=4,sockets=4,cores=1,threads=1", "-m", "64", "-accel", "tcg",
           "-no-user-config"]  # fmt: skip
CPU = "qemu64-x86_64-cpu"
NOT_ALIKE = {"svm"}  # TCG has it, the engine not

# Types whose properties libvirt looks at if qom-list-types has them.
LOOKED_AT = """virtio-blk-pci virtio-net-pci virtio-scsi-pci virtio-gpu-pci vfio-pci scsi-hd ide-hd PIIX4_PM usb-host VGA qxl
    ICH9-LPC mch intel-iommu nvdimm pcie-root-port isa-serial isa-debug-exit""".split()
OBJECTS = ("memory-backend-file", "memory-backend-memfd", "memory-backend-ram", "max-x86_64-cpu")
PROBES: list[tuple[str, dict[str, Any]]] = [
    ("query-version", {}), ("query-target", {}), ("query-qmp-schema", {}), ("query-commands", {}), ("query-kvm", {}),
    ("qom-list-types", {}), ("query-machines", {}), ("query-cpu-definitions", {}), ("query-tpm-models", {}), ("query-tpm-types", {}),
    ("query-command-line-options", {}), ("query-migrate-capabilities", {}), ("query-sev-capabilities", {}),
    ("query-sgx-capabilities", {}), ("qom-list-properties", {"typename": "pc-q35-7.2-machine"}),
    ("query-cpu-model-expansion", {"type": "static", "model": {"name": "host"}}),
    ("query-cpu-model-expansion", {"type": "static", "model": {"name": "max", "props": {"migratable": False}}}),
    ("query-cpu-model-expansion", {"type": "full", "model": {"name": "max"}}),
]  # fmt: skip
START: list[tuple[str, dict[str, Any]]] = [
    ("query-migrate-capabilities", {}),
    ("migrate-set-capabilities", {"capabilities": [{"capability": "events", "state": True}]}),
    ("query-chardev", {}), ("query-hotpluggable-cpus", {}), ("query-cpus-fast", {}), ("query-iothreads", {}),
    ("query-named-block-nodes", {"flat": True}), ("qom-list", {"path": "/machine/peripheral"}), ("query-block", {}),
]  # fmt: skip


def errors(peer: Peer, requests: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, str]]:
    """Requests that are refused, with the class of the error."""
    answers = ((command, peer.execute(command, **arguments)) for command, arguments in requests)
    return [(command, answer["error"]["class"]) for command, answer in answers if "error" in answer]


def test_probes_are_answered_as_by_qemu(ours, qemu):
    assert errors(ours, PROBES) == errors(qemu, PROBES) == [("query-sev-capabilities", "GenericError"),
                                                           ("query-sgx-capabilities", "GenericError")]  # fmt: skip


def test_properties_of_every_type_that_is_listed_can_be_asked_for(ours):
    types = {each["name"] for each in ours.query("qom-list-types")}
    devices = {each["name"] for each in ours.query("qom-list-types", implements="device")}
    assert errors(ours, [("device-list-properties", {"typename": name}) for name in LOOKED_AT if name in types]) == []
    assert errors(ours, [("device-list-properties", {"typename": name}) for name in sorted(devices)]) == []
    assert errors(ours, [("qom-list-properties", {"typename": name}) for name in OBJECTS if name in types]) == []


def test_cpu_definitions_name_models_that_can_be_expanded(ours):
    models = [each["name"] for each in ours.query("query-cpu-definitions") if not each["unavailable-features"]]
    assert {"qemu64", "max"} <= set(models)
    assert errors(ours, [("query-cpu-model-expansion", {"type": "static", "model": {"name": name}}) for name in models]) == []


def test_start_of_a_guest_is_answered_as_by_qemu(ours, qemu):
    assert errors(ours, START) == errors(qemu, START) == []


def boolean_properties(peer: Peer) -> dict[str, Any]:
    """How libvirt learns which features the first CPU really has."""
    path = peer.query("query-cpus-fast")[0]["qom-path"]
    listed = [each["name"] for each in peer.query("qom-list", path=path) if each["type"] == "bool"]
    return {name: peer.query("qom-get", path=path, property=name) for name in listed}


def test_features_of_the_first_cpu_are_read_one_by_one(ours, qemu):
    theirs, mine = boolean_properties(qemu), boolean_properties(ours)
    assert len(mine) > 200
    different = {name for name in mine if name in theirs and mine[name] != theirs[name]}
    assert different <= NOT_ALIKE


def test_setvcpus_plugs_and_finds_its_cpus(ours):
    for number, slot in enumerate(reversed(ours.query("query-hotpluggable-cpus"))):
        if "qom-path" not in slot:
            ours.query("device_add", driver=slot["type"], id=f"vcpu{number}", **slot["props"])
    by_path = {cpu["qom-path"]: cpu["props"] for cpu in ours.query("query-cpus-fast")}
    slots = ours.query("query-hotpluggable-cpus")
    assert len(slots) == len(by_path) == 4 and all(by_path[slot["qom-path"]] == slot["props"] for slot in slots)
    assert set(by_path) == {"/machine/unattached/device[0]", *(f"/machine/peripheral/vcpu{n}" for n in (1, 2, 3))}
