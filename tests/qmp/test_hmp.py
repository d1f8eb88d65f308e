"""The human monitor: commands, formats, terminal, multiplexer."""

from __future__ import annotations

import pytest

from emu.hmp import HumanMonitor, MonitorTerminal, Mux
from emu.hmp.monitor import CommandTable
from emu.hmp.mux import Frontend
from emu.qmp import Context

from .conftest import Client

STRING_EXPECTED = "{0}: string expected\nTry \"help {0}\" for more information\n"


@pytest.fixture
def monitor(machine):
    machine.memory[0xFFF0 - 0x10 : 0x10000] = bytes.fromhex(
        "f16683c9ff6689c8665b665e665f66c3" "ea5be000f030362f32332f393900fc00")  # fmt: skip
    return HumanMonitor(Context(machine))


@pytest.mark.parametrize("line, output", [
    ("", ""),
    ("foo", "unknown command: 'foo'\n"),
    ("info foo", "unknown command: 'info foo'\n"),
    ("info status", "VM status: paused (prelaunch)\n"),
    ("info cpus", "* CPU #0: thread_id=77\n"),
    ("info uuid", "00000000-0000-0000-0000-000000000000\n"),
    ("info kvm", "kvm support: disabled\n"),
    ("info memory_size_summary", "base memory: 134217728\nplugged memory: 0\n"),
    ("cpu 4", "invalid CPU index\n"),
    ("cpu x", "invalid char 'x' in expression\nTry \"help cpu\" for more information\n"),
    ("stop x", "stop|s: extraneous characters at the end of line\nTry \"help stop\" for more information\n"),
    ("info status x",
     "status: extraneous characters at the end of line\nTry \"help info status\" for more information\n"),
    ("device_add foo", "Error: 'foo' is not a valid device model name\n"),
    ("device_add", "Error: Parameter 'driver' is missing\n"),
    ("device_add qemu64-x86_64-cpu,socket-id=9,core-id=0,thread-id=0",
     "Error: Invalid CPU socket-id: 9 must be in range 0:3\n"),
    ("device_del c9", "Error: Device 'c9' not found\n"),
    ("help cpu", "cpu index -- set the default CPU\n"),
    ("help nope", "unknown command: 'nope'\n"),
    ("p 1+2", "0x3\n"), ("p /x 99", "0x63\n"), ("print (2*0x10)-1", "0x1f\n"), ("p /d ~0&0xff", "255\n"),
    ("p", "unexpected end of expression\nTry \"help p\" for more information\n"),
    ("p __import__('os')", "invalid char '_' in expression\nTry \"help p\" for more information\n"),
    ("p 9**9", "invalid char '*' in expression\nTry \"help p\" for more information\n"),
    ("p 1<<4", "print|p: extraneous characters at the end of line\nTry \"help p\" for more information\n"),
    ("p (3", "')' expected\nTry \"help p\" for more information\n"),
    ("p 5/0", "division by zero\nTry \"help p\" for more information\n"),
    ("p $foo", "unknown register\nTry \"help p\" for more information\n"),
    ("p " + "(" * 2000, "expression is nested too deeply\nTry \"help p\" for more information\n"),
    ("p $pc+1", "0xfff1\n"), ("p/d -1", "-1\n"), ("p/u -1", "18446744073709551615\n"), ("p/c 65", "'A'\n"), ("p/o 9", "011\n"),
    ("p 1+2&3", "0x3\n"), ("p/d -7/2", "-3\n"), ("p/d -7%2", "-1\n"), ("p 'a'", "0x61\n"), ("p 010", "0x8\n"),
    ("xp 0xfff0", "000000000000fff0: 0x00e05bea\n"),
    ("xp /8bx 0xfff0", "000000000000fff0: 0xea 0x5b 0xe0 0x00 0xf0 0x30 0x36 0x2f\n"),
    ("x /4xw 0xfff0", "000000000000fff0: 0x00e05bea 0x2f3630f0 0x392f3332 0x00fc0039\n"),
    ("x/2gx 0xfff0", "000000000000fff0: 0x2f3630f000e05bea 0x00fc0039392f3332\n"),
    ("xp /3db 0xfff0", "000000000000fff0: 234  91 224\n"),
    ("xp /2uh 0xfff0", "000000000000fff0: 23530   224\n"),
    ("xp /2oh 0xfff0", "000000000000fff0: 055752   0340\n"),
    ("xp /20cb 0xffe0", "000000000000ffe0: '\\xf1' 'f' '\\x83' '\\xc9' '\\xff' 'f' '\\x89' '\\xc8'\n"
     "000000000000ffe8: 'f' '[' 'f' '^' 'f' '_' 'f' '\\xc3'\n000000000000fff0: '\\xea' '[' '\\xe0' '\\x00'\n"),
    ("xp 0x10000", "0000000000010000: Cannot access memory\n"),
    ("xp /8xw 0xfff0", "000000000000fff0: 0x00e05bea 0x2f3630f0 0x392f3332 0x00fc0039\n0000000000010000: Cannot access memory\n"),
    ("xp /9i 0xfffc", "0x0000fffc:  39 00                    cmpw     %ax, (%bx, %si)\n0x0000fffe:  fc                       cld\n"
     "0x0000ffff:  00                       .byte    0x00\n0x00010000: unable to read memory\n"),
    ("sum 0xfff0 2", "00208\n"), ("gva2gpa 0x1234", "gpa: 0x1234\n"), ("device_del", STRING_EXPECTED.format("device_del")),
    ("qom-get /machine", STRING_EXPECTED.format("qom-get")), ("qom-list", "/\n"), ("object_del nope", "Error: object 'nope' not found\n"),
    ("sendkey foo", "invalid parameter: foo\n"), ("sendkey", STRING_EXPECTED.format("sendkey")), ("info mice", "* Mouse #2: QEMU PS/2 Mouse\n"),
    ("info numa", "1 nodes\nnode 0 cpus: 0\nnode 0 size: 64 MB\nnode 0 plugged: 0 MB\n"), ("info usb", "Error: USB support not enabled\n"),
    ("info balloon", "Error: No balloon device has been activated\n"), ("info history", ""), ("info network", ""),
    ("system_wakeup", "Error: Unable to wake up: guest is not in suspended state\n"),
    ("i /b 0x71", "portb[0x0071] = 0x21\n"),
    ("qom-get /machine type", '"fake-machine"\n'),
    ("info qom-tree /machine/unattached",
     "/unattached (container)\n  /device[0] (qemu64-x86_64-cpu)\n    /lapic (fake-apic)\n"),
])  # fmt: skip
def test_output(monitor, line, output):
    assert monitor.execute(line) == output


