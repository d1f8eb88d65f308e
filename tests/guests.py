"""Real guests for tests and benchmarks: Debian's kernels, busybox and SeaBIOS, fetched once and kept.

Packages come through `apt-get download` and are unpacked without being installed.  Those of another release than the
host's come from the host's own mirror, with package lists of their own, so that the host stays as it is and nobody
needs to be root.  Everything lands in `$NUMACHINE_CACHE` (default `~/.cache/numachine`) under `guests/`; a file that is
there is never fetched again.
Formats: bzImage header (Linux x86 boot protocol, offsets 0x1f1, 0x202, 0x248, 0x24c) and cpio "newc".
Not here: guests for other hosts than Debian-like ones; on those the helpers skip, or raise GuestUnavailable.
"""

from __future__ import annotations

import gzip
import lzma
import os
import re
import shutil
import stat
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

HOST_RELEASE = ""  # whatever the host's apt is set up for
KERNELS = {  # flavour: meta package, Debian release
    "cloud": ("linux-image-cloud-amd64", HOST_RELEASE),
    "generic": ("linux-image-amd64", HOST_RELEASE),
    "cloud-6.12": ("linux-image-cloud-amd64", "trixie"),
}
INIT_READY = "numachine-init-ready"

# Boots to init with about a third of the instructions of a plain boot: no crypto self-tests, no slow optional initcalls.
SMALL_BOOT_APPEND = (
    "console=ttyS0 cryptomgr.notests=1 initcall_blacklist=init_kprobe_trace,cubictcp_register,"
    "trace_eval_init,blake2s_mod_init,load_system_certificate_list"
)


class GuestUnavailable(RuntimeError):
    """A guest could not be fetched or unpacked; the message says what is missing."""


def unavailable(reason: str) -> NoReturn:
    """Skip the running pytest test, or raise GuestUnavailable outside of one."""
    if "PYTEST_CURRENT_TEST" in os.environ:
        import pytest

        pytest.skip(reason)
    raise GuestUnavailable(reason)


def cache_dir() -> Path:
    """The directory that holds fetched guests; created when missing."""
    root = Path(os.environ.get("NUMACHINE_CACHE") or Path.home() / ".cache" / "numachine") / "guests"
    root.mkdir(parents=True, exist_ok=True)
    return root


def publish(path: Path, data: bytes) -> Path:
    """Write `data` to `path` in one step, so that a concurrent reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as scratch:
        scratch.write(data)
    os.replace(scratch.name, path)
    return path


def run(command: list[str], cwd: Path | None = None) -> str:
    """The standard output of a host command; unavailable() when it is missing or fails."""
    if shutil.which(command[0]) is None:
        unavailable(f"host command {command[0]!r} not found; it is needed to fetch guests")
    done = subprocess.run(command, check=False, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        last_line = (done.stderr.strip().splitlines() or ["no message"])[-1]
        unavailable(f"{' '.join(command)} failed: {last_line}")
    return done.stdout


# -- Debian packages ------------------------------------------------------------------------------------------------


APT_RELEASE_FILE = re.compile(r"^'(\S+)/dists/(\w+)/InRelease'", re.MULTILINE)  # a suite without "-updates" or "-security"


def mirror() -> str:
    """Where the host's apt fetches its release from."""
    found = APT_RELEASE_FILE.search(run(["apt-get", "--print-uris", "update"]))
    return found[1] if found else unavailable("the host's apt has no Debian release among its sources")


@contextmanager
def apt_options(release: str) -> Iterator[list[str]]:
    """Options that let apt-get and apt-cache see `release` instead of what the host is set up for."""
    if release == HOST_RELEASE:
        yield []
        return
    with tempfile.TemporaryDirectory(dir=cache_dir()) as scratch:
        sources = Path(scratch) / "sources.list"
        sources.write_text(f"deb {mirror()} {release} main\n")
        places = {"Etc::sourcelist": sources, "Etc::sourceparts": "/dev/null", "State::lists": f"{scratch}/lists", "Cache": scratch}
        for needed in ("lists/partial", "archives/partial"):
            (Path(scratch) / needed).mkdir(parents=True)
        options = [f"-oDir::{name}={path}" for name, path in places.items()] + ["-oAPT::Sandbox::User=root"]
        run(["apt-get", *options, "update"])
        yield options


