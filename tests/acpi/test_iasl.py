"""ACPICA's compiler reads every table, and compiles what it read into the same bytes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from acpi.build import fadt, secondary_tables
from acpi.dsdt import dsdt
from acpi.platform import ICH9, PIIX4, Window
from acpi.tables import HEADER_LENGTH
from tests.acpi.boards import ged_dsdt, platform

iasl = shutil.which("iasl")
pytestmark = pytest.mark.skipif(iasl is None, reason="iasl (acpica-tools) is not installed")

# Processor() is deprecated since ACPI 6, but what older guests look for
DEPRECATED_PROCESSOR = "3168"
# fields that the compiler overwrites with its own name and version
HEADER_CREATOR = slice(28, 36)
HEADER_CHECKSUM = 9


def run(*arguments: str, directory: Path) -> str:
    done = subprocess.run([str(iasl), *arguments], cwd=directory, capture_output=True, text=True)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return output


def recompiled(table: bytes, directory: Path) -> bytes:
    """Disassemble, compile without optimising, and return the result; any error or warning fails the test."""
    (directory / "table.aml").write_bytes(table)
    read = run("-d", "table.aml", directory=directory)
    assert not re.search(r"error|warning", read, re.IGNORECASE), read
    made = run("-oa", "-vw", DEPRECATED_PROCESSOR, "-p", "again", "table.dsl", directory=directory)
    counts = re.findall(r"(\d+) (Errors|Warnings)", made)
    assert counts and all(number == "0" for number, _ in counts), made
    return (directory / "again.aml").read_bytes()


def comparable(table: bytes) -> bytes:
    masked = bytearray(table)
    masked[HEADER_CREATOR] = bytes(8)
    masked[HEADER_CHECKSUM] = 0
    return bytes(masked)


VARIANTS = {
    "plain": {},
    "numa": {"numa_nodes": 2, "numa_distances": [[10, 20], [20, 10]]},
    "legacy hot-plug": {"legacy_cpu_hotplug": True},
    "firmware hot-plug": {"smi_cpu_hotplug": True, "smi_cpu_hotunplug": True},
    "PCI hot-plug": {"pci_hotplug": True},
    "all parts": {
        "suspend_to_ram": True,
        "serial_ports": 4,
        "parallel_ports": 2,
        "pci_memory64": Window(1 << 32, (1 << 35) - 1),
    },
    "few parts": {"hpet": False, "i8042": False, "smm": False, "serial_ports": 0},
}


@pytest.mark.parametrize("possible", [1, 4, 64, 255])
def test_the_dsdt_round_trips(chipset, possible, tmp_path):
    table = dsdt(platform(chipset, possible))
    assert comparable(recompiled(table, tmp_path)) == comparable(table)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_of_the_dsdt_round_trips(chipset, variant, tmp_path):
    table = dsdt(platform(chipset, 4, **VARIANTS[variant]))
    assert comparable(recompiled(table, tmp_path)) == comparable(table)


@pytest.mark.parametrize("possible", [1, 4, 64, 255])
def test_the_dsdt_with_an_event_device_round_trips(possible, tmp_path):
    table = ged_dsdt(possible)
    assert comparable(recompiled(table, tmp_path)) == comparable(table)


@pytest.mark.parametrize("possible", [1, 4, 64, 255])
def test_every_data_table_round_trips(chipset, possible, tmp_path):
    p = platform(chipset, possible, **VARIANTS["numa"])
    for table in [fadt(p), *secondary_tables(p)]:
        binary = table.to_bytes(p.oem)
        assert comparable(recompiled(binary, tmp_path)) == comparable(binary), table.signature


@pytest.mark.parametrize("chip", [PIIX4, ICH9], ids=lambda c: c.name)
def test_288_cpus_need_devices_instead_of_processors(chip, tmp_path):
    table = dsdt(platform(chip, 288))
    assert comparable(recompiled(table, tmp_path)) == comparable(table)
    assert table.count(b"ACPI0007") == 288 - 255
    assert len(table) > HEADER_LENGTH