def test_quit_stop_and_cont_reach_the_machine(machine, monitor):
    machine.run_control.start()
    monitor.execute("stop")
    assert monitor.execute("info status") == "VM status: paused\n"
    monitor.execute("c")
    assert monitor.execute("info status") == "VM status: running\n"
    monitor.execute("q")
    assert machine.run_control.exit_code == 0


def test_cpus_are_plugged_by_device_add_and_by_old_names(machine, monitor):
    assert monitor.execute("device_add qemu64-x86_64-cpu,socket-id=1,core-id=0,thread-id=0,id=c1") == ""
    assert monitor.execute("cpu-add 2") == ""
    assert monitor.execute("cpu_set 3 online") == ""
    assert [cpu.index for cpu in machine.cpu_infos()] == [0, 1, 2, 3]
    assert monitor.execute("cpu_set 3 offline") == ""
    assert machine.hardware[-1] == ("request", 3)
    monitor.execute("cpu 2")
    assert "* CPU #2" in monitor.execute("info cpus")


def test_hotpluggable_cpus_are_listed_in_qemus_layout(monitor):
    text = monitor.execute("info hotpluggable-cpus")
    assert text.startswith("Hotpluggable CPUs:\n  type: \"qemu64-x86_64-cpu\"\n  vcpus_count: \"1\"\n"
                           "  CPUInstance Properties:\n    socket-id: \"3\"\n")  # fmt: skip
    assert '  qom_path: "/machine/unattached/device[0]"\n' in text


def test_registers_of_one_and_of_all_cpus(machine, monitor):
    machine.cpu_add(2)
    assert monitor.execute("info registers") == "\nCPU#0\nEAX=00000000\n"
    assert monitor.execute("info registers -a") == "\nCPU#0\nEAX=00000000\n\nCPU#2\nEAX=00000002\n"
    assert monitor.execute("info registers 2") == "\nCPU#2\nEAX=00000002\n"
    assert monitor.execute("info registers 1") == "CPU#1 not available\n"


def test_instructions_are_shown_in_att_syntax(machine, monitor):
    machine.code_bits = lambda index: 16
    assert monitor.execute("x /1i 0xfff0").split()[:2] == ["0x0000fff0:", "ea"]
    assert "ljmp" in monitor.execute("x /1i 0xfff0")


