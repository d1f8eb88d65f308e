"""The builder that x86 semantics are written against: operands, registers, flags, stack, jumps.

A semantics function is registered by mnemonic and takes the builder and the operands:

    @semantics("inc")
    def inc(b, dst):
        x = b.load(dst)
        b.store(dst, r := x + 1)
        b.flags.add(x, 1, r, keep="cf")

Reads see the state before the instruction; register and flag writes happen together at its end; guest stores happen where
they stand, so they come after every check that can fault.
"""
from __future__ import annotations

from collections.abc import Callable

from jit.ir import Emitter, Slot, Uop, Value
from jit.x86.flags import Flags
from jit.x86.insn import Insn, Memory, Operand, Register
from jit.x86.state import X86, Cr0, Gpr, Mode, Seg, Vector

SEMANTICS: dict[str, Callable[..., None]] = {}
IMMEDIATE_IN_FORM: set[str] = set()     # mnemonics whose immediates are part of the form: imm8() makes code of the number
LOCKABLE = {"adc", "add", "and", "btc", "btr", "bts", "cmpxchg", "cmpxchg8b", "cmpxchg16b", "dec", "inc", "neg", "not", "or",
            "sbb", "sub", "xadd", "xchg", "xor"}           # with a memory destination; LOCK on others is #UD
CONDITIONS = {"o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g"}


def semantics(*mnemonics: str) -> Callable:
    """Register a function for these mnemonics.  One ending in "cc" stands for all sixteen conditions, and the function then
    takes the condition's suffix as its second argument: cmovcc(b, cc, dst, src)."""
    def register(function: Callable[..., None]) -> Callable[..., None]:
        for mnemonic in mnemonics:
            if mnemonic.endswith("cc"):
                for cc in CONDITIONS:
                    SEMANTICS[mnemonic[:-2] + cc] = _with_condition(function, cc)
            else:
                SEMANTICS[mnemonic] = function
        return function

    return register


def _with_condition(function: Callable[..., None], cc: str) -> Callable[..., None]:
    return lambda b, *operands: function(b, cc, *operands)


class NoSemantics(Exception):
    """The front end lacks this instruction (or this form of it): the guest gets #UD."""


