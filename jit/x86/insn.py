"""One decoded x86 instruction as the semantics see it: mnemonic, operands, sizes, prefixes, mode.

Two readings of the same bytes.  As a *form* (`concrete=False`) registers, displacements and immediates are holes that the
translator fills at run time; one form serves every instruction that differs only in those.  Concrete, they are numbers:
the reference back end and regions use that.

Hole names: r0 register of operand 0, b1/x1 base and index register of memory operand 1, d1 its displacement (m1 when it is
64 bits wide), a1 its absolute address when RIP-relative, i1 immediate (w1 when 64 bits wide), t0 branch target, next, pc.
"""
from __future__ import annotations

import threading
from dataclasses import dataclass, field

import capstone
from capstone import x86 as cs

from jit.ir import Slot
from jit.x86.state import X86, CodeSize, Gpr, Mode, Seg

# --- capstone's register numbers -> class, number, bits, byte offset in the register
_GPR_NAMES = {
    64: ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"] + [f"r{i}" for i in range(8, 16)],
    32: ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"] + [f"r{i}d" for i in range(8, 16)],
    16: ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"] + [f"r{i}w" for i in range(8, 16)],
    8: ["al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil"] + [f"r{i}b" for i in range(8, 16)],
}


@dataclass(frozen=True)
class Register:
    kind: str                           # gpr, xmm, mm, st, seg, cr, dr, ip
    number: int
    bits: int
    high: bool = False                  # AH CH DH BH

    @property
    def slot(self) -> int:
        """Byte offset in the CPU record.  MMX registers are the low 64 bits of the physical x87 registers."""
        if self.kind == "gpr":
            return X86.offset("gpr") + 8 * self.number + self.high
        if self.kind in ("xmm", "mm"):
            return X86.offset("xmm" if self.kind == "xmm" else "st") + 16 * self.number
        raise ValueError(f"register class {self.kind} has no fixed slot")


def _registers() -> dict[int, Register]:
    def number(name: str) -> int:
        return int(getattr(cs, f"X86_REG_{name.upper()}"))

    table = {number(n): Register("gpr", i, bits) for bits, names in _GPR_NAMES.items() for i, n in enumerate(names)}
    table |= {number(n): Register("gpr", i, 8, True) for i, n in enumerate(["ah", "ch", "dh", "bh"])}
    table |= {number(f"xmm{i}"): Register("xmm", i, 128) for i in range(16)}
    table |= {number(f"mm{i}"): Register("mm", i, 64) for i in range(8)}
    table |= {number(f"st{i}"): Register("st", i, 80) for i in range(8)}
    table |= {number(s.name): Register("seg", s, 16) for s in list(Seg)[:6]}
    table |= {number(f"cr{i}"): Register("cr", i, 64) for i in range(9)}
    table |= {number(f"dr{i}"): Register("dr", i, 64) for i in range(8)}
    return table | {number(n): Register("ip", 0, b) for n, b in (("rip", 64), ("eip", 32), ("ip", 16))}


REGISTERS = _registers()
IP_REGISTERS = {number for number, r in REGISTERS.items() if r.kind == "ip"}


@dataclass
class Memory:
    """[segment: base + index * scale + displacement].  `absolute` is the address itself for RIP-relative operands."""

    segment: Seg
    base: Register | None
    index: Register | None
    scale: int
    displacement: int
    rip_relative: bool
    wide: bool                          # 64-bit displacement (moffs)


@dataclass
class Operand:
    position: int
    kind: str                           # reg, mem, imm
    bits: int
    register: Register | None = None
    memory: Memory | None = None
    immediate: int = 0
    wide: bool = False                  # a 64-bit immediate


@dataclass
class Insn:
    """What semantics functions are given beside the builder."""

    mnemonic: str                       # capstone's, lower case, without prefixes
    operands: list[Operand]
    mode: Mode
    concrete: bool
    pc: int = 0                         # offset in CS (concrete only)
    length: int = 0
    prefixes: frozenset[str] = frozenset()      # of {"lock", "rep", "repne", "data16", "addr"}
    operand_bits: int = 32              # 16, 32 or 64: the effective operand size
    address_bits: int = 32              # the effective address size
    opcode: bytes = b""
    modrm: int = 0
    rex: int = 0
    raw: bytes = b""
    same: bool = field(default=False)   # operands 0 and 1 are the same register

    @property
    def code_size(self) -> CodeSize:
        return CodeSize(self.mode & Mode.SIZE)

    @property
    def long(self) -> bool:
        return self.code_size == CodeSize.BITS64

    @property
    def stack_bits(self) -> int:
        """Width of the stack pointer."""
        return 64 if self.long else 32 if self.mode & Mode.STACK32 else 16

    def slot(self, register: Register, hole: str) -> Slot:
        """Where a register operand lives: its offset, or the hole that will hold it."""
        return Slot(register.slot if self.concrete else hole)


