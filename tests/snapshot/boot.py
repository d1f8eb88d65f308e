"""A Debian boot with a plug in the middle, as a process: run through, saved on the way and killed, or continued from a snapshot.

    python -m tests.snapshot.boot pc 1 run
    python -m tests.snapshot.boot pc 1 save FOLDER NS NS ...
    python -m tests.snapshot.boot pc 1 load FOLDER NS

Prints a hash of the final state.
"""

from __future__ import annotations

import os
import signal
import sys

from machines import Q35, Pc
from tests import guests
from tests.snapshot.conftest import MS, device, fingerprint, plug

PLUGGED, PLUG_AT, TYPE_AT, END = 3, 900 * MS, 1_100 * MS, 1_800 * MS
TYPED = "echo 1 > /sys/devices/system/cpu/cpu{}/online; nproc; cat /proc/interrupts\n"  # the kernel takes the next number


def machine(name, cpus, plugged):
    return {"pc": Pc, "q35": Q35}[name](
        smp=f"{cpus},maxcpus=4", memory="256M", kernel=guests.vmlinux(), initrd=guests.initramfs(), append=guests.SMALL_BOOT_APPEND,
        devices=[device(PLUGGED)] * plugged)  # fmt: skip


def run_until(vm, ns, typed):
    """What a user does happens on the way, each at its time."""
    for when, do in ((PLUG_AT, lambda: plug(vm, PLUGGED)), (TYPE_AT, lambda: vm.serial.send(typed))):
        if vm.clock.now < when <= ns:
            vm.run_for(when - vm.clock.now)
            do()
    vm.run_for(ns - vm.clock.now)


def main(name, cpus, command, folder="", *points):
    typed, plugged = TYPED.format(cpus), command == "load" and int(points[0]) > PLUG_AT
    with machine(name, cpus, plugged) as vm:
        if command == "load":
            vm.load(f"{folder}/{points[0]}")
        for point in points if command == "save" else ():
            run_until(vm, int(point), typed)
            vm.save(f"{folder}/{point}")
        if command == "save":
            os.kill(os.getpid(), signal.SIGKILL)
        run_until(vm, END, typed)
        assert command != "run" or f"\n{int(cpus) + 1}\r\n" in vm.serial.text, vm.serial.text  # nproc counts the new one
        print(fingerprint(vm))


if __name__ == "__main__":
    main(*sys.argv[1:])
