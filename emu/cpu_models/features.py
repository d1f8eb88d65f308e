"""CPUID feature bits: one table of words, bits named as on QEMU's command line, least significant bit first.

Sources: Intel SDM vol. 2A, CPUID, and vol. 4 for the capability MSRs; AMD APM vol. 3, appendix E; VIA Padlock for leaf
0xC0000001.  "-" is a bit without a name, a word without names is there for listings.
Not here: VMX capability MSRs, names for Hyper-V, KVM, SGX and RTIT bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Word:
    """One CPUID output register that holds feature bits; or, with register "MSR", the MSR with number `leaf`."""

    leaf: int
    register: str
    names: tuple[str, ...]
    subleaf: int | None = None

    def bits(self, features: Iterable[str]) -> int:
        """The register's value for a set of feature names."""
        return sum(1 << BIT_OF[name][1] for name in features if BIT_OF[name][0] is self)

    @property
    def is_cpuid(self) -> bool:
        return self.register != "MSR"

    def describe(self, name: str) -> str:
        """A bit as manuals write it: CPUID.01H:ECX.pcid [bit 17]."""
        where = f"CPUID.{self.leaf:02X}H:{self.register}" if self.is_cpuid else f"MSR({self.leaf:02X}H)"
        return f"{where}.{name} [bit {self.names.index(name)}]"


class XsaveWord(Word):
    """The components of XCR0, which follow from other features."""

    def bits(self, features: Iterable[str]) -> int:
        return xsave_components(frozenset(features))


def _word(leaf: int, register: str, names: str, subleaf: int | None = None) -> Word:
    return Word(leaf, register, tuple(names.split()), subleaf)


WORD_1_EDX = _word(1, "EDX", """
    fpu vme de pse tsc msr pae mce   cx8 apic - sep mtrr pge mca cmov
    pat pse36 pn clflush - ds acpi mmx   fxsr sse sse2 ss ht tm ia64 pbe""")  # fmt: skip
WORD_1_ECX = _word(1, "ECX", """
    pni pclmulqdq dtes64 monitor ds-cpl vmx smx est   tm2 ssse3 cid - fma cx16 xtpr pdcm
    - pcid dca sse4.1 sse4.2 x2apic movbe popcnt   tsc-deadline aes xsave - avx f16c rdrand hypervisor""")
WORD_6_EAX = _word(6, "EAX", "- - arat")
WORD_7_0_EBX = _word(7, "EBX", """
    fsgsbase tsc-adjust sgx bmi1 hle avx2 - smep   bmi2 erms invpcid rtm - - mpx -
    avx512f avx512dq rdseed adx smap avx512ifma pcommit clflushopt
    clwb intel-pt avx512pf avx512er avx512cd sha-ni avx512bw avx512vl""", 0)
WORD_7_0_ECX = _word(7, "ECX", """
    - avx512vbmi umip pku - waitpkg avx512vbmi2 -   gfni vaes vpclmulqdq avx512vnni avx512bitalg - avx512-vpopcntdq -
    la57 - - - - - rdpid -   bus-lock-detect cldemote - movdiri movdir64b - sgxlc pks""", 0)
WORD_7_0_EDX = _word(7, "EDX", """
    - - avx512-4vnniw avx512-4fmaps fsrm - - -   avx512-vp2intersect - md-clear - - - serialize -
    tsx-ldtrk - - arch-lbr - - amx-bf16 avx512-fp16
    amx-tile amx-int8 spec-ctrl stibp - arch-capabilities core-capability ssbd""", 0)
WORD_7_1_EAX = _word(7, "EAX", "- - - - avx-vnni avx512-bf16", 1)
WORD_D_1_EAX = _word(0xD, "EAX", "xsaveopt xsavec xgetbv1 xsaves xfd", 1)
WORD_8000_0001_EDX = _word(0x8000_0001, "EDX", """
    - - - - - - - -   - - - syscall - - - -   - - - - nx - mmxext -   - fxsr-opt pdpe1gb rdtscp - lm 3dnowext 3dnow""")
WORD_8000_0001_ECX = _word(0x8000_0001, "ECX", """
    lahf-lm cmp-legacy svm extapic cr8legacy abm sse4a misalignsse   3dnowprefetch osvw ibs xop skinit wdt - lwp
    fma4 tce - nodeid-msr - tbm topoext perfctr-core   perfctr-nb""")
WORD_8000_0007_EDX = _word(0x8000_0007, "EDX", "- - - - - - - -   invtsc")
WORD_8000_0008_EBX = _word(0x8000_0008, "EBX", """
    clzero - xsaveerptr - - - - -   - wbnoinvd - - ibpb - ibrs amd-stibp
    - - - - - - - -   amd-ssbd virt-ssbd amd-no-ssb""")
WORD_8000_000A_EDX = _word(0x8000_000A, "EDX", """
    npt lbrv svm-lock nrip-save tsc-scale vmcb-clean flushbyasid decodeassists
    - - pause-filter - pfthreshold avic - v-vmsave-vmload   vgif - - - - - - -   - - - - svme-addr-chk""")
WORD_C000_0001_EDX = _word(0xC000_0001, "EDX", """
    - - xstore xstore-en - - xcrypt xcrypt-en   ace2 ace2-en phe phe-en pmm pmm-en""")

MSR_ARCH_CAPABILITIES = _word(0x10A, "MSR", """
    rdctl-no ibrs-all rsba skip-l1dfl-vmentry ssb-no mds-no pschange-mc-no tsx-ctrl   taa-no""")
