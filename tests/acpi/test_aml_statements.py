"""What AML's statements do: branches, loops, calls, Notify, mutexes, events, time (ACPI 6.5, section 19.6)."""

from __future__ import annotations

import pytest

from acpi.aml import (
    Acquire,
    Add,
    Alias,
    Arg0,
    Arg1,
    Break,
    Call,
    Continue,
    Debug,
    Device,
    Else,
    Event,
    Fatal,
    If,
    Increment,
    LEqual,
    LGreater,
    LLess,
    Local0,
    Local1,
    Method,
    Multiply,
    Mutex,
    Name,
    Notify,
    NotSerialized,
    ObjectType,
    Raw,
    Ref,
    Release,
    Return,
    Scope,
    Serialized,
    Signal,
    Sleep,
    Stall,
    Store,
    Subtract,
    Timer,
    Wait,
    While,
)  # fmt: skip
from acpi.aml.asl import asl
from acpi.aml.errors import AmlError, UnknownOpcode
from acpi.aml.errors import Fatal as FatalError
from acpi.aml.evaluator import Evaluator
from acpi.aml.steps import Waiting
from tests.acpi.aml_bench import load, run, table

ONES = (1 << 64) - 1
FOR_EVER = 0xFFFF


def factorial() -> Method:
    return Method("FACT", 1, NotSerialized,
        If(LLess(Arg0, 2), Return(1)),
        Return(Multiply(Arg0, Call("FACT", Subtract(Arg0, 1)))))  # fmt: skip


# ---------------------------------------------------------------- branches, loops, calls


@pytest.mark.parametrize(("value", "taken"), [(1, "one"), (2, "two"), (3, "more")])
def test_one_branch_is_taken(value, taken):
    body = [
        Store(value, Local0),
        If(LEqual(Local0, 1), Return("one")),
        Else(If(LEqual(Local0, 2), Return("two")), Else(Return("more"))),
    ]
    assert run(body) == taken


def test_break_leaves_and_continue_repeats_the_innermost_loop():
    body = [
        Store(0, Local0),
        Store(0, Local1),
        While(1,
            Increment(Local0),
            If(LEqual(Local0, 3), Continue()),
            If(LGreater(Local0, 5), Break()),
            Store(Add(Local1, Local0), Local1)),
        Return(Local1),
    ]  # fmt: skip
    assert run(body) == 1 + 2 + 4 + 5


def test_a_loop_without_end_is_an_error(monkeypatch):
    monkeypatch.setattr("acpi.aml.statements.MAX_TURNS", 100)
    with pytest.raises(AmlError, match="While that has not ended after 100 turns"):
        run(While(1))


def test_a_method_may_call_itself():
    assert load(factorial()).run("\\FACT", 10) == 3628800


def test_calls_nest_only_so_deep():
    with pytest.raises(AmlError, match=r"\\LOOP is called 100 calls deep"):
        load(Method("LOOP", 0, NotSerialized, Call("LOOP"))).run("\\LOOP")


def test_a_call_may_name_a_method_that_comes_later():
    ev = load(
        Method("MAIN", 0, NotSerialized, Return(Call("LATE", 1, 2))),
        Method("LATE", 2, NotSerialized, Return(Add(Arg0, Arg1))),
    )
    assert ev.run("\\MAIN") == 3


def test_an_alias_calls_what_it_stands_for():
    ev = load(
        factorial(),
        Alias("FACT", "PROD"),
        Method("MAIN", 0, NotSerialized, Return(Add(Call("PROD", 4), Call("PROD", 3)))),
    )
    assert (ev.run("\\MAIN"), ev.run("\\PROD", 3)) == (30, 6)


def test_a_method_that_returns_nothing_has_no_value():
    assert load(Method("MAIN", 0, NotSerialized)).run("\\MAIN") is None


def test_the_wrong_number_of_arguments_is_an_error():
    with pytest.raises(AmlError, match=r"\\FACT takes 1 arguments, got 2"):
        load(factorial()).run("\\FACT", 1, 2)


def test_names_made_in_a_method_go_with_it():
    ev = load(Method("MAIN", 0, Serialized, Name("TEMP", 5), Increment("TEMP"), Return(Ref("TEMP"))))
    assert [ev.run("\\MAIN"), ev.run("\\MAIN"), ev.has("\\MAIN.TEMP")] == [6, 6, False]


