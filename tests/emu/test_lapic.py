"""Local APIC behaviour as in the SDM, volume 3A."""

from __future__ import annotations

import pytest

from emu import log
from emu.clock import Clock, ManualClock
from emu.devices.apic_bus import ApicBus, DeliveryMode
from emu.devices.lapic import LocalApic
from emu.devices.msi import ApicWindow, send_msi
from emu.devices.pic import PicPair

ID, VERSION, TPR, PPR, EOI, LDR, DFR, SVR = 0x20, 0x30, 0x80, 0xA0, 0xB0, 0xD0, 0xE0, 0xF0
ISR, TMR, IRR, ESR, ICR_LOW, ICR_HIGH = 0x100, 0x180, 0x200, 0x280, 0x300, 0x310
LVT_TIMER, LINT0, LINT1, LVT_ERROR, INITIAL, CURRENT, DIVIDE = 0x320, 0x350, 0x360, 0x370, 0x380, 0x390, 0x3E0
ENABLE, MASKED, PERIODIC, DEADLINE = 0x100, 1 << 16, 1 << 17, 2 << 17
DIVIDE_BY_1, DIVIDE_BY_16 = 0xB, 0x3
APIC_BASE, TSC_DEADLINE = 0x1B, 0x6E0
EN, EXTD, BSP = 1 << 11, 1 << 10, 1 << 8


class Vcpu:
    """Notes what its local APIC tells it."""

    def __init__(self):
        self.events = []

    def on_change(self):
        if "change" not in self.events[-1:]:
            self.events.append("change")

    def on_nmi(self):
        self.events.append("nmi")

    def on_smi(self):
        self.events.append("smi")

    def on_init(self):
        self.events.append("init")

    def on_sipi(self, vector):
        self.events.append(("sipi", vector))