MSR_CORE_CAPABILITY = _word(0xCF, "MSR", "- - - - - split-lock-detect")

# In the order in which QEMU reports what is missing.
WORDS = (WORD_1_EDX, WORD_1_ECX, WORD_7_0_EBX, WORD_7_0_ECX, WORD_7_0_EDX, WORD_7_1_EAX,
         WORD_8000_0001_EDX, WORD_8000_0001_ECX, WORD_8000_0007_EDX, WORD_8000_0008_EBX, WORD_C000_0001_EDX,
         _word(0x4000_0001, "EAX", ""), _word(0x4000_0001, "EDX", ""), WORD_8000_000A_EDX, WORD_D_1_EAX, WORD_6_EAX,
         XsaveWord(0xD, "EAX", (), 0), _word(0xD, "EDX", "", 0), _word(0x14, "ECX", "", 0),
         _word(0x12, "EAX", "", 0), _word(0x12, "EBX", "", 0), _word(0x12, "EAX", "", 1),
         _word(0xD, "ECX", "", 1), _word(0xD, "EDX", "", 1), MSR_ARCH_CAPABILITIES, MSR_CORE_CAPABILITY)  # fmt: skip

BIT_OF: dict[str, tuple[Word, int]] = {
    name: (word, bit) for word in WORDS for bit, name in enumerate(word.names) if name != "-"
}  # fmt: skip

# Older and alternative spellings; underscores are dashes everywhere.
SPELLINGS = {"pni": ("sse3",), "pclmulqdq": ("pclmuldq",), "sse4.1": ("sse4-1",), "sse4.2": ("sse4-2",), "nx": ("xd",),
             "lm": ("i64",), "fxsr-opt": ("ffxsr",)}  # fmt: skip

# Second spellings that listings repeat: those that clients of older versions knew.
PUBLISHED = frozenset("""
    cmp_legacy ds_cpl ffxsr fxsr_opt i64 lahf_lm nodeid_msr nrip_save pause_filter pclmuldq perfctr_core perfctr_nb
    sse3 sse4-1 sse4-2 sse4_1 sse4_2 svm_lock tsc_adjust tsc_scale vmcb_clean xd""".split())  # fmt: skip

# AMD repeats these bits of CPUID.01H:EDX in CPUID.80000001H:EDX (APM vol. 3, E.4.2).
AMD_ALIAS_BITS = 0x0183_F3FF

# Architectural implications: the left feature is meaningless without the right one.
REQUIRES = {
    "avx": "xsave", "xsaveopt": "xsave", "xsavec": "xsave", "xgetbv1": "xsave", "xsaves": "xsave", "mpx": "xsave",
    "pku": "xsave", "fma": "avx", "f16c": "avx", "avx2": "avx", "vaes": "avx", "vpclmulqdq": "avx", "avx512f": "avx2",
    "fma4": "avx", "xop": "avx", "npt": "svm", "nrip-save": "svm", "vgif": "svm", "svme-addr-chk": "svm",
    "lbrv": "svm", "tsc-scale": "svm", "vmcb-clean": "svm", "flushbyasid": "svm", "decodeassists": "svm",
    "pause-filter": "svm", "pfthreshold": "svm", "avic": "svm", "v-vmsave-vmload": "svm", "svm-lock": "svm",
    **{name: "arch-capabilities" for name in MSR_ARCH_CAPABILITIES.names},
    "split-lock-detect": "core-capability",
}  # fmt: skip


def canonical(name: str) -> str:
    """The table's spelling of a feature name a user wrote, or the name itself when it is none."""
    dashed = name.replace("_", "-")
    return next((real for real, others in SPELLINGS.items() if dashed in others), dashed)


def drop_orphans(features: set[str]) -> set[str]:
    """The features of the set whose requirements are in the set too."""
    while orphans := {f for f in features if REQUIRES.get(f) and REQUIRES[f] not in features}:
        features = features - orphans
    return features


# XSAVE state components (SDM vol. 1, 13.1): bit of XCR0, size and offset in bytes of the standard format.
@dataclass(frozen=True)
class XsaveComponent:
    """A part of the XSAVE area that is there when any of `features` is."""

    bit: int
    features: tuple[str, ...]
    size: int
    offset: int


XSAVE_LEGACY_SIZE = 0x240  # FXSAVE image and XSAVE header
XSAVE_COMPONENTS = (
    XsaveComponent(2, ("avx",), 0x100, 0x240),
    XsaveComponent(3, ("mpx",), 0x40, 0x3C0),
    XsaveComponent(4, ("mpx",), 0x40, 0x400),
    XsaveComponent(5, ("avx512f",), 0x40, 0x440),
    XsaveComponent(6, ("avx512f",), 0x200, 0x480),
    XsaveComponent(7, ("avx512f",), 0x400, 0x680),
    XsaveComponent(9, ("pku",), 0x8, 0xA80),
)


def xsave_components(features: frozenset[str] | set[str]) -> int:
    """The mask of XCR0 bits that a guest may set."""
    if "xsave" not in features:
        return 0
    optional = (1 << c.bit for c in XSAVE_COMPONENTS if any(f in features for f in c.features))
    return 0b11 | sum(optional)


def xsave_size(mask: int, compacted: bool = False) -> int:
    """Bytes of the XSAVE area for the components in `mask`."""
    parts = [c for c in XSAVE_COMPONENTS if mask >> c.bit & 1]
    if compacted:
        return XSAVE_LEGACY_SIZE + sum(c.size for c in parts)
    return max((c.offset + c.size for c in parts), default=XSAVE_LEGACY_SIZE)