def test_a_single_name_is_searched_up_to_the_root():
    ev = load(Name("VALU", 1), Scope("\\_SB", Device("DEV1", Method("NEAR", 0, NotSerialized, Return(Ref("VALU"))),
              Device("DEV2", Name("VALU", 2), Method("NEAR", 0, NotSerialized, Return(Ref("VALU")))))))  # fmt: skip
    assert (ev.run("\\_SB.DEV1.NEAR"), ev.run("\\_SB.DEV1.DEV2.NEAR")) == (1, 2)


def test_a_second_table_extends_the_first():
    first = table(Scope("\\_SB", Device("DEV1", Method("FUNC", 2, NotSerialized, Return(Add(Arg0, Arg1))))))
    second = table(Scope("\\_SB.DEV1", Method("MAIN", 0, NotSerialized, Return(Call("FUNC", 3, 4)))), signature=b"SSDT")
    assert Evaluator(first, second).run("\\_SB.DEV1.MAIN") == 7


def test_tables_that_come_together_call_each_other():
    first = table(Method("MAIN", 0, NotSerialized, Return(Call("FUNC", 3, 4))))
    second = table(Method("FUNC", 2, NotSerialized, Return(Subtract(Arg1, Arg0))), signature=b"SSDT")
    assert Evaluator(first, second).run("\\MAIN") == 1
    assert "Return (FUNC (0x03, 0x04))" in asl(first, second)


def test_a_table_may_be_added_later():
    ev = load(Method("FUNC", 2, NotSerialized, Return(Subtract(Arg1, Arg0))))
    ev.load(table(Method("MAIN", 0, NotSerialized, Return(Call("FUNC", 3, 4))), signature=b"SSDT"))
    assert ev.run("\\MAIN") == 1


def test_statements_outside_of_methods_run_when_the_table_is_loaded():
    ev = load(Name("VALU", 1), If(LEqual(Ref("VALU"), 1), Name("MORE", 2)), Else(Name("LESS", 0)))
    assert (ev.has("\\MORE"), ev.has("\\LESS")) == (True, False)


def test_a_name_cannot_be_made_twice():
    with pytest.raises(AmlError, match=r"\\VALU exists already"):
        load(Name("VALU", 1), Name("VALU", 2))


# ---------------------------------------------------------------- what the operating system sees


def test_notify_tells_an_object_a_number():
    ev = load(Scope("\\_SB", Device("DEV1")), Method("MAIN", 0, NotSerialized, Notify("\\_SB.DEV1", 0x80)))
    ev.run("\\MAIN")
    assert ev.take_notifications() == [("\\_SB.DEV1", 0x80)]
    assert ev.take_notifications() == []


def test_debug_takes_anything():
    ev = load(Method("MAIN", 0, NotSerialized, Store("text", Debug), Store(5, Debug)))
    ev.run("\\MAIN")
    assert ev.debug == ["text", 5]


def test_time_passes_by_sleep_and_stall_alone():
    ev = load(Method("MAIN", 0, NotSerialized, Sleep(3), Stall(7), Return(Timer())))
    assert ev.run("\\MAIN") == 30_070
    assert ev.time_ns == 3_007_000


def test_fatal_ends_with_its_numbers():
    with pytest.raises(FatalError, match=r"Fatal \(0x2, 0x1234, 0x7\)") as fatal:
        run(Fatal(2, 0x1234, 7))
    assert (fatal.value.kind, fatal.value.code, fatal.value.argument) == (2, 0x1234, 7)


def test_osi_knows_what_it_was_told():
    tables = table(Method("MAIN", 0, NotSerialized, Return(Call("\\_OSI", "Windows 2015"))))
    answers = [Evaluator(tables, interfaces=known).run("\\MAIN") for known in ((), ("Windows 2015",))]
    assert answers == [0, ONES]


def test_initialization_skips_devices_that_are_not_there():
    def device(name: str, status: int) -> Device:
        return Device(name, Name("_STA", status), Method("_INI", 0, NotSerialized, Increment("\\DONE")),
                      Device("SUB", Method("_INI", 0, NotSerialized, Increment("\\SUBS"))))  # fmt: skip

    ev = load(
        Name("DONE", 0), Name("SUBS", 0), Scope("\\_SB", device("DEV1", 0xF), device("DEV2", 0), device("DEV3", 8))
    )
    ev.initialize()
    assert (ev.run("\\DONE"), ev.run("\\SUBS")) == (1, 2)


