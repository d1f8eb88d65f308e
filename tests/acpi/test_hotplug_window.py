"""The legacy bitmap and the switch to the modern registers."""

from __future__ import annotations

import pytest

from acpi.cpu_hotplug import Flag
from acpi.hotplug_window import UnplugNotSupported
from tests.acpi.boards import Board

CPU_GPE = 1 << 2


def switch(board):
    board.write(0, 0)


def test_power_on_shows_one_bit_for_each_present_apic_id(board):
    assert [board.read(n) for n in range(32)] == [1] + [0] * 31


def test_sparse_apic_ids_give_sparse_bits(chipset):
    board = Board(chipset, [0, 1, 4, 0x35])
    board.window.plugged(3)
    assert board.read(0x35 // 8) == 1 << 0x35 % 8
    assert board.read(0) == 1


@pytest.mark.parametrize(("size", "value"), [(2, 0x0003), (4, 0x00000003)])
def test_wide_reads_combine_bytes(board, size, value):
    board.window.plugged(1)
    assert board.read(0, size) == value


@pytest.mark.parametrize("offset", [0, 1, 4, 31])
def test_the_bitmap_ignores_other_writes(board, offset):
    board.write(offset, 0xFF)
    assert board.window.legacy
    assert [board.read(n) for n in range(32)] == [1] + [0] * 31


@pytest.mark.parametrize("offset", [1, 4, 8])
def test_zero_at_another_offset_does_not_switch(board, offset):
    board.write(offset, 0)
    assert board.window.legacy


@pytest.mark.parametrize("size", [1, 2, 4])
def test_writing_zero_to_the_first_port_switches(board, size):
    board.write(0, 0, size)
    assert not board.window.legacy
    assert board.read(4) == Flag.ENABLED


def test_only_the_first_byte_of_a_wide_write_counts(board):
    board.write(0, 0xFFFFFF00, 4)
    assert not board.window.legacy


def test_the_write_that_switches_does_not_reach_the_modern_selector(board):
    board.write(0, 0x00000100, 4)
    assert board.window.modern.selector == 0


def test_ports_behind_the_modern_registers_are_unassigned(board):
    switch(board)
    assert [board.read(n) for n in (12, 15, 31)] == [0xFF] * 3
    assert board.read(12, 4) == 0xFFFFFFFF
    board.write(12, 0, 4)
    assert board.window.modern.selector == 0


def test_the_switch_survives_reset(board):
    switch(board)
    board.window.reset()
    board.pm.reset()
    assert board.read(31) == 0xFF


def test_a_second_switch_is_a_selector_write(board):
    switch(board)
    board.select(2)
    board.write(0, 0, 4)
    assert board.window.modern.selector == 0


def test_detection_recipe_tells_modern_from_legacy(board):
    """Zero to the selector twice, command 0, read data2: zero means modern."""
    assert board.read(0, 4) == 1
    for offset, size in ((0, 4), (0, 4), (5, 1)):
        board.write(offset, 0, size)
    assert board.read(0, 4) == 0


def test_a_plug_in_legacy_mode_sets_the_bit_and_the_event(board):
    board.window.plugged(1)
    assert board.read(0) == 0b11
    assert board.io.read(board.gpe_status_port, 1) == CPU_GPE


def test_a_cold_plug_in_legacy_mode_raises_the_event_too(board):
    board.window.plugged(1, hotplugged=False)
    assert board.io.read(board.gpe_status_port, 1) == CPU_GPE


def test_a_cpu_plugged_in_legacy_mode_has_no_insert_event_after_the_switch(board):
    board.window.plugged(1)
    switch(board)
    board.select(1)
    assert board.read(4) == Flag.ENABLED


def test_an_unplug_request_in_legacy_mode_is_refused(board):
    board.window.plugged(1)
    with pytest.raises(UnplugNotSupported, match="legacy"):
        board.window.unplug_requested(1)
    assert not board.window.slots[1].removing


def test_bits_of_the_bitmap_never_clear(board):
    board.window.plugged(1)
    board.window.unplugged(1)
    assert board.read(0) == 0b11


def test_an_apic_id_of_256_plugged_switches(chipset):
    board = Board(chipset, [0, 256])
    assert board.window.legacy
    board.window.plugged(1)
    assert not board.window.legacy


def test_an_apic_id_of_256_at_power_on_starts_modern(chipset):
    assert not Board(chipset, [256, 0]).window.legacy


def test_a_snapshot_carries_the_mode(board, chipset):
    board.window.plugged(1)
    switch(board)
    other = Board(chipset, [0, 1, 2, 3])
    other.window.load(board.window.save())
    assert other.read(31) == 0xFF
    assert other.window.save() == board.window.save()
