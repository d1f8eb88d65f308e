"""The guests of this project judged by QEMU: what boots there and passes is a fair question to our own machines.

Needs qemu-system-x86_64 on the path; runs with TCG, so no privileges.  Host time decides only when to give up.
Not here: plugging a slot again after an eject; QEMU 7.2's TCG crashes there.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.guests import GUESTS, build, on_qemu, on_unicorn
from benchmarks.guests.runtime import CHECKSUM_FACTOR
from machines.guests import asm, hotplug
from tests import guests
from tests.streams import PATIENCE, Qmp, Stream, listen

QEMU = "qemu-system-x86_64"
needs_qemu = pytest.mark.skipif(shutil.which(QEMU) is None, reason=f"{QEMU} is not installed")
LINUX_BOOT_SECONDS = 120


class HotplugQmp(Qmp):
    def plug(self, index: int, **topology) -> dict:
        slot = {"socket-id": 0, "core-id": index, "thread-id": 0} | topology
        return self.execute("device_add", driver="qemu64-x86_64-cpu", id=f"cpu{index}", **slot)


class Machine:
    def __init__(self, process: subprocess.Popen, serial: Stream, qmp: HotplugQmp):
        self.process, self.serial, self.qmp = process, serial, qmp


@pytest.fixture
def qemu(tmp_path):
    """A function that starts QEMU with the given arguments, its serial port and QMP on sockets."""
    if shutil.which(QEMU) is None:
        pytest.skip(f"{QEMU} is not installed")
    started = []

    def start(*arguments: str) -> Machine:
        listeners = {name: listen(tmp_path / f"{len(started)}-{name}.socket") for name in ("serial", "qmp")}
        command = [QEMU, "-accel", "tcg,thread=multi", "-nodefaults", "-display", "none"]
        for name, listener in listeners.items():
            command += [f"-{name}", f"unix:{listener.getsockname()}"]
        process = subprocess.Popen([*command, *arguments], stdout=subprocess.DEVNULL)
        started.append(process)
        return Machine(process, Stream.accepted(listeners["serial"]), HotplugQmp.accepted(listeners["qmp"]))

    yield start
    for process in started:
        process.kill()
        process.wait()


# -- the hot-plug guest ---------------------------------------------------------------------------------------------


@pytest.fixture
def hotplug_guest(qemu, tmp_path):
    """A function that boots the hot-plug guest and checks its lines up to `ready`."""

    def start(machine_type: str, smp: str, *arguments: str) -> Machine:
        image = tmp_path / "hotplug.elf"
        image.write_bytes(hotplug.image())
        machine = qemu("-M", machine_type, "-m", "64", "-smp", smp, "-kernel", str(image), *arguments)
        machine.serial.expect(f"numachine hotplug guest\nmachine {machine_type}\n")
        return machine

    return start


def plug_and_expect_online(machine: Machine, cpu: int) -> None:
    assert machine.qmp.plug(cpu) == {"return": {}}
    machine.serial.expect(f"plug: cpu {cpu} apic {cpu}\n{hotplug.online_line(cpu)}")
    assert machine.qmp.wait("ACPI_DEVICE_OST")["info"] == {
        "device": f"cpu{cpu}", "source": 1, "status": 0, "slot": str(cpu), "slot-type": "CPU",
    }  # fmt: skip


@pytest.mark.parametrize("machine_type", ["pc", "q35"])
@pytest.mark.parametrize("controller, append", [("8259", ""), ("ioapic", "ioapic")])
def test_plugged_cpus_come_online_and_unplugged_ones_go(hotplug_guest, machine_type, controller, append):
    machine = hotplug_guest(machine_type, "1,maxcpus=4", "-append", append)
    machine.serial.expect(f"interrupts {controller}\ninterface legacy modern\npossible 4 present 1\nready\n")

    plug_and_expect_online(machine, 2)
    plug_and_expect_online(machine, 1)
    machine.qmp.execute("device_del", id="cpu2")

    machine.serial.expect("unplug: cpu 2 apic 2\ncpu 2 ejected\n")
    statuses = [machine.qmp.wait("ACPI_DEVICE_OST")["info"]["status"] for _ in range(2)]
    assert statuses == [0x84, 0]
    machine.serial.send("s")
    machine.serial.expect("possible 4 present 2 online 2\n")


def test_cpus_present_at_boot_are_started(hotplug_guest):
    machine = hotplug_guest("pc", "3,maxcpus=4")

    machine.serial.expect(f"possible 4 present 3\n{hotplug.online_line(1)}{hotplug.online_line(2)}ready\n")


@pytest.mark.parametrize("possible", [1, 255])
def test_any_number_of_possible_cpus_is_counted(hotplug_guest, possible):
    machine = hotplug_guest("pc", f"1,maxcpus={possible}")

    machine.serial.expect(f"possible {possible} present 1\nready\n")


def test_byte_q_powers_off(hotplug_guest):
    machine = hotplug_guest("pc", "1,maxcpus=2")
    machine.serial.expect("ready\n")

    machine.serial.send("q")

    machine.serial.expect("power off\n")
    assert machine.process.wait(PATIENCE) == 0


@pytest.mark.parametrize("machine_type", ["pc", "q35"])
def test_power_button_powers_off(hotplug_guest, machine_type):
    machine = hotplug_guest(machine_type, "1,maxcpus=2")
    machine.serial.expect("ready\n")

    machine.qmp.execute("system_powerdown")

    machine.serial.expect("power off\n")
    assert machine.process.wait(PATIENCE) == 0


def test_after_a_reset_the_interface_is_modern_and_plugged_cpus_are_present(hotplug_guest):
    machine = hotplug_guest("pc", "1,maxcpus=2", "-action", "reboot=reset")
    machine.serial.expect("ready\n")
    plug_and_expect_online(machine, 1)

    machine.serial.send("r")

    machine.serial.expect("reset\n")
    machine.serial.expect(f"interface modern\npossible 2 present 2\n{hotplug.online_line(1)}ready\n")


# -- Linux ----------------------------------------------------------------------------------------------------------


def boot_linux(qemu, kernel: Path, append: str, *arguments: str) -> Machine:
    images = ["-kernel", str(kernel), "-initrd", str(guests.initramfs()), "-append", append]
    machine = qemu("-m", "256", *images, *arguments)
    machine.serial.expect(guests.INIT_READY, LINUX_BOOT_SECONDS)
    machine.serial.expect("# ")
    return machine


def test_cloud_kernel_brings_a_hot_plugged_cpu_online(qemu):
    machine = boot_linux(qemu, guests.kernel("cloud"), "console=ttyS0", "-smp", "1,maxcpus=4")

    assert machine.qmp.plug(1) == {"return": {}}
    assert machine.qmp.wait("ACPI_DEVICE_OST")["info"]["status"] == 0
    machine.serial.send("echo 1 > /sys/devices/system/cpu/cpu1/online; echo has $(nproc)\n")

    machine.serial.expect("has 2")


def test_small_boot_of_the_uncompressed_kernel_powers_off(qemu):
    machine = boot_linux(qemu, guests.vmlinux("cloud"), guests.SMALL_BOOT_APPEND)

    machine.serial.send("poweroff -f\n")

    assert machine.process.wait(PATIENCE) == 0


def test_initramfs_archive_lists_its_entries_and_has_no_time_in_it():
    entries = guests.initramfs_entries(b"stand-in for busybox")

    listing = subprocess.run(["cpio", "-tv"], input=guests.cpio_newc(entries), capture_output=True, check=True)

    lines = listing.stdout.decode().splitlines()
    assert [line.split(" -> ")[0].split()[-1] for line in lines] == [entry.name for entry in entries]
    assert all("Jan  1  1970" in line for line in lines)


def test_other_releases_come_from_the_mirror_of_the_hosts_own(monkeypatch):
    listing = "".join(f"'http://example.org/{site}/dists/{suite}/InRelease' name 0 \n" for site, suite in (
        ("debian-security", "bookworm-security"), ("debian", "bookworm-updates"), ("debian", "bookworm")))  # fmt: skip
    monkeypatch.setattr(guests, "run", lambda command: listing)
    assert guests.mirror() == "http://example.org/debian"


def test_host_without_debian_sources_cannot_have_other_releases(monkeypatch):
    monkeypatch.setattr(guests, "run", lambda command: "")
    with pytest.raises(pytest.skip.Exception, match="no Debian release among its sources"):
        guests.mirror()


@pytest.mark.parametrize("damage", [b"", b"no kernel" * 1000])
def test_something_else_than_a_kernel_is_refused(damage):
    with pytest.raises(ValueError, match="not a bzImage"):
        guests.extract_vmlinux(damage)


# -- benchmark guests -----------------------------------------------------------------------------------------------


def folded(value: int, repeat: int) -> str:
    """The checksum of `repeat` repetitions that all give `value`."""
    checksum = 0
    for _ in range(repeat):
        checksum = checksum * CHECKSUM_FACTOR & 0xFFFFFFFF ^ value
    return f"{checksum:08x}"


def sum_of_calls(calls: int = 10_000) -> int:
    """What the kernel side of the guests `syscall` and `interrupt` adds up."""
    total = 0
    for number in range(calls, 0, -1):
        total = (total + number) & 0xFFFFFFFF
        total = (total << 1 | total >> 31) & 0xFFFFFFFF
    return total


@needs_qemu
@pytest.mark.parametrize(
    "name, value",
    [
        ("sieve32", 82_025),
        ("sieve64", 82_025),
        ("fibonacci", 46_368),
        ("syscall", sum_of_calls()),
        ("interrupt", sum_of_calls()),
    ],
)
def test_benchmark_guest_computes_the_known_value(name, value):
    assert on_qemu.run(build(name, repeat=3)).checksum == folded(value, repeat=3)


@needs_qemu
@pytest.mark.parametrize("name", [name for name, guest in GUESTS.items() if guest.unicorn])
def test_benchmark_guest_computes_the_same_on_qemu_and_unicorn(name):
    image = build(name, repeat=2)

    assert on_unicorn.run(image).checksum == on_qemu.run(image).checksum


def test_sse2_and_x87_give_the_same_matrix():
    sse2, x87 = (on_unicorn.run(build(name, repeat=1)) for name in ("matrix_sse2", "matrix_x87"))

    assert sse2.checksum == x87.checksum


# -- the assembler --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source, code",
    [
        ("lgdt [0x123456]", "0f0115 56341200"),
        ("lidt [0x123456]", "0f011d 56341200"),
        ("ljmp 8, 0x123456", "ea 56341200 0800"),
        (".code16\nljmp 8, 0x123456", "66ea 56341200 0800"),
        ("iret", "cf"),
        (".code64\niret", "48cf"),
        (".code64\nsysretq", "480f07"),
        ("rep movsd", "f3a5"),
        ("mov eax, 16  # sixteen", "b8 10000000"),
        ("mov al, 'q'", "b0 71"),
        (".set X, 0x1000\n.set Y, X+2*8\nmov eax, [X+Y]", "a1 10200000"),
        ("mov al, LATER\n.set LATER, 3", "b0 03"),
        ('.ascii "a # 10 iret"', b"a # 10 iret".hex()),
    ],
)
def test_assembler_encodes(source, code):
    assert asm.assemble(source).hex() == code.replace(" ", "")


@pytest.mark.parametrize(
    "source, message",
    [
        ("nop\nfrobnicate eax", "line 2: 'frobnicate eax'"),
        ("jmp nowhere", "symbols not defined: nowhere"),
        (".set X, label", "expected numbers and constants defined above it"),
    ],
)
def test_assembler_says_what_it_refuses(source, message):
    with pytest.raises(asm.AssemblyError, match=message):
        asm.assemble(source)


def test_flat_image_names_its_addresses_in_the_header():
    image = asm.multiboot("nop", memory_end=0x200000, kludge=True)

    words = [int.from_bytes(image.flat()[at : at + 4], "little") for at in range(0, 32, 4)]
    assert sum(words[:3]) % 2**32 == 0
    assert words[3:] == [0x100000, 0x100000, 0x100021, 0x200000, 0x100020]
    assert image.flat()[0x20] == 0x90
