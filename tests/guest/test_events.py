"""QMP's events from a guest's life: which come, in which order, when, and what a listener may do."""

from __future__ import annotations

from emu.qmp import QmpError
from machines.guests import hotplug

CPU = "qemu64-x86_64-cpu"


def names(vm) -> list[str]:
    return [event["event"] for event in vm.qmp.events]


def test_plug_unplug_reset_and_end_are_told_in_order(boot, plug, unplug):
    vm = boot()
    plug(vm, 1)
    unplug(vm, 1)
    vm.run_for(1_000_000)
    assert names(vm) == ["ACPI_DEVICE_OST", "ACPI_DEVICE_OST", "DEVICE_DELETED", "DEVICE_DELETED", "ACPI_DEVICE_OST"]
    vm.qmp.events.clear()
    for command in ("stop", "stop", "cont", "cont", "system_reset", "system_powerdown", "quit"):
        vm.qmp.execute(command)
    assert names(vm) == ["STOP", "RESUME", "RESET", "POWERDOWN", "SHUTDOWN"]


def test_timestamps_are_virtual_time_so_that_runs_repeat(boot, plug):
    logs = []
    for _ in range(2):
        vm = boot()
        plug(vm, 1)
        logs.append(vm.qmp.events)
    assert logs[0] == logs[1] and logs[0][0]["timestamp"]["microseconds"] > 0


def test_slot_can_be_filled_again_from_within_device_deleted(boot, plug, unplug):
    vm = boot()
    refused = []

    def plug_again(event):
        if event["event"] == "DEVICE_DELETED" and event["data"].get("device") == "cpu1":
            try:
                vm.qmp.device_add(driver=CPU, id="again", **vm.topology.properties(vm.slots[1].place))
            except QmpError as error:
                refused.append(error)

    vm.events.subscribe(plug_again)
    plug(vm, 1)
    vm.qmp.device_del(id="cpu1")
    vm.serial.expect(hotplug.online_line(1).strip(), within="1 s")
    assert not refused and vm.plug.slots[1].cpu.user_id == "again"
    unplug(vm, 1, "again")


def test_device_deleted_comes_when_path_and_slot_are_free(boot, plug, unplug):
    vm = boot()
    seen = []

    def look(event):
        if event["event"] == "DEVICE_DELETED":
            slots = [slot for slot in vm.qmp.query_hotpluggable_cpus() if "qom-path" in slot]
            seen.append((event["data"]["path"], len(slots), len(vm.apic_bus.lapics)))

    vm.events.subscribe(look)
    plug(vm, 1)
    unplug(vm, 1)
    vm.run_for(1_000_000)
    assert seen == [("/machine/peripheral/cpu1/lapic", 1, 1), ("/machine/peripheral/cpu1", 1, 1)]
