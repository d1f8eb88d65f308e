"""The oracles agree with each other, report faults instead of dying, and the table of forms is sane."""
from __future__ import annotations

import pytest

from tests.oracle import compare, forms, known, native, unicorn_oracle
from tests.oracle.assembler import AssemblyError, assemble
from tests.oracle.forms.table import parse
from tests.oracle.state import (
    FLAT,
    GPR_NAMES,
    RAX,
    RSP,
    Case,
    Fault,
    Flags,
    Result,
    State,
    Vector,
    Window,
    full_tags,
    layout,
    pack_fxsave,
    unpack_fxsave,
)

needs_host = pytest.mark.skipif(not native.available(), reason="runs x86-64 code on the host")
ENGINES = [pytest.param(native, marks=needs_host, id="native"), pytest.param(unicorn_oracle, id="unicorn")]


def one(text: str, mode: int = 64, **registers: int) -> Case:
    """A case with the named registers, empty memory and a stack."""
    place = layout(mode)
    state = State(rip=place.entry, memory={window.base: bytes(window.size) for window in place.windows})
    state.gpr[RSP] = place.stack_window.base + place.stack_window.size // 2
    for name, value in registers.items():
        state.gpr[GPR_NAMES.index(name)] = value
    return Case(text, assemble(text, mode, place.entry), mode, state)


@pytest.mark.parametrize("engine", ENGINES)
def test_add_sets_the_result_and_the_flags(engine):
    result = engine.run(one("add eax, ebx", rax=0xFFFF_FFFF_7FFF_FFFF, rbx=1))

    assert result.fault is None
    assert result.state.gpr[RAX] == 0x8000_0000
    assert result.state.rflags & Flags.OF and result.state.rflags & Flags.SF and not result.state.rflags & Flags.CF
    assert result.state.rip == FLAT.entry + 2


@pytest.mark.parametrize("engine", ENGINES)
def test_push_writes_below_the_stack_pointer(engine):
    case = one("push rax", rax=0x1122_3344_5566_7788)

    state = engine.run(case).state

    assert state.gpr[RSP] == case.initial.gpr[RSP] - 8
    assert state.load(state.gpr[RSP], 8) == 0x1122_3344_5566_7788


@pytest.mark.parametrize("engine", ENGINES)
def test_taken_jump_ends_at_its_target(engine):
    assert engine.run(one(f"jmp {FLAT.entry + 0x123}")).state.rip == FLAT.entry + 0x123


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("text, registers, vector, address", [
    ("div rcx", {}, Vector.DE, 0),
    ("ud2", {}, Vector.UD, 0),
    ("mov rax, [rbx]", {"rbx": FLAT.hole}, Vector.PF, FLAT.hole),
    ("mov [rbx], rax", {"rbx": FLAT.read_only + 8}, Vector.PF, FLAT.read_only + 8),
])
def test_fault_is_a_result_with_the_registers_as_before(engine, text, registers, vector, address):
    case = one(text, rax=5, **registers)

    result = engine.run(case)

    assert result.fault.vector == vector and result.fault.address == address
    assert result.state.gpr == case.initial.gpr and result.state.rip == FLAT.entry


@needs_host
@pytest.mark.parametrize("text, rax, expected", [("aaa", 0x0A, 0x100), ("das", 0x9B, 0x35), ("inc eax", 7, 8)])
def test_host_runs_32_bit_code(text, rax, expected):
    assert native.run(one(text, mode=32, rax=rax)).state.gpr[RAX] == expected


@needs_host
def test_host_survives_a_ruined_stack_pointer_between_good_cases():
    good, bad = one("inc rax", rax=1), one("push rax")
    bad.initial.gpr[RSP] = 0xDEAD_BEEF_0000_0001

    results = native.run_many([good, bad, good])

    assert [result.fault is None for result in results] == [True, False, True]
    assert results[2].state.gpr[RAX] == 2


@needs_host
def test_vector_and_x87_state_goes_in_and_comes_out_unchanged():
    case = next(forms.cases("x87", seed=5, per_form=1))
    case.code, case.text = assemble("nop"), "nop"
    case.initial.xmm = list(range(100, 116))
    case.initial.fpu.tw = full_tags(0b1011_0110, case.initial.fpu.top, case.initial.fpu.st)

    result = native.run(case)

    assert result.state.xmm == case.initial.xmm
    assert result.state.fpu == case.initial.fpu


def test_real_mode_runs_16_bit_code():
    state = unicorn_oracle.run(one("mov ax, [bx + 4]", mode=16, rbx=layout(16).data_window.base, rax=-1 & 0xFFFF_FFFF)).state

    assert state.gpr[RAX] == 0xFFFF_0000


def test_host_refuses_real_mode():
    with pytest.raises(ValueError, match="mode 16"):
        native.run(one("nop", mode=16))