def fetch_package(package: str, apt: Sequence[str] = ()) -> Path:
    """Download `package` for this host's architecture and unpack it; returns the directory of its files."""
    unpacked = cache_dir() / "packages" / package
    if unpacked.is_dir():
        return unpacked
    unpacked.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=unpacked.parent) as scratch:
        run(["apt-get", *apt, "download", package], cwd=Path(scratch))
        archive = only(Path(scratch).glob("*.deb"), f"a .deb of {package}")
        files = Path(scratch) / "files"
        run(["dpkg-deb", "-x", str(archive), str(files)])
        try:
            files.rename(unpacked)
        except OSError:  # another process was first: its copy is as good
            if not unpacked.is_dir():
                raise
    return unpacked


def only(paths, what: str) -> Path:
    """The single path of an iterable."""
    found = sorted(paths)
    if len(found) != 1:
        unavailable(f"expected exactly one file for {what}, found {len(found)}")
    return found[0]


def kernel_package(meta_package: str, apt: Sequence[str] = ()) -> str:
    """The package of the kernel that a meta package stands for now."""
    for line in run(["apt-cache", *apt, "depends", meta_package]).splitlines():
        relation, _, name = line.strip().partition(": ")
        if relation == "Depends" and name.startswith("linux-image-"):
            return name
    unavailable(f"{meta_package} is not in the package lists; run apt-get update")


# -- what tests ask for ---------------------------------------------------------------------------------------------


def kernel(flavour: str = "cloud") -> Path:
    """Debian's bzImage of `flavour`, a name in KERNELS, as Debian ships it (LZ4, xz and zstd in that order)."""
    if flavour not in KERNELS:
        raise ValueError(f"no kernel flavour {flavour!r}; choose one of {', '.join(KERNELS)}")
    path = cache_dir() / f"vmlinuz-{flavour}"
    if not path.exists():
        meta_package, release = KERNELS[flavour]
        with apt_options(release) as apt:
            files = fetch_package(kernel_package(meta_package, apt), apt)
        publish(path, only(files.glob("boot/vmlinuz-*"), "the kernel image").read_bytes())
    return path


def vmlinux(flavour: str = "cloud") -> Path:
    """The uncompressed ELF inside kernel(flavour): boots through the PVH note without decompressing."""
    path = cache_dir() / f"vmlinux-{flavour}"
    return path if path.exists() else publish(path, extract_vmlinux(kernel(flavour).read_bytes()))


def busybox() -> Path:
    """A statically linked busybox."""
    return only(fetch_package("busybox-static").glob("*bin/busybox"), "busybox")


def seabios(name: str = "bios-256k.bin") -> Path:
    """A firmware image of Debian's seabios package, by file name."""
    path = fetch_package("seabios") / "usr/share/seabios" / name
    return path if path.exists() else unavailable(f"the seabios package has no {name}")


def memtest(word: str = "x64") -> Path:
    """memtest86+ of Debian's package, "x64" or "ia32": a bzImage like a kernel's."""
    return fetch_package("memtest86+") / f"boot/memtest86+{word}.bin"


def initramfs(compressed: bool = True) -> Path:
    """A busybox initramfs whose init prints INIT_READY and runs a shell on the console; same bytes at every build."""
    archive = cpio_newc(initramfs_entries(busybox().read_bytes()))
    data = gzip.compress(archive, mtime=0) if compressed else archive
    path = cache_dir() / ("initramfs.cpio.gz" if compressed else "initramfs.cpio")
    return path if path.exists() and path.read_bytes() == data else publish(path, data)


# -- bzImage --------------------------------------------------------------------------------------------------------

SECTOR = 512
SETUP_SECTS, HDR_MAGIC, PAYLOAD_OFFSET, PAYLOAD_LENGTH = 0x1F1, 0x202, 0x248, 0x24C


def lz4_decompress(payload: bytes) -> bytes:
    """Decode an LZ4 "legacy" frame with the host's lz4; the four bytes after the frame are not part of it."""
    if shutil.which("lz4") is None:
        unavailable("host command 'lz4' not found; it is needed to unpack this kernel")
    return subprocess.run(["lz4", "-dc"], input=payload[:-4], capture_output=True, check=True).stdout


