"""The modern CPU hot-plug registers, rule by rule, at both chipsets' ports."""

from __future__ import annotations

import pytest

from acpi.cpu_hotplug import Command, CpuHotplug, Flag
from emu import log

SELECTOR, FLAGS, COMMAND, DATA, DATA2 = 0x0, 0x4, 0x5, 0x8, 0x0
RESERVED = (0x1, 0x2, 0x3, 0x5, 0x6, 0x7, 0x9, 0xA, 0xB)
CPU_GPE = 1 << 2


# ---------------------------------------------------------------- selector


def test_invalid_selector_reads_zero(block):
    block.select(4)
    assert [block.read(offset) for offset in range(12)] == [0] * 12
    assert [block.read(offset, 4) for offset in (0, 4, 8)] == [0] * 3


def test_invalid_selector_ignores_every_write_but_its_own(block):
    block.window.plugged(1)
    before = block.window.save() | {"selector": 0xFFFFFFFF}
    block.select(0xFFFFFFFF)
    for value in (Flag.INSERT, Flag.REMOVE, Flag.EJECT, Flag.FIRMWARE_EJECT):
        block.write(FLAGS, value)
    for command in Command:
        block.write(COMMAND, command)
    block.write(DATA, 7, 4)
    assert block.window.save() == before


def test_enumeration_recipe_finds_the_number_of_slots(block):
    """Select upwards; with command 0 the data register echoes a valid selector and reads 0 behind the last slot."""
    block.select(0)
    block.write(COMMAND, Command.NEXT_EVENT)
    count = 1
    while True:
        block.select(count)
        if block.read(DATA, 4) == 0:
            break
        count += 1
    assert count == 4


def test_selector_and_command_start_at_zero(block):
    assert (block.window.modern.selector, block.window.modern.command) == (0, 0)
    assert block.read(FLAGS) == Flag.ENABLED


def test_selector_and_command_survive_reset(block):
    block.select(2)
    block.write(COMMAND, Command.ARCH_ID)
    block.window.reset()
    block.pm.reset()
    assert block.read(DATA, 4) == 0x55667788


@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_narrow_selector_write_sets_the_whole_selector(block, size):
    block.select(0x01020304)
    block.write(SELECTOR, 3, size)
    assert block.window.modern.selector == 3


def test_bytes_1_to_3_of_the_selector_cannot_be_written(block):
    block.select(2)
    for offset in (1, 2, 3):
        block.write(SELECTOR + offset, 1)
    assert block.window.modern.selector == 2


# ---------------------------------------------------------------- reads


@pytest.mark.parametrize("offset", RESERVED)
def test_reserved_offsets_read_zero(block, offset):
    block.select(2)
    block.write(COMMAND, Command.ARCH_ID)
    assert block.read(offset) == 0


@pytest.mark.parametrize("offset", [n for n in RESERVED if n != COMMAND])
def test_reserved_offsets_ignore_writes(block, offset):
    block.window.plugged(1)
    before = block.window.save()
    block.write(offset, 0xFF)
    assert block.window.save() == before


@pytest.mark.parametrize("command", [Command.NEXT_EVENT, Command.OST_EVENT, Command.OST_STATUS])
def test_data2_is_zero_except_for_the_arch_id(block, command):
    block.select(2)
    block.write(COMMAND, command)
    assert block.read(DATA2, 4) == 0


def test_arch_id_is_read_in_two_halves(block):
    block.select(2)
    block.write(COMMAND, Command.ARCH_ID)
    assert (block.read(DATA, 4), block.read(DATA2, 4)) == (0x55667788, 0x11223344)


@pytest.mark.parametrize("command", [Command.OST_EVENT, Command.OST_STATUS])
def test_ost_commands_leave_data_write_only(block, command):
    block.select(1)
    block.write(COMMAND, command)
    block.write(DATA, 0x84, 4)
    assert block.read(DATA, 4) == 0


@pytest.mark.parametrize("size", [2, 4])
def test_a_wide_read_of_flags_returns_flags_alone(block, size):
    block.write(COMMAND, Command.ARCH_ID)
    assert block.read(FLAGS, size) == Flag.ENABLED


def test_an_unaligned_word_read_is_split_into_bytes(block):
    assert block.read(3, 2) == Flag.ENABLED << 8


