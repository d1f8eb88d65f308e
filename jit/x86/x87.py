"""x87 instructions as host assembly: one snippet does all of an instruction on the CPU record (SDM vol. 1 ch. 8).

Between snippets the host's x87 stack is empty, its control word 37Fh, and its exception flags are a subset of the guest's
FSW flags (jit/hostcode.py).  A snippet loads the registers that the instruction reads, executes the host's instruction,
stores what it wrote, and updates FSW, tags and TOP.  Fast path: no stack fault, all exceptions masked.  Slow path: the
host has the guest's masks, and empty or full registers where the guest has them; so stack faults and unmasked responses are
the silicon's, too.  Nothing traps: the host would deliver an
exception at its next waiting instruction, and FNSTSW, FNCLEX and FNINIT do not wait.

Not here: FOP; EFLAGS change even when FCOMI raises an unmasked #I.
"""
from __future__ import annotations

from dataclasses import dataclass

from jit.hostcode import X87_CONTROL
from jit.x86.state import X86

BASE = X86.offset("fcw")                # snippets address the record relative to FCW
FSW, FTW, SCRATCH, ST = (X86.offset(name) - BASE for name in ("fsw", "ftw", "scratch", "st"))
VALUE = SCRATCH                         # memory operand, or the value to be stored
STATUS = SCRATCH + 16                   # FSW of a store between its two halves
CONTROL = SCRATCH + 24                  # holds 37Fh for FLDCW
NOT_COMMITTED = 16                      # bit of STATUS: an unmasked exception stopped the instruction

C0, C1, C2, C3 = 1 << 8, 1 << 9, 1 << 10, 1 << 14
ALL_CONDITIONS = C0 | C1 | C2 | C3
TOP_MASK, TOP_SHIFT = 7 << 11, 11
B = 1 << 15
EXCEPTION_BITS = 0xFF | B               # IE DE ZE OE UE PE SF ES, and B, which mirrors ES
BEFORE_RESULT = 7                       # IE DE ZE: unmasked, they stop the instruction
REGISTER_BYTES = 16
OVERFLOW = 0x80                         # rotated tags: the register that a push would fill, ST(7)
SLOW, UPDATE, STOPPED, END, ROOM, LOADED, KEPT = range(2, 9)        # local labels; numeric ones may repeat
CLOBBERS = "~{ax},~{cx},~{dx},~{si},~{st},~{st(1)},~{memory},~{flags}"


@dataclass(frozen=True)
class Snippet:
    """One instruction.  ST(i) numbers are the guest's, before the instruction in `loads`, after it in `results`."""

    body: str                           # the host instruction, Intel's operand order behind .byte; {m} is the memory operand
    loads: tuple[int, ...] = ()         # pushed on the host's stack in this order; the last becomes its ST(0)
    results: tuple[int, ...] = ()       # where host ST(0), ST(1).. go
    discard: int = 0                    # registers that the fast path leaves on the host's stack after the results
    push: int = 0
    pop: int = 0
    conditions: int = C1                # FSW condition codes that the instruction defines
    fast: str | None = None             # body of the fast path when it differs; "" raises nothing
    stopped_conditions: int | None = None       # those that it defines even when an unmasked exception stops it
    status: str = "fnstsw %ax"          # brings the host's FSW to EAX
    stops_on_c2: bool = False           # C2 = 1: the operand was out of range, nothing changes
    commit: bool = True                 # False: a store to guest memory comes between this half and `commit_text`

    @property
    def valid(self) -> int:
        """Rotated tags that must be set."""
        return sum({1 << i for i in self.loads})

    @property
    def always_faults(self) -> bool:
        """FLD ST(7): the register to be read is the one to be written.  Its tag stays as it is for the slow path."""
        return bool(self.push and self.valid & OVERFLOW)

    def text(self, p: str, setup: str = "", finish: str = "") -> str:
        """The assembly; `p` names the register that holds the address of FCW.  `setup` puts the memory operand into
        place, `finish` runs between the instruction and FNSTSW."""
        lines = [*_top(p), f"movl {FTW}({p}), %eax", "rorb %cl, %al", "shll $$4, %ecx", *([setup] if setup else [])]
        tested = self.valid | (OVERFLOW if self.push else 0)
        if self.always_faults:
            lines += [f"jmp {SLOW}f"]
        elif tested:
            lines += [f"xorb $${self.valid}, %al", f"testb $${tested}, %al", f"jnz {SLOW}f"]
        lines += [f"movzwl ({p}), %edx", f"cmpl $${X87_CONTROL}, %edx", f"je {ROOM}f", "notl %edx", "testb $$0x3F, %dl",
                  f"jnz {SLOW}f", f"fldcw ({p})", f"{ROOM}:", *self._loads(p)]
        fast = self.body if self.fast is None else self.fast
        lines += [fast.format(m=f"{VALUE}({p})"), finish, self._status(p)] if fast else ["xorl %eax, %eax"]
        if self.stops_on_c2:
            lines += [f"testl $${C2}, %eax", f"jnz {STOPPED}f"]
        lines += [*self._store_results(p, True), *["fstp %st(0)"] * self.discard]
        lines += [f"cmpw $${X87_CONTROL}, ({p})", f"je {UPDATE}f", f"movw $${X87_CONTROL}, {CONTROL}({p})",
                  f"fldcw {CONTROL}({p})"]
        lines += [f"{UPDATE}:", *self._update(p)]
        lines += [f"jmp {END}f", *self._slow(p, finish), f"{END}:"]
        return "; ".join(line for line in lines if line)

    # --- parts
    def _slow(self, p: str, finish: str) -> list[str]:
        lines = [f"{SLOW}:", "fnclex", f"fldcw ({p})"]
        if self.push:
            lines += [f"testb $${OVERFLOW}, %al", f"jz {ROOM}f", *["fldz"] * (8 - len(self.loads)), f"{ROOM}:"]
        lines += self._loads(p)
        for position, i in enumerate(reversed(self.loads)):
            lines += [f"testb $${1 << i}, %al", f"{'jnz' if self.always_faults else 'jz'} {LOADED}f", f"ffree %st({position})", f"{LOADED}:"]
        lines += [self.body.format(m=f"{VALUE}({p})"), finish, self._status(p), *self._test_stopped(p)]
        lines += ["fnclex", *self._store_results(p, False), "fninit", f"jmp {UPDATE}b"]
        return [*lines, f"{STOPPED}:", "fninit", *self._stopped(p)]

    def _test_stopped(self, p: str) -> list[str]:
        """Whether an unmasked exception kept the host from finishing: it did not push or pop, or raised one that comes before
        the result.  Its TOP was 0 before the loads."""
        top = f"testl $${TOP_MASK}, %eax"
        if self.push and not self.loads:
            return [top, f"jz {STOPPED}f"]
        if not self.commit:
            return [top, f"jnz {STOPPED}f"]
        lines = [f"movzwl ({p}), %edx", "notl %edx", "andl %eax, %edx", f"testb $${BEFORE_RESULT}, %dl", f"jnz {STOPPED}f"]
        return lines + ([f"testl $${C2}, %eax", f"jnz {STOPPED}f"] if self.stops_on_c2 else [])

    def _status(self, p: str) -> str:
        return self.status.format(fsw=f"{FSW}({p})")

    def _loads(self, p: str) -> list[str]:
        return [line for i in self.loads for line in (*_index(i), f"fldt {ST}({p}, {'%rdx' if i else '%rcx'})")]

    def _store_results(self, p: str, fast: bool) -> list[str]:
        """Results into their registers; those that may have been empty become valid."""
        lines = []
        for i in self.results:
            before = (i - self.push + self.pop) & 7             # the same register, numbered as before the instruction
            lines += [*_index(before), f"fstpt {ST}({p}, {'%rdx' if before else '%rcx'})"]
            if not (fast and self.valid >> before & 1) and not (self.push and before == 7):
                lines += _mark_valid(p, before)
        return lines

    def _update(self, p: str) -> list[str]:
        if not self.commit:
            return [f"movl %eax, {STATUS}({p})"]
        return update_text(p, self.conditions, self.push, self.pop)

    def _stopped(self, p: str) -> list[str]:
        if not self.commit:
            return [f"btsl $${NOT_COMMITTED}, %eax", f"movl %eax, {STATUS}({p})"]
        conditions = self.conditions if self.stopped_conditions is None else self.stopped_conditions
        return update_text(p, conditions, 0, 0)


