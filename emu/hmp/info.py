"""Commands that show something: info SUBJECT."""

from __future__ import annotations

from typing import Any

from emu import qom
from emu.hmp.commands import parse_integer
from emu.hmp.monitor import INFO, HumanMonitor
from emu.qmp.version import PACKAGE, QEMU_VERSION_TEXT

info = INFO.add


@info("status", "", "show the current VM status (running|paused)")
def status(monitor: HumanMonitor, arguments: str) -> str:
    state = monitor.qmp("query-status")
    main = "running" if state["running"] else "paused"
    detail = "" if state["status"] in ("running", "paused") else f" ({state['status']})"
    return f"VM status: {main}{detail}\n"


@info("version", "", "show the version of QEMU")
def version(monitor: HumanMonitor, arguments: str) -> str:
    return f"{QEMU_VERSION_TEXT} ({PACKAGE})\n"


@info("name", "", "show the current VM name")
def name(monitor: HumanMonitor, arguments: str) -> str:
    shown = monitor.qmp("query-name").get("name")
    return f"{shown}\n" if shown else ""


@info("uuid", "", "show the current VM UUID")
def uuid(monitor: HumanMonitor, arguments: str) -> str:
    return monitor.qmp("query-uuid")["UUID"] + "\n"


@info("kvm", "", "show KVM information")
def kvm(monitor: HumanMonitor, arguments: str) -> str:
    return "kvm support: disabled\n"


@info("cpus", "", "show infos for each CPU")
def cpus(monitor: HumanMonitor, arguments: str) -> str:
    current = monitor.context.current_cpu
    return "".join(f"{'*' if cpu.index == current else ' '} CPU #{cpu.index}: thread_id={cpu.thread_id}\n"
                   for cpu in monitor.context.machine.cpu_infos())  # fmt: skip


@info("hotpluggable-cpus", "", "Show information about hotpluggable CPUs")
def hotpluggable_cpus(monitor: HumanMonitor, arguments: str) -> str:
    lines = ["Hotpluggable CPUs:"]
    for entry in monitor.qmp("query-hotpluggable-cpus"):
        lines += [f'  type: "{entry["type"]}"', f'  vcpus_count: "{entry["vcpus-count"]}"']
        lines += [f'  qom_path: "{entry["qom-path"]}"'] if "qom-path" in entry else []
        lines.append("  CPUInstance Properties:")
        lines += [f'    {level}: "{number}"' for level, number in entry["props"].items()]
    return "\n".join(lines) + "\n"


@info("registers", "[-a|vcpu]", "show the cpu registers (-a: of all cpus; vcpu: of that one)")
def registers(monitor: HumanMonitor, arguments: str) -> str:
    machine = monitor.context.machine
    present = [cpu.index for cpu in machine.cpu_infos()]
    chosen = present if arguments == "-a" else [monitor.context.current_cpu]
    if arguments not in ("", "-a"):
        chosen = [parse_integer(arguments)]
    if not set(chosen) <= set(present):
        return f"CPU#{chosen[0]} not available\n"
    return "".join(f"\nCPU#{index}\n{machine.registers(index).rstrip()}\n" for index in chosen)


@info("qom-tree", "[path]", "show QOM composition tree")
def qom_tree(monitor: HumanMonitor, arguments: str) -> str:
    return qom.format_tree(qom.resolve(monitor.context.machine.root, arguments or "/machine")) + "\n"


def _shown_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value} ({value:#x})"
    return f'"{value}"'


def _qtree(obj: qom.Object, depth: int) -> list[str]:
    lines = []
    if isinstance(obj, qom.DeviceObject):
        lines.append("  " * depth + f'dev: {obj.type_name}, id "{obj.user_id or ""}"')
        depth += 1
        for name, prop in obj.properties.items():
            if not prop.hidden and prop.writable and name == prop.name and prop.type != "bool":
                lines.append("  " * depth + f"{name} = {_shown_value(prop.get(obj))}")
    for child in obj.children.values():
        lines += _qtree(child, depth)
    return lines


@info("qtree", "", "show device tree")
def qtree(monitor: HumanMonitor, arguments: str) -> str:
    lines = ["bus: main-system-bus", "  type System"]
    return "\n".join(lines + _qtree(monitor.context.machine.root, 1)) + "\n"


@info("chardev", "", "show the character devices")
def chardev(monitor: HumanMonitor, arguments: str) -> str:
    return "".join(f"{each['label']}: filename={each['filename']}\n" for each in monitor.qmp("query-chardev"))


@info("block", "", "show info of the block devices")
def block(monitor: HumanMonitor, arguments: str) -> str:
    return ""


@info("memory_size_summary", "", "show the amount of initially allocated and hot-plugged memory in bytes")
def memory_size_summary(monitor: HumanMonitor, arguments: str) -> str:
    summary = monitor.qmp("query-memory-size-summary")
    return f"base memory: {summary['base-memory']}\nplugged memory: {summary['plugged-memory']}\n"
