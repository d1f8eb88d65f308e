"""A test that fails, to see its report: `pytest made_to_fail.py`."""

from test_tick import ask, plug, vm  # noqa: F401 (a fixture)


def test_three_cpus_appear_of_one_plug(vm):  # noqa: F811
    plug(vm, 1)
    vm.serial.send("d")
    assert ask(vm, "c", "cpus") == 3
