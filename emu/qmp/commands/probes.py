"""What management software asks at start about parts that this machine does not have: empty lists, and QEMU's refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from emu.qmp import shapes
from emu.qmp.errors import DEVICE_NOT_ACTIVE, GENERIC_ERROR, QmpError
from emu.qmp.machine_api import Context
from emu.qmp.registry import command

EMPTY_LISTS = ("query-tpm-models", "query-tpm-types", "query-tpm", "query-memory-devices", "query-jobs", "query-block-jobs",
               "query-fdsets", "query-block-exports", "query-pr-managers", "query-vnc-servers", "query-vcpu-dirty-limit")  # fmt: skip
CHARDEV_BACKENDS = ("file", "null", "socket", "stdio")
MEMDEV_PROPERTIES = ("size", "merge", "dump", "prealloc", "share", "reserve", "policy")
NO_BALLOON = "No balloon device has been activated"

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
    objects = vm.machine.root.children.get("objects")
    backends = [each for each in objects.children.values() if each.is_a("memory-backend")] if objects else []
    return [{"id": backend.child_name, "host-nodes": [], **{name: backend.get_property(name) for name in MEMDEV_PROPERTIES}}
            for backend in reversed(backends)]  # fmt: skip


@command("query-rx-filter")
def query_rx_filter(vm: Context, name: str | None = None) -> list[Any]:
    if name is not None:
        raise QmpError(f"invalid net client name: {name}")
    return []


@command("query-blockstats")
def query_blockstats(vm: Context, query_nodes: bool = False) -> list[Any]:
    return []


@command("query-stats", returns=[shapes.STATS])
def query_stats(vm: Context, target: shapes.STATS_TARGET) -> list[Any]:
    return []


@command("query-stats-schemas")
def query_stats_schemas(vm: Context, provider: Literal["kvm"] | None = None) -> list[Any]:
    return []


@command("query-chardev-backends", returns=[shapes.NAME_ONLY])
def query_chardev_backends(vm: Context) -> list[dict[str, str]]:
    return [{"name": name} for name in CHARDEV_BACKENDS]


@command("query-yank", returns=[shapes.YANK])
def query_yank(vm: Context) -> list[dict[str, str]]:
    """Connections that could be cut by force: those of monitors, as they are sockets."""
    return [{"type": "chardev", "id": chardev.label} for chardev in vm.chardevs if chardev.filename.startswith(("unix:", "tcp:"))]


def _constant(name: str, shape: shapes.Shape, answer: dict[str, Any]) -> None:
    """A command about a part that is never there, or never changes."""
    command(name, returns=shape)(lambda vm: dict(answer))


_constant("query-vnc", shapes.VNC, {"enabled": False})
_constant("query-display-options", shapes.DISPLAY, {"type": "none"})
_constant("query-spice", shapes.SPICE, {"enabled": False, "migrated": False, "mouse-mode": "client"})
_constant("query-sev", shapes.SEV, {"enabled": False, "state": "uninit", "api-major": 0, "api-minor": 0, "build-id": 0, "policy": 0,
                                    "handle": 0})  # fmt: skip


def _refused(name: str, text: str, error_class: str = GENERIC_ERROR) -> None:
    """A command about a part that is not there."""

    def refuse(vm: Context) -> None:
        raise QmpError(text, error_class)

    command(name)(refuse)


_refused("query-balloon", NO_BALLOON, DEVICE_NOT_ACTIVE)
_refused("query-sev-capabilities", "KVM not enabled")
_refused("query-sev-launch-measure", "SEV launch measurement is not available")
_refused("query-sgx", "No EPC regions defined, SGX not available")
_refused("query-sgx-capabilities", "SGX is not enabled in KVM")
_refused("query-vm-generation-id", "VM Generation ID device not found")


@command("balloon")
def balloon(vm: Context, value: int) -> None:
    raise QmpError(NO_BALLOON, DEVICE_NOT_ACTIVE)


@command("rtc-reset-reinjection")
def rtc_reset_reinjection(vm: Context) -> None:
    """No tick of the clock is ever lost here, so there is none to forget."""


def _for_people(subject: str) -> Callable[[Context], dict[str, str]]:
    """`info SUBJECT` in a QMP answer."""

    def show(vm: Context) -> dict[str, str]:
        from emu.hmp import HumanMonitor  # the human monitor is itself a client of these commands

        return {"human-readable-text": HumanMonitor(vm).execute(f"info {subject}")}

    return show


for _subject in ("irq", "jit", "numa"):
    command(f"x-query-{_subject}", returns=shapes.TEXT, features=("unstable",))(_for_people(_subject))