def zstd_decompress(payload: bytes) -> bytes:
    """Decode a zstd frame with the host's zstd."""
    if shutil.which("zstd") is None:
        unavailable("host command 'zstd' not found; it is needed to unpack this kernel")
    return subprocess.run(["zstd", "-dc"], input=payload[:-4], capture_output=True, check=True).stdout


def xz_decompress(payload: bytes) -> bytes:
    """Decode one xz stream and ignore what follows it."""
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ).decompress(payload)


def gzip_decompress(payload: bytes) -> bytes:
    """Decode one gzip member and ignore what follows it."""
    return zlib.decompressobj(wbits=31).decompress(payload)


DECOMPRESSORS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x02\x21\x4c\x18": lz4_decompress,
    b"\x28\xb5\x2f\xfd": zstd_decompress,
    b"\xfd7zXZ\x00": xz_decompress,
    b"\x1f\x8b": gzip_decompress,
}


def extract_vmlinux(image: bytes) -> bytes:
    """The ELF that a bzImage carries compressed.  Raises ValueError when `image` is no bzImage of protocol 2.08 or later."""

    def field(offset: int, size: int) -> int:
        return int.from_bytes(image[offset : offset + size], "little")

    if image[HDR_MAGIC : HDR_MAGIC + 4] != b"HdrS":
        raise ValueError("not a bzImage: no 'HdrS' at offset 0x202")
    protected_mode_code = (field(SETUP_SECTS, 1) + 1) * SECTOR
    start = protected_mode_code + field(PAYLOAD_OFFSET, 4)
    payload = image[start : start + field(PAYLOAD_LENGTH, 4)]
    for magic, decompress in DECOMPRESSORS.items():
        if payload.startswith(magic):
            return decompress(payload)
    raise ValueError(f"bzImage payload starts with {payload[:4].hex()}: not gzip, xz, lz4 or zstd")


# -- initramfs ------------------------------------------------------------------------------------------------------

APPLETS = (
    "ash awk basename cat chmod chown clear cmp cp cttyhack cut date dd df dirname dmesg echo env expr false find free "
    "grep head hexdump hostname id kill ln ls md5sum mkdir mkfifo mknod mount mv nproc od poweroff printf ps pwd reboot "
    "rm rmdir sed seq setsid sh sha256sum sleep sort stat stty sync sysctl tail tar taskset tee test time timeout top "
    "touch tr true tty umount uname uniq uptime usleep vi watch wc which xargs yes"
)

INIT = f"""#!/bin/sh
export PATH=/bin PS1='# ' TERM=dumb HOME=/
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
echo {INIT_READY}
while :; do setsid cttyhack sh; done
"""


@dataclass(frozen=True)
class Entry:
    """One member of a cpio archive; `device` is (major, minor) of a character device."""

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def initramfs_entries(busybox_binary: bytes) -> list[Entry]:
    """The files of the initramfs, directories first."""
    directories = [Entry(name, stat.S_IFDIR | 0o755) for name in ("bin", "dev", "proc", "root", "sys", "tmp")]
    devices = [
        Entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1)),
        Entry("dev/null", stat.S_IFCHR | 0o666, device=(1, 3)),
        Entry("dev/ttyS0", stat.S_IFCHR | 0o600, device=(4, 64)),
    ]
    programs = [
        Entry("init", stat.S_IFREG | 0o755, INIT.encode()),
        Entry("bin/busybox", stat.S_IFREG | 0o755, busybox_binary),
    ]
    links = [Entry(f"bin/{applet}", stat.S_IFLNK | 0o777, b"busybox") for applet in APPLETS.split()]
    return directories + devices + programs + links


def cpio_newc(entries: list[Entry]) -> bytes:
    """A cpio archive in the "newc" format: owner root, time 0, inode numbers in order."""
    members = [cpio_member(entry, inode) for inode, entry in enumerate(entries, start=1)]
    return b"".join(members) + cpio_member(Entry("TRAILER!!!", 0), 0)


def cpio_member(entry: Entry, inode: int) -> bytes:
    """Header of 13 eight-digit hex fields after the magic, then name and data, each padded to four bytes."""
    name = entry.name.encode() + b"\0"
    uid = gid = mtime = checksum = 0
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    owner_and_time = (uid, gid, links, mtime)
    devices = (0, 0, *entry.device)
    fields = (inode, entry.mode, *owner_and_time, len(entry.data), *devices, len(name), checksum)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return pad4(header + name) + pad4(entry.data)


def pad4(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
