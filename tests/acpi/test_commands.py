"""Chapter 7: commands, offset 5, and what the data registers show under each.

0 selects the next CPU with an event, and data (offset 8) then reads as the selector; 1 and 2 take the two numbers of _OST
(chapter 8); 3 makes data and data2 (offset 0) show the CPU's architecture id, an APIC id or MPIDR of 64 bits.  Other codes are ignored.
"""

from __future__ import annotations

import pytest

from acpi.cpu_hotplug import Command, Flag
from tests.acpi.boards import DATA, DATA2, FLAGS


@pytest.mark.spec("cmd.initial", source="specification")
def test_command_0_is_in_force_at_power_on(block):
    block.select(3)
    assert block.data() == 3


@pytest.mark.spec("cmd.next", source="specification")
def test_command_0_selects_the_next_cpu_with_an_event(block):
    block.plug(2)
    block.select(0)
    block.command(Command.NEXT_EVENT)
    assert block.data() == 2
    assert block.read(FLAGS) & ~block.always == Flag.ENABLED | Flag.INSERT


@pytest.mark.spec("cmd.next-inclusive", source="QEMU")
def test_the_search_begins_with_the_selected_cpu(block):
    block.plug(1)
    block.plug(2)
    block.select(1)
    block.command(Command.NEXT_EVENT)
    assert block.data() == 1


@pytest.mark.spec("cmd.next-wraps", source="specification")
def test_the_search_goes_on_from_the_first_cpu_after_the_last(block):
    block.plug(1)
    block.select(2)
    block.command(Command.NEXT_EVENT)
    assert block.data() == 1


@pytest.mark.spec("cmd.next-none", source="specification")
def test_without_any_event_the_selector_stays(block):
    block.select(2)
    block.command(Command.NEXT_EVENT)
    assert block.data() == 2


@pytest.mark.spec("cmd.next-clears-nothing", source="specification")
def test_finding_an_event_does_not_clear_it(block):
    block.plug(1)
    for _ in range(2):
        block.command(Command.NEXT_EVENT)
        assert block.read(FLAGS) & Flag.INSERT


@pytest.mark.spec("cmd.next-kinds", source="QEMU")
@pytest.mark.parametrize("kind", ["insert", "remove", "firmware"])
def test_each_kind_of_event_alone_is_found(power_on, kind):
    block = power_on(present=(0, 1) if kind == "insert" else (0, 1, 2))
    if kind == "insert":
        block.plug(2)
    elif kind == "remove":
        block.request_unplug(2)
    else:
        block.select(2)
        block.write(FLAGS, Flag.FIRMWARE_EJECT)
    block.select(0)
    block.command(Command.NEXT_EVENT)
    assert block.data() == 2


@pytest.mark.spec("cmd.next-on-write", source="specification")
def test_the_search_happens_when_the_command_is_written(block):
    block.select(0)
    block.command(Command.NEXT_EVENT)
    block.plug(1)
    assert block.data() == 0
    block.command(Command.NEXT_EVENT)
    assert block.data() == 1


@pytest.mark.spec("cmd.next-empty-slot", source="measured")
def test_an_event_left_behind_on_an_empty_slot_is_found_too(power_on):
    block = power_on(present=(0, 1))
    block.request_unplug(1)
    block.select(1)
    block.write(FLAGS, Flag.EJECT)
    block.select(0)
    block.command(Command.NEXT_EVENT)
    assert block.data() == 1


@pytest.mark.spec("cmd.data-echoes", source="specification")
def test_under_command_0_data_reads_as_the_selector(block):
    block.command(Command.NEXT_EVENT)
    for slot in range(4):
        block.select(slot)
        assert block.data() == slot


@pytest.mark.spec("cmd.arch-id", source="specification")
def test_command_3_shows_the_architecture_id(power_on_ports):
    block = power_on_ports((0, 1, 2, 4, 5, 6), cores=3)
    block.command(Command.ARCH_ID)
    seen = []
    for slot in range(6):
        block.select(slot)
        seen.append(block.data())
    assert seen == [0, 1, 2, 4, 5, 6]


@pytest.mark.spec("cmd.arch-id-halves", source="specification")
def test_data2_has_the_upper_half_of_the_architecture_id(wide):
    wide.select(2)
    wide.command(Command.ARCH_ID)
    assert (wide.read(DATA, 4), wide.read(DATA2, 4)) == (0x55667788, 0x11223344)


@pytest.mark.spec("cmd.arch-id-empty", source="QEMU")
def test_an_empty_slot_has_its_architecture_id(block):
    block.select(3)
    block.command(Command.ARCH_ID)
    assert block.data() == block.arch_ids[3]


@pytest.mark.spec("cmd.data2-zero", source="specification")
@pytest.mark.parametrize("command", [Command.NEXT_EVENT, Command.OST_EVENT, Command.OST_STATUS])
def test_data2_is_zero_under_every_other_command(wide, command):
    wide.select(2)
    wide.command(command)
    assert wide.read(DATA2, 4) == 0


@pytest.mark.spec("cmd.unknown", source="measured")
@pytest.mark.parametrize("code", [4, 5, 0x80, 0xFF])
def test_an_unknown_command_leaves_the_old_one_in_force(block, code):
    block.plug(1)
    block.select(2)
    block.command(Command.ARCH_ID)
    block.command(code)
    assert block.data() == block.arch_ids[2]


@pytest.mark.spec("cmd.write-only-data", source="specification")
@pytest.mark.parametrize("command", [Command.NEXT_EVENT, Command.ARCH_ID])
def test_data_written_under_commands_that_take_none_is_ignored(block, command):
    block.select(1)
    block.command(command)
    before = block.data()
    block.write(DATA, 5, 4)
    assert block.data() == before
    assert block.osts == []


@pytest.mark.spec("cmd.reset", source="QEMU")
def test_the_command_survives_a_reset(block):
    block.command(Command.ARCH_ID)
    block.reset()
    block.select(3)
    assert block.data() == block.arch_ids[3]
    block.command(Command.OST_EVENT)
    block.reset()
    assert block.data() == 0
