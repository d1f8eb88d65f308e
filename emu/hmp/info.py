"""Commands that show something: info SUBJECT."""

from __future__ import annotations

from emu import qom
from emu.hmp import qtree
from emu.hmp.commands import integer
from emu.hmp.monitor import INFO, HumanMonitor
from emu.qmp.version import PACKAGE, QEMU_VERSION_TEXT
from emu.qom.listing import device_line, device_types, is_cpu

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


@info("history", "", "show the command line history")
def history(monitor: HumanMonitor, arguments: str) -> str:
    return "".join(f"{number}: '{line}'\n" for number, line in enumerate(monitor.history))


@info("mice", "", "show which guest mouse is receiving events")
def mice(monitor: HumanMonitor, arguments: str) -> str:
    return "".join(f"{'*' if mouse['current'] else ' '} Mouse #{mouse['index']}: {mouse['name']}\n"
                   for mouse in monitor.qmp("query-mice"))  # fmt: skip


@info("numa", "", "show NUMA information")
def numa(monitor: HumanMonitor, arguments: str) -> str:
    nodes = monitor.context.machine.numa_nodes()
    lines = [f"{len(nodes)} nodes"]
    for number, node in enumerate(nodes):
        cpus = "".join(f" {index}" for index in node["cpus"])
        lines += [f"node {number} cpus:{cpus}", f"node {number} size: {node['size'] >> 20} MB", f"node {number} plugged: 0 MB"]
    return "\n".join(lines) + "\n"


@info("memdev", "", "show memory backends")
def memdev(monitor: HumanMonitor, arguments: str) -> str:
    shown = []
    for backend in monitor.qmp("query-memdev"):
        flags = [f"  {name}: {str(backend[name]).lower()}" for name in ("merge", "dump", "prealloc", "share", "reserve")]
        shown += [f"memory backend: {backend['id']}", f"  size:  {backend['size']}", *flags, f"  policy: {backend['policy']}",
                  "  host nodes: ", ""]  # fmt: skip
    return "\n".join([*shown, ""])


@info("qdm", "", "show qdev device model list")
def qdm(monitor: HumanMonitor, arguments: str) -> str:
    classes = device_types()
    groups = {"CPU devices": [cls for cls in classes if is_cpu(cls)], "Misc devices": [cls for cls in classes if not is_cpu(cls)]}
    return "\n".join(f"{title}:\n" + "".join(_model_line(cls) for cls in group) for title, group in groups.items())


def _model_line(cls: type[qom.DeviceObject]) -> str:
    return device_line(cls) + ("" if cls.user_creatable else ", no-user") + "\n"


@info("registers", "[-a|vcpu]", "show the cpu registers (-a: of all cpus; vcpu: of that one)")
def registers(monitor: HumanMonitor, arguments: str) -> str:
    machine = monitor.context.machine
    present = [cpu.index for cpu in machine.cpu_infos()]
    chosen = present if arguments == "-a" else [monitor.context.current_cpu]
    if arguments not in ("", "-a"):
        chosen = [integer(monitor, arguments)]
    if not set(chosen) <= set(present):
        return f"CPU#{chosen[0]} not available\n"
    return "".join(f"\nCPU#{index}\n{machine.registers(index).rstrip()}\n" for index in chosen)


@info("qom-tree", "[path]", "show QOM composition tree")
def qom_tree(monitor: HumanMonitor, arguments: str) -> str:
    return qom.format_tree(qom.resolve(monitor.context.machine.root, arguments or "/machine")) + "\n"


@info("qtree", "", "show device tree")
def qtree_(monitor: HumanMonitor, arguments: str) -> str:
    return qtree.tree(monitor.context.machine.root)


@info("chardev", "", "show the character devices")
def chardev(monitor: HumanMonitor, arguments: str) -> str:
    return "".join(f"{each['label']}: filename={each['filename']}\n" for each in monitor.qmp("query-chardev"))


# What QEMU says of parts that a machine does not have.
for _subject, _help, _text in (
    ("block", "show info of the block devices", ""), ("blockstats", "show block device statistics", ""),
    ("block-jobs", "show progress of ongoing block device operations", "No active jobs\n"),
    ("network", "show the network state", ""), ("iothreads", "show iothreads", ""), ("tpm", "show the TPM device", ""),
    ("memory-devices", "show memory devices", ""), ("vnc", "show the vnc server status", "None\n"),
    ("spice", "show the spice server status", "Server: disabled\n"), ("usb", "show guest USB devices", "Error: USB support not enabled\n"),
):  # fmt: skip
    info(_subject, "", _help)(lambda monitor, arguments, text=_text: text)


@info("balloon", "", "show balloon information")
def balloon(monitor: HumanMonitor, arguments: str) -> None:
    monitor.qmp("query-balloon")


@info("memory_size_summary", "", "show the amount of initially allocated and hot-plugged memory in bytes")
def memory_size_summary(monitor: HumanMonitor, arguments: str) -> str:
    summary = monitor.qmp("query-memory-size-summary")
    return f"base memory: {summary['base-memory']}\nplugged memory: {summary['plugged-memory']}\n"