class System:
    """Some vCPUs on one bus, APIC ids 0 up, all software-enabled."""

    def __init__(self, ids=(0, 1, 2, 3)):
        self.clock, self.bus = ManualClock(), ApicBus()
        self.apics = [self.plug(apic_id) for apic_id in ids]

    def plug(self, apic_id):
        lapic = LocalApic(apic_id, self.bus, Vcpu(), self.clock, bsp=apic_id == 0, tsc=lambda: 2 * self.clock.now,
                          ns_of_tsc=lambda tsc: tsc // 2)
        self.bus.add(lapic)
        lapic.write(SVR, 4, ENABLE | 0xFF)
        return lapic

    def receivers(self, vector):
        return [lapic.apic_id for lapic in self.apics if lapic.irr >> vector & 1]


@pytest.fixture
def system():
    return System()


@pytest.fixture
def lapic(system):
    return system.apics[0]


def read(lapic, offset):
    return lapic.read(offset, 4)


def write(lapic, offset, value):
    lapic.write(offset, 4, value)


def fixed(lapic, vector, trigger=0):
    lapic.bus.deliver(lapic.apic_id, 0, DeliveryMode.FIXED, vector, trigger)


# ---- reset and identity ---------------------------------------------------------------------------------------------

def test_reset_values():
    lapic = LocalApic(5, ApicBus(), Vcpu(), Clock(lambda: 0))

    values = {offset: read(lapic, offset) for offset in (ID, VERSION, TPR, PPR, LDR, DFR, SVR, ESR, LVT_TIMER, LINT0)}

    assert values == {ID: 5 << 24, VERSION: 0x50014, TPR: 0, PPR: 0, LDR: 0, DFR: 0xFFFF_FFFF, SVR: 0xFF, ESR: 0,
                      LVT_TIMER: MASKED, LINT0: MASKED}
    assert lapic.wait_for_sipi


def test_boot_processor_resets_into_virtual_wire_mode_and_runs():
    lapic = LocalApic(0, ApicBus(), Vcpu(), Clock(lambda: 0), bsp=True)

    assert read(lapic, LINT0) == 0x700 and read(lapic, LINT1) == 0x400
    assert lapic.accept_pic_intr() and not lapic.wait_for_sipi
    assert lapic.read_msr(APIC_BASE) == 0xFEE0_0000 | EN | BSP


def test_illegal_register_sets_the_error_status_once_it_is_latched(lapic):
    with log.captured("guest_errors") as lines:
        assert read(lapic, 0x40) == 0

    assert lines and read(lapic, ESR) == 0
    write(lapic, ESR, 0)
    assert read(lapic, ESR) == 0x80
    write(lapic, ESR, 0)
    assert read(lapic, ESR) == 0


# ---- priorities -----------------------------------------------------------------------------------------------------

def test_highest_vector_is_delivered_first_and_holds_back_its_class(lapic):
    fixed(lapic, 0x41)
    fixed(lapic, 0x52)

    assert lapic.acknowledge() == 0x52
    assert read(lapic, PPR) == 0x50 and lapic.pending_vector() is None
    fixed(lapic, 0x5F)
    assert lapic.pending_vector() is None
    fixed(lapic, 0x60)
    assert lapic.acknowledge() == 0x60


def test_eoi_retires_the_highest_vector_in_service(lapic):
    for vector in (0x41, 0x52):
        fixed(lapic, vector)
        lapic.acknowledge()

    write(lapic, EOI, 0)

    assert read(lapic, ISR + 0x10 * (0x41 // 32)) == 1 << 0x41 % 32
    assert read(lapic, ISR + 0x10 * (0x52 // 32)) == 1 << 0x41 % 32  # both are in the same word
    assert read(lapic, PPR) == 0x40


def test_task_priority_holds_back_its_class_and_cr8_is_its_upper_half(lapic):
    fixed(lapic, 0x45)

    write(lapic, TPR, 0x4F)
    assert lapic.pending_vector() is None and lapic.cr8 == 4 and read(lapic, PPR) == 0x4F
    lapic.cr8 = 3
    assert lapic.pending_vector() == 0x45 and read(lapic, TPR) == 0x30


def test_interrupt_that_vanished_is_acknowledged_as_spurious(lapic):
    write(lapic, SVR, ENABLE | 0xEF)

    assert lapic.acknowledge() == 0xEF
    assert all(read(lapic, ISR + 0x10 * word) == 0 for word in range(8))


def test_software_disabled_apic_takes_no_fixed_interrupts_and_masks_its_table(lapic):
    write(lapic, LVT_TIMER, 0x40)
    write(lapic, SVR, 0xFF)

    fixed(lapic, 0x50)
    write(lapic, LVT_TIMER, 0x40)

    assert lapic.irr == 0 and read(lapic, LVT_TIMER) == 0x40 | MASKED


def test_vector_below_16_is_an_error_and_raises_the_error_interrupt(lapic):
    write(lapic, LVT_ERROR, 0xFE)

    fixed(lapic, 0x0F)

    write(lapic, ESR, 0)
    assert read(lapic, ESR) == 0x40 and lapic.pending_vector() == 0xFE


def test_level_vectors_are_noted_and_their_eoi_is_broadcast(system, lapic):
    ended = []
    system.bus.io_apics.append(type("IoApic", (), {"end_of_interrupt": lambda self, vector: ended.append(vector)})())
    for vector, trigger in ((0x61, 1), (0x72, 0)):
        fixed(lapic, vector, trigger)
        lapic.acknowledge()

    assert read(lapic, TMR + 0x10 * (0x61 // 32)) == 1 << 0x61 % 32
    write(lapic, EOI, 0)
    assert ended == []
    write(lapic, EOI, 0)
    assert ended == [0x61]


# ---- interprocessor interrupts --------------------------------------------------------------------------------------

def ipi(lapic, low, destination=0):
    write(lapic, ICR_HIGH, destination << 24)
    write(lapic, ICR_LOW, low)


@pytest.mark.parametrize("low, destination, expected", [
    (0x0045, 2, [2]),
    (0x0045, 7, []),
    (0x0045, 0xFF, [0, 1, 2, 3]),
    (0x4_0045, 0, [0]),
    (0x8_0045, 0, [0, 1, 2, 3]),
    (0xC_0045, 0, [1, 2, 3]),
])
def test_physical_destinations_and_shorthands(system, lapic, low, destination, expected):
    ipi(lapic, low, destination)

    assert system.receivers(0x45) == expected


@pytest.mark.parametrize("destination, expected", [(0b0110, [1, 2]), (0b1000, [3]), (0xFF, [0, 1, 2, 3]), (0x30, [])])
def test_flat_logical_destination_is_a_mask(system, lapic, destination, expected):
    for each in system.apics:
        write(each, LDR, 1 << 24 + each.apic_id)

    ipi(lapic, 0x845, destination)

    assert system.receivers(0x45) == expected


@pytest.mark.parametrize("destination, expected", [(0x01, [0]), (0x13, [2, 3]), (0x03, [0, 1]), (0xF1, [0, 2])])
def test_cluster_logical_destination_names_cluster_and_members(system, lapic, destination, expected):
    for each in system.apics:
        write(each, DFR, 0)
        write(each, LDR, (each.apic_id >> 1) << 28 | 1 << 24 + (each.apic_id & 1))

    ipi(lapic, 0x845, destination)

    assert system.receivers(0x45) == expected


def test_lowest_priority_goes_to_the_least_busy_then_to_the_lowest_id(system, lapic):
    for each in system.apics[:2]:
        write(each, TPR, 0x80)

    ipi(lapic, 0x145, 0xFF)

    assert system.receivers(0x45) == [2]


def test_sending_a_vector_below_16_is_an_error_and_sends_nothing(system, lapic):
    ipi(lapic, 0x0005, 1)

    write(lapic, ESR, 0)
    assert read(lapic, ESR) == 0x20 and system.receivers(5) == []


def test_init_and_the_first_startup_message_start_a_processor(system, lapic):
    target = system.apics[2]
    write(target, TPR, 0x50)
    target.owner.events.clear()

    ipi(lapic, 0xC500, 2)
    ipi(lapic, 0x8500, 2)  # INIT level de-assert
    ipi(lapic, 0x4610, 2)
    ipi(lapic, 0x4610, 2)

    assert target.owner.events == ["init", ("sipi", 0x10)]
    assert read(target, TPR) == 0 and read(target, ID) == 2 << 24 and not target.wait_for_sipi


def test_startup_message_without_init_is_ignored_by_a_running_processor(system, lapic):
    ipi(lapic, 0x4610, 2)
    system.apics[2].owner.events.clear()

    ipi(lapic, 0x4620, 2)

    assert system.apics[2].owner.events == []


def test_boot_processor_does_not_wait_after_init(system, lapic):
    ipi(system.apics[1], 0xC500, 0)

    assert lapic.owner.events[-1] == "init" and not lapic.wait_for_sipi


def test_nmi_and_smi_go_to_the_processor_whatever_the_priority(system, lapic):
    target = system.apics[1]
    write(target, TPR, 0xFF)
    target.owner.events.clear()

    ipi(lapic, 0x4400, 1)
    ipi(lapic, 0x4200, 1)

    assert target.owner.events == ["nmi", "smi"]


def test_hot_plugged_apic_receives_and_an_unplugged_one_does_not(system, lapic):
    system.apics.append(system.plug(9))
    ipi(lapic, 0x0045, 9)
    assert system.receivers(0x45) == [9]

    system.bus.remove(system.apics[1])
    ipi(lapic, 0x0046, 0xFF)
    assert system.receivers(0x46) == [0, 2, 3, 9]


def test_taken_apic_id_cannot_be_plugged_again(system):
    with pytest.raises(ValueError, match="APIC id 2 is taken"):
        system.plug(2)


# ---- timer ----------------------------------------------------------------------------------------------------------

def start_timer(lapic, count, mode=0, divide=DIVIDE_BY_1, vector=0xEC):
    write(lapic, DIVIDE, divide)
    write(lapic, LVT_TIMER, mode | vector)
    write(lapic, INITIAL, count)


def test_one_shot_expires_once_and_stays_at_zero(system, lapic):
    start_timer(lapic, 100, divide=DIVIDE_BY_16)

    system.clock.advance(16 * 40)
    assert read(lapic, CURRENT) == 60
    system.clock.advance(16 * 60 - 1)
    assert lapic.pending_vector() is None and read(lapic, CURRENT) == 1
    system.clock.advance(1)
    assert lapic.acknowledge() == 0xEC and read(lapic, CURRENT) == 0
    system.clock.advance(10_000)
    assert lapic.irr == 0


@pytest.mark.parametrize("configuration, divisor", [(0, 2), (1, 4), (2, 8), (3, 16), (8, 32), (9, 64), (10, 128), (11, 1)])
def test_divide_configuration(system, lapic, configuration, divisor):
    start_timer(lapic, 1000, divide=configuration)

    system.clock.advance(10 * divisor)

    assert read(lapic, CURRENT) == 990


def test_periodic_timer_reloads_without_drift(system, lapic):
    start_timer(lapic, 1000, PERIODIC)
    ticks = 0

    for _ in range(5):
        system.clock.advance(1000)
        ticks += lapic.acknowledge() == 0xEC
        write(lapic, EOI, 0)

    assert ticks == 5
    system.clock.advance(250)
    assert read(lapic, CURRENT) == 750


def test_late_periodic_timer_expires_once_and_keeps_its_phase(system, lapic):
    start_timer(lapic, 1000, PERIODIC)

    system.clock.source = lambda: 3500  # nobody ran the clock meanwhile
    assert system.clock.run_due() == 1

    assert system.clock.deadline == 4000 and read(lapic, CURRENT) == 500


def test_masked_timer_counts_but_stays_silent(system, lapic):
    start_timer(lapic, 100, MASKED)

    system.clock.advance(99)
    assert read(lapic, CURRENT) == 1
    system.clock.advance(1)

    assert lapic.irr == 0


def test_writing_zero_stops_the_timer(system, lapic):
    start_timer(lapic, 100)

    write(lapic, INITIAL, 0)
    system.clock.advance(1000)

    assert lapic.irr == 0 and read(lapic, CURRENT) == 0


def test_tsc_deadline_expires_when_the_tsc_gets_there_and_clears_itself(system, lapic):
    write(lapic, LVT_TIMER, DEADLINE | 0xEC)

    lapic.write_msr(TSC_DEADLINE, 2001)  # the TSC ticks twice a nanosecond
    system.clock.advance(1000)
    assert lapic.irr == 0 and lapic.read_msr(TSC_DEADLINE) == 2001
    system.clock.advance(1)

    assert lapic.pending_vector() == 0xEC and lapic.read_msr(TSC_DEADLINE) == 0


def test_tsc_deadline_in_the_past_expires_at_once_and_zero_disarms(system, lapic):
    system.clock.advance(5000)
    write(lapic, LVT_TIMER, DEADLINE | 0xEC)

    lapic.write_msr(TSC_DEADLINE, 20_000)
    lapic.write_msr(TSC_DEADLINE, 0)
    assert system.clock.deadline is None
    lapic.write_msr(TSC_DEADLINE, 7)
    system.clock.advance(0)

    assert lapic.pending_vector() == 0xEC


def test_initial_count_is_ignored_in_deadline_mode_and_the_deadline_outside_of_it(system, lapic):
    lapic.write_msr(TSC_DEADLINE, 100)
    write(lapic, LVT_TIMER, DEADLINE | 0xEC)
    write(lapic, INITIAL, 100)

    system.clock.advance(1000)

    assert lapic.irr == 0 and lapic.read_msr(TSC_DEADLINE) == 0 and read(lapic, CURRENT) == 0


# ---- pins -----------------------------------------------------------------------------------------------------------

def test_pic_reaches_the_boot_processor_through_lint0_until_that_is_masked(lapic):
    pic = PicPair()
    pic.intr.connect(lapic.lint0.set)
    write(lapic, LINT0, 0x700)
    lapic.owner.events.clear()

    pic.intr.raise_()

    assert lapic.owner.events == ["change"] and lapic.accept_pic_intr()
    write(lapic, LINT0, 0x700 | MASKED)
    assert not lapic.accept_pic_intr()


def test_lint1_as_nmi(lapic):
    write(lapic, LINT1, 0x400)
    lapic.owner.events.clear()

    lapic.lint1.pulse()
    write(lapic, LINT1, 0x400 | MASKED)
    lapic.lint1.pulse()

    assert lapic.owner.events == ["nmi"]


def test_level_interrupt_on_a_pin_repeats_after_eoi_while_the_pin_is_high(lapic):
    write(lapic, LINT0, 0x8055)
    lapic.lint0.raise_()
    assert lapic.acknowledge() == 0x55 and read(lapic, LINT0) & 1 << 14

    write(lapic, EOI, 0)
    assert lapic.acknowledge() == 0x55
    lapic.lint0.lower()
    write(lapic, EOI, 0)

    assert lapic.irr == 0 and not read(lapic, LINT0) & 1 << 14


def test_disabled_apic_passes_the_pins_through(lapic):
    lapic.write_msr(APIC_BASE, 0xFEE0_0000 | BSP)
    lapic.owner.events.clear()

    lapic.lint1.pulse()

    assert lapic.accept_pic_intr() and lapic.owner.events == ["nmi"]


def test_extint_message_lets_the_pic_in_until_it_is_acknowledged(system):
    target = system.apics[1]
    assert not target.accept_pic_intr()

    system.bus.deliver(1, 0, DeliveryMode.EXTINT, 0)

    assert target.accept_pic_intr()
    target.pic_acknowledged()
    assert not target.accept_pic_intr()


# ---- x2APIC ---------------------------------------------------------------------------------------------------------

def in_x2apic_mode(system):
    for lapic in system.apics:
        assert lapic.write_msr(APIC_BASE, lapic.read_msr(APIC_BASE) | EXTD)
    return system


@pytest.fixture
def x2(system):
    return in_x2apic_mode(system)


@pytest.mark.parametrize("before, after, allowed", [
    (EN, EN | EXTD, True), (EN | EXTD, EN, False), (EN | EXTD, 0, True), (EN, 0, True), (0, EN, True),
    (0, EN | EXTD, False), (EN, EXTD, False), (EN, EN | 1, False),
])
def test_apic_base_transitions(before, after, allowed):
    lapic = LocalApic(1, ApicBus(), Vcpu(), Clock(lambda: 0))
    lapic.write_msr(APIC_BASE, 0xFEE0_0000 | before)

    assert lapic.write_msr(APIC_BASE, 0xFEE0_0000 | after) is allowed
    assert lapic.read_msr(APIC_BASE) & (EN | EXTD) == (after if allowed else before)


def test_x2apic_can_be_withheld():
    lapic = LocalApic(1, ApicBus(), Vcpu(), Clock(lambda: 0), x2apic=False)

    assert not lapic.write_msr(APIC_BASE, 0xFEE0_0000 | EN | EXTD)


def test_x2apic_registers_are_msrs_and_the_page_is_gone(x2):
    lapic = x2.apics[2]

    assert lapic.read_msr(0x802) == 2 and lapic.read_msr(0x80D) == 0x4 and lapic.read_msr(0x803) == 0x50014
    assert lapic.write_msr(0x808, 0x70) and lapic.read_msr(0x80A) == 0x70
    assert read(lapic, ID) == 0xFFFF_FFFF


@pytest.mark.parametrize("number, value", [
    (0x802, 0), (0x803, 0), (0x80B, 1), (0x80E, 0), (0x80D, 1), (0x808, 0x100), (0x810, 0), (0x828, 1), (0x831, 0),
    (0x832, 1 << 20), (0x80F, 0x400), (0x837, 0x700), (0x830, 1 << 20), (0x83F, 0x100), (0x840, 0), (0x839, 0),
])
def test_refused_x2apic_writes(x2, number, value):
    assert x2.apics[0].write_msr(number, value) is False


@pytest.mark.parametrize("number", [0x80B, 0x83F, 0x831, 0x80E, 0x80C, 0x809, 0x804, 0x8FF])
def test_refused_x2apic_reads(x2, number):
    assert x2.apics[0].read_msr(number) is None


def test_x2apic_msrs_do_not_exist_in_xapic_mode(lapic):
    assert lapic.read_msr(0x802) is None and lapic.write_msr(0x808, 0) is False


def test_x2apic_command_is_one_write_with_a_wide_destination(x2):
    lapic = x2.apics[0]

    assert lapic.write_msr(0x830, 3 << 32 | 0x45)
    assert lapic.write_msr(0x830, 0b0110 << 32 | 0x846)
    assert lapic.write_msr(0x830, 0xFFFF_FFFF << 32 | 0x47)
    assert lapic.write_msr(0x830, 0xFF << 32 | 0x48)

    assert [x2.receivers(vector) for vector in (0x45, 0x46, 0x47, 0x48)] == [[3], [1, 2], [0, 1, 2, 3], []]
    assert lapic.read_msr(0x830) == 0xFF << 32 | 0x48


def test_self_ipi(x2):
    assert x2.apics[1].write_msr(0x83F, 0x66)

    assert x2.receivers(0x66) == [1]


def test_logical_x2apic_destinations_are_a_cluster_of_16_and_a_member_mask():
    x2 = in_x2apic_mode(System((0x0E, 0x0F, 0x10, 0x1F, 0x11F)))

    for cluster, members, vector in ((0, 0xC000, 0x41), (1, 0x8001, 0x42), (0x11, 0x8000, 0x43)):
        x2.apics[0].write_msr(0x830, (cluster << 16 | members) << 32 | 0x800 | vector)

    assert [x2.receivers(vector) for vector in (0x41, 0x42, 0x43)] == [[0x0E, 0x0F], [0x10, 0x1F], [0x11F]]
    assert x2.apics[4].read_msr(0x80D) == 0x0011_8000


def test_an_id_beyond_255_is_itself_and_never_its_low_byte():
    system = System((0x1F, 0x11F))

    system.bus.deliver(0x1F, 0, 0, 0x41)
    system.bus.deliver(0x11F, 0, 0, 0x42, wide=True)

    assert system.receivers(0x41) == [0x1F] and system.receivers(0x42) == [0x11F]


@pytest.mark.parametrize("extended, receiver", [(False, 0x1F), (True, 0x11F)])
def test_msi_destinations_have_15_bits_where_the_bus_has_them(extended, receiver):
    system = System((0x1F, 0x11F))
    system.bus.extended = extended

    send_msi(system.bus, 0xFEE1_F020, 0x0045)

    assert system.receivers(0x45) == [receiver]


# ---- messages -------------------------------------------------------------------------------------------------------

def test_msi_goes_where_its_address_says(system):
    assert send_msi(system.bus, 0xFEE0_2000, 0x0045)
    assert not send_msi(system.bus, 0xFEE0_9000, 0x0046)

    assert system.receivers(0x45) == [2] and system.receivers(0x46) == []


def test_level_msi_is_level_when_asserted_and_nothing_when_not(system):
    send_msi(system.bus, 0xFEE0_1000, 0xC045)
    send_msi(system.bus, 0xFEE0_1000, 0x8046)

    assert system.receivers(0x45) == [1] and system.receivers(0x46) == []
    assert system.apics[1].tmr == 1 << 0x45


def test_hinted_logical_msi_goes_to_one_of_the_group(system):
    for each in system.apics:
        write(each, LDR, 1 << 24 + each.apic_id)

    send_msi(system.bus, 0xFEE0_E00C, 0x0045)

    assert system.receivers(0x45) == [1]


def test_window_gives_each_processor_its_own_registers_and_takes_messages(system):
    current = [system.apics[1]]
    window = ApicWindow(system.bus, lambda: current[0])

    assert window.read(ID, 4) == 1 << 24
    window.write(0x3000, 4, 0x45)
    current[0] = None
    window.write(0, 4, 0x46)

    assert system.receivers(0x45) == [3] and system.receivers(0x46) == [0]


def test_unplugged_apic_leaves_no_timer_behind(system, lapic):
    start_timer(lapic, 100, PERIODIC)

    lapic.unrealize()

    assert system.clock.deadline is None