def test_flag_bits_3_and_5_to_7_read_zero(block):
    block.window.plugged(1)
    block.window.unplug_requested(1)
    block.select(1)
    block.write(FLAGS, Flag.FIRMWARE_EJECT)
    assert block.read(FLAGS) == Flag.ENABLED | Flag.INSERT | Flag.REMOVE | Flag.FIRMWARE_EJECT


# ---------------------------------------------------------------- commands


@pytest.mark.parametrize("code", [4, 5, 0x80, 0xFF])
def test_an_unknown_command_leaves_the_old_one_in_force(block, code):
    block.select(2)
    block.write(COMMAND, Command.ARCH_ID)
    block.write(COMMAND, code)
    assert block.read(DATA, 4) == 0x55667788


def test_a_word_write_of_flags_does_not_reach_the_command(block):
    block.write(FLAGS, Command.ARCH_ID << 8, 2)
    assert block.window.modern.command == Command.NEXT_EVENT


def test_next_event_starts_at_the_selector_itself(block):
    block.window.plugged(1)
    block.window.plugged(3)
    block.select(1)
    block.write(COMMAND, Command.NEXT_EVENT)
    assert block.read(DATA, 4) == 1


def test_next_event_wraps_around(block):
    block.window.plugged(1)
    block.select(2)
    block.write(COMMAND, Command.NEXT_EVENT)
    assert block.read(DATA, 4) == 1


def test_next_event_without_any_keeps_the_selector(block):
    block.select(2)
    block.write(COMMAND, Command.NEXT_EVENT)
    assert block.read(DATA, 4) == 2


def test_next_event_clears_nothing(block):
    block.window.plugged(1)
    for _ in range(2):
        block.write(COMMAND, Command.NEXT_EVENT)
        assert block.read(FLAGS) == Flag.ENABLED | Flag.INSERT


def test_a_firmware_eject_alone_counts_as_an_event(block):
    block.window.plugged(2, hotplugged=False)
    block.select(2)
    block.write(FLAGS, Flag.FIRMWARE_EJECT)
    block.select(0)
    block.write(COMMAND, Command.NEXT_EVENT)
    assert block.read(DATA, 4) == 2


def test_data_follows_the_selector_after_command_0(block):
    block.write(COMMAND, Command.NEXT_EVENT)
    block.select(3)
    assert block.read(DATA, 4) == 3


# ---------------------------------------------------------------- control writes


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (Flag.INSERT, Flag.REMOVE),
        (Flag.REMOVE, Flag.INSERT),
        (Flag.INSERT | Flag.REMOVE, Flag.REMOVE),
        (Flag.INSERT | Flag.EJECT, Flag.REMOVE),
        (0xFF, Flag.REMOVE),
        (Flag.ENABLED, Flag.INSERT | Flag.REMOVE),
        (0xE0, Flag.INSERT | Flag.REMOVE),
    ],
)
def test_a_control_write_performs_only_its_lowest_action(block, value, left):
    block.window.plugged(1)
    block.window.unplug_requested(1)
    block.select(1)
    block.write(FLAGS, value)
    assert block.read(FLAGS) == Flag.ENABLED | left
    assert block.ejected == []


def test_eject_wins_over_firmware_eject(block):
    block.window.plugged(1)
    block.select(1)
    block.write(FLAGS, Flag.EJECT | Flag.FIRMWARE_EJECT)
    assert block.ejected == [1]
    assert not block.read(FLAGS) & Flag.FIRMWARE_EJECT


def test_eject_empties_the_slot(block):
    block.window.plugged(1, hotplugged=False)
    block.select(1)
    block.write(FLAGS, Flag.EJECT)
    assert block.ejected == [1]
    assert block.read(FLAGS) == 0


@pytest.mark.parametrize("action", [Flag.EJECT, Flag.FIRMWARE_EJECT])
@pytest.mark.parametrize("slot", [0, 1], ids=["boot CPU", "empty slot"])
def test_ejecting_the_boot_cpu_or_an_empty_slot_is_ignored(block, slot, action):
    block.select(slot)
    before = block.window.save()
    with log.captured("guest_errors") as lines:
        block.write(FLAGS, action)
    assert block.ejected == []
    assert block.window.save() == before
    assert len(lines) == 1 and f"CPU {slot}" in lines[0]


