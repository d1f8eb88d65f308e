"""PM1 block, PM timer and the APM control port of both chipsets.  General purpose events: test_gpe_and_sci.py."""

from __future__ import annotations

import pytest

from acpi.platform import ICH9
from acpi.pm import PM_TIMER_HZ, AcpiPm, GpeEvent, Pm1, Pm1Control, PmGeometry
from emu import log
from emu.clock import NS_PER_SECOND, ManualClock
from emu.irq import Irq

STS, EN, CNT, TMR = 0x600, 0x602, 0x604, 0x608
SMI_EN, SMI_STS = 0x630, 0x634
APM_CONTROL, APM_STATUS = 0xB2, 0xB3
HALF_PERIOD = 1 << 23
CPU_GPE = 1 << GpeEvent.CPU_HOTPLUG


def advance_to_tick(board, tick: int) -> None:
    board.clock.advance(-(-tick * NS_PER_SECOND // PM_TIMER_HZ) - board.clock.now)


# ---------------------------------------------------------------- PM timer


def test_the_timer_counts_3579545_times_a_second(board):
    board.clock.advance(NS_PER_SECOND)
    assert board.io.read(TMR, 4) == 3_579_545


def test_the_timer_wraps_at_24_bits(board):
    advance_to_tick(board, (1 << 24) + 5)
    assert board.io.read(TMR, 4) == 5


def test_a_32_bit_timer_goes_on():
    geometry = PmGeometry("wide", 64, 4, None, None, 0xF1, 0xF0)
    clock = ManualClock()
    pm = AcpiPm(geometry, clock, Irq(), timer_width=32)
    clock.advance(10 * NS_PER_SECOND)
    assert pm.read(8, 4) == 35_795_450


def test_the_timer_can_be_read_by_bytes(board):
    advance_to_tick(board, 0x123456)
    assert [board.io.read(TMR + n, 1) for n in range(4)] == [0x56, 0x34, 0x12, 0]


def test_the_timer_ignores_writes(board):
    board.io.write(TMR, 4, 0xFFFFFFFF)
    assert board.io.read(TMR, 4) == 0


@pytest.mark.parametrize("toggles", [1, 2, 3])
def test_timer_status_is_set_whenever_the_top_bit_toggles(board, toggles):
    advance_to_tick(board, (toggles - 1) * HALF_PERIOD)
    board.io.write(STS, 2, Pm1.TMR)
    advance_to_tick(board, toggles * HALF_PERIOD - 1)
    assert board.io.read(STS, 2) == 0
    advance_to_tick(board, toggles * HALF_PERIOD)
    assert board.io.read(STS, 2) == Pm1.TMR


def test_the_timer_raises_the_sci_on_its_own_when_enabled(board):
    board.io.write(EN, 2, Pm1.TMR)
    advance_to_tick(board, HALF_PERIOD - 1)
    assert board.sci.level == 0
    advance_to_tick(board, HALF_PERIOD)
    assert board.sci.level == 1


def test_acknowledging_the_timer_lowers_the_sci_until_the_next_toggle(board):
    board.io.write(EN, 2, Pm1.TMR)
    advance_to_tick(board, HALF_PERIOD)
    board.io.write(STS, 2, Pm1.TMR)
    assert board.sci.level == 0
    advance_to_tick(board, 2 * HALF_PERIOD)
    assert board.sci.level == 1


def test_a_disabled_timer_arms_no_alarm(board):
    assert board.clock.deadline is None
    board.io.write(EN, 2, Pm1.TMR)
    assert board.clock.deadline is not None
    board.io.write(EN, 2, 0)
    assert board.clock.deadline is None


def test_a_toggle_while_disabled_raises_the_sci_when_enabled(board):
    advance_to_tick(board, HALF_PERIOD)
    board.io.write(EN, 2, Pm1.TMR)
    assert board.sci.level == 1


# ---------------------------------------------------------------- PM1 event


def test_the_power_button_sets_its_status_and_with_enable_the_sci(board):
    board.pm.power_button()
    assert (board.io.read(STS, 2), board.sci.level) == (Pm1.PWRBTN, 0)
    board.io.write(EN, 2, Pm1.PWRBTN)
    assert board.sci.level == 1
    board.io.write(STS, 2, Pm1.PWRBTN)
    assert (board.io.read(STS, 2), board.sci.level) == (0, 0)


def test_status_bits_clear_only_where_one_is_written(board):
    board.pm.power_button()
    board.io.write(STS, 2, 0xFFFF & ~Pm1.PWRBTN)
    assert board.io.read(STS, 2) == Pm1.PWRBTN


@pytest.mark.parametrize(("port", "value"), [(STS + 1, Pm1.PWRBTN >> 8), (STS, Pm1.PWRBTN)])
def test_a_byte_write_of_status_touches_only_its_lane(board, port, value):
    board.pm.power_button()
    board.io.write(port, 1, value & 0xFF)
    assert board.io.read(STS, 2) == (0 if port == STS + 1 else Pm1.PWRBTN)


def test_a_byte_write_of_enable_keeps_the_other_byte(board):
    board.io.write(EN, 2, Pm1.RTC | Pm1.GBL)
    board.io.write(EN, 1, Pm1.TMR)
    assert board.io.read(EN, 2) == Pm1.RTC | Pm1.TMR
    assert board.io.read(STS, 4) >> 16 == Pm1.RTC | Pm1.TMR


def test_sleep_button_and_wake_status_are_no_sci_sources(board):
    board.io.write(EN, 2, 0xFFFF)
    board.pm.sts = Pm1.SLPBTN | Pm1.WAK | Pm1.BM
    board.pm.update()
    assert board.sci.level == 0


# ---------------------------------------------------------------- PM1 control


@pytest.mark.parametrize("slp_typ", [0, 2], ids=["S5", "S4"])
def test_entering_s5_or_s4_shuts_down(board, slp_typ):
    board.io.write(CNT, 2, slp_typ << 10 | Pm1Control.SLP_EN)
    assert board.shutdowns == 1


def test_sleep_type_without_sleep_enable_does_nothing(board):
    board.io.write(CNT, 2, 0 << 10)
    assert board.shutdowns == 0


def test_sleep_enable_reads_zero(board):
    board.io.write(CNT, 2, 2 << 10 | Pm1Control.SLP_EN)
    assert board.io.read(CNT, 2) == 2 << 10


@pytest.mark.parametrize(("slp_typ", "mask"), [(1, "unimp"), (5, "guest_errors")])
def test_other_sleep_types_are_logged_and_go_on(board, slp_typ, mask):
    with log.captured(mask) as lines:
        board.io.write(CNT, 2, slp_typ << 10 | Pm1Control.SLP_EN)
    assert board.shutdowns == 0
    assert len(lines) == 1


# ---------------------------------------------------------------- APM control


def test_acpi_is_enabled_and_disabled_by_smi_commands(board):
    board.io.write(APM_CONTROL, 1, board.chipset.acpi_enable)
    assert board.io.read(CNT, 2) & Pm1Control.SCI_EN
    board.io.write(APM_CONTROL, 1, board.chipset.acpi_disable)
    assert not board.io.read(CNT, 2) & Pm1Control.SCI_EN


def test_other_smi_commands_go_to_firmware(board):
    seen = []
    board.pm.on_smi = seen.append
    board.io.write(APM_CONTROL, 1, 4)
    assert seen == [4]
    assert board.io.read(APM_CONTROL, 1) == 4
    assert not board.pm.acpi_enabled


def test_the_apm_status_port_is_a_scratch_byte(board):
    board.io.write(APM_STATUS, 1, 0x5A)
    assert board.io.read(APM_STATUS, 1) == 0x5A


def test_a_machine_without_smm_is_in_acpi_mode_from_reset():
    pm = AcpiPm(PmGeometry("no-smm", 64, 4, None, None, 0xF1, 0xF0), ManualClock(), Irq(), always_acpi=True)
    assert pm.acpi_enabled
    pm.apm.write(0, 1, 0xF0)
    assert pm.acpi_enabled


# ---------------------------------------------------------------- reset, SMI registers, snapshots


def test_reset_clears_all_registers_and_the_sci(board):
    board.io.write(EN, 2, Pm1.PWRBTN)
    board.io.write(CNT, 2, Pm1Control.SCI_EN)
    board.io.write(board.gpe_enable_port, 1, 0xFF)
    board.pm.power_button()
    board.pm.fire(GpeEvent.CPU_HOTPLUG)
    board.pm.reset()
    assert board.sci.level == 0
    assert [board.io.read(p, 2) for p in (STS, EN, CNT, board.gpe_status_port, board.gpe_enable_port)] == [0] * 5


def test_reset_forgets_a_timer_toggle(board):
    advance_to_tick(board, HALF_PERIOD)
    board.pm.reset()
    assert board.io.read(STS, 2) == 0


def test_ich9_keeps_smi_enable_and_clears_smi_status_by_ones():
    from tests.acpi.boards import Board

    board = Board(ICH9, [0])
    board.io.write(SMI_EN, 4, 0x2021)
    board.io.write(SMI_EN, 1, 0x20)
    assert board.io.read(SMI_EN, 4) == 0x2020
    board.pm.smi_sts = 0x60
    board.io.write(SMI_STS, 4, 0x20)
    assert board.io.read(SMI_STS, 4) == 0x40


def test_a_snapshot_round_trips_with_its_lines_and_alarm(board, chipset):
    from tests.acpi.boards import Board

    board.io.write(EN, 2, Pm1.TMR)
    board.io.write(board.gpe_enable_port, 1, CPU_GPE)
    board.pm.fire(GpeEvent.CPU_HOTPLUG)
    board.io.write(APM_STATUS, 1, 7)
    other = Board(chipset, [0, 1, 2, 3])
    other.pm.load(board.pm.save())
    other.sci.load(board.sci.save())
    assert other.pm.save() == board.pm.save()
    assert (other.sci.level, other.clock.deadline) == (1, board.clock.deadline)
