"""What the execution engine implements: the one table that decides which CPUID bits a guest may see.

A requested feature that is not here is filtered at realize, with a warning, or refused under `enforce`.
"""

from __future__ import annotations

ENGINE_FEATURES = frozenset(
    # instruction set and system architecture of every 64-bit processor
    "fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 "
    "syscall nx lm lahf-lm "
    # later instructions
    "pni ssse3 cx16 sse4.1 sse4.2 popcnt rdtscp "
    # later system features
    "x2apic tsc-deadline xsave smep smap arat "
    # facts about the environment, not about the engine
    "hypervisor ht cmp-legacy".split()
)

# Bits that model definitions ask for and that are off unless a user asks for them by name, so that the default models
# start without warnings.  QEMU does the same for VME under TCG, and for the others under KVM.
OFF_BY_DEFAULT = frozenset("vme acpi monitor svm npt nrip-save vgif svme-addr-chk".split())

ACCELERATOR = "TCG"  # the name in messages; clients match QEMU's wording

# CPUID leaf 0x40000000, EBX ECX EDX.  Linux from 6.9 on rejects MADT's disabled CPUs, the ones to be plugged later, unless it
# knows the hypervisor.  Nothing else comes of this name: leaf 0x40000001, the features behind it, is zero.
HYPERVISOR_SIGNATURE = "KVMKVMKVM"  # QEMU: under TCG "TCGTCGTCGTCG", with which such kernels take no hot-plugged CPU
