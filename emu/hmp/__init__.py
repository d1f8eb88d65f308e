"""HMP: the monitor for people.  A client of the QMP commands, with short names and plain text."""

from emu.hmp import commands, info, memory, snapshots
from emu.hmp.monitor import HumanMonitor
from emu.hmp.mux import Mux
from emu.hmp.terminal import MonitorTerminal

__all__ = ["HumanMonitor", "MonitorTerminal", "Mux", "commands", "info", "memory", "snapshots"]
