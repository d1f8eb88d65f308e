"""What SSE and MMX semantics share: checks, operands, host instructions, the #XM check (SDM vol. 1 ch. 9-11, vol. 3A ch. 13).

Arithmetic is the host's own instruction under the guest's MXCSR with all exceptions masked (jit/hostcode.py).  When the
guest unmasks one (Mode.UNMASKED), each floating-point instruction looks at the flags that it raised before it writes.
Not here: an unmasked underflow exception for a tiny result that is exact; PE stays exact only under masked overflow and
underflow.
"""
from __future__ import annotations

from jit.hostcode import MXCSR_FLAGS
from jit.ir import Slot, Value
from jit.x86.builder import Builder
from jit.x86.insn import Operand
from jit.x86.state import X86, Cr0, Cr4, Mode, Vector

SCRATCH = Slot(X86.offset("scratch"))
XMM0 = Slot(X86.offset("xmm"))
MM_UPPER = 8                            # offset of a physical x87 register's sign and exponent
ES = 1 << 7                             # FSW: an unmasked x87 exception is pending
TOP = 7 << 11                           # FSW: number of the physical register that is ST(0)
MASKS_SHIFT = 7                         # MXCSR: from an exception's flag to its mask
BEFORE_RESULT = 7                       # MXCSR: IE DE ZE; unmasked, they stop the instruction before it computes
ALL_VALID = 0xFF                        # FTW: no register is empty


# --- checks
def require_mmx(b: Builder) -> None:
    """#UD when CR0.EM = 1, #NM when CR0.TS = 1, #MF when an x87 exception is pending."""
    if not b.insn.mode & Mode.FPU:
        b.raise_if((b.field("cr0") & int(Cr0.EM)).ne(0), Vector.UD)
        b.raise_if(b.const(1, 1), Vector.NM)
    raise_pending(b)


def raise_pending(b: Builder) -> None:
    """#MF when an unmasked x87 exception is pending and CR0.NE = 1 (with NE = 0 it would be an external interrupt)."""
    ne_at_es = b.field("cr0") << 2                                  # CR0.NE is bit 5, FSW.ES bit 7
    b.raise_if((b.field("fsw") & ne_at_es & ES).ne(0), Vector.MF)


def aligned(b: Builder, op: Operand) -> Value:
    """Address of a 16-byte memory operand; #GP when it is misaligned."""
    address = b.address(op)
    b.raise_if((address & 15).ne(0), Vector.GP, 0)
    return address


# --- operands
def is_mm(op: Operand) -> bool:
    return op.register is not None and op.register.kind == "mm"


def is_xmm(op: Operand) -> bool:
    return op.register is not None and op.register.kind == "xmm"


def read(b: Builder, op: Operand, bits: int, unaligned: bool = False) -> Value:
    """The low `bits` of a register, or a memory operand of that width (16 bytes must be aligned unless `unaligned`)."""
    if op.kind == "reg":
        return b.get(b.slot(op), bits)
    op.bits = bits
    address = aligned(b, op) if bits == 128 and not unaligned else b.address(op)
    return b.mem_load(address, bits)


def read128(b: Builder, op: Operand, memory_bits: int = 128, unaligned: bool = False) -> Value:
    """A whole XMM register, or a memory operand of `memory_bits` zero-extended to one."""
    return read(b, op, 128 if op.kind == "reg" else memory_bits, unaligned).zext(128)


def write_memory(b: Builder, op: Operand, value: Value, unaligned: bool = False) -> None:
    op.bits = value.bits
    address = aligned(b, op) if value.bits == 128 and not unaligned else b.address(op)
    b.mem_store(address, value)


def write_xmm(b: Builder, op: Operand, value: Value) -> None:
    """The low value.bits of a register; the rest stays."""
    b.put(b.slot(op), value)


def write_mm(b: Builder, op: Operand, value: Value) -> None:
    """An MMX register: the x87 register's sign and exponent become ones."""
    b.put(b.slot(op), value)
    b.put(b.slot(op) + MM_UPPER, b.const(0xFFFF, 16))


def enter_mmx_state(b: Builder) -> None:
    """Every MMX instruction but EMMS: TOP = 0, all tags valid."""
    b.set_field("fsw", b.field("fsw") & ~TOP)
    b.set_field("ftw", b.const(ALL_VALID, 64))


# --- host instructions
def host_mmx(b: Builder, asm: str, *args: Value) -> Value:
    """One MMX instruction on %mm0 (and %mm1), loaded from the 64-bit arguments; the result is %mm0."""
    loads = "; ".join(f"movq ${i + 1}, %mm{i}" for i in range(len(args)))
    constraints = ",".join(["=r", *["r"] * len(args), "~{mm0}", "~{mm1}"])
    return b.host(f"{loads}; {asm}; movq %mm0, $0; emms", constraints, 64, *args)


def floating(b: Builder, asm: str, constraints: str, bits: int, *args: Value) -> Value:
    """A host instruction that may raise SIMD floating-point exceptions."""
    if not b.insn.mode & Mode.UNMASKED:
        return b.host(asm, constraints, bits, *args)
    before = read_host_mxcsr(b)
    write_host_mxcsr(b, before & ~MXCSR_FLAGS)
    result = b.host(asm, constraints, bits, *args)
    raised = read_host_mxcsr(b) & MXCSR_FLAGS
    unmasked_flags = ~(b.field("mxcsr").trunc(32) >> MASKS_SHIFT)
    stopped = (raised & unmasked_flags & BEFORE_RESULT).ne(0)
    raised = b.select(stopped, raised & BEFORE_RESULT, raised)
    write_host_mxcsr(b, before | raised)
    unmasked = (raised & unmasked_flags).ne(0)
    b.raise_if(unmasked & (b.field("cr4") & int(Cr4.OSXMMEXCPT)).eq(0), Vector.UD)
    b.raise_if(unmasked, Vector.XM)
    return result


def read_host_mxcsr(b: Builder) -> Value:
    """32 bits: the guest's rounding and flush bits, its sticky flags, all exceptions masked."""
    return b.host("stmxcsr ($1); movl ($1), $0", "=r,r,~{memory}", 32, b.slot_address(SCRATCH))


def write_host_mxcsr(b: Builder, value: Value) -> None:
    b.host("movl $0, ($1); ldmxcsr ($1)", "r,r,~{memory}", 0, value, b.slot_address(SCRATCH))
