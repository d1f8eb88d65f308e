"""A running x86 vCPU: the engine's record, the CPU object's identity and the local APIC, tied together.

Here are the power-up and INIT values (Intel SDM vol. 3A table 9-1), the delivery of interrupts at block boundaries, and the
answers to CPUID, RDMSR and WRMSR that need the model or the APIC.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from emu import log
from jit.engine import Vcpu
from jit.state import NO_ERROR_CODE, Exit, Request
from jit.x86.state import Cr0, Flag, Gpr, Seg, SegmentAttribute, Vector
from jit.x86.system_ops import SystemOp

if TYPE_CHECKING:
    from emu.cpu_models import X86Cpu
    from emu.devices.lapic import LocalApic

KIND_EXTERNAL, KIND_NMI = 3, 4
RESET_EIP = 0xFFF0
RESET_CS_SELECTOR, RESET_CS_BASE = 0xF000, 0xFFFF_0000
DR6_RESET, DR7_RESET = 0xFFFF_0FF0, 0x400
PAT_RESET = 0x0007_0406_0007_0406
FCW_RESET, FCW_FNINIT = 0x0040, 0x037F
MXCSR_RESET = 0x1F80
FIXED_MTRR_CAP = 0x508
ALL_ONES = (1 << 64) - 1
DATA_ACCESS = int(SegmentAttribute.P | SegmentAttribute.S | SegmentAttribute.WRITABLE | SegmentAttribute.ACCESSED)
CODE_ACCESS = DATA_ACCESS | int(SegmentAttribute.CODE)
LDT_TYPE, BUSY_TSS_TYPE = 2 << 8, 11 << 8
REAL_LIMIT = 0xFFFF
EXTENDED_LEAVES = 0x8000_0000


class X86Vcpu:
    """One vCPU.  `model` is its CPU object, realized; `apic` its local APIC."""

    def __init__(self, vcpu: Vcpu, model: X86Cpu, apic: LocalApic, pic_acknowledge: Callable[[], int | None]):
        self.vcpu, self.model, self.apic = vcpu, model, apic
        self.state = vcpu.state
        self.pic_acknowledge = pic_acknowledge
        self.pic_intr = 0
        self.nmi_pending = False
        self.init_pending = False
        self.sipi_vector: int | None = None
        self.on_shutdown: Callable[[X86Vcpu], None] = lambda _: None
        self.on_changed: Callable[[], None] = lambda: None
        self.breakpoints: set[int] = set()
        apic.on_change = self.attention
        apic.on_init = self.request_init
        apic.on_sipi = self.request_sipi
        apic.on_nmi = self.request_nmi
        self._attention = True

    # --- reset
    def reset(self) -> None:
        """Power-up and RESET."""
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
        self._publish_features()
        boot = self.apic.is_bsp
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
        self.nmi_pending = self.init_pending = False
        self.sipi_vector = None

    def refresh(self) -> None:
        """After the host changed registers: recompute the mode, drop cached translations."""
        self.vcpu.call("update_mode")
        self.vcpu.call("flush_tlb", 0)
        self.attention()

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

    # --- what the outside asks for
    def attention(self) -> None:
        """Something may have to be delivered: look at the next block boundary."""
        self._attention = True
        self.vcpu.kick()
        self.on_changed()

    def set_pic_intr(self, level: int) -> None:
        """The 8259's INTR line, which reaches the boot CPU through LINT0."""
        self.pic_intr = level
        self.attention()

    def request_init(self) -> None:
        self.init_pending = True
        self.attention()

    def request_sipi(self, vector: int) -> None:
        self.sipi_vector = vector
        self.attention()

    def request_nmi(self) -> None:
        self.nmi_pending = True
        self.attention()

    # --- the scheduler's view
    def ready(self) -> bool:
        if self._attention:
            self._attention = False
            self._take_pending()
        return not self.state["halted"]

    def run(self, budget: int, now: int) -> int:
        reason = self.vcpu.run(budget, now)
        if reason == Exit.REQUEST:
            self._attention = True
        elif reason == Exit.SHUTDOWN:
            self.on_shutdown(self)
        elif reason == Exit.ERROR:
            where = int(self.state["fault_address"])
            log.guest_error("cpu", f"vCPU {self.vcpu.index} executes at physical address {where:#x}, where no memory is")
            self.on_shutdown(self)
        elif reason == Exit.HALT:
            self._attention = True
        return self.vcpu.executed(budget)

    def kick(self) -> None:
        self.vcpu.kick()

    @property
    def now(self) -> int:
        return self.vcpu.now

    @property
    def halted(self) -> bool:
        return bool(self.state["halted"])

    # --- interrupts
    def _take_pending(self) -> None:
        if self.init_pending:
            self._take_init()
        if self.sipi_vector is not None:
            self._take_sipi()
        if self.state["wait_for_sipi"]:
            return
        if self.nmi_pending and not self.state["nmi_blocked"]:
            self.nmi_pending = False
            self._deliver(Vector.NMI, KIND_NMI)
        self._take_interrupt()

    def _take_init(self) -> None:
        self.init_pending = False
        self.init()
        boot = self.apic.is_bsp
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
        vector = self._acknowledge()
        if vector is not None:
            self._deliver(vector, KIND_EXTERNAL)
        self._set_request(self._interrupt_pending())

    def _interrupt_pending(self) -> bool:
        return self.apic.pending_vector() is not None or bool(self.pic_intr and self.apic.accept_pic_intr())

    def _acknowledge(self) -> int | None:
        if self.apic.pending_vector() is not None:
            return self.apic.acknowledge()
        return self.pic_acknowledge()

    def _set_request(self, wanted: bool) -> None:
        self.state["request"] = int(Request.INTERRUPT) if wanted else 0

    def _deliver(self, vector: int, kind: int) -> None:
        self.state["halted"] = 0
        self.vcpu.call("deliver", int(vector), NO_ERROR_CODE, kind)
        if int(self.state["fault"]) and self.vcpu.call("raise_fault"):
            self.on_shutdown(self)

    # --- SYSTEM calls of the engine
    def system(self, operation: int, b: int, c: int) -> int:
        """CPUID, MSRs and CR8, as the engine's callback hands them over."""
        if operation == SystemOp.CPUID:
            self.state["scratch"][:4] = self.model.cpuid(b & 0xFFFF_FFFF, c & 0xFFFF_FFFF, cr4=int(self.state["cr4"]),
                                                         xcr0=int(self.state["xcr0"]))
            return 0
        if operation == SystemOp.READ_MSR:
            value = self.apic.read_msr(b)
            return self._general_protection(f"read of unknown MSR {b:#x}") if value is None else value
        if operation == SystemOp.WRITE_MSR:
            if not self.apic.write_msr(b, c):
                return self._general_protection(f"write of {c:#x} to unknown MSR {b:#x}")
            return 0
        if operation == SystemOp.READ_TPR:
            return self.apic.tpr >> 4
        if operation == SystemOp.WRITE_TPR:
            self.apic.set_tpr((b & 15) << 4)
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
