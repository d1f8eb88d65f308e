"""Linux's AHCI driver on q35: it binds, and finds every link down without waiting for a timeout."""

from __future__ import annotations

import stat

import pytest

from machines import Q35
from tests import guests

pytestmark = pytest.mark.slow
MODULES = ("scsi_common", "crct10dif_common", "crc-t10dif", "scsi_mod", "libata", "libahci", "ahci")  # in the order of need
REGULAR_FILE = stat.S_IFREG | 0o644


def test_every_link_is_down_at_once(linux):
    package = guests.fetch_package(guests.kernel_package(guests.KERNELS["generic"][0]))
    modules = [guests.Entry(f"root/{name}.ko", REGULAR_FILE, next(package.rglob(f"{name}.ko")).read_bytes()) for name in MODULES]
    initrd = guests.cpio_newc(guests.initramfs_entries(guests.busybox().read_bytes()) + modules)
    _, shell = linux(lambda: guests.vmlinux("generic"), machine=Q35, initrd=initrd)
    for name in MODULES:
        assert shell.run(f"busybox insmod /root/{name}.ko") == ""
    shell.run("sleep 1")
    assert {line.partition(": ")[2] for line in shell.messages("ata[1-6]: .*(link|failed)")} == \
        {"SATA link down (SStatus 0 SControl 300)"}  # fmt: skip
