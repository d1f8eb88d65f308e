"""The chipset of q35: configuration window, power management base, interrupt routes, reset, SATA without disks."""

from __future__ import annotations

import pytest

from emu.bus import AddressSpace
from emu.devices.ahci import AhciRegisters
from emu.devices.ich9 import (
    ACPI_CNTL,
    ACPI_ENABLE,
    FIRST_PIRQ_GSI,
    PIRQ_ROUTES,
    PMBASE,
    RESET_CONTROL_PORT,
    Ich9Lpc,
    q35_pirq_of,
)
from emu.devices.q35 import BUS_SPACE, PCIEXBAR, PCIEXBAR_ENABLE, Q35Host
from emu.irq import Irq


class Board:
    def __init__(self) -> None:
        self.gsi = [Irq() for _ in range(24)]
        self.pm: list[tuple[int, bool]] = []
        self.resets = 0
        self.lpc = Ich9Lpc(self.gsi, lambda base, enabled: self.pm.append((base, enabled)), self.reset)
        self.io = AddressSpace("io", 1 << 16)
        self.lpc.attach(self.io)

    def reset(self) -> None:
        self.resets += 1


class Memory:
    def set_pam(self, base: int, size: int, read_ram: bool, write_ram: bool) -> None:
        self.shadowed = (base, read_ram, write_ram)

    def set_smram(self, enabled: bool, open_: bool, closed: bool) -> None:
        pass


def test_pam_registers_are_at_90h() -> None:
    memory = Memory()
    Q35Host(memory, lambda base, buses: None).config_write(0x90, 1, 0x30)
    assert memory.shadowed == (0xF0000, True, True)


@pytest.fixture
def board() -> Board:
    return Board()


def test_power_management_appears_once_base_and_enable_bit_are_set(board: Board) -> None:
    board.lpc.config_write(PMBASE, 4, 0x601)
    board.lpc.config_write(ACPI_CNTL, 1, ACPI_ENABLE)
    assert board.pm == [(0x600, False), (0x600, True)]


def test_reset_takes_power_management_away(board: Board) -> None:
    board.lpc.config_write(PMBASE, 4, 0x600)
    board.lpc.config_write(ACPI_CNTL, 1, ACPI_ENABLE)
    board.lpc.reset()
    assert board.pm[-1] == (0, False)


def test_a_pirq_reaches_its_gsi_and_the_isa_line_it_is_routed_to(board: Board) -> None:
    board.lpc.config_write(PIRQ_ROUTES[4], 1, 10)
    board.lpc.pirqs[4].raise_()
    assert (board.gsi[FIRST_PIRQ_GSI + 4].level, board.gsi[10].level) == (1, 1)
    board.lpc.pirqs[4].lower()
    assert (board.gsi[FIRST_PIRQ_GSI + 4].level, board.gsi[10].level) == (0, 0)


def test_an_isa_line_stays_high_while_any_of_its_pirqs_is(board: Board) -> None:
    for n in (0, 1):
        board.lpc.config_write(PIRQ_ROUTES[n], 1, 11)
        board.lpc.pirqs[n].raise_()
    board.lpc.pirqs[0].lower()
    assert board.gsi[11].level == 1


def test_a_disabled_route_reaches_no_isa_line(board: Board) -> None:
    board.lpc.pirqs[0].raise_()
    assert not any(line.level for line in board.gsi[:16])


@pytest.mark.parametrize("slot, pin, pirq", [(1, 0, 5), (2, 3, 5), (24, 0, 4), (29, 2, 2), (30, 1, 5), (31, 0, 0)])
def test_slots_are_wired_as_the_tables_say(slot: int, pin: int, pirq: int) -> None:
    assert q35_pirq_of(slot, pin) == pirq


def test_reset_control_resets_on_the_rising_bit_only(board: Board) -> None:
    board.io.write(RESET_CONTROL_PORT, 1, 0x02)
    assert board.resets == 0
    board.io.write(RESET_CONTROL_PORT, 1, 0x06)
    assert board.resets == 1


@pytest.mark.parametrize("value, window", [
    (0xB000_0000 | PCIEXBAR_ENABLE, (0xB000_0000, 256)),
    (0xB800_0000 | 1 << 1 | PCIEXBAR_ENABLE, (0xB800_0000, 128)),
    (0xB000_0000, (0, 0)),
    (0xB000_0000 | 3 << 1 | PCIEXBAR_ENABLE, (0, 0)),
])
def test_the_configuration_window_follows_its_register(value: int, window: tuple[int, int]) -> None:
    seen: list[tuple[int, int]] = []
    host = Q35Host(Memory(), lambda base, buses: seen.append((base, buses)))
    host.config_write(PCIEXBAR, 4, value)
    assert seen[-1] == window
    assert window[1] * BUS_SPACE <= 256 << 20


def test_sata_ports_have_nothing_plugged_in() -> None:
    ahci = AhciRegisters()
    ahci.reset()
    assert ahci.read(0x0C, 4) == 0x3F
    assert (ahci.read(0x128, 4), ahci.read(0x124, 4)) == (0, 0xFFFF_FFFF)
    assert ahci.read(0x04, 4) == 1 << 31


def test_a_sata_port_keeps_what_a_driver_sets_up_until_the_adapter_is_reset() -> None:
    ahci = AhciRegisters()
    ahci.reset()
    ahci.write(0x12C, 4, 0x300)
    ahci.write(0x118, 4, 0x11)
    assert ahci.read(0x12C, 4) == 0x300
    assert ahci.read(0x118, 4) == 0xC017
    ahci.write(0x04, 4, 1)
    assert (ahci.read(0x12C, 4), ahci.read(0x118, 4)) == (0, 6)
