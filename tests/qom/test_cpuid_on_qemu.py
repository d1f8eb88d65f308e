"""CPUID of topologies and models beside the QEMU that is installed, whose boot CPU runs a program that executes it."""

from __future__ import annotations

import shutil
import struct
import subprocess

import pytest

from machines.guests import asm
from machines.topology import SmpConfig
from tests.qom.test_cpuid import RECORDED_HYPERVISOR, make_cpu

QEMU = shutil.which("qemu-system-x86_64")
pytestmark = pytest.mark.skipif(QEMU is None, reason="needs qemu-system-x86_64")

PORT, EXIT_PORT, MEMORY_END = 0xE9, 0xF4, 0x110000
LEAVES = [(leaf, subleaf)
          for leaf, count in ((0, 1), (1, 1), (2, 1), (4, 5), (6, 1), (7, 2), (0xB, 3), (0xD, 3), (0x1F, 4))
          for subleaf in range(count)] + [(0x8000_0000 + n, 0) for n in (0, 1, 2, 3, 4, 5, 6, 7, 8)]  # fmt: skip

PROGRAM = f"""
    mov esi, table
next:
    mov eax, [esi]
    mov ecx, [esi+4]
    cpuid
    call put
    mov eax, ebx
    call put
    mov eax, ecx
    call put
    mov eax, edx
    call put
    add esi, 8
    cmp esi, table_end
    jb next
    mov al, 0
    out {EXIT_PORT}, al
put:
    mov edi, 4
put_byte:
    out {PORT}, al
    shr eax, 8
    dec edi
    jnz put_byte
    ret
table:
""" + "".join(f"    .long {leaf}, {subleaf}\n" for leaf, subleaf in LEAVES) + "table_end:\n"


def on_qemu(folder, smp, model):
    """EAX, EBX, ECX, EDX of all LEAVES."""
    kernel, log = folder / "cpuid.elf", folder / "log"
    kernel.write_bytes(asm.multiboot_elf(PROGRAM, MEMORY_END))
    subprocess.run([QEMU, "-M", "q35,accel=tcg", "-cpu", model, "-smp", smp, "-m", "16M", "-kernel", kernel, "-display", "none",
                    "-nodefaults", "-debugcon", f"file:{log}", "-device", f"isa-debug-exit,iobase={EXIT_PORT},iosize=1"],
                   timeout=20, check=False, stderr=subprocess.DEVNULL)  # fmt: skip
    return list(struct.iter_unpack("<4I", log.read_bytes()))


@pytest.mark.parametrize("model, smp", [
    ("qemu64", "1"), ("qemu64", "1,maxcpus=3,cores=3"), ("qemu64", "1,sockets=2,cores=3,threads=2,maxcpus=12"),
    ("Haswell", "1"), ("Haswell", "1,sockets=3,dies=2,cores=3,threads=2,maxcpus=36"), ("Haswell", "1,threads=5,maxcpus=5"),
    ("Nehalem", "1,sockets=1,dies=3,cores=1,threads=1,maxcpus=3"), ("SandyBridge", "1,cores=64,threads=2,maxcpus=128"),
    ("Denverton-v2", "1"), ("Snowridge", "1"), ("n270", "1"), ("Opteron_G5", "1"), ("phenom", "1"),
    ("EPYC-v3", "1"), ("EPYC-Rome", "1"), ("EPYC-Milan", "1"), ("Dhyana", "1"),
])  # fmt: skip
def test_cpuid_is_qemus(tmp_path, model, smp):
    cpu = make_cpu(model + RECORDED_HYPERVISOR, SmpConfig.parse(smp).topology)
    expected = dict(zip(LEAVES, on_qemu(tmp_path, smp, model), strict=True))
    got = {where: cpu.cpuid(*where) for where in LEAVES}
    differing = {f"{leaf:#x}.{subleaf}": (list(map(hex, got[leaf, subleaf])), list(map(hex, expected[leaf, subleaf])))
                 for leaf, subleaf in LEAVES if got[leaf, subleaf] != expected[leaf, subleaf]}  # fmt: skip
    assert differing == {}