# ---------------------------------------------------------------- mutexes and events


def two_users() -> Evaluator:
    """A method that holds a mutex while it notifies."""
    return load(Mutex("LOCK"), Device("DEV1"), Method("WORK", 1, NotSerialized,
        Acquire("LOCK"), Notify("DEV1", Arg0), Notify("DEV1", Arg0), Release("LOCK")))  # fmt: skip


def test_a_mutex_keeps_a_second_run_waiting():
    ev = two_users()
    first, second = ev.steps("\\WORK", 1), ev.steps("\\WORK", 2)
    while not ev.notifications:
        next(first)
    while not isinstance(next(second), Waiting):
        pass
    first.finish()
    second.finish()
    assert [value for _, value in ev.take_notifications()] == [1, 1, 2, 2]
    assert ev.held == []


def test_a_run_that_waits_for_ever_is_an_error():
    ev = two_users()
    run = ev.steps("\\WORK", 1)
    while not ev.held:
        next(run)
    with pytest.raises(AmlError, match=r"waits for \\LOCK, which nobody will free"):
        ev.run("\\WORK", 2)


def test_a_run_may_take_a_mutex_twice():
    assert run(Mutex("LOCK"), Acquire("LOCK"), Acquire("LOCK"), Release("LOCK"), Release("LOCK"), Return(1)) == 1


def test_acquire_gives_up_after_its_timeout():
    ev = load(Mutex("LOCK"), Method("HOLD", 0, NotSerialized, Acquire("LOCK"), Sleep(1)),
              Method("MAIN", 0, NotSerialized, Return(Acquire("LOCK", 20))))  # fmt: skip
    holder = ev.steps("\\HOLD")
    while not ev.held:
        next(holder)
    assert ev.run("\\MAIN") == ONES
    assert ev.time_ns == 20_000_000


def test_only_the_holder_releases():
    with pytest.raises(AmlError, match="released by who does not hold it"):
        run(Mutex("LOCK"), Release("LOCK"))


def test_an_event_is_waited_for_or_times_out():
    ev = load(Event("EVNT"), Method("BOTH", 0, NotSerialized, Signal("EVNT"), Return(Wait("EVNT", FOR_EVER))),
              Method("NONE", 0, NotSerialized, Return(Wait("EVNT", 5))))  # fmt: skip
    assert (ev.run("\\BOTH"), ev.run("\\NONE"), ev.time_ns) == (0, ONES, 5_000_000)


# ---------------------------------------------------------------- what cannot be run


def test_an_unknown_opcode_is_named_with_its_offset():
    with pytest.raises(UnknownOpcode, match=r"unknown opcode 5BEEh at offset 0x2b of DSDT, in \\MAIN") as unknown:
        load(Method("MAIN", 0, NotSerialized, Raw(b"\x5b\xee"))).run("\\MAIN")
    assert (unknown.value.code, unknown.value.offset) == (0x5BEE, 0x2B)


def test_a_method_with_an_unknown_opcode_leaves_the_others_alone():
    ev = load(Method("EVIL", 0, NotSerialized, Raw(b"\x5b\xee")), Method("GOOD", 0, NotSerialized, Return(1)))
    assert ev.run("\\GOOD") == 1


def test_an_operator_that_is_not_supported_is_named():
    with pytest.raises(
        AmlError, match=r"LoadTable \(opcode 5B1Fh\) is nothing that this evaluator runs \(\\MAIN, offset"
    ):
        run(Store(Raw(b"\x5b\x1f" + b"\x0d\0" * 5 + b"\0"), Local0))


def test_break_outside_of_a_loop_is_an_error():
    with pytest.raises(AmlError, match=r"Break outside of a loop, in \\MAIN"):
        run(Break())


def test_arithmetic_on_a_device_is_an_error():
    with pytest.raises(AmlError, match=r"\\_SB .* where an integer is needed"):
        run(Return(Add(Ref("\\_SB"), 1)))


def test_a_scope_that_does_not_exist_is_an_error():
    with pytest.raises(AmlError, match=r"\\_SB.GONE is not in the namespace"):
        load(Scope("\\_SB.GONE"))


def test_nobody_can_store_into_a_device():
    with pytest.raises(AmlError, match=r"\\_SB cannot be stored to"):
        run(Store(1, Ref("\\_SB")), Return(ObjectType("\\_SB")))
