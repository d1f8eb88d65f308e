"""The reference back end: budget, order of effects, faults, ends of blocks, on micro-ops written by hand."""
from __future__ import annotations

from collections.abc import Callable

import pytest

from jit import memory
from jit.bytecode import End, Step
from jit.ir import Emitter, Slot
from jit.x86.state import X86, Vector
from tests.isa.blocks import compile_block
from tests.isa.runner import Machine

RAX, RCX = (Slot(X86.offset(f"gpr.{i}")) for i in (0, 1))
NEXT = 0x2000
BUDGET = 100


@pytest.fixture
def machine() -> Machine:
    made = Machine(64)
    made.put("left", BUDGET)
    made.put("pc", 0x1000)
    return made


def step(describe: Callable[[Emitter], None], pc: int = 0x1000) -> Step:
    emitter = Emitter()
    describe(emitter)
    return Step(emitter.finish(), pc)


def run(machine: Machine, *steps: Step, number: int = 0) -> int:
    return compile_block(steps, NEXT, number)(machine.cpu.address)


def increment(e: Emitter) -> None:
    e.put(RAX, e.get(RAX, 64) + 1)


def test_a_block_charges_its_instructions_and_falls_through(machine: Machine) -> None:
    assert run(machine, step(increment), step(increment), step(increment)) == End.GOTO0
    assert (machine.get("gpr.0"), machine.get("left"), machine.get("pc")) == (3, BUDGET - 3, NEXT)


@pytest.mark.parametrize("left", (0, -1))
def test_without_budget_nothing_runs(machine: Machine, left: int) -> None:
    machine.put("left", left)
    assert run(machine, step(increment)) == End.HEAD
    assert (machine.get("gpr.0"), machine.get("left")) == (0, left & (1 << 64) - 1)


def test_the_last_instruction_of_a_budget_may_overdraw_it(machine: Machine) -> None:
    machine.put("left", 1)
    run(machine, step(increment), step(increment))
    assert machine.get("left") == (1 << 64) - 1


def test_reads_see_the_state_before_the_instruction(machine: Machine) -> None:
    def swap(e: Emitter) -> None:
        a, c = e.get(RAX, 64), e.get(RCX, 64)
        e.put(RAX, c)
        e.put(RCX, a)

    machine.put("gpr.0", 1)
    machine.put("gpr.1", 2)
    run(machine, step(swap))
    assert (machine.get("gpr.0"), machine.get("gpr.1")) == (2, 1)


def test_a_narrow_write_keeps_the_other_bytes(machine: Machine) -> None:
    machine.put("gpr.0", 0x1122_3344_5566_7788)
    run(machine, step(lambda e: e.put(RAX + 1, e.const(0xAA, 8))))
    assert machine.get("gpr.0") == 0x1122_3344_5566_AA88


def test_a_fault_leaves_at_its_instruction_and_says_where(machine: Machine) -> None:
    def faults(e: Emitter) -> None:
        e.put(RAX, e.const(0x55, 64))
        e.put(RCX, e.load(e.const(machine.layout.hole, 64), 64))

    assert run(machine, step(increment), step(faults, 0x1003), step(increment, 0x1007), number=7) == End.FAULT
    assert (machine.get("gpr.0"), machine.get("gpr.1")) == (1, 0)
    assert machine.get("where") == 7 << 8 | 1
    assert (machine.get("fault"), machine.get("fault_address")) == (Vector.PF + 1, machine.layout.hole)


def test_raise_if_reports_vector_and_error_code_only_when_its_condition_holds(machine: Machine) -> None:
    run(machine, step(lambda e: e.raise_if(e.const(0, 1), Vector.GP, 0)))
    assert machine.get("fault") == 0
    run(machine, step(lambda e: e.raise_if(e.const(1, 1), Vector.GP, 0)))
    assert (machine.get("fault"), machine.get("fault_code")) == (Vector.GP + 1, 0)


def test_a_probe_faults_where_a_write_would(machine: Machine) -> None:
    run(machine, step(lambda e: e.probe(e.const(machine.layout.read_only, 64), 8)))
    assert machine.get("fault") == Vector.PF + 1


@pytest.mark.parametrize("bits", (8, 16, 32, 64, 80, 128))
def test_memory_accesses_of_every_width(machine: Machine, bits: int) -> None:
    address, value = machine.layout.data + 0xFFB, (0x1122_3344_5566_7788_99AA_BBCC_DDEE_F001) & ((1 << bits) - 1)

    def copy(e: Emitter) -> None:
        e.store(e.const(address + 64, 64), e.const(value, bits))

    run(machine, step(copy))
    run(machine, step(lambda e: e.put(Slot(X86.offset("xmm")), e.load(e.const(address + 64, 64), bits))))
    assert machine._get_wide(X86.offset("xmm"), 16) == value


def test_a_wide_store_that_faults_in_its_second_half_changes_nothing(machine: Machine) -> None:
    at = machine.layout.data + 0x2000 - 8
    run(machine, step(lambda e: e.store(e.const(at, 64), e.const((1 << 128) - 1, 128))))
    assert machine.get("fault") == Vector.PF + 1
    assert memory.load_slow(machine.cpu.address, at, 8) == 0


@pytest.mark.parametrize("taken, pc, end", ((1, 0x3000, End.GOTO0), (0, 0x4000, End.GOTO1)))
def test_a_branch_chooses_its_target(machine: Machine, taken: int, pc: int, end: End) -> None:
    assert end == run(machine, step(lambda e: e.branch(e.const(taken, 1), e.const(0x3000, 64), e.const(0x4000, 64))))
    assert machine.get("pc") == pc


def test_leave_keeps_the_pc_that_was_set(machine: Machine) -> None:
    def leave(e: Emitter) -> None:
        e.put_now(Slot(X86.offset("pc")), e.const(0x1234, 64))
        e.leave()

    assert run(machine, step(leave)) == End.LEAVE
    assert machine.get("pc") == 0x1234


def test_an_open_operand_is_refused() -> None:
    with pytest.raises(ValueError, match="concrete=True"):
        compile_block([step(lambda e: e.put(RAX, e.hole("i0", 64)))], NEXT)


def test_host_code_runs_with_its_arguments(machine: Machine) -> None:
    run(machine, step(lambda e: e.put(RAX, e.host("lea 1($1), $0", "=r,r", 64, e.const(41, 64)))))
    assert machine.get("gpr.0") == 42
