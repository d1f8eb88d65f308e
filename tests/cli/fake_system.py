"""A machine class for the command line's tests: loaded by name like a real one, with a guest that is a Python list."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from qmp.conftest import FakeMachine

from emu.cpu_models import CpuConfig, parse_cpu_option
from emu.qmp import Context
from emu.qmp.transport import Poller
from machines.topology import SmpConfig, SmpRules, TopologyError

RULES = SmpRules("pc-i440fx-7.2", 255)


class Fake(FakeMachine):
    """Echoes serial input in capitals; "off" powers off, "exit N" writes N to isa-debug-exit."""

    def __init__(self, options, serials):
        SmpConfig.parse(options.smp, RULES, options.warn)
        super().__init__(options.smp or "1", options.cpu or "qemu64",
                         no_reboot=options.no_reboot, no_shutdown=options.no_shutdown)  # fmt: skip
        CpuConfig(parse_cpu_option(options.cpu or "qemu64"), options.globals).create()
        for device in options.devices:
            self.plug.device_add(device.driver, device.id, device.properties, hotplugged=False)
        self.options, self.serial = options, serials[0] if serials else None
        self.line = bytearray()
        self.context, self.poller, self.services = Context(self), Poller(), []
        if self.serial:
            self.serial.connect(self)

    @classmethod
    def from_options(cls, options, serials):
        return cls(options, serials)

    def can_receive(self):
        return 100

    def receive(self, data):
        self.serial.write(data.upper())
        self.line += data
        if b"off\n" in self.line:
            self.run_control.guest_shutdown()
        if b"exit" in self.line and self.line.endswith(b"\n"):
            self.run_control.debug_exit(int(self.line.split()[-1]))

    def run_to_end(self):
        if self.serial:
            self.serial.write(b"hello\n")
        while self.run_control.exit_code is None:
            self.poller.poll(0.01)
            for service in self.services:
                service()
            if self.serial and self.run_control.running:
                self.serial.poll()
        return self.run_control.exit_code

    def close(self):
        pass


__all__ = ["Fake", "TopologyError"]
