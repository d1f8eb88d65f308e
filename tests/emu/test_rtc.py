"""MC146818 behaviour as in its data sheet, and the bytes that PC firmware reads."""

from __future__ import annotations

from datetime import datetime

import pytest

from emu import log
from emu.bus import AddressSpace
from emu.clock import NS_PER_SECOND, ManualClock
from emu.devices.rtc import Rtc
from emu.irq import Irq

MS = 1_000_000


class Pc:
    def __init__(self, base=datetime(2026, 1, 1)):
        self.clock, self.irq = ManualClock(), Irq()
        self.rtc = Rtc(self.clock, self.irq, base)
        self.io = AddressSpace("io", 1 << 16)
        self.io.map(0x70, 2, self.rtc)

    def get(self, index):
        self.io.write(0x70, 1, index)
        return self.io.read(0x71, 1)

    def set(self, index, value):
        self.io.write(0x70, 1, index)
        self.io.write(0x71, 1, value)

    def time(self):
        return bytes(self.get(i) for i in (0x32, 9, 8, 7, 4, 2, 0)).hex()


@pytest.fixture
def pc():
    return Pc()


def test_starts_at_the_base_date_in_bcd_and_24_hours(pc):
    assert pc.time() == "20260101000000"
    assert pc.get(6) == 5  # Thursday, Sunday being 1
    assert pc.get(0x0B) == 0x02


def test_time_is_virtual_time(pc):
    pc.clock.advance((86_400 + 3_600 * 13 + 62) * NS_PER_SECOND)
    assert pc.time() == "20260102130102"


def test_binary_and_12_hours():
    pc = Pc(datetime(2025, 12, 31, 23, 59, 58))
    pc.set(0x0B, 0x04)
    assert [pc.get(i) for i in (0, 2, 4, 7, 8, 9, 0x32)] == [58, 59, 0x80 | 11, 31, 12, 25, 20]


@pytest.mark.parametrize(("hour", "code"), [(0, 0x12), (1, 0x01), (11, 0x11), (12, 0x92), (13, 0x81), (23, 0x91)])
def test_twelve_hour_codes_round_trip(hour, code):
    pc = Pc(datetime(2026, 1, 1, hour))
    pc.set(0x0B, 0x00)
    assert pc.get(4) == code
    pc.set(4, code)
    pc.set(0x0B, 0x02)
    assert pc.get(4) == int(f"{hour:02}", 16)


def test_update_in_progress_shows_for_the_last_244_microseconds(pc):
    pc.clock.advance(NS_PER_SECOND - 245_000)
    assert pc.get(0x0A) == 0x26
    pc.clock.advance(2_000)
    assert pc.get(0x0A) == 0xA6
    pc.clock.advance(243_000)
    assert pc.get(0x0A) == 0x26


def test_set_bit_stops_the_time_and_loads_it_when_cleared(pc):
    pc.set(0x0B, 0x82)
    for index, value in ((0, 0x30), (2, 0x59), (4, 0x12), (7, 0x28), (8, 0x02), (9, 0x24)):
        pc.set(index, value)
    pc.clock.advance(5 * NS_PER_SECOND)
    assert pc.time() == "20240228125930"
    pc.set(0x0B, 0x02)
    pc.clock.advance(86_400 * NS_PER_SECOND)
    assert pc.time() == "20240229125930"


def test_set_bit_clears_update_interrupt_enable(pc):
    pc.set(0x0B, 0x92)
    assert pc.get(0x0B) == 0x82


def test_impossible_date_is_reported_and_ignored(pc):
    with log.captured("guest_errors") as lines:
        pc.set(8, 0x13)
    assert "no time" in lines[0]
    assert pc.time() == "20260101000000"


def test_divider_reset_holds_the_time_and_first_update_comes_after_half_a_second(pc):
    pc.set(0x0A, 0x76)
    pc.clock.advance(10 * NS_PER_SECOND)
    assert pc.get(0) == 0
    pc.set(0x0A, 0x26)
    pc.clock.advance(499 * MS)
    assert pc.get(0) == 0
    pc.clock.advance(2 * MS)
    assert pc.get(0) == 1


