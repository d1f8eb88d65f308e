"""The object tree of a PC beside that of the QEMU that is installed: paths, types, buses, and who may change what."""

from __future__ import annotations

import pytest

from emu import qom
from tests.qmp.peers import QEMU, Ours, Qemu

OPTIONS = ["-m", "64M", "-smp", "2,sockets=2,cores=2,maxcpus=4", "-serial", "null",
           "-device", "qemu64-x86_64-cpu,socket-id=1,core-id=1,thread-id=0,id=late",
           "-device", "qemu64-x86_64-cpu,socket-id=1,core-id=0,thread-id=0"]  # fmt: skip
MACHINES = {"pc": "pc-i440fx-7.2", "q35": "pc-q35-7.2"}
# Parts that numachine does not have, and what are no objects here.
NOT_HERE = {"irq", "memory-region", "vmport", "vmmouse", "isa-fdc", "floppy-bus", "isa-pcspk", "smbus-eeprom", "serial"}
ONLY_HERE = {"icc-bridge", "cpu-socket", "cpu-die", "cpu-core", "cpu-thread", "isa-debugcon"}
# Matters of a host's processor and of migration, besides what belongs to KVM, Hyper-V, VMX and SGX.
CPU_PROPERTIES_NOT_HERE = set("""
    crash-information fill-mtrr-mask full-width-write host-phys-bits host-phys-bits-limit intel-pt-lip lbr-fmt lbr_fmt level-func7
    lmce memory pmu ucode-rev vmware-cpuid-freq""".split())  # fmt: skip
# Here without the abstract types that QEMU has in between.
WITHOUT_COMMON_PART = {"PIIX3", "apic", "fw_cfg_io", "ioapic", "isa-i8259", "isa-pit", "piix3-ide", "q35-pcihost", "machine"}


@pytest.fixture(params=MACHINES)
def ours(request):
    peer = Ours(["-M", request.param, *OPTIONS])
    yield peer
    peer.close()


@pytest.fixture
def qemu(request, tmp_path):
    if QEMU is None:
        pytest.skip("needs qemu-system-x86_64")
    peer = Qemu(["-M", request.getfixturevalue("ours").machine.tree.type_name.removesuffix("-machine"), *OPTIONS], tmp_path)
    yield peer
    peer.close()


def tree(peer, path="/machine"):
    """Path and type of everything below `path`."""
    for entry in peer.query("qom-list", path=path):
        if entry["type"].startswith("child<"):
            kind = entry["type"][len("child<") : -1]
            if kind not in NOT_HERE | ONLY_HERE:
                yield f"{path}/{entry['name']}", kind
                yield from tree(peer, f"{path}/{entry['name']}")


def is_numbered(path):
    return path.startswith("/machine/unattached/device[")


def test_cpus_and_their_apics_have_qemus_paths_and_types(ours, qemu):
    def cpus(peer):
        return {(path, kind) for path, kind in tree(peer) if "cpu" in kind or kind in ("apic", "kvmvapic")}

    assert cpus(ours) == cpus(qemu)
    assert ("/machine/unattached/device[2]", "qemu64-x86_64-cpu") in cpus(ours)


def test_named_paths_are_qemus_and_numbered_ones_have_its_types_in_its_order(ours, qemu):
    def named(peer):
        return {(path, kind) for path, kind in tree(peer) if not is_numbered(path)}

    def types(peer):
        order = sorted((int(path.split("[")[1].split("]")[0]), kind) for path, kind in tree(peer)
                       if is_numbered(path) and path.count("/") == 3)  # fmt: skip
        return [kind for _, kind in order]

    assert named(ours) == named(qemu)
    assert types(ours) == types(qemu)


def test_devices_sit_on_qemus_buses(ours, qemu):
    def bus_types(peer):
        found = set()
        for path, kind in tree(peer):
            if any(entry["name"] == "parent_bus" for entry in peer.query("qom-list", path=path)):
                bus = peer.query("qom-get", path=path, property="parent_bus")
                found.add((kind, peer.query("qom-get", path=bus, property="type") if bus else ""))
        return found

    assert bus_types(ours) == bus_types(qemu)


def test_a_bus_lists_its_devices_as_links(ours, qemu):
    def isa_devices(peer):
        bridge = next(path for path, kind in tree(peer) if kind == "ISA")
        entries = [entry for entry in peer.query("qom-list", path=bridge) if entry["name"].startswith("child[")]
        return {entry["type"] for entry in entries} - {f"link<{kind}>" for kind in NOT_HERE | ONLY_HERE}

    assert isa_devices(ours) == isa_devices(qemu)


