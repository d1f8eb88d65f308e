"""Shapes of JSON objects on the wire, named and laid out as in QEMU 7.2's QMP reference; query-qmp-schema shows them.

A member whose name ends in "?" may be absent.  A member's type is a Python type, a union of them (an alternate), a Literal
(an enumeration), a Shape, or a one-element list of any of these.  `object` is any JSON value.  Answers are held to their
shapes by tests/qmp.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from emu.qmp.keys import QKEYCODE


@dataclass(frozen=True)
class Shape:
    """A JSON object; `open` ones have further members.  The value of member `tag` says which of `variants` it has besides."""

    name: str
    members: dict[str, Any] = field(hash=False, default_factory=dict)
    open: bool = False
    tag: str = ""
    variants: dict[str, dict[str, Any]] = field(hash=False, default_factory=dict)

    def members_of(self, value: dict[str, Any]) -> dict[str, Any]:
        """The members of one such object, those of its variant included."""
        return {**self.members, **self.variants.get(str(value.get(self.tag)), {})}


ARCHITECTURE = Literal["aarch64", "x86_64"]
RUN_STATE = Literal["debug", "inmigrate", "internal-error", "io-error", "paused", "postmigrate", "prelaunch", "finish-migrate",
                    "restore-vm", "running", "save-vm", "shutdown", "suspended", "watchdog", "guest-panicked", "colo"]  # fmt: skip
SHUTDOWN_CAUSE = Literal["none", "host-error", "host-qmp-quit", "host-qmp-system-reset", "host-signal", "host-ui",
                         "guest-shutdown", "guest-reset", "guest-panic", "subsystem-reset", "snapshot-load"]  # fmt: skip

EMPTY = Shape("Empty")
NAME_ONLY = Shape("NameOnly", {"name": str})
SCHEMA = Shape("SchemaInfo", {
    "name": str, "meta-type": Literal["alternate", "array", "builtin", "command", "enum", "event", "object"]}, open=True)  # fmt: skip
VERSION_TRIPLE = Shape("VersionTriple", {"major": int, "minor": int, "micro": int})
VERSION = Shape("VersionInfo", {"qemu": VERSION_TRIPLE, "package": str})
STATUS = Shape("StatusInfo", {"running": bool, "singlestep": bool, "status": RUN_STATE})
NAME = Shape("NameInfo", {"name?": str})
UUID = Shape("UuidInfo", {"UUID": str})
TARGET = Shape("TargetInfo", {"arch": ARCHITECTURE})
KVM = Shape("KvmInfo", {"enabled": bool, "present": bool})
MACHINE = Shape("MachineInfo", {
    "name": str, "alias?": str, "is-default?": bool, "cpu-max": int, "hotpluggable-cpus": bool, "numa-mem-supported": bool,
    "deprecated": bool, "default-cpu-type?": str, "default-ram-id?": str})  # fmt: skip
CURRENT_MACHINE = Shape("CurrentMachineParams", {"wakeup-suspend-support": bool})
MEMORY_SIZE = Shape("MemoryInfo", {"base-memory": int, "plugged-memory?": int})
CHARDEV = Shape("ChardevInfo", {"label": str, "filename": str, "frontend-open": bool})

CPU_PLACE = Shape("CpuInstanceProperties", {
    "node-id?": int, "socket-id?": int, "die-id?": int, "cluster-id?": int, "core-id?": int, "thread-id?": int})  # fmt: skip
CPU_FAST = Shape("CpuInfoFast", {
    "cpu-index": int, "qom-path": str, "thread-id": int, "props?": CPU_PLACE, "target": ARCHITECTURE})  # fmt: skip
CPU_OLD = Shape("CpuInfo", {"CPU": int, "current": bool, "halted": bool, "qom_path": str, "thread_id": int, "props?": CPU_PLACE,
                            "arch": Literal["x86", "other"], "pc": int})  # fmt: skip
HOTPLUGGABLE_CPU = Shape("HotpluggableCPU", {"type": str, "vcpus-count": int, "props": CPU_PLACE, "qom-path?": str})
CPU_DEFINITION = Shape("CpuDefinitionInfo", {
    "name": str, "migration-safe?": bool, "static": bool, "unavailable-features?": [str], "typename": str, "alias-of?": str,
    "deprecated": bool})  # fmt: skip
CPU_MODEL = Shape("CpuModelInfo", {"name": str, "props?": object})
CPU_MODEL_EXPANSION = Shape("CpuModelExpansionInfo", {"model": CPU_MODEL})
OST = Shape("ACPIOSTInfo", {"device?": str, "slot": str, "slot-type": Literal["DIMM", "CPU"], "source": int, "status": int})

OBJECT_PROPERTY = Shape("ObjectPropertyInfo", {"name": str, "type": str, "description?": str, "default-value?": object})
OBJECT_TYPE = Shape("ObjectTypeInfo", {"name": str, "abstract?": bool, "parent?": str})

MEMDEV = Shape("Memdev", {"id?": str, "size": int, "merge": bool, "dump": bool, "prealloc": bool, "share": bool, "reserve?": bool,
                          "host-nodes": [int], "policy": Literal["default", "preferred", "bind", "interleave"]})  # fmt: skip
OPTION_PARAMETER = Shape("CommandLineParameterInfo", {
    "name": str, "type": Literal["string", "boolean", "number", "size"], "help?": str, "default?": str})  # fmt: skip
OPTION = Shape("CommandLineOptionInfo", {"option": str, "parameters": [OPTION_PARAMETER]})
VNC = Shape("VncInfo", {"enabled": bool})
SPICE = Shape("SpiceInfo", {"enabled": bool, "migrated": bool, "mouse-mode": Literal["client", "server", "unknown"]})
SEV = Shape("SevInfo", {"enabled": bool, "api-major": int, "api-minor": int, "build-id": int, "policy": int, "handle": int,
                        "state": Literal["uninit", "launch-update", "launch-secret", "running", "send-update", "receive-update"]})  # fmt: skip
TEXT = Shape("HumanReadableText", {"human-readable-text": str})
STATS_TARGET = Literal["vm", "vcpu"]
STATS = Shape("StatsResult", {"provider": Literal["kvm"], "qom-path?": str, "stats": [
    Shape("Stats", {"name": str, "value": int | bool | list[int]})]})  # fmt: skip
YANK = Shape("YankInstance", {"type": Literal["block-node", "chardev", "migration"]}, tag="type",
             variants={"block-node": {"node-name": str}, "chardev": {"id": str}})  # fmt: skip

KEY_VALUE = Shape("KeyValue", {"type": Literal["number", "qcode"]}, tag="type",
                  variants={"number": {"data": int}, "qcode": {"data": QKEYCODE}})  # fmt: skip
MOUSE = Shape("MouseInfo", {"name": str, "index": int, "current": bool, "absolute": bool})
PCI_REGION = Shape("PciMemoryRegion", {"bar": int, "type": str, "address": int, "size": int, "prefetch?": bool, "mem_type_64?": bool})
PCI_DEVICE = Shape("PciDeviceInfo", {
    "bus": int, "slot": int, "function": int, "class_info": Shape("PciDeviceClass", {"desc?": str, "class": int}),
    "id": Shape("PciDeviceId", {"device": int, "vendor": int, "subsystem?": int, "subsystem-vendor?": int}),
    "irq?": int, "irq_pin": int, "qdev_id": str, "regions": [PCI_REGION]})  # fmt: skip
PCI_BUS = Shape("PciInfo", {"bus": int, "devices": [PCI_DEVICE]})
DISPLAY = Shape("DisplayOptions", {"type": Literal["none"]})
MIGRATION_STATUS = Literal["none", "setup", "cancelling", "cancelled", "active", "postcopy-active", "postcopy-paused",
                           "postcopy-recover", "completed", "failed", "colo", "pre-switchover", "device",
                           "wait-unplug"]  # fmt: skip
MIGRATION_RAM = Shape("MigrationStats", {name: int for name in (
    "transferred", "remaining", "total", "duplicate", "skipped", "normal", "normal-bytes", "dirty-pages-rate",
    "dirty-sync-count", "postcopy-requests", "page-size", "multifd-bytes", "pages-per-second", "precopy-bytes",
    "downtime-bytes", "postcopy-bytes", "dirty-sync-missed-zero-copy")} | {"mbps": float})  # fmt: skip
MIGRATION = Shape("MigrationInfo", {
    "status?": MIGRATION_STATUS, "ram?": MIGRATION_RAM, "total-time?": int, "downtime?": int, "setup-time?": int,
    "error-desc?": str})  # fmt: skip
MIGRATION_CAPABILITY_NAME = Literal[
    "xbzrle", "rdma-pin-all", "auto-converge", "zero-blocks", "compress", "events", "postcopy-ram", "x-colo", "release-ram",
    "block", "return-path", "pause-before-switchover", "multifd", "dirty-bitmaps", "postcopy-blocktime",
    "late-block-activate", "x-ignore-shared", "validate-uuid", "background-snapshot", "zero-copy-send",
    "postcopy-preempt"]  # fmt: skip
MIGRATION_CAPABILITY = Shape("MigrationCapabilityStatus", {"capability": MIGRATION_CAPABILITY_NAME, "state": bool})

PANIC_ACTION = Literal["pause", "shutdown", "exit-failure", "none"]
WATCHDOG_ACTION = Literal["reset", "shutdown", "poweroff", "pause", "debug", "none", "inject-nmi"]
POWER = {"guest": bool, "reason": SHUTDOWN_CAUSE}
DEVICE = {"device?": str, "path": str}

EVENTS = {
    "ACPI_DEVICE_OST": Shape("AcpiDeviceOst", {"info": OST}),
    "DEVICE_DELETED": Shape("DeviceDeleted", DEVICE),
    "DEVICE_UNPLUG_GUEST_ERROR": Shape("DeviceUnplugGuestError", DEVICE),
    "MEM_UNPLUG_ERROR": Shape("MemUnplugError", {"device": str, "msg": str}),
    "GUEST_PANICKED": Shape("GuestPanicked", {"action": Literal["pause", "poweroff", "run"]}),
    "MIGRATION": Shape("Migration", {"status": MIGRATION_STATUS}),
    "MIGRATION_PASS": Shape("MigrationPass", {"pass": int}),
    "POWERDOWN": EMPTY,
    "RESET": Shape("Reset", POWER),
    "RESUME": EMPTY,
    "RTC_CHANGE": Shape("RtcChange", {"offset": int, "qom-path": str}),
    "SHUTDOWN": Shape("Shutdown", POWER),
    "STOP": EMPTY,
    "SUSPEND": EMPTY,
    "WAKEUP": EMPTY,
    "WATCHDOG": Shape("Watchdog", {"action": WATCHDOG_ACTION}),
}
