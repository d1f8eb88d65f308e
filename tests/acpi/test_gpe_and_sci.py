"""Chapter 10: how pc and q35 tell the guest: general purpose event 2 and the SCI (ACPI 6.4, section 4.8.4).

The block of general purpose events, at AFE0h on pc and PMBASE + 20h on q35, is half status, half enable.  A status bit latches its
event, enabled or not, until the guest writes a one to it.  The SCI is a level, IRQ 9: high while a fixed event (PM1) or a general
purpose event is both due and enabled.  A reset clears both halves; what is pending in the hot-plug registers stays.
"""

from __future__ import annotations

import pytest

from acpi.pm import GpeEvent, Pm1, Pm1Control
from tests.acpi.boards import CPU_GPE, PM1_CONTROL, PM1_ENABLE, PM1_STATUS


@pytest.mark.spec("gpe.bit", source="QEMU")
def test_a_plug_sets_bit_2_of_the_status(chip):
    chip.plug(1)
    assert chip.gpe_status == CPU_GPE == 1 << 2


@pytest.mark.spec("gpe.latch", source="ACPI")
def test_an_event_that_is_not_enabled_is_latched_without_an_interrupt(chip):
    chip.plug(1)
    assert (chip.gpe_status, chip.sci.level) == (CPU_GPE, 0)


@pytest.mark.spec("gpe.enable-later", source="measured")
def test_enabling_a_latched_event_raises_the_sci(chip):
    chip.plug(1)
    chip.enable_gpe()
    assert chip.sci.level == 1


@pytest.mark.spec("gpe.enabled", source="measured")
def test_an_enabled_event_raises_the_sci_at_once(chip):
    chip.enable_gpe()
    assert chip.sci.level == 0
    chip.plug(1)
    assert chip.sci.level == 1


@pytest.mark.spec("gpe.disable", source="ACPI")
def test_disabling_an_event_lowers_the_sci_and_keeps_the_status(chip):
    chip.enable_gpe()
    chip.plug(1)
    chip.enable_gpe(0)
    assert (chip.gpe_status, chip.sci.level) == (CPU_GPE, 0)


@pytest.mark.spec("gpe.write-one", source="ACPI")
def test_writing_a_one_clears_the_status_and_lowers_the_sci(chip):
    chip.enable_gpe()
    chip.plug(1)
    chip.acknowledge_gpe()
    assert (chip.gpe_status, chip.sci.level) == (0, 0)


@pytest.mark.spec("gpe.write-zero", source="ACPI")
@pytest.mark.parametrize("bits", [0x00, 0xFF & ~CPU_GPE])
def test_writing_zero_to_a_status_bit_leaves_it(chip, bits):
    chip.plug(1)
    chip.acknowledge_gpe(bits)
    assert chip.gpe_status == CPU_GPE


@pytest.mark.spec("gpe.enable-plain", source="ACPI")
def test_the_enable_half_reads_as_it_was_written(chip):
    half = chip.chipset.gpe0_length // 2
    for n in range(half):
        chip.io.write(chip.gpe_enable_port + n, 1, 0xA0 + n)
    assert [chip.io.read(chip.gpe_enable_port + n, 1) for n in range(half)] == [0xA0 + n for n in range(half)]


@pytest.mark.spec("gpe.bytes", source="measured")
def test_a_wide_access_to_the_gpe_block_is_made_of_bytes(chip):
    chip.io.write(chip.gpe_enable_port, 2, 0x1204)
    chip.plug(1)
    assert chip.io.read(chip.gpe_status_port, 2) == CPU_GPE
    assert chip.io.read(chip.gpe_enable_port, 2) == 0x1204
    chip.io.write(chip.gpe_status_port, 2, 0xFFFF)
    assert chip.io.read(chip.gpe_status_port, 2) == 0


@pytest.mark.spec("gpe.again", source="measured")
def test_the_next_plug_after_an_acknowledgement_raises_the_sci_again(chip):
    chip.enable_gpe()
    for slot in (1, 2):
        chip.plug(slot)
        assert chip.sci.level == 1
        chip.acknowledge_gpe()
        assert chip.sci.level == 0


@pytest.mark.spec("gpe.merged", source="ACPI")
def test_two_plugs_before_an_acknowledgement_are_one_event(chip):
    chip.enable_gpe()
    chip.plug(1)
    chip.plug(2)
    chip.acknowledge_gpe()
    assert chip.sci.level == 0
    assert chip.all_flags() == [1, 3, 3, 0]


@pytest.mark.spec("gpe.reset", source="measured")
def test_a_reset_clears_status_and_enable_and_lowers_the_sci(chip):
    chip.enable_gpe()
    chip.plug(1)
    chip.reset()
    assert (chip.gpe_status, chip.gpe_enable, chip.sci.level) == (0, 0, 0)
    assert chip.flags(1) == 3


@pytest.mark.spec("sci.first-byte", source="QEMU")
def test_only_the_first_byte_of_the_gpe_block_reaches_the_sci(board):
    board.io.write(board.gpe_enable_port + 1, 1, 0xFF)
    board.pm.fire(8)
    assert board.sci.level == 0


@pytest.mark.spec("sci.sci-en", source="measured")
def test_the_sci_does_not_wait_for_acpi_mode(chip):
    chip.io.write(PM1_CONTROL, 2, 0)
    assert chip.io.read(PM1_CONTROL, 2) & Pm1Control.SCI_EN == 0
    chip.enable_gpe()
    chip.plug(1)
    assert chip.sci.level == 1


@pytest.mark.spec("sci.pm1", source="ACPI")
def test_a_fixed_event_raises_the_sci_when_it_is_enabled(chip):
    chip.io.write(PM1_ENABLE, 2, Pm1.PWRBTN)
    assert chip.sci.level == 0
    chip.press_power_button()
    assert chip.sci.level == 1
    chip.io.write(PM1_STATUS, 2, Pm1.PWRBTN)
    assert chip.sci.level == 0


def test_a_fixed_event_is_latched_before_it_is_enabled(board):
    """ACPI 6.4, table 4.14; QEMU drops a press of the button that nobody waits for."""
    board.press_power_button()
    assert board.sci.level == 0
    board.io.write(PM1_ENABLE, 2, Pm1.PWRBTN)
    assert board.sci.level == 1


@pytest.mark.spec("sci.shared", source="ACPI")
def test_the_sci_stays_up_while_any_source_is_up(chip):
    chip.io.write(PM1_ENABLE, 2, Pm1.PWRBTN)
    chip.enable_gpe()
    chip.press_power_button()
    chip.plug(1)
    chip.io.write(PM1_STATUS, 2, Pm1.PWRBTN)
    assert chip.sci.level == 1
    chip.acknowledge_gpe()
    assert chip.sci.level == 0


@pytest.mark.spec("sci.other-gpe", source="ACPI")
def test_another_general_purpose_event_keeps_the_sci_up(board):
    board.enable_gpe(0xFF)
    board.plug(1)
    board.pm.fire(GpeEvent.MEMORY_HOTPLUG)
    board.acknowledge_gpe(CPU_GPE)
    assert (board.gpe_status, board.sci.level) == (1 << GpeEvent.MEMORY_HOTPLUG, 1)