# ---- the two against each other -------------------------------------------------------------------------------------

@needs_host
@pytest.mark.parametrize("mode", [64, 32])
@pytest.mark.parametrize("group", ["integer", "string", "stack", "branch"])
def test_host_and_unicorn_agree_on_integer_forms(group, mode):
    cases = [case for case in forms.cases(group, seed=11, per_form=3, mode=mode) if not known.unicorn_is_wrong(case)]

    reports = [compare.explain(case, native_result, unicorn_oracle.run(case))
               for case, native_result in zip(cases, native.run_many(cases))]

    assert len(cases) > 40
    assert not [report for report in reports if report], "\n".join(filter(None, reports))[:4000]


@needs_host
def test_every_listed_disagreement_is_still_there():
    patterns = dict.fromkeys(known.UNICORN_IS_WRONG, False)
    cases = [case for group in ("integer", "mmx") for case in forms.cases(group, seed=2, per_form=30)
             if known.unicorn_is_wrong(case)]

    for case, expected in zip(cases, native.run_many(cases)):
        if compare.differences(case, expected, unicorn_oracle.run(case)):
            for pattern in patterns:
                patterns[pattern] |= known.fnmatchcase(case.form, pattern)

    assert [pattern for pattern, seen in patterns.items() if not seen] == []


@needs_host
def test_masked_floating_point_never_faults_and_moves_on():
    cases = list(forms.cases("x87", seed=3, per_form=2))

    for case, result in zip(cases, native.run_many(cases)):
        assert result.fault is None and result.state.rip == case.layout.entry + len(case.code), str(case)


@needs_host
def test_bad_addresses_fault_and_leave_registers_alone():
    cases = list(forms.cases("faults", seed=4, per_form=3))
    faulting = 0

    for case, result in zip(cases, native.run_many(cases)):
        if result.fault and result.state.rip == case.layout.entry:      # not: a jump to what was read
            faulting += 1
            assert result.state.gpr == case.initial.gpr, str(case)
            assert result.state.fpu.st == case.initial.fpu.st, str(case)
    assert faulting > len(cases) / 2


@needs_host
def test_illegal_encodings_are_undefined_opcodes_on_the_host():
    cases = [case for case in forms.cases("encodings", seed=4, per_form=1) if case.undefined_flags]
    illegal = [case for case, result in zip(cases, native.run_many(cases))
               if result.fault and result.fault.vector == Vector.UD]

    assert len(illegal) > 30


# ---- the table of forms ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("mode", [64, 32, 16])
def test_every_form_assembles_in_every_mode_it_claims(mode):
    made = list(forms.cases(seed=1, per_form=1, mode=mode))

    assert len(made) == len(forms.forms(mode=mode)) > 1500
    assert all(0 < len(case.code) <= 16 for case in made)  # one is too long on purpose


def test_same_seed_makes_the_same_cases_and_another_seed_others():
    first, again, other = ([(case.text, case.initial.gpr) for case in forms.cases("integer", seed, per_form=1)]
                           for seed in (1, 1, 2))

    assert first == again != other


def test_unknown_group_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="integer"):
        list(forms.cases("no-such-group"))


def test_malformed_row_is_refused():
    with pytest.raises(ValueError, match="unknown options"):
        parse("integer", "add | {r32} | | nonsense=1")


def test_assembler_names_the_text_it_refuses():
    with pytest.raises(AssemblyError, match="frobnicate"):
        assemble("frobnicate eax")


# ---- comparison -----------------------------------------------------------------------------------------------------

def test_comparison_names_the_register_the_flag_and_the_byte():
    case = one("nop")
    changed = case.initial.copy()
    changed.gpr[RAX] = 1
    changed.rflags |= Flags.CF
    changed.store(FLAT.data_window.base, 1, 7)

    found = compare.differences(case, Result(case.initial), Result(changed, Fault(Vector.GP)))

    assert [line.split(":")[0] for line in found] == ["fault", "rax", "CF", f"[{FLAT.data_window.base:#x}]"]


def test_comparison_ignores_what_the_case_calls_undefined():
    case = one("nop")
    case.undefined_flags, case.undefined_gpr = Flags.CF, {RAX: 0xFF}
    case.undefined_memory = (Window(FLAT.data_window.base, 1),)
    changed = case.initial.copy()
    changed.gpr[RAX] = 1
    changed.rflags |= Flags.CF
    changed.store(FLAT.data_window.base, 1, 7)

    assert compare.differences(case, Result(case.initial), Result(changed)) == []


def test_fxsave_image_round_trips():
    state = next(forms.cases("x87", seed=9, per_form=1)).initial
    other = State()

    unpack_fxsave(pack_fxsave(state), other)

    assert (other.fpu, other.xmm, other.mxcsr) == (state.fpu, state.xmm, state.mxcsr)
