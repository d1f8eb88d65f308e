"""CPU model definitions: identification and the features a real part of that name has.

Feature sets are written as differences from the predecessor in the product line, as in the vendors' release notes.
The first version of each model is here, later ones are in versions.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field

INTEL, AMD, HYGON = "GenuineIntel", "AuthenticAMD", "HygonGenuine"


@dataclass(frozen=True)
class Caches:
    """Cache descriptions of leaves 2, 4, 0x80000005 and 0x80000006, in the registers' own encoding."""

    l1: tuple[int, int, int, int] = (0x01FF_01FF, 0x01FF_01FF, 0x4002_0140, 0x4002_0140)
    l2_l3: tuple[int, int, int, int] = (0, 0x4200_4200, 0x0200_8140, 0x0080_8140)
    descriptors: tuple[int, int] = (0x4D, 0x002C_307D)  # leaf 2 ECX: L3 16 MiB; EDX: L2 2 MiB, L1I, L1D 32 KiB
    # leaf 4 for L1D, L1I, L2, L3: type and level, EBX, sets - 1, EDX
    parameters: tuple[tuple[int, int, int, int], ...] = (
        (0x121, 0x01C0_003F, 0x3F, 1), (0x122, 0x01C0_003F, 0x3F, 1),
        (0x143, 0x03C0_003F, 0xFFF, 1), (0x163, 0x03C0_003F, 0x3FFF, 6))  # fmt: skip


LEGACY_CACHES = Caches()
EPYC_CACHES = Caches((0x01FF_01FF, 0x01FF_01FF, 0x2008_0140, 0x4004_0140), (0, 0x4200_4200, 0x0200_6140, 0x0040_8140),
                     (0x4B, 0x002C_FF80), ((0x121, 0x01C0_003F, 0x3F, 1), (0x122, 0x00C0_003F, 0xFF, 1),
                                           (0x043, 0x01C0_003F, 0x3FF, 0), (0x163, 0x03C0_003F, 0x1FFF, 6)))  # fmt: skip
ROME_CACHES = Caches((0x01FF_01FF, 0x01FF_01FF, 0x2008_0140, 0x2008_0140), (0, 0x4200_4200, 0x0200_6140, 0x0080_8140))
MILAN_CACHES = Caches(ROME_CACHES.l1, (0, 0x4200_4200, 0x0200_6140, 0x0100_8140))


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


def _set(base: frozenset[str] | str, more: str = "", without: str = "") -> frozenset[str]:
    start = frozenset(base.split()) if isinstance(base, str) else base
    return start - frozenset(without.split()) | frozenset(more.split())


I486 = _set("fpu pse hypervisor")
PENTIUM = _set(I486, "de tsc msr mce cx8 apic mmx")
PENTIUM2 = _set(PENTIUM, "pae sep mtrr pge mca cmov pat pse36 fxsr")
PENTIUM3 = _set(PENTIUM2, "sse")
SSE2 = _set(PENTIUM3, "sse2 clflush")
SSE3 = _set(SSE2, "pni")
X86_64 = _set(SSE3, "syscall nx lm")
CONROE = _set(X86_64, "ssse3 lahf-lm")
CORE2DUO = _set(CONROE, "monitor cx16 acpi ss")
ATOM = _set(CORE2DUO, "movbe", without="cx16 lm pse36 syscall")
PENRYN = _set(CONROE, "cx16 sse4.1")
NEHALEM = _set(PENRYN, "sse4.2 popcnt")
WESTMERE = _set(NEHALEM, "pclmulqdq aes arat")
SANDY_BRIDGE = _set(WESTMERE, "x2apic tsc-deadline xsave avx xsaveopt rdtscp")
IVY_BRIDGE = _set(SANDY_BRIDGE, "f16c rdrand fsgsbase smep erms")
HASWELL = _set(IVY_BRIDGE, "fma pcid movbe bmi1 hle avx2 bmi2 invpcid rtm abm")
BROADWELL = _set(HASWELL, "rdseed adx smap 3dnowprefetch")
SKYLAKE = _set(BROADWELL, "xsavec xgetbv1")
SKYLAKE_SERVER = _set(SKYLAKE, "avx512f avx512dq avx512cd avx512bw avx512vl clflushopt clwb pdpe1gb pku")
CASCADE_LAKE = _set(SKYLAKE_SERVER, "avx512vnni spec-ctrl ssbd")
COOPER_LAKE = _set(CASCADE_LAKE, """arch-capabilities avx512-bf16 stibp
                                    rdctl-no ibrs-all skip-l1dfl-vmentry mds-no pschange-mc-no taa-no""")  # fmt: skip
ICE_LAKE = _set(CASCADE_LAKE, """avx512vbmi avx512vbmi2 avx512bitalg avx512-vpopcntdq gfni vaes vpclmulqdq
                                 la57 umip wbnoinvd""")  # fmt: skip
KNIGHTS_MILL = _set(SKYLAKE, """ss avx512f avx512cd avx512er avx512pf avx512-vpopcntdq avx512-4vnniw avx512-4fmaps
                                pdpe1gb""", without="hle rtm invpcid pcid smap xgetbv1 xsavec")  # fmt: skip
GOLDMONT = _set(SKYLAKE, """monitor mpx sha-ni clflushopt pdpe1gb spec-ctrl ssbd
                            arch-capabilities rdctl-no skip-l1dfl-vmentry""",
                without="abm adx avx avx2 bmi1 bmi2 f16c fma hle rtm invpcid pcid")  # fmt: skip
