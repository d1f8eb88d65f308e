"""Debian's SeaBIOS, unmodified, on both machines: to the end of its boot order, or on to Debian's kernel."""

from __future__ import annotations

from functools import partial

import pytest

from acpi.madt import LocalApicFlag
from emu.chardev import BufferChardev
from emu.cli.options import OptionError
from emu.devices.fw_cfg import INITRD_ADDR, MAX_CPUS, NB_CPUS
from emu.devices.rtc import CMOS_CPUS
from machines import Q35, Pc
from machines.pc import X86Pc
from tests import guests
from tests.linux.shell import Shell

pytestmark = pytest.mark.linux
PATIENCE_NS = 5_000_000_000
NO_DEVICE = "No bootable device"
SEABIOS_SMBASE = 0xA0000


def run_firmware(machine: type[X86Pc], smp: str) -> str:
    """What SeaBIOS writes to the debug console until it gives up."""
    console = BufferChardev("debugcon")
    vm = machine(smp=smp, memory="256M", bios=guests.seabios())
    vm.connect_debugcon(console)
    with vm:
        while NO_DEVICE not in console.text and vm.clock.now < PATIENCE_NS:
            vm.run_for(10_000_000)
    return console.text


@pytest.mark.parametrize("machine, chipset", [(Pc, "i440fx"), (Q35, "q35")])
def test_seabios_finds_its_chipset_and_no_bootable_device(machine: type[X86Pc], chipset: str) -> None:
    text = run_firmware(machine, "1,maxcpus=4").lower()
    assert f"running on qemu ({chipset}" in text
    assert NO_DEVICE.lower() in text


def test_seabios_starts_every_cpu_that_is_there() -> None:
    assert "Found 3 cpu(s) max supported 4 cpu(s)" in run_firmware(Pc, "3,maxcpus=4")


def test_a_file_that_is_no_rom_is_refused(tmp_path) -> None:
    image = tmp_path / "bios.bin"
    image.write_bytes(b"x" * 1000)
    with pytest.raises(OptionError, match="multiple of 64 KiB"):
        Pc(bios=image)


def test_a_machine_without_that_file_says_where_it_looked() -> None:
    with pytest.raises(OptionError, match="could not find firmware image 'nowhere.bin', neither here nor in /usr/share/seabios"):
        Pc(bios="nowhere.bin")


# --- a kernel through firmware


@pytest.fixture
def from_firmware(linux):
    """from_firmware(machine=..., smp=...): Debian's kernel started by SeaBIOS: (machine, Shell)."""
    return partial(linux, guests.kernel, bios=guests.seabios())


@pytest.mark.parametrize("smp", ["1,maxcpus=4", "4"])
@pytest.mark.parametrize("machine", [Pc, Q35])
def test_linux_boots_through_seabios(from_firmware, machine: type[X86Pc], smp: str) -> None:
    vm, shell = from_firmware(machine=machine, smp=smp)
    assert vm.serial.text.count("Booting from ROM") == 1
    assert shell.run("nproc") == smp[0]


def test_a_part_that_does_not_fit_is_reported_and_firmware_goes_on() -> None:
    with Pc(memory="128M", bios=guests.seabios(), kernel=guests.kernel(), initrd=b"initrd") as vm:
        vm.fw_cfg.core.add_int(INITRD_ADDR, 0xD000_0000, 4)
        vm.serial.expect("The kernel cannot be read from fw_cfg")
        vm.serial.expect(NO_DEVICE)


def test_linux_reads_the_smbios_tables(from_firmware) -> None:
    _, shell = from_firmware(machine=Q35, smbios={1: {"serial": "S-1"}})
    names = "sys_vendor product_name product_version product_serial bios_vendor"
    assert shell.run(f"cd /sys/class/dmi/id; cat {names}; cd").splitlines() == [
        "QEMU", "Standard PC (Q35 + ICH9, 2009)", "pc-q35-7.2", "S-1", "SeaBIOS"]  # fmt: skip


@pytest.mark.parametrize("machine", [Pc, Q35])
def test_seabios_installs_its_smi_handler_and_acpi_is_off_until_linux_enables_it(from_firmware, machine: type[X86Pc]) -> None:
    vm, shell = from_firmware(machine=machine, smm=True, smp="2,maxcpus=4")
    assert vm.vcpus[0].smm.base == SEABIOS_SMBASE
    vm.qmp.cpu_add(id=2)
    vm.qmp.wait("ACPI_DEVICE_OST", source=1, status=0)
    shell.use(2)
    assert shell.online == "0-2"


@pytest.mark.parametrize("machine", [Pc, Q35])
def test_a_cpu_plugged_after_firmware_is_used_and_ejected(from_firmware, machine: type[X86Pc]) -> None:
    vm, shell = from_firmware(machine=machine)
    vm.qmp.cpu_add(id=2)
    vm.qmp.wait("ACPI_DEVICE_OST", source=1, status=0)
    shell.use(1)
    vm.qmp.device_del(id=vm.slots[2].cpu.path)
    vm.qmp.wait("DEVICE_DELETED")
    assert shell.present == {0}


@pytest.mark.parametrize("how", ["reboot -f", "echo b > /proc/sysrq-trigger", "system_reset"])
@pytest.mark.parametrize("machine", [Pc, Q35])
def test_plugged_cpus_count_after_a_reboot(from_firmware, machine: type[X86Pc], how: str) -> None:
    vm, shell = from_firmware(machine=machine)
    for slot in (1, 3):
        vm.qmp.cpu_add(id=slot)
        vm.qmp.wait("ACPI_DEVICE_OST", source=1, status=0)
    assert (vm.rtc.cmos[CMOS_CPUS], fw_cfg_number(vm, NB_CPUS), fw_cfg_number(vm, MAX_CPUS)) == (2, 3, 4)
    if how == "system_reset":
        vm.qmp.system_reset()
    else:
        vm.serial.send(how + "\n")
    shell.booted()
    assert shell.online == "0-2"
    assert enabled_in_madt(shell) == [True, True, False, True]


def fw_cfg_number(vm: X86Pc, key: int) -> int:
    return int.from_bytes(vm.fw_cfg.core.items[key].data, "little")


def enabled_in_madt(shell: Shell) -> list[bool]:
    """Of each local APIC entry in the guest's table, in order."""
    table = bytes.fromhex(shell.run("od -An -v -tx1 /sys/firmware/acpi/tables/APIC"))
    at, found = 44, []
    while at < len(table):
        if table[at] == 0:
            found.append(bool(table[at + 4] & LocalApicFlag.ENABLED))
        at += table[at + 1]
    return found
