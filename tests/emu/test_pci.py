"""PCI configuration space, windows and interrupt pins; the functions of the pc machine's chipset."""

from __future__ import annotations

import pytest

from emu import log
from emu.bus import AddressSpace
from emu.device import Device
from emu.devices.i440fx import I440fxHost
from emu.devices.pci import Ecam, PciBus, PciFunction, PciHostPorts
from emu.devices.piix import Piix3Ide, Piix3Isa, Piix4Pm, piix_swizzle
from emu.irq import Irq


class Echo(Device):
    name = "echo"
    max_access = 8

    def read(self, offset, size):
        return offset & 0xFF


class Card(PciFunction):
    name = "card"
    vendor_id, device_id, revision, class_code, interrupt_pin = 0x1234, 0x5678, 9, 0x020000, 1

    def __init__(self):
        super().__init__()
        self.add_bar(0, 0x1000, Echo())
        self.add_bar(1, 0x20, Echo(), io=True)
        self.add_bar(2, 1 << 20, Echo(), is_64bit=True, prefetch=True)


class Controller:
    def __init__(self):
        self.pam, self.smram = [], []

    def set_pam(self, *segment):
        self.pam.append(segment)

    def set_smram(self, *state):
        self.smram.append(state)


class Pc:
    def __init__(self):
        self.io, self.memory = AddressSpace("io", 1 << 16), AddressSpace("memory", 1 << 52)
        self.irqs = [Irq() for _ in range(16)]
        self.resets, self.pm_places, self.controller = [], [], Controller()
        self.isa = Piix3Isa(self.irqs, self.resets.append)
        self.bus = PciBus(self.io, self.memory, self.isa.pirqs, piix_swizzle)
        self.host = self.bus.add(0, 0, I440fxHost(self.controller))
        self.bus.add(1, 0, self.isa)
        self.ide = self.bus.add(1, 1, Piix3Ide())
        self.pm = self.bus.add(1, 3, Piix4Pm(lambda *place: self.pm_places.append(place)))
        self.card = self.bus.add(3, 0, Card())
        self.ports = PciHostPorts(self.bus)
        for part in (self.ports, self.isa, self.ide, self.pm):
            part.attach(self.io)

    def address(self, slot, function, offset, bus=0):
        self.io.write(0xCF8, 4, 0x8000_0000 | bus << 16 | slot << 11 | function << 8 | offset & 0xFC)
        return 0xCFC + (offset & 3)

    def get(self, slot, function, offset, size=4, bus=0):
        return self.io.read(self.address(slot, function, offset, bus), size)

    def set(self, slot, function, offset, value, size=4):
        self.io.write(self.address(slot, function, offset), size, value)


@pytest.fixture
def pc():
    return Pc()


@pytest.mark.parametrize(
    ("slot", "function", "identity", "class_and_revision"),
    [
        (0, 0, 0x1237_8086, 0x0600_0002),
        (1, 0, 0x7000_8086, 0x0601_0000),
        (1, 1, 0x7010_8086, 0x0101_8000),
        (1, 3, 0x7113_8086, 0x0680_0003),
    ],
)
def test_chipset_identities(pc, slot, function, identity, class_and_revision):
    assert pc.get(slot, function, 0x00) == identity
    assert pc.get(slot, function, 0x08) == class_and_revision
    assert pc.get(slot, function, 0x2C) == 0x1100_1AF4


def test_absent_functions_and_buses_read_all_ones_and_ignore_writes(pc):
    assert pc.get(5, 0, 0) == 0xFFFF_FFFF
    assert pc.get(0, 0, 0, bus=1) == 0xFFFF_FFFF
    assert pc.get(5, 0, 0, 2) == 0xFFFF
    pc.set(5, 0, 4, 7)


def test_data_port_reads_all_ones_while_the_address_is_not_enabled(pc):
    pc.io.write(0xCF8, 4, 0)
    assert pc.io.read(0xCFC, 4) == 0xFFFF_FFFF


def test_address_register_takes_dwords_only(pc):
    pc.io.write(0xCF8, 4, 0xFFFF_FFFF)
    assert pc.io.read(0xCF8, 4) == 0x80FF_FFFC
    pc.io.write(0xCFB, 1, 1)
    pc.io.write(0xCF8, 2, 0)
    assert pc.io.read(0xCF8, 4) == 0x80FF_FFFC


