"""CPU model definitions: identification and the features a real part of that name has.

Feature sets are written as differences from the predecessor in the product line, as in the vendors' release notes.
Not here: versions other than the first (Haswell-v2 and so on), models newer than Skylake-Client and EPYC.
"""

from __future__ import annotations

from dataclasses import dataclass, field

INTEL, AMD = "GenuineIntel", "AuthenticAMD"


@dataclass(frozen=True)
class Caches:
    """Cache descriptions of leaves 2, 4, 0x80000005 and 0x80000006, in the registers' own encoding."""

    l1: tuple[int, int, int, int] = (0x01FF_01FF, 0x01FF_01FF, 0x4002_0140, 0x4002_0140)
    l2_l3: tuple[int, int, int, int] = (0, 0x4200_4200, 0x0200_8140, 0x0080_8140)


LEGACY_CACHES = Caches()
EPYC_CACHES = Caches((0x01FF_01FF, 0x01FF_01FF, 0x2008_0140, 0x4004_0140), (0, 0x4200_4200, 0x0200_6140, 0x0040_8140))


@dataclass(frozen=True)
class Model:
    """What CPUID reports before the user, the machine and the engine have their say."""

    name: str
    vendor: str
    family: int
    model: int
    stepping: int
    level: int
    xlevel: int
    model_id: str
    features: frozenset[str] = field(repr=False)
    caches: Caches = LEGACY_CACHES
    static: bool = False
    migration_safe: bool = True


def _set(base: frozenset[str] | str, more: str = "") -> frozenset[str]:
    start = frozenset(base.split()) if isinstance(base, str) else base
    return start | frozenset(more.split())


I486 = _set("fpu pse hypervisor")
PENTIUM = _set(I486, "de tsc msr mce cx8 apic mmx")
PENTIUM2 = _set(PENTIUM, "pae sep mtrr pge mca cmov pat pse36 fxsr")
PENTIUM3 = _set(PENTIUM2, "sse")
SSE2 = _set(PENTIUM3, "sse2 clflush")
SSE3 = _set(SSE2, "pni")
X86_64 = _set(SSE3, "syscall nx lm")
CONROE = _set(X86_64, "ssse3 lahf-lm")
CORE2DUO = _set(CONROE, "monitor cx16 acpi ss")
PENRYN = _set(CONROE, "cx16 sse4.1")
NEHALEM = _set(PENRYN, "sse4.2 popcnt")
WESTMERE = _set(NEHALEM, "pclmulqdq aes arat")
SANDY_BRIDGE = _set(WESTMERE, "x2apic tsc-deadline xsave avx xsaveopt rdtscp")
IVY_BRIDGE = _set(SANDY_BRIDGE, "f16c rdrand fsgsbase smep erms")
HASWELL = _set(IVY_BRIDGE, "fma pcid movbe bmi1 hle avx2 bmi2 invpcid rtm abm")
BROADWELL = _set(HASWELL, "rdseed adx smap 3dnowprefetch")
SKYLAKE = _set(BROADWELL, "xsavec xgetbv1")
ATHLON = _set(PENTIUM3, "sse2 mmxext 3dnow 3dnowext")
PHENOM = _set(X86_64, """cx16 popcnt monitor mmxext fxsr-opt pdpe1gb rdtscp 3dnow 3dnowext
                         lahf-lm svm abm sse4a npt""")  # fmt: skip
EPYC = _set(X86_64, """pclmulqdq monitor ssse3 fma cx16 sse4.1 sse4.2 movbe popcnt aes xsave avx f16c rdrand
                       mmxext fxsr-opt pdpe1gb rdtscp
                       lahf-lm svm cr8legacy abm sse4a misalignsse 3dnowprefetch osvw topoext
                       fsgsbase bmi1 avx2 smep bmi2 rdseed adx smap clflushopt sha-ni
                       xsaveopt xsavec xgetbv1 arat npt nrip-save""")  # fmt: skip
