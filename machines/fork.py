"""Copies of a running machine, in the same process and independent of it: RAM is shared until somebody writes it.

    copy = vm.fork()

A copy is made as its original was, by its class with the same arguments, then gets the original's CPUs and state.  Its serial
ports are buffers that hold what the original's have said; monitors, sockets, files and appointments (`at`) stay with the
original.  Not here: user objects other than CPUs and packages of CPUs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from emu.chardev import BufferChardev, Chardev
from emu.cpu_models import X86Cpu
from emu.qmp.commands.devices import find_driver
from machines import snapshot
from machines.config import PcConfig
from machines.cpu_links import CpuLevel, CpuPackage
from machines.cpu_plug import CpuPlug

if TYPE_CHECKING:
    from machines.pc import X86Pc

OF_A_PLACE = ("parent", "child_name", "_children", "topology", "warn")  # attributes of a CPU that a copy has its own of


def fork(vm: X86Pc) -> X86Pc:
    """A machine in the state of `vm`."""
    arguments, keywords = vm.made_with
    made = type(vm).__new__(type(vm), *arguments, **keywords)
    made.origin = vm
    made.__init__(*arguments, **keywords)  # type: ignore[misc]
    made.origin = None
    snapshot.apply(made, snapshot.capture(vm))
    if made._serial and vm._serial:
        made._serial.seen = vm._serial.seen
    return made


def become(vm: X86Pc, other: X86Pc) -> None:
    """Bring `vm` into the state of `other`, a copy of it: CPUs, RAM, serial output.  Input that waits goes on waiting."""
    vm.scheduler.abandon()
    vm.remove_all_cpus()
    vm.plug.objects.clear()
    copy_cpus(other.plug, vm.plug)
    vm.engine.become(other.engine)
    vm.run_control.exit_code = None
    waiting = [bytes(uart.chardev.pending) for uart in vm.uarts]
    snapshot.apply(vm, snapshot.capture(other))
    for mine, theirs, pending in zip(vm.uarts, other.uarts, waiting):
        mine.chardev.pending[:] = pending
        if isinstance(mine.chardev, BufferChardev) and isinstance(theirs.chardev, BufferChardev):
            mine.chardev.output[:] = theirs.chardev.output
    if vm._serial:
        vm._serial.seen = min(vm._serial.seen, len(vm._serial.text))


def config_of_copy(vm: X86Pc) -> PcConfig:
    """What a copy of `vm` is made of; its CPUs come later."""
    devices = [device for device in vm.config.devices if not issubclass(find_driver(device.driver), X86Cpu)]
    return replace(vm.config, serial=[_buffer(uart.chardev) for uart in vm.uarts], devices=devices, objects=(), realtime=False)


def _buffer(original: Chardev) -> BufferChardev:
    made = BufferChardev(original.label)
    made.pending += original.pending
    if isinstance(original, BufferChardev):
        made.output += original.output
    return made


def copy_cpus(theirs: CpuPlug, mine: CpuPlug) -> None:
    """Give `mine` the CPUs of `theirs`, plugged or waiting in /objects, with their names and places."""
    made: dict[int, X86Cpu] = {}
    for cpu in theirs:
        made[id(cpu)] = _copy(cpu, mine)
        mine.take_over(mine.slots[cpu.index], made[id(cpu)])
    for each in theirs.machine.root.walk():
        if isinstance(each, X86Cpu) and id(each) not in made:
            made[id(each)] = _copy(each, mine)
    packages = {id(each): _copy_package(each, mine, made) for each in theirs.machine.root.walk() if isinstance(each, CpuPackage)}
    for each in theirs.machine.walk():
        if isinstance(each, CpuLevel):
            _at(mine, each).package = packages.get(id(each.package))


def _copy(cpu: X86Cpu, plug: CpuPlug) -> X86Cpu:
    made = plug.config.create(cls=type(cpu))
    for name, value in vars(cpu).items():
        if name not in OF_A_PLACE:
            setattr(made, name, value.copy() if isinstance(value, (set, list, dict)) else value)
    _at(plug, cpu.parent).add_child(cpu.child_name, made)
    return made


def _copy_package(package: CpuPackage, plug: CpuPlug, cpus: dict[int, X86Cpu]) -> CpuPackage:
    made = CpuPackage()
    made.members = {name: cpus[id(cpu)] for name, cpu in package.members.items() if id(cpu) in cpus}
    made.own_properties.update(package.own_properties)
    return _at(plug, package.parent).add_child(package.child_name, made)


def _at(plug: CpuPlug, original: Any) -> Any:
    """The object of this machine at the place of another's."""
    at: Any = plug.machine.root
    for name in filter(None, original.path.split("/")):
        at = at.children.get(name) or at.container(name)
    return at