def test_bytes_and_words_of_configuration_space(pc):
    assert [pc.get(3, 0, offset, 1) for offset in range(4)] == [0x34, 0x12, 0x78, 0x56]
    assert pc.get(3, 0, 2, 2) == 0x5678
    pc.set(3, 0, 0x3C, 11, 1)
    assert pc.get(3, 0, 0x3C, 2) == 0x010B


def test_identity_is_read_only_and_undefined_registers_store(pc):
    pc.set(3, 0, 0x00, 0)
    pc.set(3, 0, 0x50, 0x1122_3344)
    assert (pc.get(3, 0, 0x00), pc.get(3, 0, 0x50)) == (0x5678_1234, 0x1122_3344)


def test_only_slots_with_several_functions_say_so(pc):
    assert pc.get(1, 0, 0x0E, 1) == 0x80
    assert pc.get(3, 0, 0x0E, 1) == 0x00
    pc.bus.reset()
    assert pc.get(1, 0, 0x0E, 1) == 0x80


def test_windows_are_sized_by_writing_ones(pc):
    for offset in (0x10, 0x14, 0x18, 0x1C, 0x20):
        pc.set(3, 0, offset, 0xFFFF_FFFF)
    sizes = [pc.get(3, 0, offset) for offset in (0x10, 0x14, 0x18, 0x1C, 0x20)]
    assert sizes == [0xFFFF_F000, 0xFFFF_FFE1, 0xFFF0_000C, 0xFFFF_FFFF, 0]


def test_memory_window_answers_while_enabled(pc):
    pc.set(3, 0, 0x10, 0xFEBF_0000)
    assert pc.memory.read(0xFEBF_0012, 1) == 0xFF
    pc.set(3, 0, 0x04, 0x0002, 2)
    assert pc.memory.read(0xFEBF_0012, 1) == 0x12
    pc.set(3, 0, 0x10, 0xFEBE_0000)
    assert (pc.memory.read(0xFEBF_0012, 1), pc.memory.read(0xFEBE_0012, 1)) == (0xFF, 0x12)
    pc.set(3, 0, 0x04, 0x0000, 2)
    assert pc.memory.read(0xFEBE_0012, 1) == 0xFF


def test_io_window_answers_while_enabled(pc):
    pc.set(3, 0, 0x14, 0xC000)
    pc.set(3, 0, 0x04, 0x0001, 2)
    assert pc.io.read(0xC005, 1) == 5


def test_64_bit_window_lies_above_4_gib(pc):
    pc.set(3, 0, 0x18, 0x0010_0000)
    pc.set(3, 0, 0x1C, 0x0000_0080)
    pc.set(3, 0, 0x04, 0x0002, 2)
    assert pc.memory.read(0x80_0010_0042, 1) == 0x42


def test_sizing_an_enabled_window_does_not_map_it_anywhere(pc):
    pc.set(3, 0, 0x04, 0x0003, 2)
    for offset in (0x10, 0x14, 0x18, 0x1C):
        pc.set(3, 0, offset, 0xFFFF_FFFF)
    assert all(bar.mapping is None for bar in pc.card.bars)
    pc.set(3, 0, 0x10, 0)
    assert pc.card.bars[0].mapping is None


def test_status_errors_are_cleared_by_ones(pc):
    pc.card.put(0x06, 2, 0xF900)
    pc.set(3, 0, 0x06, 0x8000, 2)
    assert pc.get(3, 0, 0x06, 2) == 0x7900


def test_capabilities_form_a_list():
    card = Card()
    first = card.add_capability(0x05, bytes(10))
    second = card.add_capability(0x10, b"\x02\x00")
    assert (first, second) == (0x40, 0x4C)
    assert card.config_read(0x06, 2) & 0x10
    assert (card.config_read(0x34, 1), card.config_read(first, 2), card.config_read(second, 4)) == (
        first,
        0x4C05,
        0x0002_0010,
    )
    card.config_write(second, 4, 0)
    card.reset()
    assert card.config_read(second, 4) == 0x0002_0010


