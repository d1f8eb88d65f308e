"""What -d prints while a guest runs, and that watching changes nothing in it."""

from __future__ import annotations

import re

import pytest

from emu import log
from machines import Pc
from machines.guests import asm
from tests.guest.test_determinism import fingerprint, run_scenario

LOOP = "start: mov ecx, 5\nagain: dec ecx\njnz again\n"
HALT = "cli\nhlt\n"
PAGE_FAULT = """start: mov dword ptr [0x2000], 0x83
mov eax, 0x10
mov cr4, eax
mov eax, 0x2000
mov cr3, eax
mov eax, cr0
or eax, 0x80000000
mov cr0, eax
mov eax, [0x12345678]
"""
LACKING = ".byte 0xc5, 0xfc, 0x58, 0xc1\n"  # vaddps ymm0, ymm0, ymm1
BACKENDS = ["native", "bytecode"]


@pytest.fixture(params=BACKENDS)
def printed(request):
    """printed(source, mask...): the log of a run of an assembled kernel, resets refused."""

    def run(source, *masks):
        image = asm.multiboot_elf(source + HALT)
        with log.captured(*masks) as lines, Pc(memory="4M", kernel=image, no_reboot=True, backend=request.param) as vm:
            vm.run_for(100_000)
        return "\n".join(lines)

    return run


def test_int_shows_a_page_fault_and_what_becomes_of_it_without_handlers(printed):
    lines = printed(PAGE_FAULT, "int").splitlines()
    assert re.fullmatch(r" +0: v=0e e=0000 i=0 cpl=0 IP=0010:00000000001000\w\w SP=0018:0{16} CR2=0000000012345678 CPU0 #PF", lines[0])
    assert [re.search(r"v=(..) .* (#\w+)$", line).groups() for line in lines] == [("0e", "#PF"), ("08", "#DF")]


def test_int_shows_software_interrupts(printed):
    first, second, *_ = printed("start: int 0x80\n", "int").splitlines()
    assert "v=80 e=none i=1 cpl=0" in first and first.endswith("INT 80h")
    assert "v=0d e=0402 i=0" in second and second.endswith("#GP")


def test_int_shows_external_interrupts(boot):
    with log.captured("int") as lines:
        vm = boot(append="ioapic")
        vm.serial.send("s").expect("present 1")
    assert lines and all(re.search(r"v=.. e=none i=0 cpl=0 IP=0008:\w{16} .* CPU0 interrupt$", line) for line in lines)


def test_in_asm_shows_each_block_once_with_addresses_bytes_and_text(printed):
    text = printed(LOOP, "in_asm")
    assert re.search(r"IN: 0x10\w+\n0x0010\w{4}:  b9 05 00 00 00 +mov ecx, 5\n0x0010\w{4}:  49 +dec ecx\n"
                     r"0x0010\w{4}:  75 fd +jne 0x10\w{4}\n", text)
    assert text.count("dec ecx") == 2


def test_op_shows_micro_ops_under_their_instruction(printed):
    assert re.search(r"---- 0x10\w{4}: mov ecx, 5\n v0 = const.32 5\n", printed(LOOP, "op"))


def test_out_asm_shows_what_the_host_runs(printed):
    text = printed(LOOP, "out_asm")
    assert re.search(r"OUT: 0x10\w{4}\n0x\w+:  \w+ +cmp ", text) or re.search(r"OUT: 0x10\w{4}\n.*def block", text, re.DOTALL)


def test_exec_shows_every_block_as_often_as_it_runs(printed):
    blocks = re.findall(r"^Trace 0: (\w{16}) mode", printed(LOOP, "exec"), re.MULTILINE)
    loop = int(blocks[0], 16) + 5
    assert blocks.count(f"{loop:016x}") == 4


def test_cpu_shows_registers_before_each_block(printed):
    assert re.findall(r"ECX=0000000(\w)", printed(LOOP, "cpu"))[1:6] == ["4", "3", "2", "1", "0"]
    assert "XMM" not in printed(LOOP, "cpu")


def test_fpu_shows_vector_registers_too(printed):
    assert "XMM07=" in printed(LOOP, "fpu")


def test_nochain_says_that_it_is_on(printed):
    assert "not chained" in printed(LOOP, "nochain")


def test_cpu_reset_shows_registers_before_a_reset(printed):
    assert re.match(r"CPU Reset \(CPU 0\)\nEAX=0", printed(LOOP, "cpu_reset"))


def test_unimp_names_an_instruction_that_is_missing_once(printed):
    lines = printed("start: mov ecx, 5\n" + LACKING, "unimp").splitlines()
    assert [line for line in lines if line.startswith("cpu:")] == [
        f"cpu: no semantics for vaddps ymm0, ymm0, ymm1 (c5fc58c1) at {lines[0].split(' at ')[1].split(':')[0]}: "
        "it raises #UD in the guest"]  # fmt: skip


def test_guest_errors_name_a_triple_fault(printed):
    assert "triple fault" in printed("start: int 0x80\n", "guest_errors")


def test_every_mask_prints_something(printed):
    source = "start: in al, 0x77\n" + LACKING
    assert [mask for mask in log.MASKS if not printed(source, mask)] == []


def test_masks_may_change_between_slices(boot):
    vm = boot()
    with log.captured("exec") as lines:
        vm.serial.send("s").expect("present 1")
    shown = len(lines)
    vm.serial.send("s").expect("present 1")
    assert shown and len(lines) == shown


@pytest.mark.parametrize("masks", [["int"], ["in_asm"], ["exec", "cpu"]])
def test_watching_changes_nothing(boot, plug, unplug, masks):
    quiet = fingerprint(run_scenario(boot, plug, unplug))
    with log.captured(*masks) as lines:
        assert fingerprint(run_scenario(boot, plug, unplug)) == quiet
    assert lines
