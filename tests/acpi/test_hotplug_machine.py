"""The properties of hotplug_machine.py, on the boards as they are, and missed by boards that are broken on purpose."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from acpi.cpu_hotplug import CpuHotplug
from acpi.ged import GenericEventDevice
from acpi.hotplug_window import HotplugWindow
from acpi.pm import AcpiPm, GpeBlock
from tests.acpi.hotplug_machine import HotplugMachine

REPEATABLE = settings(
    derandomize=True, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


def run(examples: int, steps: int) -> int:
    """Steps taken; raises what a rule or an invariant raises."""
    before = HotplugMachine.steps
    run_state_machine_as_test(
        HotplugMachine, settings=settings(REPEATABLE, max_examples=examples, stateful_step_count=steps)
    )
    return HotplugMachine.steps - before


def test_the_properties_hold():
    assert run(60, 50) > 1000


@pytest.mark.slow
def test_the_properties_hold_for_a_hundred_thousand_steps():
    assert run(1500, 100) >= 100_000


# ---------------------------------------------------------------- boards that are broken on purpose


def forget_events_at_reset(monkeypatch):
    def reset(block):
        for slot in block.slots:
            slot.inserting = False

    monkeypatch.setattr(CpuHotplug, "reset", reset)
    monkeypatch.setattr(HotplugWindow, "reset", reset)


def forget_the_remove_event_at_eject(monkeypatch):
    eject = CpuHotplug._eject

    def wrong(block, slot):
        eject(block, slot)
        slot.removing = False

    monkeypatch.setattr(CpuHotplug, "_eject", wrong)


def eject_only_what_was_asked_to_leave(monkeypatch):
    eject = CpuHotplug._eject
    monkeypatch.setattr(CpuHotplug, "_eject", lambda block, slot: slot.removing and eject(block, slot))


def never_look_at_the_last_slot(monkeypatch):
    def search(block):
        pending = [slot.index for slot in block.slots[:-1] if slot.has_event]
        block.selector = next((n for n in pending if n >= block.selector), block.selector)

    monkeypatch.setattr(CpuHotplug, "_select_next_event", search)


def clear_events_that_were_found(monkeypatch):
    search = CpuHotplug._select_next_event

    def wrong(block):
        search(block)
        block.slots[block.selector].removing = False

    monkeypatch.setattr(CpuHotplug, "_select_next_event", wrong)


def notify_the_first_plug_only(monkeypatch):
    def plugged(block, index, hotplugged=True):
        first = not any(slot.inserting for slot in block.slots)
        block.slots[index].enabled = block.slots[index].inserting = True
        if first:
            block.event()

    monkeypatch.setattr(CpuHotplug, "plugged", plugged)


def insert_events_in_legacy_mode(monkeypatch):
    plugged = HotplugWindow.plugged

    def wrong(window, index, hotplugged=True):
        window.slots[index].inserting = True
        plugged(window, index, hotplugged)

    monkeypatch.setattr(HotplugWindow, "plugged", wrong)


def leave_the_command_out_of_snapshots(monkeypatch):
    monkeypatch.setattr(CpuHotplug, "saved", tuple(name for name in CpuHotplug.saved if name != "command"))


def leave_the_gpe_status_out_of_snapshots(monkeypatch):
    monkeypatch.setattr(GpeBlock, "saved", ("enable",))


def leave_the_event_selector_out_of_snapshots(monkeypatch):
    monkeypatch.setattr(GenericEventDevice, "saved", ())


def raise_the_sci_without_enable(monkeypatch):
    monkeypatch.setattr(GpeBlock, "asserted", property(lambda gpe: bool(gpe.status[0])))


def drop_events_that_are_not_enabled(monkeypatch):
    fire = GpeBlock.fire
    monkeypatch.setattr(GpeBlock, "fire", lambda gpe, event: gpe.enable[0] >> event & 1 and fire(gpe, event))


def clear_no_status_bit(monkeypatch):
    write = GpeBlock.write
    monkeypatch.setattr(GpeBlock, "write", lambda gpe, at, size, value: at >= gpe.half and write(gpe, at, size, value))


def forget_to_lower_the_sci(monkeypatch):
    update = AcpiPm.update
    monkeypatch.setattr(AcpiPm, "update", lambda pm: pm.sci.level or update(pm))


def pulse_only_for_the_first_event(monkeypatch):
    fire = GenericEventDevice.fire

    def wrong(ged, event):
        if not ged.selector:
            fire(ged, event)

    monkeypatch.setattr(GenericEventDevice, "fire", wrong)


BROKEN = [
    forget_events_at_reset, forget_the_remove_event_at_eject, eject_only_what_was_asked_to_leave,
    never_look_at_the_last_slot, clear_events_that_were_found, notify_the_first_plug_only, insert_events_in_legacy_mode,
    leave_the_command_out_of_snapshots, leave_the_gpe_status_out_of_snapshots,
    leave_the_event_selector_out_of_snapshots, raise_the_sci_without_enable, drop_events_that_are_not_enabled,
    clear_no_status_bit, forget_to_lower_the_sci, pulse_only_for_the_first_event,
]  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_a_board_that_is_broken_is_found_out(broken: Callable[[pytest.MonkeyPatch], None], monkeypatch):
    broken(monkeypatch)
    with pytest.raises(AssertionError):
        run(2000, 50)
