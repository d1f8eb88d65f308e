"""Reset and power: what survives, and how the machine ends."""

from __future__ import annotations

import pytest

from machines.guests import hotplug


def test_reset_through_port_cf9_boots_again_with_the_plugged_cpus(boot, plug):
    vm = boot()
    plug(vm, 1)
    vm.serial.send("r").expect("reset")
    vm.serial.expect("interface modern")
    vm.serial.expect("possible 4 present 2")
    vm.serial.expect(hotplug.online_line(1).strip())
    vm.serial.expect("ready")
    assert vm.qmp.wait("RESET")["data"] == {"guest": True, "reason": "guest-reset"}


def test_system_reset_from_the_monitor(boot):
    vm = boot()
    vm.qmp.system_reset()
    vm.serial.expect("ready")
    assert vm.qmp.wait("RESET")["data"] == {"guest": False, "reason": "host-qmp-system-reset"}


@pytest.mark.parametrize("press", [lambda vm: vm.serial.send("q"), lambda vm: vm.qmp.system_powerdown()], ids=["guest", "button"])
def test_power_off_ends_the_machine_with_status_0(boot, press):
    vm = boot()
    press(vm)
    assert vm.run(within="1 s") == 0
    assert "power off" in vm.serial.text
    assert vm.qmp.wait("SHUTDOWN")["data"] == {"guest": True, "reason": "guest-shutdown"}


def test_no_shutdown_stops_instead(boot):
    vm = boot(no_shutdown=True)
    vm.serial.send("q")
    assert vm.run(within="1 s") is None
    assert vm.qmp.query_status() == {"running": False, "singlestep": False, "status": "shutdown"}


def test_no_reboot_ends_instead(boot):
    vm = boot(no_reboot=True)
    vm.serial.send("r")
    assert vm.run(within="1 s") == 0


def test_debug_exit_gives_the_status(boot):
    vm = boot(devices=["isa-debug-exit,iobase=0xf4,iosize=4"])
    vm.memory.write(0x3000, bytes.fromhex("b015e6f4f4"))  # mov al, 15h; out F4h, al; hlt
    vm.cpus[0].rip = 0x3000
    vm.vcpus[0].state["halted"] = 0
    assert vm.run(within="1 ms") == 0x15 << 1 | 1


def test_triple_fault_resets(boot):
    vm = boot()
    vm.memory.write(0x3100, b"\0" * 6)
    vm.memory.write(0x3000, bytes.fromhex("0f011d00310000" "0f0b"))  # lidt [3100h], limit 0; ud2
    vm.cpus[0].rip = 0x3000
    vm.vcpus[0].state["halted"] = 0
    vm.serial.expect("ready")
    assert vm.qmp.wait("RESET")["data"]["reason"] == "guest-reset"


def test_jump_into_nowhere_ends_the_machine_with_a_message(boot):
    said = []
    vm = boot(warn=said.append)
    vm.cpus[0].rip = 0xD000_0000
    vm.vcpus[0].state["halted"] = 0
    assert vm.run(within="1 ms") == 1
    assert said == ["vCPU 0 executes at physical address 0xd0000000, where no memory is; giving up"]
