"""CPUs: what there is, what there could be, and the old way to add one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from emu.cpu_models.cpu import definition_info, model_names
from emu.cpu_models.expansion import expand
from emu.qmp import shapes
from emu.qmp.errors import QmpError
from emu.qmp.machine_api import Context
from emu.qmp.registry import command


def check_index(vm: Context, index: int) -> None:
    """Raises QmpError when there is no CPU with that index."""
    if index not in [cpu.index for cpu in vm.machine.cpu_infos()]:
        raise QmpError("Parameter 'cpu-index' expects a CPU number")


@command("query-cpus-fast", returns=[shapes.CPU_FAST])
def query_cpus_fast(vm: Context) -> list[dict[str, Any]]:
    return [{"thread-id": cpu.thread_id, "props": cpu.props, "qom-path": cpu.qom_path, "cpu-index": cpu.index,
             "target": vm.machine.target} for cpu in vm.machine.cpu_infos()]  # fmt: skip


@command("query-hotpluggable-cpus", returns=[shapes.HOTPLUGGABLE_CPU])
def query_hotpluggable_cpus(vm: Context) -> list[dict[str, Any]]:
    return vm.machine.possible_cpus()


@command("query-cpu-definitions", returns=[shapes.CPU_DEFINITION])
def query_cpu_definitions(vm: Context) -> list[dict[str, Any]]:
    return [definition_info(name) for name in model_names()]


@command("query-cpus", returns=[shapes.CPU_OLD])
def query_cpus(vm: Context) -> list[dict[str, Any]]:
    """Gone from QEMU since 6.0; note the underscores.  "current" is the CPU that HMP looks at."""
    return [{"CPU": cpu.index, "current": cpu.index == vm.current_cpu, "halted": cpu.halted, "qom_path": cpu.qom_path,
             "thread_id": cpu.thread_id, "props": cpu.props, "arch": "x86", "pc": cpu.pc}
            for cpu in vm.machine.cpu_infos()]  # fmt: skip


@command("query-cpu-model-expansion", returns=shapes.CPU_MODEL_EXPANSION)
def query_cpu_model_expansion(vm: Context, type: Literal["static", "full"],
                              model: Annotated[dict[str, Any], shapes.CPU_MODEL]) -> dict[str, Any]:  # fmt: skip
    return {"model": expand(type, model["name"], model.get("props"))}


@command("cpu-add")
def cpu_add(vm: Context, id: int) -> None:
    """Gone from QEMU since 6.0; device_add says the same with topology ids."""
    vm.machine.migration.refuse("cpu-add")
    vm.machine.cpu_add(id)


@command("query-acpi-ospm-status", returns=[shapes.OST])
def query_acpi_ospm_status(vm: Context) -> list[dict[str, Any]]:
    return vm.machine.ospm_status()
