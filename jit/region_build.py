"""A region as one LLVM function: the micro-ops of its blocks, with registers and the budget in SSA.

Each register slot becomes an alloca that LLVM turns into SSA values.  Whatever leaves the region, or calls a function that
looks at registers, first writes back every slot that the region writes anywhere.

Each block's head refuses as its stencil does.  The budget has a second use: when a runtime function kills a block of
the region (self-modifying code), the word `dead` of the region becomes DEAD_BIAS, `left` is taken lower by as much, and the next head
refuses; whatever writes `left` back adds it again.
"""
from __future__ import annotations

from typing import Any

from jit.ir import Slot, Uop, Value
from jit.lower import ARGUMENT_REGISTERS, CLOBBERS, HOLE, MOSTLY, RARELY, VECTOR, Function, Helpers, Module
from jit.region_shape import BlockCode, Rejected, Shape
from jit.state import NO_ERROR_CODE, Counter, Leave
from jit.translate import tlb_offset
from jit.words import Layout

HELPER = "T_"                           # symbols of runtime functions' trampolines
EXIT = "X"                              # ... of ways on to blocks outside, by number
WRITE_BACK, RELOAD = "<write back>", "<reload>"             # lines that close() replaces


class RegionFunction(Function):
    """Lowers a region; `exits` holds the pcs outside that it goes to, in the order of their symbols."""

    def __init__(self, module: Module, shape: Shape, layout: Layout, isa: Any):
        super().__init__(module, "region", layout, Helpers())
        self.shape, self.isa = shape, isa
        self.number = {block.pc: i for i, block in enumerate(shape.blocks)}
        self.exits: dict[int, int] = {}
        self.slots: dict[int, int] = {}                     # record offset -> size, of those in SSA
        self.written: set[int] = set()
        self.constants: dict[int, int] = {}
        self.returns = {b.returns_to for b in shape.blocks} & set(self.number)
        self.block = 0                                      # where we are
        self.index = 0
        self._faults: list[tuple[str, bool]] = []           # label, does it write back?

    # --- the whole
    def build(self) -> None:
        """Raises Rejected."""
        knowledge: dict[int, Any] = {}
        values = 0
        queue = [0]
        single = self._single_predecessors()
        for number in queue:
            block = self.shape.blocks[number]
            flags, values = self._block(number, block, knowledge.get(number), values)
            for target in self._inside(block):
                if target not in queue:
                    queue.append(target)
                    if target in single:
                        knowledge[target] = flags
        self._tails(queue)
        self.close()

    def _inside(self, block: BlockCode) -> list[int]:
        targets = [*block.targets, *(sorted(self.returns) if block.is_return else ())]
        return [self.number[pc] for pc in targets if pc in self.number]

    def _single_predecessors(self) -> set[int]:
        """Blocks that control enters from one place only: what is known there is known here."""
        found = [n for block in self.shape.blocks for n in self._inside(block)]
        return {n for n in range(1, len(self.shape.blocks)) if found.count(n) == 1}

    def _block(self, number: int, block: BlockCode, flags: Any, values: int) -> tuple[Any, int]:
        self.block = number
        self._head(number, block)
        at = 0
        for self.index in range(block.insns):
            step = self.isa.instruction(block.code[at:], block.pc + at, block.mode, flags, values, self.constants)
            if step is None:
                raise Rejected("an instruction without semantics")
            for uop in step.uops:
                self.lower(uop)
            opaque = any(u.op == "call" and u.data[0] not in self.isa.PURE_HELPERS for u in step.uops)
            flags, values, at = None if opaque else step.flags, step.count, at + step.length
        if at != len(block.code):
            raise Rejected("blocks changed")
        if not step.uops or step.uops[-1].op not in ("goto", "branch", "indirect", "leave"):
            self.lines.append(f"br label %{self._label(block.pc + at)}")
        return flags, values

    def _head(self, number: int, block: BlockCode) -> None:
        self.label(f"head{number}")
        left = self.emit("load i64, ptr %left")
        self.branch_to(self.emit(f"icmp slt i64 {left}, 1"), f"out{number}", f"body{number}", RARELY)
        self.label(f"body{number}")
        self.lines.append(f"store i64 {self.emit(f'sub i64 {left}, {block.insns}')}, ptr %left")

    def _tails(self, lowered: list[int]) -> None:
        """What seldom runs: heads that refuse, ways on to other blocks, faults."""
        for number in lowered:
            self.label(f"out{number}")
            self._synchronize()
            self.store_field("pc", self.shape.blocks[number].pc)
            self.store_field("leave", int(Leave.HEAD))
            self.store_field("link", self.hole(f"block{number}"))
            counter = f"statistics.{int(Counter.REGION_SLICES)}"
            self.store_field(counter, self.emit(f"add i64 {self.load_field(counter)}, 1"))
            self.lines.append("ret void")
        for number in self.exits.values():
            self.label(f"exit{number}")
            self._synchronize()
            self.tail_call(f"{EXIT}{number}")
        for label, write in self._faults:
            self.label(label)
            if write:
                self.lines.append(WRITE_BACK)
            self.tail_call("FAULT")

    def close(self) -> None:
        entry = ["%left = alloca i64", *(f"{slot_name(at)} = alloca {slot_type(size)}" for at, size in self.slots.items())]
        body, self.lines = self.lines, entry
        self._reload()
        self.lines += [f"store i64 {self.load_field('left')}, ptr %left", "br label %head0"]
        for line in body:
            if line == WRITE_BACK:
                self._write_back()
            elif line == RELOAD:
                self._reload()
            else:
                self.lines.append(line)
        super().close()

    # --- slots
    def _home(self, slot: Slot, bits: int) -> tuple[int, int] | None:
        """The SSA slot that [slot, slot + bits) is in, and the distance from its start in bits; None for plain memory."""
        assert isinstance(slot.offset, int)
        at = slot.offset + slot.displacement
        for start, size, count in self.isa.SLOTS:
            if start <= at < start + size * count:
                inside = (at - start) % size
                if inside * 8 + bits > size * 8 or (size == 16 and inside * 8 % bits):
                    raise Rejected("an odd access to a register")
                self.slots[at - inside] = size
                return at - inside, inside * 8
        return None

    def _get(self, uop: Uop) -> None:
        home = self._home(uop.data, uop.bits)
        if home is None:
            return super()._get(uop)
        at, shift = home
        size = self.slots[at] * 8
        whole = self.emit(f"load {slot_type(self.slots[at])}, ptr {slot_name(at)}")
        if uop.bits == size:
            return self.define_loaded(uop, whole)
        if size == 128:
            lanes = self.emit(f"bitcast {VECTOR} {whole} to {lanes_type(uop.bits)}")
            return self.define_value(uop, self.emit(f"extractelement {lanes_type(uop.bits)} {lanes}, i32 {shift // uop.bits}"))
        if shift:
            whole = self.emit(f"lshr i64 {whole}, {shift}")
        return self.define_value(uop, self.emit(f"trunc i64 {whole} to i{uop.bits}"))

    def _put(self, uop: Uop) -> None:
        value = uop.args[0]
        home = self._home(uop.data, value.bits)
        if home is None:
            return super()._put(uop)
        at, shift = home
        self.written.add(at)
        self.lines.append(f"store {self._merged(at, shift, value)}, ptr {slot_name(at)}")

    def _merged(self, at: int, shift: int, value: Value) -> str:
        """The whole slot with `value` put in its place, and its type."""
        size, kind = self.slots[at] * 8, slot_type(self.slots[at])
        if value.bits == size:
            return self.stored(value)
        whole = self.emit(f"load {kind}, ptr {slot_name(at)}")
        if size == 128:
            lanes = lanes_type(value.bits)
            old = self.emit(f"bitcast {VECTOR} {whole} to {lanes}")
            new = self.emit(f"insertelement {lanes} {old}, i{value.bits} {self.value(value)}, i32 {shift // value.bits}")
            return f"{VECTOR} {self.emit(f'bitcast {lanes} {new} to {VECTOR}')}"
        kept = self.emit(f"and i64 {whole}, {~(((1 << value.bits) - 1) << shift)}")
        added = self.emit(f"zext i{value.bits} {self.value(value)} to i64")
        if shift:
            added = self.emit(f"shl i64 {added}, {shift}")
        return f"i64 {self.emit(f'or i64 {kept}, {added}')}"

    def _slot_address(self, uop: Uop) -> None:
        if self._home(uop.data, 8):
            raise Rejected("the address of a register is taken")
        super()._slot_address(uop)

    def _write_back(self) -> None:
        for at in sorted(self.written):
            kind = slot_type(self.slots[at])
            value = self.emit(f"load {kind}, ptr {slot_name(at)}")
            self.lines.append(f"store {kind} {value}, ptr {self.record(at)}, align 8")

    def _reload(self) -> None:
        for at, size in sorted(self.slots.items()):
            value = self.emit(f"load {slot_type(size)}, ptr {self.record(at)}, align 8")
            self.lines.append(f"store {slot_type(size)} {value}, ptr {slot_name(at)}")

    # --- the budget
    def _dead(self) -> str:
        self.module.holes["dead"] = False
        return self.emit(f"load i64, ptr @{HOLE}dead")

    def _store_left(self) -> None:
        self.store_field("left", self.emit(f"add i64 {self.emit('load i64, ptr %left')}, {self._dead()}"))

    def _load_left(self) -> None:
        left = self.load_field("left")
        self.lines.append(f"store i64 {self.emit(f'sub i64 {left}, {self._dead()}')}, ptr %left")

    def _synchronize(self) -> None:
        """Everything back into the record, before control leaves the region."""
        self._store_left()
        self.lines.append(WRITE_BACK)

    # --- calls, exceptions
    def tlb(self) -> str:
        return str(tlb_offset(self.shape.mode))

    def where(self) -> str:
        return f"add (i64 {self.hole(f'block{self.block}')}, i64 {self.index})"

    def call_helper(self, name: str, args: list[str], faults: bool, cold: bool = True) -> str:
        pure = name in self.isa.PURE_HELPERS
        self._store_left()
        self.store_field("where", self.where())
        if not pure:
            self.lines.append(WRITE_BACK)
        values = ["%cpu", *args]
        constraints = ",".join(["={rax}", *(f"{{{r}}}" for r, _ in zip(ARGUMENT_REGISTERS, values)), CLOBBERS])
        typed = ", ".join(f"i64 {v}" for v in values)
        result = self.emit(f'call i64 asm sideeffect "callq {HELPER}{name}", "{constraints}"({typed}) #{3 if cold else 0}')
        self._load_left()
        if not pure:
            self.lines.append(RELOAD)
        if faults:
            good, failed = (self.new("g")[1:] for _ in range(2))
            self._faults.append((failed, pure))
            self.branch_to(self.emit(f"icmp ne i64 {self.load_field('fault')}, 0"), failed, good, RARELY)
            self.label(good)
        return result

    def _raise_if(self, uop: Uop) -> None:
        vector, code = uop.data
        raised, on = (self.new("r")[1:] for _ in range(2))
        self.branch_to(self.value(uop.args[0]), raised, on, RARELY)
        self.label(raised)
        self.store_field("where", self.where())
        self.store_field("fault", vector + 1)
        self.store_field("fault_code", NO_ERROR_CODE if code is None else code)
        self._synchronize()
        self.tail_call("FAULT")
        self.label(on)

    # --- ends
    def _label(self, pc: int) -> str:
        """Where control goes for the block at pc."""
        if pc in self.number:
            return f"head{self.number[pc]}"
        return f"exit{self.exits.setdefault(pc, len(self.exits))}"

    def _goto(self, uop: Uop) -> None:
        self.lines.append(f"br label %{self._label(self.constants[uop.args[0].number])}")

    def _branch(self, uop: Uop) -> None:
        yes, no = (self.constants[v.number] for v in uop.args[1:])
        inside = yes in self.number, no in self.number
        weight = {(True, False): MOSTLY, (False, True): RARELY}.get(inside, "")
        self.branch_to(self.value(uop.args[0]), self._label(yes), self._label(no), weight)

    def _indirect(self, uop: Uop) -> None:
        block = self.shape.blocks[self.block]
        if block.is_return and self.returns:
            cases = " ".join(f"i64 {pc}, label %{self._label(pc)}" for pc in sorted(self.returns))
            away = self.new("i")[1:]
            self.lines.append(f"switch i64 {self.value(uop.args[0])}, label %{away} [ {cases} ]")
            self.label(away)
        self._synchronize()
        super()._indirect(uop)

    def _leave(self, uop: Uop) -> None:
        self._synchronize()
        super()._leave(uop)


def slot_name(at: int) -> str:
    """The alloca of a slot."""
    return f"%s{at}"


def slot_type(size: int) -> str:
    return VECTOR if size == 16 else "i64"


def lanes_type(bits: int) -> str:
    return f"<{128 // bits} x i{bits}>"
