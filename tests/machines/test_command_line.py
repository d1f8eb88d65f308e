"""The system emulator as its users meet it: consoles, exit statuses, and one line for every mistake."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import termios
import time

import pytest

from emu.cli.main import system_x86_64
from machines.guests import hotplug
from tests.qmp.peers import Ours

pytestmark = pytest.mark.guest
SECONDS = 60


def command(*arguments):
    code = "import sys; from emu.cli.main import system_x86_64; sys.exit(system_x86_64())"
    return [sys.executable, "-c", code, "-m", "16M", *arguments]


def start(*arguments, **options):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command(*arguments), text=True, **{**pipes, **options})


def output(*arguments):
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=SECONDS)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


class Terminal:
    """A process on a terminal of its own."""

    def __init__(self, *arguments):
        master, slave = pty.openpty()
        self.fd, self.mode = master, termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(command(*arguments), stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        self.text = ""

    def type(self, text):
        os.write(self.fd, text.encode())

    def expect(self, wanted):
        """Read until `wanted` comes; forget everything up to there."""
        deadline = time.monotonic() + SECONDS
        while wanted not in self.text:
            assert time.monotonic() < deadline, f"no {wanted!r} in {self.text!r}"
            if select.select([self.fd], [], [], 1)[0]:
                self.text += os.read(self.fd, 4096).decode()
        self.text = self.text.partition(wanted)[2]

    def end(self):
        """The exit status, and whether the terminal has its old mode again."""
        status = self.process.wait(SECONDS)
        restored = termios.tcgetattr(self.slave) == self.mode
        os.close(self.fd)
        os.close(self.slave)
        return status, restored


def test_console_and_monitor_share_the_terminal(kernel):
    terminal = Terminal("-nographic", "-kernel", kernel, "-smp", "1,maxcpus=2")
    terminal.expect("ready")
    terminal.type("s")
    terminal.expect("possible 2 present 1 online 1")
    terminal.type("\x01c")
    terminal.expect("(qemu) ")
    terminal.type("cpu-add 1\r")
    terminal.expect(hotplug.online_line(1).strip())
    terminal.type("info cpus\r")
    terminal.expect("CPU #1")
    terminal.type("\x01cs")
    terminal.expect("online 2")
    terminal.type("\x01x")
    terminal.expect("Terminated")
    assert terminal.end() == (0, True)


def test_ctrl_c_reaches_the_guest_when_the_monitor_shares_the_terminal_and_else_ends_the_run(kernel):
    shared = Terminal("-nographic", "-kernel", kernel)
    shared.expect("ready")
    shared.type("\x03s")
    shared.expect("online 1")
    shared.type("q")
    assert shared.end() == (0, True)
    alone = Terminal("-display", "none", "-serial", "stdio", "-kernel", kernel)
    alone.expect("ready")
    alone.process.send_signal(signal.SIGINT)
    alone.expect("terminating on signal 2")
    assert alone.end() == (0, True)


def test_idle_guest_costs_little_host_time(kernel):
    terminal = Terminal("-nographic", "-kernel", kernel)
    terminal.expect("ready")

    def ticks():
        return sum(map(int, open(f"/proc/{terminal.process.pid}/stat").read().rpartition(")")[2].split()[11:13]))

    before = ticks()
    time.sleep(2)
    share = (ticks() - before) / os.sysconf("SC_CLK_TCK") / 2
    terminal.type("\x01x")
    terminal.end()
    assert share < 0.2


def test_serial_into_a_file_and_power_off_over_qmp(kernel, tmp_path):
    process = start("-display", "none", "-serial", f"file:{tmp_path}/serial", "-kernel", kernel, "-no-reboot",
                    "-qmp", f"unix:{tmp_path}/qmp,server,nowait")  # fmt: skip
    deadline = time.monotonic() + SECONDS
    while "ready" not in ((tmp_path / "serial").read_text() if (tmp_path / "serial").exists() else ""):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    client = socket.socket(socket.AF_UNIX)
    client.connect(f"{tmp_path}/qmp")
    stream = client.makefile("rw")
    assert "QMP" in json.loads(stream.readline())
    for name in ("qmp_capabilities", "query-status", "system_powerdown"):
        stream.write(json.dumps({"execute": name}))
    stream.flush()
    messages = [json.loads(line) for line in stream]
    client.close()
    assert {"return": {"running": True, "singlestep": False, "status": "running"}} in messages
    assert [m["event"] for m in messages if "event" in m] == ["POWERDOWN", "SHUTDOWN"]
    assert process.wait(SECONDS) == 0
    assert "power off" in (tmp_path / "serial").read_text()
    assert not os.path.exists(f"{tmp_path}/qmp")


def test_paused_start_waits_for_cont(kernel):
    process = start("-S", "-display", "none", "-monitor", "stdio", "-kernel", kernel, "-serial", "null")
    output, errors = process.communicate("info status\ninfo registers\ncont\ninfo status\nquit\n", timeout=SECONDS)
    assert "VM status: paused (prelaunch)" in output and "VM status: running" in output
    assert "EIP=" in output and errors == "" and process.returncode == 0


def test_debug_exit_is_the_exit_status(tmp_path):
    kernel = tmp_path / "exit.bin"
    kernel.write_bytes(bytes.fromhex("b010e6f4f4"))  # mov al, 10h; out F4h, al; hlt: a flat binary
    process = start("-display", "none", "-kernel", str(kernel), "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04")
    assert process.wait(SECONDS) == 0x10 << 1 | 1


def test_debug_console_and_log_go_to_files(tmp_path):
    kernel = tmp_path / "hello.bin"
    # mov dx, 402h; mov al, '!'; out dx, al; mov dx, 1234h; in al, dx; mov al, 0; out F4h, al; hlt
    kernel.write_bytes(bytes.fromhex("66ba0204b021ee66ba3412ecb000e6f4f4"))
    process = start("-display", "none", "-kernel", str(kernel), "-device", "isa-debug-exit,iobase=0xf4", "-debugcon",
                    f"file:{tmp_path}/debug", "-d", "unimp", "-D", f"{tmp_path}/log")  # fmt: skip
    assert process.wait(SECONDS) == 1
    assert (tmp_path / "debug").read_text() == "!"
    assert "0x1234" in (tmp_path / "log").read_text()


BIG = str(1 << 21)
MISTAKES = [
    ([], "nothing to boot: name a kernel with -kernel, or firmware with -bios (disks are not supported yet)"),
    (["-kernel", "/nope"], "could not open '/nope': No such file or directory"),
    (["-kernel", "/"], "could not open '/': Is a directory"),
    (["-kernel", "KERNEL", "-initrd", "/nope"], "could not open '/nope': No such file or directory"),
    (["-kernel", "EMPTY"], "the kernel file is empty"),
    (["-kernel", "CUT"], "the kernel file is cut short: it lacks a part that its ELF header promises"),
    (["-kernel", "OTHER"], "the kernel is an ELF file with neither a multiboot header nor a PVH note; this loader starts no other"),
    (["-kernel", "KERNEL", "-initrd", "BIG"],
     "the initrd of 32 MiB does not fit into 16 MiB of memory beside the kernel; give the machine more with -m"),
    (["-kernel", "KERNEL", "-m", "1"], "the kernel needs memory up to 3 MiB, the machine has 1 MiB; give it more with -m"),
    (["-kernel", "KERNEL", "-m", BIG], "a PC has at most 1024 GiB of memory, 2048 GiB were asked for"),
    (["-kernel", "KERNEL", "-m", "1T"],
     "cannot set up 1048576 MiB of guest memory: the host has not that much; give the machine less with -m"),
    (["-kernel", "KERNEL", "-smp", "4,maxcpus=2"],
     "Invalid CPU topology: maxcpus must be equal to or greater than smp: sockets (1) * dies (1) * cores (2) * threads (1) "
     "== maxcpus (2) < smp_cpus (4)"),
    (["-kernel", "KERNEL", "-smp", "x"], "Parameter 'smp.cpus' expects integer"),
    (["-kernel", "KERNEL", "-cpu", "nope"], "unable to find CPU model 'nope'"),
    (["-kernel", "KERNEL", "-cpu", "qemu64,+nope"], "Property 'qemu64-x86_64-cpu.nope' not found"),
    (["-kernel", "KERNEL", "-device", "nope"], "-device nope: 'nope' is not a valid device model name"),
    (["-kernel", "KERNEL", "-device", "isa-debug-exit,nope=1"],
     "-device isa-debug-exit: Property 'isa-debug-exit.nope' not found"),
    (["-kernel", "KERNEL", "-device", "qemu64-x86_64-cpu,socket-id=0,core-id=0,thread-id=0"],
     "-device qemu64-x86_64-cpu: CPU[0] with APIC ID 0 exists"),
    (["-kernel", "KERNEL", "-nope"], "-nope: invalid option"),
    (["-kernel", "KERNEL", "-serial", "file:/nope/x"], "-serial file:/nope/x: No such file or directory"),
    (["-kernel", "KERNEL", *["-serial", "null"] * 5], "a PC has at most 4 serial ports"),
    (["-kernel", "KERNEL", "-bios", "x"], "could not find firmware image 'x', neither here nor in /usr/share/seabios, /usr/share/qemu"),
]  # fmt: skip


@pytest.mark.parametrize("arguments, text", MISTAKES, ids=[" ".join(a)[:50] or "nothing" for a, _ in MISTAKES])
def test_mistake_is_one_line_and_status_1(arguments, text, kernel, tmp_path, capsys):
    image = hotplug.image()
    files = {"KERNEL": image, "EMPTY": b"", "CUT": image[:-100], "BIG": bytes(32 << 20),
             "OTHER": image[:0x200].ljust(0x40)}  # fmt: skip
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    given = [str(tmp_path / word) if word in files else word for word in arguments]
    assert system_x86_64(["-display", "none", "-m", "16M", *given]) == 1
    output, errors = capsys.readouterr()
    assert output == "" and errors.count("\n") == 1
    assert errors.partition(": ")[2] == text + "\n"


def test_unknown_machine_is_refused(capsys):
    assert system_x86_64(["-M", "nope"]) == 1
    assert "unsupported machine type 'nope'" in capsys.readouterr().err


def test_socket_in_use_is_refused(kernel, tmp_path, capsys):
    path = f"{tmp_path}/s"
    with socket.socket(socket.AF_UNIX) as owner:
        owner.bind(path)
        owner.listen()
        assert system_x86_64(["-display", "none", "-m", "16M", "-kernel", kernel, "-qmp", f"unix:{path},server,nowait"]) == 1
    assert capsys.readouterr().err.endswith(f"Failed to bind socket to {path}: Address already in use\n")
    assert os.path.exists(path)


# -- help


def test_help_lists_devices_objects_and_their_properties():
    devices, objects = output("-device", "help"), output("-object", "help")
    assert {'name "Haswell-v2-x86_64-cpu"', 'name "isa-debug-exit", bus ISA'} <= set(devices)
    assert {"  qemu64-x86_64-cpu", "  cpu-package", "  memory-backend-ram"} <= set(objects)
    assert output("-device", "isa-debug-exit,help") == [
        "isa-debug-exit options:", "  iobase=<uint32>        -  (default: 1281)", "  iosize=<uint32>        -  (default: 2)"]
    assert "  apic-id=<uint32>       -  (default: 4294967295)" in output("-device", "qemu64-x86_64-cpu,help")


@pytest.mark.parametrize("arguments, text", [
    (["-device", "foo,help"], "-device foo,help: Device 'foo' not found"),
    (["-object", "foo,help"], "-object foo,help: Parameter 'qom-type' does not accept value 'foo'"),
    (["-object", "foo,id=x"], "-object foo,id=x: Parameter 'qom-type' does not accept value 'foo'"),
    (["-object", "cpu-package"], "-object cpu-package: Parameter 'id' is missing"),
    (["-object", "memory-backend-ram,id=x"], "-object memory-backend-ram,id=x: Parameter 'size' is missing"),
    (["-object", "Haswell-x86_64-cpu,id=c,apic-id=z"],
     "-object Haswell-x86_64-cpu,id=c,apic-id=z: Parameter 'apic-id' expects integer"),
    (["-object", "cpu-package,id=x", "-object", "cpu-package,id=x"], "-object cpu-package,id=x: Duplicate ID 'x' for object"),
    (["-smp", "1,maxcpus=256"], "Invalid SMP CPUs 256. The max CPUs supported by machine 'pc-i440fx-7.2' is 255"),
    (["-M", "q35", "-smp", "1,maxcpus=289"], "Invalid SMP CPUs 289. The max CPUs supported by machine 'pc-q35-7.2' is 288"),
    (["-numa", "node,mem=5M"], "total memory for NUMA nodes (0x500000) should equal RAM size (0x1000000)"),
])  # fmt: skip
def test_objects_and_sizes_that_cannot_be(arguments, text, capsys):
    assert system_x86_64(["-m", "16M", "-S", *arguments]) == 1
    assert capsys.readouterr().err.strip().endswith(f": {text}")


@pytest.mark.parametrize("machine, device", [("pc", "PIIX4_PM"), ("q35", "ICH9-LPC")])
def test_globals_reach_devices_of_the_machine(machine, device):
    vm = Ours(["-M", machine, "-m", "16M", "-global", f"{device}.disable_s3=1", "-global", f"{device}.disable_s4=1"])
    path = vm.query("qom-get", path="/machine", property="acpi-device")
    assert [vm.query("qom-get", path=path, property=f"disable_{state}") for state in ("s3", "s4")] == [1, 1]
    assert not vm.machine.platform().suspend_to_disk
    vm.close()


@pytest.mark.parametrize("setting, text", [
    ("PIIX4_PM.foo=1", "can't apply global PIIX4_PM.foo=1: Property 'PIIX4_PM.foo' not found"),
    ("PIIX4_PM.disable_s3=0", "can't apply global PIIX4_PM.disable_s3=0: suspend to RAM is not supported: leave disable_s3 out, "
                              "or set it to 1"),
])  # fmt: skip
def test_globals_that_devices_refuse(setting, text, capsys):
    assert system_x86_64(["-m", "16M", "-S", "-global", setting]) == 1
    assert capsys.readouterr().err.strip().endswith(text)


def test_a_cpu_object_of_the_command_line_is_plugged_by_its_link():
    vm = Ours(["-m", "16M", "-smp", "1,maxcpus=2", "-object", "qemu64-x86_64-cpu,id=spare"])
    assert vm.query("qom-get", path="/objects/spare", property="realized") is False
    vm.query("qom-set", path="/objects/spare", property="avx", value=False)
    vm.query("qom-set", path="/machine/socket[0]/die[0]/core[1]/thread[0]", property="cpu", value="/objects/spare")
    assert [cpu["qom-path"] for cpu in vm.query("query-cpus-fast")] == ["/machine/unattached/device[0]", "/objects/spare"]
    vm.close()


def test_device_add_help_in_the_monitor():
    vm = Ours(["-m", "16M"])
    assert vm.hmp("device_add isa-debug-exit,help").splitlines()[0] == "isa-debug-exit options:"
    assert 'name "qemu64-x86_64-cpu"\n' in vm.hmp("device_add help")
    assert "  cpu-package\n" in vm.hmp("object_add help")
    vm.close()