def test_periodic_interrupt_at_1024_hz_is_exact(pc):
    pc.set(0x0B, 0x42)
    fired = 0
    for _ in range(1024):
        pc.clock.advance(NS_PER_SECOND // 1024 + 1)
        fired += pc.irq.level
        assert pc.get(0x0C) in (0xC0, 0xD0)
        assert pc.irq.level == 0
    assert fired == 1024


@pytest.mark.parametrize(("rate", "hz"), [(1, 256), (2, 128), (3, 8192), (6, 1024), (15, 2)])
def test_periodic_rates(pc, rate, hz):
    pc.set(0x0A, 0x20 | rate)
    pc.set(0x0B, 0x42)
    pc.clock.advance(NS_PER_SECOND // hz - 1)
    assert pc.irq.level == 0
    pc.clock.advance(2)
    assert pc.irq.level == 1


def test_rate_zero_is_silent(pc):
    pc.set(0x0A, 0x20)
    pc.set(0x0B, 0x42)
    pc.clock.advance(NS_PER_SECOND // 2)
    assert (pc.irq.level, pc.get(0x0C)) == (0, 0)


def test_flags_are_set_without_their_enables_but_do_not_interrupt(pc):
    pc.clock.advance(NS_PER_SECOND)
    assert pc.irq.level == 0
    assert pc.get(0x0C) == 0x50
    assert pc.get(0x0C) == 0x00


def test_update_interrupt_once_a_second_until_register_c_is_read(pc):
    pc.set(0x0B, 0x12)
    pc.clock.advance(NS_PER_SECOND - 1)
    assert pc.irq.level == 0
    pc.clock.advance(1)
    assert pc.irq.level == 1
    pc.clock.advance(NS_PER_SECOND)
    assert pc.irq.level == 1
    assert pc.get(0x0C) & 0x90 == 0x90
    assert pc.irq.level == 0


def test_enabling_an_interrupt_whose_flag_is_set_raises_the_line(pc):
    pc.clock.advance(NS_PER_SECOND)
    pc.set(0x0B, 0x12)
    assert pc.irq.level == 1


def set_alarm(pc, hours, minutes, seconds):
    for index, value in ((5, hours), (3, minutes), (1, seconds)):
        pc.set(index, value)
    pc.get(0x0C)
    pc.set(0x0B, 0x22)


def test_alarm_fires_at_its_time_of_day(pc):
    set_alarm(pc, 0x01, 0x02, 0x03)
    pc.clock.advance(3722 * NS_PER_SECOND)
    assert pc.irq.level == 0
    pc.clock.advance(NS_PER_SECOND)
    assert pc.irq.level == 1
    assert pc.get(0x0C) & 0x20


def test_alarm_earlier_in_the_day_fires_tomorrow(pc):
    pc.clock.advance(7200 * NS_PER_SECOND)
    set_alarm(pc, 0x01, 0x00, 0x00)
    pc.clock.advance(22 * 3600 * NS_PER_SECOND)
    assert pc.irq.level == 0
    pc.clock.advance(3600 * NS_PER_SECOND)
    assert pc.irq.level == 1


def test_alarm_with_any_hour_and_minute_fires_every_minute(pc):
    set_alarm(pc, 0xC0, 0xFF, 0x30)
    for expected in (30, 90, 150):
        pc.clock.advance(expected * NS_PER_SECOND - pc.clock.now - 1)
        assert pc.irq.level == 0
        pc.clock.advance(1)
        assert pc.irq.level == 1
        pc.get(0x0C)


def test_alarm_that_is_no_time_never_fires(pc):
    set_alarm(pc, 0x25, 0x00, 0x00)
    pc.clock.advance(2 * 86_400 * NS_PER_SECOND)
    assert pc.irq.level == 0


def test_registers_c_and_d_are_read_only(pc):
    pc.set(0x0C, 0xFF)
    pc.set(0x0D, 0x00)
    assert (pc.get(0x0C), pc.get(0x0D)) == (0, 0x80)


def test_index_port_reads_ones_and_bit_7_masks_nmi(pc):
    pc.io.write(0x70, 1, 0x8F)
    assert pc.io.read(0x70, 1) == 0xFF
    assert pc.rtc.nmi_disabled
    pc.io.write(0x70, 1, 0x0F)
    assert not pc.rtc.nmi_disabled


def test_reset_clears_interrupts_and_keeps_time_and_ram(pc):
    pc.set(0x0B, 0x72)
    pc.set(0x40, 0xA5)
    pc.clock.advance(NS_PER_SECOND)
    pc.rtc.reset()
    assert (pc.irq.level, pc.get(0x0B), pc.get(0x40), pc.get(0)) == (0, 0x02, 0xA5, 0x01)


def test_memory_sizes_where_firmware_reads_them(pc):
    pc.rtc.set_memory_size(3 << 30, 1 << 30)
    words = [pc.get(index) | pc.get(index + 1) << 8 for index in (0x15, 0x17, 0x30, 0x34)]
    assert words == [640, 0xFFFF, 0xFFFF, ((3 << 30) - (16 << 20)) >> 16]
    assert pc.get(0x5B) | pc.get(0x5C) << 8 | pc.get(0x5D) << 16 == 0x4000


@pytest.mark.parametrize(("cpus", "byte"), [(1, 0), (4, 3), (255, 254), (256, 0), (288, 0)])
def test_cpu_count_byte(pc, cpus, byte):
    pc.rtc.set_cpus(cpus)
    assert pc.get(0x5F) == byte


def test_equipment_and_boot_order(pc):
    pc.rtc.set_equipment()
    pc.rtc.set_boot_order((2, 3), skip_signature_check=True)
    assert (pc.get(0x14), pc.get(0x3D), pc.get(0x38)) == (0x06, 0x32, 0x01)