def test_qtree_shows_devices_with_ids(machine, monitor):
    machine.device_add("qemu64-x86_64-cpu", "c1", {"apic-id": 1})
    assert '  dev: qemu64-x86_64-cpu, id "c1"\n' in monitor.execute("info qtree")


def test_every_command_has_a_line_of_help(monitor):
    text = monitor.execute("help")
    assert "cont|c  -- resume emulation\n" in text
    assert all(" -- " in line for line in text.splitlines())
    assert "info status  -- show" in monitor.execute("info")


def test_human_monitor_command_returns_text_with_crlf(client):
    assert client.execute("human-monitor-command", command_line="info status") == "VM status: paused (prelaunch)\r\n"
    assert client.desc("human-monitor-command", command_line="info cpus", cpu_index=9) == (
        "Parameter 'cpu-index' expects a CPU number")  # fmt: skip


def test_machine_may_add_subjects_to_info(machine):
    machine.hmp_info = CommandTable()
    machine.hmp_info.add("pic", "", "show PIC state")(lambda monitor, arguments: "pic0: irr=00\n")
    assert Client(machine).execute("human-monitor-command", command_line="info pic") == "pic0: irr=00\r\n"
    assert "info pic  -- show PIC state\n" in HumanMonitor(Context(machine)).execute("info")


def test_keys_and_the_nmi_button_reach_the_machine(machine, monitor):
    assert monitor.execute("sendkey ctrl-alt-delete") == monitor.execute("sendkey 0x1e 50") == monitor.execute("nmi") == ""
    assert machine.hardware[1:] == [("keys", 0x1D, 0x38, 0xD3, 100_000_000), ("keys", 0x1E, 50_000_000), "nmi"]


def test_memory_is_saved_to_a_file(machine, monitor, tmp_path):
    machine.memory[0x100:0x104] = b"code"
    assert monitor.execute(f'pmemsave 0x100 4 "{tmp_path}/physical"') == monitor.execute(f'memsave 0x100 2*2 "{tmp_path}/virtual"') == ""
    assert (tmp_path / "physical").read_bytes() == (tmp_path / "virtual").read_bytes() == b"code"
    assert monitor.execute('pmemsave 0 4 "/nope/file"') == "Error: Could not open '/nope/file': No such file or directory\n"


def test_device_models_are_listed_by_kind(monitor):
    text = monitor.execute("info qdm")
    assert text.startswith("CPU devices:\n") and 'name "qemu64-x86_64-cpu"\n' in text and "Misc devices:\n" in text


# -- terminal


@pytest.fixture
def terminal(machine):
    shown = bytearray()
    terminal = MonitorTerminal(Context(machine), shown.extend)
    terminal.shown = shown
    return terminal


def test_terminal_greets_echoes_and_answers(terminal):
    terminal.greet()
    assert terminal.shown == b"QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) "
    terminal.shown.clear()
    terminal.feed(b"info kvm\r")
    assert terminal.shown == b"info kvm\r\nkvm support: disabled\r\n(qemu) "


def test_terminal_edits_the_line(terminal):
    terminal.feed(b"info xyz\x7f\x7f\x7fkvm\n")
    assert terminal.shown.endswith(b"\r\nkvm support: disabled\r\n(qemu) ")


def test_terminal_recalls_the_last_line(terminal):
    terminal.feed(b"info kvm\r")
    terminal.shown.clear()
    terminal.feed(b"\x1b[A\r")
    assert terminal.shown == b"info kvm\r\nkvm support: disabled\r\n(qemu) "


# -- multiplexer


@pytest.fixture
def mux():
    mux = Mux(send=bytearray().extend, quit=lambda: mux.log.append("quit"))
    mux.log = []
    mux.add(Frontend(lambda data: mux.log.append(("serial", data)), send_break=lambda: mux.log.append("break")))
    mux.add(Frontend(lambda data: mux.log.append(("monitor", data)), focused=lambda: mux.log.append("focus")))
    return mux


def test_mux_switches_with_ctrl_a_c(mux):
    mux.feed(b"ls\x01cinfo\x01cx")
    assert mux.log == [("serial", b"ls"), "focus", ("monitor", b"info"), ("serial", b"x")]


def test_mux_escape_may_be_split_and_doubled(mux):
    mux.feed(b"a\x01")
    mux.feed(b"\x01b")
    assert mux.log == [("serial", b"a"), ("serial", b"\x01b")]


def test_mux_quits_and_sends_break(mux):
    mux.feed(b"\x01b\x01x")
    assert mux.log == ["break", "quit"]
