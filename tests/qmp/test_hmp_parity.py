"""The human monitor beside QEMU's: the same lines typed at both, before the first instruction."""

from __future__ import annotations

import re

import pytest

OPTIONS = ["-M", "q35", "-smp", "2,maxcpus=4,sockets=2,dies=1,cores=2,threads=1", "-m", "64", "-accel", "tcg", "-name", "guest",
           "-uuid", "12345678-1234-1234-1234-123456789abc"]  # fmt: skip

# Lines whose output is the same to the letter, numbers of host threads aside.
SAME = """info cpus|info hotpluggable-cpus|info pic|info numa|info status|info name|info uuid|info kvm|info block|info network
info mice|info memory_size_summary|info memdev|info memory-devices|info iothreads|info vnc|info spice|info balloon|info usb|info tpm
info blockstats|info foo|info cpus x|help x|? cpu|help device_add|help foo|help sendkey|help info cpus|stop|stop x|quit x|nope
cpu 1|cpu|cpu 7|cpu 0|device_del|device_del nope|device_add|device_add nope|qom-list|qom-list /nope|qom-get /nope x|qom-get /machine
qom-set /nope x y|object_add|object_del nope|sendkey foo|sendkey a|sum 0 16|gva2gpa 0|memsave 0 16 /tmp/x
system_wakeup|nmi|info lapic 9|info registers 7|xp /4xb 0x100|xp /3dg 0x100|xp /2uh 0x100|xp /9ob 0x100|xp /12xw 0x100|xp /2cb 0x100
x /2xg 0x100|xp 0x100000000000|p|p 1+2|p/x 0x10*3|p/d -1|p/u -1|p/o 9|p/c 65|p 5/0|p (3|p $foo|p 1<<4|p/x 5*-3|p/x ~0|p/d -7/2|p/d 7%-2
p/x 1+2&3|p/x (1+2)&3|p/x 0x80000000|p/d 'a'|p/x 010|x|xp|i|info history|info lapic 1|p/x 0"""
LINES = [line for row in SAME.splitlines() for line in row.split("|")]


def plain(text: str) -> str:
    """Without what differs from process to process."""
    return re.sub(r"thread_id=\d+", "thread_id=N", text).rstrip("\n")


@pytest.mark.parametrize("line", LINES)
def test_output_is_qemus(qemu, ours, line):
    assert plain(ours.hmp(line)) == plain(qemu.hmp(line))


def shape(text: str) -> list[str]:
    """Lines with their numbers blotted out."""
    return [re.sub(r"\b(0x)?[0-9a-f]+\b", "N", line.strip()) for line in text.strip().splitlines()]


def test_registers_are_laid_out_as_qemus(qemu, ours):
    theirs, mine = (shape(peer.hmp("info registers"))[:17] for peer in (qemu, ours))
    assert mine == theirs


def test_first_cpus_apic_differs_in_its_wires_only(qemu, ours):
    theirs, mine = (peer.hmp("info lapic").splitlines() for peer in (qemu, ours))
    assert [a.split()[0] for a, b in zip(mine, theirs, strict=True) if a != b] == ["LVT0", "LVT1"]


def test_interrupt_statistics_have_qemus_lines(qemu, ours):
    line = re.compile(r"IRQ statistics for (ioapic|isa-i8259):|[ \d]\d: \d+")
    for peer in (qemu, ours):
        assert all(line.fullmatch(each) for each in peer.hmp("info irq").splitlines())


def bus_tree(text: str) -> list[str]:
    """The lines that name buses and devices, without CPUs, which QEMU leaves out, and the serial port, which is always there."""
    lines = re.findall(r"^ *(?:bus: \S+|type \S+|dev: \S+, id \".*\")$", text, re.MULTILINE)
    return [line for line in lines if not re.search(r"dev: (\w+-x86_64-cpu|apic|isa-serial|isa-debugcon),", line)]


def test_device_tree_is_laid_out_as_qemus(qemu, ours):
    theirs, mine = (bus_tree(peer.hmp("info qtree")) for peer in (qemu, ours))
    assert len(mine) > 30
    assert set(mine) <= set(theirs)
    assert [line for line in mine if "bus: " in line] == [line for line in theirs if "bus: " in line and line in mine]


def test_memory_tree_has_qemus_lines(qemu, ours):
    line = re.compile(r"address-space: .+|( {2})+[0-9a-f]{16}-[0-9a-f]{16} \(prio -?\d+, (i/o|ram|rom|container)\): \S.*|")
    theirs, mine = qemu.hmp("info mtree"), ours.hmp("info mtree")
    assert all(line.fullmatch(each) for each in mine.splitlines())
    named = {each.split(": ")[1] for each in mine.splitlines() if ": " in each}
    assert {"memory", "I/O", "system", "io", "ioapic", "hpet", "apic-msi"} <= named & set(re.findall(r": (?:alias )?([\w/.-]+)", theirs))


def test_pci_functions_are_qemus(qemu, ours):
    assert [line for line in shape(ours.hmp("info pci")) if "BAR" not in line] == [
        line for line in shape(qemu.hmp("info pci")) if "BAR" not in line]  # fmt: skip


def test_instructions_are_disassembled_in_qemus_columns(qemu, ours):
    for peer in (qemu, ours):
        peer.query("stop")
    theirs, mine = (peer.hmp("xp /2i 0x100") for peer in (qemu, ours))
    assert mine == theirs


def test_version_begins_with_qemus(qemu, ours):
    number = re.compile(r"\d+\.\d+\.\d+")
    assert number.match(ours.hmp("info version"))[0] == number.match(qemu.hmp("info version"))[0]


def test_subjects_and_commands_that_both_have_are_described_alike(qemu, ours):
    for listing in ("help", "info"):
        theirs = {line.split(" ")[0 if listing == "help" else 1] for line in qemu.hmp(listing).splitlines()}
        mine = {line.split(" ")[0 if listing == "help" else 1] for line in ours.hmp(listing).splitlines()}
        assert mine - theirs <= {"cpu-add", "cpu_set"}