# FNSTSW for partial remainders: with a NaN for a result, C0 and C3 stay the guest's.
REMAINDER_STATUS = "; ".join([
    "fnstsw %ax", "movl %eax, %esi", "fnclex", "fxam", "fnstsw %ax", f"andl $${C0 | C2}, %eax", f"cmpl $${C0}, %eax",
    f"jne {KEPT}f", "movl {fsw}, %eax", f"andl $${C0 | C3}, %eax", f"andl $${~(C0 | C3)}, %esi", "orl %eax, %esi",
    f"{KEPT}:", "movl %esi, %eax"])


def update_text(p: str, conditions: int, push: int, pop: int) -> list[str]:
    """New FSW from the host's in EAX; tags and TOP for pushes and pops.  ECX: 16 * TOP before the instruction."""
    moved = TOP_MASK if push or pop else 0
    lines = [f"movl {FSW}({p}), %edx", f"andl $${~(conditions | moved)}, %edx", f"andl $${conditions | EXCEPTION_BITS}, %eax",
             "orl %eax, %edx"]
    if moved:
        lines += [f"movl {FTW}({p}), %eax", "shrl $$4, %ecx"]
        lines += ["decl %ecx", "andl $$7, %ecx", "btsl %ecx, %eax"] * push
        lines += ["btrl %ecx, %eax", "incl %ecx", "andl $$7, %ecx"] * pop
        lines += [f"movl %eax, {FTW}({p})", f"shll $${TOP_SHIFT}, %ecx", "orl %ecx, %edx"]
    return [*lines, f"movl %edx, {FSW}({p})"]


def commit_text(p: str, pop: int) -> str:
    """The second half of a store, after guest memory has been written: FSW and the pop."""
    lines = [*_top(p), "shll $$4, %ecx", f"movl {STATUS}({p}), %eax", f"btrl $${NOT_COMMITTED}, %eax",
             f"jc {STOPPED}f", *update_text(p, C1, 0, pop), f"jmp {END}f", f"{STOPPED}:",
             *update_text(p, C1, 0, 0), f"{END}:"]
    return "; ".join(lines)


def _top(p: str) -> list[str]:
    """TOP into ECX."""
    return [f"movzbl {FSW + 1}({p}), %ecx", f"shrl $${TOP_SHIFT - 8}, %ecx", "andl $$7, %ecx"]


def _index(i: int) -> list[str]:
    """Byte offset of ST(i) into EDX; that of ST(0) is in ECX."""
    return [f"leal {REGISTER_BYTES * i}(%rcx), %edx", f"andl $${7 * REGISTER_BYTES}, %edx"] if i else []


def _mark_valid(p: str, i: int) -> list[str]:
    """The tag of ST(i); EAX (the host's FSW) survives."""
    return [f"leal {REGISTER_BYTES * i}(%rcx), %edx", "shrl $$4, %edx", "andl $$7, %edx", f"btsl %edx, {FTW}({p})"]