_BITS = {CodeSize.BITS16: capstone.CS_MODE_16, CodeSize.BITS32: capstone.CS_MODE_32, CodeSize.BITS64: capstone.CS_MODE_64}


class _Decoders(threading.local):
    """capstone objects by code size; regions are built in another thread, and a capstone object is for one."""

    def __init__(self) -> None:
        self.by_size = {size: capstone.Cs(capstone.CS_ARCH_X86, bits) for size, bits in _BITS.items()}
        for decoder in self.by_size.values():
            decoder.detail = True


_DECODERS = _Decoders()
SSE_NAMESAKES = ("movsd", "cmpsd")
SEGMENT_PREFIX = {0x26: Seg.ES, 0x2E: Seg.CS, 0x36: Seg.SS, 0x3E: Seg.DS, 0x64: Seg.FS, 0x65: Seg.GS}


def decode(code: bytes, pc: int, mode: int, concrete: bool) -> Insn | None:
    """The first instruction in `code` (up to 15 bytes), or None when capstone knows none there."""
    size = CodeSize(mode & Mode.SIZE)
    found = next(_DECODERS.by_size[size].disasm(code[:15], pc, 1), None)
    return _convert(found, Mode(mode), concrete) if found else None


def _convert(found: capstone.CsInsn, mode: Mode, concrete: bool) -> Insn:
    address_bits = found.addr_size * 8
    long = mode & Mode.SIZE == CodeSize.BITS64
    operands = [_operand(i, op, found, long) for i, op in enumerate(found.operands)]
    registers = [op.register for op in operands[:2]]
    legacy = _legacy_prefixes(bytes(found.bytes), long)
    return Insn(
        mnemonic=_mnemonic(found), operands=operands, mode=mode, concrete=concrete, pc=found.address,
        length=found.size, prefixes=_prefix_names(legacy), operand_bits=_operand_bits(mode, legacy, found.rex),
        address_bits=address_bits, opcode=bytes(found.opcode), modrm=found.modrm, rex=found.rex, raw=bytes(found.bytes),
        same=len(registers) == 2 and registers[0] is not None and registers[0] == registers[1],
    )


def _mnemonic(found: capstone.CsInsn) -> str:
    """capstone's mnemonic without prefixes.  MOVSD and CMPSD on XMM registers get a name apart from the string ones'."""
    name = found.mnemonic.split()[-1]
    return f"{name}.xmm" if name in SSE_NAMESAKES and found.opcode[0] == 0x0F else name


def _legacy_prefixes(raw: bytes, long: bool) -> list[int]:
    found = []
    for byte in raw:
        if byte not in (0xF0, 0xF2, 0xF3, 0x66, 0x67, *SEGMENT_PREFIX):
            break
        found.append(byte)
    return found


def _prefix_names(legacy: list[int]) -> frozenset[str]:
    names = {0xF0: "lock", 0xF2: "repne", 0xF3: "rep", 0x66: "data16", 0x67: "addr"}
    return frozenset(names[b] for b in legacy if b in names)


def _operand_bits(mode: Mode, legacy: list[int], rex: int) -> int:
    if rex & 8:
        return 64
    return 16 if (0x66 in legacy) != (mode & Mode.SIZE == CodeSize.BITS16) else 32


def _operand(position: int, op: capstone.x86.X86Op, found: capstone.CsInsn, long: bool) -> Operand:
    bits = op.size * 8
    if op.type == cs.X86_OP_REG:
        register = REGISTERS.get(op.reg)
        return Operand(position, "reg", register.bits if register and register.kind == "gpr" else bits, register=register)
    if op.type == cs.X86_OP_IMM:
        return Operand(position, "imm", bits, immediate=op.imm, wide=found.encoding.imm_size == 8)
    return Operand(position, "mem", bits, memory=_memory(op, found, long))


def _memory(op: capstone.x86.X86Op, found: capstone.CsInsn, long: bool) -> Memory:
    base = REGISTERS.get(op.mem.base) if op.mem.base else None
    index = REGISTERS.get(op.mem.index) if op.mem.index else None
    return Memory(
        segment=_segment(op, base, long), base=None if base and base.kind == "ip" else base, index=index,
        scale=op.mem.scale, displacement=op.mem.disp, rip_relative=bool(base and base.kind == "ip"),
        wide=found.encoding.disp_size == 8,
    )


def _segment(op: capstone.x86.X86Op, base: Register | None, long: bool) -> Seg:
    """The override, else SS for a base of (E/R)SP or (E/R)BP, else DS.  In 64-bit code only FS and GS count."""
    if op.mem.segment:
        override = Seg(REGISTERS[op.mem.segment].number)
        return override if not long or override in (Seg.FS, Seg.GS) else Seg.DS
    stack_based = base is not None and base.kind == "gpr" and base.number in (Gpr.RSP, Gpr.RBP)
    return Seg.SS if stack_based and not long else Seg.DS