def test_bad_window_sizes_are_refused():
    with pytest.raises(ValueError, match="powers of two"):
        Card().add_bar(5, 0x30, Echo())


def test_interrupt_pin_reaches_its_isa_line_through_the_router(pc):
    pc.set(1, 0, 0x62, 11, 1)  # slot 3 INTA# is PIRQC
    pc.card.intx.raise_()
    assert pc.irqs[11].level == 1
    assert pc.get(3, 0, 0x06, 2) & 0x08
    pc.set(1, 0, 0x62, 10, 1)
    assert (pc.irqs[11].level, pc.irqs[10].level) == (0, 1)
    pc.set(1, 0, 0x62, 0x80, 1)
    assert pc.irqs[10].level == 0


def test_interrupt_disable_bit_silences_the_pin_but_not_the_status(pc):
    pc.set(1, 0, 0x62, 11, 1)
    pc.card.intx.raise_()
    pc.set(3, 0, 0x04, 0x0400, 2)
    assert pc.irqs[11].level == 0
    assert pc.get(3, 0, 0x06, 2) & 0x08
    pc.set(3, 0, 0x04, 0x0000, 2)
    assert pc.irqs[11].level == 1


def test_two_functions_share_a_line(pc):
    other = pc.bus.add(7, 0, Card())
    pc.set(1, 0, 0x60, 0x0B0B_0B0B)
    pc.card.intx.raise_()
    other.intx.raise_()
    pc.card.intx.lower()
    assert pc.irqs[11].level == 1
    other.intx.lower()
    assert pc.irqs[11].level == 0


def test_routing_to_a_reserved_line_is_reported(pc):
    with log.captured("guest_errors") as lines:
        pc.set(1, 0, 0x60, 8, 1)
    assert "PIRQA" in lines[0]
    assert pc.isa.driven == []


def test_removed_function_takes_windows_and_interrupt_along(pc):
    pc.set(1, 0, 0x62, 11, 1)
    pc.set(3, 0, 0x10, 0xFEBF_0000)
    pc.set(3, 0, 0x04, 0x0002, 2)
    pc.card.intx.raise_()
    pc.bus.remove(pc.card)
    assert (pc.irqs[11].level, pc.memory.read(0xFEBF_0000, 1), pc.get(3, 0, 0)) == (0, 0xFF, 0xFFFF_FFFF)


def test_a_place_holds_one_function(pc):
    with pytest.raises(ValueError, match="already holds card"):
        pc.bus.add(3, 0, Card())
    assert pc.bus.free_slot(3) == 4


def test_reset_unmaps_windows_and_lowers_pins(pc):
    pc.set(1, 0, 0x62, 11, 1)
    pc.set(3, 0, 0x10, 0xFEBF_0000)
    pc.set(3, 0, 0x04, 0x0002, 2)
    pc.card.intx.raise_()
    pc.bus.reset()
    assert (pc.irqs[11].level, pc.memory.read(0xFEBF_0000, 1)) == (0, 0xFF)
    assert pc.get(1, 0, 0x60) == 0x8080_8080


def test_ecam_reaches_the_same_registers(pc):
    pc.memory.map(0xB000_0000, 256 << 20, Ecam(pc.bus))
    assert pc.memory.read(0xB000_0000 | 3 << 15, 4) == 0x5678_1234
    assert pc.memory.read(0xB000_0000 | 3 << 15 | 2, 2) == 0x5678
    assert pc.memory.read(0xB000_0000 | 4 << 15, 4) == 0xFFFF_FFFF
    assert pc.memory.read(0xB000_0000 | 3 << 15 | 0x100, 4) == 0xFFFF_FFFF
    pc.memory.write(0xB000_0000 | 3 << 15 | 0x3C, 1, 5)
    assert pc.get(3, 0, 0x3C, 1) == 5


def test_pam_registers_direct_each_segment(pc):
    pc.set(0, 0, 0x59, 0x30, 1)
    pc.set(0, 0, 0x5A, 0x21, 1)
    assert pc.controller.pam == [
        (0xF0000, 0x10000, True, True),
        (0xC0000, 0x4000, True, False),
        (0xC4000, 0x4000, False, True),
    ]


