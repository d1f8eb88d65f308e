"""The Python API: waiting in virtual time, looking inside, stopping at an instruction."""

from __future__ import annotations

import re

import pytest

from emu.qmp import QmpError
from machines import GuestStopped, Pc, Timeout
from machines.api import nanoseconds
from machines.guests import hotplug

pytestmark = pytest.mark.guest
CODE = 0x3000  # free RAM below the guest


def run_code(vm, code):
    """Let CPU 0, which waits for interrupts, execute 32-bit code instead."""
    vm.memory.write(CODE, bytes.fromhex(code))
    vm.cpus[0].registers["rflags"] = 2
    vm.cpus[0].rip = CODE
    vm.vcpus[0].state["halted"] = 0


def test_send_and_expect(vm):
    match = vm.serial.send("s").expect(re.compile(r"possible (\d+) present (\d+)"))
    assert match.groups() == ("4", "1")
    assert "possible 4 present 1" in vm.serial.text


def test_expect_finds_only_what_no_earlier_one_has_found(vm):
    with pytest.raises(Timeout):
        vm.serial.expect("ready", within="10 ms")


def test_timeout_is_in_virtual_time_and_shows_output_and_cpus(vm):
    start = vm.clock.now
    with pytest.raises(Timeout) as caught:
        vm.serial.expect("login:", within="5e6 insns")
    assert vm.clock.now - start == 5_000_000
    text = str(caught.value)
    assert "'login:' on the serial port did not come within 0.005 s of virtual time" in text
    assert "| ready" in text and "cpu 0 at 0x" in text and "(halted)" in text


def test_waiting_for_a_guest_that_ended_says_so(vm):
    vm.serial.send("q")
    with pytest.raises(GuestStopped, match=r"the guest ended before 'never' on the serial port came"):
        vm.serial.expect("never")


@pytest.mark.parametrize("text, ns", [("5e9 insns", 5_000_000_000), ("2.5 s", 2_500_000_000), ("3 ms", 3_000_000), (7, 7)])
def test_virtual_time_from_words(text, ns):
    assert nanoseconds(text) == ns


def test_virtual_time_that_is_none_is_refused():
    with pytest.raises(ValueError, match="'soon' is no time"):
        nanoseconds("soon")


def test_qmp_commands_are_methods(vm):
    assert vm.qmp.query_status()["status"] == "running"
    assert len(vm.qmp.query_hotpluggable_cpus()) == 4
    with pytest.raises(AttributeError, match="no QMP command 'nonsense'"):
        vm.qmp.nonsense()
    with pytest.raises(QmpError, match="Duplicate device ID 'a'"):
        for core in (1, 2):
            vm.qmp.device_add(driver="qemu64-x86_64-cpu", id="a", socket_id=0, core_id=core, thread_id=0)


def test_human_monitor(vm):
    assert vm.hmp("info cpus").startswith("* CPU #0")
    assert "CR0=00000011" in vm.hmp("info registers")
    assert "0000000000000000-" in vm.hmp("info mtree")
    assert "blocks" in vm.hmp("info jit")


def test_memory_reads_what_was_written_and_refuses_what_is_no_ram(vm):
    vm.memory.write(CODE, b"hello")
    assert vm.memory.read(CODE, 5) == b"hello" == vm.cpus[0].read(CODE, 5)
    assert "0x68656c6c" not in vm.hmp("xp /1xw 0x3000") and "0x6c6c6568" in vm.hmp("xp /1xw 0x3000")
    with pytest.raises(ValueError, match="not in RAM"):
        vm.memory.read(0xFEE0_0000, 4)


def test_registers_by_name(vm):
    registers = vm.cpus[0].registers
    registers["rax"] = 0x1122_3344_5566_7788
    registers["ah"] = 0xAA
    assert registers["rax"] == 0x1122_3344_5566_AA88 and registers["al"] == 0x88
    registers["ebx"] = 0xFFFF_FFFF
    assert registers["rbx"] == 0xFFFF_FFFF
    registers["xmm3"] = 1 << 100
    assert registers["xmm3"] == 1 << 100
    registers["rflags"] = 0x8D7
    assert registers["rflags"] == 0x8D7
    with pytest.raises(KeyError, match="no register called 'foo'"):
        registers["foo"]
    with pytest.raises(KeyError, match="read only"):
        registers["cs"] = 0


def test_absent_cpu_is_named_with_those_that_are_there(vm):
    with pytest.raises(KeyError, match="no CPU in slot 2; present are 0"):
        vm.cpus[2]


def test_registers_that_are_written_are_what_the_guest_computes_with(vm):
    run_code(vm, "01d8f4")  # add eax, ebx; hlt
    vm.cpus[0].registers["eax"], vm.cpus[0].registers["ebx"] = 40, 2
    vm.run(until=lambda: vm.cpus[0].halted, within="1 ms")
    assert vm.cpus[0].registers["eax"] == 42


def test_breakpoint_stops_before_its_instruction_each_time(vm):
    run_code(vm, "31c0" "40" "ebfd")  # xor eax, eax; next: inc eax; jmp next
    point = vm.break_at(CODE + 2)
    for count in range(5):
        assert vm.run(within="1 ms") is None
        assert vm.qmp.query_status()["status"] == "debug"
        assert vm.stopped_at.index == 0
        assert vm.cpus[0].rip == CODE + 2 and vm.cpus[0].registers["eax"] == count
    point.remove()
    with pytest.raises(Timeout):
        vm.run(within="1 ms")
    assert vm.cpus[0].registers["eax"] > 1000


def test_breakpoint_on_the_instruction_behind_sti(vm):
    run_code(vm, "fb" "40" "fa" "f4")  # sti; inc eax; cli; hlt
    vm.break_at(CODE + 1)
    vm.run(within="1 ms")
    assert vm.cpus[0].rip == CODE + 1


def test_breakpoints_see_the_cpu_that_meets_them(vm):
    vm.qmp.cpu_add(id=1)
    vm.serial.expect(hotplug.online_line(1).strip())
    vm.memory.write(CODE, bytes.fromhex("90f4"))
    vm.break_at(CODE)
    vm.cpus[1].rip = CODE
    vm.vcpus[1].state["halted"] = 0
    vm.run(within="1 ms")
    assert vm.stopped_at.index == 1


def test_power_off_ends_the_machine(vm):
    vm.power_off()
    assert not vm.running and vm.run() == 0


def test_statistics_count_instructions(vm):
    before = vm.statistics().instructions
    vm.serial.send("s").expect("online")
    assert vm.statistics().instructions > before


def test_unknown_option_of_a_machine_is_refused():
    with pytest.raises(TypeError, match="no option called sockets; there are memory, smp"):
        Pc(sockets=2)


def test_serial_port_of_another_owner_is_no_attribute():
    vm = Pc(memory="16M", kernel=hotplug.image(), serial=[])
    with pytest.raises(AttributeError, match="not connected to this program"):
        _ = vm.serial
    vm.close()
