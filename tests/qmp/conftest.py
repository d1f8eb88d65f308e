"""A machine without hardware for the monitors' tests: real CPU plugging, memory and ports that are plain arrays."""

from __future__ import annotations

import json
from typing import Any

import pytest

from emu import qom
from emu.cpu_models import CpuConfig, parse_cpu_option
from emu.migration import Migration, Written
from emu.qmp import Context, CpuInfo, EventHub, Identity, QmpError, RunControl, Session
from machines.cpu_plug import CpuPlug
from machines.cpu_slots import CpuSlots
from machines.topology import SmpConfig

from .peers import QEMU, Ours, Qemu


class FakeMachineObject(qom.Container):
    name = "fake-machine"
    graphics = qom.Property("bool", True, after_realize=True)
    phandle_start = qom.Property("int", 0)


class FakeLapic(qom.DeviceObject):
    name = "fake-apic"
    user_creatable = False


class FakeMachine:
    """Implements emu.qmp.machine_api.MachineApi.  `hardware` records what reached the hardware."""

    target = "x86_64"
    ram_size = 128 << 20

    def __init__(self, smp: str = "1,maxcpus=4,sockets=4", cpu: str = "qemu64", **run_options: bool):
        self.root = qom.Container()
        self.object = self.root.add_child("machine", FakeMachineObject())
        self.root.container("chardevs")
        self.identity = Identity()
        self.events = EventHub()
        self.hardware: list[Any] = []
        self.legacy = False
        self.run_control = RunControl(self.events, lambda: self.hardware.append("reset"),
                                      lambda: self.hardware.append("powerdown"), **run_options)  # fmt: skip
        self.migration = Migration(self.run_control, self.ram_size, self.save, self.load)
        config = SmpConfig.parse(smp)
        topology = config.topology
        cpu_config = CpuConfig(parse_cpu_option(cpu), topology=topology, warn=lambda message: None)
        self.cpu_type = cpu_config.type_name
        self.slots = CpuSlots(topology, self.cpu_type)
        self.plug = CpuPlug(
            self.object, self.slots, cpu_config, self.events, on_plug=self._plugged,
            on_request=lambda slot: self.hardware.append(("request", slot.index)),
            on_unplug=lambda slot, cpu: self.hardware.append(("unplug", slot.index)), modern=lambda: not self.legacy)  # fmt: skip
        self.plug.add_boot_cpus(config.cpus)
        self.memory = bytearray(0x10000)
        self.ports = {0x71: 0x21}

    def _plugged(self, slot, cpu, hotplugged):
        cpu.add_child("lapic", FakeLapic())
        self.hardware.append(("plug", slot.index, hotplugged))

    def save(self, target):
        self.hardware.append(("save", target))
        return Written(size=4096 + 100, pages=1)

    def load(self, source):
        self.hardware.append(("load", source))

    def possible_cpus(self) -> list[dict[str, Any]]:
        return self.slots.hotpluggable()

    def cpu_infos(self) -> list[CpuInfo]:
        return self.plug.infos(thread_id=77)

    def device_add(self, driver, id, properties):
        self.plug.device_add(driver, id, properties)

    def device_del(self, path):
        self.plug.request_unplug(path)

    def object_add(self, qom_type, id, properties):
        self.plug.objects.add(qom_type, id, properties)

    def object_del(self, id):
        self.plug.objects.delete(id)

    def cpu_add(self, index):
        self.plug.cpu_add(index)

    def ospm_status(self):
        return []

    def read_physical(self, address, size):
        if address + size > len(self.memory):
            raise QmpError(f"Cannot access memory at {address:#x}")
        return bytes(self.memory[address : address + size])

    def read_virtual(self, cpu_index, address, size):
        return self.read_physical(address, size)

    def read_port(self, port, size):
        return self.ports.get(port, (1 << 8 * size) - 1)

    def write_port(self, port, size, value):
        self.ports[port] = value

    def register(self, cpu_index, name):
        return {"rax": cpu_index, "pc": 0xFFF0}[name]

    def code_bits(self, cpu_index):
        return 16

    def translate(self, cpu_index, address):
        return address

    def inject_nmi(self):
        self.hardware.append("nmi")

    def press_keys(self, codes, hold_ns):
        self.hardware.append(("keys", *codes, hold_ns))

    def numa_nodes(self):
        return [{"cpus": [0], "size": 64 << 20}]

    def pci_buses(self):
        return []

    def registers(self, cpu_index):
        return f"EAX={cpu_index:08x}\n"


class Client:
    """The other end of a Session: send bytes, collect decoded answers and events."""

    def __init__(self, machine: FakeMachine, negotiate: bool = True, **options: Any):
        self.raw = bytearray()
        self.session = Session(Context(machine), self.raw.extend, **options)
        self.greeting = self.take()[0]
        if negotiate:
            self.send(b'{"execute": "qmp_capabilities"}')

    def take(self) -> list[dict[str, Any]]:
        lines, self.raw[:] = bytes(self.raw).split(b"\r\n"), b""
        return [json.loads(line) for line in lines if line]

    def send(self, data: bytes) -> list[dict[str, Any]]:
        self.session.feed(data)
        return self.take()

    def execute(self, name: str, **arguments: Any) -> Any:
        """The answer to a command; arguments may use underscores for dashes."""
        named = {key.replace("_", "-"): value for key, value in arguments.items()}
        answers = self.send(json.dumps({"execute": name, "arguments": named}).encode())
        self.events = [answer for answer in answers if "event" in answer]
        (answer,) = [answer for answer in answers if "event" not in answer]
        return answer["return"] if "return" in answer else answer["error"]

    def desc(self, name: str, **arguments: Any) -> str:
        """The text of the error that a command answers."""
        return self.execute(name, **arguments)["desc"]


@pytest.fixture(scope="module")
def ours(request):
    """A machine of ours with the module's OPTIONS."""
    peer = Ours(request.module.OPTIONS)
    yield peer
    peer.close()


@pytest.fixture(scope="module")
def qemu(request, tmp_path_factory):
    """QEMU with the module's OPTIONS."""
    if QEMU is None:
        pytest.skip("qemu-system-x86_64 is not installed")
    peer = Qemu(request.module.OPTIONS, tmp_path_factory.mktemp("qemu"))
    yield peer
    peer.close()


@pytest.fixture
def machine():
    return FakeMachine()


@pytest.fixture
def client(machine):
    return Client(machine)
