"""Control registers, tables, I/O ports, interrupt flag, MSRs (Intel SDM vol. 2): calls of jit/x86/system.py and jit/x86/msr.py,
which check privilege and modes."""
from __future__ import annotations

from jit.ir import Value
from jit.x86.builder import Builder, semantics
from jit.x86.insn import Operand
from jit.x86.semantics.stack import stack_operand_bits
from jit.x86.state import Gpr


@semantics("cli", "clts", "clac", "stac", "cpuid", "rdmsr", "wrmsr", "rdtsc", "rdtscp", "rdpmc", "xgetbv", "xsetbv",
           "sti", "hlt", "pause", "monitor", "mwait", "rsm")
def plain(b: Builder, *operands: Operand) -> None:
    """Those whose operands, if any, are fixed registers."""
    b.system(b.insn.mnemonic)


@semantics("invd", "wbinvd", "wbnoinvd")
def cache_control(b: Builder) -> None:
    b.system("cache_control")


@semantics("clflush", "clflushopt", "clwb")
def clflush(b: Builder, line: Operand) -> None:
    """There is no cache, but the address must be readable."""
    b.load(line)


@semantics("popf", "popfd", "popfq")
def popf(b: Builder) -> None:
    b.system("popf", stack_operand_bits(b))


# --- control and debug registers
def move_control(b: Builder, dst: Operand, src: Operand) -> None:
    _move_special(b, dst, src, "cr")


def move_debug(b: Builder, dst: Operand, src: Operand) -> None:
    _move_special(b, dst, src, "dr")


def _move_special(b: Builder, dst: Operand, src: Operand, kind: str) -> None:
    """MOV between a general register and CRn or DRn: always the mode's full width."""
    assert dst.register and src.register
    if dst.register.kind == kind:
        b.system(f"write_{kind}", dst.register.number, b.load(src).zext(64))
    else:
        b.store(dst, b.system(f"read_{kind}", src.register.number).trunc(dst.bits))


@semantics("lmsw")
def lmsw(b: Builder, src: Operand) -> None:
    b.system("lmsw", b.load(src).trunc(16).zext(64))


@semantics("smsw")
def smsw(b: Builder, dst: Operand) -> None:
    b.store(dst, b.system("smsw").trunc(dst.bits))


# --- descriptor table registers
@semantics("lgdt", "lidt")
def load_table(b: Builder, src: Operand) -> None:
    b.system(b.insn.mnemonic, b.address(src), 64 if b.insn.long else b.insn.operand_bits)


@semantics("sgdt", "sidt")
def store_table(b: Builder, dst: Operand) -> None:
    b.system(b.insn.mnemonic, b.address(dst))


@semantics("invlpg")
def invlpg(b: Builder, page: Operand) -> None:
    b.system("invlpg", b.address(page))


# --- I/O ports
@semantics("in")
def in_(b: Builder, dst: Operand, port: Operand) -> None:
    b.store(dst, b.system("port_in", _port(b, port), dst.bits // 8).trunc(dst.bits))


@semantics("out")
def out(b: Builder, port: Operand, src: Operand) -> None:
    b.system("port_out", _port(b, port), b.load(src).zext(64), src.bits // 8)


def _port(b: Builder, port: Operand) -> Value:
    return b.immediate(port, 8).zext(64) if port.kind == "imm" else b.reg(Gpr.RDX, 16).zext(64)
