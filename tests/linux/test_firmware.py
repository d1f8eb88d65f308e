"""Debian's SeaBIOS, unmodified, on both machines: to the end of its boot order, there being no disk."""

from __future__ import annotations

import pytest

from emu.chardev import BufferChardev
from emu.cli.options import OptionError
from machines import Pc, Q35
from machines.pc import X86Pc
from tests import guests

pytestmark = pytest.mark.linux
PATIENCE_NS = 5_000_000_000
NO_DEVICE = "No bootable device"


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