TREMONT = _set(GOLDMONT, "clwb cldemote gfni movdiri movdir64b umip core-capability split-lock-detect",
               without="rdctl-no skip-l1dfl-vmentry")  # fmt: skip
ATHLON = _set(PENTIUM3, "sse2 mmxext 3dnow 3dnowext")
PHENOM = _set(X86_64, """cx16 popcnt monitor mmxext fxsr-opt pdpe1gb rdtscp 3dnow 3dnowext
                         lahf-lm svm abm sse4a npt""")  # fmt: skip
EPYC = _set(X86_64, """pclmulqdq monitor ssse3 fma cx16 sse4.1 sse4.2 movbe popcnt aes xsave avx f16c rdrand
                       mmxext fxsr-opt pdpe1gb rdtscp
                       lahf-lm svm cr8legacy abm sse4a misalignsse 3dnowprefetch osvw topoext
                       fsgsbase bmi1 avx2 smep bmi2 rdseed adx smap clflushopt sha-ni
                       xsaveopt xsavec xgetbv1 arat npt nrip-save""")  # fmt: skip
DHYANA = _set(EPYC, "ibpb", without="aes pclmulqdq sha-ni")
ROME = _set(EPYC, "clwb clzero rdpid umip wbnoinvd xsaves xsaveerptr perfctr-core ibpb amd-stibp")
MILAN = _set(ROME, "erms fsrm invpcid pcid pku ibrs amd-ssbd svme-addr-chk")
OPTERON_G2 = _set(X86_64, "cx16 lahf-lm svm")
OPTERON_G3 = _set(OPTERON_G2, "abm misalignsse monitor popcnt rdtscp sse4a")
OPTERON_G4 = _set(OPTERON_G3, """ssse3 sse4.1 sse4.2 aes pclmulqdq xsave avx xop fma4 3dnowprefetch pdpe1gb
                                 npt nrip-save""", without="monitor")  # fmt: skip
OPTERON_G5 = _set(OPTERON_G4, "f16c fma tbm")
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
          _set(SSE3, "monitor acpi ss nx", without="pse36")),
    Model("n270", INTEL, 6, 28, 2, 0xA, 0x8000_0008, "Intel(R) Atom(TM) CPU N270   @ 1.60GHz", ATOM),
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
    Model("Skylake-Server", INTEL, 6, 85, 4, 0xD, 0x8000_0008, "Intel Xeon Processor (Skylake)", SKYLAKE_SERVER),
    Model("Cascadelake-Server", INTEL, 6, 85, 6, 0xD, 0x8000_0008, "Intel Xeon Processor (Cascadelake)", CASCADE_LAKE),
    Model("Cooperlake", INTEL, 6, 85, 10, 0xD, 0x8000_0008, "Intel Xeon Processor (Cooperlake)", COOPER_LAKE),
    Model("Icelake-Server", INTEL, 6, 134, 0, 0xD, 0x8000_0008, "Intel Xeon Processor (Icelake)", ICE_LAKE),
    Model("KnightsMill", INTEL, 6, 133, 0, 0xD, 0x8000_0008, "Intel Xeon Phi Processor (Knights Mill)", KNIGHTS_MILL),
    Model("Denverton", INTEL, 6, 95, 1, 0x15, 0x8000_0008, "Intel Atom Processor (Denverton)", GOLDMONT),
    Model("Snowridge", INTEL, 6, 134, 1, 0x1B, 0x8000_0008, "Intel Atom Processor (SnowRidge)", TREMONT),
    Model("Opteron_G1", AMD, 15, 6, 1, 5, 0x8000_0008, "AMD Opteron 240 (Gen 1 Class Opteron)", X86_64),
    Model("Opteron_G2", AMD, 15, 6, 1, 5, 0x8000_000A, "AMD Opteron 22xx (Gen 2 Class Opteron)", OPTERON_G2),
    Model("Opteron_G3", AMD, 16, 2, 3, 5, 0x8000_000A, "AMD Opteron 23xx (Gen 3 Class Opteron)", OPTERON_G3),
    Model("Opteron_G4", AMD, 21, 1, 2, 0xD, 0x8000_001A, "AMD Opteron 62xx class CPU", OPTERON_G4),
    Model("Opteron_G5", AMD, 21, 2, 0, 0xD, 0x8000_001A, "AMD Opteron 63xx class CPU", OPTERON_G5),
    Model("EPYC", AMD, 23, 1, 2, 0xD, 0x8000_001E, "AMD EPYC Processor", EPYC, EPYC_CACHES),
    Model("EPYC-Rome", AMD, 23, 49, 0, 0xD, 0x8000_001E, "AMD EPYC-Rome Processor", ROME, ROME_CACHES),
    Model("EPYC-Milan", AMD, 25, 1, 1, 0xD, 0x8000_001E, "AMD EPYC-Milan Processor", MILAN, MILAN_CACHES),
    Model("Dhyana", HYGON, 24, 0, 1, 0xD, 0x8000_001E, "Hygon Dhyana Processor", DHYANA, EPYC_CACHES),
)  # fmt: skip

BASE = Model("base", "", 0, 0, 0, 0, 0, "", frozenset())

# "max" is everything the engine offers; its features are filled in from the engine's table.
MAX = Model("max", AMD, 15, 107, 1, 0xD, 0x8000_000A, "QEMU TCG CPU version 2.5+", frozenset())
