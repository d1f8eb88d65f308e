"""A run of AML is a sequence of steps, each a line of its trace, between which anything may happen."""

from __future__ import annotations

from acpi.aml import (
    Arg0,
    Call,
    Debug,
    Device,
    If,
    LEqual,
    Method,
    Name,
    Notify,
    NotSerialized,
    Package,
    Return,
    Sleep,
    Store,
)
from acpi.aml.evaluator import Evaluator
from acpi.aml.steps import Access, Notification, Statement
from acpi.dsdt import dsdt
from machines import Q35
from tests.acpi.aml_bench import load

CPU1 = "\\_SB.CPUS.C001"


def test_statements_print_before_they_run_and_accesses_behind(board):
    ospm = board.ospm()
    base = board.base
    assert [str(step) for step in ospm.steps(f"{CPU1}._STA")] == [
        f"[{CPU1}._STA] Return (CSTA (One))",
        "[\\_SB.CPUS.CSTA] Acquire (\\_SB.PCI0.PRES.CPLK, 0xFFFF)",
        "[\\_SB.CPUS.CSTA] \\_SB.PCI0.PRES.CSEL = Arg0",
        f"[\\_SB.CPUS.CSTA] CSEL <- 1   (io {base:#x} dword write 1)",
        "[\\_SB.CPUS.CSTA] Local0 = Zero",
        "[\\_SB.CPUS.CSTA] If ((\\_SB.PCI0.PRES.CPEN == One))",
        f"[\\_SB.CPUS.CSTA] CPEN -> 0   (io {base + 4:#x} byte read 0)",
        "[\\_SB.CPUS.CSTA] Release (\\_SB.PCI0.PRES.CPLK)",
        "[\\_SB.CPUS.CSTA] Return (Local0)",
    ]


def test_the_field_is_told_apart_from_the_register_around_it(board):
    ospm = board.ospm()
    board.plug(1)
    reads = [step for step in ospm.steps("\\_GPE._E02") if isinstance(step, Access) and step.field == "CINS"]
    assert [(step.write, step.size, step.value, step.part) for step in reads] == [
        (False, 1, 0b11, 1),
        (True, 1, 0b10, 1),
    ]


def test_every_kind_of_step_has_its_line():
    body = [If(LEqual(Arg0, 1), Notify("DEV1", 0x81)), Sleep(20), Store("text", Debug), Return(Package(1, "a"))]
    ev = load(Device("DEV1"), Method("MAIN", 1, NotSerialized, body))
    lines = [str(step) for step in ev.steps("\\MAIN", 1) if not isinstance(step, Statement)]
    assert lines == ["[\\MAIN] Notify \\DEV1, 0x81", "[\\MAIN] 20 ms pass", '[\\MAIN] Debug: "text"']


def test_the_result_is_there_when_the_steps_end():
    run = load(Method("MAIN", 0, NotSerialized, Return(7))).steps("\\MAIN")
    assert (run.done, run.result) == (False, None)
    assert [type(step) for step in run] == [Statement]
    assert (run.done, run.result, list(run)) == (True, 7, [])


def test_a_run_may_be_finished_from_anywhere():
    ev = load(Method("FUNC", 1, NotSerialized, Return(Arg0)), Method("MAIN", 0, NotSerialized, Return(Call("FUNC", 5))))
    run = ev.steps("\\MAIN")
    next(run)
    assert run.finish() == 5


def test_data_has_no_steps():
    run = load(Name("VALU", 5)).steps("\\VALU")
    assert (list(run), run.result) == ([], 5)


def test_a_plug_before_any_access_of_a_status_is_seen_or_not(board):
    """The CPU that comes while _STA runs is seen if it comes before the flags are read."""
    ospm = board.ospm()
    accesses = [step.field for step in ospm.steps(f"{CPU1}._STA") if isinstance(step, Access)]
    assert accesses == ["CSEL", "CPEN"]
    run = ospm.steps(f"{CPU1}._STA")
    while not isinstance(next(run), Access):
        pass
    board.plug(1)
    assert run.finish() == 0xF


def test_the_tables_of_a_machine_run_on_its_ports():
    with Q35(smp="1,sockets=4,maxcpus=4", memory="64M") as vm:
        ospm = Evaluator(dsdt(vm.platform()), io=vm.io)
        ospm.run("\\_SB.PCI0.PRES._INI")
        vm.qmp.device_add(driver="qemu64-x86_64-cpu", id="cpu1", socket_id=1, core_id=0, thread_id=0)
        told = [step for step in ospm.steps("\\_GPE._E02") if isinstance(step, Notification)]
        assert [(str(step.node), step.value) for step in told] == [(CPU1, 1)]
        assert [ospm.run(f"\\_SB.CPUS.C{n:03X}._STA") for n in range(4)] == [0xF, 0xF, 0, 0]


def test_a_link_of_a_machine_is_routed_where_its_resources_are_set():
    with Q35(memory="64M") as vm:
        ospm = Evaluator(dsdt(vm.platform()), io=vm.io)
        irq_11 = ospm.run("\\_SB.LNKA._CRS")[:-6] + bytes.fromhex("0b0000007900")
        ospm.run("\\_SB.LNKA._SRS", irq_11)
        assert ospm.run("\\_SB.LNKA._CRS") == irq_11
        ospm.run("\\_SB.LNKA._DIS")
        assert ospm.run("\\_SB.LNKA._STA") == 0x9
