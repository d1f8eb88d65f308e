"""A region as one LLVM function: the micro-ops of its blocks, with registers and the budget in SSA.

Each register slot becomes an alloca that LLVM turns into SSA values.  Whatever leaves the region, or calls a function that
looks at registers, first writes back every slot that the region writes anywhere.

Each block's head refuses as its stencil does.  The budget has a second use: when a runtime function kills a block of
the region (self-modifying code), the word `dead` of the region becomes DEAD_BIAS, `left` is taken lower by as much, and the next head
refuses; whatever writes `left` back adds it again.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jit.ir import FOR_WRITE, Slot, Uop, Value
from jit.lower import (
    ARGUMENT_REGISTERS, CLOBBERS, HOLE, MOSTLY, RARELY, VECTOR, Helpers, Module, memory_type,
)
from jit.region_flags import FLAGS, LazyFlags, Plan
from jit.region_shape import BlockCode, Rejected, Shape
from jit.state import NO_ERROR_CODE, Counter, Leave
from jit.work import tlb_offset
from jit.words import Layout

HELPER = "T_"                           # symbols of runtime functions' trampolines
EXIT = "X"                              # ... of ways on to blocks outside, by number
FEW = 3                                 # targets of an indirect jump that are compared one by one
NO_UPDATE = None, 0, ""
WRITE_BACK, RELOAD = "<write back>", "<reload>"             # lines that close() replaces


@dataclass
class Program:
    """A region's blocks as micro-ops, in the order in which control first reaches them."""

    shape: Shape
    steps: dict[int, list[Any]] = field(default_factory=dict)       # by block number; Step of the guest ISA
    constants: dict[int, int] = field(default_factory=dict)
    known: set[int] = field(default_factory=set)            # blocks with one way in: what held at its start holds at theirs
    inside: dict[int, list[int]] = field(default_factory=dict)      # successors in the region


def read(shape: Shape, isa: Any) -> Program:
    """Run the semantics of every block.  Raises Rejected."""
    program = Program(shape)
    number = {block.pc: i for i, block in enumerate(shape.blocks)}
    for i, block in enumerate(shape.blocks):
        program.inside[i] = [number[pc] for pc in shape.successors(block)]
    ways = [target for targets in program.inside.values() for target in targets]
    program.known = {n for n in range(1, len(shape.blocks)) if ways.count(n) == 1}
    values, flags = 0, {0: None}
    queue = [0]
    for i in queue:
        steps = program.steps[i] = _read_block(shape.blocks[i], isa, flags.get(i), values, program.constants)
        values = steps[-1].count
        for target in program.inside[i]:
            if target not in queue:
                queue.append(target)
                if target in program.known:
                    flags[target] = steps[-1].flags
    return program


def _read_block(block: BlockCode, isa: Any, flags: Any, values: int, constants: dict[int, int]) -> list[Any]:
    steps, at = [], 0
    for _ in range(block.insns):
        step = isa.instruction(block.code[at:], block.pc + at, block.mode, flags, values, constants)
        if step is None:
            raise Rejected("an instruction without semantics")
        steps.append(step)
        if is_opaque(step, isa):
            step.flags = None
        flags, values, at = step.flags, step.count, at + step.length
    if at != len(block.code):
        raise Rejected("blocks changed")
    return steps


def is_opaque(step: Any, isa: Any) -> bool:
    """Does it call a function that may look at registers, or change them?"""
    return any(u.op == "call" and u.data[0] not in isa.PURE_HELPERS for u in step.uops)