@pytest.mark.parametrize("name", ["smp", "memory", "boot", "kernel", "initrd", "append", "acpi", "pit", "pic", "usb",
                                  "hpet", "i8042", "sata", "smbus", "nvdimm", "x-oem-id", "x-oem-table-id", "phandle-start",
                                  "dump-guest-core", "suppress-vmdesc", "type"])  # fmt: skip
def test_machine_properties_read_as_in_qemu(ours, qemu, name):
    assert ours.query("qom-get", path="/machine", property=name) == qemu.query("qom-get", path="/machine", property=name)


def test_machine_properties_have_qemus_types(ours, qemu):
    known = {entry["name"]: entry["type"] for entry in qemu.query("qom-list", path="/machine")}
    mine = {entry["name"]: entry["type"] for entry in ours.query("qom-list", path="/machine")}
    shared = mine.keys() & known.keys()
    assert {name: mine[name] for name in shared} == {name: known[name] for name in shared}
    assert {"smp", "memory", "unattached", "peripheral", "rtc_state", "acpi-device"} <= shared


def test_cpu_properties_have_qemus_names_and_types(ours, qemu):
    def properties(peer):
        listed = peer.query("device-list-properties", typename="Haswell-v2-x86_64-cpu")
        return {entry["name"]: entry["type"] for entry in listed}

    theirs, mine = properties(qemu), properties(ours)
    assert {name: theirs[name] for name in mine.keys() & theirs.keys()} == {name: mine[name] for name in mine.keys() & theirs.keys()}
    unknown = {name for name in theirs if name not in mine and not name.startswith(("vmx", "kvm", "hv-", "sgx", "x-"))}
    assert unknown == CPU_PROPERTIES_NOT_HERE
    assert mine.keys() - theirs.keys() == {"hypervisor-signature"}


def test_types_have_qemus_parents(ours, qemu):
    def parents(peer):
        return {entry["name"]: entry.get("parent") for entry in peer.query("qom-list-types", abstract=True)}

    mine, theirs = parents(ours), parents(qemu)
    shared = mine.keys() & theirs.keys() - WITHOUT_COMMON_PART - {"cpu-core"}  # there an abstract part of other machines
    assert {name: mine[name] for name in shared} == {name: theirs[name] for name in shared}
    assert {name for name in theirs if name.endswith("-x86_64-cpu") and "accel" not in name} <= shared


def test_what_is_there_cannot_be_changed(ours):
    for path, name, value in (("/machine", "smp", {"cpus": 4}), ("/machine", "kernel", "x"),
                              ("/machine/unattached/device[0]", "realized", False),
                              ("/machine/unattached/device[0]", "hotplugged", True),
                              ("/machine/unattached/device[0]", "hotpluggable", False)):  # fmt: skip
        error = ours.execute("qom-set", path=path, property=name, value=value)["error"]
        kind = ours.query("qom-get", path=path, property="type")
        assert error == {"class": "GenericError", "desc": f"Property '{kind}.{name}' is not writable"}
    late = ours.execute("qom-set", path="/machine/peripheral/late", property="apic-id", value=7)["error"]["desc"]
    assert late == "Attempt to set property 'apic-id' on device 'late' (type 'qemu64-x86_64-cpu') after it was realized"


@pytest.mark.parametrize("path, flags", [
    ("/machine/unattached/device[0]", (True, False, True)), ("/machine/peripheral/late", (True, False, True)),
    ("/machine/fw_cfg", (True, False, False)),
])  # fmt: skip
def test_realized_hotplugged_hotpluggable_are_qemus(ours, qemu, path, flags):
    for peer in (ours, qemu):
        read = tuple(peer.query("qom-get", path=path, property=name) for name in ("realized", "hotplugged", "hotpluggable"))
        assert read == flags


def test_parts_of_the_machine_cannot_be_unplugged_in_qemus_words(ours, qemu):
    for kind in ("isa-i8259", "hpet", "fw_cfg_io", "i440FX", "mch", "apic-bus"):
        errors = []
        for peer in (ours, qemu):
            path = next((path for path, each in tree(peer) if each == kind), "/machine/peripheral/none")
            errors.append(peer.execute("device_del", id=path)["error"])
        assert errors[0] == errors[1]


def test_links_of_the_machine_lead_to_its_clock_and_power_management(ours, qemu):
    for name in ("rtc_state", "acpi-device"):
        kinds = {peer.query("qom-get", path=peer.query("qom-get", path="/machine", property=name), property="type")
                 for peer in (ours, qemu)}  # fmt: skip
        assert len(kinds) == 1


def test_every_device_of_the_tree_is_realized_and_knows_its_parent(ours):
    for each in ours.machine.root.walk():
        if isinstance(each, qom.DeviceObject):
            assert each.realized, each.path
        assert qom.resolve(ours.machine.root, each.path) is each