QEMU32 = SSE3 - _set("mtrr mca pse36 clflush")
VIRTUAL = "QEMU Virtual CPU version 2.5+"

MODELS = (
    Model("qemu64", AMD, 15, 107, 1, 0xD, 0x8000_000A, VIRTUAL, _set(X86_64, "cx16 lahf-lm svm")),
    Model("qemu32", INTEL, 6, 6, 3, 4, 0x8000_0004, VIRTUAL, QEMU32),
    Model("phenom", AMD, 16, 2, 3, 5, 0x8000_001A, "AMD Phenom(tm) 9550 Quad-Core Processor", PHENOM),
    Model("core2duo", INTEL, 6, 15, 11, 0xA, 0x8000_0008, "Intel(R) Core(TM)2 Duo CPU     T7700  @ 2.40GHz", CORE2DUO),
    Model("kvm64", INTEL, 15, 6, 1, 0xD, 0x8000_0008, "Common KVM processor", _set(X86_64, "cx16")),
    Model("kvm32", INTEL, 15, 6, 1, 5, 0x8000_0008, "Common 32-bit KVM processor", SSE3),
    Model("coreduo", INTEL, 6, 14, 8, 0xA, 0x8000_0008, "Genuine Intel(R) CPU           T2600  @ 2.16GHz",
          _set(SSE3 - {"pse36"}, "monitor acpi ss nx")),
    Model("486", INTEL, 4, 8, 0, 1, 0, "", I486),
    Model("pentium", INTEL, 5, 4, 3, 1, 0, "", PENTIUM),
    Model("pentium2", INTEL, 6, 5, 2, 2, 0, "", PENTIUM2),
    Model("pentium3", INTEL, 6, 7, 3, 3, 0, "", PENTIUM3),
    Model("athlon", AMD, 6, 2, 3, 2, 0x8000_0008, VIRTUAL, ATHLON),
    Model("Conroe", INTEL, 6, 15, 3, 0xA, 0x8000_0008, "Intel Celeron_4x0 (Conroe/Merom Class Core 2)", CONROE),
    Model("Penryn", INTEL, 6, 23, 3, 0xA, 0x8000_0008, "Intel Core 2 Duo P9xxx (Penryn Class Core 2)", PENRYN),
    Model("Nehalem", INTEL, 6, 26, 3, 0xB, 0x8000_0008, "Intel Core i7 9xx (Nehalem Class Core i7)", NEHALEM),
    Model("Westmere", INTEL, 6, 44, 1, 0xB, 0x8000_0008, "Westmere E56xx/L56xx/X56xx (Nehalem-C)", WESTMERE),
    Model("SandyBridge", INTEL, 6, 42, 1, 0xD, 0x8000_0008, "Intel Xeon E312xx (Sandy Bridge)", SANDY_BRIDGE),
    Model("IvyBridge", INTEL, 6, 58, 9, 0xD, 0x8000_0008, "Intel Xeon E3-12xx v2 (Ivy Bridge)", IVY_BRIDGE),
    Model("Haswell", INTEL, 6, 60, 4, 0xD, 0x8000_0008, "Intel Core Processor (Haswell)", HASWELL),
    Model("Broadwell", INTEL, 6, 61, 2, 0xD, 0x8000_0008, "Intel Core Processor (Broadwell)", BROADWELL),
    Model("Skylake-Client", INTEL, 6, 94, 3, 0xD, 0x8000_0008, "Intel Core Processor (Skylake)", SKYLAKE),
    Model("EPYC", AMD, 23, 1, 2, 0xD, 0x8000_001E, "AMD EPYC Processor", EPYC, EPYC_CACHES),
)  # fmt: skip

BASE = Model("base", "", 0, 0, 0, 0, 0, "", frozenset(), static=True)

# "max" is everything the engine offers; its features are filled in from the engine's table.
MAX = Model("max", AMD, 15, 107, 1, 0xD, 0x8000_000A, "QEMU TCG CPU version 2.5+", frozenset(), migration_safe=False)
