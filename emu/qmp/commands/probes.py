"""What management software asks at start about parts that this machine does not have: empty lists, and QEMU's refusals."""

from __future__ import annotations

from typing import Any

from emu.qmp import shapes
from emu.qmp.errors import DEVICE_NOT_ACTIVE, QmpError
from emu.qmp.machine_api import Context
from emu.qmp.registry import command

EMPTY_LISTS = ("query-tpm-models", "query-tpm-types", "query-tpm", "query-memory-devices", "query-jobs", "query-block-jobs",
               "query-blockstats", "query-rx-filter", "query-fdsets", "query-stats-schemas")  # fmt: skip

# Options that take named parameters, under the names by which QEMU lists them: what our command line understands.
OPTION_PARAMETERS = {
    "machine": "type:string accel:string acpi:string usb:boolean dump-guest-core:boolean memory-backend:string graphics:boolean "
               "smm:string hpet:boolean vmport:string",
    "smp-opts": "cpus:number sockets:number dies:number cores:number threads:number maxcpus:number",
    "memory": "size:size",
    "name": "guest:string process:string debug-threads:boolean",
    "rtc": "base:string clock:string",
    "chardev": "backend:string path:string host:string port:string server:boolean wait:boolean",
    "mon": "chardev:string mode:string pretty:boolean",
    "global": "driver:string property:string value:string",
    "device": "",
    "accel": "",
    "sandbox": "enable:boolean obsolete:string elevateprivileges:string spawn:string resourcecontrol:string",
    "overcommit": "mem-lock:boolean cpu-pm:boolean",
    "msg": "timestamp:boolean guest-name:boolean",
    "boot-opts": "order:string once:string menu:boolean strict:boolean",
}  # fmt: skip


def _empty(vm: Context) -> list[Any]:
    return []


for _name in EMPTY_LISTS:
    command(_name)(_empty)


def _option_info(option: str) -> dict[str, Any]:
    parameters = [each.split(":") for each in OPTION_PARAMETERS[option].split()]
    return {"option": option, "parameters": [{"name": name, "type": kind} for name, kind in parameters]}


@command("query-command-line-options", returns=[shapes.OPTION])
def query_command_line_options(vm: Context, option: str | None = None) -> list[dict[str, Any]]:
    if option is not None and option not in OPTION_PARAMETERS:
        raise QmpError(f"invalid option name: {option}")
    return [_option_info(each) for each in OPTION_PARAMETERS if option in (None, each)]


@command("query-memdev", returns=[shapes.MEMDEV])
def query_memdev(vm: Context) -> list[dict[str, Any]]:
    return [{"id": "pc.ram", "size": vm.machine.ram_size, "merge": True, "dump": True, "prealloc": False, "share": False,
             "reserve": True, "host-nodes": [], "policy": "default"}]  # fmt: skip


@command("query-vnc", returns=shapes.VNC)
def query_vnc(vm: Context) -> dict[str, Any]:
    return {"enabled": False}


@command("query-display-options", returns=shapes.DISPLAY)
def query_display_options(vm: Context) -> dict[str, Any]:
    return {"type": "none"}


@command("query-balloon")
def query_balloon(vm: Context) -> None:
    raise QmpError("No balloon device has been activated", DEVICE_NOT_ACTIVE)


@command("query-sev-capabilities")
def query_sev_capabilities(vm: Context) -> None:
    raise QmpError("KVM not enabled")


@command("query-sgx-capabilities")
def query_sgx_capabilities(vm: Context) -> None:
    raise QmpError("SGX is not enabled in KVM")


@command("query-vm-generation-id")
def query_vm_generation_id(vm: Context) -> None:
    raise QmpError("VM Generation ID device not found")