class RegionFunction(LazyFlags):
    """Lowers a region; `exits` holds the pcs outside that it goes to, in the order of their symbols."""

    def __init__(self, module: Module, program: Program, plan: Plan, layout: Layout, isa: Any):
        super().__init__(module, "region", layout, Helpers())
        self.setup(isa, plan, program.constants)
        self.program, self.shape = program, program.shape
        self.number = {block.pc: i for i, block in enumerate(self.shape.blocks)}
        self.exits: dict[int, int] = {}
        self.slots: dict[int, int] = {}                     # record offset -> size, of those in SSA
        self.written: set[int] = set()
        self.block = 0                                      # where we are
        self.index = 0
        self._loads = 0                                     # of this instruction
        self._update = NO_UPDATE                            # address that it loaded from and will store to, bits, host pointer
        self._fault: tuple[str, Any] = "", None             # a way out with a fault that still fits, and the flags there

    # --- the whole
    def build(self) -> None:
        """Raises Rejected, and Retry when the plan lacks something."""
        ends: dict[int, Any] = {}                           # state, names, vectors at the end of the one block before
        for number, steps in self.program.steps.items():
            self.block = number
            self.label(f"head{number}")
            if number in self.program.known:
                self.state, names, vectors = ends[number]
                self.names, self.vectors = dict(names), dict(vectors)
            else:
                self.meet(number)
            self._head(number)
            self._block(number, steps)
            for target in self.program.inside[number]:
                ends[target] = self.state, self.names, self.vectors
        self.close()

    def _block(self, number: int, steps: list[Any]) -> None:
        self._fault = "", None
        for self.index, step in enumerate(steps):
            self._update, self._loads = NO_UPDATE, sum(uop.op == "load" for uop in step.uops)
            self.lower_instruction(step.uops)
        last = steps[-1]
        if not last.uops or last.uops[-1].op not in ("goto", "branch", "indirect", "leave"):
            self._jump(self.shape.blocks[number].pc + len(self.shape.blocks[number].code))

    def _head(self, number: int) -> None:
        """Refuse without budget, or take the block's instructions from it."""
        block = self.shape.blocks[number]
        left = self.emit("load i64, ptr %left")
        self.branch_to(self.emit(f"icmp slt i64 {left}, 1"), f"out{number}", f"body{number}", RARELY)
        with self.branch_off(f"out{number}"):
            self._synchronize()
            self.store_field("pc", block.pc)
            self.store_field("leave", int(Leave.HEAD))
            self.store_field("link", self.hole(f"block{number}"))
            counter = f"statistics.{int(Counter.REGION_SLICES)}"
            self.store_field(counter, self.emit(f"add i64 {self.load_field(counter)}, 1"))
            self.lines.append("ret void")
        self.label(f"body{number}")
        self.lines.append(f"store i64 {self.emit(f'sub i64 {left}, {block.insns}')}, ptr %left")

    def close(self) -> None:
        entry = ["%record = inttoptr i64 %cpu to ptr", "%left = alloca i64", *(f"{slot_name(at)} = alloca {slot_type(size)}" for at, size in self.slots.items()),
                 *self.flag_variables()]
        body, self.lines = [*self.lines, *self.aside], entry
        self._reload()
        self.enter_flags()
        self.lines += [f"store i64 {self.load_field('left')}, ptr %left", "br label %head0"]
        kinds = self.kinds_at()
        for line in body:
            if line == WRITE_BACK:
                self._write_back()
            elif line == RELOAD:
                self._reload()
            elif line.startswith(FLAGS):
                self.write_flags_of(kinds[int(line[len(FLAGS):])])
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
        self._fault = "", None
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
        self._write_registers()

    def _write_registers(self) -> None:
        self.lines.append(WRITE_BACK)
        self.write_flags()

    # --- guest memory
    def record(self, offset: int | str, displacement: int = 0) -> str:
        assert isinstance(offset, int)
        return self.emit(f"getelementptr i8, ptr %record, i64 {offset + displacement}")

    def _load(self, uop: Uop) -> None:
        """What is stored to afterwards is looked up once, for writing."""
        if uop.data != FOR_WRITE or self._loads > 1:
            return super()._load(uop)
        address, kind = self.value(uop.args[0]), memory_type(uop.bits)
        hit, miss, after, done = (self.new("m")[1:] for _ in range(4))
        host = self._translate(address, uop.bits // 8, "write", hit, miss)
        fast = self.emit(f"load {kind}, ptr {host}, align 1")
        self.lines.append(f"br label %{done}")
        self.label(miss)
        slow = self._slow_load(address, uop.bits, "load_for_write")
        self.lines.append(f"br label %{after}")
        self.label(after)
        self.lines.append(f"br label %{done}")
        self.label(done)
        value = self.emit(f"phi {kind} [ {fast}, %{hit} ], [ {slow}, %{after} ]")
        self._update = uop.args[0].number, uop.bits, self.emit(f"phi ptr [ {host}, %{hit} ], [ null, %{after} ]")
        self.define_loaded(uop, value)

    def _store(self, uop: Uop) -> None:
        number, bits, host = self._update
        if number != uop.args[0].number or bits != uop.args[1].bits:
            return super()._store(uop)
        address, value = self.value(uop.args[0]), self.stored(uop.args[1])
        hit, miss, done = (self.new("m")[1:] for _ in range(3))
        self.branch_to(self.emit(f"icmp eq ptr {host}, null"), miss, hit, RARELY)
        self.label(hit)
        self.lines += [f"store {value}, ptr {host}, align 1", f"br label %{done}"]
        self.label(miss)
        self._slow_store(address, self.value(uop.args[1]), uop.args[1].bits)
        self.lines.append(f"br label %{done}")
        self.label(done)

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
            self._write_registers()
        values = ["%cpu", *args]
        constraints = ",".join(["={rax}", *(f"{{{r}}}" for r, _ in zip(ARGUMENT_REGISTERS, values)), CLOBBERS])
        typed = ", ".join(f"i64 {v}" for v in values)
        result = self.emit(f'call i64 asm sideeffect "callq {HELPER}{name}", "{constraints}"({typed}) #{3 if cold else 0}')
        self._load_left()
        if not pure:
            self.lines.append(RELOAD)
            self.flags_changed()
        if faults:
            good = self.new("g")[1:]
            self.branch_to(self.emit(f"icmp ne i64 {self.load_field('fault')}, 0"), self._fault_exit(pure), good, RARELY)
            self.label(good)
        return result

    def _fault_exit(self, write: bool) -> str:
        """Where control goes with cpu.fault set.  `write`: the record does not hold the registers yet."""
        label, state = self._fault
        if label and write and state is self.state:
            return label
        label = self.new("f")[1:]
        self._fault = label if write else "", self.state
        with self.branch_off(label):
            if write:
                self._write_registers()
            self.tail_call("FAULT")
        return label

    def _raise_if(self, uop: Uop) -> None:
        vector, code = uop.data
        raised, on = (self.new("r")[1:] for _ in range(2))
        self.branch_to(self.value(uop.args[0]), raised, on, RARELY)
        with self.branch_off(raised):
            self.store_field("where", self.where())
            self.store_field("fault", vector + 1)
            self.store_field("fault_code", NO_ERROR_CODE if code is None else code)
            self._synchronize()
            self.tail_call("FAULT")
        self.label(on)

    # --- ends
    def _label(self, pc: int) -> str:
        """Where control goes for the block at pc: to it, with what it must be told on the way, or out."""
        number = self.number.get(pc)
        if number in self.program.known:
            return f"head{number}"
        label = self.new("x")[1:]
        with self.branch_off(label):
            if number is None:
                self._synchronize()
                self.tail_call(f"{EXIT}{self.exits.setdefault(pc, len(self.exits))}")
            else:
                self.way_to(number)
                self.lines.append(f"br label %head{number}")
        return label

    def _jump(self, pc: int) -> None:
        self.lines.append(f"br label %{self._label(pc)}")

    def _goto(self, uop: Uop) -> None:
        self._jump(self.constants[uop.args[0].number])

    def _branch(self, uop: Uop) -> None:
        yes, no = (self.constants[v.number] for v in uop.args[1:])
        inside = yes in self.number, no in self.number
        weight = {(True, False): MOSTLY, (False, True): RARELY}.get(inside, "")
        condition = self.value(uop.args[0])
        self.branch_to(condition, self._label(yes), self._label(no), weight)

    def _indirect(self, uop: Uop) -> None:
        targets = sorted(set(self.shape.successors(self.shape.blocks[self.block])))
        if not targets:
            self._synchronize()
            return super()._indirect(uop)
        away = self.new("i")[1:]
        with self.branch_off(away):
            self._synchronize()
            super()._indirect(uop)
        self._choose(self.value(uop.args[0]), targets, away)

    def _choose(self, target: str, pcs: list[int], away: str) -> None:
        """Jump to the block at the pc `target`; many are found through a table of all pcs between the first and the last."""
        labels = {pc: self._label(pc) for pc in pcs}
        if len(pcs) <= FEW:
            cases = " ".join(f"i64 {pc}, label %{label}" for pc, label in labels.items())
            self.lines.append(f"switch i64 {target}, label %{away} [ {cases} ]")
            return
        size = pcs[-1] - pcs[0] + 1
        numbers = bytes(pcs.index(pc) + 1 if pc in labels else 0 for pc in range(pcs[0], pcs[0] + size))
        table = f"@table{self.block}"
        text = "".join(f"\\{byte:02X}" for byte in numbers)
        self.module.intrinsics.add(f'{table} = internal constant [{size} x i8] c"{text}"')
        near = self.new("i")[1:]
        distance = self.emit(f"sub i64 {target}, {pcs[0]}")
        self.branch_to(self.emit(f"icmp ult i64 {distance}, {size}"), near, away, MOSTLY)
        self.label(near)
        place = self.emit(f"getelementptr i8, ptr {table}, i64 {distance}")
        number = self.emit(f"load i8, ptr {place}")
        cases = " ".join(f"i8 {i}, label %{labels[pc]}" for i, pc in enumerate(pcs, 1))
        self.lines.append(f"switch i8 {number}, label %{away} [ {cases} ]")

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
