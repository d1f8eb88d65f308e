"""A running x86 vCPU: the engine's record, the CPU object's identity and the local APIC, tied together.

Here are the power-up and INIT values (Intel SDM vol. 3A table 9-1), the delivery of interrupts at block boundaries, and the
answers to CPUID, RDMSR and WRMSR that need the model or the APIC.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from emu import log
from emu.clock import Clock
from emu.devices.apic_bus import ApicBus
from emu.devices.lapic import LocalApic
from emu.snapshot import Stateful
from emu.x86_msrs import StoredMsrs
from emu.x86_smm import SystemManagement
from emu.x86_state import load_record, load_tlb, save_record, save_tlb
from jit.engine import Engine
from jit.exact import Part
from jit.state import Exit, Request
from jit.x86.state import Cr0, Cr4, Efer, Flag, Gpr, Seg, SegmentAttribute, Vector
from jit.x86.system_ops import SystemOp

if TYPE_CHECKING:
    from emu.cpu_models import X86Cpu

RESET_EIP = 0xFFF0
RESET_CS_SELECTOR, RESET_CS_BASE = 0xF000, 0xFFFF_0000
DR6_RESET, DR7_RESET = 0xFFFF_0FF0, 0x400
PAT_RESET = 0x0007_0406_0007_0406
FCW_RESET, FCW_FNINIT = 0x0040, 0x037F
MXCSR_RESET = 0x1F80
FIXED_MTRR_CAP = 0x508
ALL_ONES = (1 << 64) - 1
A20 = 1 << 20
AMD = "AuthenticAMD"
MTRR_ENABLED_WRITE_BACK = 0xC06  # IA32_MTRR_DEF_TYPE: MTRRs and fixed ranges on, write-back
DATA_ACCESS = int(SegmentAttribute.P | SegmentAttribute.S | SegmentAttribute.WRITABLE | SegmentAttribute.ACCESSED)
CODE_ACCESS = DATA_ACCESS | int(SegmentAttribute.CODE)
LDT_TYPE, BUSY_TSS_TYPE = 2 << 8, 11 << 8
REAL_LIMIT, FLAT_LIMIT = 0xFFFF, 0xFFFF_FFFF
EXTENDED_LEAVES = 0x8000_0000


class X86Vcpu(Stateful):
    """One vCPU and its local APIC.  `model` is its CPU object, realized.

    `acknowledge_pic()` is the INTA cycle of the 8259 pair, which reaches this CPU through the APIC's LINT0 pin.
    """

    saved = ("nmi_pending", "init_pending", "sipi_vector", "_attention", "msrs", "apic", "smm")

    def __init__(
        self,
        engine: Engine,
        model: X86Cpu,
        apic_bus: ApicBus,
        clock: Clock,
        *,
        bsp: bool,
        acknowledge_pic: Callable[[], int],
    ) -> None:
        self.engine, self.model, self.apic_bus, self.acknowledge_pic = engine, model, apic_bus, acknowledge_pic
        self.vcpu = engine.add_cpu()
        self.state = self.vcpu.state
        self.nmi_pending = self.init_pending = False
        self.sipi_vector: int | None = None
        self.smm: SystemManagement | None = None                                    # machines that have it set it
        self.on_shutdown: Callable[[X86Vcpu], None] = lambda _: None                # triple fault
        self.on_lost: Callable[[X86Vcpu, int], None] = lambda _, address: None      # no memory where it executes
        self.on_breakpoint: Callable[[X86Vcpu], None] = lambda _: None
        self.on_wake: Callable[[X86Vcpu], None] = lambda _: None                    # ask ready() again
        self._attention = True
        self.msrs = StoredMsrs(amd=model.vendor == AMD)
        at = engine.front.layout.offset
        self._halted, self._request = (ctypes.c_uint64.from_address(self.vcpu.address + at(n)) for n in ("halted", "request"))
        self.apic = LocalApic(model.apic_id, apic_bus, self, clock, bsp=bsp, x2apic="x2apic" in model.features)
        apic_bus.add(self.apic)

    def remove(self) -> None:
        """The CPU is gone: its APIC leaves the bus, the engine forgets the record."""
        self.apic_bus.remove(self.apic)
        self.apic.unrealize()
        if self.smm:
            self.smm.unplug()
        self.engine.remove_cpu(self.vcpu)

    # --- reset
    def reset(self) -> None:
        """Power-up and RESET."""
        self.vcpu.part, self.vcpu.over = None, True
        self._clear_vector_state()
        self.init()
        for name, value in (("pat", PAT_RESET), ("fcw", FCW_RESET), ("mxcsr", MXCSR_RESET), ("xcr0", 1),
                            ("a20_mask", ALL_ONES)):
            self.state[name] = value
        for name in ("tsc_offset", "tsc_aux", "tsc_deadline", "efer", "star", "lstar", "cstar", "fmask", "kernel_gs_base",
                     "sysenter_cs", "sysenter_esp", "sysenter_eip", "mtrr_def_type", "misc_enable"):
            self.state[name] = 0
        self.state["misc_enable"] = 1
        self.state["mtrr"] = 0
        self.apic.reset()
        self.msrs.reset()
        self.nmi_pending = self.init_pending = False
        self.sipi_vector = None
        if self.smm:
            self.smm.reset()
        self._publish_features()
        boot = self.apic.bsp
        self.state["wait_for_sipi"], self.state["halted"] = not boot, not boot
        self.refresh()

    def init(self) -> None:
        """What INIT does: everything but caches, MTRRs, vector state and most MSRs."""
        state = self.state
        for name in ("gpr", "cr2", "cr3", "cr4", "cr8", "dr", "result", "aux", "nmi_blocked", "smm", "pending_vector",
                     "pending_db", "single", "fault", "cpl"):
            state[name] = 0
        state["result"] = 1                                              # ZF = 0, PF = 0
        state["eflags"] = int(Flag.ONE)
        state["cr0"] = int(Cr0.CD | Cr0.NW | Cr0.ET)
        state["dr"][6], state["dr"][7] = DR6_RESET, DR7_RESET
        state["pc"] = RESET_EIP
        state["gpr"][Gpr.RDX] = self._signature()
        for seg in (Seg.ES, Seg.SS, Seg.DS, Seg.FS, Seg.GS):
            state["seg"][seg] = (0, 0, REAL_LIMIT, DATA_ACCESS)
        state["seg"][Seg.CS] = (RESET_CS_SELECTOR, RESET_CS_BASE, REAL_LIMIT, CODE_ACCESS)
        state["seg"][Seg.LDTR] = (0, 0, REAL_LIMIT, int(SegmentAttribute.P) | LDT_TYPE)
        state["seg"][Seg.TR] = (0, 0, REAL_LIMIT, int(SegmentAttribute.P) | BUSY_TSS_TYPE)
        for table in ("gdtr", "idtr"):
            state[f"{table}_base"], state[f"{table}_limit"] = 0, REAL_LIMIT
        state["efer"] = 0

    def start_flat(self, pc: int, registers: dict[str, int], long_mode: bool, cr3: int = 0) -> None:
        """Begin at `pc` as a boot protocol wants it: flat 32-bit code without paging, or 64-bit code with `cr3`.

        Selectors are 0x10 (code) and 0x18 (data) as in most protocols; interrupts are off."""
        state = self.state
        wide = int(SegmentAttribute.L) if long_mode else int(SegmentAttribute.DB)
        state["seg"][Seg.CS] = (0x10, 0, FLAT_LIMIT, CODE_ACCESS | wide | int(SegmentAttribute.G))
        for seg in (Seg.ES, Seg.SS, Seg.DS, Seg.FS, Seg.GS):
            state["seg"][seg] = (0x18, 0, FLAT_LIMIT, DATA_ACCESS | int(SegmentAttribute.DB | SegmentAttribute.G))
        state["cr0"] = int(Cr0.PE | Cr0.ET | (Cr0.PG | Cr0.NE | Cr0.MP if long_mode else 0))
        if long_mode:
            state["cr3"], state["cr4"] = cr3, int(Cr4.PAE)
            state["efer"] = int(Efer.LME | Efer.LMA)
        state["mtrr_def_type"] = MTRR_ENABLED_WRITE_BACK                 # as firmware leaves it
        state["gpr"] = 0
        for name, value in registers.items():
            state["gpr"][Gpr[name.upper()]] = value
        state["pc"] = pc
        self.refresh()

    def set_a20(self, level: int) -> None:
        """The A20 gate: low makes the second megabyte alias the first, and so on."""
        self.state["a20_mask"] = ALL_ONES if level else ALL_ONES & ~A20
        self.vcpu.call("flush_tlb", 0)

    def refresh(self) -> None:
        """After the host changed registers: recompute the mode, drop cached translations."""
        self.vcpu.call("update_mode")
        self.vcpu.call("flush_tlb", 0)
        self.on_change()

    def _clear_vector_state(self) -> None:
        for name in ("st", "xmm", "fsw", "ftw", "fop", "fip", "fdp", "fcs", "fds"):
            self.state[name] = 0

    def _signature(self) -> int:
        return self.model.cpuid(1)[0]

    def _publish_features(self) -> None:
        """CPUID words that the engine itself consults."""
        _, ebx7, _, _ = self.model.cpuid(7)
        _, _, ecx1, edx1 = self.model.cpuid(1)
        _, _, ecx_ext, edx_ext = self.model.cpuid(EXTENDED_LEAVES + 1)
        for name, value in (("feature_1_ecx", ecx1), ("feature_1_edx", edx1), ("feature_7_ebx", ebx7),
                            ("feature_ext_ecx", ecx_ext), ("feature_ext_edx", edx_ext),
                            ("physical_bits", self.model.phys_bits)):
            self.state[name] = value

    # --- snapshots
    def save(self) -> dict[str, Any]:
        vcpu = self.vcpu
        return super().save() | {"registers": save_record(vcpu), "tlb": save_tlb(vcpu), "retired": vcpu.retired,
                                 "over": vcpu.over, "kicked": vcpu.kicked, "part": list(astuple(vcpu.part)) if vcpu.part else []}  # fmt: skip

    def load(self, state: dict[str, Any]) -> None:
        super().load(state)
        load_record(self.vcpu, state["registers"])
        if self.smm:
            self.smm.follow()
        load_tlb(self.vcpu, state["tlb"])
        self.vcpu.retired, self.vcpu.over, self.vcpu.kicked = state["retired"], state["over"], state["kicked"]
        self.vcpu.part = Part(*state["part"]) if state["part"] else None

    # --- what the local APIC tells its owner
    def on_change(self) -> None:
        """Something may have to be delivered: look at the next block boundary."""
        self._attention = True
        self.on_wake(self)
        self.vcpu.kick()

    def on_init(self) -> None:
        self.init_pending = True
        self.on_change()

    def on_sipi(self, vector: int) -> None:
        self.sipi_vector = vector
        self.on_change()

    def on_nmi(self) -> None:
        self.nmi_pending = True
        self.on_change()

    def on_smi(self) -> None:
        if self.smm is None:
            log.guest_error("cpu", "system management interrupt on a machine without SMM; dropped")
            return
        self.smm.pending = True
        self.on_change()

    # --- the scheduler's view
    def ready(self) -> bool:
        if self._attention:
            self._attention = False
            self._take_pending()
        return not self._halted.value

    def run(self, budget: int, now: int, contended: bool = False, piece: int | None = None, count: int | None = None) -> None:
        reason = self.vcpu.run(budget, now, contended, piece, count)
        if reason == Exit.SHUTDOWN:
            self.on_shutdown(self)
        elif reason == Exit.ERROR:
            self.on_lost(self, int(self.state["fault_address"]))
        elif reason == Exit.DEBUG:
            self.on_breakpoint(self)
        if self.vcpu.over and (reason == Exit.HALT or self._request.value):
            self._attention = True

    def kick(self) -> None:
        self.vcpu.kick()

    @property
    def now(self) -> int:
        return self.vcpu.now

    @property
    def over(self) -> bool:
        return self.vcpu.over

    @property
    def inside(self) -> bool:
        return self.vcpu.inside

    @property
    def retired(self) -> int:
        return self.vcpu.retired

    @property
    def halted(self) -> bool:
        return bool(self.state["halted"])

    # --- interrupts
    def _take_pending(self) -> None:
        if self.smm and self.smm.inside:
            self.smm.act()
        if self.init_pending and not self.state["smm"]:
            self._take_init()
        if self.sipi_vector is not None:
            self._take_sipi()
        if self.state["wait_for_sipi"]:
            return
        if self.smm and self.smm.pending:
            self.smm.act()
        if self.nmi_pending and not self.state["nmi_blocked"]:
            self.nmi_pending = False
            self._enter_handler("take_nmi")
        self._take_interrupt()

    def _take_init(self) -> None:
        self.init_pending = False
        self.init()
        boot = self.apic.bsp
        self.state["wait_for_sipi"], self.state["halted"] = not boot, not boot
        self.vcpu.call("update_mode")
        self.vcpu.call("flush_tlb", 0)

    def _take_sipi(self) -> None:
        """Start at vector << 12 in real mode; ignored unless the CPU waits for it."""
        vector, self.sipi_vector = self.sipi_vector or 0, None
        if not self.state["wait_for_sipi"]:
            return
        self.state["seg"][Seg.CS] = (vector << 8, vector << 12, REAL_LIMIT, CODE_ACCESS)
        self.state["pc"] = 0
        self.state["wait_for_sipi"] = self.state["halted"] = 0
        self.vcpu.call("update_mode")

    def _take_interrupt(self) -> None:
        """Deliver the highest pending interrupt, or ask the engine to come back once the guest accepts it."""
        if not self._interrupt_pending():
            self._set_request(False)
            return
        if not int(self.state["eflags"]) & Flag.IF or self.state["single"]:
            self._set_request(True)
            return
        self._enter_handler("take_interrupt", self._acknowledge())
        self._set_request(self._interrupt_pending())

    def _interrupt_pending(self) -> bool:
        return self.apic.pending_vector() is not None or self._pic_pending()

    def _pic_pending(self) -> bool:
        return self.apic.accept_pic_intr() and bool(self.apic.lint0.level or self.apic.pic_request)

    def _acknowledge(self) -> int:
        if self.apic.pending_vector() is not None:
            return self.apic.acknowledge()
        self.apic.pic_acknowledged()
        return self.acknowledge_pic()

    def _set_request(self, wanted: bool) -> None:
        self.state["request"] = int(Request.INTERRUPT) if wanted else 0

    def _enter_handler(self, name: str, *vector: int) -> None:
        self.state["halted"] = 0
        if self.vcpu.deliver(name, *vector):
            self.on_shutdown(self)

    # --- SYSTEM calls of the engine
    def system(self, operation: int, b: int, c: int) -> int:
        """CPUID, MSRs and CR8, as the engine's callback hands them over."""
        if operation == SystemOp.CPUID:
            self.state["scratch"][:4] = self.model.cpuid(b & 0xFFFF_FFFF, c & 0xFFFF_FFFF, cr4=int(self.state["cr4"]),
                                                         xcr0=int(self.state["xcr0"]))
            return 0
        if operation == SystemOp.READ_MSR:
            value = self.msrs.read(b)
            if value is None:
                value = self.apic.read_msr(b)
            return self._general_protection(f"read of unknown MSR {b:#x}") if value is None else value
        if operation == SystemOp.WRITE_MSR:
            if not (self.msrs.write(b, c) or self.apic.write_msr(b, c)):
                return self._general_protection(f"write of {c:#x} to unknown MSR {b:#x}")
            return 0
        if operation == SystemOp.READ_TPR:
            return self.apic.cr8
        if operation == SystemOp.WRITE_TPR:
            self.apic.cr8 = b
            return 0
        return self._general_protection(f"performance counter {b:#x} does not exist")

    def _general_protection(self, message: str) -> int:
        log.guest_error("cpu", message)
        self.vcpu.call("set_fault", int(Vector.GP), 0, 0)
        return 0

    # --- registers by name
    def registers(self) -> dict[str, Any]:
        """General registers, RIP and RFLAGS, for people and debuggers."""
        named: dict[str, Any] = {register.name.lower(): int(self.state["gpr"][register]) for register in Gpr}
        return {**named, "rip": int(self.state["pc"]), "rflags": self.vcpu.call("flags_image")}
