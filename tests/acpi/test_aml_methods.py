"""Methods of the DSDT, run by the test guest: legacy hot-plug, firmware hot-plug, links, debug console, PCI hot-plug."""

from __future__ import annotations

import pytest

from acpi.aml.evaluator import Evaluator
from acpi.dsdt import dsdt
from acpi.platform import ICH9
from emu.bus import AddressSpace
from tests.acpi.boards import Board, platform

DEVICE_CHECK, EJECT_REQUEST = 1, 3
SMI_PORT, SMI_CPU_HOTPLUG = 0xB2, 4


class Recorder:
    """Ports that remember writes and read as given."""

    min_access, max_access = 1, 4

    def __init__(self, values: dict[int, int] | None = None) -> None:
        self.values, self.writes = values or {}, []

    def read(self, offset: int, size: int) -> int:
        return self.values.get(offset, 0)

    def write(self, offset: int, size: int, value: int) -> None:
        self.writes.append((offset, value))


@pytest.mark.parametrize(("routing", "status"), [(0x0B, 0xB), (0x80, 0x9), (0x8B, 0x9)])
def test_a_link_is_enabled_unless_the_top_bit_says_no(board, routing, status):
    assert board.ospm().run("\\_SB.IQST", routing) == status


def test_a_link_reports_its_routed_interrupt(board):
    template = board.ospm().run("\\_SB.IQCR", 0x0A)
    assert template == bytes.fromhex("89060009010a0000007900")


def test_pci_routing_has_an_entry_for_every_slot_and_pin(board):
    guest = board.ospm()
    routes = guest.run("\\_SB.PCI0._PRT")
    assert [(e[0], e[1]) for e in routes] == [(s << 16 | 0xFFFF, p) for s in range(32) for p in range(4)]


@pytest.mark.parametrize(
    ("slot", "pin", "link"),
    [
        (0, 0, "LNKE"),
        (2, 3, "LNKF"),
        (24, 1, "LNKF"),
        (25, 0, "LNKA"),
        (29, 3, "LNKD"),
        (30, 1, "LNKF"),
        (31, 2, "LNKC"),
    ],
)
def test_q35_routes_letters_by_slot(slot, pin, link):
    guest = Board(ICH9, [0]).ospm()
    assert guest.run("\\_SB.PCI0._PRT")[4 * slot + pin][2] == f"\\_SB.{link}"
    guest.run("\\_PIC", 1)
    assert guest.run("\\_SB.PCI0._PRT")[4 * slot + pin][2] == f"\\_SB.{link}".replace("LNK", "GSI")


@pytest.mark.parametrize(("slot", "pin", "link"), [(0, 0, "LNKD"), (1, 0, "LNKS"), (1, 1, "LNKB"), (3, 0, "LNKC")])
def test_pc_rotates_four_links(slot, pin, link):
    from acpi.platform import PIIX4

    assert Board(PIIX4, [0]).ospm().run("\\_SB.PCI0._PRT")[4 * slot + pin][2] == f"\\_SB.{link}"


def test_pci_hotplug_announces_inserts_and_ejects():
    from acpi.platform import PIIX4

    io, ports = AddressSpace("io", 1 << 16), Recorder({0: 1 << 3, 4: 1 << 5})
    io.map(PIIX4.pci_hotplug_base, 0x18, ports)
    guest = Evaluator(dsdt(platform(PIIX4, pci_hotplug=True)), io=io)
    guest.run("\\_GPE._E01")
    assert guest.take_notifications() == [("\\_SB.PCI0.S18", DEVICE_CHECK), ("\\_SB.PCI0.S28", EJECT_REQUEST)]
    guest.run("\\_SB.PCI0.S28._EJ0", 1)
    assert ports.writes[-2:] == [(0x10, 0), (0x08, 1 << 5)]