class Builder(Emitter):
    def __init__(self, insn: Insn):
        super().__init__()
        self.insn = insn
        self.flags = Flags(self)
        self.single = False             # must be the only instruction of its block
        self.last = False               # the block ends after it even though it falls through
        self.key_immediate = False      # the code depends on an immediate's value
        self._linear: dict[int, Value] = {}

    def build(self, last: bool = True) -> list[Uop]:
        """Run the semantics; raises NoSemantics when there is none.  Without `last`, finish() is left to the caller, for
        continue_with to come in between."""
        function = SEMANTICS.get(self.insn.mnemonic)
        if function is None:
            raise NoSemantics(self.insn.mnemonic)
        if "lock" in self.insn.prefixes and not self._lockable():
            self.undefined()
        else:
            function(self, *self.insn.operands)
        return self.finish() if last else self.uops

    def continue_with(self, jump: Insn) -> None:
        """The conditional jump that follows, in the same form: it tests the flags that this instruction has just computed."""
        first, self.insn, self.flags.fused = self.insn, jump, True
        SEMANTICS[jump.mnemonic](self, *jump.operands)
        self.insn = first

    def finish(self) -> list[Uop]:
        self.flags.flush()
        return super().finish()

    # --- operands
    def load(self, op: Operand) -> Value:
        """The operand's value, op.bits wide.  An immediate is sign-extended by the decoder to the operation's width."""
        if op.kind == "imm":
            return self.immediate(op, op.bits)
        if op.kind == "reg":
            return self.get(self._register_slot(op), op.bits)
        return Emitter.load(self, self.address(op), op.bits)

    def immediate(self, op: Operand, bits: int) -> Value:
        if self.insn.concrete:
            return self.const(op.immediate, bits)
        return self.hole(f"{'w' if op.wide else 'i'}{op.position}", bits)

    def imm8(self, op: Operand) -> int:
        """The number itself, for instructions that are specialised for it (IMMEDIATE_IN_FORM)."""
        assert self.insn.mnemonic in IMMEDIATE_IN_FORM, f"{self.insn.mnemonic} is not in IMMEDIATE_IN_FORM"
        self.key_immediate = True
        return op.immediate & 0xFF

    def slot(self, op: Operand) -> Slot:
        """Where a register operand lives in the CPU record."""
        return self._register_slot(op)

    def store(self, op: Operand, value: Value) -> None:  # type: ignore[override]
        """Write op: registers at the end of the instruction (32 bits zero-extend in every mode), memory at once."""
        if op.kind == "reg":
            assert op.register
            self._put_register(self._register_slot(op), value)
        else:
            Emitter.store(self, self.address(op, write=True), value)

    def address(self, op: Operand, write: bool = False) -> Value:
        """Linear address of a memory operand (64 bits), with its segment check where segments are not flat."""
        assert op.memory
        if op.position not in self._linear:
            self._linear[op.position] = self.linear(op.memory.segment, self.offset(op), op.bits // 8, write)
        elif write and self.insn.mode & Mode.PROTECTED and not (self.insn.long or self._is_flat(op.memory.segment)):
            self.call("segment_check_write", int(op.memory.segment), self.offset(op), op.bits // 8, faults=True)
        return self._linear[op.position]

    def offset(self, op: Operand, bias: int = 0) -> Value:
        """Effective address, zero-extended to 64 bits; `bias` is added to it (POP [rsp+..] sees the new RSP)."""
        memory, bits = op.memory, self.insn.address_bits
        assert memory
        if memory.rip_relative:
            return self._rip_relative(op, memory)
        total = self._displacement(op, memory)
        if memory.index:
            total = self._component(memory.index, f"x{op.position}") * memory.scale + total \
                if memory.scale > 1 else self._component(memory.index, f"x{op.position}") + total
        if memory.base:
            total = self._component(memory.base, f"b{op.position}") + total
        if bias:
            total = total + bias
        return total if bits == 64 else total.trunc(bits).zext(64)

    def linear(self, segment: Seg, offset: Value, size: int, write: bool = False) -> Value:
        """Linear address of `offset` (64 bits) in a segment.  Flat segments cost nothing; others are checked and based."""
        if self._is_flat(segment):
            return offset
        if self.insn.long:
            return offset + self.segment_base(segment)
        self.call("segment_check_write" if write else "segment_check", int(segment), offset, size, faults=True)
        return (offset + self.segment_base(segment)).trunc(32).zext(64)

    def _is_flat(self, segment: Seg) -> bool:
        return (self.insn.long or bool(self.insn.mode & Mode.FLAT)) and segment not in (Seg.FS, Seg.GS)

    def segment_base(self, segment: Seg) -> Value:
        return self.get(Slot(X86.offset(f"seg.{int(segment)}.base")), 64)

    # --- registers by name
    def reg(self, number: int, bits: int = 64) -> Value:
        """A general register's value before this instruction."""
        return self.get(Slot(X86.offset(f"gpr.{int(number)}")), bits)

    def set_reg(self, number: int, value: Value) -> None:
        """Write a general register: 8 and 16 bits merge, 32 bits zero-extend."""
        self._put_register(Slot(X86.offset(f"gpr.{int(number)}")), value)

    def field(self, path: str) -> Value:
        """A 64-bit field of the CPU record, such as "cr0" or "seg.1.selector"."""
        return self.get(Slot(X86.offset(path)), 64)

    def set_field(self, path: str, value: Value | int, now: bool = False) -> None:
        (self.put_now if now else self.put)(Slot(X86.offset(path)), self.value(value, 64))

    # --- memory at computed addresses
    def mem_load(self, linear: Value, bits: int) -> Value:
        return Emitter.load(self, linear, bits)

    def mem_store(self, linear: Value, value: Value) -> None:
        Emitter.store(self, linear, value)

    # --- stack
    def stack_pointer(self) -> Value:
        return self.reg(Gpr.RSP, self.insn.stack_bits)

    def set_stack_pointer(self, value: Value) -> None:
        """`value` is stack_bits wide; a 32-bit ESP zero-extends, a 16-bit SP merges."""
        self.set_reg(Gpr.RSP, value)

    def stack_address(self, pointer: Value, size: int, write: bool = False) -> Value:
        return self.linear(Seg.SS, pointer.zext(64), size, write)

    def push(self, value: Value) -> None:
        """Push one value; RSP changes at the end.  For several, use stack_address and one set_stack_pointer."""
        top = self.stack_pointer() - value.bytes
        self.mem_store(self.stack_address(top, value.bytes, write=True), value)
        self.set_stack_pointer(top)

    def pop(self, bits: int) -> Value:
        pointer = self.stack_pointer()
        value = self.mem_load(self.stack_address(pointer, bits // 8), bits)
        self.set_stack_pointer(pointer + bits // 8)
        return value

    # --- where control goes
    def next_pc(self) -> Value:
        """Offset in CS of the following instruction, 64 bits."""
        return self.const(self.insn.pc + self.insn.length, 64) if self.insn.concrete else self.hole("next", 64)

    def this_pc(self) -> Value:
        return self.const(self.insn.pc, 64) if self.insn.concrete else self.hole("pc", 64)

    def target(self, op: Operand) -> Value:
        """The target of a relative jump or call, as an offset in CS, truncated to the operand size."""
        if not self.insn.concrete:
            return self.hole(f"t{op.position}", 64)
        bits = 64 if self.insn.long else self.insn.operand_bits
        return self.const(op.immediate & ((1 << bits) - 1), 64)

    def jump_to(self, target: Value) -> None:
        self.goto(target)

    def jump_if(self, condition: Value, target: Value) -> None:
        self.branch(condition, target, self.next_pc())

    def resume(self, pc: Value | None = None) -> None:
        """End the block and let the dispatcher find the next one by cpu.pc in whatever mode holds then.  Without an argument
        cpu.pc becomes the next instruction, before anything that follows (a call of a runtime function may change it)."""
        self.put_now(Slot(X86.offset("pc")), pc or self.next_pc())
        self.leave()

    def system(self, name: str, *args: Value | int) -> Value:
        """A runtime function that may fault and may change pc, mode or mappings: set pc to the next instruction, call it,
        end the block.  The function sees every architectural register as it was before the instruction."""
        self.put_now(Slot(X86.offset("pc")), self.next_pc())
        result = self.call(name, *args, faults=True)
        self.leave()
        return result

    # --- exceptions
    def undefined(self) -> None:
        """#UD, always."""
        self.raise_if(self.const(1, 1), Vector.UD)

    def require_cpl0(self) -> None:
        """#GP(0) unless CPL is 0."""
        if self.insn.mode & Mode.CPL3:
            self.raise_if(self.const(1, 1), Vector.GP, 0)
        elif self.insn.mode & Mode.PROTECTED:
            self.raise_if(self.field("cpl").ne(0), Vector.GP, 0)

    def require_fpu(self) -> None:
        """#NM when CR0.EM or CR0.TS is set."""
        if not self.insn.mode & Mode.FPU:
            self.raise_if(self.const(1, 1), Vector.NM)

    def require_sse(self) -> None:
        """#UD when CR0.EM = 1 or CR4.OSFXSR = 0, #NM when CR0.TS = 1."""
        if not self.insn.mode & Mode.SSE:
            self.raise_if((self.field("cr0") & int(Cr0.EM)).eq(0) & (self.field("cr0") & int(Cr0.TS)).ne(0) &
                          (self.field("cr4") & (1 << 9)).ne(0), Vector.NM)
            self.undefined()

    def _lockable(self) -> bool:
        destination = self.insn.operands[:2] if self.insn.mnemonic == "xchg" else self.insn.operands[:1]
        return self.insn.mnemonic in LOCKABLE and any(op.kind == "mem" for op in destination)

    # --- private
    def _register_slot(self, op: Operand) -> Slot:
        assert op.register
        if op.register.kind in ("gpr", "xmm", "mm"):
            return self.insn.slot(op.register, f"r{op.position}")
        raise NoSemantics(f"{self.insn.mnemonic} with a {op.register.kind} register")

    def _put_register(self, slot: Slot, value: Value) -> None:
        self.put(slot, value.zext(64) if value.bits == 32 else value)

    def _component(self, register: Register, hole: str) -> Value:
        return self.get(self.insn.slot(register, hole), register.bits).zext(64)

    def _displacement(self, op: Operand, memory: Memory) -> Value:
        if self.insn.concrete:
            return self.const(memory.displacement, 64)
        bits = self.insn.address_bits
        return self.hole(f"{'m' if memory.wide else 'd'}{op.position}", bits).zext(64)

    def _rip_relative(self, op: Operand, memory: Memory) -> Value:
        if self.insn.concrete:
            address = self.insn.pc + self.insn.length + memory.displacement
            return self.const(address & ((1 << self.insn.address_bits) - 1), 64)
        return self.hole(f"a{op.position}", 64)
