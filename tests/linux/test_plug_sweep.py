"""A CPU plugged at each of many points of a boot, from the kernel's first instructions to the shell.

One machine boots; at each point a fork of it gets the CPU and boots on alone.  `python -m tests.linux.test_plug_sweep 200`
does as many points twice and prints what became of them.
"""

from __future__ import annotations

import sys
import time
from collections import Counter

import pytest

from machines import Q35
from machines.testing import points
from tests import guests
from tests.linux.shell import Shell

FIRST = 1_000_000  # instructions: decompressed kernels are entered directly
ONLINE, REFUSED = "online", "refused by the guest"


def boot():
    vm = Q35(smp="1,maxcpus=2", memory="256M", kernel=guests.vmlinux(), initrd=guests.initramfs(), append=guests.SMALL_BOOT_APPEND)
    vm.start()
    return vm


def instructions_of_a_boot() -> int:
    vm = boot()
    Shell(vm.serial)
    count = vm.instructions
    vm.close()
    return count


def outcome_of_a_plug(vm) -> str:
    """Boot on with a CPU more: what the guest made of it."""
    vm.qmp.cpu_add(id=1)
    shell = Shell(vm.serial)
    status = vm.qmp.query_acpi_ospm_status()[1]
    if status["source"] and status["status"]:
        return f"{REFUSED}: _OST {status['source']}, {status['status']}"
    if 1 not in shell.present:
        return "not seen"
    if shell.online != "0-1":
        shell.bring_online(1)
    return ONLINE if shell.online == "0-1" and shell.cpu_of_a_process_on(1) == 1 else "offline"


def sweep(count: int) -> list[tuple[int, str, int]]:
    """(point, outcome, instructions until then) for `count` points of one boot."""
    results = []
    last = instructions_of_a_boot()
    vm = boot()
    for point in points(FIRST, last, count):
        vm.run_to(insn=point)
        fork = vm.fork()
        results.append((point, outcome_of_a_plug(fork), fork.instructions))
        fork.close()
    vm.close()
    return results


@pytest.mark.slow
def test_a_cpu_plugged_at_any_point_of_a_boot_goes_online_the_same_way_every_time():
    results = sweep(6)
    assert {outcome.partition(":")[0] for _, outcome, _ in results} <= {ONLINE, REFUSED}
    assert sweep(6) == results


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    start = time.monotonic()
    first, second = sweep(number), sweep(number)
    print(Counter(outcome for _, outcome, _ in first), f"{time.monotonic() - start:.0f} s for both runs")
    print("the second run was the same" if first == second else "THE SECOND RUN DIFFERED")
