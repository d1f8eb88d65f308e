"""Semantics as descriptions: what they ask of the runtime exists, and one description serves a whole form."""
from __future__ import annotations

import pytest

from jit.ir import Uop, show
from jit.words import REGISTRY
from jit.x86 import semantics  # noqa: F401  (registers all instructions)
from jit.x86.builder import Builder
from jit.x86.insn import decode
from jit.x86.state import CodeSize, Mode
from tests.isa import runner  # noqa: F401  (imports every runtime function)

MODES = {16: Mode(CodeSize.BITS16) | Mode.FPU | Mode.SSE,
         32: Mode(CodeSize.BITS32) | Mode.FLAT | Mode.STACK32 | Mode.PROTECTED | Mode.FPU | Mode.SSE,
         64: Mode(CodeSize.BITS64) | Mode.FLAT | Mode.STACK32 | Mode.PROTECTED | Mode.FPU | Mode.SSE}

SYSTEM_INSTRUCTIONS = {
    64: """8ed8 8ed0 8e18 0fa1 0fb208 0fb408 0fb508 0f00d8 0f00d0 0f00e0 0f00e8 0f00c0 0f00c8 0f0008 0f02c1 0f0200 0f03c1 0f01f8
        f30faec0 f30faed8 48ff28 48ff18 cb 48cb ca1000 cf 48cf 66cf cd80 cc f1 0f05 0f07 480f07 0f34 0f35 480f35 fa fb f4 f390
        0f06 0fa2 0f32 0f30 0f31 0f01f9 0f33 0f01d0 0f01d1 0f01c8 0f01c9 0f01ca 0f01cb 0f09 0f08 0fae38 9d 669d 0f20c0 0f22c0
        440f20c0 0f21f8 0f23f8 0f01f0 0f0130 0f01e0 0f0120 0f0110 0f0118 0f0100 0f0108 0f0138 e460 e560 ec ed e660 e760 ee ef
        6c 6d 6e f36c f36e a4 f348a5 f2ae f3a6 ac aa c8100000 48f7f1 48f7f9 0f0b 0faa""",
    32: "8ed8 07 1f 17 c411 c511 0f00d8 6308 9a112233440000 ea112233440000 ff28 ff18 cb 66cb cf ce 9d 6210 0f20c0",
    16: "8ed8 07 1f 17 c411 c511 9a11220000 ea11220000 66ea112233440000 ff28 ff18 cb 66cb cf 66cf 9d cd10 670f0110 0f0118 e460 6c",
}


def describe(code: str, mode: int, concrete: bool = False) -> Builder:
    insn = decode(bytes.fromhex(code), 0x1000, int(MODES[mode]), concrete)
    assert insn is not None, f"capstone does not know {code} in {mode}-bit code"
    builder = Builder(insn)
    builder.build()
    return builder


def calls(uops: list[Uop]) -> list[Uop]:
    return [uop for uop in uops if uop.op == "call"]


@pytest.mark.parametrize("mode, code", [(mode, code) for mode, codes in SYSTEM_INSTRUCTIONS.items() for code in codes.split()])
def test_runtime_functions_that_an_instruction_calls_exist_and_take_its_arguments(mode: int, code: str) -> None:
    for call in calls(describe(code, mode).uops):
        name = call.data[0]
        assert name in REGISTRY
        assert len(REGISTRY[name].parameters) == 1 + len(call.args), name


def test_a_form_does_not_depend_on_its_registers_and_constants() -> None:
    first, second = describe("8b4b10", 64), describe("8b7dc0", 64)          # mov ecx, [rbx+10h]; mov edi, [rbp-40h]
    assert show(first.uops) == show(second.uops)


def test_a_plain_move_is_three_micro_ops_at_most() -> None:
    assert len(describe("4889d8", 64).uops) == 2                            # mov rax, rbx: get, put


def test_an_instruction_on_one_register_twice_does_not_read_it() -> None:
    assert "get" not in {uop.op for uop in describe("31c0", 64).uops}       # xor eax, eax


def test_a_block_ends_where_modes_or_mappings_may_change() -> None:
    for code in ("0f22c0", "8ed8", "0f30", "cf", "fb", "9d"):
        assert describe(code, 64).uops[-1].op == "leave", code