def test_eject_clears_the_firmware_request(block):
    block.window.plugged(1, hotplugged=False)
    block.select(1)
    block.write(FLAGS, Flag.FIRMWARE_EJECT)
    block.write(FLAGS, Flag.EJECT)
    assert block.read(FLAGS) == 0


def test_eject_keeps_an_uncleared_remove_event_through_the_next_plug(block):
    block.window.plugged(1, hotplugged=False)
    block.window.unplug_requested(1)
    block.select(1)
    block.write(FLAGS, Flag.EJECT)
    assert block.read(FLAGS) == Flag.REMOVE
    block.window.plugged(1)
    assert block.read(FLAGS) == Flag.ENABLED | Flag.INSERT | Flag.REMOVE


def test_the_slot_is_still_enabled_while_the_machine_takes_the_cpu_away(block):
    seen = []
    block.window.modern.on_eject = lambda slot: seen.append(block.window.slots[slot].enabled)
    block.window.plugged(1)
    block.select(1)
    block.write(FLAGS, Flag.EJECT)
    assert seen == [True]


# ---------------------------------------------------------------- events


def test_a_hot_plug_sets_insert_and_raises_the_event(block):
    block.window.plugged(1)
    block.select(1)
    assert block.read(FLAGS) == Flag.ENABLED | Flag.INSERT
    assert block.io.read(block.gpe_status_port, 1) == CPU_GPE


def test_a_cold_plug_is_no_event(block):
    block.window.plugged(1, hotplugged=False)
    block.select(1)
    assert block.read(FLAGS) == Flag.ENABLED
    assert block.io.read(block.gpe_status_port, 1) == 0


def test_every_unplug_request_raises_the_event_again(block):
    block.window.plugged(1, hotplugged=False)
    for _ in range(2):
        block.window.unplug_requested(1)
        assert block.io.read(block.gpe_status_port, 1) == CPU_GPE
        block.io.write(block.gpe_status_port, 1, CPU_GPE)
    block.select(1)
    assert block.read(FLAGS) == Flag.ENABLED | Flag.REMOVE


def test_pending_events_survive_reset_while_the_gpe_does_not(block):
    block.window.plugged(1)
    block.window.reset()
    block.pm.reset()
    block.write(COMMAND, Command.NEXT_EVENT)
    assert block.read(FLAGS) == Flag.ENABLED | Flag.INSERT
    assert block.io.read(block.gpe_status_port, 1) == 0


# ---------------------------------------------------------------- _OST


def test_ost_is_reported_on_the_status_write(block):
    block.select(1)
    block.write(COMMAND, Command.OST_EVENT)
    block.write(DATA, 3, 4)
    assert block.osts == []
    block.write(COMMAND, Command.OST_STATUS)
    block.write(DATA, 0x84, 4)
    assert block.osts == [(1, 3, 0x84)]


def test_ost_values_pass_through_unvalidated(block):
    block.select(3)
    block.write(COMMAND, Command.OST_EVENT)
    block.write(DATA, 0x103, 4)
    block.write(COMMAND, Command.OST_STATUS)
    block.write(DATA, 0x99, 4)
    block.write(DATA, 0xFFFFFFFF, 4)
    assert block.osts == [(3, 0x103, 0x99), (3, 0x103, 0xFFFFFFFF)]


@pytest.mark.parametrize("command", [Command.NEXT_EVENT, Command.ARCH_ID])
def test_data_writes_of_other_commands_are_ignored(block, command):
    block.write(COMMAND, command)
    before = block.window.save()
    block.write(DATA, 5, 4)
    assert block.window.save() == before
    assert block.osts == []


# ---------------------------------------------------------------- alone


def test_the_block_works_with_no_machine_around():
    block = CpuHotplug([0, 4], present=[0])
    block.plugged(1)
    block.write(0x5, 1, Command.NEXT_EVENT)
    assert block.read(0x8, 4) == 1
    assert block.read(0x4, 1) == Flag.ENABLED | Flag.INSERT


def test_a_snapshot_of_another_topology_is_refused():
    with pytest.raises(ValueError, match="same -smp"):
        CpuHotplug([0, 1]).load(CpuHotplug([0, 1, 2]).save())
