"""CPUs: what there is, what there could be, and the old way to add one."""

from __future__ import annotations

from typing import Any

from emu.cpu_models.cpu import definition_info, model_names
from emu.qmp.machine_api import Context
from emu.qmp.registry import command


@command("query-cpus-fast")
def query_cpus_fast(vm: Context) -> list[dict[str, Any]]:
    return [{"thread-id": cpu.thread_id, "props": cpu.props, "qom-path": cpu.qom_path, "cpu-index": cpu.index,
             "target": vm.machine.target} for cpu in vm.machine.cpu_infos()]  # fmt: skip


@command("query-hotpluggable-cpus")
def query_hotpluggable_cpus(vm: Context) -> list[dict[str, Any]]:
    return vm.machine.possible_cpus()


@command("query-cpu-definitions")
def query_cpu_definitions(vm: Context) -> list[dict[str, Any]]:
    return [definition_info(name) for name in model_names()]


@command("cpu-add")
def cpu_add(vm: Context, id: int) -> None:
    """Gone from QEMU since 6.0; device_add says the same with topology ids."""
    vm.machine.cpu_add(id)


@command("query-acpi-ospm-status")
def query_acpi_ospm_status(vm: Context) -> list[dict[str, Any]]:
    return vm.machine.ospm_status()
