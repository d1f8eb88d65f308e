"""Kernels, machines and boot paths, and in each of them every interface: the guest onlines the CPU, runs a process on it,
lets it go, and takes another one in its place.

One guest per combination runs them all; each interface leaves the guest as it found it.
"""

from __future__ import annotations

import pytest

from tests import guests
from tests.linux.emulator import Emulator
from tests.linux.interfaces import EARLY, EARLY_SLOT, INTERFACES, SMP, cpu_path
from tests.linux.shell import Shell

HOST_PATIENCE = 300.0  # seconds for a boot when all processors of the host are busy
KERNELS = {"6.1": "cloud", "6.12": "cloud-6.12", "6.1 generic": "generic"}
NO_CALIBRATION = "lpj=4000000"  # at 250 Hz and 1 GHz: 6.12 measures it for 2 s at the first plug, its other CPU being asleep
BOOT_PATHS = {
    "direct": lambda flavour: ["-kernel", str(guests.vmlinux(flavour))],
    "seabios": lambda flavour: ["-kernel", str(guests.kernel(flavour)), "-bios", str(guests.seabios())],
}
QUICK = [("6.1", "pc", "direct"), ("6.12", "q35", "direct")]
COMBINATIONS = [(kernel, machine, boot) for kernel in ("6.1", "6.12") for machine in ("pc", "q35") for boot in BOOT_PATHS]
COMBINATIONS.append(("6.1 generic", "q35", "direct"))


class Guest:
    """A booted combination: the emulator and a shell in it."""

    def __init__(self, folder, kernel: str, machine: str, boot: str):
        options = ["-M", machine, "-m", "512", "-smp", SMP, *EARLY, "-initrd", str(guests.initramfs()), "-append",
                   f"{guests.SMALL_BOOT_APPEND} {NO_CALIBRATION}", *BOOT_PATHS[boot](KERNELS[kernel])]  # fmt: skip
        self.emulator = Emulator(folder, *options)
        self.shell = Shell(self.emulator.serial, HOST_PATIENCE)

    def plugged(self, slots, plug) -> set[int]:
        """Plug CPUs and have the guest use them; their numbers in the guest."""
        before = self.shell.present
        plug(self.emulator)
        for slot in slots:
            self.emulator.events.wait("ACPI_DEVICE_OST", slot=str(slot), source=1, status=0)
        cpus = self.shell.present - before
        assert len(cpus) == len(slots)
        for cpu in cpus:
            self.shell.use(cpu)
        return cpus

    def unplugged(self, slots, unplug) -> None:
        """Ask the guest for CPUs and see them go: in the guest, in the machine, and in an event for each."""
        before = self.shell.present
        paths = [cpu_path(self.emulator, slot) for slot in slots]
        unplug(self.emulator)
        for slot, path in zip(slots, paths):
            self.emulator.events.wait("DEVICE_DELETED", path=path)
            self.emulator.events.wait("ACPI_DEVICE_OST", slot=str(slot), source=3, status=0)
        assert len(before) - len(self.shell.present) == len(slots)
        assert not {cpu["qom-path"] for cpu in self.emulator.query("query-cpus-fast")} & set(paths)


def combinations():
    """The quick ones run always, the rest with the slow tests."""
    for combination in COMBINATIONS:
        yield pytest.param(combination, id="-".join(combination), marks=() if combination in QUICK else pytest.mark.slow)


@pytest.fixture(scope="module", params=combinations())
def guest(request, tmp_path_factory):
    guest = Guest(tmp_path_factory.mktemp("guest"), *request.param)
    yield guest
    guest.emulator.close()


@pytest.mark.parametrize("interface", INTERFACES, ids=lambda interface: interface.name)
def test_cpu_is_used_ejected_and_replaced(guest, interface):
    first = guest.plugged(interface.slots, interface.plug)
    guest.unplugged(interface.slots, interface.unplug)
    interface.clean_up(guest.emulator)
    assert guest.plugged(interface.slots, interface.plug) == first
    guest.unplugged(interface.slots, interface.unplug)
    interface.clean_up(guest.emulator)
    assert guest.shell.online == "0-1"


def test_cpu_of_the_command_line_is_used_ejected_and_replaced(guest):
    assert guest.shell.online == "0-1"
    assert guest.shell.cpu_of_a_process_on(1) == 1
    guest.unplugged([EARLY_SLOT], lambda emulator: emulator.library("device_del", id="early"))
    assert guest.shell.online == "0"
    guest.plugged([EARLY_SLOT], lambda emulator: emulator.hmp(f"device_add {EARLY[1]}"))
    assert guest.shell.online == "0-1"


def test_boot_cpu_stays(guest):
    answer = guest.emulator.events.execute("device_del", id=cpu_path(guest.emulator, 0))
    assert answer["error"]["desc"] == "Boot CPU is unpluggable"
    assert guest.shell.cpu_of_a_process_on(0) == 0
