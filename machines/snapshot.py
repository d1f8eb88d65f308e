"""A machine's state as plain data, RAM contents aside: capture, compare, restore.

    state = capture(vm)
    restore(another_vm, state)      # after its RAM has been filled, or before

What a part's state is, it says itself (`saved`, emu/snapshot.py); which parts there are, the machine says (`stateful`).
Everything happens between two slices.  Not here: RAM and files (snapshot_file.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emu.cli.machines import MACHINES
from emu.qmp.run_state import RunState
from emu.snapshot import SnapshotError, check_alike, from_plain, to_plain

if TYPE_CHECKING:
    from emu.cpu_models import X86Cpu
    from machines.pc import X86Pc

State = dict[str, Any]

# What two machines must have in common, and the option that chooses it.
CHOSEN_BY = {"type": "-M", "memory": "-m", "topology": "-smp", "cpu": "-cpu", "acpi": "-M ...,acpi=",
             "smm": "-M ...,smm=", "rom": "-bios", "serial": "-serial"}  # fmt: skip
LEVELS = ("sockets", "dies", "cores", "threads")
IDENTITY = ("vendor", "family", "model", "stepping", "model_id", "level", "xlevel", "phys_bits", "hypervisor_signature")


def capture(vm: X86Pc) -> State:
    """Everything but RAM.  It changes nothing: the machine runs on as if nobody had looked.

    Raises SnapshotError in the middle of the block in which a CPU leaves, and for a machine without parts."""
    if not vm.stateful:
        raise SnapshotError("this machine has no state that could be saved or loaded")
    if vm._removed:
        raise SnapshotError("a CPU is about to leave: let the machine run a little before it is saved")
    return {
        "machine": configuration(vm),
        "run-state": vm.run_control.state.value,
        "reset-wanted": vm._reset_wanted,
        "parts": {name: to_plain(getattr(vm, name)) for name in vm.stateful},
        "cpus": {str(index): vm.vcpus[index].save() for index in sorted(vm.vcpus)},
    }


def restore(vm: X86Pc, state: State) -> None:
    """Bring `vm` into a captured state: all of it, or nothing.  Translated code is dropped.

    Raises SnapshotError, with what differs, when it was taken of another machine."""
    before = capture(vm)
    check(before, state)
    try:
        apply(vm, state)
    except Exception as error:
        apply(vm, before)
        raise SnapshotError(f"the snapshot has a value that no machine can have: {error}") from error


def apply(vm: X86Pc, state: State) -> None:
    """`restore` for a state that is known to fit."""
    vm.engine.drop_code()
    for name in vm.stateful:
        now = getattr(vm, name)
        setattr(vm, name, from_plain(now, state["parts"][name]))
    for index, plain in state["cpus"].items():
        vm.vcpus[int(index)].load(plain)
    vm._reset_wanted = state["reset-wanted"]
    vm.run_control.state = RunState(state["run-state"])


# --- is it the same machine?
def configuration(vm: X86Pc) -> dict[str, Any]:
    """The choices of a user that a snapshot depends on."""
    topology = vm.topology
    return {
        "type": machine_type(vm),
        "memory": vm.ram_size,
        "topology": {level: getattr(topology, level) for level in LEVELS},
        "cpu": vm.cpu_type,
        "models": {str(index): model(vm.vcpus[index].model) for index in sorted(vm.vcpus)},
        "acpi": vm.config.acpi,
        "smm": vm.has_smm,
        "rom": len(vm.memory.rom),
        "serial": len(vm.uarts),
    }


def model(cpu: X86Cpu) -> dict[str, Any]:
    """What a CPU says of itself that its type leaves open."""
    return {name: getattr(cpu, name) for name in IDENTITY} | {"features": sorted(cpu.features)}


def machine_type(vm: X86Pc) -> str:
    """Its name, as -M knows it."""
    classes = {f"{cls.__module__}:{cls.__qualname__}" for cls in type(vm).__mro__}
    return next((entry.name for entry in MACHINES if entry.path in classes), type(vm).__name__)


def check(mine: State, theirs: State) -> None:
    """Whether a machine in state `mine` can take over `theirs`.  Raises SnapshotError."""
    if not isinstance(theirs, dict) or not all(isinstance(theirs.get(name), dict) for name in ("machine", "cpus")):
        raise SnapshotError("this is no state of a machine")
    _check_machine(mine["machine"], theirs["machine"])
    _check_cpus(mine, theirs)
    check_alike(mine, theirs, "state")
    for index, about in mine["machine"]["models"].items():
        _check_model(index, about, theirs["machine"]["models"][index])


def _check_machine(mine: dict[str, Any], theirs: dict[str, Any]) -> None:
    for name, option in CHOSEN_BY.items():
        if mine.get(name) != theirs.get(name):
            raise SnapshotError(f"the snapshot is of a machine with {name} {_shown(name, theirs.get(name))}, this one has "
                                f"{_shown(name, mine.get(name))}: start it with the same {option}")  # fmt: skip


def _shown(name: str, value: Any) -> str:
    if name == "memory" and isinstance(value, int):
        return f"{value / (1 << 20):g} MiB"
    if name == "topology" and isinstance(value, dict):
        return ",".join(f"{level}={count}" for level, count in value.items())
    return ("off", "on")[value] if isinstance(value, bool) else str(value)


def _check_model(index: str, mine: dict[str, Any], theirs: dict[str, Any]) -> None:
    for name, value in mine.items():
        if value != theirs[name]:
            difference = _difference(value, theirs[name]) if name == "features" else f"{theirs[name]}, not {value}"
            raise SnapshotError(f"the snapshot's CPU {index} differs in {name}: {difference}; start this machine with the same "
                                "-cpu and -device")  # fmt: skip


def _difference(mine: list[str], theirs: list[str]) -> str:
    only = [f"+{name}" for name in theirs if name not in mine] + [f"-{name}" for name in mine if name not in theirs]
    return ",".join(only)


def _check_cpus(mine: State, theirs: State) -> None:
    """The CPUs that were hot-added on the source must be there before the snapshot comes."""
    for index in theirs["cpus"]:
        if not index.isdigit():
            raise SnapshotError(f"the snapshot has a CPU '{index}'; they have numbers")
        if index not in mine["cpus"]:
            raise SnapshotError(f"the snapshot has CPU {index}, this machine has not: start it with "
                                f"-device {mine['machine']['cpu']},{_place(mine, index)}, or with more CPUs in -smp")  # fmt: skip
    for index in mine["cpus"]:
        if index not in theirs["cpus"]:
            raise SnapshotError(f"this machine has CPU {index}, the snapshot has not: start it without that one")


def _place(state: State, index: str) -> str:
    """The topology ids of a slot as -device takes them."""
    topology, rest, ids = state["machine"]["topology"], int(index), {}
    for level in reversed(LEVELS):
        rest, ids[level] = divmod(rest, topology[level])
    shown = [level for level in LEVELS if level != "dies" or topology["dies"] > 1]
    return ",".join(f"{level[:-1]}-id={ids[level]}" for level in shown)