def test_pam_written_as_a_dword_tells_only_what_changed(pc):
    pc.set(0, 0, 0x5C, 0x3300_0000)
    pc.set(0, 0, 0x5C, 0x3300_0000)
    assert pc.controller.pam == [(0xE8000, 0x4000, True, True), (0xEC000, 0x4000, True, True)]


def test_reserved_pam_bits_stay_zero(pc):
    pc.set(0, 0, 0x59, 0xFF, 1)
    pc.set(0, 0, 0x5F, 0xFF, 1)
    assert (pc.get(0, 0, 0x59, 1), pc.get(0, 0, 0x5F, 1)) == (0x30, 0x33)


def test_bridge_tells_its_initial_state_and_returns_to_it_on_reset(pc):
    pc.host.realize()
    assert len(pc.controller.pam) == 13
    assert pc.controller.smram == [(False, False, False)]
    pc.set(0, 0, 0x59, 0x30, 1)
    pc.host.reset()
    assert pc.controller.pam[-1] == (0xF0000, 0x10000, False, False)


def test_smram_locks_until_reset(pc):
    pc.set(0, 0, 0x72, 0x48, 1)
    assert pc.controller.smram[-1] == (True, True, False)
    pc.set(0, 0, 0x72, 0x58, 1)
    assert (pc.get(0, 0, 0x72, 1), pc.controller.smram[-1]) == (0x1A, (True, False, False))
    pc.set(0, 0, 0x72, 0x40, 1)
    assert pc.get(0, 0, 0x72, 1) == 0x1A
    pc.host.reset()
    pc.set(0, 0, 0x72, 0x48, 1)
    assert pc.get(0, 0, 0x72, 1) == 0x4A


def test_reset_control_register_resets_on_the_rising_bit(pc):
    pc.io.write(0xCF9, 1, 0x02)
    assert pc.resets == []
    pc.io.write(0xCF9, 1, 0x06)
    pc.io.write(0xCF9, 1, 0x04)
    assert pc.resets == [True, False]
    assert pc.io.read(0xCF9, 1) == 0x00
    assert pc.io.read(0xCF8, 4) == 0


def test_ide_channels_are_empty(pc):
    for port in (0x1F2, 0x1F7, 0x177, 0x3F6, 0x376):
        pc.io.write(port, 1, 0x55)
        assert pc.io.read(port, 1) == 0
    assert pc.io.read(0x1F0, 2) == 0


def test_bus_master_status_clears_by_ones_and_keeps_drive_bits(pc):
    pc.set(1, 1, 0x20, 0xC001)
    pc.set(1, 1, 0x04, 0x0001, 2)
    pc.ide.bus_master.bytes[2] = 0x06
    pc.io.write(0xC002, 1, 0x62)
    assert pc.io.read(0xC002, 1) == 0x64


def test_pm_block_is_placed_by_base_and_enable(pc):
    assert (pc.get(1, 3, 0x40), pc.get(1, 3, 0x90), pc.get(1, 3, 0xD2, 1)) == (1, 0xB101, 0x09)
    pc.set(1, 3, 0x40, 0x0601)
    pc.set(1, 3, 0x80, 1, 1)
    pc.set(1, 3, 0x40, 0xFFFF_FFFF)
    pc.pm.reset()
    assert pc.pm_places == [(0x600, False), (0x600, True), (0xFFC0, True), (0, False)]


def test_apm_control_enable_is_bit_25_of_devactb(pc):
    assert pc.pm.apmc_enabled
    pc.set(1, 3, 0x5B, 0x00, 1)
    assert not pc.pm.apmc_enabled


def test_resource_registers_report_the_serial_port(pc):
    assert [pc.get(1, 3, offset) for offset in (0x5C, 0x60, 0x64)] == [0x1000_0000, 0x6000_0000, 0x0800_0000]


def test_smbus_transfers_find_nobody(pc):
    pc.io.write(0xB104, 1, 0xA1)
    pc.io.write(0xB102, 1, 0x48)
    assert pc.io.read(0xB100, 1) == 0x04
    pc.io.write(0xB100, 1, 0xFF)
    assert pc.io.read(0xB100, 1) == 0
