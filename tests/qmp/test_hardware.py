"""Keys, the NMI button and memory through the monitors of a real machine that has not run yet."""

from __future__ import annotations

import pytest

from machines import Q35

KEYBOARD_DATA = 0x60
HOLD_NS = 100_000_000


@pytest.fixture
def vm():
    machine = Q35(memory="16M", smp="2")
    yield machine
    machine.close()


def test_keys_go_down_in_order_and_come_up_in_reverse_after_the_hold_time(vm):
    vm.hmp("sendkey shift-a")
    assert [vm.io.read(KEYBOARD_DATA, 1) for _ in range(2)] == [0x12, 0x1C]  # set 2, as nobody has asked for translation
    assert vm.clock.deadline == vm.clock.now + HOLD_NS


def test_nmi_button_reaches_the_cpus_whose_lint1_is_wired_to_it(vm):
    vm.qmp.inject_nmi()
    assert [vm.vcpus[index].nmi_pending for index in (0, 1)] == [True, False]


def test_registers_have_names_in_expressions(vm):
    vm.cpus[1].registers["rax"] = 0x1234
    vm.hmp("cpu 1")
    assert vm.hmp("p/x $rax+1") == "0x1235\n" and vm.hmp("p/x $al") == "0x34\n"
    assert vm.hmp("p/x $pc") == "0xfffffff0\n"


def test_memory_that_is_dumped_is_the_guests(vm, tmp_path):
    vm.memory.write(0x1000, b"numachine")
    vm.qmp.pmemsave(val=0x1000, size=9, filename=str(tmp_path / "dump"))
    assert (tmp_path / "dump").read_bytes() == b"numachine"
    assert vm.hmp("xp /3cb 0x1000") == "0000000000001000: 'n' 'u' 'm'\n"


def test_disassembly_has_the_width_of_the_code(vm):
    vm.memory.write(0x1000, bytes.fromhex("b80100"))
    assert vm.hmp("xp /1i 0x1000").split()[-2:] == ["$1,", "%ax"]


def test_interrupts_are_counted_where_they_arrive(vm):
    for level in (1, 0, 1):
        vm.gsi[9].set(level)
    vm.gsi[20].set(1)
    ioapic, pic = vm.hmp("info irq").split("IRQ statistics for ")[1:]
    assert " 9: 2\n20: 1\n" in ioapic and pic.startswith("isa-i8259:\n") and " 9: 2\n" in pic and "20:" not in pic
    assert vm.qmp.execute("x-query-irq")["human-readable-text"] == vm.hmp("info irq")


def test_actions_after_shutdown_and_reboot_can_be_chosen(vm):
    vm.start()
    vm.qmp.set_action(shutdown="pause", reboot="shutdown")
    vm.run_control.guest_reset()
    assert vm.qmp.query_status()["status"] == "shutdown" and vm.run_control.exit_code is None
