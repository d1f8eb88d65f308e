"""CPUID: from a realized CPU and a topology to the four registers.

Intel SDM vol. 2A CPUID, AMD APM vol. 3 appendix E; leaves beyond the limits behave as Intel's do: they return the
data of the highest basic leaf.  Not here: SGX (0x12), Processor Trace (0x14), TOPOEXT (0x8000001D/E).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from emu.cpu_models import features as f
from emu.cpu_models.models import AMD, INTEL

Registers = tuple[int, int, int, int]  # EAX, EBX, ECX, EDX
ZERO: Registers = (0, 0, 0, 0)

CR4_OSXSAVE, CR4_PKE = 1 << 18, 1 << 22
ECX_OSXSAVE, EDX_HTT = 1 << 27, 1 << 28  # leaf 1
ECX_OSPKE = 1 << 4  # leaf 7
ECX_CMP_LEGACY = 1 << 1  # leaf 0x80000001
CLFLUSH_LINE_64 = 8 << 8  # leaf 1 EBX, in units of 8 bytes
LEVEL_SMT, LEVEL_CORE, LEVEL_DIE = 1, 2, 5  # leaves 0xB, 0x1F: ECX[15:8]
MWAIT_EXTENSIONS = 0b11  # leaf 5 ECX: enumeration supported, interrupts break
VIRT_BITS, VIRT_BITS_LA57 = 48, 57
HYPERVISOR_MAX_LEAF = 0x4000_0001
KVM_SIGNATURE, KVM_MSI_EXT_DEST_ID = "KVMKVMKVM", 1 << 15  # leaf 0x40000001 EAX
XAPIC_IDS = 255  # ids that an xAPIC can have; one more is its broadcast


class CpuTopology(Protocol):
    """What CPUID needs to know of the package; machines.topology.Topology has it."""

    dies: int
    cores: int
    threads: int

    @property
    def core_shift(self) -> int: ...
    @property
    def die_shift(self) -> int: ...
    @property
    def package_shift(self) -> int: ...
    @property
    def logical_per_package(self) -> int: ...
    @property
    def logical_per_die(self) -> int: ...  # QEMU: what leaves without dies say of the package
    @property
    def apic_id_limit(self) -> int: ...


class _Uniprocessor:
    dies = cores = threads = logical_per_package = logical_per_die = apic_id_limit = 1
    core_shift = die_shift = package_shift = 0


class Query:
    """One execution of CPUID: the CPU, where it sits, and the control registers that show through."""

    def __init__(self, cpu: Any, topology: CpuTopology, apic_id: int, subleaf: int, cr4: int, xcr0: int):
        self.cpu, self.topology, self.apic_id, self.subleaf = cpu, topology, apic_id, subleaf
        self.cr4, self.xcr0 = cr4, xcr0

    def bits(self, word: f.Word) -> int:
        return word.bits(self.cpu.features)


Leaf = Callable[[Query], Registers]
LEAVES: dict[int, Leaf] = {}


def leaf(*numbers: int) -> Callable[[Leaf], Leaf]:
    """Decorator: the function answers these leaves."""

    def register(function: Leaf) -> Leaf:
        LEAVES.update(dict.fromkeys(numbers, function))
        return function

    return register


def cpuid(cpu: Any, topology: CpuTopology | None, apic_id: int, leaf: int, subleaf: int = 0, *,
          cr4: int = 0, xcr0: int = 1) -> Registers:  # fmt: skip
    """EAX, EBX, ECX, EDX.  `cpu` is a realized X86Cpu; without a topology it is alone in its package."""
    limit = cpu.level
    if leaf >= 0xC000_0000:
        limit = cpu.xlevel2
    elif leaf >= 0x8000_0000:
        limit = cpu.xlevel
    elif leaf >= 0x4000_0000:
        limit = HYPERVISOR_MAX_LEAF
    answer = LEAVES.get(leaf if leaf <= limit else cpu.level)
    if answer is None:
        return ZERO
    return answer(Query(cpu, topology or _Uniprocessor(), apic_id, subleaf, cr4, xcr0))


def _text(text: str, size: int) -> list[int]:
    raw = text.encode("latin-1")[:size].ljust(size, b"\0")
    return [int.from_bytes(raw[i : i + 4], "little") for i in range(0, size, 4)]


def _signature(cpu: Any) -> int:
    family, extended = (cpu.family, 0) if cpu.family <= 0xF else (0xF, cpu.family - 0xF)
    return extended << 20 | (cpu.model >> 4) << 16 | family << 8 | (cpu.model & 0xF) << 4 | cpu.stepping


# -- basic leaves -------------------------------------------------------------------------------------------------


@leaf(0)
def vendor_and_level(q: Query) -> Registers:
    ebx, edx, ecx = _text(q.cpu.vendor, 12)
    return q.cpu.level, ebx, ecx, edx


@leaf(1)
def version_and_features(q: Query) -> Registers:
    ecx, edx = q.bits(f.WORD_1_ECX), q.bits(f.WORD_1_EDX)
    ebx = (q.apic_id & 0xFF) << 24 | CLFLUSH_LINE_64
    logical = q.topology.logical_per_die
    if logical > 1:
        ebx |= (logical & 0xFF) << 16
        edx |= EDX_HTT
    if "xsave" in q.cpu.features and q.cr4 & CR4_OSXSAVE:
        ecx |= ECX_OSXSAVE
    return _signature(q.cpu), ebx, ecx, edx


@leaf(2)
def cache_descriptors(q: Query) -> Registers:
    if q.cpu.vendor == AMD:
        return ZERO
    l3, others = q.cpu.model_definition.caches.descriptors
    return 0x0000_0001, 0, l3 if q.cpu.l3_cache else 0, others


@leaf(4)
def deterministic_caches(q: Query) -> Registers:
    t, caches = q.topology, q.cpu.model_definition.caches.parameters
    if q.cpu.vendor == AMD or q.subleaf >= len(caches) - (not q.cpu.l3_cache):
        return ZERO
    eax, ebx, ecx, edx = caches[q.subleaf]
    shared = (1, 1, t.threads, 1 << t.die_shift)[q.subleaf]  # QEMU: not even threads share the first level
    return eax | (q.topology.cores - 1) << 26 & 0xFC00_0000 | (shared - 1) << 14, ebx, ecx, edx


@leaf(5)
def monitor_mwait(q: Query) -> Registers:
    return 0, 0, MWAIT_EXTENSIONS, 0


@leaf(6)
def thermal_and_power(q: Query) -> Registers:
    return q.bits(f.WORD_6_EAX), 0, 0, 0


@leaf(7)
def structured_features(q: Query) -> Registers:
    extended = q.bits(f.WORD_7_1_EAX)
    if q.subleaf == 1:
        return extended, 0, 0, 0
    if q.subleaf:
        return ZERO
    ecx = q.bits(f.WORD_7_0_ECX) | (ECX_OSPKE if "pku" in q.cpu.features and q.cr4 & CR4_PKE else 0)
    return int(extended != 0), q.bits(f.WORD_7_0_EBX), ecx, q.bits(f.WORD_7_0_EDX)


def _topology_level(q: Query, levels: list[tuple[int, int, int]]) -> Registers:
    shift, logical, kind = levels[q.subleaf] if q.subleaf < len(levels) else (0, 0, 0)
    return shift, logical, kind << 8 | q.subleaf & 0xFF, q.apic_id


@leaf(0xB)
def extended_topology(q: Query) -> Registers:
    if not q.cpu.cpuid_0xb:
        return ZERO
    t = q.topology
    smt = (t.core_shift, t.threads, LEVEL_SMT)
    return _topology_level(q, [smt, (t.package_shift, t.logical_per_die, LEVEL_CORE)])


@leaf(0x1F)
def extended_topology_v2(q: Query) -> Registers:
    t = q.topology
    if t.dies < 2:
        return ZERO
    smt, core = (t.core_shift, t.threads, LEVEL_SMT), (t.die_shift, t.cores * t.threads, LEVEL_CORE)
    return _topology_level(q, [smt, core, (t.package_shift, t.logical_per_package, LEVEL_DIE)])


@leaf(0xD)
def xsave_state(q: Query) -> Registers:
    components = f.xsave_components(q.cpu.features)
    if not components:
        return ZERO
    if q.subleaf == 0:
        return components, f.xsave_size(q.xcr0), f.xsave_size(components), 0
    if q.subleaf == 1:
        return q.bits(f.WORD_D_1_EAX), f.xsave_size(components, compacted=True), 0, 0
    for part in f.XSAVE_COMPONENTS:
        if part.bit == q.subleaf and components >> part.bit & 1:
            return part.size, part.offset, 0, 0
    return ZERO


# -- hypervisor leaves --------------------------------------------------------------------------------------------


@leaf(0x4000_0000)
def hypervisor(q: Query) -> Registers:
    if not q.cpu.tcg_cpuid:
        return ZERO
    ebx, ecx, edx = _text(q.cpu.hypervisor_signature, 12)
    return HYPERVISOR_MAX_LEAF, ebx, ecx, edx


@leaf(0x4000_0001)
def paravirtual_features(q: Query) -> Registers:
    """A guest that takes us for KVM may send device interrupts to APIC ids of 15 bits, if there are any (ApicBus.extended)."""
    kvm = q.cpu.tcg_cpuid and q.cpu.hypervisor_signature == KVM_SIGNATURE
    return KVM_MSI_EXT_DEST_ID if kvm and q.topology.apic_id_limit > XAPIC_IDS else 0, 0, 0, 0


# -- extended leaves ----------------------------------------------------------------------------------------------


@leaf(0x8000_0000)
def extended_level(q: Query) -> Registers:
    _, ebx, ecx, edx = vendor_and_level(q)
    return q.cpu.xlevel, ebx, ecx, edx


@leaf(0x8000_0001)
def extended_features(q: Query) -> Registers:
    ecx, edx = q.bits(f.WORD_8000_0001_ECX), q.bits(f.WORD_8000_0001_EDX)
    if q.cpu.vendor == AMD:
        edx |= q.bits(f.WORD_1_EDX) & f.AMD_ALIAS_BITS
    if q.cpu.vendor != INTEL and q.topology.logical_per_die > 1:
        ecx |= ECX_CMP_LEGACY
    return _signature(q.cpu), 0, ecx, edx


def _brand(part: int) -> Leaf:
    def answer(q: Query) -> Registers:
        eax, ebx, ecx, edx = _text(q.cpu.model_id, 48)[4 * part : 4 * part + 4]
        return eax, ebx, ecx, edx

    return answer


LEAVES |= {0x8000_0002: _brand(0), 0x8000_0003: _brand(1), 0x8000_0004: _brand(2)}


@leaf(0x8000_0005)
def l1_caches(q: Query) -> Registers:
    return q.cpu.model_definition.caches.l1


@leaf(0x8000_0006)
def l2_l3_caches(q: Query) -> Registers:
    eax, ebx, ecx, edx = q.cpu.model_definition.caches.l2_l3
    return eax, ebx, ecx, edx if q.cpu.l3_cache else 0


@leaf(0x8000_0007)
def power_management(q: Query) -> Registers:
    return 0, 0, 0, q.bits(f.WORD_8000_0007_EDX)


@leaf(0x8000_0008)
def address_sizes(q: Query) -> Registers:
    eax = q.cpu.phys_bits
    if "lm" in q.cpu.features:
        eax |= (VIRT_BITS_LA57 if "la57" in q.cpu.features else VIRT_BITS) << 8
    logical = q.topology.logical_per_die
    ecx = q.topology.package_shift << 12 | logical - 1 if logical > 1 else 0
    return eax, q.bits(f.WORD_8000_0008_EBX), ecx, 0


@leaf(0x8000_000A)
def secure_virtual_machine(q: Query) -> Registers:
    if "svm" not in q.cpu.features:
        return ZERO
    return 1, 0x10, 0, q.bits(f.WORD_8000_000A_EDX)


@leaf(0xC000_0000)
def padlock_level(q: Query) -> Registers:
    return q.cpu.xlevel2, 0, 0, 0


@leaf(0xC000_0001)
def padlock_features(q: Query) -> Registers:
    return 0, 0, 0, q.bits(f.WORD_C000_0001_EDX)
