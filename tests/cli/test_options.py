"""QEMU's command line: spelling, defaults, errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from emu.cli.options import DeviceOption, EarlyExit, MonitorOption, OptionError
from emu.cli.parser import parse
from emu.cli.table import BY_NAME, TABLE
from emu.cpu_models import Global


def refusal(*arguments):
    with pytest.raises(OptionError) as error:
        parse(arguments)
    return str(error.value)


def test_nothing_given_means_qemus_defaults():
    options = parse([])
    assert options.machine == "pc-i440fx-7.2"
    assert options.memory == 128 << 20
    assert (options.cpu, options.smp, options.kernel) == (None, "", None)
    assert options.serial == [] and options.monitors == []
    assert not options.start_paused and options.acpi


def test_one_dash_or_two_are_the_same():
    assert parse(["--kernel", "k", "-append", "a b", "--S"]) == parse(["-kernel", "k", "-append", "a b", "-S"])


@pytest.mark.parametrize("text, size", [
    ("64", 64 << 20), ("64M", 64 << 20), ("1G", 1 << 30), ("size=2g", 2 << 30), ("512k", 512 << 10),
    ("1.5G", 3 << 29), ("0", 128 << 20)])  # fmt: skip
def test_memory_counts_in_mib_unless_suffixed(text, size):
    assert parse(["-m", text]).memory == size


def test_machine_is_found_by_alias_and_takes_properties():
    options = parse(["-M", "pc,accel=tcg,acpi=off,usb=off"])
    assert options.machine == "pc-i440fx-7.2" and not options.acpi
    assert parse(["-machine", "type=q35"]).machine == "pc-q35-7.2"


def test_nographic_puts_serial_and_monitor_on_the_terminal():
    assert parse(["-nographic"]).serial == ["mon:stdio"]
    options = parse(["-nographic", "-serial", "file:x"])
    assert options.serial == ["file:x"] and options.monitors == [MonitorOption("stdio", False)]
    options = parse(["-nographic", "-monitor", "none"])
    assert options.serial == ["stdio"]
    options = parse(["-nographic", "-nodefaults"])
    assert options.serial == [] and options.monitors == []


def test_monitors_are_collected():
    options = parse(["-qmp", "unix:/x,server=on,wait=off", "-qmp-pretty", "stdio", "-monitor", "none",
                     "-chardev", "socket,id=c,path=/y,server=on,wait=off", "-mon", "chardev=c,mode=control"])  # fmt: skip
    assert options.monitors == [
        MonitorOption("unix:/x,server=on,wait=off", True), MonitorOption("stdio", True, pretty=True),
        MonitorOption("none", False), MonitorOption("chardev:c", True)]  # fmt: skip
    assert options.chardevs["c"]["path"] == "/y"


def test_devices_come_as_key_values_or_json():
    short = parse(["-device", "qemu64-x86_64-cpu,socket-id=1,core-id=0,thread-id=0,id=c1"]).devices
    assert short == [DeviceOption("qemu64-x86_64-cpu", "c1", {"socket-id": "1", "core-id": "0", "thread-id": "0"})]
    as_json = parse(["-device", '{"driver": "isa-debug-exit", "iobase": 244, "iosize": 4}']).devices
    assert as_json == [DeviceOption("isa-debug-exit", None, {"iobase": 244, "iosize": 4})]


def test_globals_split_at_the_last_dot_before_the_value():
    assert parse(["-global", "x86_64-cpu.phys-bits=41"]).globals == [Global("x86_64-cpu", "phys-bits", "41")]
    assert parse(["-global", "pc-i440fx-7.2-machine.x=1.5"]).globals == [Global("pc-i440fx-7.2-machine", "x", "1.5")]


def test_identity_and_clock():
    options = parse(["-name", "guest=t1,debug-threads=on", "-uuid", "C0FFEE00-0000-0000-0000-000000000001",
                     "-rtc", "base=2006-06-17T16:01:21,clock=vm"])  # fmt: skip
    assert options.name == "t1"
    assert options.uuid == "c0ffee00-0000-0000-0000-000000000001"
    assert (options.rtc_base, options.rtc_clock) == ("2006-06-17T16:01:21", "vm")


def test_log_options():
    options = parse(["-d", "guest_errors,unimp", "-D", "log"])
    assert options.log_items == ["guest_errors", "unimp"] and options.log_file == "log"


def test_smp_is_kept_for_the_machine():
    assert parse(["-smp", "1,maxcpus=4,sockets=4"]).smp == "1,maxcpus=4,sockets=4"


def test_what_is_accepted_without_effect():
    parse(["-display", "none", "-vga", "none", "-net", "none", "-no-user-config", "-boot", "strict=on", "-icount",
           "shift=0", "-accel", "tcg", "-parallel", "none", "-sandbox", "on", "-msg", "timestamp=on"])  # fmt: skip


def test_the_back_end_is_an_accelerator_property():
    assert parse(["-accel", "numachine,backend=bytecode"]).backend == "bytecode"
    assert parse(["-accel", "tcg"]).backend == ""
    assert refusal("-accel", "numachine,backend=magic") == \
        "-accel numachine,backend=magic: there is no back end 'magic'; choose one of native, bytecode, numba"


def test_files_for_fw_cfg_are_text_or_files():
    options = parse(["-fw_cfg", "opt/a,string=one,,two", "-fw_cfg", "name=opt/b,file=/tmp/b"])
    assert options.fw_cfg == {"opt/a": b"one,two", "opt/b": Path("/tmp/b")}


def test_a_file_for_fw_cfg_outside_of_opt_is_taken_with_a_warning(capsys):
    assert parse(["-fw_cfg", "etc/x,string="]).fw_cfg == {"etc/x": b""}
    assert 'externally provided fw_cfg item names should be prefixed with "opt/"' in capsys.readouterr().err


def test_smbios_texts_add_up_by_type():
    options = parse(["-smbios", "type=1,serial=a,,b", "-smbios", "type=1,family=f", "-smbios", "type=0,release=1.16"])
    assert options.smbios == {1: {"serial": "a,b", "family": "f"}, 0: {"release": "1.16"}}


def test_doubled_comma_is_a_comma():
    assert parse(["-name", "a,,b"]).name == "a,b"


@pytest.mark.parametrize("arguments, text", [
    (["-foo"], "-foo: invalid option"),
    (["-m"], "-m: requires an argument"),
    (["-M", "nope"], "unsupported machine type 'nope'\nUse -machine help to list supported machines"),
    (["-M", "pc,foo=on"], "Property 'pc-i440fx-7.2-machine.foo' not found"),
    (["-M", "pc,accel=foo"], "invalid accelerator foo"),
    (["-accel", "foo"], "-accel foo: invalid accelerator foo"),
    (["-cpu", ""], "-cpu option cannot be empty"),
    (["-display", "foo"], "-display foo: Parameter 'type' does not accept value 'foo'"),
    (["-uuid", "x"], "-uuid x: failed to parse UUID string: wrong format"),
    (["-global", "foo"], "-global foo: Invalid parameter 'foo'"),
    (["-name", "a,bar=1"], "-name a,bar=1: Invalid parameter 'bar'"),
    (["-m", "4,foo=1"], "-m 4,foo=1: Invalid parameter 'foo'"),
    (["-initrd", "x"], "-initrd only allowed with -kernel option"),
    (["-append", "x"], "-append only allowed with -kernel option"),
    (["-chardev", "null"], "-chardev null: chardev: no id specified"),
    (["-mon", "x"], 'chardev "x" not found'),
    (["-d", "foo"], "-d foo: no log item called 'foo'; -d help lists them"),
    (["disk.img"], "disk.img: not an option; disk images are not supported"),
    (["-drive", "file=x"], "-drive file=x: disks are not supported"),
    (["-s"], "-s: the gdb server is not supported"),
    (["-smbios", "type=4,serial=1"], "-smbios type=4,serial=1: expected type=0 (BIOS), 1 (system), 2 (board) or 3 (chassis) and fields of it"),
    (["-smbios", "type=3,uuid=1"], "-smbios type=3,uuid=1: Invalid parameter 'uuid'; type 3 has manufacturer, version, serial, asset, sku"),
    (["-smbios", "type=1,uuid=1"], "-smbios type=1,uuid=1: failed to parse UUID string: wrong format"),
    (["-smbios", "type=0,release=x"], "-smbios type=0,release=x: Invalid release: expected two numbers up to 255, such as 1.16"),
    (["-fw_cfg", "opt/x"], "-fw_cfg opt/x: invalid argument(s): expected name=NAME and either file=PATH or string=TEXT"),
    (["-fw_cfg", "opt/x,string=a,file=b"],
     "-fw_cfg opt/x,string=a,file=b: invalid argument(s): expected name=NAME and either file=PATH or string=TEXT"),
    (["-fw_cfg", "opt/x,string=a", "-fw_cfg", "name=opt/x,string=b"], "-fw_cfg name=opt/x,string=b: duplicate fw_cfg file name: opt/x"),
])  # fmt: skip
def test_error_is_one_clear_text(arguments, text):
    assert refusal(*arguments) == text


def test_size_error_explains_the_suffixes():
    assert refusal("-m", "1x").startswith("-m 1x: Parameter 'size' expects a non-negative number below 2^64\n")


def test_kvm_is_refused_with_what_to_do_instead():
    assert "use -accel tcg" in refusal("-enable-kvm")
    assert "use -accel tcg" in refusal("-M", "pc,accel=kvm")
    assert parse(["-M", "pc,accel=kvm:tcg"]).machine


def test_rtc_error_shows_formats():
    assert refusal("-rtc", "base=foo").startswith("invalid datetime format\nvalid formats:")


@pytest.mark.parametrize("arguments, fragment", [
    (["-h"], "-kernel file"), (["--help"], "-smp"), (["-version"], "QEMU emulator version 7.2.22"),
    (["-M", "help"], "pc-i440fx-7.2        Standard PC (i440FX + PIIX, 1996) (default)"),
    (["-cpu", "help"], "x86 Haswell"), (["-d", "help"], "guest_errors")])  # fmt: skip
def test_help_ends_early_with_its_text(arguments, fragment):
    with pytest.raises(EarlyExit) as text:
        parse(arguments)
    assert fragment in str(text.value)


def test_no_spelling_is_defined_twice():
    assert len(BY_NAME) == sum(len(option.names) for option in TABLE)
