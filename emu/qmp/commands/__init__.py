"""The commands, one file a subject.  Importing this package registers all of them."""

from emu.qmp.commands import control, cpus, devices, hardware, information, migration, objects, probes

__all__ = ["control", "cpus", "devices", "hardware", "information", "migration", "objects", "probes"]
